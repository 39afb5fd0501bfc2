begin;
select plan(14);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 3, 'manual', priority => -1);
select tests.remember('pack', (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase')).grant_id);

select results_eq($$
  select credits_balance, credits_total, credits_spent, amount, grant_id
    from public.clawback_credits(tests.recall('pack')::uuid, 4, 'refund', '{"payment": 1}')
$$, $$ values (9::numeric, 9::numeric, 0::numeric, 4::numeric, tests.recall('pack')::uuid) $$,
  'what is taken back was never granted');
select is(tests.grants('owner'), '3 of 3 free, 6 of 10 purchase', 'its own grant pays first, whatever the burn order');
select results_eq($$ select transaction_type::text, amount::numeric, reason, metadata, user_id
  from public.credit_transactions where id = tests.last_entry('owner') $$,
  $$ values ('clawback', -4::numeric, 'refund', '{"payment": 1}'::jsonb, null::uuid) $$,
    'its entry is nobody''s doing');

select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation');
select is(tests.grants('owner'), '0 of 3 free, 4 of 10 purchase', 'after some use');
select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual');
select throws_ok($$ select public.clawback_credits(tests.recall('pack')::uuid, 6.000001, 'refund') $$, 'PT409',
  'invalid_state', 'never more than the grant was');
select public.clawback_credits(tests.recall('pack')::uuid, 6, 'refund');
select is(tests.grants('owner'), '0 of 3 free, 0 of 10 purchase, 0 of 1 free', 'other grants pay what it has no more');
select is(tests.wallet('owner'), 'balance -1, total 4, spent 5, expired 0, held 0',
  'and the rest is debt, past any limit');
select throws_ok($$ select public.clawback_credits(tests.recall('pack')::uuid, 0.000001, 'refund') $$, 'PT409',
  'invalid_state', 'a grant is taken back once');

select public.credit_user_credits_transaction(tests.id('owner'), 1, 'purchase');
select tests.remember('grant',
  (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase',
  expires_at => now() + interval '1 day')).grant_id);
select public.debit_user_credits_transaction(tests.id('owner'), 4, 'generation');
select results_eq($$ select credits_balance, amount
  from public.clawback_credits(tests.recall('grant')::uuid, 10, 'dispute', at => now() + interval '2 days') $$,
  $$ values (-4::numeric, 4::numeric) $$, 'what had expired is not taken a second time');
select throws_ok($$ select public.clawback_credits(tests.recall('grant')::uuid, 1, 'dispute') $$, 'PT409',
  'invalid_state', 'nor asked for again');
select is(tests.wallet('owner'), 'balance -4, total 11, spent 9, expired 6, held 0',
  'total is what was granted for good');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation') $$, 'PT402',
  'insufficient_credits', 'debt admits nothing');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase');
select is(tests.wallet('owner'), 'balance 1, total 16, spent 9, expired 6, held 0', 'and the next credits pay it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
