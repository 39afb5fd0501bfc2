begin;
select plan(14);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
  values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 10, "cached_input": 1, "output": 100}', '2020-01-01');
select tests.be_service();
select tests.remember('hold', public.admit_ai_call(tests.id('owner'), 'test', 500, 50, request_id => 'req_1',
  details => '{"scene": "other", "reference_id": "ref", "scene_description": "why"}', at => now()) ->> 'hold_id');

-- 300 in at 0.001, 100 cached at 0.0001, 20 out at 0.01 credits.
select is(public.finish_ai_call(tests.recall('hold')::uuid, 'success', 400, 100, 20, at => now() + interval '1.5 s',
  details => '{"ip_address": "192.0.2.1", "user_agent": "tests", "request_data": {"q": null},
    "response_data": {"a": 1, "b": null}}'),
  '{"finished": true, "credits_charged": 0.51, "credits_balance": 2.49, "credits_available": 2.49}'::jsonb,
    'answers with the charge and the wallet');
select is(tests.wallet('owner'), 'balance 2.49, total 3, spent 0.51, expired 0, held 0',
  'charges what was used and frees the rest');
select is(tests.ledger('owner'), 'credit 3 signup, debit -0.51 generation', 'as one entry');
select results_eq($$ select hold_id, feature_code, metadata ->> 'request_id', metadata ->> 'model', metadata ? 'pricing'
  from public.credit_transactions where id = tests.last_entry('owner') $$,
  $$ values (tests.recall('hold')::uuid, 'other', 'req_1', 'test', false) $$, 'that names the call');
select results_eq($$
  select user_id, status::text, scene::text, model, prompt_tokens, cached_tokens, completion_tokens, total_tokens,
    estimated_cost, credits_charged::numeric, duration
  from public.ai_usage_logs where hold_id = tests.recall('hold')::uuid
$$, $$ values (tests.id('owner'), 'success', 'other', 'test', 400, 100, 20, 420, 0.0051, 0.51, 1500) $$,
  'its log row has the figures');
select results_eq($$
  select request_id, reference_id, scene_description, host(ip_address), user_agent, request_data, response_data,
    error_code
  from public.ai_usage_logs where hold_id = tests.recall('hold')::uuid
$$,
  $$ values ('req_1', 'ref', 'why', '192.0.2.1', 'tests', '{"q": null}'::jsonb, '{"a": 1, "b": null}'::jsonb, null) $$,
  'and what was said, as it was');
select tests.be_postgres();
select is((select tableoid::regclass::text from private.ai_usage_logs where hold_id = tests.recall('hold')::uuid),
  'private.ai_usage_logs_' || to_char(now() at time zone 'UTC', 'YYYY_MM'), 'in the partition of its month');
select tests.be_service();

select is(public.finish_ai_call(tests.recall('hold')::uuid, 'success', 400, 100, 20),
  '{"finished": false, "credits_charged": 0.51, "credits_balance": 2.49, "credits_available": 2.49}'::jsonb,
    'finished again, it answers what it had been');
select is(public.finish_ai_call(tests.recall('hold')::uuid, 'failed') ->> 'finished', 'false',
  'another ending comes too late');
select is(public.finish_ai_call(tests.recall('hold')::uuid, 'success', 9999, 0, 9999) ->> 'credits_charged', '0.510000',
  'so does other usage');
select is(tests.wallet('owner'), 'balance 2.49, total 3, spent 0.51, expired 0, held 0', 'nothing more is charged');
select is((select count(*) from public.ai_usage_logs where hold_id = tests.recall('hold')::uuid), 1::bigint,
  'or logged');
select throws_ok($$ select public.finish_ai_call(tests.id('no call'), 'success') $$, 'PT404', 'not_found',
  'a call that was never admitted is not finished');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
