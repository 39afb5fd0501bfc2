begin;
select plan(6);
select tests.create_user('ana');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('ana'), tests.id('ana'));
insert into public.messages (id, workspace_id, conversation_id, role, status, hold_id, parts, content_tokens)
select tests.id(name), tests.id('ana'), tests.id('talk'), 'assistant', 'sending', tests.id(name), parts, 5
from (values ('answer', '[]'::jsonb), ('silent', '[]'), ('other', '[]'), ('continued', '[{"type": "text", "text": "On"}]')) m (name, parts);
select public.write_message_events(tests.id('answer'), 1, 4, e'id: 1\ndata: {"choices": [{"delta": {"reasoning_content": "Hm."}}]}\n\n'
  || e'id: 2\ndata: {"choices": [{"delta": {"content": "Hel"}}]}\n\nid: 3\ndata: {no JSON\n\nid: 4\ndata: {"choices": [{"delta": {"content": "\\u0000"}}]}\n\n');
select public.write_message_events(tests.id('answer'), 5, 7, e'id: 5\nevent: message\ndata: {"choices": [{"delta": {"content": "lo, "}}]}\n\n'
  || e'id: 6\ndata: {"choices": [], "usage": {}}\n\nid: 7\ndata: {"choices": [{"delta": {"content": "用户"}}]}\n\n');
select public.write_message_events(tests.id(name), 1, 1, e'id: 1\ndata: {"choices": [{"delta": {"content": "ward"}}]}\n\n')
from unnest(array['other', 'continued']) name;

create function pg_temp.log(name text, error text) returns void language sql as $$
  insert into private.ai_usage_logs (workspace_id, user_id, hold_id, scene, status, model, conversation_id, message_id, error_code)
  values (tests.id('ana'), tests.id('ana'), tests.id(name), 'text_chat', 'canceled', 'm', tests.id('talk'), tests.id(name), error) $$;
create function pg_temp.parts(name text) returns jsonb language sql as $$ select parts from public.messages where id = tests.id(name) $$;
select pg_temp.log(name, 'call_lost') from unnest(array['answer', 'silent', 'continued']) name;
select pg_temp.log('other', 'cut_off');
select is(pg_temp.parts('answer'), '[{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Hello, 用户"}]',
  'an answer whose function was lost has what was streamed');
select results_eq($$ select content, status::text, content_tokens from public.messages where id = tests.id('answer') $$,
  $$ values ('Hello, 用户', 'stopped', null::integer) $$, 'with its text, which is to be counted');
select is(pg_temp.parts('silent'), '[]', 'or nothing where nothing was');
select is(pg_temp.parts('continued'), '[{"type": "text", "text": "Onward"}]', 'one that was continued has it behind what it had');
select is(pg_temp.parts('other'), '[]', 'one that ended otherwise has what its function gave');
select is(public.read_message_events(tests.id('ana'), tests.id('talk'), tests.id('answer')) #>> '{ending,status}', 'stopped',
  'and who follows it hears that it has ended');
select * from finish();
rollback;
