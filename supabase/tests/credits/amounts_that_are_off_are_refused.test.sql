begin;
select plan(47);
select tests.create_user('owner');
select tests.be_service();
select tests.remember('lot', (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase')).grant_id);
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id);

select throws_ok(format(call, amount), 'PT400', 'invalid_request', format(call, amount))
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), %s, 'manual') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), %s, 'generation') $$),
  ($$ select public.refund_user_credits(tests.id('owner'), %s, 'refund') $$),
  ($$ select public.clawback_credits(tests.recall('lot')::uuid, %s, 'refund') $$),
  ($$ select public.settle_credit_hold(tests.recall('hold')::uuid, %s, keep_open => true, idempotency_key => 'k') $$)
) c (call)
cross join (values ('null'), ('''NaN'''), ('''infinity'''), ('0'), ('-1'), ('0.0000001'), ('1e13')) a (amount);

-- Nothing may be held, and nothing may have been used.
select throws_ok(format(call, amount), 'PT400', 'invalid_request', format(call, amount))
from (values
  ($$ select public.hold_credits(tests.id('owner'), %s, 'generation') $$),
  ($$ select public.settle_credit_hold(tests.recall('hold')::uuid, %s) $$)
) c (call)
cross join (values ('null'), ('''NaN'''), ('-1'), ('0.0000001'), ('1e13')) a (amount);

select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, -1) $$, 'PT400', 'invalid_request',
  'a hold is not extended backwards');
select is(tests.wallet('owner'), 'balance 13, total 13, spent 0, expired 0, held 1', 'none of it changed anything');

select * from finish();
rollback;
