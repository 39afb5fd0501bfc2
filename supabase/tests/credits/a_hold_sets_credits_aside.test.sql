begin;
select plan(15);
select tests.create_user('owner');
select tests.be_service();

select results_eq($$
  select credits_balance, credits_held, credits_available, amount, hold_id is not null, transaction_id
  from public.hold_credits(tests.id('owner'), 2, 'generation', '{"call": 1}', feature_code => 'text_chat',
    description => 'A call', expires_in => '5 minutes', at => now())
$$, $$ values (3::numeric, 2::numeric, 1::numeric, 2::numeric, true, null::bigint) $$,
  'answers with the wallet after it');
select results_eq($$ select user_id, amount::numeric, state::text, reason, feature_code, description, metadata,
  expires_at, closed_at from public.credit_holds where workspace_id = tests.id('owner') $$,
  $$ values (tests.id('owner'), 2::numeric, 'open', 'generation', 'text_chat', 'A call', '{"call": 1}'::jsonb,
    now() + interval '5 minutes', null::timestamptz) $$, 'the hold says what was asked');
select is(tests.ledger('owner'), 'credit 3 signup', 'nothing is charged');
select is(tests.grants('owner'), '3 of 3 free', 'and no grant is touched');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'a debit finds only what is available');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 1.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'another hold too');
select lives_ok($$ select public.hold_credits(tests.id('owner'), 1, 'generation') $$, 'up to all of it');
select lives_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation') $$,
  'a hold of nothing is always possible');

select throws_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation', expires_in => '0 s') $$, 'PT400',
  'invalid_request', 'it lives a while');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation', expires_in => '30 days 1 s') $$,
  'PT400', 'invalid_request', 'of 30 days at most');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation', expires_in => '12000 mons -360000 days') $$,
  'PT400', 'invalid_request', 'in whatever words');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 0, 'generation', expires_in => null) $$, 'PT400',
  'invalid_request', 'which is stated');

update public.credit_wallets set overdraft_limit = 2 where workspace_id = tests.id('owner');
select lives_ok($$ select public.hold_credits(tests.id('owner'), 2, 'generation') $$, 'an overdraft limit admits more');
select throws_ok($$ select public.hold_credits(tests.id('owner'), 0.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'up to itself');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
