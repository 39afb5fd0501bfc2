-- Active time is the union of what was reported and of the tail, without pauses, from the start until now, by our clock.
begin;
select plan(16);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', at => '2026-03-01');
select tests.put_on_plan('owner', 'enterprise');
create function pg_temp.start(name text, client_time timestamptz default null) returns void language plpgsql as $$
begin
  perform tests.remember('session', tests.start_session('owner', name, started_at => client_time, at => '2026-03-01 10:00Z') #>> '{session,id}');
end;
$$;
-- What a segment adds, and what the session has then.
create function pg_temp.adds(number integer, at timestamptz, seconds numeric, began timestamptz default null) returns text language plpgsql as $$
declare
  answer jsonb := tests.analyze('owner', tests.recall('session')::uuid, number, seconds, started_at => began, at => at);
begin
  return format('%s of %s', trim_scale((answer #>> '{analysis,duration_seconds}')::numeric), trim_scale((answer #>> '{usage,duration_seconds}')::numeric));
end;
$$;
select pg_temp.start('pauses');
select is(pg_temp.adds(1, '2026-03-01 10:01Z', 10), '10 of 10', 'without a time a segment is what was before it');
select is((public.pause_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 10:02Z') #>> '{usage,duration_seconds}')::numeric, 70::numeric, 'until a pause it runs');
select is(public.pause_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 10:02:30Z') #>> '{session,paused_at}', '2026-03-01T10:02:00+00:00', 'paused again it is paused since then');
select is((public.resume_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 10:03Z') #>> '{usage,duration_seconds}')::numeric, 70::numeric, 'in which nothing counts');
select is(pg_temp.adds(2, '2026-03-01 10:04Z', 10), '10 of 80', 'after it time counts again');
select is(pg_temp.adds(3, '2026-03-01 10:05Z', 300, '2026-03-01 10:00Z'), '160 of 240', 'a late segment of all the time adds what nobody reported, without the pause');
select is(pg_temp.adds(4, '2026-03-01 10:05Z', 300, '2026-03-01 10:00Z'), '0 of 240', 'the next one nothing');
select is(pg_temp.adds(5, '2026-03-01 10:05:10Z', 60), '10 of 250', 'without a time it never reaches into what is counted');
select is((public.complete_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 10:06Z') #>> '{usage,duration_seconds}')::numeric, 300::numeric, 'and the tail is what is left: six minutes less a pause of one');
select is((select count(*) from private.session_spans where not is_pause), 2::bigint, 'what touches is one span');

select pg_temp.start('bounds');
select is(pg_temp.adds(1, '2026-03-01 10:01Z', 60, '2026-03-01 09:59:30Z'), '30 of 30', 'nothing before the start counts');
select is(pg_temp.adds(2, '2026-03-01 10:02Z', 60, '2026-03-01 10:01:30Z'), '30 of 60', 'nor after now');
select is(pg_temp.adds(3, '2026-03-01 10:03Z', 3600), '120 of 180', 'nor more than there was until then');
select is((select string_agg(trim_scale(audio_seconds)::text, ' ' order by sequence_number) from public.session_analysis_logs where session_id = tests.recall('session')::uuid), '60 60 180', 'sound is no longer than the session');

select pg_temp.start('clock', '2026-03-01 10:05Z');
select is(pg_temp.adds(1, '2026-03-01 10:01Z', 30, '2026-03-01 10:05:15Z'), '30 of 30', 'a client''s clock is told from ours by its start');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
