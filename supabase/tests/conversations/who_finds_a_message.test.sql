begin;
select plan(30);
select tests.create_user('author'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'author', 'owner'), tests.join_team('team', 'member');
insert into public.conversations (id, workspace_id, user_id, is_shared, is_archived) values
  (tests.id('own'), tests.id('author'), tests.id('author'), false, false), (tests.id('private'), tests.id('team'), tests.id('author'), false, false),
  (tests.id('shared'), tests.id('team'), tests.id('author'), true, false), (tests.id('archived'), tests.id('author'), tests.id('author'), false, true),
  (tests.id('theirs'), tests.id('stranger'), tests.id('stranger'), false, false);
insert into public.messages (id, conversation_id, role, content)
select tests.id(name || ' ' || role), tests.id(name), role, 'a secret of ' || name
from unnest('{own,private,shared,archived,theirs}'::text[]) name, unnest('{user,assistant}'::public.message_role[]) role;
update public.messages set created_at = '2026-01-01' where id = tests.id('own user');

-- What a person finds, in the order of the alphabet.
create function pg_temp.found(person text, filters text default '', query text default 'secret') returns text language plpgsql as $$
declare
  names text;
begin
  perform tests.sign_in(person);
  execute format('select string_agg(distinct n, '' '') from public.search_messages(%L%s) h join unnest(''{own,private,shared,archived,theirs}''::text[]) n on tests.id(n) = h.conversation_id',
    query, ', ' || nullif(filters, '')) into names;
  perform tests.be_postgres();
  return names;
end;
$$;

select is(pg_temp.found('author'), 'archived own private shared', 'one''s own are found, in every workspace');
select is(pg_temp.found('member'), 'shared', 'a member finds what is shared');
select is(pg_temp.found('stranger'), 'theirs', 'a stranger what is theirs');
select tests.be_anonymous();
select throws_ok($$ select public.search_messages('secret') $$, '42501', null, 'nobody who is not signed in');
select tests.be_service();
select throws_ok($$ select public.search_messages('secret') $$, '42501', null, 'nor the service, which is nobody');
select tests.be_postgres();

-- Filters.
select is(pg_temp.found('author', $$ conversation_id => tests.id('own') $$), 'own', 'one conversation');
select is(pg_temp.found('author', $$ conversation_id => tests.id('private') $$), 'private', 'one of a team');
select is(pg_temp.found('member', $$ conversation_id => tests.id('private') $$), null, 'that one can read');
select is(pg_temp.found('author', $$ conversation_id => tests.id('theirs') $$), null, 'not a stranger''s');
select is(pg_temp.found('author', $$ workspace_id => tests.id('team') $$), 'private shared', 'one workspace');
select is(pg_temp.found('author', $$ workspace_id => tests.id('stranger') $$), null, 'of one''s own');
select is(pg_temp.found('author', $$ is_archived => true $$), 'archived', 'archived ones');
select is(pg_temp.found('author', $$ is_archived => false $$), 'own private shared', 'the others');
select is(pg_temp.found('author', $$ until => '2026-01-02' $$), 'own', 'before a time');
select is(pg_temp.found('author', $$ since => '2026-01-01', until => '2026-01-01' $$), null, 'that is not in it');
select is(pg_temp.found('author', $$ since => '2026-01-01', until => '2026-01-01 00:00:01', role => 'user' $$), 'own', 'since one that is, by role');
select is(pg_temp.found('author', $$ until => '2026-01-02', role => 'assistant' $$), null, 'not the other''s');

-- What changes.
update public.conversations set is_shared = true where id = tests.id('private');
select is(pg_temp.found('member'), 'private shared', 'what is shared is found at once');
update public.conversations set is_shared = false where id = tests.id('shared');
select is(pg_temp.found('member'), 'private', 'what is shared no longer is not');
select tests.sign_in('author');
delete from public.messages where id = tests.id('own user');
select tests.be_postgres();
select is(pg_temp.found('author', $$ role => 'user' $$), 'archived private shared', 'a deleted message is found no longer');
select tests.sign_in('author');
delete from public.conversations where id = tests.id('shared');
update public.messages set content = 'a riddle' where id = tests.id('private user');
select tests.be_postgres();
select is(pg_temp.found('author', $$ role => 'user' $$), 'archived', 'nor one of a deleted conversation, nor by what it said before');
select is(pg_temp.found('author', '', 'riddle'), 'private', 'but by what it says now');
update public.conversations set is_shared = true where id = tests.id('archived');
select is(pg_temp.found('stranger'), 'theirs', 'what is shared in a workspace is not for others');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('stranger'), 'owner');
delete from public.workspace_members where user_id <> tests.id('stranger') and workspace_id = tests.id('team');
select is(pg_temp.found('author'), 'archived own', 'what is in a team is found no longer by who left it');
select is(pg_temp.found('member'), null, 'whoever they are');

-- What is no question.
select tests.sign_in('author');
select throws_ok($$ select public.search_messages(repeat('a ', 251)) $$, 'PT400', 'invalid_request', 'a query is short');
select throws_ok($$ select public.search_messages('a', max_rows => 101) $$, 'PT400', 'invalid_request', 'a page has 100 at most');
select throws_ok($$ select public.search_messages('a', max_rows => 0) $$, 'PT400', 'invalid_request', 'and one at least');
select throws_ok($$ select public.search_messages('a', after => 'x') $$, 'PT400', 'invalid_request', 'a page begins behind a cursor');
select throws_ok($$ select public.search_messages('a', after => '1.2.3.4') $$, 'PT400', 'invalid_request', 'a whole one');
select * from finish();
rollback;
