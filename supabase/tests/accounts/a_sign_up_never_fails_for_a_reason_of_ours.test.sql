begin;
select plan(16);

alter table public.workspaces add constraint broken check (name <> 'Personal') not valid;
select lives_ok($$ select tests.create_user('ann') $$, 'a sign-up succeeds');
select is((select count(*) from auth.users where id = tests.id('ann')), 1::bigint, 'the account is there');
select results_eq($$ select error_code, attempts from private.account_failures where message ~ 'broken' $$,
  $$ values ('23514', 1) $$,
  'the failure is recorded');
select is_empty($$ select from public.users where id = tests.id('ann') $$, 'nothing is half made');
select is(private.run_due_work(now() + interval '2 minutes'), 1, 'scheduled work tries again');
select is((select attempts from private.account_failures where user_id = tests.id('ann')), 2,
  'and counts its attempts');
select is(private.complete_next_account(clock_timestamp()), false, 'a failure is left alone for a while');
alter table public.workspaces drop constraint broken;
select private.run_due_work(now() + interval '5 minutes');
select is(tests.ledger('ann'), 'credit 3 signup', 'scheduled work completes the account');

alter table public.workspaces add constraint broken check (name <> 'Personal') not valid;
select tests.create_user('ben'), tests.create_user('cem');
alter table public.workspaces drop constraint broken;
select tests.be_service();
select public.debit_user_credits_transaction(tests.id('ben'), 1, 'generation');
select is(tests.ledger('ben'), 'credit 3 signup, debit -1 generation', 'a debit completes the account first');
select public.admit_ai_call(tests.id('cem'), 'no such model', 1);
select is(tests.ledger('cem'), 'credit 3 signup', 'an admission completes it too');
select tests.be_postgres();
select is_empty('select * from private.account_failures', 'the failures are forgotten');

alter table public.credit_transactions add constraint broken check (reason <> 'signup') not valid;
select lives_ok($$ select tests.create_user('eva') $$, 'a sign-up succeeds where its credits fail');
alter table public.credit_transactions drop constraint broken;
select is((select message ~ 'broken' from private.account_failures where user_id = tests.id('eva')), true, 'which is recorded');
select private.complete_next_account(now() + interval '2 minutes');
select is(tests.ledger('eva'), 'credit 3 signup', 'and they are given with the next try');

alter table public.workspaces add constraint broken check (name <> 'Personal') not valid;
alter table private.account_failures add constraint broken check (false) not valid;
select lives_ok($$ select tests.create_user('dan') $$, 'a sign-up succeeds even where the failure cannot be recorded');
alter table public.workspaces drop constraint broken;
select public.debit_user_credits_transaction(tests.id('dan'), 1, 'generation');
select is(tests.ledger('dan'), 'credit 3 signup, debit -1 generation', 'and the account is completed all the same');

select * from finish();
rollback;
