begin;
select plan(20);
select tests.create_user('free'), tests.create_user('pro');
select tests.put_on_plan('pro', 'pro');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene, minimum_plan) values
  ('chat', 'Chat', 'up', 100, 0, 'text_chat', 'free'), ('embed', 'Embed', 'up', 0, 0, 'embedding', 'free'),
  ('better', 'Better', 'up', 100, 0, 'text_chat', 'creator');
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('embed', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('better', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.call(person text, at timestamptz, model text default 'chat') returns text
language sql as $$
  select concat_ws(' ', coalesce(a ->> 'code', 'admitted'), a ->> 'retry_after') from public.admit_ai_call(tests.id(person), model, 1, at => at) a
$$;
select results_eq($$
  select p.plan, max(feature_limit) filter (where feature_code = 'requests_per_minute'),
    max(feature_limit) filter (where feature_code = 'requests_per_day'), max(feature_limit) filter (where feature_code = 'messages_per_month')
  from public.plans p join public.plan_features using (plan) group by p.plan order by p.rank
$$, $$ values ('free', 10.0, 500.0, 10.0), ('basic', 60, null, 100), ('creator', 120, null, 1000), ('pro', 300, null, null), ('enterprise', 600, null, null) $$,
  'each plan has its limits');

select is((select count(*) from generate_series(1, 10) where pg_temp.call('free', '2026-05-05 10:00:01+00', 'embed') = 'admitted'), 10::bigint,
  'ten calls a minute for free');
select is(pg_temp.call('free', '2026-05-05 10:00:20+00', 'embed'), 'rate_limited 40', 'the eleventh waits for the next minute');
select is(pg_temp.call('free', '2026-05-05 10:01:00+00', 'embed'), 'admitted', 'which has its own ten');
select is((select l.status || ' ' || l.error_code from public.ai_usage_logs l where l.status = 'refused'), 'refused rate_limited',
  'what was refused is in the log');

select is((select count(*) from generate_series(1, 10) n where pg_temp.call('free', '2026-05-06 10:00+00'::timestamptz + n * interval '1 min') = 'admitted'),
  10::bigint, 'ten messages a month for free; embeddings are none');
select is(pg_temp.call('free', '2026-05-31 23:00+00'), 'limit_reached 3600', 'the eleventh waits for the next month');
select is(pg_temp.call('free', '2026-05-31 23:00+00', 'embed'), 'admitted', 'what is no message does not');
select public.finish_ai_call((select c.hold_id from private.ai_calls c where c.message_period is not null limit 1), 'failed', at => '2026-05-31 23:01+00');
select is(pg_temp.call('free', '2026-05-31 23:02+00'), 'admitted', 'a message that came to nothing is given back');
select is(pg_temp.call('free', '2026-06-01 00:00+00'), 'admitted', 'and a month later there are ten more');
select is((select count(*) from generate_series(1, 300) where pg_temp.call('pro', '2026-05-05 10:00+00') = 'admitted'), 300::bigint,
  'a plan without a limit of messages has one of calls');
select is(pg_temp.call('pro', '2026-05-05 10:00:59+00'), 'rate_limited 1', 'which holds');

select tests.limit_plans('requests_per_day', 15, 'free');
select is((select count(*) from generate_series(1, 30) n where pg_temp.call('free', '2026-06-20 10:00:30+00', 'embed') = 'admitted'), 10::bigint,
  'the minute holds');
select is((select count(*) from generate_series(1, 6) n where pg_temp.call('free', '2026-06-20 10:05+00', 'embed') = 'admitted'), 5::bigint,
  'so does the day, from which what the minute refused takes nothing');
select is(pg_temp.call('free', '2026-06-20 23:00+00', 'embed'), 'rate_limited 3600', 'until it is over');
select is(pg_temp.call('free', '2026-06-21 00:00+00', 'embed'), 'admitted', 'the next is another');
select public.credit_user_credits_transaction(tests.id('free'), 1, 'purchase', kind => 'purchase');
select is(pg_temp.call('free', '2026-06-20 23:30+00', 'embed'), 'admitted', 'and who has paid credits has no such limit');

select is(pg_temp.call('free', '2026-07-01 10:00+00', 'better'), 'model_not_allowed', 'a model may be for better plans');
select is(pg_temp.call('pro', '2026-07-01 10:00+00', 'better'), 'admitted', 'which call it');
select set_eq($$ select model from public.list_ai_models(tests.id('free')) $$, array['chat', 'embed'], 'and is listed to them alone');

select * from finish();
rollback;
