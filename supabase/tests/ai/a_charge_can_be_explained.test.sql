begin;
select plan(12);
select tests.create_user('owner'), tests.create_user('stranger');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values
  ('test', 'Test', 'up', 100, null), ('fixed', 'Fixed', 'up', 100, 0.5);
insert into public.ai_model_prices (model, effective_from, input_usd_per_million, cached_input_usd_per_million, output_usd_per_million) values
  ('test', '2020-01-01', 10, 5, 100), ('fixed', '2020-01-01', 1, 1, 1);
create function pg_temp.call(id text, ending public.ai_usage_status, model text default 'test', is_empty boolean default false) returns void
language sql as $$
  select public.finish_ai_call((public.admit_ai_call(tests.id('owner'), model, 500, 50, request_id => id) ->> 'hold_id')::uuid, ending, 100, 40, 10,
    is_empty => is_empty, details => '{"attempts": [{"status": 500}, {"status": 200}], "error_code": "upstream_error"}')
$$;
select pg_temp.call('ok', 'success'), pg_temp.call('failed', 'failed'), pg_temp.call('fixed', 'success', 'fixed'), pg_temp.call('empty', 'success', is_empty => true);
select public.record_ai_usage(tests.id('owner'), 'test', 'elsewhere', 100, charge => true);
select public.admit_ai_call(tests.id('owner'), 'no-such', 1, request_id => 'refused');

select tests.sign_in('owner');
select tests.remember('ok', public.explain_charge('ok'));
select is(tests.recall('ok')::jsonb -> 'tokens', '{"input": 60, "output": 10, "cached_input": 40}'::jsonb, 'token pools exclude each other');
select is(tests.recall('ok')::jsonb #>> '{price,output_usd_per_million}', '100', 'the price in force is told');
select is(tests.recall('ok')::jsonb ->> 'sentence', '100 input tokens (40 of them cached), 10 output tokens and 0 images of test '
  'cost 0.0018 US dollars, at 100 credits a dollar 0.18 credits. 1 credits had been held.', 'in a sentence');
select is(tests.recall('ok')::jsonb #>> '{hold,state}' || ' ' || (tests.recall('ok')::jsonb #>> '{settlement,credits}'), 'settled 0.18', 'hold and settlement');
select is(tests.recall('ok')::jsonb #>> '{lots,0,kind}' || ' ' || (tests.recall('ok')::jsonb #>> '{lots,0,credits}'), 'free 0.18', 'the lots that paid');
select is(tests.recall('ok')::jsonb -> 'attempts', '[{"status": 500}, {"status": 200}]'::jsonb, 'and what was tried');
select is(public.explain_charge('fixed') ->> 'sentence', '100 input tokens (40 of them cached), 10 output tokens and 0 images of fixed '
  'were charged the fixed price of 0.5 credits a request. 0.5 credits had been held.', 'a fixed price');
select alike(public.explain_charge('failed') ->> 'sentence', 'The call of % failed (upstream_error) and was not charged. 1 credits had been held.', 'a failure');
select alike(public.explain_charge('empty') ->> 'sentence', '%of test were not charged. 1 credits had been held.', 'nothing written');
select alike(public.explain_charge('elsewhere') ->> 'sentence', '%cost 0.001 US dollars, at 100 credits a dollar 0.1 credits.', 'a call made elsewhere');
select alike(public.explain_charge('refused') ->> 'sentence', 'The call of % was refused (not_found) and cost nothing.', 'a refusal');
select tests.sign_in('stranger');
select throws_ok($$ select public.explain_charge('ok') $$, 'PT404', 'not_found', 'a stranger hears nothing of it');

select * from finish();
rollback;
