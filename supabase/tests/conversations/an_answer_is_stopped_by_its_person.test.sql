begin;
select plan(22);
select tests.create_user('ana');
select tests.create_user('bob');
select tests.create_user('eve');
select tests.create_team('team');
select tests.join_team('team', 'ana');
select tests.join_team('team', 'bob');
insert into public.conversations (id, workspace_id, user_id, is_shared) values
  (tests.id('talk'), tests.id('team'), tests.id('ana'), false), (tests.id('other'), tests.id('team'), tests.id('ana'), true);
insert into public.messages (id, workspace_id, conversation_id, role, status) values
  (tests.id('answer'), tests.id('team'), tests.id('talk'), 'assistant', 'sending'),
  (tests.id('question'), tests.id('team'), tests.id('talk'), 'user', 'sent');

create function pg_temp.read(person text, conversation text default 'talk', message text default 'answer') returns text language sql as $$
  select format($f$ select public.read_message_events('%s', '%s', '%s') $f$, tests.id(person), tests.id(conversation), tests.id(message)) $$;
create function pg_temp.stop(person text, conversation text default 'talk', message text default 'answer') returns text language sql as $$
  select format($f$ select public.stop_message('%s', '%s', '%s') $f$, tests.id(person), tests.id(conversation), tests.id(message)) $$;

select lives_ok(pg_temp.read('ana'), 'its person follows an answer');
select throws_ok(pg_temp.read('bob'), 'PT404', 'not_found', 'their team does not, while it is not shared');
select throws_ok(pg_temp.read('eve'), 'PT404', 'not_found', 'nor does a stranger');
select throws_ok(pg_temp.stop('bob'), 'PT404', 'not_found', 'who can''t read an answer can''t stop it');
update public.conversations set is_shared = true where id = tests.id('talk');
select lives_ok(pg_temp.read('bob'), 'where it is shared the team follows');
select throws_ok(pg_temp.read('eve'), 'PT404', 'not_found', 'and a stranger does not');
select throws_ok(pg_temp.stop('bob'), 'PT403', 'forbidden', 'who reads it can''t stop it');
select throws_ok(pg_temp.stop('eve'), 'PT404', 'not_found', 'and for a stranger it is not there');
select throws_ok(pg_temp.read('ana', 'other'), 'PT404', 'not_found', 'it is in its own conversation alone');
select throws_ok(pg_temp.stop('ana', 'other'), 'PT404', 'not_found', 'also to be stopped');
select throws_ok(pg_temp.read('ana', message => 'question'), 'PT404', 'not_found', 'a question has no stream');
select throws_ok(pg_temp.stop('ana', message => 'question'), 'PT404', 'not_found', 'and can''t be stopped');
select throws_ok(format($$ select public.read_message_events(%L, %L, %L, workspace_id => %L) $$, tests.id('ana'), tests.id('talk'),
  tests.id('answer'), tests.id('ana')), 'PT404', 'not_found', 'who asks for another workspace does not find it');

select is(public.write_message_events(tests.id('answer')), 'false', 'nobody has stopped it');
select is(public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer')) - 'stop_requested_at',
  jsonb_build_object('id', tests.id('answer'), 'status', 'sending'), 'its person stops it');
select is(public.write_message_events(tests.id('answer')), 'true', 'its stream hears of that by its next write');
select tests.remember('first', (select stop_requested_at from public.messages where id = tests.id('answer')));
select is((public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer')) ->> 'stop_requested_at')::timestamptz,
  tests.recall('first')::timestamptz, 'a second time changes nothing');
select is(public.write_message_events(tests.id('answer'), 1, 1, e'id: 1\ndata: {"choices": [{"delta": {"content": "Hel"}}]}\n\n'), 'true',
  'what came until then is kept all the same');
update public.messages set status = 'stopped', content = 'Hel' where id = tests.id('answer');
select is(public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer')) ->> 'status', 'stopped',
  'of one that has ended it says how');

update public.messages set status = 'deleted', deleted_at = now() where id = tests.id('answer');
select throws_ok(pg_temp.read('ana'), 'PT404', 'not_found', 'a deleted answer is followed by nobody');
select throws_ok(pg_temp.stop('ana'), 'PT404', 'not_found', 'or stopped');
update public.conversations set deleted_at = now();
select throws_ok(pg_temp.stop('ana', message => 'question'), 'PT404', 'not_found', 'nor is anything in a deleted conversation');
select * from finish();
rollback;
