begin;
select plan(39);
select tests.create_user('owner'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger');
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('owner'), 'owner'),
  (tests.id('team'), tests.id('admin'), 'admin'), (tests.id('team'), tests.id('member'), 'member');
insert into public.payment_products (id, platform, product_id, price_id, name, plan, billing_period, credits, amount, currency) values
  (tests.id('pack'), 'stripe', 'prod_pack', 'price_pack', 'Pack', null, null, 100, 900, 'USD'),
  (tests.id('huge'), 'stripe', 'prod_huge', 'price_huge', 'Huge', null, null, 60000, 900, 'USD'),
  (tests.id('plan'), 'stripe', 'prod_plan', 'price_plan', 'Plan', 'basic', 'month', 100, 900, 'USD');
insert into public.payment_customers (platform, customer_id, workspace_id, bound_by) values ('stripe', 'cus_team', tests.id('team'), 'checkout');
insert into public.user_subscriptions (platform, subscription_id, customer_id, workspace_id, user_id, bound_by, state_occurred_at, state_rank, state_event_id) values
  ('stripe', 'sub_team', 'cus_team', tests.id('team'), tests.id('owner'), 'checkout', now(), 0, 'e');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'manual', workspace_id => tests.id('team'));
create function pg_temp.use(amount numeric, at timestamptz default now()) returns void language sql as $$
  select public.debit_user_credits_transaction(tests.id('owner'), amount, 'manual', workspace_id => tests.id('team'), at => use.at) $$;
create function pg_temp.open_tasks() returns integer language sql as $$
  select count(*)::integer from private.payment_tasks where workspace_id = tests.id('team') and state < 'done' $$;
create function pg_temp.rule() returns text language sql as $$
  select concat_ws(' ', case when is_active then 'on' else 'off' end, 'failures ' || failures, 'requested ' || requested_this_month) from public.auto_top_ups $$;
create function pg_temp.set(product text default 'pack', threshold numeric default 20, cap integer default 2) returns void language sql as $$
  select public.set_auto_top_up(tests.id('team'), tests.id(product), threshold, cap) $$;
create function pg_temp.finish(error text default null, outcome text default null, payment text default null, at timestamptz default now()) returns void
language sql as $$ select public.finish_payment_task((public.claim_payment_task(finish.at) ->> 'id')::bigint, error, outcome, payment, finish.at) $$;
grant execute on all functions in schema pg_temp to authenticated, anon;

-- Who sets it.
select is_empty('select * from public.auto_top_ups', 'a workspace has none');
select tests.sign_in('member');
select throws_ok('select pg_temp.set()', 'PT403', 'forbidden', 'a member sets none');
select throws_ok($$ select public.disable_auto_top_up(tests.id('team')) $$, 'PT403', 'forbidden', 'and ends none');
select tests.sign_in('stranger');
select throws_ok('select pg_temp.set()', 'PT404', 'not_found', 'a stranger hears of no workspace');
select tests.be_anonymous();
select throws_ok('select pg_temp.set()', '42501', null, 'who is not signed in is refused');
select tests.sign_in('admin');
select throws_ok($$ select pg_temp.set('plan') $$, 'PT400', 'invalid_request', 'a plan is no pack');
select throws_ok($$ select pg_temp.set('none') $$, 'PT404', 'not_found', 'and what is not sold none either');
select throws_ok($$ select pg_temp.set(threshold => -1) $$, 'PT400', 'invalid_request', 'a threshold is not negative');
select throws_ok($$ select pg_temp.set(cap => 0) $$, 'PT400', 'invalid_request', 'a cap is at least one');
select lives_ok('select pg_temp.set()', 'an admin sets one');
select throws_ok('update public.auto_top_ups set requested_this_month = 0', '42501', null, 'and writes nothing of it by hand');
select tests.sign_in('member');
select is_empty('select * from public.auto_top_ups', 'a member does not see it');
select tests.sign_in('owner');
select is((select count(*)::integer from public.auto_top_ups), 1, 'an owner does');
select tests.be_postgres();

-- When it asks.
select pg_temp.use(80);
select is(pg_temp.open_tasks(), 0, 'at the threshold nothing is asked for');
select pg_temp.use(1);
select is(pg_temp.open_tasks(), 1, 'below it a pack is');
select is(tests.wallet('team'), 'balance 19, total 100, spent 81, expired 0, held 0', 'and no credits come of asking');
select pg_temp.use(1);
select is(pg_temp.open_tasks() || ' ' || pg_temp.rule(), '1 on failures 0 requested 1', 'one at a time');
select is(public.claim_payment_task(now() + interval '1 minute') - 'id', jsonb_build_object('task', 'charge_pack', 'platform', 'stripe', 'workspace_id', tests.id('team'),
  'user_id', tests.id('admin'), 'proof', private.checkout_proof(tests.id('team'), tests.id('admin')), 'customer_id', 'cus_team', 'product_id', 'prod_pack', 'price_id', 'price_pack'), 'the platform is told all it needs');
select public.finish_payment_task((select max(id) from private.payment_tasks), payment_id => 'in_1');
select pg_temp.use(1);
select is(pg_temp.open_tasks(), 0, 'while the payment is on its way nothing more is asked for');
insert into public.payments (platform, payment_id, status, state_occurred_at, state_rank, state_event_id) values ('stripe', 'in_1', 'succeeded', now(), 0, 'e');
select pg_temp.use(1);
select is(pg_temp.open_tasks() || ' ' || pg_temp.rule(), '1 on failures 0 requested 2', 'once it is known the next one is');
select pg_temp.finish(payment => 'in_2');
insert into public.payments (platform, payment_id, status, state_occurred_at, state_rank, state_event_id) values ('stripe', 'in_2', 'succeeded', now(), 0, 'e');
select pg_temp.use(1);
select is(pg_temp.open_tasks(), 0, 'and no more than the month''s cap');
select tests.sign_in('owner');
select public.disable_auto_top_up(tests.id('team')), pg_temp.set();
select tests.be_postgres();
select is(pg_temp.open_tasks() || ' ' || pg_temp.rule(), '0 on failures 0 requested 2', 'setting it anew does not begin a new month');
select is(private.request_next_top_up(now()), false, 'in this month nothing is due');
select is(private.request_next_top_up(now() + interval '1 month'), true, 'in the next the scheduled work asks');
select is(pg_temp.rule(), 'on failures 0 requested 1', 'and counts from one');

-- Declines.
select pg_temp.finish('declined', 'declined', at => now() + interval '1 month');
select is(pg_temp.rule(), 'on failures 1 requested 0', 'a decline charged nothing and does not count');
select is(private.request_next_top_up(now() + interval '1 month 59 minutes'), false, 'it waits an hour');
select is(private.request_next_top_up(now() + interval '1 month 1 hour'), true, 'and asks again');
select pg_temp.finish('declined', 'declined', at => now() + interval '1 month 1 hour');
select is((select extract(epoch from next_try_at - now() - interval '1 month 1 hour') / 3600 from public.auto_top_ups)::integer, 6, 'then six');
select private.request_next_top_up(now() + interval '1 month 7 hours'), pg_temp.finish('declined', 'declined', at => now() + interval '1 month 7 hours');
select is((select extract(epoch from next_try_at - now() - interval '1 month 7 hours') / 3600 from public.auto_top_ups)::integer, 24, 'then a day');
select is((select count(*)::integer from public.notifications), 0, 'nobody is told yet');
select private.request_next_top_up(now() + interval '1 month 31 hours'), pg_temp.finish('declined', 'declined', at => now() + interval '1 month 31 hours');
select is(pg_temp.rule(), 'off failures 4 requested 0', 'the fourth turns it off');
select is((select kind || ' ' || (data ->> 'error') from public.notifications), 'top_up_ended declined', 'and its workspace is told');
select is((select has_alerts from public.credit_wallets where workspace_id = tests.id('team')), false, 'nothing watches the wallet any more');

-- Set anew, withdrawn, and what cannot be known or done.
select tests.sign_in('owner');
select pg_temp.set();
select tests.be_postgres();
update public.auto_top_ups set month_started_at = null, requested_this_month = 0;
select private.withdraw_top_up(tests.id('team')), pg_temp.use(1);
select is(pg_temp.open_tasks(), 1, 'a low balance asks at once when it is set');
select tests.sign_in('owner');
select public.disable_auto_top_up(tests.id('team'));
select tests.be_postgres();
select is(pg_temp.open_tasks() || ' ' || pg_temp.rule(), '0 off failures 0 requested 0', 'what was not begun is taken back when it ends');
select tests.sign_in('owner');
select pg_temp.set();
select tests.be_postgres();
select pg_temp.finish('Not on this platform.', 'impossible', at => now() + interval '1 minute');
select is(pg_temp.rule(), 'off failures 1 requested 0', 'what can never be done is not tried again');
select tests.sign_in('owner');
select pg_temp.set('huge');
select tests.be_postgres();
select is(pg_temp.open_tasks(), 0, 'what max_credits_balance has no room for is not bought');
select tests.sign_in('owner');
select pg_temp.set();
select tests.be_postgres();
select pg_temp.finish('silence', at => now() + n * interval '1 hour') from generate_series(1, 5) n;
select is(pg_temp.open_tasks() || ' ' || pg_temp.rule(), '0 on failures 1 requested 1', 'where nobody knows whether it was charged it stays counted');

select * from finish();
rollback;
