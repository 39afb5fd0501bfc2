begin;
select plan(34);
select tests.create_user('owner'), tests.create_user('stranger'), tests.create_team('team');
select public.hold_credits(tests.id('owner'), 1, 'generation');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase', workspace_id => tests.id('team'));
select tests.join_team('team', 'owner');
select public.hold_credits(tests.id('owner'), 1, 'generation', workspace_id => tests.id('team'));
delete from public.workspace_members where workspace_id = tests.id('team');

select tests.sign_in('owner');
select results_eq('select workspace_id from public.' || name, $$ values (tests.id('owner')) $$,
  'the owner sees their own of ' || name)
from unnest(array['credit_wallets', 'credit_grants', 'credit_holds', 'credit_transactions']) name;
select tests.sign_in('stranger');
select is_empty('select * from public.' || name || $$ where workspace_id <> tests.id('stranger') $$,
  'a stranger sees nobody else''s of ' || name)
from unnest(array['credit_wallets', 'credit_grants', 'credit_holds', 'credit_transactions']) name;
select tests.be_anonymous();
select throws_ok('select * from public.' || name, '42501', null, 'without sign-in one sees nothing of ' || name)
from unnest(array['credit_wallets', 'credit_grants', 'credit_holds', 'credit_transactions']) name;
select tests.be_service();
select isnt_empty('select * from public.' || name || $$ where workspace_id = tests.id('team') $$,
  'the service role sees all of ' || name)
from unnest(array['credit_wallets', 'credit_grants', 'credit_holds', 'credit_transactions']) name;

select tests.sign_in('owner');
select throws_ok(call, '42501', null, 'an owner may not: ' || call)
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual') $$),
  ($$ select public.debit_user_credits_transaction(tests.id('owner'), 1, 'generation') $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund') $$),
  ($$ select public.hold_credits(tests.id('owner'), 1, 'generation') $$),
  ($$ select public.settle_credit_hold((select id from public.credit_holds), 0) $$),
  ($$ select public.release_credit_hold((select id from public.credit_holds)) $$),
  ($$ select public.expire_credits() $$),
  ($$ select public.verify_credits() $$),
  ($$ insert into public.credit_wallets (workspace_id) values (tests.id('owner')) $$),
  ($$ update public.credit_wallets set overdraft_limit = 1000 $$),
  ($$ update public.credit_grants set remaining = amount $$),
  ($$ update public.credit_holds set amount = 0 $$),
  ($$ delete from public.credit_transactions $$)
) c (call);
select tests.be_anonymous();
select throws_ok(call, '42501', null, 'without sign-in nobody may: ' || call)
from (values
  ($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, 'manual') $$),
  ($$ select public.refund_user_credits(tests.id('owner'), 1, 'refund') $$),
  ($$ select public.clawback_credits(tests.id('owner'), 1, 'refund') $$),
  ($$ select public.expire_credits() $$),
  ($$ select public.verify_credits() $$)
) c (call);

select * from finish();
rollback;
