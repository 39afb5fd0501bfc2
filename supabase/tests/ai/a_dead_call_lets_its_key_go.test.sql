-- A call whose function is dead holds its Idempotency-Key for half a minute, and an admission whose answer was lost for no time.
begin;
select plan(19);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
update public.workspaces set ai_log_content = 'full' where id = tests.id('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01');
create function pg_temp.call(key text, id text, seconds integer default 0) returns jsonb language sql as $$
  select public.admit_ai_call(tests.id('owner'), 'test', 0, 50, request_id => id, idempotency_key => key, request_hash => 'h',
    at => now() - interval '1 hour' + make_interval(secs => seconds))
$$;
create function pg_temp.extend(hold text, tokens integer, seconds integer) returns jsonb language sql as $$
  select public.extend_ai_call(tests.recall(hold)::uuid, tokens, tokens, at => now() - interval '1 hour' + make_interval(secs => seconds))
$$;
create function pg_temp.log() returns text language sql as $$
  select string_agg(concat_ws(' ', request_id, status, trim_scale(credits_charged), error_code), ', ' order by request_id) from public.ai_usage_logs
$$;

select tests.remember('first', pg_temp.call('k', 'req_1') ->> 'hold_id');
select is(pg_temp.call('k', 'req_2', 29) ->> 'code', 'idempotency_conflict', 'a call that is silent for less than 30 seconds may be running');
select is(pg_temp.extend('first', null, 10) ->> 'extended', 'false', 'one that says it runs');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0.5', 'holds no more for that');
select is(pg_temp.call('k', 'req_2', 39) ->> 'code', 'idempotency_conflict', 'and keeps its key');
select tests.remember('second', pg_temp.call('k', 'req_2', 41) ->> 'hold_id');
select is(pg_temp.log(), 'req_1 failed 0 call_lost', 'one that is silent for longer is ended as lost');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0.5', 'and the key is the next call''s');
select is(public.finish_ai_call(tests.recall('first')::uuid, 'success', completion_tokens => 10) ->> 'finished', 'false', 'should it end after all, that changes nothing');
select is(pg_temp.extend('second', 20, 50) ->> 'extended', 'true', 'a stream tells of itself');
select is(pg_temp.call('k', 'req_3', 90) ->> 'message', 'The request with this Idempotency-Key, req_2, has been answered, and its answer was not kept.',
  'and when it is silent, its key hears that it has ended');
select is(pg_temp.log(), 'req_1 failed 0 call_lost, req_2 canceled 0.2 call_lost', 'it is charged what it told of');
select is(pg_temp.call('other', 'req_4', 90) ->> 'admitted', 'true', 'calls under other keys are left alone');
select is((select count(*) from private.ai_calls), 1::bigint, 'and run');

-- The function asks again under the same request id, because it never got the first answer.
select is(pg_temp.call('other', 'req_4', 91) ->> 'admitted', 'true', 'the same request is admitted again');
select is(tests.wallet('owner'), 'balance 2.8, total 3, spent 0.2, expired 0, held 0.5', 'and held for once');
select is(pg_temp.log(), 'req_1 failed 0 call_lost, req_2 canceled 0.2 call_lost', 'without a trace in the log');

-- An ending whose answer was lost gives the same settlement when it comes again.
select tests.remember('fourth', (select hold_id::text from private.ai_calls where request_id = 'req_4'));
select is(
  public.finish_ai_call(tests.recall('fourth')::uuid, 'success', completion_tokens => 10) - 'finished',
  public.finish_ai_call(tests.recall('fourth')::uuid, 'success', completion_tokens => 10) - 'finished',
  'an ending that comes twice is answered the same');
-- What an earlier try held pays for the next.
select public.debit_user_credits_transaction(tests.id('owner'), (select credits_balance - 0.6 from public.credit_wallets where workspace_id = tests.id('owner')), 'test');
select is(pg_temp.call('last', 'req_5', 100) ->> 'admitted', 'true', 'a call that the wallet pays for once');
select is(pg_temp.call('last', 'req_5', 100) ->> 'admitted' || ' ' || (pg_temp.call('last', 'req_6', 131) ->> 'admitted'), 'true true',
  'is admitted again where the first try is over');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
