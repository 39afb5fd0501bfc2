begin;
select plan(11);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase');
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 5, 'session_fee')).hold_id);

select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 2, keep_open => true) $$, 'PT400',
  'invalid_request', 'a part needs a key');
select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 0, keep_open => true,
  idempotency_key => 'part 0') $$, 'PT400', 'invalid_request', 'and an amount');
select public.settle_credit_hold(tests.recall('hold')::uuid, 2, keep_open => true, idempotency_key => 'part 1');
select is(tests.wallet('owner'), 'balance 8, total 10, spent 2, expired 0, held 3',
  'what was used is charged, the rest stays aside');
select public.settle_credit_hold(tests.recall('hold')::uuid, 2, keep_open => true, idempotency_key => 'part 1');
select is(tests.wallet('owner'), 'balance 8, total 10, spent 2, expired 0, held 3',
  'the same part again changes nothing');
select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 1, keep_open => true,
  idempotency_key => 'part 1') $$, 'PT409', 'idempotency_conflict', 'another under its key is refused');
select public.settle_credit_hold(tests.recall('hold')::uuid, 4, keep_open => true, idempotency_key => 'part 2');
select is(tests.wallet('owner'), 'balance 4, total 10, spent 6, expired 0, held 0', 'a part may pass what is held');
select public.extend_credit_hold(tests.recall('hold')::uuid, 3);
select public.settle_credit_hold(tests.recall('hold')::uuid, 1);
select is(tests.wallet('owner'), 'balance 3, total 10, spent 7, expired 0, held 0', 'the last one frees the rest');
select results_eq($$ select state::text, settled_amount::numeric, final_amount::numeric from public.credit_holds
  where id = tests.recall('hold')::uuid $$,
  $$ values ('settled', 7::numeric, 1::numeric) $$, 'and the hold knows the sum');
select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 1, keep_open => true,
  idempotency_key => 'part 3') $$, 'PT409', 'invalid_state', 'then no part follows');
select is((select count(*) from public.credit_transactions where hold_id = tests.recall('hold')::uuid), 3::bigint,
  'each part is an entry');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
