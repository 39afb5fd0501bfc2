-- The same statement on two tables that have nothing but a primary key: no ledger anybody could read or prove.
\set wallet random(1, :wallets)
with wallet as (
  update public.bare_wallets set balance = balance - 1 where id = md5(:wallet::text)::uuid returning id
)
insert into public.bare_entries (wallet_id, amount) select id, -1 from wallet;
