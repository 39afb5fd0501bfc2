-- Function billing asks with the service role's rights: the log says for whom.
begin;
select plan(8);
select tests.create_user(n) from unnest(array['owner', 'admin', 'member']) n;
select tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'member');
select tests.sell('basic', 100, 'basic'), tests.sell('pro', 300, 'pro');
create function pg_temp.product(name text) returns uuid language sql as $$ select id from public.payment_products where product_id = $1 $$;
create function pg_temp.logged() returns text language sql as $$
  select concat_ws(' ', a.actor_role, a.actor_email, host(a.ip_address), a.user_agent, a.action, a.resource_type,
    coalesce((select p.product_id from public.payment_products p where p.id::text = a.resource_id), (select s.subscription_id from public.user_subscriptions s where s.id::text = a.resource_id)),
    a.details - 'payment_product_id')
  from public.audit_logs a where a.workspace_id = tests.id('team') order by a.id desc limit 1 $$;
grant execute on all functions in schema pg_temp to public;
select tests.be_service();
select set_config('request.headers', '{"x-forwarded-for": "10.0.0.1", "user-agent": "Deno"}', true);

select tests.remember('proof', public.begin_checkout(tests.id('admin'), pg_temp.product('basic'), 2, tests.id('team')) ->> 'proof');
select is(pg_temp.logged(), 'service_role admin@example.test begin_checkout payment_products basic {"units": 2}', 'a checkout: by whom, and not from the server''s address');
select is((select actor_id from public.audit_logs order by id desc limit 1), tests.id('admin'), 'the account');
select tests.deliver('evt_1', tests.paid_period('basic', now()) || jsonb_build_object('owner', jsonb_build_object(
  'workspace_id', tests.id('team'), 'user_id', tests.id('admin'), 'proof', tests.recall('proof'))), at => now());
select public.begin_plan_change(tests.id('owner'), pg_temp.product('pro'), tests.id('team'));
select is(pg_temp.logged(), 'service_role owner@example.test begin_plan_change user_subscriptions sub_1 {"plan": "pro"}', 'a change of plan');
select public.begin_subscription_change(tests.id('admin'), 'cancel_now', tests.id('team'));
select is(pg_temp.logged(), 'service_role admin@example.test begin_subscription_change user_subscriptions sub_1 {"change": "cancel_now"}', 'a cancellation');
select public.begin_subscription_change(tests.id('admin'), 'resume', tests.id('team'));
select is(pg_temp.logged(), 'service_role admin@example.test begin_subscription_change user_subscriptions sub_1 {"change": "resume"}', 'that it was taken back');
select tests.remember('last', (select max(id) from public.audit_logs));
select public.get_billing_account(tests.id('owner'), tests.id('team'));
select throws_ok(format('select public.begin_subscription_change(%L, %L, %L)', tests.id('member'), 'resume', tests.id('team')), 'PT403', 'forbidden', 'a member may not');
select is((select max(id) from public.audit_logs)::text, tests.recall('last'), 'what only looks is not logged');
select tests.sign_in('owner');
select is((select count(*)::integer from public.audit_logs where action like 'begin_%'), 4, 'owners read it');

select * from finish();
rollback;
