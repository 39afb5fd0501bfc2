begin;
select plan(15);
select tests.create_user('owner'), tests.create_team('team');
select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual', workspace_id => tests.id('team'));

select tests.be_service();
select throws_ok('update public.credit_transactions set amount = 1000', '42501', null,
  'the service role changes no entry');
select throws_ok('delete from public.credit_transactions', '42501', null, 'deletes none');
select throws_ok('truncate public.credit_transactions', '42501', null, 'empties nothing');
select throws_ok($$ insert into public.credit_transactions (created_at, workspace_id, transaction_type, amount,
  balance_after, reason)
  values (now(), tests.id('owner'), 'credit', 1000, 1003, 'manual') $$, '42501', null, 'and posts none by hand');
select throws_ok('update public.credit_wallets set credits_balance = 1000', '42501', null,
  'a balance is not set by hand');
select throws_ok('update public.credit_grants set remaining = amount', '42501', null, 'nor what is left of a grant');
select throws_ok($$ update public.credit_holds set state = 'released' $$, '42501', null, 'nor a hold');

select tests.be_postgres();
select throws_ok('update public.credit_transactions set amount = 1000', 'PT403', 'forbidden',
  'the owner of the table changes no entry either');
select throws_ok($$ update public.credit_transactions set description = 'x' $$, 'PT403', 'forbidden', 'not its words');
select throws_ok('update public.credit_transactions set user_id = null', 'PT403', 'forbidden',
  'nor whose it was, while that person exists');
select throws_ok($$ delete from public.credit_transactions where workspace_id = tests.id('owner') $$, 'PT403',
  'forbidden', 'deletes none');
select throws_ok('truncate public.credit_transactions', 'PT403', 'forbidden', 'and empties nothing');

delete from auth.users where id = tests.id('owner');
select is(tests.ledger('owner'), null, 'entries go with their workspace');
select is(tests.ledger('team'), 'credit 1 manual', 'and stay where only the person went');
select throws_ok($$ update public.credit_transactions set user_id = null, amount = 1000
  where workspace_id = tests.id('team') $$, 'PT403', 'forbidden', 'unchanged after that');

select * from finish();
rollback;
