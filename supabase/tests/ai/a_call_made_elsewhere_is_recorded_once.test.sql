begin;
select plan(13);
select tests.create_user('owner');
-- An input token costs 0.001 credits, an output token 0.01.
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100), ('new', 'New', 'up', 1);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
select tests.be_service();
create function pg_temp.record(id text, charge boolean, completion bigint default 50, status public.ai_usage_status default 'success') returns jsonb
language sql as $$ select to_jsonb(public.record_ai_usage(tests.id('owner'), 'test', id, 100, 0, completion, charge => charge, status => status,
  details => '{"scene": "session_analysis", "duration": 1200}')) $$;

select is(pg_temp.record('a', false), '{"recorded": true, "cost_usd": 0.006, "credits_charged": 0}'::jsonb, 'it is priced');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0', 'and not charged unless asked');
select is((pg_temp.record('b', true) ->> 'credits_charged')::numeric, 0.6, 'then it is');
select is(pg_temp.record('b', true) ->> 'recorded', 'false', 'once for each request id');
select is(tests.wallet('owner'), 'balance 2.4, total 3, spent 0.6, expired 0, held 0', 'however often it comes');
select is((pg_temp.record('c', true, 1000) ->> 'credits_charged')::numeric, 10.1, 'what was used is charged past what is there');
select is(tests.wallet('owner'), 'balance -7.7, total 3, spent 10.7, expired 0, held 0', 'as debt');
select is((pg_temp.record('d', true, 0, 'failed') ->> 'credits_charged')::numeric, 0::numeric, 'a failed one costs nothing');
select is((select concat_ws(' ', scene, status, duration, usage_source, trim_scale(credits_charged)) from public.ai_usage_logs where request_id = 'b'),
  'session_analysis success 1200 reported 0.6', 'each has its log row');
select throws_ok($$ select public.record_ai_usage(tests.id('owner'), 'no-such', 'e') $$, 'PT404', 'not_found', 'an unknown model has no price');
select throws_ok($$ select public.record_ai_usage(tests.id('owner'), 'new', 'e') $$, 'PT404', 'not_found', 'nor one without any');
select throws_ok($$ select public.record_ai_usage(tests.id('owner'), 'test', '') $$, 'PT400', 'invalid_request', 'a request has an id');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
