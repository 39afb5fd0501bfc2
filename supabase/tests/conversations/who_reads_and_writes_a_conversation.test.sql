begin;
select plan(61);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
-- How many rows a person reads of a table, or changes by a statement.
create function pg_temp.seen(person text, of_table text default 'conversations') returns bigint language plpgsql as $$
declare
  seen bigint;
begin
  perform tests.sign_in(person);
  execute format('select count(*) from public.%I', of_table) into seen;
  perform tests.be_postgres();
  return seen;
end;
$$;
create function pg_temp.changed(person text, statement text) returns bigint language plpgsql as $$
declare
  changed bigint;
begin
  perform tests.sign_in(person);
  execute statement;
  get diagnostics changed = row_count;
  perform tests.be_postgres();
  return changed;
end;
$$;

-- Beginning one.
select tests.sign_in('author');
select lives_ok($$ insert into public.conversations (id, workspace_id, title) values (tests.id('shared'), tests.id('team'), 'ours') $$, 'a member begins one in the team');
select lives_ok($$ insert into public.conversations (id) values (tests.id('own')) $$, 'or in their own workspace');
select is((select workspace_id || ' ' || user_id from public.conversations where id = tests.id('own')), tests.id('author') || ' ' || tests.id('author'),
  'which is where one is unless the team is named');
select throws_ok($$ insert into public.conversations (workspace_id) values (tests.id('stranger')) $$, '42501', null, 'not in another''s');
select throws_ok($$ insert into public.conversations (user_id) values (tests.id('member')) $$, '42501', null, 'nor in another''s name');
select throws_ok(format('insert into public.conversations (%s) values (default)', name), '42501', null, 'nor with its own ' || name)
from unnest('{message_count,total_tokens,total_cost,summary,current_leaf_id,last_message_at,created_at,deleted_at}'::text[]) name;
select throws_ok($$ insert into public.conversations (tags) values (array['a', null]) $$, '23514', null, 'tags are texts');
select throws_ok($$ insert into public.conversations (tags) values (array_fill('a'::text, array[51])) $$, '23514', null, 'and at most 50');
select throws_ok($$ insert into public.conversations (title) values (repeat('a', 201)) $$, '23514', null, 'a title is short');
select lives_ok($$ insert into public.messages (id, conversation_id, content) values (tests.id('hello'), tests.id('shared'), 'hello'), (tests.id('mine'), tests.id('own'), 'mine') $$,
  'its person writes in it');
select tests.be_postgres();

-- Not shared: its person's alone.
select is(pg_temp.seen('author'), 2::bigint, 'a person reads their conversations');
select is(pg_temp.seen(person, of_table), 0::bigint, format('a %s reads no %s that are not shared', person, of_table))
from unnest('{owner,member,stranger}'::text[]) person, unnest('{conversations,messages,conversation_summary}'::text[]) of_table;
select tests.be_anonymous();
select throws_ok('select * from public.' || of_table, '42501', null, 'who is not signed in reads no ' || of_table)
from unnest('{conversations,messages,conversation_summary}'::text[]) of_table;
select tests.be_postgres();

-- Changing it.
select is(pg_temp.changed('author', $$ update public.conversations set title = 'renamed', is_pinned = true, is_archived = true, tags = '{a,b}', model = 'm',
  system_prompt = 'be kind', metadata = '{"a": 1}', is_shared = true where id = tests.id('shared') $$), 1::bigint, 'its person renames, pins, tags, archives and shares it');
select is(pg_temp.seen(person) || ' ' || pg_temp.seen(person, 'messages') || ' ' || pg_temp.seen(person, 'conversation_summary'), readable,
  format('then a %s reads %s', person, readable))
from (values ('owner', '1 1 1'), ('member', '1 1 1'), ('stranger', '0 0 0')) x (person, readable);
select is(pg_temp.changed(person, statement), 0::bigint, format('a %s changes nothing: %s', person, statement))
from unnest('{owner,stranger}'::text[]) person, unnest(array[
  'update public.conversations set title = ''theirs''', 'delete from public.conversations', 'update public.messages set content = ''theirs''', 'delete from public.messages'
]) statement;
select is(pg_temp.changed('author', $$ update public.conversations set is_shared = false where id = tests.id('shared') $$), 1::bigint, 'its person shares it no more');
select is(pg_temp.seen('member'), 0::bigint, 'and it is theirs alone again');

-- A disabled account, a member who leaves, the service role.
update public.conversations set is_shared = true where id = tests.id('shared');
update public.users set is_active = false where id = tests.id('author');
select tests.sign_in('author');
select throws_ok('insert into public.conversations default values', '42501', null, 'a disabled account begins none');
select throws_ok($$ insert into public.messages (conversation_id) values (tests.id('own')) $$, '42501', null, 'writes nothing');
select tests.be_postgres();
select is(pg_temp.changed('author', statement), 0::bigint, 'and changes nothing: ' || statement) from unnest(array[
  'update public.conversations set title = ''x''', 'delete from public.conversations', 'update public.messages set content = ''x''', 'delete from public.messages'
]) statement;
update public.users set is_active = true where id = tests.id('author');
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('author');
select is(pg_temp.seen('author'), 1::bigint, 'who leaves a team leaves their conversations there');
select is(pg_temp.changed('author', 'update public.conversations set title = ''x''') || ' ' || pg_temp.changed('author', 'delete from public.messages'), '1 0',
  'and changes none of them');
select tests.sign_in('author');
select throws_ok($$ insert into public.messages (conversation_id) values (tests.id('shared')) $$, '42501', null, 'or writes in one');
select tests.be_postgres();
select tests.join_team('team', 'author');
select is(pg_temp.seen('author'), 2::bigint, 'until they are back');
select tests.be_service();
select is((select count(*) from public.conversations where workspace_id in (tests.id('team'), tests.id('author'))), 2::bigint, 'the service role reads all');
select throws_ok(statement, '42501', null, 'and writes none: ' || statement) from unnest(array['insert into public.conversations default values',
  'update public.conversations set title = ''x''', 'delete from public.conversations', 'insert into public.messages (conversation_id) values (null)',
  'update public.messages set content = ''x''', 'delete from public.messages']) statement;

select * from finish();
rollback;
