begin;
select plan(8);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase');
select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund') $$, 'PT409', 'invalid_state',
  'nothing was spent yet');
select public.debit_user_credits_transaction(tests.id('owner'), 3, 'generation');
select tests.remember('debit', tests.last_entry('owner'));

select lives_ok($$ select public.refund_user_credits(tests.id('owner'), 2, 'refund') $$,
  'what was spent can be refunded');
select is(tests.grants('owner'), '2 of 5 purchase, 2 of 2 refund', 'as a new grant');
select is((select is_paid from public.credit_grants where workspace_id = tests.id('owner') and kind = 'refund'), false,
  'that is not paid');
select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 1.000001, 'refund') $$, 'PT409',
  'invalid_state', 'but not twice');
select throws_ok($$ select public.refund_user_credits(tests.id('owner'), 2, 'refund',
  transaction_id => tests.recall('debit')::bigint) $$,
  'PT409', 'invalid_state', 'nor once more by naming the entry');
select lives_ok($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund',
  transaction_id => tests.recall('debit')::bigint) $$, 'only the rest');
select is(tests.wallet('owner'), 'balance 5, total 5, spent 0, expired 0, held 0', 'then nothing is spent');

select * from finish();
rollback;
