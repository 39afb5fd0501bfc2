-- Posting: the one place that moves credits, and what every operation checks.
-- Every operation takes the wallet's row lock first and so runs alone on its wallet: idempotency, admission and grants
-- are then plain reads and writes. What else it locks comes after (holds, grants, snapshot), so no two can deadlock.

create type public.credit_result as (
  credits_balance numeric,
  credits_total numeric,
  credits_spent numeric,
  credits_expired numeric,
  credits_held numeric,
  credits_available numeric,
  amount numeric,
  transaction_id bigint,
  grant_id uuid,
  hold_id uuid
);
comment on type public.credit_result is
  'The wallet after a credit operation; amount is what the operation moved, the ids name what it made or closed.';

-- Refuses invalid parameters of an operation; those that it does not have are left out. One expression finds what is
-- wrong: each further one is prepared anew in every transaction.
create function private.require_valid(
  at timestamptz default now(), amount numeric default 1, reason text default 'none', metadata jsonb default '{}',
  idempotency_key text default null, zero_allowed boolean default false, field text default 'amount'
) returns void language plpgsql stable set search_path = '' as $$
declare
  problem text := case
    -- A time long past or in the future would end or outrank what is to come. Nearly every operation is about now; only
    -- the others read the settings.
    when at between clock_timestamp() - interval '24 hours' and clock_timestamp() + interval '1 minute' is not true
      and at between clock_timestamp() - interval '24 hours' * private.config_numeric('max_backdating_days', 366)
        and clock_timestamp() + interval '1 minute' * private.config_numeric('max_clock_skew_minutes', 5) is not true
      then format('at must be a time at most %s days back and %s minutes ahead, not %s.',
        private.config_numeric('max_backdating_days', 366), private.config_numeric('max_clock_skew_minutes', 5),
        coalesce(at::text, 'null'))
    -- NaN compares as greater than every number; infinities fail the upper bound.
    when (amount > 0 and amount <= 1e12 and amount = round(amount, 6) or zero_allowed and amount = 0) is not true
      then format('%s must be a number above 0 with at most six decimals, not %s.', field,
        coalesce(amount::text, 'null'))
    when reason is null or reason !~ '\S' or length(reason) > 100 then 'reason must be a text of 1 to 100 characters.'
    when metadata is null or jsonb_typeof(metadata) <> 'object' or pg_column_size(metadata) > 16384
      then 'metadata must be a JSON object of at most 16 KiB.'
    -- Keys of our own begin with basemeter: on the same wallets.
    when length(idempotency_key) not between 1 and 255 or starts_with(idempotency_key, 'basemeter:')
      then 'idempotency_key must have 1 to 255 characters and not begin with "basemeter:".'
    end;
begin
  if problem is not null then
    perform private.raise_error('invalid_request', problem);
  end if;
end;
$$;

-- The time of an operation, once it has the lock that it waited for: now, unless its caller gave another.
create function private.time_under_lock(at timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  -- A time within this statement is the default of a parameter, taken before there was a lock to wait for.
  return case when at > statement_timestamp() and at < clock_timestamp() then clock_timestamp() else at end;
end;
$$;

-- Changes the grants of a locked wallet: as told, or takes an amount from them as far as they last, in burn order:
-- priority, soonest expiry, free before paid, oldest. Says what it changed.
create function private.change_grants(
  wanted_workspace uuid, changes public.credit_grant_change[], taken numeric, at timestamptz, first_grant uuid,
  spare_expired boolean, is_expiry boolean
) returns public.credit_grant_change[] language plpgsql set search_path = '' as $$
begin
  if changes is null then
    changes := array(
      select (l.id, trim_scale(-least(l.remaining, taken - l.before)))::public.credit_grant_change
      from (
        select g.id, g.remaining, sum(g.remaining) over (
          -- An expired grant is still here only because holds need it: what is no settlement takes it last.
          order by g.id is distinct from first_grant, spare_expired and g.expires_at <= at is true,
            g.priority, g.expires_at, g.is_paid, g.created_at, g.id
          rows unbounded preceding
        ) - g.remaining as before
        from public.credit_grants g
        where g.workspace_id = wanted_workspace and not g.is_spent
      ) l
      where l.before < taken
      order by l.before
    );
  end if;
  update public.credit_grants g set
    remaining = g.remaining + l.amount,
    is_spent = g.remaining + l.amount = 0,
    expired_amount = g.expired_amount - case when is_expiry then l.amount else 0 end
  from unnest(changes) l
  where g.id = l.grant_id;
  return changes;
end;
$$;

-- The one place that moves credits: wallet, grants, the user's snapshot and the entry that tells of it, together.
-- Without grants given it burns them; an amount of 0 moves no more than what is held. A row of nulls where an admission
-- was asked for and not granted. Few statements and expressions: each is prepared anew in every transaction.
create function private.post_entry(
  wanted_workspace uuid, account_id uuid, entry_type public.credit_transaction_type, signed_amount numeric,
  entry_reason text, at timestamptz, grant_changes public.credit_grant_change[] default null,
  first_grant uuid default null, only_if_admitted boolean default false, entry_metadata jsonb default '{}',
  entry_description text default null, entry_feature text default null, key text default null,
  refunded_id bigint default null, for_hold uuid default null, held_change numeric default 0,
  new_grant uuid default null, spender uuid default null
) returns public.credit_result language plpgsql set search_path = '' as $$
declare
  burned public.credit_grant_change[];
  answer public.credit_result;
begin
  -- A few of these leave what a column can hold; a sum of smaller ones takes too many operations to do so.
  if abs(signed_amount) > 1e9 then
    perform private.raise_error('invalid_request',
      format('amount: a wallet cannot hold %s more.', trim_scale(abs(signed_amount))))
    from public.credit_wallets w where w.workspace_id = wanted_workspace
      and greatest(abs(w.credits_balance), abs(w.credits_total), abs(w.credits_spent)) + abs(signed_amount) > 9e13;
  end if;
  -- The wallet first: its row lock makes the rest safe, and an admission in the same statement needs no lock before it.
  update public.credit_wallets w set
    credits_balance = w.credits_balance + signed_amount,
    credits_total = w.credits_total + case when entry_type in ('credit', 'clawback') then signed_amount else 0 end,
    credits_spent = w.credits_spent - case when entry_type in ('debit', 'refund') then signed_amount else 0 end,
    credits_expired = w.credits_expired - case when entry_type = 'expire' then signed_amount else 0 end,
    credits_held = w.credits_held + held_change
  where w.workspace_id = wanted_workspace and (not only_if_admitted or (
    w.credits_spendable >= -signed_amount and w.next_expiry_at <= at is not true
  ))
  returning w.credits_balance, w.credits_total, w.credits_spent, w.credits_expired, w.credits_held,
    w.credits_balance - w.credits_held, abs(signed_amount), null::bigint, new_grant, for_hold
  into answer;
  if not found or signed_amount = 0 then
    return answer;
  end if;
  if grant_changes is null and first_grant is null then
    -- Nearly always the first grant is enough: no sort, for the index has this order, and no change of what it covers.
    update public.credit_grants g set remaining = g.remaining + signed_amount
    where g.ctid = (
      select n.ctid from public.credit_grants n where n.workspace_id = wanted_workspace and not n.is_spent
      order by n.workspace_id, n.priority, n.expires_at, n.is_paid, n.created_at, n.id
      limit 1
    ) and g.remaining > -signed_amount
      and (g.expires_at <= at and for_hold is null and entry_type = 'debit') is not true
    returning array[(g.id, signed_amount)::public.credit_grant_change] into burned;
  end if;
  grant_changes := coalesce(burned, private.change_grants(wanted_workspace, grant_changes, -signed_amount, at,
    first_grant, entry_type = 'debit' and for_hold is null, entry_type = 'expire'));
  update public.users u
  set credits_balance = answer.credits_balance, credits_total = answer.credits_total,
    credits_spent = answer.credits_spent
  where u.id = wanted_workspace;
  if not found and account_id = wanted_workspace then
    perform private.raise_error('not_found', format('There is no user %s.', account_id));
  end if;
  if (account_id <> wanted_workspace or spender is not null) and entry_type in ('debit', 'refund') then
    perform private.count_spending(wanted_workspace, account_id, spender, -signed_amount, for_hold, refunded_id, at);
  end if;
  insert into public.credit_transactions (
    created_at, workspace_id, user_id, spender_id, hold_id, grant_id, refunded_transaction_id, transaction_type,
    is_overdraft, amount, balance_after, reason, feature_code, description, grant_changes, metadata, idempotency_key
  )
  values (at, wanted_workspace, account_id, spender, for_hold, new_grant, refunded_id, entry_type,
    signed_amount < 0 and answer.credits_balance < 0, signed_amount, answer.credits_balance, entry_reason,
    entry_feature, entry_description, grant_changes, entry_metadata, key)
  returning id into answer.transaction_id;
  return answer;
end;
$$;

-- Adds an empty grant; the entry that grants it fills it.
create function private.add_grant(
  wanted_workspace uuid, grant_amount numeric, grant_kind public.credit_grant_kind, paid boolean,
  grant_priority integer, grant_expires_at timestamptz
) returns uuid language plpgsql set search_path = '' as $$
declare
  grant_id uuid;
begin
  insert into public.credit_grants (workspace_id, amount, remaining, is_spent, kind, is_paid, priority, expires_at)
  values (wanted_workspace, grant_amount, 0, true, grant_kind, paid, grant_priority, grant_expires_at)
  returning id into grant_id;
  return grant_id;
end;
$$;

-- The grants of an entry that changes one, or none where nothing changes.
create function private.grant_change(grant_id uuid, amount numeric) returns public.credit_grant_change[]
language plpgsql immutable set search_path = '' as $$
begin
  return case when amount = 0 then '{}' else array[(grant_id, trim_scale(amount))::public.credit_grant_change] end;
end;
$$;
