-- What each spender may use of a workspace's credits: in all, and per calendar period. Whoever moves credits asks here
-- and counts here, under the wallet's lock. Which spenders there are (members, API keys) is for the chapters that make
-- their rows.
-- What is set aside counts as used, in the period in which it was set aside; so does what is then used under that hold.

create table public.spending_limits (
  workspace_id uuid not null references public.workspaces on delete cascade,
  spender_id uuid not null,
  spender_kind text not null,
  credit_limit public.unsigned_credit_amount,
  period_credit_limit public.unsigned_credit_amount,
  limit_period public.calendar_period,
  credits_used public.credit_amount not null default 0,
  period_credits_used public.credit_amount not null default 0,
  period_started_at timestamptz,
  counts_since timestamptz,
  primary key (workspace_id, spender_id),
  constraint a_period_limit_names_its_period check ((period_credit_limit is null) = (limit_period is null))
) with (fillfactor = 70);
comment on table public.spending_limits is
  'What each spender (a member of a team, an API key) may use of a workspace''s credits, and has used.';
comment on column public.spending_limits.spender_id is 'The member''s user id, the key''s id.';
comment on column public.spending_limits.spender_kind is 'member or api_key.';
comment on column public.spending_limits.credit_limit is 'Credits it may use in all; null: no limit.';
comment on column public.spending_limits.period_credit_limit is
  'Credits it may use in each limit_period; null: no limit.';
comment on column public.spending_limits.credits_used is
  'Credits it has used, less refunds; what is set aside is not among them.';
comment on column public.spending_limits.period_credits_used is
  'The same, in the period (limit_period, else a month) that began at period_started_at.';
comment on column public.spending_limits.counts_since is
  'Refunds of what was used before are not counted: it was another membership. Null: all are.';

alter table public.spending_limits enable row level security;
create policy "people can read their own limits, owners and admins all of their workspace" on public.spending_limits
  for select to authenticated
  using ((select auth.uid()) = spender_id or workspace_id = any (array(select private.my_managed_workspace_ids())));
grant select on public.spending_limits to authenticated, service_role;

-- What a spender used that began in a period, less refunds of that, by the ledger.
create function private.spent_between(
  wanted_workspace uuid, spender uuid, since timestamptz, until timestamptz
) returns numeric language sql stable set search_path = '' as $$
  select greatest(coalesce(-sum(t.amount), 0), 0)
  from public.credit_transactions t
  left join public.credit_transactions r on r.id = t.refunded_transaction_id
  left join private.credit_holds h on h.id = coalesce(t.hold_id, r.hold_id)
  cross join lateral (select coalesce(h.created_at, r.created_at, t.created_at)) b (begun_at)
  where t.workspace_id = wanted_workspace and spender in (t.user_id, t.spender_id)
    and t.transaction_type in ('debit', 'refund') and t.created_at >= since
    and b.begun_at >= since and b.begun_at < until
$$;

-- What a spender may still use now, and from when on more; null: no limit, or no more by waiting.
create function private.spending_left(
  wanted_workspace uuid, spender uuid, at timestamptz, out credits numeric, out next_period_at timestamptz
) language plpgsql stable set search_path = '' as $$
declare
  spending public.spending_limits;
  period record;
  held numeric;
  held_in_period numeric;
begin
  select * into spending from public.spending_limits l
  where l.workspace_id = wanted_workspace and l.spender_id = spender
    and (l.credit_limit is not null or l.period_credit_limit is not null);
  if not found then
    return;
  end if;
  period := private.window_at(spending.limit_period::text, spending.period_started_at, spending.period_credits_used,
    at);
  if at < period.started_at then -- back-dated: a period that is over has its own use
    select w.started_at, w.ends_at, private.spent_between(wanted_workspace, spender, w.started_at, w.ends_at) as used
    into period from private.window_at(spending.limit_period::text, null, 0, at) w;
  end if;
  select coalesce(sum(h.amount), 0), coalesce(sum(h.amount)
    filter (where h.created_at >= period.started_at and h.created_at < period.ends_at), 0)
  into held, held_in_period
  from private.credit_holds h
  where h.workspace_id = wanted_workspace and h.state = 'open' and h.expires_at > spending_left.at
    and spender in (h.user_id, h.spender_id);
  credits := least(spending.credit_limit - spending.credits_used - held,
    spending.period_credit_limit - period.used - held_in_period);
  if credits < spending.credit_limit - spending.credits_used - held or spending.credit_limit is null then
    next_period_at := period.ends_at;
  end if;
end;
$$;

-- What somebody, by this spender (null: none), may still use of a workspace's credits; null: no limit.
create function private.credits_left_to(
  wanted_workspace uuid, account_id uuid, spender uuid, at timestamptz
) returns numeric language plpgsql stable set search_path = '' as $$
begin
  if account_id <> wanted_workspace and private.role_in(wanted_workspace, account_id) is null then
    return 0; -- who has left while a call ran gets no more of it
  end if;
  -- Nobody is limited in their personal workspace.
  return least(
    case when account_id <> wanted_workspace then (private.spending_left(wanted_workspace, account_id, at)).credits end,
    case when spender is not null then (private.spending_left(wanted_workspace, spender, at)).credits end);
end;
$$;

-- Refuses who does not exist or is no member, and what would pass a limit. Called under the wallet's lock.
create function private.require_spending_left(
  wanted_workspace uuid, account_id uuid, spender uuid, amount numeric, at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  may_spend boolean;
  refusal record;
begin
  -- The user is locked, so that a deletion meanwhile is not found and no error of a foreign key.
  select u.id = wanted_workspace or m.user_id is not null into may_spend
  from public.users u
  left join public.workspace_members m on m.workspace_id = wanted_workspace and m.user_id = u.id
  where u.id = account_id for key share of u;
  if may_spend is null then
    perform private.raise_error('not_found', format('There is no user %s.', coalesce(account_id::text, 'null')));
  elsif not may_spend then
    perform private.raise_error('forbidden', format('%s is no member of workspace %s.', account_id, wanted_workspace));
  elsif spender is not null and not exists (
    select from public.spending_limits l where l.workspace_id = wanted_workspace and l.spender_id = spender
  ) then
    perform private.raise_error('not_found', format('This workspace has no spender %s.', spender));
  end if;
  -- Nothing can be had past the limits too. By waiting only where a next period lifts each that is in the way.
  select min(l.credits) as credits,
    case when bool_and(l.next_period_at is not null)
      then ceil(extract(epoch from max(l.next_period_at) - at))::integer end as wait
  into refusal
  from unnest(array[account_id, spender]) s (id), private.spending_left(wanted_workspace, s.id, at) l
  where amount > 0 and amount > l.credits;
  if refusal.credits is not null then
    perform private.raise_error('limit_reached', format('%s credits are needed and the spending limit has %s left.',
      trim_scale(amount), trim_scale(greatest(refusal.credits, 0))),
      'Ask an admin of the workspace for a higher limit.', refusal.wait);
  end if;
end;
$$;

-- Counts credits that were used, or came back, to the limits of who used them.
create function private.count_spending(
  wanted_workspace uuid, account_id uuid, spender uuid, used numeric, for_hold uuid, refunded_id bigint, at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  refunded public.credit_transactions;
  begun_at timestamptz;
begin
  select * into refunded from public.credit_transactions t where t.id = refunded_id;
  begun_at := coalesce(
    (select h.created_at from private.credit_holds h where h.id = coalesce(for_hold, refunded.hold_id)),
    refunded.created_at, at);
  -- What began in an earlier period, or comes back of it, is none of this one's use.
  update public.spending_limits l set
    credits_used = greatest(l.credits_used + used, 0),
    (period_started_at, period_credits_used) = (
      select w.started_at,
        greatest(w.used + case when least(begun_at, at) < w.started_at then 0 else count_spending.used end, 0)
      from private.window_at(coalesce(l.limit_period, 'month')::text, l.period_started_at, l.period_credits_used, at) w)
  where l.workspace_id = wanted_workspace and l.spender_id in (account_id, spender)
    and (refunded_id is not null and begun_at < l.counts_since) is not true;
end;
$$;

-- Sets what a spender may use; null: no limit.
create function private.set_spending_limit(
  wanted_workspace uuid, spender uuid, new_limit numeric, new_period_limit numeric, new_period public.calendar_period
) returns void language plpgsql set search_path = '' as $$
declare
  spending public.spending_limits;
begin
  select * into spending from public.spending_limits l
  where l.workspace_id = wanted_workspace and l.spender_id = spender for no key update;
  if coalesce(new_period, 'month') <> coalesce(spending.limit_period, 'month') then
    -- Whatever was counted by, the new period has what was used in it: a limit that is set anew gives nothing.
    spending.period_started_at := date_trunc(coalesce(new_period, 'month')::text, clock_timestamp(), 'UTC');
    spending.period_credits_used := private.spent_between(wanted_workspace, spender, spending.period_started_at,
      'infinity');
  end if;
  update public.spending_limits l
  set credit_limit = new_limit, period_credit_limit = new_period_limit, limit_period = new_period,
    period_started_at = spending.period_started_at, period_credits_used = spending.period_credits_used
  where l.workspace_id = wanted_workspace and l.spender_id = spender;
end;
$$;
