-- Every table that matters, changed by who may change it: what the log then says.
begin;
select plan(46);
select tests.create_user('owner');
select tests.create_user('mate');
update auth.users set email_confirmed_at = now() where id = tests.id('mate');
create function pg_temp.logged(named text) returns text language sql as $$
  select concat_ws(' ', a.action, a.resource_type, a.old_values, a.new_values)
  from public.audit_logs a where a.resource_type = named order by a.id desc limit 1
$$;
create function pg_temp.id_of_team() returns uuid language sql as $$ select tests.recall('team')::uuid $$;
grant execute on all functions in schema pg_temp to public;
select is_empty('select from public.audit_logs where workspace_id = any (array[tests.id(''owner''), tests.id(''mate'')])',
  'a sign-up is no news');

select tests.sign_in('owner');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.7, 10.0.0.1", "user-agent": "a browser", "x-request-id": "req-1"}', true);
select tests.remember('team', to_jsonb(public.create_workspace('Acme', 'acme')) ->> 'id');
select results_eq($$ select actor_id, actor_role, actor_email, action, resource_type, resource_id, workspace_id, host(ip_address),
    user_agent, request_id, new_values ->> 'name' from public.audit_logs where resource_type = 'workspaces' $$,
  $$ values (tests.id('owner'), 'authenticated', 'owner@example.test', 'insert', 'workspaces', tests.recall('team'), pg_temp.id_of_team(),
    '203.0.113.7', 'a browser', 'req-1', 'Acme') $$, 'who, from where and what');
select is(pg_temp.logged('workspace_members'), 'insert workspace_members {"role": "owner"}', 'its first member');
update public.workspaces set name = 'Acme Ltd' where id = pg_temp.id_of_team();
select is(pg_temp.logged('workspaces'), 'update workspaces {"name": "Acme"} {"name": "Acme Ltd"}', 'a name, before and after');
update public.workspaces set name = 'Acme Ltd' where id = pg_temp.id_of_team();
select is((select count(*) from public.audit_logs where resource_type = 'workspaces'), 2::bigint, 'what changes nothing is not logged');

select tests.remember('token', to_jsonb(public.invite_member(pg_temp.id_of_team(), 'mate@example.test', 'admin')) ->> 'token');
select matches(pg_temp.logged('workspace_invitations'), '^insert .*"role": "admin"', 'an invitation');
select tests.sign_in('mate');
select public.accept_invitation(tests.recall('token'));
select matches(pg_temp.logged('workspace_invitations'), '^update workspace_invitations {"accepted_at": null} {"accepted_at"', 'that it was accepted');
select is(pg_temp.logged('workspace_members'), 'insert workspace_members {"role": "admin"}', 'a member');
select tests.sign_in('owner');
select public.set_member_role(pg_temp.id_of_team(), tests.id('mate'), 'member');
select is(pg_temp.logged('workspace_members'), 'update workspace_members {"role": "admin"} {"role": "member"}', 'a role');
select public.set_member_limit(pg_temp.id_of_team(), tests.id('mate'), 10);
select is(pg_temp.logged('spending_limits'), 'update spending_limits {"credit_limit": null} {"credit_limit": 10.000000}', 'a limit');
select public.set_member_limit(pg_temp.id_of_team(), tests.id('mate'));

select tests.remember('key', to_jsonb(public.create_api_key('a key', pg_temp.id_of_team(), budget => 5)) ->> 'id');
select matches(pg_temp.logged('api_keys'), '^insert api_keys .*"name": "a key"', 'a key');
select is((select count(*) from public.audit_logs where resource_type = 'api_keys'), 1::bigint, 'in one row');
update public.api_keys set budget = 7 where id = tests.recall('key')::uuid;
select is(pg_temp.logged('api_keys'), 'update api_keys {"budget": 5.000000} {"budget": 7.000000}', 'its limits');
select public.rotate_api_key(tests.recall('key')::uuid);
select matches(pg_temp.logged('api_keys'), '^update api_keys {"prefix": "sk-', 'its rotation');
select public.revoke_api_key(tests.recall('key')::uuid);
select matches(pg_temp.logged('api_keys'), '^update api_keys {"revoked_at": null} {"revoked_at": "', 'its end');
select public.revoke_api_key(tests.recall('key')::uuid);
select is((select count(*) from public.audit_logs where resource_type = 'api_keys'), 4::bigint, 'once');
insert into public.user_email_aliases (user_id, email) values (tests.id('owner'), 'alias@example.test');
select matches(pg_temp.logged('user_email_aliases'), '^insert user_email_aliases .*"user_id"', 'a further address');
select public.remove_member(pg_temp.id_of_team(), tests.id('mate'));
select is(pg_temp.logged('workspace_members'), 'delete workspace_members {"role": "member"}', 'that somebody was taken out');

select tests.be_service();
update public.system_config set config_value = '5' where config_key = 'signup_credits';
select is(pg_temp.logged('system_config'), 'update system_config {"config_value": 3} {"config_value": 5}', 'a setting');
select results_eq('select actor_id, actor_role, actor_email from public.audit_logs order by id desc limit 1',
  $$ values (null::uuid, 'service_role', null::text) $$, 'by the service role, which is nobody');
update public.plans set messages_limit_paid = true where plan = 'free';
select is(pg_temp.logged('plans'), 'update plans {"messages_limit_paid": false} {"messages_limit_paid": true}', 'a plan');
select tests.be_postgres();
select tests.sell('prod_1', 100, 'basic');
select matches(pg_temp.logged('payment_products'), '^insert payment_products .*"product_id": "prod_1"', 'a product');
select is((select actor_role from public.audit_logs order by id desc limit 1), session_user::text, 'by who is connected');
insert into public.ai_providers (provider) values ('elsewhere');
select matches(pg_temp.logged('ai_providers'), '^insert ai_providers .*"provider": "elsewhere"', 'a provider');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('m', 'M', 'up', 1);
select matches(pg_temp.logged('ai_models'), '^insert ai_models .*"max_output_tokens": 1', 'a model');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('n', 'N', 'up', 1);
insert into public.ai_model_fallbacks (model, position, fallback_model) values ('m', 1, 'n');
select is(pg_temp.logged('ai_model_fallbacks'), 'insert ai_model_fallbacks {"model": "m", "position": 1, "fallback_model": "n"}', 'what answers for it');
select is((select resource_id from public.audit_logs order by id desc limit 1), 'm 1', 'by its whole key');
select private.set_model_price('m', '{"input": 0, "output": 0, "request": 2}');
select matches(pg_temp.logged('ai_price_components'), '^insert ai_price_components .*"usd_per_unit": 2', 'a part of a price');
delete from public.ai_model_prices where model = 'm';
select matches(pg_temp.logged('ai_model_prices'), '^delete ai_model_prices .*"source": "manual"', 'a price, and its end');
update public.credit_wallets set overdraft_limit = 10 where workspace_id = pg_temp.id_of_team();
select matches(pg_temp.logged('credit_wallets'), '^update credit_wallets {"overdraft_limit": 0', 'an overdraft');
update public.users set role = 'admin' where id = tests.id('mate');
select is(pg_temp.logged('users'), 'update users {"role": "user"} {"role": "admin"}', 'who runs the platform');
select tests.deliver('evt_1', tests.paid_period('prod_1', '2026-01-01', 'owner'));
select is((select count(*) from public.audit_logs where resource_type = 'user_subscriptions' and workspace_id = tests.id('owner')) > 0,
  true, 'a subscription, where its workspace sees it');
select tests.deliver('evt_2', tests.told_status('past_due'), '2026-01-02', '2026-01-02');
select is(pg_temp.logged('user_subscriptions'),
  'update user_subscriptions {"plan_status": "active"} {"plan_status": "past_due"}', 'and its states');

select tests.be_service();
update public.features set is_active = false where feature_code = 'message';
select is(pg_temp.logged('features'), 'update features {"is_active": true} {"is_active": false}', 'a feature');
insert into public.plan_features (plan, feature_code, feature_limit) values ('free', 'message', 5);
update public.plan_features set feature_limit = 6 where plan = 'free' and feature_code = 'message';
select is(pg_temp.logged('plan_features'), 'update plan_features {"feature_limit": 5} {"feature_limit": 6}', 'what a plan includes');
select is((select resource_id from public.audit_logs where resource_type = 'plan_features' order by id desc limit 1), 'free message', 'and which plan');
delete from public.plan_features where plan = 'free' and feature_code = 'message';
select matches(pg_temp.logged('plan_features'), '^delete plan_features .*"feature_limit": 6', 'and that it does no more');
insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values (pg_temp.id_of_team(), 'message', 7, 'a promise');
update public.workspace_features set feature_limit = 8;
select is(pg_temp.logged('workspace_features'), 'update workspace_features {"feature_limit": 7} {"feature_limit": 8}', 'what a workspace has besides');
select is((select count(*) from public.audit_logs where resource_type = 'workspace_features' and resource_id = 'message'
  and workspace_id = pg_temp.id_of_team()), 2::bigint, 'which it sees');
delete from public.workspace_features;
select matches(pg_temp.logged('workspace_features'), '^delete workspace_features .*"feature_limit": 8', 'and that it was taken away');

select tests.sign_in('owner');
insert into public.credit_alerts (workspace_id, kind, threshold) values (pg_temp.id_of_team(), 'low_balance', 5);
update public.credit_alerts set threshold = 6;
select is(pg_temp.logged('credit_alerts'), 'update credit_alerts {"threshold": 5.000000} {"threshold": 6.000000}', 'an alert');
delete from public.credit_alerts;
select matches(pg_temp.logged('credit_alerts'), '^delete credit_alerts {"kind": "low_balance", "is_active": true, "threshold": 6.000000}', 'and its end');
select tests.be_postgres();
insert into public.payment_products (id, platform, product_id, price_id, name, credits, amount, currency) values
  (tests.id('pack'), 'stripe', 'prod_pack', 'price_pack', 'Pack', 100, 900, 'USD');
select tests.sign_in('owner');
select public.set_auto_top_up(pg_temp.id_of_team(), tests.id('pack'), 20, 2);
select matches(pg_temp.logged('auto_top_ups'), '^insert auto_top_ups .*"monthly_cap": 2', 'an automatic top-up');
select public.set_auto_top_up(pg_temp.id_of_team(), tests.id('pack'), 20, 3), public.disable_auto_top_up(pg_temp.id_of_team());
select results_eq($$ select workspace_id, actor_id, new_values from public.audit_logs where resource_type = 'auto_top_ups' and action = 'update' order by id $$,
  $$ values (pg_temp.id_of_team(), tests.id('owner'), '{"monthly_cap": 3}'::jsonb), (pg_temp.id_of_team(), tests.id('owner'), '{"is_active": false}') $$,
  'its terms, and that it is off');
select tests.be_postgres();
delete from public.auto_top_ups;
select matches(pg_temp.logged('auto_top_ups'), '^delete auto_top_ups .*"monthly_cap": 3', 'and its end');
insert into public.workspace_features (workspace_id, feature_code, reason) values (pg_temp.id_of_team(), 'message', 'goes with the team');
insert into public.credit_alerts (workspace_id, kind, threshold) values (pg_temp.id_of_team(), 'low_balance', 5);
select tests.remember('last', (select max(id) from public.audit_logs));

delete from public.workspaces where id = pg_temp.id_of_team();
select is((select string_agg(action || ' ' || resource_type, ', ') from public.audit_logs
  where id > tests.recall('last')::bigint), 'delete workspaces',
  'the end of a team is told once, not for all that was in it');

select * from finish();
rollback;
