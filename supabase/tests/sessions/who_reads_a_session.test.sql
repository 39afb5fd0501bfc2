-- Figures and logs: its person, the team's owners and admins, and the team where it is shared. The transcript: its person, and
-- the team where it is shared.
begin;
select plan(50);
select tests.create_user('author'), tests.create_user('owner'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger'),
  tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'author'), tests.join_team('team', 'member');
select tests.write_session('kept', 'author', 'team', transcript => 'secret words'), tests.write_session('shared', 'author', 'team', true, transcript => 'words'),
  tests.write_session('own', 'author', transcript => 'at home');
-- How many rows a person reads by a query.
create function pg_temp.seen(person text, query text) returns bigint language plpgsql as $$
declare
  seen bigint;
begin
  perform tests.sign_in(person);
  execute format('select count(*) from (%s) q', query) into seen;
  perform tests.be_postgres();
  return seen;
end;
$$;
-- The code that a call raises, or its answer.
create function pg_temp.answer(person text, call text) returns text language plpgsql as $$
declare
  answer text;
begin
  perform tests.sign_in(person);
  execute 'select ' || call into answer;
  perform tests.be_postgres();
  return answer;
exception when others then
  perform tests.be_postgres();
  return sqlerrm;
end;
$$;

-- Rows, by table: its person's 3, for owner and admin the team's 2, for a member the shared one, for a stranger none.
select is((select string_agg(pg_temp.seen(p, 'select * from public.' || t)::text, ' ' order by p) from unnest('{admin,author,member,owner,stranger}'::text[]) p), seen,
  format('admin, author, member, owner, stranger read %s of %s', seen, t))
from (values ('sessions', '2 3 1 2 0'), ('session_usage', '2 3 1 2 0'), ('session_analysis_logs', '8 12 4 8 0'), ('session_transcripts', '1 3 1 1 0')) x (t, seen);
-- By id, which everybody may know.
select is(pg_temp.seen(person, format('select * from public.session_transcripts where session_id = %L', tests.id('kept'))), 0::bigint,
  format('%s reads no transcript that is not shared, by its id', person)) from unnest('{owner,admin,member,stranger}'::text[]) person;
-- Through a join, as an embedding of PostgREST is.
select is(pg_temp.seen(person, format('select t.transcript from public.sessions s left join public.session_transcripts t on t.session_id = s.id where s.id = %L and t.transcript is not null', tests.id('kept'))),
  0::bigint, format('nor does %s through the session', person)) from unnest('{owner,admin,member,stranger}'::text[]) person;
select is(pg_temp.seen('member', format('select l.* from public.session_usage u join public.session_analysis_logs l using (session_id) where session_id = %L', tests.id('kept'))), 0::bigint,
  'nor a member its logs through its usage');
select is(pg_temp.seen('admin', format('select * from public.session_analysis_logs where session_id = %L', tests.id('kept'))), 4::bigint, 'which admins read');
select tests.be_anonymous();
select throws_ok('select * from public.' || t, '42501', null, 'who is not signed in reads no ' || t)
from unnest('{sessions,session_usage,session_analysis_logs,session_transcripts}'::text[]) t;
select throws_ok('select public.' || call, '42501', null, 'nor asks for ' || call) from unnest(array['session_safety_distribution(tests.id(''shared''))',
  'session_timeline(tests.id(''shared''))', 'session_usage_stats()', 'session_safety_by_member(tests.id(''team''))', 'session_analysis_history(tests.id(''team''))',
  'read_sessions(tests.id(''author''), ''session'', tests.id(''kept''))']) call;
select tests.be_postgres();

-- Functions of one session.
select is(pg_temp.answer(person, format('(public.session_safety_distribution(%L)).total_count', tests.id('kept'))), said, format('the levels of one that is not shared: %s hears %s', person, said))
from (values ('author', '4'), ('owner', '4'), ('admin', '4'), ('member', 'not_found'), ('stranger', 'not_found')) x (person, said);
select is(pg_temp.answer(person, format('cardinality((public.session_timeline(%L)).levels)', tests.id('kept'))), said, format('its timeline: %s hears %s', person, said))
from (values ('author', '4'), ('owner', '4'), ('admin', '4'), ('member', 'not_found'), ('stranger', 'not_found')) x (person, said);
select is(pg_temp.answer(person, format('concat((public.session_safety_distribution(%L)).total_count, cardinality((public.session_timeline(%1$L)).levels))', tests.id('shared'))), said,
  format('of a shared one: %s hears %s', person, said)) from (values ('member', '44'), ('stranger', 'not_found')) x (person, said);
select is(pg_temp.answer('author', 'public.read_sessions(tests.id(''author''), ''session'', tests.id(''kept''))'), 'permission denied for function read_sessions', 'nobody names a person to read for');

-- A person who leaves the team reads nothing there; one who shares no more takes it back; the service role reads all and writes nothing.
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('author');
select is(pg_temp.seen('author', 'select * from public.' || t), 1::bigint, 'who leaves a team leaves what they had there: ' || t)
from unnest('{sessions,session_usage,session_transcripts}'::text[]) t;
select tests.join_team('team', 'author');
select tests.sign_in('author');
update public.sessions set is_shared = false where id = tests.id('shared');
select tests.be_postgres();
select is(pg_temp.seen('member', 'select * from public.' || t), 0::bigint, 'shared no more, a member reads nothing: ' || t)
from unnest('{sessions,session_usage,session_analysis_logs,session_transcripts}'::text[]) t;
select tests.sign_in('owner');
update public.sessions set is_shared = true where id = tests.id('kept');
select tests.be_postgres();
select is((select is_shared from public.sessions where id = tests.id('kept')), false, 'who reads figures shares nothing by that');
select tests.be_service();
select is((select count(*) from public.session_transcripts where workspace_id in (tests.id('team'), tests.id('author'))), 3::bigint, 'the service role reads all');
select throws_ok(format('update public.%s set workspace_id = workspace_id', t), '42501', null, 'and writes nothing past the functions: ' || t)
from unnest('{sessions,session_usage,session_analysis_logs,session_transcripts}'::text[]) t;
select tests.be_postgres();

select * from finish();
rollback;
