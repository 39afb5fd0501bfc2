-- Completing: without a transcript, with one that is stored once, at a time that can be.
begin;
select plan(14);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', at => '2026-03-01');
update public.plan_features set feature_limit = 10 where feature_code = 'sessions_at_once';
update public.system_config set config_value = '5' where config_key = 'max_clock_skew_minutes';
create function pg_temp.session(name text, started_at timestamptz default null) returns uuid language plpgsql as $$
begin
  perform tests.remember(name, tests.start_session('owner', name, started_at => started_at, at => '2026-03-01 10:00Z') #>> '{session,id}');
  return tests.recall(name)::uuid;
end;
$$;
create function pg_temp.complete(name text, words text default null, ended_at timestamptz default null, at timestamptz default '2026-03-01 10:10Z') returns text language sql as $$
  select public.complete_session(tests.recall(name)::uuid, tests.id('owner'), words, ended_at, at => at) #>> '{usage,duration_seconds}'
$$;
select pg_temp.session('a');
select is(pg_temp.complete('a'), '600.000', 'no transcript need be sent, also where a day has a bound');
select is(pg_temp.complete('a', 'What was said.'), '600.000', 'it may come later');
select is((select t.transcript || ' ' || (t.created_at at time zone 'UTC') from public.session_transcripts t), 'What was said. 2026-03-01 10:10:00', 'and is of the session''s end');
delete from public.session_transcripts;
select is(pg_temp.complete('a', 'What was said.'), '600.000', 'after it was removed a repeated call');
select is_empty('select * from public.session_transcripts', 'does not bring it back');

select pg_temp.session('b');
select throws_ok($$ select pg_temp.complete('b', null, '2026-03-01 09:54:59Z') $$, 'PT400', 'invalid_request', 'an end before the start is refused');
select is((select status from public.sessions where client_id = 'b'), 'in_progress', 'and ends nothing');
select is(pg_temp.complete('b', null, '2026-03-01 09:56Z'), '0.000', 'a few minutes are clocks: none count');
select pg_temp.session('c', '2026-03-01 09:00Z');
select is(pg_temp.complete('c', null, '2026-03-01 09:05Z'), '300.000', 'it is by the clock that started it');
select pg_temp.session('d');
select is(pg_temp.complete('d', null, '2026-03-01 11:00Z'), '600.000', 'no later than ours');
select is(pg_temp.complete('d', null, '2026-03-01 09:00Z'), '600.000', 'the same again has the same answer, whatever it says');

-- A day that is full takes no transcript, and does not forget that none was stored.
select pg_temp.session('e');
update public.system_config set config_value = '1' where config_key = 'kept_content_per_day';
select pg_temp.complete('e', 'Much was said.');
select is_empty('select * from public.session_transcripts', 'a full day keeps none');
select throws_ok($$ select tests.start_session('owner', 'f', metadata => '{"much": "was said"}', at => '2026-03-01 10:00Z') $$, 'PGRST', null, 'nor what is said of a session at its start');
update public.system_config set config_value = '1000' where config_key = 'kept_content_per_day';
select pg_temp.complete('e', 'Much was said.');
select is((select transcript from public.session_transcripts), 'Much was said.', 'it may be sent again');
select * from finish();
rollback;
