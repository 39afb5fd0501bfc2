-- The smallest statement that moves a balance and keeps a record of it in the same tables: no admission, grants or snapshot.
\set wallet random(1, :wallets)
with wallet as (
  update public.credit_wallets set credits_balance = credits_balance - 1, credits_spent = credits_spent + 1
  where workspace_id = md5(:wallet::text)::uuid
  returning workspace_id, credits_balance
)
insert into public.credit_transactions
  (created_at, workspace_id, user_id, transaction_type, is_overdraft, amount, balance_after, reason, grant_changes, metadata)
select clock_timestamp(), workspace_id, workspace_id, 'debit', false, -1, credits_balance, 'generation', '{}', '{}'
from wallet;
