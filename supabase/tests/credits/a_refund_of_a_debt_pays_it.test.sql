begin;
select plan(6);
select tests.create_guest('owner');
select tests.be_service();
update public.credit_wallets set overdraft_limit = 10 where workspace_id = tests.id('owner');
select public.credit_user_credits_transaction(tests.id('owner'), 4, 'purchase');
select public.debit_user_credits_transaction(tests.id('owner'), 10, 'generation');
select tests.remember('debit', tests.last_entry('owner'));

select public.refund_user_credits(tests.id('owner'), 5, 'refund', transaction_id => tests.recall('debit')::bigint);
select is(tests.wallet('owner'), 'balance -1, total 4, spent 5, expired 0, held 0', 'debt comes first');
select is(tests.grants('owner'), '0 of 4 purchase', 'before any grant');
select public.refund_user_credits(tests.id('owner'), 5, 'refund', transaction_id => tests.recall('debit')::bigint);
select is(tests.grants('owner'), '4 of 4 purchase', 'then the grant it burned');

select public.debit_user_credits_transaction(tests.id('owner'), 10, 'generation');
select tests.remember('debit', tests.last_entry('owner'));
select public.credit_user_credits_transaction(tests.id('owner'), 6, 'manual');
select public.refund_user_credits(tests.id('owner'), 10, 'refund', transaction_id => tests.recall('debit')::bigint);
select is(tests.grants('owner'), '4 of 4 purchase, 0 of 6 free, 6 of 6 refund',
  'where other credits paid the debt, it is a new grant');
select is((select is_paid from public.credit_grants where workspace_id = tests.id('owner') and kind = 'refund'), true,
  'paid, as what the entry burned was');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
