begin;
select plan(15);
select tests.create_guest('owner'), tests.create_guest('late');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 4, 'promotion',
  expires_at => now() + interval '1 day');
select public.credit_user_credits_transaction(tests.id('owner'), 4, 'purchase');
select public.debit_user_credits_transaction(tests.id('owner'), 6, 'generation');
select tests.remember('debit', tests.last_entry('owner'));
select is(tests.grants('owner'), '0 of 4 promotion, 2 of 4 purchase', 'a debit of 6 that burned two grants');

select results_eq($$
  select credits_balance, credits_spent, amount, grant_id
    from public.refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => tests.recall('debit')::bigint)
$$, $$ values (3::numeric, 5::numeric, 1::numeric, null::uuid) $$, 'a part of it can be refunded');
select is(tests.grants('owner'), '0 of 4 promotion, 3 of 4 purchase', 'to the grant that burned last');
select results_eq($$ select transaction_type::text, amount::numeric, refunded_transaction_id
  from public.credit_transactions where id = tests.last_entry('owner') $$,
  $$ values ('refund', 1::numeric, tests.recall('debit')::bigint) $$, 'the entry names what it refunds');
select public.refund_user_credits(tests.id('owner'), 3, 'refund', transaction_id => tests.recall('debit')::bigint);
select is(tests.grants('owner'), '2 of 4 promotion, 4 of 4 purchase',
  'the next goes to the one before, once that is whole');
select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 2.000001, 'refund',
  transaction_id => tests.recall('debit')::bigint) $$,
  'PT409', 'invalid_state', 'never more than the entry took, all together');

select public.refund_user_credits(tests.id('owner'), 2, 'refund', transaction_id => tests.recall('debit')::bigint,
  at => now() + interval '2 days');
select is(tests.ledger('owner'),
  'credit 4 promotion, credit 4 purchase, debit -6 generation, refund 1 refund, refund 3 refund, '
    'expire -2 expiry, refund 2 refund',
  'what would go to a grant that has expired');
select is(tests.grants('owner'), '0 of 4 promotion, 4 of 4 purchase, 2 of 2 refund', 'makes a new one');
select is((select expires_at from public.credit_grants where workspace_id = tests.id('owner') and kind = 'refund'),
  now() + interval '32 days', 'that lives 30 days');
select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 0.000001, 'refund',
  transaction_id => tests.recall('debit')::bigint) $$,
  'PT409', 'invalid_state', 'then there is nothing left to refund');

select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund',
  transaction_id => tests.last_entry('owner')) $$,
  'PT400', 'invalid_request', 'a refund is not refunded');
select throws_ok(format($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => %s) $$,
  (select min(id) from public.credit_transactions where workspace_id = tests.id('owner'))), 'PT400', 'invalid_request',
    'nor is a credit');
select is(tests.wallet('owner'), 'balance 6, total 8, spent 0, expired 2, held 0', 'spent is what was not refunded');

select public.credit_user_credits_transaction(tests.id('late'), 4, 'promotion', expires_at => now() + interval '1 day');
select public.debit_user_credits_transaction(tests.id('late'), 3, 'generation');
select tests.remember('late_debit', tests.last_entry('late'));
select public.expire_credits(tests.id('late'), now() + interval '2 days');
select public.refund_user_credits(tests.id('late'), 3, 'refund', transaction_id => tests.recall('late_debit')::bigint);
select is(tests.grants('late'), '0 of 4 promotion, 3 of 3 refund', 'one that is dated back gives nothing to a grant that expired since');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
