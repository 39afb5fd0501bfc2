begin;
select plan(8);
select tests.create_user('owner'), tests.create_team('team');
create function pg_temp.snapshot_follows(after_what text) returns text
language sql as $function$
  select results_eq(
    $$ select credits_balance, credits_total, credits_spent from public.users where id = tests.id('owner') $$,
    $$ select credits_balance, credits_total, credits_spent from public.credit_wallets
      where workspace_id = tests.id('owner') $$,
    after_what)
$function$;

select tests.remember('pack',
  (public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase',
  expires_at => now() + interval '1 day')).grant_id);
select pg_temp.snapshot_follows('after a credit');
select public.debit_user_credits_transaction(tests.id('owner'), 5, 'generation');
select pg_temp.snapshot_follows('after a debit');
select public.refund_user_credits(tests.id('owner'), 1, 'refund');
select pg_temp.snapshot_follows('after a refund');
select public.clawback_credits(tests.recall('pack')::uuid, 2, 'refund');
select pg_temp.snapshot_follows('after a clawback');
select public.expire_credits(tests.id('owner'), now() + interval '2 days');
select pg_temp.snapshot_follows('after an expiry');

select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', workspace_id => tests.id('team'));
select pg_temp.snapshot_follows('a team''s credits are not its members''');
select is((select updated_at from public.users where id = tests.id('owner')), now(), 'it is no change of the account');
update public.users set full_name = 'Owner' where id = tests.id('owner');
select cmp_ok((select updated_at from public.users where id = tests.id('owner')), '>', now(),
  'as one of the profile is');

select * from finish();
rollback;
