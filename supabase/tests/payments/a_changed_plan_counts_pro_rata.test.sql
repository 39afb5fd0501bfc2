begin;
select plan(25);
select tests.create_guest('up');
select tests.create_guest('down');
select tests.create_guest('at_once');
select tests.create_guest('anew');
select tests.create_guest('seats');
select tests.create_guest('yearly');
select tests.create_guest('early');
select tests.create_guest('hasty');
select tests.create_guest('item'), tests.create_guest('unknown'), tests.create_guest('two');
select tests.sell('prod_basic', 100, 'basic');
select tests.sell('prod_pro', 300, 'pro'), tests.sell('prod_item', 10);
select tests.sell('prod_year', 1440, 'basic');
update public.payment_products set billing_period = 'year' where product_id = 'prod_year';
select tests.be_service();

select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'up', 'sub_u'));
select tests.deliver('evt_2', tests.told_status('active', 'prod_pro', 'sub_u'), '2026-01-16', '2026-01-16');
select is(tests.plan_of('up'), 'pro active', 'an upgrade brings the plan at once');
select is(tests.wallet('up'), 'balance 100, total 100, spent 0, expired 0, held 0', 'but no credits before it is paid for');
select tests.deliver('evt_2b', jsonb_build_object('payment', '{"id": "tran_u2", "status": "succeeded", "kind": "subscription",
  "amount": 1000, "currency": "USD", "product_id": "prod_pro", "subscription_id": "sub_u", "paid_at": "2026-01-16T00:00:00Z",
  "changed_at": "2026-01-16T00:00:00Z"}'::jsonb), '2026-01-16', '2026-01-16');
select is(tests.wallet('up'), 'balance 200, total 200, spent 0, expired 0, held 0', 'paid for half way, it brings half the difference');
select tests.deliver('evt_3', tests.told_status('active', 'prod_pro', 'sub_u'), '2026-01-20', '2026-01-20');
select is(tests.wallet('up'), 'balance 200, total 200, spent 0, expired 0, held 0', 'hearing of it again brings nothing');
select tests.deliver('evt_3b', tests.reversed('tran_u2', 1000, id => 'ref_u'), '2026-01-21', '2026-01-21');
select is(tests.wallet('up'), 'balance 100, total 100, spent 0, expired 0, held 0', 'what is refunded of it is taken back by the money');

select tests.deliver('evt_4', tests.paid_period('prod_pro', '2026-01-01', 'down', 'sub_d'));
select tests.deliver('evt_5', tests.told_status('active', 'prod_basic', 'sub_d'), '2026-01-16', '2026-01-16');
select is(tests.wallet('down'), 'balance 300, total 300, spent 0, expired 0, held 0',
  'a downgrade takes nothing back where the platform gives no money back');
select is(tests.plan_of('down') || ' ' || (select next_plan_type from public.user_subscriptions where subscription_id = 'sub_d'),
  'pro active basic', 'its plan holds on, and the next is known');
select tests.deliver('evt_5b', tests.paid_period('prod_basic', '2026-01-31', 'down', 'sub_d'), '2026-01-31', '2026-01-31');
select is(tests.plan_of('down'), 'basic active', 'until the next period');

select tests.be_postgres();
insert into public.payment_products (platform, product_id, price_id, name, plan, billing_period, credits, amount, currency)
select 'stripe', p.product_id, p.product_id, p.name, p.plan, p.billing_period, p.credits, p.amount, p.currency from public.payment_products p;
select tests.be_service();
select public.receive_payment_event('stripe', 'evt_s1', 'test', '2026-01-01', '{}', '{"rank": 0}'
  || tests.paid_period('prod_pro', '2026-01-01', 'at_once', 'sub_o'), at => '2026-01-01');
select public.receive_payment_event('stripe', 'evt_s2', 'test', '2026-01-16', '{}', '{"rank": 0}'
  || tests.told_status('active', 'prod_basic', 'sub_o'), at => '2026-01-16');
select is(tests.wallet('at_once'), 'balance 200, total 200, spent 0, expired 0, held 0',
  'where it does, a downgrade takes half the difference');
select is(tests.ledger('at_once'), 'credit 300 subscription, clawback -100 plan_change', 'as a change of plan');
select tests.be_postgres();
select tests.be_service();

select tests.deliver('evt_6', tests.paid_period('prod_basic', '2026-01-01', 'anew', 'sub_a'));
select tests.deliver('evt_7', tests.paid_period('prod_pro', '2026-01-16', 'anew', 'sub_a'), '2026-01-16', '2026-01-16');
select is(tests.wallet('anew'), 'balance 350, total 350, spent 0, expired 0, held 0',
  'where a new period begins, the old one counts as far as it went');
select tests.deliver('evt_8', tests.paid_period('prod_basic', '2026-02-15', 'anew', 'sub_a'), '2026-02-15', '2026-02-15');
select is(tests.plan_of('anew'), 'basic active', 'a downgrade at the period''s end comes with the next period');

select tests.deliver('evt_8b', tests.paid_period('prod_pro', '2026-02-15', 'anew', 'sub_a'), '2026-02-15 00:00:10', '2026-02-15 00:00:10');
select is(tests.wallet('anew'), 'balance 400, total 450, spent 0, expired 50, held 0',
  'what a period was bought for is what is told of it first');

select tests.deliver('evt_y1', tests.paid_period('prod_basic', '2026-01-01', 'yearly', 'sub_y'));
select tests.deliver('evt_y2', tests.told_status('active', 'prod_year', 'sub_y'), '2026-01-16', '2026-01-16');
select is(tests.wallet('yearly'), 'balance 100, total 100, spent 0, expired 0, held 0', 'a year that is not paid for brings nothing');
select results_eq($$ select plan_type, next_plan_type from public.user_subscriptions where subscription_id in ('sub_y', 'sub_d')
  order by subscription_id $$, $$ values ('basic', null), ('basic', null) $$, 'no other plan is to come');
select tests.deliver('evt_y3', tests.paid_period('prod_year', '2026-01-31', 'yearly', 'sub_y', length => '365 days'), '2026-01-31', '2026-01-31');
select is(tests.wallet('yearly'), 'balance 1540, total 1540, spent 0, expired 0, held 0', 'paid for, it brings all of it');

select tests.deliver('evt_e1', tests.paid_period('prod_basic', '2026-01-01', 'early', 'sub_e'));
select tests.deliver('evt_e2', tests.told_status('active', 'prod_pro', 'sub_e'), '2026-01-30 23:59', '2026-01-30 23:59');
select is(tests.wallet('early'), 'balance 100, total 100, spent 0, expired 0, held 0',
  'what is told in a period''s last minutes is about the next');

select tests.deliver('evt_9', tests.paid_period('prod_basic', '2026-01-01', 'seats', 'sub_s', units => 3));
select is(tests.wallet('seats'), 'balance 300, total 300, spent 0, expired 0, held 0', 'seats multiply');
select tests.deliver('evt_10', jsonb_build_object('payment', '{"id": "tran_s2", "status": "succeeded", "kind": "subscription",
  "amount": 1000, "currency": "USD", "product_id": "prod_basic", "units": 5, "subscription_id": "sub_s",
  "paid_at": "2026-01-16T00:00:00Z", "changed_at": "2026-01-16T00:00:00Z"}'::jsonb), '2026-01-16', '2026-01-16');
select is(tests.wallet('seats'), 'balance 400, total 400, spent 0, expired 0, held 0', 'and more of them count from when they were paid for');
select tests.deliver('evt_h1', tests.paid_period('prod_basic', '2026-01-01', 'hasty', 'sub_h'));
select tests.deliver('evt_h2', jsonb_build_object('payment', '{"id": "tran_h2", "status": "succeeded", "kind": "subscription",
  "amount": 2000, "currency": "USD", "product_id": "prod_pro", "subscription_id": "sub_h", "paid_at": "2026-01-01T00:00:08Z",
  "changed_at": "2026-01-01T00:00:07Z"}'::jsonb), '2026-01-01 00:00:09', '2026-01-01 00:00:09');
select is(tests.wallet('hasty'), 'balance 300, total 300, spent 0, expired 0, held 0',
  'an upgrade within the first seconds brings the whole difference');

select tests.deliver('evt_i1', tests.paid_period('prod_basic', '2026-01-01', 'item', 'sub_i'));
select tests.deliver('evt_i2', jsonb_build_object('payment', '{"id": "tran_i2", "status": "succeeded", "kind": "subscription",
  "amount": 1000, "currency": "USD", "product_id": "prod_item", "subscription_id": "sub_i", "paid_at": "2026-01-03T00:00:00Z",
  "changed_at": "2026-01-03T00:00:00Z"}'::jsonb), '2026-01-03', '2026-01-03');
select is(tests.wallet('item'), 'balance 100, total 100, spent 0, expired 0, held 0', 'what is bought beside the plan changes nothing of it');
select tests.deliver('evt_i3', tests.reversed('tran_i2', 1000, id => 'ref_i'), '2026-01-04', '2026-01-04');
select is(tests.wallet('item'), 'balance 100, total 100, spent 0, expired 0, held 0', 'nor does giving its money back');
select public.receive_payment_event('stripe', 'evt_n1', 'test', '2026-01-01', '{}', '{"rank": 0}'
  || tests.paid_period('prod_basic', '2026-01-01', 'unknown', 'sub_n'), at => '2026-01-01');
select public.receive_payment_event('stripe', 'evt_n2', 'test', '2026-01-16', '{}', '{"rank": 0}'
  || tests.told_status('active', 'prod_unknown', 'sub_n'), at => '2026-01-16');
select is(tests.wallet('unknown'), 'balance 100, total 100, spent 0, expired 0, held 0', 'a product that is not ours is no lesser plan');
select tests.deliver('evt_t1', jsonb_set(tests.paid_period('prod_basic', '2026-01-01', 'two', 'sub_t'), '{period,items}',
  '[{"product_id": "prod_basic"}, {"product_id": "prod_pro"}]'));
select is(tests.wallet('two'), 'balance 300, total 300, spent 0, expired 0, held 0', 'of two plans at once the one with more credits counts');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
