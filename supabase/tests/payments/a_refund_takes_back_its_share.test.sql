begin;
select plan(22);
select tests.create_guest('owner');
select tests.create_guest('spender');
select tests.create_guest('early');
select tests.create_guest('untold');
select tests.sell('prod_basic', 100, 'basic');
select tests.sell('prod_pack', 50);
select tests.sell('prod_big', 1000, 'pro');
select tests.create_guest('late');
select tests.be_service();

select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'owner'));
select tests.deliver('evt_2', tests.paid_pack('prod_pack', 'tran_pack', 'owner'));
select tests.deliver('evt_3', tests.reversed('tran_1_20260101', 250));
select is(tests.wallet('owner'), 'balance 125, total 125, spent 0, expired 0, held 0', 'a quarter refunded takes back a quarter');
select is(tests.grants('owner'), '75 of 100 subscription, 50 of 50 purchase', 'of the grant that was paid for');
select results_eq($$ select status::text, refunded_amount from public.payments where payment_id = 'tran_1_20260101' $$,
  $$ values ('partially_refunded', 250::bigint) $$, 'the payment tells of it');
select tests.deliver('evt_4', tests.reversed('tran_1_20260101', 250, id => 'ref_2'));
select is(tests.wallet('owner'), 'balance 100, total 100, spent 0, expired 0, held 0', 'the next refund takes the difference');
select tests.deliver('evt_4_again', tests.reversed('tran_1_20260101', 250, id => 'ref_2'));
select is(tests.wallet('owner'), 'balance 100, total 100, spent 0, expired 0, held 0', 'and no more when it is heard of twice');
select tests.deliver('evt_5', tests.reversed('tran_1_20260101', 500, status => 'failed', id => 'ref_3'));
select is(tests.wallet('owner'), 'balance 100, total 100, spent 0, expired 0, held 0', 'a refund that failed takes nothing');
select tests.deliver('evt_6', tests.reversed('tran_1_20260101', 5000, id => 'ref_4'));
select is(tests.wallet('owner'), 'balance 50, total 50, spent 0, expired 0, held 0', 'more than was paid takes all there was');
select is((select status::text from public.payments where payment_id = 'tran_1_20260101'), 'refunded', 'which is then refunded');
select is(tests.ledger('owner'),
  'credit 100 subscription, credit 50 purchase, clawback -25 refund, clawback -25 refund, clawback -50 refund',
  'the ledger tells of each');

select tests.deliver('evt_7', jsonb_set(tests.paid_pack('prod_pack', 'tran_spent', 'spender'), '{customer}', '{"id": "cust_2"}'));
select public.debit_user_credits_transaction(tests.id('spender'), 50, 'generation');
select tests.deliver('evt_8', tests.reversed('tran_spent', 1000, id => 'ref_5'));
select is(tests.wallet('spender'), 'balance -50, total 0, spent 50, expired 0, held 0', 'what is spent becomes a debt');
select tests.deliver('evt_9', jsonb_set(tests.paid_pack('prod_pack', 'tran_next', 'spender'), '{customer}', '{"id": "cust_2"}'));
select is(tests.wallet('spender'), 'balance 0, total 50, spent 50, expired 0, held 0', 'that the next credits pay');
select is(tests.grants('spender'), '0 of 50 purchase, 0 of 50 purchase', 'and nothing is left of them');

select tests.deliver('evt_9b', jsonb_set(tests.paid_pack('prod_pack', 'tran_more', 'spender'), '{customer}', '{"id": "cust_2"}'));
select public.debit_user_credits_transaction(tests.id('spender'), 50, 'generation');
select tests.deliver('evt_9c', tests.reversed('tran_next', 1000, id => 'ref_7'));
select tests.deliver('evt_9d', tests.reversed('tran_more', 1000, id => 'ref_8'));
select tests.deliver('evt_9e', jsonb_set(tests.paid_pack('prod_pack', 'tran_last', 'spender'), '{customer}', '{"id": "cust_2"}'));
select is(tests.wallet('spender'), 'balance -50, total 50, spent 100, expired 0, held 0', 'a debt may be more than the next credits');
select is_empty('select * from public.verify_credits()', 'and the ledger is right meanwhile');

select tests.deliver('evt_u1', jsonb_set(tests.paid_pack('prod_pack', 'tran_untold', 'untold'), '{customer}', '{"id": "cust_4"}') #- '{payment,amount}');
select tests.deliver('evt_u2', tests.reversed('tran_untold', 250, id => 'ref_u'));
select is(tests.wallet('untold'), 'balance 37.5, total 37.5, spent 0, expired 0, held 0',
  'where the amount is not told, it is measured by the price on show');
select is((select status::text from public.payments where payment_id = 'tran_untold'), 'partially_refunded', 'in the payment too');
select tests.deliver('evt_u3', tests.reversed('tran_untold', 0, 'dispute', 'open', 'disp_u') #- '{reversal,amount}');
select is(tests.wallet('untold'), 'balance 0, total 0, spent 0, expired 0, held 0', 'a dispute without an amount is of all of it');

select tests.deliver('evt_l1', tests.paid_period('prod_basic', '2026-01-01', 'late', 'sub_l'));
select tests.deliver('evt_l2', jsonb_build_object('payment', '{"id": "tran_change", "status": "succeeded", "kind": "subscription",
  "amount": 1000, "product_id": "prod_big", "subscription_id": "sub_l", "changed_at": "2026-01-16T00:00:00Z",
  "paid_at": "2026-02-05T00:00:00Z"}'::jsonb), '2026-01-30', '2026-01-30');
select is(tests.wallet('late'), 'balance 550, total 550, spent 0, expired 0, held 0', 'a change that is paid for after its period');
select tests.deliver('evt_l3', tests.reversed('tran_change', 1000, id => 'ref_l'), '2026-01-30', '2026-01-30');
select is(tests.wallet('late'), 'balance 275, total 275, spent 0, expired 0, held 0', 'is refunded from it');

select is(tests.deliver('evt_10', tests.reversed('tran_early', 600, id => 'ref_6')), 'applied', 'a refund may come before its payment');
select tests.deliver('evt_11', jsonb_set(tests.paid_pack('prod_pack', 'tran_early', 'early'), '{customer}', '{"id": "cust_3"}'));
select is(tests.wallet('early'), 'balance 20, total 20, spent 0, expired 0, held 0', 'which then brings what is left of it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
