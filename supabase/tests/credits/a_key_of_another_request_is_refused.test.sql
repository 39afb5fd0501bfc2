begin;
select plan(17);
select tests.create_user('owner'), tests.create_user('colleague');
select tests.be_service();
select tests.remember('pack', (public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}', idempotency_key => 'credit')).grant_id);
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation', idempotency_key => 'hold')).hold_id);
select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation', idempotency_key => 'debit');
select tests.remember('entry', tests.last_entry('owner'));
select public.refund_user_credits(tests.id('owner'), 1, 'refund', idempotency_key => 'refund');
select public.clawback_credits(tests.recall('pack')::uuid, 1, 'refund', idempotency_key => 'clawback');
select public.extend_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'extend');
select public.settle_credit_hold(tests.recall('hold')::uuid, 1, keep_open => true, idempotency_key => 'part');

select throws_ok(call, 'PT409', 'idempotency_conflict', call)
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 6, 'purchase', '{"a": 1}', idempotency_key => 'credit') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'manual', '{"a": 1}', idempotency_key => 'credit') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 2}', idempotency_key => 'credit') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}', kind => 'free', idempotency_key => 'credit') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}', expires_at => now() + interval '1 day', idempotency_key => 'credit') $$),
  ($$ select public.credit_user_credits_transaction(tests.id('colleague'), 5, 'purchase', '{"a": 1}', workspace_id => tests.id('owner'), idempotency_key => 'credit') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 1.5, 'generation', idempotency_key => 'debit') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation', feature_code => 'x', idempotency_key => 'debit') $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => tests.recall('entry')::bigint, idempotency_key => 'refund') $$),
  ($$ select public.clawback_credits(tests.recall('pack')::uuid, 2, 'refund', idempotency_key => 'clawback') $$),
  ($$ select public.hold_credits(tests.id('owner'), 2, 'generation', idempotency_key => 'hold') $$),
  ($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 2, idempotency_key => 'extend') $$),
  ($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'part') $$),
  -- The same words for another operation.
  ($$ select public.hold_credits(tests.id('owner'), 1, 'generation', idempotency_key => 'debit') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'refund', idempotency_key => 'refund') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 3, 'signup', idempotency_key => 'signup') $$)
) c (call);
select is(tests.wallet('owner'), 'balance 6, total 7, spent 1, expired 0, held 1', 'none of it changed anything');

select * from finish();
rollback;
