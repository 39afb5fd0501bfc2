begin;
select plan(16);
select tests.create_guest('owner');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase');

select tests.remember('hold',
  (public.hold_credits(tests.id('owner'), 4, 'generation', feature_code => 'text_chat',
  description => 'A call')).hold_id);
select results_eq($$
  select credits_balance, credits_spent, credits_held, credits_available, amount, hold_id
  from public.settle_credit_hold(tests.recall('hold')::uuid, 1.5, '{"tokens": 9}')
$$, $$ values (8.5, 1.5, 0::numeric, 8.5, 1.5, tests.recall('hold')::uuid) $$,
  'less than held: the rest is free again');
select results_eq($$
  select transaction_type::text, amount::numeric, reason, feature_code, description, metadata, hold_id, user_id
    from public.credit_transactions where id = tests.last_entry('owner')
$$,
  $$ values ('debit', -1.5, 'generation', 'text_chat', 'A call', '{"tokens": 9}'::jsonb,
    tests.recall('hold')::uuid, tests.id('owner')) $$,
  'its entry names the hold');
select results_eq($$ select state::text, amount::numeric, settled_amount::numeric, final_amount::numeric,
  closed_at is null from public.credit_holds where id = tests.recall('hold')::uuid $$,
  $$ values ('settled', 4::numeric, 1.5, 1.5, false) $$, 'the hold is closed');

select lives_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 1.5) $$,
  'settling again with the same amount is a retry');
select is(tests.wallet('owner'), 'balance 8.5, total 10, spent 1.5, expired 0, held 0', 'that changes nothing');
select throws_ok($$ select public.settle_credit_hold(tests.recall('hold')::uuid, 2) $$, 'PT409', 'invalid_state',
  'with another amount it is refused');
select throws_ok($$ select public.release_credit_hold(tests.recall('hold')::uuid) $$, 'PT409', 'invalid_state',
  'releasing it too');
select throws_ok($$ select public.extend_credit_hold(tests.recall('hold')::uuid, 1) $$, 'PT409', 'invalid_state',
  'and extending it');

select tests.remember('hold', (public.hold_credits(tests.id('owner'), 4, 'generation')).hold_id);
select public.settle_credit_hold(tests.recall('hold')::uuid, 0);
select is(tests.wallet('owner'), 'balance 8.5, total 10, spent 1.5, expired 0, held 0',
  'nothing used: nothing charged');
select is(tests.ledger('owner'), 'credit 10 purchase, debit -1.5 generation', 'and no entry');
select results_eq($$ select state::text, final_amount::numeric from public.credit_holds
  where id = tests.recall('hold')::uuid $$, $$ values ('settled', 0::numeric) $$, 'it is settled all the same');

select tests.remember('hold', (public.hold_credits(tests.id('owner'), 4, 'generation')).hold_id);
select public.hold_credits(tests.id('owner'), 4, 'generation');
select public.settle_credit_hold(tests.recall('hold')::uuid, 6);
select is(tests.wallet('owner'), 'balance 2.5, total 10, spent 7.5, expired 0, held 4',
  'more than held: all of it is charged');
select tests.remember('hold',
  (select id from public.credit_holds where workspace_id = tests.id('owner') and state = 'open'));
select public.settle_credit_hold(tests.recall('hold')::uuid, 4);
select is(tests.wallet('owner'), 'balance -1.5, total 10, spent 11.5, expired 0, held 0',
  'past what is there: the rest is debt');
select is((select is_overdraft from public.credit_transactions where id = tests.last_entry('owner')), true,
  'and the entry is marked');
select is(tests.grants('owner'), '0 of 10 purchase', 'grants end at nothing');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
