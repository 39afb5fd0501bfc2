begin;
select plan(18);
select tests.create_guest('owner'), tests.create_guest('other');
select tests.be_service();
select tests.remember('pack',
  (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase', idempotency_key => 'pack')).grant_id);
select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 1, 'generation', idempotency_key => 'hold')).hold_id);

-- Each call is made twice; afterwards the wallet is emptied and it is made once more.
select tests.remember('credit',
  public.credit_user_credits_transaction(tests.id('owner'), 2, 'manual', '{"a": 1}', idempotency_key => 'credit'));
select is(public.credit_user_credits_transaction(tests.id('owner'), 2.0, 'manual', '{"a": 1}',
  idempotency_key => 'credit')::text, tests.recall('credit'), 'a credit');
select tests.remember('debit',
  public.debit_user_credits_transaction(tests.id('owner'), 4, 'generation', idempotency_key => 'debit'));
select is(public.debit_user_credits_transaction(tests.id('owner'), 4, 'generation', idempotency_key => 'debit')::text,
  tests.recall('debit'), 'a debit');
select tests.remember('refund',
  public.refund_user_credits(tests.id('owner'), 1, 'refund', idempotency_key => 'refund'));
select is(public.refund_user_credits(tests.id('owner'), 1, 'refund', idempotency_key => 'refund')::text,
  tests.recall('refund'), 'a refund');
select tests.remember('clawback',
  public.clawback_credits(tests.recall('pack')::uuid, 1, 'refund', idempotency_key => 'clawback'));
select is(public.clawback_credits(tests.recall('pack')::uuid, 1, 'refund', idempotency_key => 'clawback')::text,
  tests.recall('clawback'), 'a clawback');
select is((public.hold_credits(tests.id('owner'), 1, 'generation', idempotency_key => 'hold')).hold_id::text,
  tests.recall('hold'), 'a hold');
select tests.remember('extend', public.extend_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'extend'));
select is(public.extend_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'extend')::text,
  tests.recall('extend'), 'an extension');
select tests.remember('settle', public.settle_credit_hold(tests.recall('hold')::uuid, 2, idempotency_key => 'settle'));
select is(public.settle_credit_hold(tests.recall('hold')::uuid, 2, idempotency_key => 'settle')::text,
  tests.recall('settle'), 'a settlement');
select is(tests.wallet('owner'), 'balance 6, total 11, spent 5, expired 0, held 0', 'each of them counted once');

select public.debit_user_credits_transaction(tests.id('owner'), 6, 'generation');
select is(public.debit_user_credits_transaction(tests.id('owner'), 4, 'generation', idempotency_key => 'debit')::text,
  tests.recall('debit'), 'a debit on a wallet that is empty by now');
select is((public.hold_credits(tests.id('owner'), 1, 'generation', idempotency_key => 'hold')).hold_id::text,
  tests.recall('hold'), 'a hold there too');
select is(public.extend_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'extend')::text,
  tests.recall('extend'), 'an extension of what is closed by now');

select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 7, 'generation',
  idempotency_key => 'refused') $$, 'PT402', 'insufficient_credits', 'a refusal');
select public.credit_user_credits_transaction(tests.id('owner'), 7, 'purchase');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 7, 'generation',
  idempotency_key => 'refused') $$, 'does not use its key up');

select lives_ok($$ select public.credit_user_credits_transaction(tests.id('other'), 5, 'purchase',
  idempotency_key => 'debit') $$, 'a key belongs to its wallet');
select public.debit_user_credits_transaction(tests.id('other'), 1, 'generation'),
  public.debit_user_credits_transaction(tests.id('other'), 1, 'generation');
select is(tests.wallet('other'), 'balance 3, total 5, spent 2, expired 0, held 0', 'without a key each call counts');
select is((select count(*) from public.credit_transactions
  where workspace_id = tests.id('owner') and idempotency_key is not null), 7::bigint, 'entries name their keys');

select public.credit_user_credits_transaction(tests.id('other'), 1, 'purchase', expires_at => '2100-01-01 00:00+00',
  idempotency_key => 'expiring');
set local timezone = 'Asia/Tokyo';
select lives_ok($$ select public.credit_user_credits_transaction(tests.id('other'), 1, 'purchase',
  expires_at => '2100-01-01 00:00+00', idempotency_key => 'expiring') $$, 'a time is the same in any zone');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
