-- Proof of the ledger. Each table is proved by a function prove_…, here and in later chapters, where the table stands:
-- it returns what drifts in one workspace, or in all of them.

create type private.drift as (wallet_id uuid, rule text, expected numeric, actual numeric, subject text);
comment on type private.drift is
  'A row that breaks a rule: in which workspace, which rule, what should be and what is, and of what (an id).';

-- They plan each call anew (force_custom_plan): the plan for all wallets would read every table whole to prove one.
-- Their joins are hashed (enable_nestloop): on tables that have grown since they were analyzed, loops would take
-- minutes. A loop that there is no way around then costs so much to the planner that it would compile the query (jit),
-- which takes a second.
-- Wallets against their entries, grants, holds and the snapshot.
create function private.prove_wallets(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  return query with entries as (
    select t.workspace_id, sum(t.amount) as balance,
      sum(t.amount) filter (where t.transaction_type in ('credit', 'clawback')) as total,
      -sum(t.amount) filter (where t.transaction_type in ('debit', 'refund')) as spent,
      -sum(t.amount) filter (where t.transaction_type = 'expire') as expired
    from public.credit_transactions t
    where wanted_workspace is null or t.workspace_id = wanted_workspace
    group by t.workspace_id
  ), holds as (
    select h.workspace_id, sum(h.amount) as held, max(h.expires_at) as last_end from private.credit_holds h
    where h.state = 'open' and (wanted_workspace is null or h.workspace_id = wanted_workspace)
    group by h.workspace_id
  ), grants as (
    -- Open holds keep grants past their time: these are looked at again when the holds end.
    select g.workspace_id, sum(g.remaining) as remaining,
      extract(epoch from min(case when g.expires_at < w.next_expiry_at then greatest(g.expires_at, h.last_end)
        else g.expires_at end)) as expiry
    from public.credit_grants g
    join public.credit_wallets w on w.workspace_id = g.workspace_id
    left join holds h on h.workspace_id = g.workspace_id
    where not g.is_spent and (wanted_workspace is null or g.workspace_id = wanted_workspace)
    group by g.workspace_id
  )
  select s.id, r.rule, r.expected, r.actual, null::text
  from public.workspaces s
  left join public.credit_wallets w on w.workspace_id = s.id
  left join entries e on e.workspace_id = s.id
  left join grants l on l.workspace_id = s.id
  left join holds h on h.workspace_id = s.id
  left join public.users u on u.id = s.id
  cross join lateral (values
    ('a workspace has a wallet', 1::numeric, (w.workspace_id is not null)::integer::numeric),
    ('a personal workspace has a user', (s.personal_user_id is not null)::integer, (u.id is not null)::integer),
    ('balance is the sum of entries', coalesce(e.balance, 0), w.credits_balance),
    ('balance is total less spent less expired', w.credits_total - w.credits_spent - w.credits_expired,
      w.credits_balance),
    ('total is what entries granted', coalesce(e.total, 0), w.credits_total),
    ('spent is what entries used', coalesce(e.spent, 0), w.credits_spent),
    ('expired is what entries expired', coalesce(e.expired, 0), w.credits_expired),
    ('grants hold the balance', greatest(w.credits_balance, 0), coalesce(l.remaining, 0)),
    ('held is the sum of open holds', coalesce(h.held, 0), w.credits_held),
    ('next expiry is no later than that of a grant', l.expiry, case when l.expiry is not null then
      greatest(extract(epoch from w.next_expiry_at), case when w.next_expiry_at is not null then l.expiry end) end),
    ('snapshot of balance', w.credits_balance, coalesce(u.credits_balance, w.credits_balance)),
    ('snapshot of total', w.credits_total, coalesce(u.credits_total, w.credits_total)),
    ('snapshot of spent', w.credits_spent, coalesce(u.credits_spent, w.credits_spent))
  ) r (rule, expected, actual)
  where (wanted_workspace is null or s.id = wanted_workspace) and r.expected is distinct from r.actual
    and (w.workspace_id is not null or r.rule = 'a workspace has a wallet');
end;
$$;

-- Grants against the entries that made, burned, expired and took them back.
create function private.prove_grants(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  return query with changes as (
    select l.grant_id, sum(l.amount) as remaining,
      sum(l.amount) filter (where t.transaction_type = 'expire' or t.transaction_type = 'refund'
        and t.grant_id = l.grant_id) as worth
    from public.credit_transactions t, unnest(t.grant_changes) l
    where wanted_workspace is null or t.workspace_id = wanted_workspace
    group by l.grant_id
  ), given as (
    -- In full: what of a credit paid debt is in no grant, and a clawback takes from others too.
    select t.grant_id, sum(t.amount) as worth
    from public.credit_transactions t
    where t.transaction_type in ('credit', 'clawback')
      and (wanted_workspace is null or t.workspace_id = wanted_workspace)
    group by t.grant_id
  )
  select g.workspace_id, r.rule, r.expected, r.actual, g.id::text
  from public.credit_grants g
  left join changes c on c.grant_id = g.id
  left join given e on e.grant_id = g.id
  cross join lateral (values
    ('what remains of a grant is what its entries left', coalesce(c.remaining, 0), g.remaining::numeric),
    ('a grant less its expired and clawed-back parts is what its entries gave and took',
      coalesce(e.worth, 0) + coalesce(c.worth, 0), g.amount - g.expired_amount - g.clawed_back_amount)
  ) r (rule, expected, actual)
  where (wanted_workspace is null or g.workspace_id = wanted_workspace) and r.expected <> r.actual;
end;
$$;

-- Entries against each other, and against the grants and holds that they name.
create function private.prove_entries(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  return query with entries as (
    select t.*, lag(t.balance_after::numeric, 1, 0::numeric) over (partition by t.workspace_id order by t.id)
      as balance_before
    from public.credit_transactions t
    where wanted_workspace is null or t.workspace_id = wanted_workspace
  ), refunds as (
    select t.workspace_id, t.refunded_transaction_id as id, sum(t.amount) as refunded
    from public.credit_transactions t
    where t.refunded_transaction_id is not null and (wanted_workspace is null or t.workspace_id = wanted_workspace)
    group by t.workspace_id, t.refunded_transaction_id
  ), changes as (
    select t.id, sum(l.amount) as changed,
      count(*) filter (where sign(l.amount) <> case when t.transaction_type in ('credit', 'refund') then 1 else -1 end)
        as off_sign,
      count(*) filter (where g.id is null) as lost
    from public.credit_transactions t
    cross join lateral unnest(t.grant_changes) l
    left join public.credit_grants g on g.id = l.grant_id and g.workspace_id = t.workspace_id
    where wanted_workspace is null or t.workspace_id = wanted_workspace
    group by t.id
  )
  select e.workspace_id, r.rule, r.expected, r.actual, e.id::text
  from entries e
  left join changes c on c.id = e.id
  left join public.credit_grants g on g.id = e.grant_id and g.workspace_id = e.workspace_id
    and (wanted_workspace is null or g.workspace_id = wanted_workspace)
  left join private.credit_holds h on h.id = e.hold_id and h.workspace_id = e.workspace_id
    and (wanted_workspace is null or h.workspace_id = wanted_workspace)
  cross join lateral (values
    ('an entry leaves the balance before it and its amount', e.balance_before + e.amount, e.balance_after::numeric),
    ('the grants of an entry and its change of debt are its amount',
      greatest(e.balance_after, 0) - greatest(e.balance_after - e.amount, 0), coalesce(c.changed, 0)),
    ('an entry and its grants have the sign of its type', 0, coalesce(c.off_sign, 0)
      + (sign(e.amount) <> case when e.transaction_type in ('credit', 'refund') then 1 else -1 end)::integer),
    ('an entry is an overdraft that takes and leaves debt', (e.amount < 0 and e.balance_after < 0)::integer,
      e.is_overdraft::integer),
    ('the grants of an entry exist', 0, coalesce(c.lost, 0) + (e.grant_id is not null and g.id is null)::integer),
    ('the hold of an entry exists', (e.hold_id is not null)::integer, (h.id is not null)::integer)
  ) r (rule, expected, actual)
  where r.expected <> r.actual
  union all
  select f.workspace_id, 'what was refunded is a debit, and no more than it took',
    coalesce(least(f.refunded, -d.amount), 0), f.refunded, f.id::text
  from refunds f
  left join public.credit_transactions d on d.id = f.id and d.workspace_id = f.workspace_id
    and d.transaction_type = 'debit'
    and (wanted_workspace is null or d.workspace_id = wanted_workspace)
  where f.refunded <= -d.amount is not true;
end;
$$;

-- Holds against the entries that settled them.
create function private.prove_holds(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  return query with used as (
    select t.hold_id, -sum(t.amount) as settled, (array_agg(-t.amount order by t.id desc))[1] as last_one
    from public.credit_transactions t
    where t.hold_id is not null and (wanted_workspace is null or t.workspace_id = wanted_workspace)
    group by t.hold_id
  )
  select h.workspace_id, r.rule, r.expected, r.actual, h.id::text
  from private.credit_holds h
  left join used u on u.hold_id = h.id
  cross join lateral (values
    ('what a hold settled is what its entries took', coalesce(u.settled, 0), h.settled_amount::numeric),
    -- A settlement of nothing has no entry.
    ('the last settlement of a hold is its last entry', case when h.final_amount <> 0 then coalesce(u.last_one, 0) end,
      nullif(h.final_amount::numeric, 0))
  ) r (rule, expected, actual)
  where (wanted_workspace is null or h.workspace_id = wanted_workspace) and r.expected is distinct from r.actual;
end;
$$;

-- What members and keys used of a workspace's credits, against their entries.
create function private.prove_limits(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  -- A use never falls below zero, so it is replayed entry by entry. Entries dated before the membership are of an
  -- earlier one, or were back-dated and count: there is a range then, and else one figure.
  return query with entries as (
    select l.workspace_id, l.spender_id, t.id,
      case when r.id is not null and coalesce(h.created_at, r.created_at) < l.counts_since then 0
        else -t.amount end as used,
      t.transaction_type = 'debit' and t.created_at < l.counts_since is true as is_earlier,
      least(coalesce(h.created_at, r.created_at), t.created_at) >= l.period_started_at as in_period
    from public.credit_transactions t
    cross join lateral (values (t.user_id), (t.spender_id)) s (id)
    join public.spending_limits l on l.workspace_id = t.workspace_id and l.spender_id = s.id
    left join public.credit_transactions r on r.id = t.refunded_transaction_id
    left join private.credit_holds h on h.id = coalesce(t.hold_id, r.hold_id)
    where t.transaction_type in ('debit', 'refund') and (wanted_workspace is null or t.workspace_id = wanted_workspace)
  ), sums as (
    select e.*, sum(e.used) filter (where not e.is_earlier) over running as least_used,
      sum(e.used) over running as most_used, sum(e.used) filter (where e.in_period) over running as most_in_period
    from entries e
    window running as (partition by e.workspace_id, e.spender_id order by e.id rows unbounded preceding)
  ), ranges as (
    select s.workspace_id, s.spender_id,
      (array_agg(coalesce(s.least_used, 0) order by s.id desc))[1] - least(min(s.least_used), 0) as least_used,
      (array_agg(s.most_used order by s.id desc))[1] - least(min(s.most_used), 0) as most_used,
      -- A limit that is set anew counts the sum.
      greatest(sum(s.used) filter (where s.in_period and not s.is_earlier), 0) as least_in_period,
      (array_agg(coalesce(s.most_in_period, 0) order by s.id desc))[1] - least(min(s.most_in_period), 0)
        as most_in_period
    from sums s
    group by s.workspace_id, s.spender_id
  )
  select l.workspace_id, r.rule, least(greatest(r.actual, coalesce(r.at_least, 0)), coalesce(r.at_most, 0)), r.actual,
    l.spender_id::text
  from public.spending_limits l
  left join ranges u on u.workspace_id = l.workspace_id and u.spender_id = l.spender_id
  cross join lateral (values
    ('what a spender used is what their entries took', u.least_used, u.most_used, l.credits_used::numeric),
    ('what a spender used in the period is what their entries took in it', u.least_in_period, u.most_in_period,
      l.period_credits_used::numeric)
  ) r (rule, at_least, at_most, actual)
  where (wanted_workspace is null or l.workspace_id = wanted_workspace)
    and (r.actual < r.at_least or r.actual > coalesce(r.at_most, 0));
end;
$$;

create function public.verify_credits(workspace_id uuid default null)
returns table (wallet_id uuid, rule text, expected numeric, actual numeric, subject text)
language plpgsql stable security definer set search_path = ''
as $$
declare
  proof text;
begin
  -- All see one snapshot, that of the statement that calls this.
  for proof in
    select p.proname from pg_catalog.pg_proc p
    where p.pronamespace = 'private'::regnamespace and starts_with(p.proname, 'prove_') order by p.proname
  loop
    for wallet_id, rule, expected, actual, subject in
      execute format('select * from private.%I($1)', proof) using verify_credits.workspace_id
    loop
      return next;
    end loop;
  end loop;
end;
$$;
comment on function public.verify_credits is
  'Rows that drift, by workspace and rule, and of which grant, entry, hold, spender or payment (subject): none, '
  'always.';
grant execute on function public.verify_credits to service_role;
