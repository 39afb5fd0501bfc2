begin;
select plan(8);
select tests.create_guest('owner');
select tests.be_service();

select results_eq($$
  select credits_balance, credits_total, credits_spent, credits_held, credits_available, amount,
    transaction_id is not null
  from public.credit_user_credits_transaction(tests.id('owner'), 2.500001, 'purchase', '{"invoice": 7}',
    description => 'Pack',
    idempotency_key => 'k', expires_at => now() + interval '1 year', priority => 5)
$$, $$ values (2.500001, 2.500001, 0::numeric, 0::numeric, 2.500001, 2.500001, true) $$,
  'answers with the wallet after it');
select results_eq($$
  select transaction_type::text, amount::numeric, balance_after::numeric, reason, description, metadata,
    idempotency_key, user_id
  from public.credit_transactions where workspace_id = tests.id('owner')
$$, $$ values ('credit', 2.500001, 2.500001, 'purchase', 'Pack', '{"invoice": 7}'::jsonb, 'k', tests.id('owner')) $$,
  'its entry says what was asked');
select results_eq($$ select amount::numeric, remaining::numeric, kind::text, is_paid, priority, expires_at
  from public.credit_grants where workspace_id = tests.id('owner') $$,
  $$ values (2.500001, 2.500001, 'purchase', true, 5, now() + interval '1 year') $$, 'its grant too');
select is(tests.grant_changes(tests.last_entry('owner')), '2.500001 purchase', 'the entry names the grant');

select public.credit_user_credits_transaction(tests.id('owner'), 1, reason)
from unnest(array['manual', 'subscription', 'promotion', 'refund', 'thanks']) reason;
select is(tests.grants('owner'),
  '2.500001 of 2.500001 purchase, 1 of 1 free, 1 of 1 subscription, 1 of 1 promotion, 1 of 1 refund, 1 of 1 free',
  'the kind of a grant follows the reason');
select public.credit_user_credits_transaction(tests.id('owner'), 1, 'thanks', kind => 'promotion');
select matches(tests.grants('owner'), '1 of 1 promotion$', 'unless it is told');
select results_eq($$ select kind::text, is_paid from public.credit_grants
  where workspace_id = tests.id('owner') group by 1, 2 having is_paid order by 1 $$,
  $$ values ('purchase', true), ('subscription', true) $$, 'purchases and subscriptions are paid');
select throws_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual',
  expires_at => now()) $$,
  'PT400', 'invalid_request', 'a grant does not begin expired');

select * from finish();
rollback;
