begin;
select plan(14);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'promotion',
  expires_at => now() + interval '1 hour');
select public.credit_user_credits_transaction(tests.id('owner'), 1, 'purchase');
select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 4, 'generation', expires_in => '2 hours', at => now())).hold_id);

select public.expire_credits(tests.id('owner'), now() + interval '90 minutes');
select is(tests.grants('owner'), '3 of 5 promotion, 1 of 1 purchase',
  'at its time a grant keeps what open holds may need of it');
select is(tests.wallet('owner'), 'balance 4, total 6, spent 0, expired 2, held 4', 'and loses the rest');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 0.000001, 'generation',
  at => now() + interval '90 minutes') $$, 'PT402', 'insufficient_credits', 'nobody else gets it');
select is(public.expire_credits(at => now() + interval '90 minutes'), 0, 'the sweep does not come back for it');

savepoint still_open;
select results_eq($$ select credits_balance, credits_expired, credits_available
  from public.settle_credit_hold(tests.recall('hold')::uuid, 2, at => now() + interval '100 minutes') $$,
  $$ values (1::numeric, 3::numeric, 1::numeric) $$,
    'a settlement burns it and what it leaves expires; the answer says so');
select is(tests.grants('owner'), '0 of 5 promotion, 1 of 1 purchase', 'the living grant is left');
rollback to still_open;

select results_eq($$ select credits_balance, credits_expired, credits_available
  from public.release_credit_hold(tests.recall('hold')::uuid, at => now() + interval '100 minutes') $$,
  $$ values (1::numeric, 5::numeric, 1::numeric) $$, 'a release lets it expire');
select is(tests.grants('owner'), '0 of 5 promotion, 1 of 1 purchase', 'all of it');
rollback to still_open;

select is(public.expire_credits(at => now() + interval '2 hours'), 1, 'when the hold''s time is over the sweep comes');
select is(tests.wallet('owner'), 'balance 1, total 6, spent 0, expired 5, held 0', 'and takes both');
select is(public.expire_credits(at => now() + interval '2 hours'), 0, 'once');
select public.settle_credit_hold(tests.recall('hold')::uuid, 4, at => now() + interval '3 hours');
select is(tests.wallet('owner'), 'balance -3, total 6, spent 4, expired 5, held 0',
  'a settlement after that finds only what lives');
select is(tests.grants('owner'), '0 of 5 promotion, 0 of 1 purchase', 'and burns it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
