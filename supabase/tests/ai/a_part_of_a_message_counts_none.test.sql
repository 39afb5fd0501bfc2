-- counts_message false: titles, summaries and continuations, which a function of ours makes of a message that was counted.
begin;
select plan(8);
select tests.create_user('owner');
select tests.limit_plans('messages_per_month', 1);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('chat', 'Chat', 'up', 100, 0);
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.call(counts_message boolean, key text default null) returns text
language sql as $$
  select coalesce(a ->> 'code', a ->> 'hold_id', 'earlier') from public.admit_ai_call(tests.id('owner'), 'chat', 1, counts_message => call.counts_message,
    idempotency_key => key, request_hash => 'h') a
$$;
create function pg_temp.messages() returns bigint language sql as $$ select sum(c.messages)::bigint from private.ai_request_counts c $$;

select tests.remember('title', pg_temp.call(false));
select is(pg_temp.messages(), 0::bigint, 'a part of a message counts none');
select is((select message_period from private.ai_calls), null, 'and has none to give back');
select public.finish_ai_call(tests.recall('title')::uuid, 'failed');
select is(pg_temp.messages(), 0::bigint, 'when it fails');
select tests.remember('message', pg_temp.call(null, 'a key'));
select is(pg_temp.messages(), 1::bigint, 'a message counts at its admission');
select is(pg_temp.call(true), 'limit_reached', 'up to the limit');
select matches(pg_temp.call(false), '^[0-9a-f-]{36}$', 'which does not stop a part of one');
select public.finish_ai_call(tests.recall('message')::uuid, 'success', 1, 0, 1);
select isnt(pg_temp.call(true, 'a key'), 'limit_reached', 'nor a retry');
select is(pg_temp.messages(), 1::bigint, 'and neither counts');
select * from finish();
rollback;
