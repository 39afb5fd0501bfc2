begin;
select plan(34);
select tests.create_user(n) from unnest(array['customer', 'mate', 'platform', 'second']) n;
update auth.users set email_confirmed_at = now();
update public.users set role = 'admin' where id in (tests.id('platform'), tests.id('second'));
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('m', 'M', 'up', 1, 0);
select private.set_model_price('m', '{"input": 0, "output": 0}', '2020-01-01');
select tests.sell('pack', 100);
select tests.sign_in('customer');
select tests.remember('team', to_jsonb(public.create_workspace('Team')) ->> 'id');
select tests.remember('token', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'mate@example.test')) ->> 'token');
select tests.remember('other', to_jsonb(public.invite_member(tests.recall('team')::uuid, 'else@example.test')) ->> 'id');
select tests.remember('key', to_jsonb(public.create_api_key('key', tests.recall('team')::uuid)) ->> 'key');
select tests.remember('key_id', (select id from public.api_keys));
insert into public.user_email_aliases (user_id, email) values (tests.id('customer'), 'a@example.test');
insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('customer'), 'debt', 1);
select tests.be_postgres();
insert into public.notifications (workspace_id, kind) values (tests.id('customer'), 'debt');
select tests.sign_in('mate');
select public.accept_invitation(tests.recall('token'));
select tests.sign_in('platform');
select throws_ok($$ select public.admin_set_account_active(tests.id('customer'), false, null) $$, 'PT400', 'invalid_request', 'a reason is needed');
select throws_ok($$ select public.admin_set_account_active(tests.id('nobody'), false, 'why') $$, 'PT404', 'not_found', 'and an account');
select throws_ok($$ select public.admin_set_account_active(tests.id('platform'), false, 'why') $$, 'PT409', 'invalid_state', 'nobody disables themselves');
select public.admin_set_account_active(tests.id('customer'), false, 'chargebacks');
select results_eq($$ select action, resource_id, details ->> 'reason', (details ->> 'is_active')::boolean, actor_id from public.audit_logs order by id desc limit 1 $$,
  $$ values ('admin_set_account_active', tests.id('customer')::text, 'chargebacks', false, tests.id('platform')) $$, 'it is audited');

select tests.be_service();
select is(public.admit_ai_call(tests.id('customer'), 'm', 1) ->> 'code', 'account_disabled', 'no call');
select is(public.admit_ai_call(null, 'm', 1, api_key_hash => encode(sha256(convert_to(tests.recall('key'), 'UTF8')), 'hex')) ->> 'code', 'account_disabled', 'nor with a key');
select throws_ok(format('select public.%s', c.call), 'PT403', 'account_disabled', 'no payment: ' || c.call)
from (values ($$begin_checkout(tests.id('customer'), (select id from public.payment_products))$$),
  ($$get_billing_account(tests.id('customer'))$$),
  ($$begin_subscription_change(tests.id('customer'), 'cancel_now')$$),
  ($$begin_plan_change(tests.id('customer'), (select id from public.payment_products))$$)) c (call);
select tests.sign_in('customer');
select throws_ok(format('select public.%s', c.call), 'PT403', 'account_disabled', 'no change: ' || c.call)
from (values ($$create_workspace('x')$$), ($$delete_workspace(tests.recall('team')::uuid)$$), ($$leave_workspace(tests.recall('team')::uuid)$$),
  ($$remove_member(tests.recall('team')::uuid, tests.id('mate'))$$), ($$set_member_role(tests.recall('team')::uuid, tests.id('mate'), 'admin')$$),
  ($$transfer_ownership(tests.recall('team')::uuid, tests.id('mate'))$$), ($$set_member_limit(tests.recall('team')::uuid, tests.id('mate'), 1)$$),
  ($$invite_member(tests.recall('team')::uuid, 'x@example.test')$$), ($$resend_invitation(tests.recall('other')::uuid)$$),
  ($$revoke_invitation(tests.recall('other')::uuid)$$), ($$accept_invitation('x')$$), ($$create_api_key('x')$$),
  ($$rotate_api_key(tests.recall('key_id')::uuid)$$), ($$revoke_api_key(tests.recall('key_id')::uuid)$$)) c (call);
update public.users set full_name = 'x';
update public.workspaces set name = 'x';
update public.api_keys set budget = 1000;
delete from public.user_email_aliases;
update public.credit_alerts set threshold = 2;
delete from public.credit_alerts;
update public.notifications set read_at = now();
select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('customer'), 'debt', 3) $$, '42501', null, 'no alert');
select results_eq('select a.threshold::integer, n.read_at from public.credit_alerts a, public.notifications n', 'values (1, null::timestamptz)', 'and of what is there nothing changes');
select throws_ok($$ insert into public.user_email_aliases (user_id, email) values (tests.id('customer'), 'b@example.test') $$, '42501', null, 'no address');
select is((select concat(full_name, ' ', w.name, ' ', k.budget, ' ', e.email) from public.users u, public.workspaces w, public.api_keys k, public.user_email_aliases e where w.id <> u.id),
  ' Team  a@example.test', 'what is theirs they read, and it is as it was');

select tests.sign_in('second');
select public.admin_set_account_active(tests.id('platform'), false, 'left us');
select tests.sign_in('platform');
select throws_ok($$ select public.admin_set_account_active(tests.id('second'), false, 'revenge') $$, 'PT403', 'forbidden', 'an admin who is disabled is none');
select tests.be_service();
select throws_ok($$ select public.admin_set_account_active(tests.id('second'), false, 'why') $$, 'PT409', 'invalid_state', 'the last one stays');
select tests.sign_in('second');
select public.admin_set_account_active(tests.id('customer'), true, 'settled');
select tests.sign_in('customer');
select lives_ok($$ select public.create_workspace('again') $$, 'who is enabled again goes on');
select isnt((select count(*) from public.audit_logs where workspace_id = tests.id('customer') and resource_type = 'users'), 0::bigint,
  'and is told that it was done');
select is_empty($$ select from public.audit_logs where details ? 'reason' $$, 'not why');
select is((select actor_email from public.audit_logs where resource_type = 'users' limit 1), null, 'nor by whom but an id');

select * from finish();
rollback;
