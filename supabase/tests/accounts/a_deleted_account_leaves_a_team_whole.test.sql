begin;
select plan(10);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_team('team');
select tests.join_team('team', 'ben', 'owner'), tests.join_team('team', 'ann');
select public.credit_user_credits_transaction(tests.id('ann'), 10, 'purchase', '{"invoice": 1}',
  workspace_id => tests.id('team'), idempotency_key => 'k');
select public.debit_user_credits_transaction(tests.id('ann'), 4, 'generation', workspace_id => tests.id('team'),
  description => 'a call');
select public.hold_credits(tests.id('ann'), 2, 'generation', workspace_id => tests.id('team'));
select public.hold_credits(tests.id('ann'), 1, 'generation');
create temporary table before as
select to_jsonb(t) - 'user_id' as entry from public.credit_transactions t where workspace_id = tests.id('team');

select lives_ok($$ delete from auth.users where id = tests.id('ann') $$, 'an account can be deleted');
select is((select count(*) from public.users where id = tests.id('ann')), 0::bigint, 'its user goes');
select is((select count(*) from public.workspaces where id = tests.id('ann')), 0::bigint, 'its workspace too');
select is((select count(*) from public.credit_transactions where workspace_id = tests.id('ann')), 0::bigint,
  'with its ledger');
select is((select count(*) from public.credit_holds where workspace_id = tests.id('ann')), 0::bigint, 'and its holds');

select results_eq($$ select to_jsonb(t) - 'user_id' from public.credit_transactions t
  where workspace_id = tests.id('team') order by id $$,
  $$ select entry from before $$, 'the team''s entries keep all they say');
select is((select count(user_id) from public.credit_transactions where workspace_id = tests.id('team')), 0::bigint,
  'but who it was');
select is((select count(user_id) from public.credit_holds where workspace_id = tests.id('team')), 0::bigint,
  'its holds likewise');
select is(tests.wallet('team'), 'balance 6, total 10, spent 4, expired 0, held 2',
  'the team''s credits are what they were');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
