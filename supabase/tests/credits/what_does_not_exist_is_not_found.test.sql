begin;
select plan(16);
select tests.create_user('owner'), tests.create_user('other'), tests.create_team('team');
select tests.be_service();
select public.debit_user_credits_transaction(tests.id('other'), 1, 'generation');

select throws_ok(call, 'PT404', 'not_found', call)
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('nobody'), 1, 'manual') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('nobody'), 1, 'generation') $$),
  ($$ select public.refund_user_credits(tests.id('nobody'), 1, 'refund') $$),
  ($$ select public.hold_credits(tests.id('nobody'), 1, 'generation') $$),
  ($$ select public.hold_credits(null, 1, 'generation') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual', workspace_id => tests.id('no team')) $$),
  ($$ select public.credit_user_credits_transaction(tests.id('nobody'), 1, 'manual', workspace_id => tests.id('owner')) $$),
  ($$ select public.debit_user_credits_transaction(null, 1, 'generation', workspace_id => tests.id('owner')) $$),
  ($$ select public.credit_user_credits_transaction(tests.id('team'), 1, 'manual') $$),
  ($$ select public.hold_credits(tests.id('team'), 0, 'generation') $$),
  ($$ select public.clawback_credits(tests.id('no lot'), 1, 'refund') $$),
  ($$ select public.settle_credit_hold(tests.id('no hold'), 1) $$),
  ($$ select public.release_credit_hold(null) $$),
  ($$ select public.extend_credit_hold(tests.id('no hold'), 1) $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => 0) $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => tests.last_entry('other')) $$)
) c (call);

select * from finish();
rollback;
