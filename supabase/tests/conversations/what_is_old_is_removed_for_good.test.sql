begin;
select plan(25);
select tests.create_user('author'), tests.create_user('other'), tests.create_team('team');
select tests.join_team('team', 'author', 'owner'), tests.join_team('team', 'other');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('c'), tests.id('team'), tests.id('author')), (tests.id('d'), tests.id('team'), tests.id('author')),
  (tests.id('e'), tests.id('other'), tests.id('other'));
-- A message, so many days before 2030 began.
create function pg_temp.say(name text, days_ago integer, parent text default null, conversation text default 'c') returns void language sql as $$
  insert into public.messages (id, conversation_id, parent_message_id, content, prompt_tokens, created_at)
  values (tests.id(name), tests.id(conversation), tests.id(parent), name, 1, '2030-01-01'::timestamptz - make_interval(days => days_ago))
$$;
create function pg_temp.hide(name text, days_ago integer) returns void language sql as $$
  update public.messages set status = 'deleted', deleted_at = '2030-01-01'::timestamptz - make_interval(days => days_ago) where id = tests.id(name)
$$;
-- The pieces that were done, and what then is there: its messages with their parents, and the counters.
create function pg_temp.sweep(conversation text default 'c') returns text language plpgsql as $$
declare
  pieces integer := 0;
begin
  while private.remove_next_old_content('2030-01-01') loop
    pieces := pieces + 1;
    exit when pieces = 50;
  end loop;
  return concat_ws(': ', pieces, (select string_agg(m.content || coalesce(' after ' || p.content, ''), ', ' order by m.content)
      || format(' (%s, %s)', c.message_count, c.total_tokens) || coalesce(' leaf ' || l.content, '')
    from public.conversations c left join public.messages m on m.conversation_id = c.id left join public.messages p on p.id = m.parent_message_id
    left join public.messages l on l.id = c.current_leaf_id
    where c.id = tests.id(conversation) group by c.id, l.content));
end;
$$;

-- What was deleted.
select pg_temp.say('1', 20), pg_temp.say('2', 19, '1'), pg_temp.say('3', 18, '2'), pg_temp.say('4', 17, '3'), pg_temp.say('3b', 16, '2'), pg_temp.say('x', 5, null, 'd'), pg_temp.say('y', 5, null, 'e');
select is(pg_temp.sweep(), '0: 1, 2 after 1, 3 after 2, 3b after 2, 4 after 3 (5, 5) leaf 3b', 'nothing goes that is not due');
select pg_temp.hide('2', 29), pg_temp.hide('3', 29);
select is(pg_temp.sweep(), '0: 1, 2 after 1, 3 after 2, 3b after 2, 4 after 3 (3, 3) leaf 3b', 'what was deleted is there for 30 days');
select pg_temp.hide('3', 31);
select is(pg_temp.sweep(), '1: 1, 2 after 1, 3b after 2, 4 after 2 (3, 3) leaf 3b', 'and then goes; what followed it follows what it followed');
select pg_temp.hide('2', 31), pg_temp.hide('1', 31);
select is(pg_temp.sweep(), '1: 3b, 4 (2, 2) leaf 3b', 'several in a row too, up to the first');
update public.system_config set config_value = '3' where config_key = 'deleted_content_days';
select pg_temp.hide('3b', 4);
select is(pg_temp.sweep(), '1: 4 (1, 1) leaf 4', 'how long is a setting');
update public.conversations set deleted_at = '2030-01-01'::timestamptz - interval '2 days' where id = tests.id('c');
select is(pg_temp.sweep(), '0: 4 (1, 1) leaf 4', 'a deleted conversation is there as long');
update public.conversations set deleted_at = '2030-01-01'::timestamptz - interval '4 days' where id = tests.id('c');
select is(pg_temp.sweep(), '1', 'and then goes');
select is((select count(*) from public.messages where workspace_id in (tests.id('team'), tests.id('other'))), 2::bigint, 'with its messages, and no other');

-- A large one goes in pieces.
insert into public.conversations (id, workspace_id, user_id) values (tests.id('c'), tests.id('team'), tests.id('author'));
insert into public.messages (conversation_id, content) select tests.id('c'), n::text from generate_series(1, 1001) n;
select is((select message_count from public.conversations where id = tests.id('c')), 1001, 'messages of one statement count');
update public.conversations set deleted_at = '2029-01-01' where id = tests.id('c');
select is(private.remove_next_old_content('2030-01-01'), true, 'a piece is done');
select is((select count(*) from public.messages where conversation_id = tests.id('c')), 501::bigint, 'of 500 messages');
select is(pg_temp.sweep(), '2', 'the rest in two more');
select is((select count(*) from public.conversations where workspace_id = tests.id('team')), 1::bigint, 'then it is gone');

-- By age.
select tests.sign_in('other');
update public.workspaces set message_retention_days = 1 where id = tests.id('team');
select tests.be_postgres();
select is((select message_retention_days from public.workspaces where id = tests.id('team')), null, 'members do not decide how long messages are kept');
select tests.sign_in('author');
update public.workspaces set message_retention_days = 10 where id = tests.id('team');
select throws_ok($$ update public.workspaces set message_retention_days = 0 $$, '23514', null, 'a day at least');
select tests.be_postgres();
select is((select a.new_values ->> 'message_retention_days' from public.audit_logs a where a.workspace_id = tests.id('team') and a.resource_type = 'workspaces' and a.action = 'update'), '10',
  'owners do, and it is audited');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('c'), tests.id('team'), tests.id('author')), (tests.id('f'), tests.id('other'), tests.id('other')),
  (tests.id('empty'), tests.id('team'), tests.id('author'));
select pg_temp.say('1', 12), pg_temp.say('2', 11, '1'), pg_temp.say('3', 9, '2'), pg_temp.say('3b', 8, '2'), pg_temp.say('z', 100, null, 'f');
select is(pg_temp.sweep(), '1: 3, 3b (2, 2) leaf 3b', 'messages that are older go, and counters follow');
select is(pg_temp.sweep('d'), '0: x (1, 1) leaf x', 'younger ones stay');
select is(pg_temp.sweep('f'), '0: z (1, 1) leaf z', 'also those of a workspace that keeps them');
update public.workspaces set message_retention_days = 4 where id = tests.id('team');
select is(pg_temp.sweep('d'), '2', 'a conversation that has lost all of them goes too');
select is((select count(*) from public.conversations where id in (tests.id('c'), tests.id('d'))), 0::bigint, 'each of them');
select is((select count(*) from public.conversations where id = tests.id('empty')), 1::bigint, 'not one that has none yet');
-- The current leaf is one that goes.
select pg_temp.say('old', 9, null, 'empty'), pg_temp.say('new', 1, null, 'empty');
update public.conversations set current_leaf_id = tests.id('old') where id = tests.id('empty');
select is(pg_temp.sweep('empty'), '1: new (1, 1) leaf new', 'a leaf that goes is followed by the newest message');
select is((select count(*) from private.due_work where piece = 'remove_next_old_content'), 1::bigint, 'a scheduled job does it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
