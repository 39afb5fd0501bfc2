begin;
select plan(9);
select tests.create_user('author'), tests.create_user('owner'), tests.create_team('team'), tests.create_team('alone');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('alone', 'author', 'owner');
insert into public.conversations (id, workspace_id, user_id, is_shared, deleted_at) values (tests.id('own'), tests.id('author'), tests.id('author'), true, null),
  (tests.id('kept'), tests.id('team'), tests.id('author'), false, null), (tests.id('shared'), tests.id('team'), tests.id('author'), true, null),
  (tests.id('alone'), tests.id('alone'), tests.id('author'), true, null), (tests.id('theirs'), tests.id('team'), tests.id('owner'), false, null);
insert into public.messages (conversation_id, content) select id, 'hello' from public.conversations where workspace_id in (tests.id('author'), tests.id('team'), tests.id('alone'));
insert into public.messages (conversation_id, parent_message_id, role, content) select conversation_id, id, 'assistant', 'hi' from public.messages where content = 'hello';

delete from auth.users where id = md5('author')::uuid;
select is((select string_agg(case c.id when tests.id('shared') then 'shared' when tests.id('theirs') then 'theirs' else '?' end, ' ' order by c.is_shared desc)
  from public.conversations c where c.workspace_id in (tests.id('author'), tests.id('team'), tests.id('alone'))), 'shared theirs',
  'their own conversations go with an account, and those in a team that were not shared');
select is((select user_id from public.conversations where id = tests.id('shared')), null, 'what was shared stays, without them');
select is((select message_count || ' ' || count(*) || ' ' || string_agg(m.content, ' ' order by m.sequence_number) from public.conversations c join public.messages m on m.conversation_id = c.id
  where c.id = tests.id('shared') group by c.id), '2 2 hello hi', 'with what was said in it');
select is((select count(*) from public.messages where workspace_id in (tests.id('author'), tests.id('team'), tests.id('alone'))), 4::bigint, 'messages of the others are gone');
select tests.sign_in('owner');
select is((select count(*) from public.messages), 4::bigint, 'the team reads it');
update public.conversations set title = 'x' where id = tests.id('shared');
delete from public.conversations where id = tests.id('shared');
select throws_ok($$ insert into public.messages (conversation_id) values (tests.id('shared')) $$, '42501', null, 'nobody writes in it');
select tests.be_postgres();
select is((select concat(title, deleted_at) from public.conversations where id = tests.id('shared')), '', 'nor changes it or deletes it');

select lives_ok($$ delete from public.workspaces where id = tests.id('team') $$, 'a team can be deleted');
select is((select count(*) from public.conversations where workspace_id = tests.id('team')) + (select count(*) from public.messages where workspace_id = tests.id('team')), 0::bigint,
  'with its conversations');

select * from finish();
rollback;
