-- 10,000 personal wallets with one grant each, and as many rows of the barest ledger there can be.
update public.system_config set config_value = '0' where config_key = 'signup_credits';

insert into auth.users (id, email)
select md5(n::text)::uuid, n || '@bench.test' from generate_series(1, 10000) n;

select count(public.credit_user_credits_transaction(md5(n::text)::uuid, 1000000, 'purchase'))
from generate_series(1, 10000) n;

create table public.bare_wallets (id uuid primary key, balance numeric(20, 6) not null) with (fillfactor = 70);
create table public.bare_entries (
  id bigint generated always as identity primary key,
  wallet_id uuid not null,
  amount numeric(20, 6) not null,
  created_at timestamptz not null default now()
);
insert into public.bare_wallets select md5(n::text)::uuid, 1000000 from generate_series(1, 10000) n;
analyze;
