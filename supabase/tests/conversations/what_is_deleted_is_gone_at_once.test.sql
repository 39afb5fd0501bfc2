begin;
select plan(33);
select tests.create_user('author'), tests.create_user('member'), tests.create_team('team');
select tests.join_team('team', 'member', 'owner'), tests.join_team('team', 'author');
insert into public.conversations (id, workspace_id, user_id, is_shared) values (tests.id('c'), tests.id('team'), tests.id('author'), true),
  (tests.id('away'), tests.id('team'), tests.id('author'), true);
-- A tree: 1 – 2 – 3 – 4, and 3b beside 3.
create function pg_temp.say(name text, parent text default null, conversation text default 'c', speaker public.message_role default 'user') returns void language sql as $$
  insert into public.messages (id, conversation_id, parent_message_id, role, content, prompt_tokens, completion_tokens, cost)
  values (tests.id(name), tests.id(conversation), tests.id(parent), speaker, name, 1, 2, 0.5)
$$;
select pg_temp.say('1'), pg_temp.say('2', '1', speaker => 'assistant'), pg_temp.say('3', '2'), pg_temp.say('3b', '2'), pg_temp.say('4', '3', speaker => 'assistant');
select pg_temp.say('x', conversation => 'away');
create function pg_temp.branch(person text, leaf text default null) returns text language plpgsql as $$
declare
  branch text;
begin
  perform tests.sign_in(person);
  select string_agg(b.content, ' ') into branch from public.conversation_branch(tests.id('c'), tests.id(leaf)) b;
  perform tests.be_postgres();
  return branch;
end;
$$;
create function pg_temp.delete(person text, of_table text, name text) returns text language plpgsql as $$
declare
  changed text;
begin
  perform tests.sign_in(person);
  execute format('with gone as (delete from public.%I where id = tests.id(%L) returning id) select count(*) from gone', of_table, name) into changed;
  perform tests.be_postgres();
  return changed;
end;
$$;
create function pg_temp.figures() returns text language sql as $$
  select format('%s messages, %s tokens, %s usd, leaf %s', c.message_count, c.total_tokens, trim_scale(c.total_cost),
    (select coalesce(m.status || ' ', '') || m.content from public.messages m where m.id = c.current_leaf_id))
  from public.conversations c where c.id = tests.id('c')
$$;
create function pg_temp.last() returns text language sql as $$
  select concat_ws(' ', s.last_message_role, s.last_message_content) from public.conversation_summary s where s.id = tests.id('c')
$$;

select is(pg_temp.figures(), '5 messages, 15 tokens, 2.5 usd, leaf sent 4', 'what is written counts, and is the leaf');
select is(pg_temp.branch('author'), '1 2 3 4', 'a branch is the path to the leaf');
select is(pg_temp.branch('member', '3b'), '1 2 3b', 'or to any message, for who may read it');
select is(pg_temp.branch('member', 'x'), null, 'not to one of another conversation');
select is(pg_temp.last(), 'assistant 4', 'the list shows the leaf');

-- Messages.
select is(pg_temp.delete('member', 'messages', '2'), '0', 'who only reads deletes nothing');
select is(pg_temp.delete('author', 'messages', '2'), '0', 'a delete returns no row');
select is((select status || ' ' || (deleted_at is not null) from public.messages where id = tests.id('2')), 'deleted true', 'and hides');
select tests.sign_in('author');
select is((select string_agg(content, ' ' order by sequence_number) from public.messages where conversation_id = tests.id('c')), '1 3 3b 4', 'it is read no more');
select tests.be_postgres();
select is(pg_temp.branch('author'), '1 3 4', 'a branch goes on past it');
select is(pg_temp.figures(), '4 messages, 12 tokens, 2 usd, leaf sent 4', 'it counts no more');
select tests.remember('when', (select deleted_at from public.messages where id = tests.id('2')));
select tests.sign_in('author');
delete from public.messages;
update public.messages set content = 'x';
select tests.be_postgres();
select is((select deleted_at::text from public.messages where id = tests.id('2')), tests.recall('when'), 'what is hidden is not hidden later once more');
select is((select content from public.messages where id = tests.id('2')), '2', 'or changed');
select is(pg_temp.figures(), '0 messages, 0 tokens, 0 usd, leaf ', 'all of them can go');
select is(pg_temp.branch('author', '4'), null, 'and then there is no branch');
select is(pg_temp.last(), '', 'and no last message');

-- The current leaf.
update public.messages set status = 'sent', deleted_at = null where conversation_id = tests.id('c');
update public.conversations set current_leaf_id = tests.id('4') where id = tests.id('c');
select pg_temp.delete('author', 'messages', '3');
select is(pg_temp.figures(), '4 messages, 12 tokens, 2 usd, leaf sent 4', 'a leaf stays when one before it goes');
select pg_temp.delete('author', 'messages', '4');
select is(pg_temp.figures(), '3 messages, 9 tokens, 1.5 usd, leaf sent 2', 'when it goes the nearest before it that is there is the leaf');
select pg_temp.delete('author', 'messages', '1'), pg_temp.delete('author', 'messages', '2');
select is(pg_temp.figures(), '1 messages, 3 tokens, 0.5 usd, leaf sent 3b', 'where there is none, the newest of another branch');
select is(pg_temp.last(), 'user 3b', 'which the list shows');
select tests.sign_in('author');
select throws_ok($$ update public.conversations set current_leaf_id = tests.id('4') where id = tests.id('c') $$, 'PT404', 'not_found', 'a deleted message is no leaf');
select lives_ok($$ insert into public.messages (id, conversation_id, parent_message_id, content) values (tests.id('5'), tests.id('c'), tests.id('4'), '5') $$, 'one can follow it');
select tests.be_postgres();
select is(pg_temp.branch('author'), '5', 'on a branch without it');

-- A conversation.
select is(pg_temp.delete('member', 'conversations', 'c'), '0', 'nobody deletes another''s');
select is((select deleted_at from public.conversations where id = tests.id('c')), null, 'it is there');
select is(pg_temp.delete('author', 'conversations', 'c'), '0', 'its person does, and no row is returned');
select isnt((select deleted_at from public.conversations where id = tests.id('c')), null, 'it is hidden');
select tests.sign_in(person) , is(concat_ws(' ', (select count(*) from public.conversations), (select count(*) from public.messages), (select count(*) from public.conversation_summary)), '1 1 1',
  format('for its %s, with its messages', person)) from unnest('{author,member}'::text[]) person;
select throws_ok($$ insert into public.messages (conversation_id) values (tests.id('c')) $$, '42501', null, 'nothing is written in it any more');
select tests.be_postgres();
select is(pg_temp.branch('author', '5'), null, 'no branch of it is read');
select tests.be_service();
select is((select count(*) from public.conversation_branch(tests.id('c'), tests.id('5'))), 0::bigint, 'not by the service role either');
select is((select count(*) from public.conversation_summary where id = tests.id('c')), 0::bigint, 'for which no list shows it');
select tests.be_postgres();
select tests.remember('when', (select deleted_at from public.conversations where id = tests.id('c')));
select tests.sign_in('author');
update public.conversations set title = 'x';
delete from public.conversations;
select tests.be_postgres();
select is((select deleted_at || title from public.conversations where id = tests.id('c')), tests.recall('when'), 'what is hidden is neither hidden later nor changed');
select isnt((select deleted_at from public.conversations where id = tests.id('away')), null, 'while the others go');

select * from finish();
rollback;
