begin;
select plan(17);
select tests.create_user(n) from unnest(array['owner', 'admin', 'member', 'stranger', 'platform']) n;
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('owner'), 'owner'),
  (tests.id('team'), tests.id('admin'), 'admin'), (tests.id('team'), tests.id('member'), 'member');
update public.users set role = 'admin' where id = tests.id('platform');
create function pg_temp.seen() returns text language sql as $$
  select format('%s of the team, %s of nobody', count(*) filter (where workspace_id = tests.id('team')),
    count(*) filter (where workspace_id is null and resource_id = 'signup_credits')) from public.audit_logs
$$;
grant execute on all functions in schema pg_temp to public;
select tests.be_service();
update public.system_config set config_value = '5' where config_key = 'signup_credits';
update public.workspaces set name = 'renamed' where id = tests.id('team');

select is(pg_temp.seen(), '5 of the team, 1 of nobody', 'the service role reads all');
select throws_ok('update public.audit_logs set action = ''x''', '42501', null, 'and changes none');
select throws_ok('delete from public.audit_logs', '42501', null, 'of it');
select throws_ok($$ insert into public.audit_logs (actor_role, action, resource_type) values ('x', 'x', 'x') $$, '42501', null, 'nor adds to it');
select tests.sign_in('owner');
select is(pg_temp.seen(), '5 of the team, 0 of nobody', 'an owner reads the workspace''s');
select tests.sign_in('admin');
select is(pg_temp.seen(), '5 of the team, 0 of nobody', 'an admin too');
select tests.sign_in('member');
select is(pg_temp.seen(), '0 of the team, 0 of nobody', 'a member does not');
select tests.sign_in('stranger');
select is(pg_temp.seen(), '0 of the team, 0 of nobody', 'nor does a stranger');
select tests.be_anonymous();
select throws_ok('select * from public.audit_logs', '42501', null, 'nor who is not signed in');
select tests.sign_in('platform');
select is(pg_temp.seen(), '5 of the team, 1 of nobody', 'a platform admin reads all');
select throws_ok('update public.audit_logs set action = ''x''', '42501', null, 'and changes none of it');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.7", "user-agent": "theirs"}', true);
select public.admin_set_overdraft(tests.id('team'), 5, 'asked by mail');
select results_eq($$ select action, actor_email, host(ip_address), details ->> 'reason' from public.audit_logs order by id desc limit 1 $$,
  $$ values ('admin_set_overdraft', 'platform@example.test', '203.0.113.7', 'asked by mail') $$, 'what they do is told in full to their like');
select tests.sign_in('owner');
select results_eq($$ select action, resource_type, actor_email, host(ip_address), details::text from public.audit_logs order by id desc limit 1 $$,
  $$ values ('update', 'credit_wallets', null::text, null::text, null::text) $$, 'the workspace is told that it was done');

select tests.be_postgres();
select throws_ok('update public.audit_logs set action = ''x''', 'PT403', 'forbidden', 'not even the owner of the schema changes');
select throws_ok('update public.audit_logs set actor_email = null, old_values = null', 'PT403', 'forbidden', 'or blanks');
select throws_ok('delete from public.audit_logs', 'PT403', 'forbidden', 'or deletes');
select throws_ok('truncate public.audit_logs', 'PT403', 'forbidden', 'or empties it');

select * from finish();
rollback;
