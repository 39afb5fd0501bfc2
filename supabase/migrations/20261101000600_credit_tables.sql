-- The credit ledger's tables: wallets, lots, entries, holds.
-- Only the functions of the next chapters write them; clients and the service role read.

create type public.credit_grant_kind as enum ('free', 'subscription', 'purchase', 'promotion', 'refund');
comment on type public.credit_grant_kind is 'Where a lot of credits came from.';
create type public.credit_transaction_type as enum ('credit', 'debit', 'refund', 'expire', 'clawback');
comment on type public.credit_transaction_type is 'What a ledger entry did.';
create type public.credit_hold_state as enum ('open', 'settled', 'released', 'expired');
comment on type public.credit_hold_state is 'open: set aside; settled: used; released: given back; expired: given back by time.';

create table public.credit_wallets (
  workspace_id uuid primary key references public.workspaces on delete cascade,
  credits_balance public.credit_amount not null default 0,
  credits_total public.credit_amount not null default 0,
  credits_spent public.credit_amount not null default 0,
  credits_expired public.credit_amount not null default 0,
  credits_held public.credit_amount not null default 0 constraint held_not_negative check (credits_held >= 0),
  overdraft_limit public.credit_amount not null default 0
    constraint overdraft_limit_not_negative check (overdraft_limit >= 0),
  next_expiry_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint balance_is_total_less_spent_and_expired
    check (credits_balance = credits_total - credits_spent - credits_expired)
) with (fillfactor = 70); -- rewritten by every operation: room on the page keeps the index out of it
comment on table public.credit_wallets is 'A workspace''s credits: one row each, the lock of everything done to them.';
comment on column public.credit_wallets.credits_balance is 'What is there; negative is debt, which the next credits pay first.';
comment on column public.credit_wallets.credits_total is 'Ever granted, less clawbacks.';
comment on column public.credit_wallets.credits_spent is 'Used, less refunds.';
comment on column public.credit_wallets.credits_expired is 'Lost to expiry.';
comment on column public.credit_wallets.credits_held is 'Set aside by open holds; available is balance less held.';
comment on column public.credit_wallets.overdraft_limit is 'How far below zero an operation may be admitted.';
comment on column public.credit_wallets.next_expiry_at is 'No lot expires before this; null where none expires at all.';
create index credit_wallets_next_expiry_at_idx on public.credit_wallets (next_expiry_at)
  where next_expiry_at is not null;

create table public.credit_grants (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  amount public.credit_amount not null constraint grant_amount_positive check (amount > 0),
  remaining public.credit_amount not null constraint remaining_not_negative check (remaining >= 0),
  expired_amount public.credit_amount not null default 0,
  clawed_back_amount public.credit_amount not null default 0,
  kind public.credit_grant_kind not null,
  is_paid boolean not null,
  is_spent boolean not null generated always as (remaining = 0) stored,
  priority integer not null default 0,
  expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint remaining_not_above_amount check (remaining <= amount),
  constraint expired_and_clawed_back_not_above_amount check (expired_amount + clawed_back_amount <= amount)
) with (fillfactor = 80);
comment on table public.credit_grants is 'Lots: credits granted at once, with one origin, priority and expiry.';
comment on column public.credit_grants.remaining is 'What is left of it.';
comment on column public.credit_grants.expired_amount is 'What of it was lost to expiry.';
comment on column public.credit_grants.clawed_back_amount is 'What of it was taken back (refunded or disputed payment).';
comment on column public.credit_grants.is_paid is 'Bought or subscribed, as opposed to given.';
comment on column public.credit_grants.is_spent is
  'Nothing left. The indexes name this and not remaining, so that a debit changes no indexed column.';
comment on column public.credit_grants.priority is 'Lower burns first.';
create index credit_grants_workspace_id_priority_idx on public.credit_grants (workspace_id, priority, expires_at)
  where not is_spent;
create index credit_grants_workspace_id_created_at_idx on public.credit_grants (workspace_id, created_at);

create table public.credit_holds (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  amount public.credit_amount not null constraint hold_amount_not_negative check (amount >= 0),
  settled_amount public.credit_amount not null default 0
    constraint settled_amount_not_negative check (settled_amount >= 0),
  final_amount public.credit_amount,
  state public.credit_hold_state not null default 'open',
  reason text not null,
  feature_code text,
  description text,
  metadata jsonb not null default '{}',
  idempotency_key text,
  expires_at timestamptz not null,
  closed_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint closed_unless_open check ((state = 'open') = (closed_at is null)),
  constraint final_amount_once_settled check ((state = 'settled') = (final_amount is not null))
);
comment on table public.credit_holds is 'Credits set aside for work under way. A hold names no lots; they burn when it settles.';
comment on column public.credit_holds.amount is 'Still set aside; what was when it closed, once it is closed.';
comment on column public.credit_holds.settled_amount is 'Used under it so far.';
comment on column public.credit_holds.final_amount is 'What the settlement that closed it used; retries are told by it.';
create index credit_holds_workspace_id_created_at_idx on public.credit_holds (workspace_id, created_at);
create index credit_holds_user_id_idx on public.credit_holds (user_id);
create index credit_holds_open_workspace_id_idx on public.credit_holds (workspace_id, expires_at) where state = 'open';
create index credit_holds_open_expires_at_idx on public.credit_holds (expires_at) where state = 'open';

create table public.credit_transactions (
  id bigint generated always as identity primary key,
  created_at timestamptz not null,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  hold_id uuid,
  refunded_transaction_id bigint,
  transaction_type public.credit_transaction_type not null,
  is_overdraft boolean not null generated always as (amount < 0 and balance_after < 0) stored,
  amount public.credit_amount not null constraint entry_amount_not_zero check (amount <> 0),
  balance_after public.credit_amount not null,
  reason text not null,
  feature_code text,
  description text,
  lots jsonb not null,
  metadata jsonb not null default '{}',
  idempotency_key text,
  constraint sign_follows_type check ((amount > 0) = (transaction_type in ('credit', 'refund'))),
  constraint only_refunds_name_an_entry check (refunded_transaction_id is null or transaction_type = 'refund')
);
comment on table public.credit_transactions is
  'The ledger: every change of a balance, append-only. Ids grow in the order in which a wallet''s entries were made.';
comment on column public.credit_transactions.amount is 'Signed: what it added to the balance.';
comment on column public.credit_transactions.balance_after is 'The balance it left.';
comment on column public.credit_transactions.is_overdraft is 'It left debt: what was used went past what was there.';
comment on column public.credit_transactions.lots is 'Lots it changed: [{"grant_id", "amount"}], signed.';
comment on column public.credit_transactions.refunded_transaction_id is 'The debit that a refund gives back; none if free-standing.';
comment on column public.credit_transactions.hold_id is 'The hold that it settled. No foreign key: entries outlive nothing but their workspace.';
create index credit_transactions_workspace_id_created_at_idx on public.credit_transactions (workspace_id, created_at);
create index credit_transactions_user_id_idx on public.credit_transactions (user_id);
create index credit_transactions_refunded_transaction_id_idx on public.credit_transactions (refunded_transaction_id)
  where refunded_transaction_id is not null;

create table private.credit_requests (
  workspace_id uuid not null references public.workspaces on delete cascade,
  idempotency_key text not null,
  request jsonb not null,
  answer jsonb not null,
  primary key (workspace_id, idempotency_key)
);
comment on table private.credit_requests is
  'Answers given under an idempotency key. A key belongs to its wallet for ever: nothing removes it but the workspace''s end.';

create function private.create_wallet() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.credit_wallets (workspace_id) values (new.id);
  return null;
end;
$$;
comment on function private.create_wallet() is 'Gives every new workspace its wallet.';
create trigger workspaces_create_wallet after insert on public.workspaces
  for each row execute function private.create_wallet();

-- Append-only, also for the service role and for whoever connects as the owner.
create function private.keep_ledger_entries() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    -- Entries go only with their workspace, which a cascade has removed by now.
    if exists (select from deleted_entries d join public.workspaces w on w.id = d.workspace_id) then
      perform private.raise_error('forbidden', 'Ledger entries are never deleted.', 'Post a refund or a clawback.');
    end if;
    return null;
  end if;
  if tg_op = 'UPDATE' and new.user_id is null
    and not exists (select from public.users u where u.id = old.user_id) then
    -- The person was deleted, the team's entry stays.
    old.user_id := null;
    old.is_overdraft := new.is_overdraft; -- generated: not computed yet in a before trigger
    if new is not distinct from old then
      return new;
    end if;
  end if;
  perform private.raise_error('forbidden', 'Ledger entries are never changed.', 'Post a refund or a clawback.');
  return null;
end;
$$;
comment on function private.keep_ledger_entries() is 'Refuses every change of the ledger but the end of its workspace or person.';
create trigger credit_transactions_refuse_update before update on public.credit_transactions
  for each row execute function private.keep_ledger_entries();
create trigger credit_transactions_refuse_delete after delete on public.credit_transactions
  referencing old table as deleted_entries for each statement execute function private.keep_ledger_entries();
create trigger credit_transactions_refuse_truncate before truncate on public.credit_transactions
  for each statement execute function private.keep_ledger_entries();

create function private.copy_wallet_to_user() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update public.users u
  set credits_balance = new.credits_balance, credits_total = new.credits_total, credits_spent = new.credits_spent
  where u.id = new.workspace_id;
  return null;
end;
$$;
comment on function private.copy_wallet_to_user() is 'Keeps the personal workspace''s snapshot on users.';
create trigger credit_wallets_copy_to_user after insert or update of credits_balance, credits_total, credits_spent
  on public.credit_wallets
  for each row execute function private.copy_wallet_to_user();
create trigger credit_wallets_set_updated_at before update on public.credit_wallets
  for each row execute function private.set_updated_at();

alter table public.credit_wallets enable row level security;
alter table public.credit_grants enable row level security;
alter table public.credit_holds enable row level security;
alter table public.credit_transactions enable row level security;
create policy "members can read their workspace's wallet" on public.credit_wallets
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));
create policy "members can read their workspace's lots" on public.credit_grants
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));
create policy "members can read their workspace's holds" on public.credit_holds
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));
create policy "members can read their workspace's ledger" on public.credit_transactions
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));

grant select on public.credit_wallets to authenticated, service_role;
grant select on public.credit_grants to authenticated, service_role;
grant select on public.credit_holds to authenticated, service_role;
grant select on public.credit_transactions to authenticated, service_role;
grant update (overdraft_limit) on public.credit_wallets to service_role;
