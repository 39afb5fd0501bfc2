begin;
select plan(9);
select tests.create_user('owner'), tests.create_team('team'), tests.join_team('team', 'owner', 'owner');
select tests.be_service();

select results_eq($$
  select credits_balance, credits_total, credits_spent, credits_available, amount, transaction_id is not null
  from public.debit_user_credits_transaction(tests.id('owner'), 1.25, 'generation', '{"call": 1}',
    description => 'A call', feature_code => 'text_chat')
$$, $$ values (1.75, 3::numeric, 1.25, 1.75, 1.25, true) $$, 'answers with the wallet after it');
select results_eq($$
  select transaction_type::text, amount::numeric, balance_after::numeric, reason, description, feature_code, metadata,
    is_overdraft
  from public.credit_transactions where id = tests.last_entry('owner')
$$, $$ values ('debit', -1.25, 1.75, 'generation', 'A call', 'text_chat', '{"call": 1}'::jsonb, false) $$,
  'its entry says what was asked');
select is(tests.grant_changes(tests.last_entry('owner')), '-1.25 free', 'and what it took from which grant');

select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1.750001, 'generation') $$, 'PT402',
  'insufficient_credits', 'more than there is is refused');
select is(tests.wallet('owner'), 'balance 1.75, total 3, spent 1.25, expired 0, held 0', 'and takes nothing');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 1.75, 'generation') $$,
  'all there is can be used');
select throws_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 0.000001, 'generation') $$, 'PT402',
  'insufficient_credits', 'nothing is left then');

select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', workspace_id => tests.id('team'));
select public.debit_user_credits_transaction(tests.id('owner'), 2, 'generation', workspace_id => tests.id('team'));
select is(tests.wallet('team'), 'balance 3, total 5, spent 2, expired 0, held 0',
  'a team''s wallet pays where it is named');
select is(tests.wallet('owner'), 'balance 0, total 3, spent 3, expired 0, held 0', 'and the person''s own does not');

select * from finish();
rollback;
