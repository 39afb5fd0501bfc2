-- The wallet's lock, and expiry of holds and grants: what is due goes when its wallet is next locked, or by the sweep,
-- whichever comes first. What may be admitted is read under the lock.

-- Ends the holds and grants of a locked wallet that are due, the grants as one ledger entry, and notes when the next
-- grant is.
create function private.expire_wallet(wanted_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  changes public.credit_grant_change[];
begin
  with expired as (
    update private.credit_holds h set state = 'expired', closed_at = expire_wallet.at
    where h.workspace_id = wanted_workspace and h.state = 'open' and h.expires_at <= expire_wallet.at
    returning h.amount
  )
  update public.credit_wallets w set credits_held = w.credits_held - freed.amount
  from (select sum(e.amount) as amount from expired e) freed
  where w.workspace_id = wanted_workspace and freed.amount is not null;

  with living as (
    select g.*, g.expires_at <= expire_wallet.at is true as is_due from public.credit_grants g
    where g.workspace_id = wanted_workspace and not g.is_spent
  ), due as (
    select l.id, l.remaining, sum(l.remaining) over (order by l.expires_at, l.created_at, l.id
      rows unbounded preceding) - l.remaining as before
    from living l where l.is_due
  ), expirable as (
    -- While holds are open, expired grants keep what living ones could not pay of them.
    select sum(l.remaining) filter (where l.is_due)
      - greatest(w.credits_held - coalesce(sum(l.remaining) filter (where not l.is_due), 0), 0) as amount
    from public.credit_wallets w, living l where w.workspace_id = wanted_workspace group by w.workspace_id
  )
  select array_agg((d.id, -trim_scale(least(d.remaining, e.amount - d.before)))::public.credit_grant_change
    order by d.before, d.id) into changes
  from due d, expirable e where d.before < e.amount;
  if changes is not null then
    perform private.post_entry(wanted_workspace, null, 'expire', (select sum(c.amount) from unnest(changes) c),
      'expiry', at, changes);
  end if;

  -- Grants that holds keep alive are looked at again when one of those holds ends.
  update public.credit_wallets w set next_expiry_at = (
    select min(case when g.expires_at > expire_wallet.at then g.expires_at else (
      select min(h.expires_at) from private.credit_holds h where h.workspace_id = wanted_workspace and h.state = 'open'
    ) end)
    from public.credit_grants g
    where g.workspace_id = wanted_workspace and not g.is_spent and g.expires_at is not null
  )
  where w.workspace_id = wanted_workspace;
end;
$$;

-- Locks a wallet for the rest of the transaction, with what is due to expire gone from it.
create function private.lock_wallet(wanted_workspace uuid, at timestamptz) returns public.credit_wallets
language plpgsql set search_path = '' as $$
declare
  wallet public.credit_wallets;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace for no key update;
  if not found then
    -- An account whose sign-up could not finish is finished by the first call that needs it.
    perform private.complete_account(wanted_workspace);
    select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace for no key update;
    if not found then
      perform private.raise_error('not_found', format('There is no workspace %s.',
        coalesce(wanted_workspace::text, 'null')));
    end if;
  end if;
  at := private.time_under_lock(at);
  if wallet.next_expiry_at <= at then
    perform private.expire_wallet(wanted_workspace, at);
    select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace;
  end if;
  return wallet;
end;
$$;

-- Locks the wallet of a workspace for a caller who is at least of this role there, and says what they are.
create function private.lock_workspace(
  wanted_workspace uuid, least_role public.workspace_role
) returns public.workspace_role language plpgsql set search_path = '' as $$
declare
  account_id uuid := private.my_account();
begin
  perform private.require_role(wanted_workspace, account_id, least_role); -- nobody else locks what is not theirs
  perform private.share_settings();
  perform from public.credit_wallets w where w.workspace_id = wanted_workspace for no key update;
  return private.require_role(wanted_workspace, account_id, least_role); -- as it is under the lock
end;
$$;

-- A locked wallet, less the holds that time has ended where an amount needs them gone: no sweep need have come by.
create function private.free_due_holds(
  wallet public.credit_wallets, amount numeric, at timestamptz
) returns public.credit_wallets language plpgsql set search_path = '' as $$
begin
  if amount > wallet.credits_spendable and exists (
    select from private.credit_holds h
    where h.workspace_id = wallet.workspace_id and h.state = 'open' and h.expires_at <= at
  ) then
    perform private.expire_wallet(wallet.workspace_id, at);
    select * into wallet from public.credit_wallets w where w.workspace_id = wallet.workspace_id;
  end if;
  return wallet;
end;
$$;

-- Refuses what a locked wallet cannot pay (insufficient_credits) or may not (account_disabled).
create function private.require_available(wallet public.credit_wallets, amount numeric, at timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  if wallet.frozen_at is not null then
    perform private.raise_error('account_disabled', 'This workspace is frozen: a payment of it is disputed.',
      'It can be used again once the dispute is resolved.');
  end if;
  wallet := private.free_due_holds(wallet, amount, at);
  if amount > greatest(wallet.credits_spendable, 0) then -- nothing can be had in debt too
    perform private.raise_error('insufficient_credits',
      format('%s credits are needed and %s are available.', trim_scale(amount), trim_scale(wallet.credits_spendable)),
      'Add credits, or ask for less.');
  end if;
end;
$$;

-- Sweeps one wallet in which something is due and that nobody is using; false when there is none.
create function private.expire_next_wallet(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  wallet_id uuid;
  passed_over uuid[] := array[]::uuid[];
begin
  -- One that cannot be expired is passed over: it is no reason to leave all others as they are.
  while cardinality(passed_over) < 100 loop
    select w.workspace_id into wallet_id from public.credit_wallets w
    where w.next_expiry_at <= expire_next_wallet.at and w.workspace_id <> all (passed_over)
    limit 1 for no key update skip locked;
    if not found then
      select w.workspace_id into wallet_id
      from public.credit_wallets w join private.credit_holds h on h.workspace_id = w.workspace_id
      where h.state = 'open' and h.expires_at <= expire_next_wallet.at and w.workspace_id <> all (passed_over)
      limit 1 for no key update of w skip locked;
    end if;
    exit when wallet_id is null;
    begin
      perform private.expire_wallet(wallet_id, at);
      return true;
    exception when others then
      raise warning 'wallet % could not be expired: % (%)', wallet_id, sqlerrm, sqlstate;
      passed_over := passed_over || wallet_id;
    end;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('expire_next_wallet', 30);

create function public.expire_credits(
  workspace_id uuid default null, at timestamptz default clock_timestamp()
) returns integer language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_valid(at);
  if expire_credits.workspace_id is null then
    return private.expire_next_wallet(at)::integer;
  end if;
  perform private.lock_wallet(expire_credits.workspace_id, at);
  perform private.expire_wallet(expire_credits.workspace_id, at);
  return 1;
end;
$$;
comment on function public.expire_credits is
  'Expires what is due in a workspace, or in one that has something due: then call it until it answers 0, '
  'one wallet a transaction.';
grant execute on function public.expire_credits to service_role;
