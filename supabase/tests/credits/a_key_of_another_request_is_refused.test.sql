begin;
select plan(16);
select tests.create_user('owner'), tests.create_user('colleague');
select tests.be_service();
select tests.remember('pack', (public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}',
  idempotency_key => 'credit')).grant_id);
select tests.remember('hold', (public.hold_credits(tests.id('owner'), 1, 'generation',
  idempotency_key => 'hold')).hold_id);
select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation', idempotency_key => 'debit');
select tests.remember('entry', tests.last_entry('owner'));
select public.refund_user_credits(tests.id('owner'), 1, 'refund', idempotency_key => 'refund');
select public.clawback_credits(tests.recall('pack')::uuid, 1, 'refund', idempotency_key => 'clawback');
select public.extend_credit_hold(tests.recall('hold')::uuid, 1, idempotency_key => 'extend');
select public.settle_credit_hold(tests.recall('hold')::uuid, 1, keep_open => true, idempotency_key => 'part');

select throws_ok(format('select public.%s, idempotency_key => %L)', call, key), 'PT409', 'idempotency_conflict', what)
from (values
  ('a credit of another amount', 'credit',
    $$ credit_user_credits_transaction(tests.id('owner'), 6, 'purchase', '{"a": 1}' $$),
  ('for another reason', 'credit',
    $$ credit_user_credits_transaction(tests.id('owner'), 5, 'manual', '{"a": 1}', kind => 'purchase' $$),
  ('with other metadata', 'credit',
    $$ credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 2}' $$),
  ('of another kind', 'credit',
    $$ credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}', kind => 'free' $$),
  ('with another expiry', 'credit',
    $$ credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', '{"a": 1}', expires_at => 'tomorrow' $$),
  ('by another person', 'credit', $$ credit_user_credits_transaction(tests.id('colleague'), 5, 'purchase', '{"a": 1}',
    workspace_id => tests.id('owner') $$),
  ('a debit of another amount', 'debit',
    $$ debit_user_credits_transaction(tests.id('owner'), 1.5, 'generation' $$),
  ('for another feature', 'debit',
    $$ debit_user_credits_transaction(tests.id('owner'), 1, 'generation', feature_code => 'x' $$),
  ('a refund of an entry', 'refund',
    $$ refund_user_credits(tests.id('owner'), 1, 'refund', transaction_id => tests.recall('entry')::bigint $$),
  ('a clawback of another amount', 'clawback', $$ clawback_credits(tests.recall('pack')::uuid, 2, 'refund' $$),
  ('a hold of another amount', 'hold', $$ hold_credits(tests.id('owner'), 2, 'generation' $$),
  ('another extension', 'extend', $$ extend_credit_hold(tests.recall('hold')::uuid, 2 $$),
  ('the last settlement after a part', 'part', $$ settle_credit_hold(tests.recall('hold')::uuid, 1 $$),
  ('a hold after a debit', 'debit', $$ hold_credits(tests.id('owner'), 1, 'generation' $$),
  ('a debit after a refund', 'refund', $$ debit_user_credits_transaction(tests.id('owner'), 1, 'refund' $$)
) c (what, key, call);
select is(tests.wallet('owner'), 'balance 6, total 7, spent 1, expired 0, held 1', 'none of it changed anything');

select * from finish();
rollback;
