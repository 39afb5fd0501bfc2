begin;
select plan(14);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase');
select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 8, 'generation', expires_in => '10 minutes', at => now())).hold_id);
select tests.remember('other',
  (public.hold_credits(tests.id('owner'), 2, 'generation', expires_in => '1 hour', at => now())).hold_id);

select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 3, 'generation',
  at => now() + interval '9 minutes') $$, 'PT402', 'insufficient_credits',
  'until its time what it holds is out of reach');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 3, 'generation',
  at => now() + interval '10 minutes') $$, 'then the next debit finds it free, without a sweep');
select is(tests.wallet('owner'), 'balance 7, total 10, spent 3, expired 0, held 2', 'the other is still held');
select is((select state::text from public.credit_holds where id = tests.recall('hold')::uuid), 'expired',
  'the hold is expired');
select lives_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 6,
  at => now() + interval '11 minutes') $$, 'a late settlement is taken all the same');
select is(tests.wallet('owner'), 'balance 1, total 10, spent 9, expired 0, held 2',
  'for nothing that was used is lost');
select is((select state::text from public.credit_holds where id = tests.recall('hold')::uuid), 'settled',
  'now it is settled');
select lives_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 6,
  at => now() + interval '12 minutes') $$, 'once');
select is(tests.wallet('owner'), 'balance 1, total 10, spent 9, expired 0, held 2', 'and not again');

select is(public.expire_credits(at => now() + interval '2 hours'), 1, 'the sweep takes holds too');
select is(tests.wallet('owner'), 'balance 1, total 10, spent 9, expired 0, held 0', 'it gives back what they held');
select lives_ok($$ select public.release_credit_hold(tests.recall('other')::uuid) $$,
  'an expired hold can be released, which changes nothing');

update public.credit_wallets set overdraft_limit = 4 where workspace_id = tests.id('owner');
select public.hold_credits(tests.id('owner'), 5, 'generation', expires_in => '10 minutes', at => now());
select lives_ok($$
  select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation', at => now() + interval '10 minutes')
$$, 'what an expired hold frees adds to the overdraft limit');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
