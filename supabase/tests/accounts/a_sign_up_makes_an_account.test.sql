begin;
select plan(9);

select tests.create_user('ann',
  metadata => '{"full_name": "Ann Example", "avatar_url": "https://example.test/ann.png"}');

select results_eq(
  $$ select email, full_name::text, avatar_url::text, role::text, is_active from public.users
    where id = tests.id('ann') $$,
  $$ values ('ann@example.test', 'Ann Example', 'https://example.test/ann.png', 'user', true) $$,
  'a user with the address and the names the sign-up brought');
select results_eq(
  $$ select id, personal_user_id from public.workspaces where id = tests.id('ann') $$,
  $$ values (tests.id('ann'), tests.id('ann')) $$, 'a personal workspace whose id is the user''s');
select is(tests.wallet('ann'), 'balance 3, total 3, spent 0, expired 0, held 0', 'a wallet of 3 credits');
select is(tests.ledger('ann'), 'credit 3 signup', 'that are a ledger entry');
select is(tests.grants('ann'), '3 of 3 free', 'and a free grant');
select is((select user_id from public.credit_transactions where workspace_id = tests.id('ann')), tests.id('ann'),
  'the entry names its person');
select results_eq(
  $$ select credits_balance, credits_total, credits_spent from public.users where id = tests.id('ann') $$,
  $$ values (3::public.credit_amount, 3::public.credit_amount, 0::public.credit_amount) $$,
    'the user shows the same figures');
select is((select subscription_plan || ' ' || subscription_status from public.users where id = tests.id('ann')),
  'free inactive',
  'it starts on the free plan');
select is_empty('select * from private.account_failures', 'nothing failed');

select * from finish();
rollback;
