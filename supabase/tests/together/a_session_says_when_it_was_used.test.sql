begin;
select plan(10);
select tests.create_user(n) from unnest(array['ann', 'ben']) n;
insert into auth.sessions (id, user_id, created_at) values (tests.id('phone'), tests.id('ann'), now());
insert into public.user_sessions (id, user_id, last_used_at, expires_at)
select tests.id('phone'), tests.id('ann'), now() - interval '4 minutes', now() + interval '1 hour';
create function pg_temp.idle() returns text language sql as $$
  select to_char(clock_timestamp() - last_used_at, 'HH24:MI') from public.user_sessions where id = tests.id('phone') $$;
create function pg_temp.come_by(person text, session text) returns void language sql as $$
  select tests.act_as('authenticated', jsonb_build_object('sub', tests.id(person), 'role', 'authenticated', 'session_id', tests.id(session)))
$$;
grant execute on all functions in schema pg_temp to public;

select pg_temp.come_by('ann', 'phone');
select public.create_workspace('Team');
select is(pg_temp.idle(), '00:04', 'a use within five minutes of the last writes nothing');
select tests.be_postgres();
update public.user_sessions set last_used_at = now() - interval '6 minutes';
select pg_temp.come_by('ben', 'phone');
select public.create_workspace('Team');
select tests.be_postgres();
select is(pg_temp.idle(), '00:06', 'nor does somebody else''s');
select pg_temp.come_by('ann', 'phone');
select public.create_workspace('Team');
select tests.be_postgres();
select is(pg_temp.idle(), '00:00', 'a later one does');
select is((select expires_at > now() + interval '89 days' from public.user_sessions), true, 'and puts the expiry off');
update public.user_sessions set last_used_at = now() - interval '6 minutes';
select tests.be_service();
select set_config('request.headers', json_build_object('x-session-id', tests.id('phone'))::text, true);
select public.admit_ai_call(tests.id('ann'), 'no-such-model', 1);
select tests.be_postgres();
select is(pg_temp.idle(), '00:00', 'a call of a function does too');

update public.user_sessions set expires_at = now() - interval '1 second';
insert into public.user_sessions (id, user_id, expires_at) select tests.id('expired ' || n), tests.id('ben'), now() - interval '1 minute' from generate_series(1, 3) n;
insert into public.user_sessions (id, user_id) values (tests.id('kept'), tests.id('ben'));
select tests.be_service();
select is(public.cleanup_expired_sessions(), 4, 'those that expired are removed, and counted');
select is(public.cleanup_expired_sessions(), 0, 'once');
select results_eq('select id from public.user_sessions', $$ values (tests.id('kept')) $$, 'the others stay');
select tests.sign_in('ben');
select throws_ok('select public.cleanup_expired_sessions()', '42501', null, 'which is for the service role');
select tests.be_postgres();
select is(array[private.forget_expired_sessions(now() + interval '91 days'), private.forget_expired_sessions(now() + interval '91 days')], array[true, false],
  'and for the scheduled job');

select * from finish();
rollback;
