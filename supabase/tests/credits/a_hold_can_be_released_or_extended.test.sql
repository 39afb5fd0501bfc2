begin;
select plan(13);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase');

select tests.remember('hold', (public.hold_credits(tests.id('owner'), 4, 'generation')).hold_id);
select results_eq($$ select credits_held, credits_available, amount
  from public.release_credit_hold(tests.recall('hold')::uuid) $$,
  $$ values (0::numeric, 10::numeric, 4::numeric) $$, 'releasing gives everything back');
select results_eq($$ select credits_held, amount from public.release_credit_hold(tests.recall('hold')::uuid) $$,
  $$ values (0::numeric, 0::numeric) $$, 'again, it changes nothing');
select is((select state::text from public.credit_holds where id = tests.recall('hold')::uuid), 'released',
  'the hold is closed');
select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 1) $$, 'PT409', 'invalid_state',
  'and not settled any more');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 1) $$, 'PT409', 'invalid_state',
  'or extended');

select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 4, 'generation', expires_in => '10 minutes', at => now())).hold_id);
select results_eq($$ select credits_held, credits_available, amount
  from public.extend_credit_hold(tests.recall('hold')::uuid, 3, '20 minutes', at => now()) $$,
  $$ values (7::numeric, 3::numeric, 3::numeric) $$, 'extending sets more aside');
select is((select expires_at from public.credit_holds where id = tests.recall('hold')::uuid),
  now() + interval '20 minutes', 'for longer');
select public.extend_credit_hold(tests.recall('hold')::uuid, expires_in => '1 minute', at => now());
select is((select expires_at from public.credit_holds where id = tests.recall('hold')::uuid),
  now() + interval '20 minutes', 'never shorter');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 3.000001) $$, 'PT402',
  'insufficient_credits', 'not past what is available');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 1, '31 days') $$, 'PT400',
  'invalid_request', 'nor for more than 30 days');
select is(tests.wallet('owner'), 'balance 10, total 10, spent 0, expired 0, held 7',
  'a refused extension changes nothing');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 1,
  at => now() + interval '20 minutes') $$, 'PT409', 'invalid_state', 'what is past its time is not revived');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
