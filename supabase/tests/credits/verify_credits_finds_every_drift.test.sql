begin;
select plan(13);
select tests.create_user('owner'), tests.create_user('other');
select public.hold_credits(tests.id('owner'), 1, 'generation');
select is_empty('select * from public.verify_credits()', 'nothing drifts');

create function pg_temp.drift(change text) returns text
language plpgsql as $$
declare
  found text;
begin
  execute change;
  select string_agg(v.rule, ', ' order by v.rule collate "C") into found
    from public.verify_credits(tests.id('owner')) v;
  raise exception using errcode = 'P0001', message = coalesce(found, 'nothing');
end;
$$;

select throws_ok(format('select pg_temp.drift(%L)', change), 'P0001', found, found)
from (values
  ($$ update public.credit_grants set remaining = 2 where workspace_id = tests.id('owner') $$, 'lots hold the balance'),
  ($$ delete from public.credit_grants where workspace_id = tests.id('owner') $$, 'lots hold the balance'),
  ($$ update public.credit_holds set amount = 2 where workspace_id = tests.id('owner') $$,
    'held is the sum of open holds'),
  ($$ update public.credit_wallets set credits_held = 0 where workspace_id = tests.id('owner') $$,
    'held is the sum of open holds'),
  ($$ update public.users set credits_balance = 9 where id = tests.id('owner') $$, 'snapshot of balance'),
  ($$ update public.users set credits_total = 9 where id = tests.id('owner') $$, 'snapshot of total'),
  ($$ update public.users set credits_spent = 9 where id = tests.id('owner') $$, 'snapshot of spent'),
  ($$ update public.credit_wallets set credits_spent = 1, credits_total = 4 where workspace_id = tests.id('owner') $$,
    'snapshot of spent, snapshot of total, spent is what entries used, total is what entries granted'),
  ($$ update public.credit_wallets set credits_expired = 1, credits_balance = 2
    where workspace_id = tests.id('owner') $$,
    'balance is the sum of entries, expired is what entries expired, lots hold the balance, snapshot of balance')
) d (change, found);

select throws_ok($$ update public.credit_wallets set credits_balance = 2 where workspace_id = tests.id('owner') $$,
  '23514', null,
  'a balance that is not total less spent less expired cannot even be written');
update public.credit_grants set remaining = 2 where workspace_id = tests.id('other');
select is_empty($$ select * from public.verify_credits(tests.id('owner')) $$, 'one wallet can be asked about alone');
select results_eq('select wallet_id, expected, actual from public.verify_credits()',
  $$ values (tests.id('other'), 3::numeric, 2::numeric) $$,
  'the answer names the wallet, what should be and what is');

select * from finish();
rollback;
