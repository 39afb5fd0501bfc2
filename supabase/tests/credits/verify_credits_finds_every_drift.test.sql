begin;
select no_plan();
select tests.create_user('owner'), tests.create_user('other');
-- Of each kind of row one: a debit of two grants, its refund, a hold settled in parts and one that is open, an expiry, a
-- clawback, and debt that a credit paid.
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase', expires_at => now() + interval '1 hour');
select public.credit_user_credits_transaction(tests.id('owner'), 10, 'gift', expires_at => now() + interval '2 hours');
select public.debit_user_credits_transaction(tests.id('owner'), 15, 'generation');
select public.refund_user_credits(tests.id('owner'), 6, 'refund', transaction_id => tests.last_entry('owner'));
select tests.remember('settled', (public.hold_credits(tests.id('owner'), 2, 'generation')).hold_id);
select public.settle_credit_hold(tests.recall('settled')::uuid, 1, keep_open => true, idempotency_key => 'part');
select public.settle_credit_hold(tests.recall('settled')::uuid, 2);
select public.expire_credits(tests.id('owner'), now() + interval '3 hours');
select public.settle_credit_hold((public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id, 14);
select tests.remember('pack', (public.credit_user_credits_transaction(tests.id('owner'), 20, 'purchase', expires_at => now() + interval '1 year')).grant_id);
select public.clawback_credits(tests.recall('pack')::uuid, 5, 'refund');
select tests.remember('open', (public.hold_credits(tests.id('owner'), 1, 'generation')).hold_id);
select results_eq($$ select tests.ledger('owner'), tests.wallet('owner') $$, $$ values (
  'credit 3 signup, credit 10 purchase, credit 10 gift, debit -15 generation, refund 6 refund, debit -1 generation, '
    'debit -2 generation, expire -8 expiry, debit -14 generation, credit 20 purchase, clawback -5 refund',
  'balance 4, total 38, spent 26, expired 8, held 1') $$, 'a wallet has been through much');
select is_empty('select * from public.verify_credits()', 'nothing drifts');

-- What no operation does: the ledger's own triggers would refuse it, and no role of the API may.
create function pg_temp.drift(change text) returns text
language plpgsql as $$
declare
  found text;
begin
  execute replace(replace(change, 'OWNER', format('workspace_id = %L', tests.id('owner'))), 'LAST', tests.last_entry('owner')::text);
  set constraints all immediate;
  select string_agg(distinct v.rule, ', ' order by v.rule) into found from public.verify_credits(tests.id('owner')) v;
  raise exception using errcode = 'P0001', message = coalesce(found, 'nothing');
end;
$$;
alter table public.credit_transactions disable trigger credit_transactions_refuse_update;
alter table public.credit_transactions disable trigger credit_transactions_refuse_delete;
create temporary table drifts (change text, found text);
insert into drifts values
  ('update public.credit_wallets set credits_held = 0 where OWNER', 'held is the sum of open holds'),
  ('update public.credit_wallets set next_expiry_at = null where OWNER', 'next expiry is no later than that of a grant'),
  ('update public.credit_wallets set next_expiry_at = next_expiry_at + interval ''1 second'' where OWNER', 'next expiry is no later than that of a grant'),
  ('update public.credit_wallets set credits_spent = credits_spent + 1, credits_total = credits_total + 1 where OWNER',
    'snapshot of spent, snapshot of total, spent is what entries used, total is what entries granted'),
  ('update public.credit_wallets set credits_expired = 9, credits_balance = 3 where OWNER',
    'balance is the sum of entries, expired is what entries expired, grants hold the balance, snapshot of balance'),
  ('delete from public.credit_wallets where OWNER', 'a workspace has a wallet'),
  ('delete from public.users where id = (select w.id from public.workspaces w where w.id = tests.id(''owner''))', 'a personal workspace has a user'),
  ('update public.users set credits_balance = 9 where id = tests.id(''owner'')', 'snapshot of balance'),
  ('update public.users set credits_total = 9 where id = tests.id(''owner'')', 'snapshot of total'),
  ('update public.users set credits_spent = 9 where id = tests.id(''owner'')', 'snapshot of spent'),
  ('update public.credit_grants set remaining = remaining - 1 where not is_spent and OWNER', 'grants hold the balance, what remains of a grant is what its entries left'),
  ('update public.credit_grants set amount = amount + 1 where kind = ''free'' and OWNER', 'GRANT'),
  ('update public.credit_grants set expired_amount = expired_amount - 1 where expired_amount > 0 and OWNER', 'GRANT'),
  ('update public.credit_grants set clawed_back_amount = 4 where clawed_back_amount = 5 and OWNER', 'GRANT'),
  ('delete from public.credit_grants where is_spent and OWNER', 'the grants of an entry exist'),
  ('update public.credit_transactions set balance_after = balance_after + 1 where id = LAST',
    'an entry leaves the balance before it and its amount'),
  ('update public.credit_transactions set amount = amount - 1 where id = LAST', 'GRANT, an entry leaves the balance before it and its amount, balance is the sum of entries, '
    'the grants of an entry and its change of debt are its amount, total is what entries granted'),
  ('update public.credit_transactions set grant_changes = ''{}'' where id = LAST', 'the grants of an entry and its change of debt are its amount, what remains of a grant is what its entries left'),
  ('update public.credit_transactions set grant_id = null where id = LAST', 'GRANT'),
  ('update public.credit_transactions set grant_id = gen_random_uuid() where id = LAST', 'GRANT, the grants of an entry exist'),
  ('update public.credit_transactions set is_overdraft = not is_overdraft where id = LAST', 'an entry is an overdraft that takes and leaves debt'),
  ('update public.credit_transactions set hold_id = gen_random_uuid() where id = LAST', 'the hold of an entry exists'),
  ('update public.credit_transactions set hold_id = null where hold_id is not null and OWNER',
    'the last settlement of a hold is its last entry, what a hold settled is what its entries took'),
  ('update public.credit_transactions set refunded_transaction_id = LAST where refunded_transaction_id is not null', 'what was refunded is a debit, and no more than it took'),
  ('update public.credit_transactions set refunded_transaction_id = 1 where refunded_transaction_id is not null', 'what was refunded is a debit, and no more than it took'),
  ('update private.credit_holds set amount = 2 where state = ''open'' and OWNER', 'held is the sum of open holds'),
  ('update private.credit_holds set settled_amount = 2 where state = ''settled'' and settled_amount = 3 and OWNER', 'what a hold settled is what its entries took'),
  ('update private.credit_holds set final_amount = 1 where final_amount = 2 and OWNER', 'the last settlement of a hold is its last entry');
select throws_ok(format('select pg_temp.drift(%L)', d.change), 'P0001', replace(d.found, 'GRANT', 'a grant less its expired and clawed-back parts is what its entries gave and took'), d.change)
from drifts d;

select throws_ok($$ update public.credit_wallets set credits_balance = 2 where workspace_id = tests.id('owner') $$,
  '23514', null, 'a balance that is not total less spent less expired cannot even be written');
update private.credit_holds set amount = 2 where id = tests.recall('open')::uuid;
select is_empty($$ select * from public.verify_credits(tests.id('other')) $$, 'one wallet can be asked about alone');
select results_eq('select wallet_id, rule, expected, actual, subject from public.verify_credits()',
  $$ values (tests.id('owner'), 'held is the sum of open holds', 2::numeric, 1::numeric, null) $$,
  'the answer names the wallet, what should be and what is');

select * from finish();
rollback;
