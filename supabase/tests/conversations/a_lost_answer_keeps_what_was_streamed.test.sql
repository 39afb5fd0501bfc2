begin;
select plan(3);
select tests.create_user('ana');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('ana'), tests.id('ana'));
insert into public.messages (id, workspace_id, conversation_id, role, status)
values (tests.id('answer'), tests.id('ana'), tests.id('talk'), 'assistant', 'sending'),
  (tests.id('silent'), tests.id('ana'), tests.id('talk'), 'assistant', 'sending');
select public.write_message_events(tests.id('answer'), 1, 4, e'id: 1\ndata: {"choices": [{"delta": {"reasoning_content": "Hm."}}]}\n\n'
  || e'id: 2\ndata: {"choices": [{"delta": {"content": "Hel"}}]}\n\nid: 3\ndata: no JSON {\n\nid: 4\ndata: {"choices": [{"delta": {"content": "\\u0000"}}]}\n\n');
select public.write_message_events(tests.id('answer'), 5, 7, e'id: 5\nevent: message\ndata: {"choices": [{"delta": {"content": "lo, "}}]}\n\n'
  || e'id: 6\ndata: {"choices": [], "usage": {}}\n\nid: 7\ndata: {"choices": [{"delta": {"content": "用户"}}]}\n\n');
update public.messages set status = 'stopped';
select is((select parts from public.messages where id = tests.id('answer')),
  '[{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Hello, 用户"}]', 'an answer that ended without its parts has what was streamed');
select is((select content from public.messages where id = tests.id('answer')), 'Hello, 用户', 'and its text');
select is((select parts from public.messages where id = tests.id('silent')), '[]', 'or nothing where nothing was');
select * from finish();
rollback;
