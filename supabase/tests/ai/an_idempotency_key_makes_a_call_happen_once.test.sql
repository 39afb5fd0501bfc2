begin;
select plan(15);
select tests.create_user('owner'), tests.create_user('other');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('test', 'Test', 'up', 100, 0.5);
select private.set_model_price('test', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.call(key text, hash text default 'h', person text default 'owner', id text default 'req_2') returns jsonb language sql as $$
  select public.admit_ai_call(tests.id(person), 'test', 1, request_id => id, idempotency_key => key, request_hash => hash)
$$;
select tests.remember('first', pg_temp.call('k', id => 'req_1') ->> 'hold_id');
select results_eq($$ select a ->> 'status', a ->> 'code', a ->> 'message' like '%req_1%running%', a ->> 'retry_after' from pg_temp.call('k') a $$,
  $$ values ('409', 'idempotency_conflict', true, '1') $$, 'while the first runs, the same request waits and hears of it');
select is(pg_temp.call('k', person => 'other') ->> 'admitted', 'true', 'a key is its workspace''s');
select public.finish_ai_call(tests.recall('first')::uuid, 'success', answer => '{"body": "hello"}');
select is(pg_temp.call('k') ->> 'code', 'idempotency_conflict', 'its answer is not kept unless the workspace keeps content');
select is(pg_temp.call('k') ->> 'retry_after', null, 'and waiting does not help');
update public.workspaces set ai_log_content = 'full' where id = tests.id('owner');
select tests.remember('second', pg_temp.call('full', id => 'req_3') ->> 'hold_id');
select public.finish_ai_call(tests.recall('second')::uuid, 'success', answer => '{"body": "hello"}');
select is(pg_temp.call('full'), '{"admitted": false, "answer": {"body": "hello"}, "request_id": "req_3"}'::jsonb, 'else it comes again');
select is(pg_temp.call('full', 'another') ->> 'message', 'This Idempotency-Key was used for another request, req_3.', 'but not for another request');
select is(tests.wallet('owner'), 'balance 2, total 3, spent 1, expired 0, held 0', 'and nothing is charged again');

update private.idempotent_requests set expires_at = clock_timestamp() where idempotency_key = 'full';
select is(pg_temp.call('full', 'another', id => 'req_4') ->> 'admitted', 'true', 'a key whose day is over is free, though nothing has deleted it yet');
select is(pg_temp.call('full', 'another') ->> 'message', 'The first request with this Idempotency-Key, req_4, is still running.', 'and is the new request''s');

select tests.remember('third', pg_temp.call('fails') ->> 'hold_id');
select public.finish_ai_call(tests.recall('third')::uuid, 'failed');
select is(pg_temp.call('fails') ->> 'admitted', 'true', 'what came to nothing may be tried again');
select is(public.admit_ai_call(tests.id('owner'), 'no-such', 1, idempotency_key => 'r') ->> 'code', 'not_found', 'what is refused');
select is(public.admit_ai_call(tests.id('owner'), 'test', 1, idempotency_key => 'r') ->> 'admitted', 'true', 'leaves its key free');
select count(private.run_due_work(now() + interval '25 hours')) from generate_series(1, 20);
select is((select count(*) from private.idempotent_requests where scope = 'ai_calls'), 0::bigint, 'a day later keys are forgotten, those of lost calls too');
select throws_ok($$ select public.admit_ai_call(tests.id('gone'), 'test', 1) $$, 'PT401', 'not_authenticated', 'nobody''s call is none');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
