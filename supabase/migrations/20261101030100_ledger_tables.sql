-- The credit ledger's tables: wallets, grants, entries, holds.
-- Only the functions of the next chapters write them; clients and the service role read.

create type public.credit_grant_kind as enum ('free', 'subscription', 'purchase', 'promotion', 'refund');
comment on type public.credit_grant_kind is 'Where a grant of credits came from.';
create type public.credit_transaction_type as enum ('credit', 'debit', 'refund', 'expire', 'clawback');
comment on type public.credit_transaction_type is 'What a ledger entry did.';
create type public.credit_hold_state as enum ('open', 'settled', 'released', 'expired');
comment on type public.credit_hold_state is
  'open: set aside; settled: used; released: given back; expired: given back by time.';

create type public.credit_grant_change as (grant_id uuid, amount numeric);
comment on type public.credit_grant_change is 'What an entry added to a grant (above zero) or took from it.';

create domain public.unsigned_credit_amount as numeric(20, 6)
  constraint credit_amount_is_not_negative check (value >= 0 and value <> 'NaN');
comment on domain public.unsigned_credit_amount is 'Credits that cannot be below zero, to six decimals.';

-- These tables have one check constraint each at most: Postgres prepares every one anew for every statement, and a
-- debit has to be little dearer than the two rows it writes (bench/RESULTS.md).
create table public.credit_wallets (
  workspace_id uuid primary key references public.workspaces on delete cascade,
  credits_balance public.credit_amount not null default 0,
  credits_total public.credit_amount not null default 0,
  credits_spent public.credit_amount not null default 0,
  credits_expired public.credit_amount not null default 0,
  credits_held public.unsigned_credit_amount not null default 0,
  overdraft_limit public.unsigned_credit_amount not null default 0,
  next_expiry_at timestamptz,
  frozen_at timestamptz,
  has_alerts boolean not null default false,
  created_at timestamptz not null default now(),
  credits_spendable numeric not null generated always as (case when frozen_at is null
    then credits_balance::numeric - credits_held::numeric + overdraft_limit::numeric else 0 end) stored,
  constraint balance_is_total_less_spent_and_expired
    check (credits_balance = credits_total - credits_spent - credits_expired)
) with (fillfactor = 70); -- rewritten by every operation: room on the page keeps the index out of it
comment on table public.credit_wallets is 'A workspace''s credits: one row each, the lock of everything done to them.';
comment on column public.credit_wallets.credits_balance is
  'What is there; negative is debt, which the next credits pay first.';
comment on column public.credit_wallets.credits_total is 'Ever granted, less clawbacks.';
comment on column public.credit_wallets.credits_spent is 'Used, less refunds.';
comment on column public.credit_wallets.credits_expired is 'Lost to expiry.';
comment on column public.credit_wallets.credits_held is 'Set aside by open holds.';
comment on column public.credit_wallets.overdraft_limit is 'How far below zero an operation may be admitted.';
comment on column public.credit_wallets.credits_spendable is
  'What an operation is admitted for: balance less held, with the overdraft limit; nothing while it is frozen.';
comment on column public.credit_wallets.next_expiry_at is
  'No grant expires before this; null where none expires at all.';
comment on column public.credit_wallets.has_alerts is
  'Whether alerts or an automatic top-up watch it: the others'' operations look for none.';
comment on column public.credit_wallets.frozen_at is
  'Since when nothing more may be spent: a payment is disputed. Null: not frozen.';
create index credit_wallets_next_expiry_at_idx on public.credit_wallets (next_expiry_at)
  where next_expiry_at is not null;

create table public.credit_grants (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  amount public.unsigned_credit_amount not null,
  remaining public.unsigned_credit_amount not null,
  expired_amount public.unsigned_credit_amount not null default 0,
  clawed_back_amount public.unsigned_credit_amount not null default 0,
  kind public.credit_grant_kind not null,
  is_paid boolean not null,
  is_spent boolean not null,
  priority integer not null default 0,
  expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint remaining_expired_and_clawed_back_within_amount
    check (remaining + expired_amount + clawed_back_amount <= amount and is_spent = (remaining = 0))
) with (fillfactor = 80);
comment on table public.credit_grants is 'Credits granted at once, with one origin, priority and expiry.';
comment on column public.credit_grants.remaining is 'What is left of it.';
comment on column public.credit_grants.expired_amount is 'What of it was lost to expiry.';
comment on column public.credit_grants.clawed_back_amount is
  'What of it was taken back (refunded or disputed payment).';
comment on column public.credit_grants.is_paid is 'Bought or subscribed, as opposed to given.';
comment on column public.credit_grants.is_spent is
  'Nothing left. The index names this and not remaining, so that a debit changes no indexed column.';
comment on column public.credit_grants.priority is 'Lower burns first.';
-- In burn order.
create index credit_grants_workspace_id_priority_idx on public.credit_grants
  (workspace_id, priority, expires_at, is_paid, created_at, id) where not is_spent;
create index credit_grants_workspace_id_created_at_idx on public.credit_grants (workspace_id, created_at);

-- Keeps a wallet's next expiry no later than that of any grant that has credits, whatever filled, shortened or
-- extended it.
create function private.note_next_expiry() returns trigger language plpgsql set search_path = '' as $$
begin
  update public.credit_wallets w set next_expiry_at = new.expires_at
  where w.workspace_id = new.workspace_id and (w.next_expiry_at > new.expires_at or w.next_expiry_at is null);
  return null;
end;
$$;
-- Grants are made empty and filled by their entry, so an update is what gives them credits.
create trigger credit_grants_note_next_expiry after update of is_spent, expires_at on public.credit_grants
  for each row when (not new.is_spent and new.expires_at is not null
    and (old.is_spent or old.expires_at is distinct from new.expires_at))
  execute function private.note_next_expiry();

-- In private: what the work needs to end is for no reader, and the view in public leaves it out.
create table private.credit_holds (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  spender_id uuid,
  amount public.unsigned_credit_amount not null,
  settled_amount public.unsigned_credit_amount not null default 0,
  final_amount public.unsigned_credit_amount,
  state public.credit_hold_state not null default 'open',
  reason text not null,
  feature_code text,
  description text,
  metadata jsonb not null default '{}',
  idempotency_key text,
  work jsonb,
  expires_at timestamptz not null,
  closed_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint closed_unless_open_and_final_once_settled
    check ((state = 'open') = (closed_at is null) and (state = 'settled') = (final_amount is not null))
);
comment on table private.credit_holds is 'Holds, with what the work under way needs to be ended.';
comment on column private.credit_holds.work is
  'The work under way, as its chapter keeps it (private.ai_call). Null once it has ended, and where there is none: the '
  'first ending takes it away, and later ones find nothing.';
create index credit_holds_workspace_id_created_at_idx on private.credit_holds (workspace_id, created_at);
create index credit_holds_user_id_idx on private.credit_holds (user_id);
create index credit_holds_open_workspace_id_idx on private.credit_holds (workspace_id, expires_at) where state = 'open';
create index credit_holds_due_expires_at_idx on private.credit_holds (expires_at)
  where state = 'open' or work is not null;

create table public.credit_transactions (
  id bigint generated always as identity primary key,
  created_at timestamptz not null,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  spender_id uuid,
  hold_id uuid,
  grant_id uuid,
  refunded_transaction_id bigint,
  transaction_type public.credit_transaction_type not null,
  is_overdraft boolean not null,
  amount public.credit_amount not null,
  balance_after public.credit_amount not null,
  reason text not null,
  feature_code text,
  description text,
  grant_changes public.credit_grant_change[] not null,
  metadata jsonb not null default '{}',
  idempotency_key text,
  constraint amount_has_the_sign_of_its_type
    check (case when transaction_type in ('credit', 'refund') then amount > 0 else amount < 0 end)
);
comment on table public.credit_transactions is
  'The ledger: every change of a balance, append-only. Ids grow in the order in which a wallet''s entries were made.';
comment on column public.credit_transactions.spender_id is
  'Whose spending limit counts it besides the user''s: an API key. No foreign key, as hold_id.';
comment on column public.credit_transactions.amount is 'Signed: what it added to the balance.';
comment on column public.credit_transactions.balance_after is 'The balance it left.';
comment on column public.credit_transactions.is_overdraft is 'It left debt: what was used went past what was there.';
comment on column public.credit_transactions.grant_changes is
  'Grants it changed, as [{"grant_id", "amount"}]; what no grant covers is a change of debt.';
comment on column public.credit_transactions.refunded_transaction_id is
  'The debit that a refund gives back; none if free-standing.';
comment on column public.credit_transactions.grant_id is
  'The grant that it gives to, or takes back: in full, where grants name what it changed. None for what burns.';
comment on column public.credit_transactions.hold_id is
  'The hold that it settled. No foreign key: entries outlive nothing but their workspace.';
create index credit_transactions_workspace_id_created_at_idx on public.credit_transactions (workspace_id, created_at);
create index credit_transactions_user_id_created_at_idx on public.credit_transactions (user_id, created_at);
create index credit_transactions_refunded_transaction_id_idx on public.credit_transactions (refunded_transaction_id)
  where refunded_transaction_id is not null;

-- Gives every new workspace its wallet.
create function private.create_wallet() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_wallets (workspace_id) values (new.id);
  return null;
end;
$$;
create trigger workspaces_create_wallet after insert on public.workspaces
  for each row execute function private.create_wallet();

-- Takes the wallet before the user's row, as every credit operation does: the insert may turn into an update.
create function private.lock_wallet_of_user() returns trigger language plpgsql set search_path = '' as $$
begin
  perform from public.credit_wallets w where w.workspace_id = new.id for no key update;
  return new;
end;
$$;
create trigger users_lock_wallet before insert on public.users
  for each row execute function private.lock_wallet_of_user();

-- Wallets come before the rows they guard. The service role's own statements name rows of any workspace, and so cannot:
-- while one runs, nobody else holds several of such rows, or a wallet and waits for one.
-- Comes before the wallets of whoever changes or deletes settings (keys, alerts) together with other rows.
create function private.share_settings() returns void
language sql set search_path = '' as $$ select pg_advisory_xact_lock_shared(hashtextextended('settings', 0)) $$;

-- Before a statement writes settings, of however many workspaces: takes the wallets that its caller manages in id
-- order, or keeps everybody else waiting.
create function private.lock_settings() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if auth.uid() is null then
    perform pg_advisory_xact_lock(hashtextextended('settings', 0));
    return null;
  end if;
  perform private.share_settings();
  perform from public.credit_wallets w
  where w.workspace_id in (select private.my_managed_workspace_ids())
  order by w.workspace_id for no key update;
  return null;
end;
$$;

-- Takes the wallets before the rows: a deletion that met a debit half way would deadlock.
create function private.lock_wallets_of_user() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- Whatever table has rows of a person in a workspace, those of later chapters and of a project's own among them.
  workspaces_of_user text := (
    select string_agg(format('select t.workspace_id from %s t where t.user_id = $1', c.oid::regclass), ' union ')
    from pg_catalog.pg_class c
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p')
      and not c.relispartition and 2 = (
        select count(*) from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attname in ('workspace_id', 'user_id') and a.atttypid = 'uuid'::regtype
      )
  );
begin
  perform private.share_settings();
  execute format('select from public.credit_wallets w where w.workspace_id = any (array(select $1 union %s))
    order by w.workspace_id for update', workspaces_of_user) using old.id;
  return old;
end;
$$;
create or replace trigger users_lock_wallets before delete on auth.users
  for each row execute function private.lock_wallets_of_user();

-- Append-only, also for the service role and for whoever connects as the owner.
-- Refuses every change of a table's rows but the end of their workspace or person. Arguments: what they are, and what
-- to do instead. Rows that a statement deletes are its deleted_rows.
create function private.guard_append_only() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    -- They go only with their workspace, which a cascade has removed by now.
    if exists (select from deleted_rows d join public.workspaces w on w.id = d.workspace_id) then
      perform private.raise_error('forbidden', tg_argv[0] || ' are never deleted.', tg_argv[1]);
    end if;
    return null;
  elsif tg_op = 'UPDATE' and new.user_id is null and not exists (select from public.users u where u.id = old.user_id)
    then
    old.user_id := null; -- the person was deleted, what a team has of them stays
    if new is not distinct from old then
      return new;
    end if;
  end if;
  perform private.raise_error('forbidden', tg_argv[0] || ' are never changed.', tg_argv[1]);
  return null;
end;
$$;
create trigger credit_transactions_refuse_update before update on public.credit_transactions
  for each row execute function private.guard_append_only('Ledger entries', 'Post a refund or a clawback.');
create trigger credit_transactions_refuse_delete after delete on public.credit_transactions
  referencing old table as deleted_rows for each statement
  execute function private.guard_append_only('Ledger entries', 'Post a refund or a clawback.');
create trigger credit_transactions_refuse_truncate before truncate on public.credit_transactions
  for each statement execute function private.guard_append_only('Ledger entries', 'Post a refund or a clawback.');

alter table public.credit_wallets enable row level security;
alter table public.credit_grants enable row level security;
alter table private.credit_holds enable row level security;
alter table public.credit_transactions enable row level security;
create policy "owners and admins can read their workspace's wallet" on public.credit_wallets
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
create policy "owners and admins can read their workspace's grants" on public.credit_grants
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
-- The first condition is what the index serves.
create policy "members can read their own holds, owners and admins all of their workspace" on private.credit_holds
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))));
-- An entry tells the wallet's balance and grants: a member who may not see those asks my_credit_transactions.
create policy "owners and admins can read their workspace's entries" on public.credit_transactions
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));

grant select on public.credit_wallets to authenticated, service_role;
grant select on public.credit_grants to authenticated, service_role;
create view public.credit_holds with (security_invoker = true) as
select id, workspace_id, user_id, spender_id, amount, settled_amount, final_amount, state, reason, feature_code,
  description, metadata, idempotency_key, expires_at, closed_at, created_at
from private.credit_holds;
comment on view public.credit_holds is
  'Credits set aside for work under way. A hold names no grants; they burn when it settles.';
comment on column public.credit_holds.spender_id is 'Whose spending limit counts it besides the user''s: an API key.';
comment on column public.credit_holds.amount is 'Still set aside; what was when it closed, once it is closed.';
comment on column public.credit_holds.settled_amount is 'Used under it so far.';
comment on column public.credit_holds.final_amount is
  'What the settlement that closed it used; retries are told by it.';
create trigger credit_holds_refuse_write instead of insert or update or delete on public.credit_holds
  for each row execute function private.refuse_write();
grant select (
  id, workspace_id, user_id, spender_id, amount, settled_amount, final_amount, state, reason, feature_code,
  description, metadata, idempotency_key, expires_at, closed_at, created_at
) on private.credit_holds to authenticated, service_role;
grant select on public.credit_holds to authenticated, service_role;
grant select on public.credit_transactions to authenticated, service_role;
grant update (overdraft_limit) on public.credit_wallets to service_role;

create type public.my_credit_transaction as (
  id bigint, created_at timestamptz, workspace_id uuid, transaction_type public.credit_transaction_type, amount numeric,
  reason text, feature_code text, description text, hold_id uuid, refunded_transaction_id bigint, metadata jsonb
);
comment on type public.my_credit_transaction is 'A ledger entry without what it tells of the wallet.';

-- The caller's own entries in the workspaces that they are in, newest first.
create function private.my_entries(
  wanted_workspace uuid, before_id bigint, max_rows integer
) returns setof public.my_credit_transaction language plpgsql stable security definer set search_path = '' as $$
begin
  return query
  select t.id, t.created_at, t.workspace_id, t.transaction_type, t.amount::numeric, t.reason, t.feature_code,
    t.description,
    t.hold_id, t.refunded_transaction_id, t.metadata
  from public.credit_transactions t
  where t.user_id = (select private.caller_id()) and t.workspace_id = any (array(select private.my_workspace_ids()))
    and (wanted_workspace is null or t.workspace_id = wanted_workspace) and (before_id is null or t.id < before_id)
  order by t.id desc limit least(greatest(coalesce(max_rows, 100), 1), 1000);
end;
$$;
grant execute on function private.my_entries to authenticated;

create function public.my_credit_transactions(
  workspace_id uuid default null, before_id bigint default null, max_rows integer default 100
) returns setof public.my_credit_transaction
language sql stable set search_path = '' as $$ select * from private.my_entries(workspace_id, before_id, max_rows) $$;
comment on function public.my_credit_transactions is
  'The caller''s own entries, newest first, in a workspace or all of theirs; before_id goes on from the last one. '
  'For members, to whom credit_transactions is closed.';
grant execute on function public.my_credit_transactions to authenticated;
