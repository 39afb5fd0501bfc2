-- Sessions that are due are looked at, whatever becomes of one of them.
begin;
select plan(6);
select tests.create_user('a'), tests.create_user('b'), tests.create_user('c');
select tests.start_session(name, at => '2026-03-01') from unnest(array['a', 'b', 'c']) name;
-- One that ended without its row of work being told, and one whose look fails.
alter table public.sessions disable trigger user;
update public.sessions set status = 'completed', ended_at = started_at where workspace_id = tests.id('a');
alter table public.sessions enable trigger user;
create function pg_temp.fail() returns trigger language plpgsql as 'begin raise exception ''it fails''; end';
create trigger fails before update on public.session_usage for each row when (old.workspace_id = '00000000-0000-0000-0000-000000000000') execute function pg_temp.fail();
do $$ begin execute format('drop trigger fails on public.session_usage; create trigger fails before update on public.session_usage for each row when (old.workspace_id = %L) execute function pg_temp.fail()', tests.id('b')); end $$;
select is(private.watch_next_session('2026-03-01 01:00Z'), true, 'one is looked at');
select is((select warning from public.session_usage where workspace_id = tests.id('c')), true, 'the one that can be: it is warned, however late');
select is(private.watch_next_session('2026-03-01 01:00Z'), false, 'of the others none');
select is(private.watch_next_session('2026-03-01 01:02Z'), true, 'after the time that the warning promised');
select is((select format('%s %s', s.end_reason, s.ended_at at time zone 'UTC') from public.sessions s where workspace_id = tests.id('c')), 'credits 2026-03-01 00:06:00', 'it ends, and is charged until its credits did');
select is((select string_agg(n.data ->> 'seconds_left', ', ') from public.notifications n where n.workspace_id = tests.id('c') and n.kind = 'session_ending'), '0', 'of which its person was notified once');
select * from finish();
rollback;
