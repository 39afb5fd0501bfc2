begin;
select plan(19);
select tests.create_user('owner'), tests.create_user('other'), tests.create_team('team');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', workspace_id => tests.id('team'));
select tests.be_service();
select public.debit_user_credits_transaction(tests.id('other'), 1, 'generation');

select throws_ok('select public.' || call, 'PT404', 'not_found', call)
from (values
  ($$credit_user_credits_transaction(tests.id('nobody'), 1, 'manual')$$),
  ($$debit_user_credits_transaction(tests.id('nobody'), 1, 'generation')$$),
  ($$refund_user_credits(tests.id('nobody'), 1, 'refund')$$),
  ($$hold_credits(tests.id('nobody'), 1, 'generation')$$),
  ($$hold_credits(null, 1, 'generation')$$),
  ($$credit_user_credits_transaction(tests.id('owner'), 1, 'manual', workspace_id => tests.id('no team'))$$),
  ($$credit_user_credits_transaction(tests.id('nobody'), 1, 'manual', workspace_id => tests.id('owner'))$$),
  ($$debit_user_credits_transaction(null, 1, 'generation', workspace_id => tests.id('owner'))$$),
  ($$credit_user_credits_transaction(tests.id('team'), 1, 'manual')$$),
  ($$refund_user_credits(tests.id('team'), 1, 'refund')$$),
  ($$hold_credits(tests.id('team'), 0, 'generation')$$),
  ($$expire_credits(tests.id('no team'))$$),
  ($$clawback_credits(tests.id('no grant'), 1, 'refund')$$),
  ($$settle_credit_hold(tests.id('no hold'), 1)$$),
  ($$release_credit_hold(null)$$),
  ($$extend_credit_hold(tests.id('no hold'), 1)$$),
  ($$refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => 0)$$),
  ($$refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => tests.last_entry('other'))$$)
) c (call);

select throws_ok($$ select public.debit_user_credits_transaction(tests.id('team'), 1, 'generation') $$, 'PT404',
  'not_found',
  'debit_user_credits_transaction(tests.id(''team''), 1, ''generation'')');

select * from finish();
rollback;
