begin;
select plan(31);
select tests.create_user('owner');
update public.credit_wallets set overdraft_limit = 1000 where workspace_id = tests.id('owner');
select tests.limit_plans('requests_per_minute', 1000), tests.limit_plans('messages_per_month', null);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, extra_fields, content_parts) values
  ('m', 'M', 'up', 100, '{service_tier}', '{"image_url": 1000, "input_audio": 1000, "file": 1000}'), ('promo', 'P', 'up', 100, '{}', '{}');
create function pg_temp.set(components text, at text default 'now()') returns text
language plpgsql as $$
declare
  reason text;
begin
  perform private.set_model_price('m', components::jsonb, at::timestamptz);
  return 'set';
exception when others then
  get stacked diagnostics reason = pg_exception_detail;
  return sqlerrm || ' ' || reason;
end;
$$;

-- What is off is named.
select is(pg_temp.set('[]'), 'invalid_request components must be a list of 1 to 500 parts of a price.', 'a price has parts');
select is(pg_temp.set('7'), 'invalid_request components must be a list of 1 to 500 parts of a price.', 'in a list');
select matches(pg_temp.set('[{"unit": "input", "usd_per_unit": 0}, {"unit": "inputs", "usd_per_unit": 1}]'), '^invalid_request components\[1\]: .*"inputs"', 'of units that there are');
select is(pg_temp.set('[{"unit": "input", "usd_per_units": 1}]'), 'invalid_request components[0] has fields that are not known.', 'with fields that are known');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "clock": {"hours": 1}}]'), 'invalid_request components[0] has fields that are not known.', 'also in a clock');
select is(pg_temp.set('[7]'), 'invalid_request components[0] has fields that are not known.', 'and no other things');
select is(pg_temp.set('[{"unit": "input"}]'), 'invalid_request components[0]: a component has a price.', 'each with a price');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": -1}]'), 'invalid_request components[0]: usd per unit must be 0 to 1000000 with at most 30 decimals.', 'of at least 0');
select is(pg_temp.set('[{"unit": "input", "credits_per_unit": "Infinity"}]'), 'invalid_request components[0]: credits per unit must be 0 to 1000000 with at most 30 decimals.', 'and finite');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "clock": {"weekdays": [0]}}]'), 'invalid_request components[0]: weekdays are 1 to 7.', 'days of the week');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "clock": {"from": "10:00"}}]'), 'invalid_request components[0]: a clock has both its times in minutes.', 'hours from and to');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "service_tier": "default"}]'), 'invalid_request components[0]: service tier is a word.', 'a tier by the name that is looked for');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "reprices": "excess"}]'), 'invalid_request components[0]: only a context tier reprices an excess.', 'an excess of something');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1}, {"unit": "input", "usd_per_unit": 2}]'), 'invalid_request components[1]: this component is there twice.', 'one of each kind');
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 1, "service_tier": "flex"}]'),
  'invalid_request These units need a component of the standard tier, without a bound and a clock: input.', 'and something to fall back to');
select is(pg_temp.set('{"input": 1}', 'infinity'), 'invalid_request a price begins some time.', 'it begins some time');
select is_empty('select * from public.ai_model_prices', 'nothing of what is refused stays');

-- A price with an end gives way to the one before it.
select private.set_model_price('promo', '{"input": 2}', '2026-01-01'), private.set_model_price('promo', '{"input": 1}', '2026-03-01', '2026-04-01', 'models.dev');
create function pg_temp.input_of(at timestamptz) returns numeric
language sql as $$ select (private.pricing_of(m, at) #>> '{price,components,0,usd_per_unit}')::numeric * 1000000 from public.ai_models m where model = 'promo' $$;
select is(array[pg_temp.input_of('2026-02-28'), pg_temp.input_of('2026-03-01'), pg_temp.input_of('2026-03-31 23:59:59'), pg_temp.input_of('2026-04-01')],
  array[2, 1, 1, 2]::numeric[], 'a promotion ends');
select throws_ok($$ select private.set_model_price('promo', '{"input": 1}', '2026-05-01', '2026-05-01') $$, 'PT400', 'invalid_request', 'after it began');

-- What is held is the dearest that can be reached.
select is(pg_temp.set('[{"unit": "input", "usd_per_unit": 0.0001}, {"unit": "input", "usd_per_unit": 0.0002, "above_input_tokens": 500},
  {"unit": "input", "usd_per_unit": 0.001, "service_tier": "priority"}, {"unit": "cache_write_5m", "usd_per_unit": 0.0003},
  {"unit": "input", "usd_per_unit": 0.0005, "clock": {"from": "02:00", "to": "03:00"}},
  {"unit": "audio_input", "usd_per_unit": 0.002}, {"unit": "image_input", "usd_per_unit": 0.0015},
  {"unit": "output", "usd_per_unit": 0}, {"unit": "reasoning", "usd_per_unit": 0.0001}]', '2020-01-01'), 'set', 'a price may have all of it');
create function pg_temp.held(input integer, at text default '2026-06-01 12:00Z', parts jsonb default '{}', fields jsonb default '{}') returns numeric
language sql as $$ select (public.admit_ai_call(tests.id('owner'), 'm', input, 0, parts => parts, fields => fields, at => at::timestamptz) ->> 'credits_held')::numeric $$;
select is(pg_temp.held(100), 3::numeric, 'a token may turn out to be written to the cache');
select is(pg_temp.held(100, '2026-06-01 01:50Z'), 5::numeric, 'a call may last into dearer hours');
select is(pg_temp.held(100, '2026-06-01 01:40Z'), 3::numeric, 'not into those that are far');
select is(pg_temp.held(100, fields => '{"service_tier": "service_tier"}'), 10::numeric, 'a call that asks for a tier may get any');
select is(pg_temp.held(100, parts => '{"input_audio": {"count": 1, "param": "x"}}'), 203::numeric, 'a part of sound costs as sound');
select is(pg_temp.held(100, parts => '{"image_url": {"count": 1, "param": "x"}}'), 153::numeric, 'a picture as a picture');
select is(pg_temp.held(100, parts => '{"file": {"count": 1, "param": "x"}}'), 203::numeric, 'and a file as the dearer');

-- What is charged is what was used, at the tier of the answer.
create function pg_temp.charged(pools jsonb, parts jsonb default '{}', at timestamptz default '2026-06-01 12:00Z', ended timestamptz default '2026-06-01 12:01Z') returns text
language plpgsql as $$
declare
  made uuid := public.admit_ai_call(tests.id('owner'), 'm', 100, 100, parts => parts, at => at) ->> 'hold_id';
begin
  perform public.finish_ai_call(made, 'success', 100, 10, 100, pools => pools, at => ended);
  return (select concat_ws(' ', trim_scale(l.credits_charged), l.service_tier, l.reasoning_tokens, l.audio_input_tokens, l.usage_source)
    from private.ai_usage_logs l where l.hold_id = made);
end;
$$;
select is(pg_temp.charged('{"service_tier": "priority", "reasoning_tokens": 50}'), '10.5 priority 50 reported', 'the answer names its tier');
select is(pg_temp.charged('{"audio_input_tokens": 50}'), '1 bounded', 'sound that was not sent is text');
select is(pg_temp.charged('{"audio_input_tokens": 50}', '{"input_audio": {"count": 1, "param": "x"}}'), '10.5 50 reported', 'what was sent is sound');
select is(pg_temp.charged('{}', at => '2026-06-02 01:59:30Z', ended => '2026-06-02 02:00Z'), '5 reported', 'a call into dearer hours pays them');

select * from finish();
rollback;
