begin;
select plan(55);
select tests.create_user(n) from unnest(array['ann', 'ben', 'root']) n;
update public.users set role = 'admin' where id = tests.id('root');
insert into auth.sessions (id, user_id, created_at)
select tests.id(s.id), tests.id(s.person), now()
from (values ('phone', 'ann'), ('laptop', 'ann'), ('unknown', 'ann'), ('tablet', 'ann'), ('bens', 'ben'), ('roots', 'root')) s (id, person);
create function pg_temp.come_by(person text, session text) returns void language sql as $$
  select tests.act_as('authenticated', jsonb_build_object('sub', tests.id(person), 'role', 'authenticated', 'session_id', tests.id(session)))
$$;
create function pg_temp.is_active(session text) returns boolean language sql as $$ select is_active from public.user_sessions where id = tests.id(session) $$;
-- As functions call: for a person, by the session of their token.
create function pg_temp.call_by(session text, hash text default null) returns text language plpgsql as $$
begin
  perform tests.be_service();
  perform set_config('request.headers', coalesce('{"x-session-id": "' || tests.id(session) || '"}', ''), true);
  return coalesce(public.admit_ai_call(case when hash is null then tests.id('ann') end, 'no-such-model', 1, api_key_hash => hash) ->> 'code', 'ok');
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
grant execute on all functions in schema pg_temp to public;
select pg_temp.come_by(s.person, s.id), public.register_device(s.id, 'ios')
from (values ('ann', 'phone'), ('ann', 'laptop'), ('ann', 'tablet'), ('ben', 'bens'), ('root', 'roots')) s (person, id);
select pg_temp.come_by('ann', 'laptop');
select tests.remember('team', to_jsonb(public.create_workspace('Team')) ->> 'id');
select tests.remember('key', to_jsonb(public.create_api_key('server')) ->> 'key');
select tests.remember('hash', encode(sha256(convert_to(tests.recall('key'), 'UTF8')), 'hex'));
select is(pg_temp.call_by('phone'), 'not_found', 'a session gets as far as the model');

select pg_temp.come_by('ann', 'laptop');
select lives_ok($$ select public.revoke_device(tests.id('phone')) $$, 'another one of its person revokes it');
select results_eq('select id from public.user_sessions where not is_active', $$ values (tests.id('phone')) $$, 'and it alone has ended');
select is((select expires_at - now() between '6 days 23:00' and '7 days 01:00' from public.user_sessions where not is_active), true,
  'its row stays a week, longer than any access token');
select tests.be_postgres();
select is((select count(*) from auth.sessions where id = tests.id('phone')), 0::bigint, 'Auth has it no more: nothing can be refreshed');
select is(pg_temp.call_by('phone'), 'PT401 session_revoked', 'functions call by it no more');
select is(pg_temp.call_by('laptop'), 'not_found', 'by another they do');
select is(pg_temp.call_by('unknown'), 'not_found', 'by one that never registered too');
select is(pg_temp.call_by(null, tests.recall('hash')), 'not_found', 'and by a key');
select throws_ok(format('select public.%s', c.call), 'PT401', 'session_revoked', 'for none of their calls: ' || c.call)
from (values ('list_ai_models(tests.id(''ann''))'), ('get_billing_account(tests.id(''ann''))'),
  ($$create_video_job(tests.id('ann'), 'no-such-model', 'a prompt')$$), ($$get_video_job(tests.id('ann'), tests.id('job'))$$),
  ('read_message_events(tests.id(''ann''), tests.id(''chat''), tests.id(''answer''))'), ('stop_message(tests.id(''ann''), tests.id(''chat''), tests.id(''answer''))'),
  ($$conversation_context(tests.id('chat'), tests.id('ann'), 'send')$$)) c (call),
  set_config('request.headers', json_build_object('x-session-id', tests.id('phone'))::text, true);

select pg_temp.come_by('ann', 'phone');
select throws_ok(format('select * from public.%s', c.call), 'PT401', 'session_revoked', 'an rpc refuses it: ' || c.call)
from (values ($$create_workspace('x')$$), ($$create_api_key('x')$$), ($$check_feature('message')$$), ('check_subscription_limit(tests.id(''ann''))'), ('call_history()'), ('credit_history()'),
  ('my_credit_transactions()'), ('usage_report()'), ('usage_report(workspace_id => tests.id(''ann''))'), ('list_members(tests.id(''ann''))'),
  ($$set_member_limit(tests.recall('team')::uuid, tests.id('ann'), 1)$$), ($$register_device('d', 'web')$$), ('revoke_other_devices()'),
  ($$revoke_device(tests.id('laptop'))$$), ($$admin_find_users('x')$$), ('check_session()'), ('conversation_branch(tests.id(''chat''))'), ($$search_messages('word')$$), ('export_my_data()'),
  ('export_conversation(tests.id(''chat''))'), ($$import_conversation('elsewhere', '{"messages": []}')$$), ($$create_attachment(tests.id('chat'), 'a', 'image/png', 1)$$)) c (call);
select throws_ok($$ select public.explain_charge('x') $$, 'PT404', 'not_found', 'and of a call nothing is told');
update public.users set full_name = 'Changed';
select is((select full_name from public.users), null, 'it changes nothing');
select is((select count(*) from public.user_sessions), 3::bigint, 'and still reads rows, until its token ends');
select pg_temp.come_by('ann', 'laptop');
select lives_ok($$ select public.create_workspace('more') $$, 'the other one goes on');
select lives_ok($$ select public.check_session() $$, 'also past the check of every request');
select lives_ok($$ select public.revoke_device(tests.id('phone')) $$, 'what has ended can be revoked again');

select is(public.revoke_other_devices(), 2, 'everywhere else are the registered and the unregistered');
select tests.be_postgres();
select results_eq($$ select id from auth.sessions where user_id = tests.id('ann') $$, $$ values (tests.id('laptop')) $$, 'which Auth forgets');
select is(pg_temp.call_by('unknown'), 'PT401 session_revoked', 'and are refused both');
select is(pg_temp.call_by('tablet'), 'PT401 session_revoked', 'at once');
select is(pg_temp.call_by('laptop'), 'not_found', 'but who asked');
select tests.be_postgres();
select ok(pg_temp.is_active('bens'), 'nobody else is touched');

select pg_temp.come_by('root', 'roots');
select ok(private.is_platform_admin(), 'an admin is one');
select tests.be_postgres();
delete from auth.sessions where id in (tests.id('roots'), tests.id('laptop'));
select pg_temp.come_by('root', 'roots');
select ok(not private.is_platform_admin(), 'until they sign out: Auth''s own end of a session is one');
select tests.be_postgres();
select ok(not pg_temp.is_active('laptop'), 'and shows');
select pg_temp.come_by('ann', 'laptop');
select throws_ok($$ select public.create_workspace('x') $$, 'PT401', 'session_revoked', 'and is refused');
select tests.be_anonymous();
select lives_ok($$ select public.check_session() $$, 'nobody has no session');

select * from finish();
rollback;
