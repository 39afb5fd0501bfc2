begin;
select plan(27);
select tests.create_user('owner'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role)
select tests.id('team'), tests.id(r), r::public.workspace_role from unnest(array['owner', 'admin', 'member']) r;
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (tests.id('team'), 'message', 10, 'a gift');
select public.consume_feature('message', 1, tests.id(r), tests.id('team')) from unnest(array['owner', 'admin', 'member']) r;
create function pg_temp.sees() returns text
language sql as $$
  select concat_ws(' ', (select count(*) from public.usage_records), (select count(*) from public.feature_usage),
    (select count(*) from public.workspace_features))
$$;
grant execute on function pg_temp.sees() to authenticated, service_role;
select tests.sign_in('owner');
select is(pg_temp.sees(), '3 1 1', 'owners see all use of their workspace');
select tests.sign_in('admin');
select is(pg_temp.sees(), '3 1 1', 'so do admins');
select tests.sign_in('member');
select is(pg_temp.sees(), '1 1 0', 'members see their own, and the sum');
select is((to_jsonb(public.check_feature('message', workspace_id => tests.id('team'))) ->> 'remaining')::numeric, 7::numeric, 'they may ask what is left');
select is((to_jsonb(public.check_feature('message', user_id => tests.id('member'))) ->> 'used')::numeric, 0::numeric, 'also of their personal workspace');
select throws_ok($$ select public.check_feature('message', user_id => tests.id('owner'), workspace_id => tests.id('team')) $$, 'PT403', 'forbidden',
  'for themselves alone');
select throws_ok($$ select public.consume_feature('message', 1, tests.id('member')) $$, '42501', null, 'they count nothing');
select throws_ok($$ select public.release_feature(1) $$, '42501', null, 'and give nothing back');
select throws_ok($$ insert into public.usage_records (workspace_id, feature_code, quantity, period_start) values (tests.id('team'), 'message', 1, now()) $$,
  '42501', null, 'nor write a record');
select throws_ok($$ update public.feature_usage set used = 0 $$, '42501', null, 'nor a sum');
select throws_ok($$ insert into public.workspace_features (workspace_id, feature_code, reason) values (tests.id('member'), 'message', 'x') $$, '42501', null,
  'nor give themselves a feature');
select throws_ok($$ update public.plan_features set feature_limit = null $$, '42501', null, 'nor change a plan');
select tests.sign_in('stranger');
select is(pg_temp.sees(), '0 0 0', 'strangers see nothing');
select throws_ok($$ select public.check_feature('message', workspace_id => tests.id('team')) $$, 'PT404', 'not_found', 'and are told nothing');
select isnt_empty($$ select from public.features where feature_code = 'message' $$, 'what there is can be read by anyone');
select tests.be_anonymous();
select isnt_empty($$ select from public.features where feature_code = 'message' $$, 'also by anonymous visitors');
select lives_ok($$ select * from public.plan_features $$, 'with what plans include');
select throws_ok($$ select public.check_feature('message') $$, '42501', null, 'who have nothing to check');
select throws_ok($$ select * from public.usage_records $$, '42501', null, 'and see no use');
select tests.be_service();
update public.features set is_active = false where feature_code = 'message';
select is(pg_temp.sees(), '3 1 1', 'the service role sees all');
select throws_ok($$ delete from public.features $$, '42501', null, 'and deletes no feature');
select tests.be_anonymous();
select is_empty($$ select from public.features where feature_code = 'message' $$, 'an inactive feature is not shown');
select tests.act_as('authenticated', '{"role": "authenticated"}');
select throws_ok($$ select public.check_feature('message', user_id => tests.id('owner')) $$, 'PT401', 'not_authenticated', 'a token without a person asks for nobody');
select tests.act_as('none', jsonb_build_object('sub', tests.id('stranger')));
select throws_ok($$ select public.check_feature('message', user_id => tests.id('owner')) $$, 'PT403', 'forbidden', 'a token with one asks for them, whatever the role');
select tests.be_postgres();
delete from public.workspace_members where user_id = tests.id('member');
select tests.sign_in('member');
select is(pg_temp.sees(), '0 0 0', 'who left a team sees nothing of it any more');
select tests.be_postgres();
delete from auth.users where id = tests.id('admin');
select is((select count(*) || ' ' || count(user_id) from public.usage_records), '3 2', 'who is deleted leaves the team''s records');
select is((select used from public.feature_usage), 3::numeric, 'and its sums');
select * from finish();
rollback;
