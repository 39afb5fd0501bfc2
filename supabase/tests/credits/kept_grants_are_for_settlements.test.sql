-- A grant past its time that an open hold keeps alive: the settlement burns it first, everything else last.
begin;
select plan(8);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'promotion',
  expires_at => now() + interval '1 hour');
select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 4, 'generation', expires_in => '3 hours', at => now())).hold_id);
select public.expire_credits(tests.id('owner'), now() + interval '2 hours');
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase', at => now() + interval '2 hours');
select is(tests.grants('owner'), '4 of 5 promotion, 10 of 10 purchase', 'a kept grant and a living one');

savepoint kept;
select public.debit_user_credits_transaction(tests.id('owner'), 3, 'generation', at => now() + interval '2 hours');
select is(tests.grants('owner'), '4 of 5 promotion, 7 of 10 purchase', 'a debit takes from the living one');
select public.debit_user_credits_transaction(tests.id('owner'), 2, 'generation', idempotency_key => 'k',
  at => now() + interval '2 hours');
select is(tests.grants('owner'), '4 of 5 promotion, 5 of 10 purchase', 'with a key too');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 5.000001, 'generation',
  at => now() + interval '2 hours') $$, 'PT402', 'insufficient_credits', 'and never what the hold may need');
rollback to kept;

select public.settle_credit_hold(tests.recall('hold')::uuid, 3, keep_open => true, idempotency_key => 'part',
  at => now() + interval '2 hours');
select is(tests.grant_changes(tests.last_entry('owner') - 1), '-3 promotion',
  'a part of a settlement takes from the kept one');
select is(tests.wallet('owner'), 'balance 10, total 15, spent 3, expired 2, held 1',
  'what living grants can pay of the rest is kept no longer');
select public.settle_credit_hold(tests.recall('hold')::uuid, 1, at => now() + interval '2 hours');
select is(tests.grants('owner'), '0 of 5 promotion, 9 of 10 purchase', 'and is paid by them');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
