begin;
select plan(91);
select tests.create_user('owner');
select tests.be_service();
select tests.remember('grant', (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase')).grant_id);
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id);

select throws_ok(format(call, amount), 'PT400', 'invalid_request', format(call, amount))
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), %s, 'manual') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), %s, 'generation') $$),
  ($$ select public.refund_user_credits(tests.id('owner'), %s, 'refund') $$),
  ($$ select public.clawback_credits(tests.recall('grant')::uuid, %s, 'refund') $$),
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

-- Whoever names an amount, and whatever the column behind it could hold.
select tests.be_postgres();
select tests.create_user('boss');
select tests.create_team('team');
select tests.sell('pack', 1);
select tests.remember('pack', p.id) from public.payment_products p where p.product_id = 'pack';
select tests.join_team('team', 'owner', 'owner');
update public.users set role = 'admin' where id = tests.id('boss');
select throws_ok(format('select tests.sign_in(%L); select public.' || call, who, amount), 'PT400', 'invalid_request', format(call, amount))
from (values
  ('boss', $$ admin_adjust_credits(tests.id('owner'), %s, 'A gesture.', 'k') $$),
  ('boss', $$ admin_set_overdraft(tests.id('owner'), %s, 'A gesture.') $$),
  ('owner', $$ create_api_key('key', budget => %s) $$),
  ('owner', $$ create_api_key('key', period_budget => %s, budget_period => 'day') $$),
  ('owner', $$ set_member_limit(tests.id('team'), tests.id('owner'), %s) $$),
  ('owner', $$ set_member_limit(tests.id('team'), tests.id('owner'), null, %s, 'day') $$),
  ('owner', $$ set_auto_top_up(tests.id('team'), tests.recall('pack')::uuid, %s, 1) $$)
) c (who, call)
cross join (values ('''NaN'''), ('''infinity'''), ('-1e15'), ('0.0000001'), ('1e13'), ('1e30')) a (amount)
order by who, call;
select tests.be_service();

select is(tests.wallet('owner'), 'balance 13, total 13, spent 0, expired 0, held 1', 'none of it changed anything');

select throws_ok(format('select public.%s from generate_series(1, 100)', call), 'PT400', 'invalid_request', 'nor is more kept than a wallet can hold: ' || call)
from (values
  ($$ credit_user_credits_transaction(tests.id('owner'), 1e12, 'purchase') $$),
  ($$ settle_credit_hold((public.hold_credits(tests.id('owner'), 0, 'generation')).hold_id, 1e12) $$)
) c (call);

select * from finish();
rollback;
