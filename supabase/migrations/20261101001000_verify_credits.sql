-- Proof of the books.

create function public.verify_credits(workspace_id uuid default null)
returns table (wallet_id uuid, rule text, expected numeric, actual numeric)
-- A plan for each call: the one for all wallets would read every table whole to prove one.
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_custom_plan
as $$
begin
  return query with wallets as (
    select w.* from public.credit_wallets w
    where verify_credits.workspace_id is null or w.workspace_id = verify_credits.workspace_id
  ), entries as (
    select t.workspace_id, sum(t.amount) as balance,
      sum(t.amount) filter (where t.transaction_type in ('credit', 'clawback')) as total,
      -sum(t.amount) filter (where t.transaction_type in ('debit', 'refund')) as spent,
      -sum(t.amount) filter (where t.transaction_type = 'expire') as expired,
      count(*) filter (where t.amount = 0 or (t.amount > 0) <> (t.transaction_type in ('credit', 'refund'))) as off_sign
    from public.credit_transactions t
    where verify_credits.workspace_id is null or t.workspace_id = verify_credits.workspace_id
    group by t.workspace_id
  ), lots as (
    select g.workspace_id, sum(g.remaining) as remaining from public.credit_grants g
    where verify_credits.workspace_id is null or g.workspace_id = verify_credits.workspace_id
    group by g.workspace_id
  ), holds as (
    select h.workspace_id, sum(h.amount) as held from public.credit_holds h
    where h.state = 'open' and (verify_credits.workspace_id is null or h.workspace_id = verify_credits.workspace_id)
    group by h.workspace_id
  )
  select w.workspace_id, r.rule, r.expected, r.actual
  from wallets w
  left join entries e on e.workspace_id = w.workspace_id
  left join lots l on l.workspace_id = w.workspace_id
  left join holds h on h.workspace_id = w.workspace_id
  left join public.users u on u.id = w.workspace_id
  cross join lateral (values
    ('balance is the sum of entries', coalesce(e.balance, 0), w.credits_balance::numeric),
    ('balance is total less spent less expired', w.credits_total - w.credits_spent - w.credits_expired, w.credits_balance),
    ('total is what entries granted', coalesce(e.total, 0), w.credits_total),
    ('spent is what entries used', coalesce(e.spent, 0), w.credits_spent),
    ('expired is what entries expired', coalesce(e.expired, 0), w.credits_expired),
    ('entries have the sign of their type', 0, coalesce(e.off_sign, 0)),
    ('lots hold the balance', greatest(w.credits_balance, 0), coalesce(l.remaining, 0)),
    ('held is the sum of open holds', coalesce(h.held, 0), w.credits_held),
    ('snapshot of balance', w.credits_balance, coalesce(u.credits_balance, w.credits_balance)),
    ('snapshot of total', w.credits_total, coalesce(u.credits_total, w.credits_total)),
    ('snapshot of spent', w.credits_spent, coalesce(u.credits_spent, w.credits_spent))
  ) r (rule, expected, actual)
  where r.expected is distinct from r.actual;
end;
$$;
comment on function public.verify_credits is
  'Rows that drift, wallet by wallet and rule by rule: none, always.';
grant execute on function public.verify_credits to service_role;
