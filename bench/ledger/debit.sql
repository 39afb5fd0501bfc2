-- What the product does: admission, grants in burn order, wallet, snapshot, entry.
\set wallet random(1, :wallets)
select public.debit_user_credits_transaction(md5(:wallet::text)::uuid, 1, 'generation');
