begin;
select plan(17);
select tests.create_guest('owner');
select tests.be_service();
update public.credit_wallets set overdraft_limit = 5 where workspace_id = tests.id('owner');

select public.credit_user_credits_transaction(tests.id('owner'), 2, 'purchase');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 6, 'generation') $$,
  'an overdraft limit admits debt');
select is(tests.wallet('owner'), 'balance -4, total 2, spent 6, expired 0, held 0', 'which is a negative balance');
select results_eq($$ select is_overdraft, tests.grant_changes(id) from public.credit_transactions
  where id = tests.last_entry('owner') $$,
  $$ values (true, '-2 purchase') $$, 'the entry is marked, and names the grant that was there');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'not past the limit');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 1.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'nor by a hold');

-- What costs nothing needs nothing, further below the limit too.
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id);
select public.settle_credit_hold(tests.recall('hold')::uuid, 3, keep_open => true, idempotency_key => 'part');
select is(tests.wallet('owner'), 'balance -7, total 2, spent 9, expired 0, held 0', 'a settlement passes it');
select lives_ok(format('select public.extend_credit_hold(%L, 0, ''1 hour'')', tests.recall('hold')), 'a hold lives longer in debt');
select lives_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation') $$, 'and one of nothing is made');
select throws_ok(format('select public.extend_credit_hold(%L, 0.000001)', tests.recall('hold')), 'PT402', 'insufficient_credits', 'of anything it is not');
select public.refund_user_credits(tests.id('owner'), 3, 'refund', transaction_id => tests.last_entry('owner'));

select public.credit_user_credits_transaction(tests.id('owner'), 3, 'purchase');
select is(tests.grants('owner'), '0 of 2 purchase, 0 of 3 purchase', 'the next grant is used up by it');
select is(tests.wallet('owner'), 'balance -1, total 5, spent 6, expired 0, held 0', 'as far as it lasts');
select public.credit_user_credits_transaction(tests.id('owner'), 3, 'purchase');
select is(tests.grants('owner'), '0 of 2 purchase, 0 of 3 purchase, 2 of 3 purchase', 'and the one after in part');
select is(tests.wallet('owner'), 'balance 2, total 8, spent 6, expired 0, held 0', 'then there are credits again');

select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation');
select public.refund_user_credits(tests.id('owner'), 4, 'refund');
select is(tests.wallet('owner'), 'balance 1, total 8, spent 7, expired 0, held 0', 'a refund pays debt first');
select matches(tests.grants('owner'), '1 of 1 refund$', 'and only the rest becomes a grant');
select throws_ok($$ update public.credit_wallets set overdraft_limit = -1 $$, '23514', null, 'a limit is not negative');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
