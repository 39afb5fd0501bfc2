-- An answer's status, tokens and cost are those of its call's log row, however the call ended.
begin;
select plan(21);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, markup)
  values ('test', 'Test', 'up', 100, 2);
select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('owner'), tests.id('owner'));

create function pg_temp.ask(question text, after text default null, request_id text default null,
  at timestamptz default clock_timestamp(), follows_leaf boolean default false) returns jsonb language sql as $$
  select public.admit_message(tests.id('talk'), tests.id('owner'), 'send', tests.id('answer to ' || question),
    jsonb_build_object('id', tests.id(question), 'parent_message_id', tests.id(after), 'content_type', 'text',
      'parts', jsonb_build_array(jsonb_build_object('type', 'text', 'text', question)), 'content_tokens', 9,
      'request_hash', 'hash', 'counted', '{}'::jsonb, 'follows_leaf', follows_leaf), 'test', 0, 50, coalesce(request_id, question), at => at)
$$;
create function pg_temp.answer(question text) returns text language sql as $$
  select format('%s %s, %s tokens, %s USD, "%s"', m.role, m.status, m.total_tokens, trim_scale(m.cost), m.content)
  from public.messages m where m.id = tests.id('answer to ' || question)
$$;

select tests.remember('lost', pg_temp.ask('lost') ->> 'hold_id');
select is(pg_temp.answer('lost'), 'assistant sending, 0 tokens, 0 USD, ""', 'an admitted message has an answer to come');
select is((select format('%s %s %s', role, status, content) from public.messages where id = tests.id('lost')),
  'user sent lost', 'beside what was asked');
select is((pg_temp.ask('lost')) ->> 'admitted', 'true', 'the same admission again, for its answer was lost on its way');
select is((select count(*) from public.messages), 2::bigint, 'makes no more messages');
select is((select count(*) from private.credit_holds where state = 'open'), 1::bigint, 'and leaves one hold');
select is((pg_temp.ask('lost', request_id => 'another')) ->> 'code', 'generation_running', 'nor does another request');
select is((pg_temp.ask('next', 'answer to lost')) ->> 'code', 'generation_running', 'nothing is sent below it');

select public.extend_ai_call((select hold_id from public.messages where id = tests.id('answer to lost')), 7, 20);
select private.run_due_work(clock_timestamp() + interval '171 seconds');
select is(pg_temp.answer('lost'), 'assistant stopped, 27 tokens, 0.004 USD, ""',
  'a lost function leaves an answer that was stopped, charged by what it had told of, at its worth to who asked');
select is((select format('%s %s', trim_scale(l.estimated_cost), l.message_id = tests.id('answer to lost')) from private.ai_usage_logs l),
  '0.004 t', 'as its log row has it');
select is((select format('%s messages, %s tokens, %s USD', message_count, total_tokens, trim_scale(total_cost))
  from public.conversations), '2 messages, 27 tokens, 0.004 USD', 'and its conversation');

select tests.remember('silent', pg_temp.ask('silent', 'answer to lost', at => now() + interval '171 seconds') ->> 'hold_id');
select is((pg_temp.ask('next', 'answer to silent', at => now() + interval '190 seconds')) ->> 'code', 'generation_running',
  'a call of which nobody heard for less than half a minute keeps its branch');
select is((pg_temp.ask('next', 'answer to silent', at => now() + interval '210 seconds')) ->> 'admitted', 'true',
  'and after that no longer');
select is(pg_temp.answer('silent'), 'assistant failed, 0 tokens, 0 USD, ""', 'it is ended as lost');

select tests.remember('next', (select hold_id from public.messages where id = tests.id('answer to next'))::text);
-- Counts how often a message's entries in the search index are made.
create temporary sequence entries_made;
create or replace function private.search_scope(wanted_workspace uuid) returns text language plpgsql immutable as $$
begin
  return 'scope' || nextval('entries_made');
end;
$$;
select is((public.finish_message(tests.recall('next')::uuid, '{"parts": [{"type": "text", "text": "Yes"}], "content_tokens": 9,
  "finish_reason": "stop"}', 'success', 3, 0, 5, gives_messages => true)) #>> '{answer,content}', 'Yes', 'the end writes the answer');
select is(pg_temp.answer('next'), 'assistant sent, 8 tokens, 0.001 USD, "Yes"', 'with what it cost');
select is(currval('entries_made'), 1::bigint, 'and its entries in the search index are made once');
select public.finish_message(tests.recall('next')::uuid, '{"parts": [{"type": "text", "text": "No"}]}', 'failed');
select is(pg_temp.answer('next'), 'assistant sent, 8 tokens, 0.001 USD, "Yes"', 'a second ending changes nothing');

select is((pg_temp.ask('late', 'answer to lost', follows_leaf => true)) ->> 'is_stale', 'true',
  'what was to follow the current leaf is read again where that is another one by now');
select pg_temp.ask('deleted', 'answer to next', at => now() + interval '220 seconds');
select tests.sign_in('owner');
delete from public.messages where id = tests.id('answer to deleted');
select tests.be_postgres();
select public.finish_message((select hold_id from public.messages where id = tests.id('answer to deleted')),
  '{"parts": [{"type": "text", "text": "Yes"}], "content_tokens": 9, "finish_reason": "stop"}', 'success', 3, 0, 5);
select is(pg_temp.answer('deleted'), 'assistant deleted, 8 tokens, 0.001 USD, ""', 'who deletes an answer that is being made has none');

delete from public.messages where id = tests.id('answer to next');
select is((select string_agg((l.message_id is not null)::text, ',' order by l.created_at, l.id) from private.ai_usage_logs l
  where l.status = 'success'), 'false,true', 'the log forgets a message that is gone');
delete from public.conversations;
select is((select count(*) from private.ai_usage_logs l where l.conversation_id is null and l.message_id is null), 4::bigint,
  'and its conversation, and keeps the figures');

select * from finish();
rollback;
