-- Expiry of holds and lots. What is due goes when its wallet is next used, or by the sweep, whichever comes first.

create function private.expire_lots(wallet_id uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  lot record;
  taken numeric;
  expirable numeric;
  total numeric := 0;
  lots public.credit_lot_change[] := array[]::public.credit_lot_change[];
begin
  -- While holds are open, expired lots keep what living ones could not pay of them.
  select coalesce(sum(g.remaining) filter (where g.expires_at <= expire_lots.at), 0)
    - greatest(w.credits_held - coalesce(sum(g.remaining) filter (where g.expires_at <= expire_lots.at is not true), 0),
      0)
  into expirable
  from public.credit_wallets w
  left join public.credit_grants g on g.workspace_id = w.workspace_id and not g.is_spent
  where w.workspace_id = wallet_id
  group by w.workspace_id;
  for lot in
    select g.id, g.remaining from public.credit_grants g
    where g.workspace_id = wallet_id and not g.is_spent and g.expires_at <= expire_lots.at
    order by g.expires_at, g.created_at, g.id
  loop
    taken := least(lot.remaining, expirable - total);
    exit when taken <= 0;
    lots := lots || private.lot_change(lot.id, -taken);
    total := total + taken;
  end loop;
  if total > 0 then
    perform private.post_entry(wallet_id, null, 'expire', -total, 'expiry', at, lots);
  end if;
end;
$$;
comment on function private.expire_lots(uuid, timestamptz) is
  'Takes what is left of lots past their expiry, as one ledger entry.';

create function private.expire_wallet(wallet_id uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  with expired as (
    update private.credit_holds h set state = 'expired', closed_at = expire_wallet.at
    where h.workspace_id = wallet_id and h.state = 'open' and h.expires_at <= expire_wallet.at
    returning h.amount
  )
  update public.credit_wallets w set credits_held = w.credits_held - freed.amount
  from (select sum(e.amount) as amount from expired e) freed
  where w.workspace_id = wallet_id and freed.amount is not null;

  perform private.expire_lots(wallet_id, at);

  -- Lots that holds keep alive are looked at again when one of those holds ends.
  update public.credit_wallets w set next_expiry_at = (
    select min(case when g.expires_at > expire_wallet.at then g.expires_at else (
      select min(h.expires_at) from private.credit_holds h where h.workspace_id = wallet_id and h.state = 'open'
    ) end)
    from public.credit_grants g
    where g.workspace_id = wallet_id and not g.is_spent and g.expires_at is not null
  )
  where w.workspace_id = wallet_id;
end;
$$;
comment on function private.expire_wallet(uuid, timestamptz) is
  'Ends the holds and lots of a locked wallet that are due, and notes when the next lot is.';

create function private.expire_kept_lots(wallet_id uuid, answer public.credit_result, at timestamptz)
returns public.credit_result
language plpgsql set search_path = ''
as $$
begin
  if not exists (
    select from public.credit_grants g
    where g.workspace_id = wallet_id and not g.is_spent and g.expires_at <= expire_kept_lots.at
  ) then
    return answer;
  end if;
  perform private.expire_wallet(wallet_id, at);
  select w.credits_balance, w.credits_expired, w.credits_held, w.credits_balance - w.credits_held
  into answer.credits_balance, answer.credits_expired, answer.credits_held, answer.credits_available
  from public.credit_wallets w where w.workspace_id = wallet_id;
  return answer;
end;
$$;
comment on function private.expire_kept_lots(uuid, public.credit_result, timestamptz) is
  'After a hold has closed: expires the lots that only it had kept, and corrects the answer.';

create function private.lock_next_due_wallet(at timestamptz, passed_over uuid[]) returns uuid
language plpgsql set search_path = ''
as $$
declare
  wallet_id uuid;
begin
  select w.workspace_id into wallet_id
  from public.credit_wallets w
  where w.next_expiry_at <= lock_next_due_wallet.at and w.workspace_id <> all (passed_over)
  limit 1 for no key update skip locked;
  if not found then
    select w.workspace_id into wallet_id
    from public.credit_wallets w
    join private.credit_holds h on h.workspace_id = w.workspace_id
    where h.state = 'open' and h.expires_at <= lock_next_due_wallet.at and w.workspace_id <> all (passed_over)
    limit 1 for no key update of w skip locked;
  end if;
  return wallet_id;
end;
$$;
comment on function private.lock_next_due_wallet(timestamptz, uuid[]) is
  'Locks a wallet in which something is due and that nobody is using; null when there is none.';

create function private.expire_next_wallet(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
  wallet_id uuid;
  passed_over uuid[] := array[]::uuid[];
begin
  -- One that cannot be expired is passed over: it is no reason to leave all others as they are.
  while cardinality(passed_over) < 100 loop
    wallet_id := private.lock_next_due_wallet(at, passed_over);
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
comment on function private.expire_next_wallet(timestamptz) is
  'Sweeps one wallet in which something is due and that nobody is using; false when there is none.';

create function public.expire_credits(workspace_id uuid default null, at timestamptz default clock_timestamp())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_time(at);
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
