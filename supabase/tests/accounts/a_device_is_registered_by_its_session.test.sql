begin;
select plan(25);
select tests.create_user(n) from unnest(array['ann', 'ben']) n;
insert into auth.sessions (id, user_id, created_at, user_agent) values
  (tests.id('phone'), tests.id('ann'), '2026-01-01', 'a phone'), (tests.id('laptop'), tests.id('ann'), now(), 'a laptop'),
  (tests.id('bens'), tests.id('ben'), now(), null);
create function pg_temp.come_by(person text, session text, headers jsonb default '{}') returns void language sql as $$
  select set_config('request.headers', headers::text, true),
    tests.act_as('authenticated', jsonb_build_object('sub', tests.id(person), 'role', 'authenticated', 'session_id', session))
$$;
grant execute on all functions in schema pg_temp to public;

select pg_temp.come_by('ann', tests.id('phone')::text, '{"user-agent": "App/1", "x-forwarded-for": "203.0.113.9, 10.0.0.1"}');
select is((public.register_device('d1', 'ios', 'Ann''s phone', '1.0')).id, tests.id('phone'), 'a session registers itself');
select results_eq($$ select user_id, device_id, device_type::text, device_name::text, app_version, host(ip_address), user_agent, created_at, is_active
    from public.user_sessions $$,
  $$ values (tests.id('ann'), 'd1', 'ios', 'Ann''s phone', '1.0', '203.0.113.9', 'App/1', '2026-01-01'::timestamptz, true) $$,
  'with what the app says of its device, and where the request came from');
select is((select expires_at - last_used_at between '89 days 23:59' and '90 days 00:01' from public.user_sessions), true,
  'for 90 days from its last use');
select public.register_device('d1', 'ios', 'My phone', '1.1');
select results_eq($$ select device_name::text, app_version, user_agent from public.user_sessions $$,
  $$ values ('My phone', '1.1', 'App/1') $$, 'again by the same session changes its row');

select throws_ok(format('select public.register_device(%s)', c.args), 'PT400', 'invalid_request', 'not ' || c.what)
from (values ($$'', 'ios'$$, 'without an id'), ($$null, 'ios'$$, 'with none'), ($$'d', null$$, 'without a type'),
  ($$repeat('d', 201), 'ios'$$, 'with a long id'), ($$'d', 'ios', repeat('n', 201)$$, 'with a long name'),
  ($$'d', 'ios', 'n', repeat('v', 51)$$, 'with a long version')) c (args, what);
select throws_ok($$ select public.register_device('d', 'toaster') $$, '22P02', null, 'nor of an unknown type');
select throws_ok($$ insert into public.user_sessions (id, user_id) values (gen_random_uuid(), tests.id('ann')) $$, '42501', null, 'nor past the function');

select pg_temp.come_by('ann', s.id) from (values ('nonsense'), (null)) s (id);
select throws_ok($$ select public.register_device('d', 'web') $$, 'PT400', 'invalid_request', 'a token without a session registers none');
select pg_temp.come_by('ann', 'nonsense');
select throws_ok($$ select public.register_device('d', 'web') $$, 'PT400', 'invalid_request', 'nor does one whose session is no id');
update public.users set full_name = 'Ann';
select is((select full_name::text from public.users), 'Ann', 'which is no reason to refuse anything else');
select pg_temp.come_by('ann', tests.id('gone')::text);
select throws_ok($$ select public.register_device('d', 'web') $$, 'PT401', 'session_revoked', 'nor one that Auth does not have');
select pg_temp.come_by('ann', tests.id('bens')::text);
select throws_ok($$ select public.register_device('d', 'web') $$, 'PT401', 'session_revoked', 'or has for somebody else');

select pg_temp.come_by('ben', tests.id('bens')::text, json_build_object('x-session-id', tests.id('phone'))::jsonb);
select public.register_device('d1', 'web');
select results_eq('select id from public.user_sessions', $$ values (tests.id('bens')) $$, 'people see their own, and a header means nothing beside a token');
select throws_ok($$ select public.revoke_device(tests.id('phone')) $$, 'PT404', 'not_found', 'and end their own');
select throws_ok($$ select public.revoke_device(null) $$, 'PT404', 'not_found', 'by its id');
select tests.be_anonymous();
select throws_ok($$ select public.register_device('d', 'web') $$, '42501', null, 'nobody registers nothing');
select throws_ok($$ select from public.user_sessions $$, '42501', null, 'and sees nothing');
select tests.be_service();
select is((select count(*) from public.user_sessions), 2::bigint, 'the service role sees all');
select throws_ok($$ delete from public.user_sessions $$, '42501', null, 'and deletes none');
select tests.be_postgres();
select set_config('request.headers', '{"user-agent": "\ud800", "x-forwarded-for": "nonsense"}', true);

insert into auth.sessions (id, user_id, created_at)
select tests.id('session ' || n), tests.id('ann'), now() from generate_series(1, 120) n;
insert into public.user_sessions (id, user_id, last_used_at, is_active)
select tests.id('session ' || n), tests.id('ann'), now() - n * interval '1 minute', n % 12 > 0 from generate_series(1, 119) n;
select pg_temp.come_by('ann', tests.id('session 120')::text);
select public.register_device('d', 'web');
select results_eq($$ select count(*)::integer, bool_or(id = tests.id('session 120')), count(*) filter (where not is_active)::integer from public.user_sessions $$,
  $$ values (100, true, 0) $$, 'of a hundred the new one is, and those that ended went first');

select * from finish();
rollback;
