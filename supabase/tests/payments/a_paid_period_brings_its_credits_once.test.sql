begin;
select plan(16);
select tests.create_user('owner');
select tests.sell('prod_basic', 100, 'basic');
select tests.be_service();

select is(tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'owner')), 'applied', 'a paid period');
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0', 'brings the plan''s credits');
select is(tests.ledger('owner'), 'credit 3 signup, credit 100 subscription', 'as an entry with reason subscription');
select is(tests.plan_of('owner'), 'basic active', 'and the plan');
select results_eq($$ select status::text, amount, currency::text, workspace_id from public.payments $$,
  $$ values ('succeeded', 1000::bigint, 'USD', tests.id('owner')) $$, 'there is a payment');
select results_eq($$ select plan_type, plan_status::text, is_live, current_period_end from public.user_subscriptions $$,
  $$ values ('basic', 'active', true, '2026-01-31'::timestamptz) $$, 'a subscription');
select results_eq($$ select event_type, plan, status::text, amount, workspace_id from public.subscription_history $$,
  $$ values ('payment_succeeded', 'basic', 'active', 1000::bigint, tests.id('owner')) $$, 'and a line in its history');
select results_eq($$ select kind::text, is_paid, expires_at from public.credit_grants
  where workspace_id = tests.id('owner') and kind = 'subscription' $$,
  $$ values ('subscription', true, '2026-02-03'::timestamptz) $$, 'the credits live as long as the period and a grace');

select is(public.receive_payment_event('creem', 'evt_1', 'test', '2026-01-01', '{}', '{"rank": 0}') ->> 'duplicate', 'true',
  'the same event again is known');
select tests.deliver('evt_2', tests.paid_period('prod_basic', '2026-01-01', 'owner'));
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0',
  'and another event that tells of the same period brings nothing more');
select public.debit_user_credits_transaction(tests.id('owner'), 20, 'generation', at => '2026-01-02');
select is(tests.wallet('owner'), 'balance 83, total 103, spent 20, expired 0, held 0', 'credits are spent as ever');
select tests.be_postgres();
update private.payment_product_terms set effective_from = '2025-01-01';
update public.payment_products set credits = 60 where product_id = 'prod_basic';
select tests.be_service();
select tests.deliver('evt_2b', tests.told_status('active', 'prod_basic'), '2026-01-05', '2026-01-05');
select is(tests.wallet('owner'), 'balance 83, total 103, spent 20, expired 0, held 0', 'a changed product changes nothing that was paid before');
select tests.be_postgres();
update private.payment_product_terms set effective_from = '2026-01-20' where credits = 60;
select tests.be_service();
select tests.deliver('evt_2c', tests.paid_period('prod_basic', '2026-01-31', 'owner'), '2026-01-31', '2026-01-31');
select is(tests.wallet('owner'), 'balance 143, total 163, spent 20, expired 0, held 0', 'and counts from then on');
select tests.be_postgres();
select tests.create_guest('invoiced');
select tests.sell('prod_pack', 50);
select tests.be_service();
select tests.deliver('evt_3', jsonb_set(tests.paid_pack('prod_pack', 'in_1', 'invoiced'), '{customer,id}', '"cust_2"'));
select tests.deliver('evt_4', jsonb_set(jsonb_set(tests.paid_pack('prod_pack', 'pi_1', 'invoiced'), '{payment,references}', '["in_1"]'),
  '{customer,id}', '"cust_2"'));
select is(tests.wallet('invoiced'), 'balance 50, total 50, spent 0, expired 0, held 0', 'an invoice of a purchase is no second one');
select tests.deliver('evt_5', tests.reversed('in_1', 1000));
select is(tests.wallet('invoiced'), 'balance 0, total 0, spent 0, expired 0, held 0', 'and a refund may name either');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
