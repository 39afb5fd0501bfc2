begin;
select plan(3);
select tests.create_user('ana');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('ana'), tests.id('ana'));
insert into public.messages (id, workspace_id, conversation_id, role, status)
values (tests.id('answer'), tests.id('ana'), tests.id('talk'), 'assistant', 'sending');
select public.write_message_events(tests.id('answer'), 1, 1, e'id: 1\ndata: {}\n\n');
select public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer'));
update public.messages set status = 'stopped' where id = tests.id('answer');
select is((select count(*) from private.message_events), 1::bigint, 'the events stay when an answer has ended');
update public.messages set status = 'sending' where id = tests.id('answer');
select is((select count(*) from private.message_events), 0::bigint, 'when it is continued or made again, those of the earlier try go');
select is(public.write_message_events(tests.id('answer')), 'false', 'and that one was stopped says nothing of this one');
select * from finish();
rollback;
