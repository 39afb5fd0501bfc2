-- From facts to tables: subscriptions, payments, plans and credits of a workspace as they are known to be now.
-- Credits and plans change under the wallet's lock; doing any of it again changes nothing.

create type private.payment_owner as (
  workspace_id uuid, user_id uuid, evidence public.payment_evidence, bound_at timestamptz, is_gone boolean
);
comment on type private.payment_owner is
  'Whose a payment is, who bought it, by what that is known and since when: all null where it is not; is_gone: of a '
  'workspace that was deleted.';

-- Writes a subscription's row from all that is known of it.
create function private.project_subscription(
  of_platform public.payment_platform, of_subscription text, owner private.payment_owner
) returns void language plpgsql set search_path = '' as $$
declare
  known jsonb := private.known_of(of_platform, 'subscription', of_subscription);
  reported public.payment_products := private.product_of(of_platform, known ->> 'product_id', known ->> 'price_id');
  product public.payment_products := reported;
  past_due_since timestamptz;
begin
  -- On Creem a lesser plan holds only from the next period on, for which alone it is paid.
  if of_platform = 'creem' and exists (
    select from public.payment_events e
    where e.platform = of_platform and e.subscription_id = of_subscription and e.applied_at is not null
      and e.facts #>> '{period,product_id}' is distinct from known ->> 'product_id' and e.facts ? 'period'
  ) then
    select (p.product).* into product from private.periods_of(of_platform, of_subscription) p
    where p.is_paid and p.starts_at = (known ->> 'period_start')::timestamptz
      and (select l.rank from public.plans l where l.plan = (p.product).plan)
        > (select l.rank from public.plans l where l.plan = reported.plan);
    if not found then
      product := reported;
    end if;
  end if;
  if known ->> 'status' in ('past_due', 'unpaid') then
    -- Since the first failed charge after its newest other state.
    select min(f.occurred_at) filter (where f.is_due) into past_due_since
    from (
      select f.occurred_at, f.facts ->> 'status' in ('past_due', 'unpaid') as is_due,
        max(f.occurred_at) filter (where f.facts ->> 'status' not in ('past_due', 'unpaid')) over () as settled_at
      from private.payment_facts f
      where f.platform = of_platform and f.subject = 'subscription' and f.subject_id = of_subscription
    ) f
    where f.occurred_at > coalesce(f.settled_at, '-infinity');
  end if;
  insert into public.user_subscriptions (platform, subscription_id, customer_id, payment_product_id, plan_type,
    next_plan_type, plan_status, units, started_at, ended_at, trial_end, current_period_start, current_period_end,
    canceled_at, cancel_at_period_end, past_due_since, access_until, state_occurred_at, state_rank, state_event_id,
    workspace_id, user_id, bound_by, bound_at)
  select of_platform, of_subscription, k.customer_id, product.id, product.plan, nullif(reported.plan, product.plan),
    c.status, coalesce(k.units, 1), k.started_at, k.ended_at, k.trial_end, k.period_start, k.period_end,
    -- In any other state a cancellation was taken back.
    case when c.status in ('scheduled_cancel', 'canceled', 'expired') then k.canceled_at end,
    coalesce(k.cancel_at_period_end, false), past_due_since,
    case
      when product.plan is null then null
      when c.status = 'scheduled_cancel' or c.status in ('trialing', 'active') and k.cancel_at_period_end
        then coalesce(k.period_end, 'infinity')
      when c.status in ('trialing', 'active') then coalesce(k.period_end
        + make_interval(hours => 24 * private.config_numeric('subscription_grace_days', 3)::integer), 'infinity')
      when c.status in ('past_due', 'unpaid') then past_due_since
        + make_interval(hours => 24 * private.config_numeric('past_due_grace_days', 7)::integer)
    end,
    k.state_occurred_at, k.state_rank, k.state_event_id, owner.workspace_id, owner.user_id, owner.evidence,
    owner.bound_at
  from jsonb_to_record(known) k (customer_id text, status public.subscription_status, units integer,
    started_at timestamptz, ended_at timestamptz, trial_end timestamptz, period_start timestamptz,
    period_end timestamptz, canceled_at timestamptz, cancel_at_period_end boolean, state_occurred_at timestamptz,
    state_rank integer, state_event_id text)
  cross join lateral (select coalesce(k.status, 'inactive') as status) c
  on conflict (platform, subscription_id) do update set (customer_id, payment_product_id, plan_type, next_plan_type,
    plan_status, units, started_at, ended_at, trial_end, current_period_start, current_period_end, canceled_at,
    cancel_at_period_end, past_due_since, access_until, state_occurred_at, state_rank, state_event_id)
    = (excluded.customer_id, excluded.payment_product_id, excluded.plan_type, excluded.next_plan_type,
    excluded.plan_status, excluded.units, excluded.started_at, excluded.ended_at, excluded.trial_end,
    excluded.current_period_start, excluded.current_period_end, excluded.canceled_at, excluded.cancel_at_period_end,
    excluded.past_due_since, excluded.access_until, excluded.state_occurred_at, excluded.state_rank,
    excluded.state_event_id);
end;
$$;

-- Writes a payment's row from all that is known of it, its refunds and disputes included.
create function private.project_payment(
  of_platform public.payment_platform, of_payment text, owner private.payment_owner
) returns void language plpgsql set search_path = '' as $$
begin
  insert into public.payments (platform, payment_id, kind, status, amount, refunded_amount, reversed_share, currency,
    customer_id, subscription_id, invoice_id, checkout_id, payment_product_id, units, period_start, period_end, paid_at,
    changed_at, state_occurred_at, state_rank, state_event_id, workspace_id, user_id, bound_by, bound_at)
  select of_platform, of_payment, k.kind,
    case when r.is_disputed then 'disputed' when w.share = 1 then 'refunded' when w.share > 0 then 'partially_refunded'
      when k.was_paid then 'succeeded' else coalesce(k.status, 'pending') end,
    coalesce(k.amount, r.total), coalesce(round(w.share * paid.whole), nullif(r.amount, 'infinity'), 0), w.share,
    k.currency, k.customer_id, k.subscription_id, k.invoice_id, k.checkout_id, product.id, coalesce(k.units, 1),
    k.period_start, k.period_end, k.paid_at, k.changed_at, k.state_occurred_at, k.state_rank, k.state_event_id,
    owner.workspace_id, owner.user_id, owner.evidence, owner.bound_at
  from jsonb_to_record(private.known_of(of_platform, 'payment', of_payment)) k (kind public.payment_kind,
    status public.payment_status, was_paid boolean, amount bigint, currency text, customer_id text,
    subscription_id text, invoice_id text, checkout_id text, product_id text, price_id text, units integer,
    period_start timestamptz, period_end timestamptz, paid_at timestamptz, changed_at timestamptz,
    state_occurred_at timestamptz, state_rank integer, state_event_id text)
  cross join lateral private.reversals_of(of_platform, of_payment) r
  cross join lateral private.product_of(of_platform, k.product_id, k.price_id) product
  -- Where the platform has not reported what was paid, it is measured by the price on show.
  cross join lateral (select coalesce(k.amount, r.total,
    (private.terms_of(product, k.paid_at)).amount * coalesce(k.units, 1)) as whole) paid
  cross join lateral (select case when r.amount = 0 then 0 when paid.whole > 0 then least(r.amount / paid.whole, 1)
    else 1 end as share) w
  on conflict (platform, payment_id) do update set (kind, status, amount, refunded_amount, reversed_share, currency,
    customer_id, subscription_id, invoice_id, checkout_id, payment_product_id, units, period_start, period_end, paid_at,
    changed_at, state_occurred_at, state_rank, state_event_id)
    = (excluded.kind, excluded.status, excluded.amount, excluded.refunded_amount, excluded.reversed_share,
    excluded.currency, excluded.customer_id, excluded.subscription_id, excluded.invoice_id, excluded.checkout_id,
    excluded.payment_product_id, excluded.units, excluded.period_start, excluded.period_end, excluded.paid_at,
    excluded.changed_at, excluded.state_occurred_at, excluded.state_rank, excluded.state_event_id);
end;
$$;

-- Features are counted by the periods of the subscription that gives a workspace its plan.
create function private.sync_plan_periods() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  is_period boolean := new.is_live and isfinite(new.current_period_end)
    and new.current_period_end > new.current_period_start;
begin
  delete from private.plan_periods p
  where p.workspace_id = new.workspace_id and (is_period is not true or p.starts_at > new.current_period_start);
  if is_period then
    insert into private.plan_periods as p (workspace_id, starts_at, ends_at)
    values (new.workspace_id, new.current_period_start, new.current_period_end)
    on conflict (workspace_id, starts_at) do update set ends_at = excluded.ends_at;
  end if;
  return null;
end;
$$;
create trigger user_subscriptions_follow_period
  after update of is_live, current_period_start, current_period_end on public.user_subscriptions
  for each row when ((old.is_live or new.is_live) and (old.is_live, old.current_period_start, old.current_period_end)
    is distinct from (new.is_live, new.current_period_start, new.current_period_end))
  execute function private.sync_plan_periods();

-- Decides which subscription gives a workspace its plan, and keeps the person's snapshot of its state.
create function private.refresh_plan(wanted_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  live public.user_subscriptions;
begin
  -- The one with the highest plan; the newest of two such.
  select s.* into live
  from public.user_subscriptions s
  join public.plans p on p.plan = s.plan_type
  where s.workspace_id = wanted_workspace and s.access_until > refresh_plan.at
  order by p.rank desc, s.started_at desc nulls last, s.platform, s.subscription_id
  limit 1;
  if live.is_live is not true then
    update public.user_subscriptions s set is_live = false where s.workspace_id = wanted_workspace and s.is_live;
    update public.user_subscriptions s set is_live = true where s.id = live.id;
  end if;
  perform private.notify_admins('second_subscription', format('%s besides %s', wanted_workspace, live.subscription_id))
  from public.user_subscriptions s
  where s.workspace_id = wanted_workspace and s.access_until > at and s.id <> live.id;
  update public.workspaces w set plan = coalesce(live.plan_type, 'free')
  where w.id = wanted_workspace and w.plan <> coalesce(live.plan_type, 'free');
  update public.users u set subscription_status = n.status
  from (select coalesce(live.plan_status, (
    select case when s.plan_status in ('trialing', 'active', 'scheduled_cancel') then 'expired' else s.plan_status end
    from public.user_subscriptions s
    where s.workspace_id = wanted_workspace
    order by s.state_occurred_at desc, s.platform, s.subscription_id
    limit 1), 'inactive') as status) n
  where u.id = wanted_workspace and u.subscription_status <> n.status;
end;
$$;

-- Whether a payment of a workspace is disputed, so that nothing more may be spent.
create function private.is_disputed(wanted_workspace uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
    -- Not for what anyone could pay in another's name: by a typed address or a link.
    select from public.payments p
    where p.workspace_id = wanted_workspace and p.status = 'disputed' and p.bound_by in ('checkout', 'metadata',
      'customer', 'admin')
  );
end;
$$;

-- Freezes a workspace while a payment of it is disputed; afterwards returns what expired meanwhile.
create function private.refresh_freeze(wanted_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  is_disputed boolean := private.is_disputed(wanted_workspace);
  since timestamptz := (select w.frozen_at from public.credit_wallets w where w.workspace_id = wanted_workspace);
  expired record;
begin
  if is_disputed = (since is not null) then
    return;
  end if;
  update public.credit_wallets w set frozen_at = case when is_disputed then at end
    where w.workspace_id = wanted_workspace;
  -- What nobody could spend before it expired comes back, for the time that it had left. Not what a refund of its own
  -- payment found gone, nor what a rollover's cap ended.
  for expired in
    select g.id, refresh_freeze.at + (g.expires_at - since) as until, least(-sum(l.amount),
      g.expired_amount - coalesce(c.written_off + c.cap_expired, 0)) as amount
    from public.credit_transactions t
    cross join lateral unnest(t.grant_changes) l
    join public.credit_grants g on g.id = l.grant_id
    left join private.paid_credits c on c.grant_id = g.id
    where t.workspace_id = wanted_workspace and t.created_at >= since and t.reason = 'expiry' and g.expires_at > since
    group by g.id, c.written_off, c.cap_expired
  loop
    continue when expired.amount <= 0;
    update public.credit_grants g set expires_at = expired.until, expired_amount = g.expired_amount - expired.amount
    where g.id = expired.id;
    update private.paid_credits c set lives_until = expired.until where c.grant_id = expired.id;
    perform private.post_to_grant(wanted_workspace, expired.id, expired.amount, 'credit', 'dispute', '{}', at);
  end loop;
end;
$$;

-- Brings the credits of a subscription's periods to what they are worth now: of those around the times that were
-- touched.
create function private.settle_subscription(
  of_platform public.payment_platform, of_subscription text, touched timestamptz[], wanted_workspace uuid,
  at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  periods private.subscription_period[] := array(select p from private.periods_of(of_platform, of_subscription) p);
  touched_periods private.subscription_period[] := array(
    select p from unnest(periods) p
    -- What happens at a time changes the periods around it; one that was never settled was nobody's, or no plan of
    -- ours.
    where exists (select from unnest(touched) t (at)
        where t.at between p.starts_at - interval '1 hour' and p.ends_at + interval '1 hour')
      or not exists (select from private.paid_credits c where c.platform = of_platform and c.source_id = of_subscription
        and c.period_start = p.starts_at and c.source in ('period', 'trial'))
    order by p.starts_at);
begin
  perform private.settle_paid_credits(due, wanted_workspace, at)
  from private.due_of_periods(of_platform, of_subscription, touched_periods) due;
  perform private.roll_over(of_platform, of_subscription, periods, at);
  -- That a trial ended is recorded in the history, once: platforms send no event for it.
  insert into public.subscription_history (workspace_id, platform, subscription_id, event_type, event_id, occurred_at,
    plan, status, period_start, period_end)
  select s.workspace_id, s.platform, s.subscription_id, 'trial_ended', 'trial_ended:' || s.subscription_id,
    trial.ends_at, s.plan_type, s.plan_status, trial.starts_at, trial.ends_at
  from unnest(periods) trial
  join public.user_subscriptions s on s.platform = of_platform and s.subscription_id = of_subscription
  where trial.is_trial and (s.plan_status in ('canceled', 'expired') or exists (
      select from unnest(periods) p where p.is_paid and p.starts_at >= trial.starts_at))
  on conflict (platform, event_id, event_type) do nothing;
end;
$$;

create type private.payment_subjects as (
  platform public.payment_platform, subscriptions text[], payments text[], touched timestamptz[]
);
comment on type private.payment_subjects is
  'Subscriptions and payments that are to be brought up to date; touched: the times whose periods may have changed.';

-- Writes the rows of subscriptions and payments, and whose they are where that is known.
create function private.project_subjects(subjects private.payment_subjects, owner private.payment_owner) returns void
language plpgsql set search_path = '' as $$
declare
  id text;
begin
  foreach id in array subjects.payments loop
    perform private.project_payment(subjects.platform, id, owner);
  end loop;
  foreach id in array subjects.subscriptions loop
    perform private.project_subscription(subjects.platform, id, owner);
  end loop;
  if owner.workspace_id is null then
    return;
  end if;
  -- Those that were nobody's until now. Bound once, for good: a workspace that is deleted later does not make them
  -- anyone else's.
  update public.payments p
  set workspace_id = owner.workspace_id, user_id = owner.user_id, bound_by = owner.evidence, bound_at = owner.bound_at
  where p.platform = subjects.platform and p.bound_at is null
    and (p.payment_id = any (subjects.payments) or p.subscription_id = any (subjects.subscriptions));
  update public.user_subscriptions s
  set workspace_id = owner.workspace_id, user_id = owner.user_id, bound_by = owner.evidence, bound_at = owner.bound_at
  where s.platform = subjects.platform and s.bound_at is null and s.subscription_id = any (subjects.subscriptions);
  if found then
    update public.subscription_history h set workspace_id = owner.workspace_id
    from public.user_subscriptions s
    where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
      and s.workspace_id = owner.workspace_id and h.platform = s.platform and h.subscription_id = s.subscription_id
      and h.workspace_id is null;
  end if;
end;
$$;

-- Brings credits, plan and freeze of the workspaces behind them up to date.
create function private.settle_subjects(subjects private.payment_subjects, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  owner_id uuid;
  touched timestamptz[] := subjects.touched || array(
    -- Also those that an earlier event gave a payment.
    select t.at::timestamptz
    from private.payment_facts f
    cross join lateral (values (f.facts ->> 'period_start'), (f.facts ->> 'changed_at'), (f.facts ->> 'paid_at')) t (at)
    where f.platform = subjects.platform and f.subject = 'payment' and f.subject_id = any (subjects.payments)
  );
begin
  for owner_id in -- wallets in id order
    select s.workspace_id from public.user_subscriptions s
    where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
      and s.workspace_id is not null
    union
    select p.workspace_id from public.payments p
    where p.platform = subjects.platform and p.payment_id = any (subjects.payments) and p.workspace_id is not null
    order by 1
  loop
    perform private.lock_wallet(owner_id, at);
    perform private.settle_subscription(subjects.platform, id, touched, owner_id, at)
    from (
      select s.subscription_id as id from public.user_subscriptions s
      where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
        and s.workspace_id = owner_id
      order by s.subscription_id
    ) s;
    perform private.settle_paid_credits(private.due_of_purchase(payment), owner_id, at)
    from (
      select p as payment from public.payments p
      where p.platform = subjects.platform and p.payment_id = any (subjects.payments) and p.workspace_id = owner_id
        -- What is paid for a period is worth nothing by itself.
        and (p.kind is distinct from 'subscription' or exists (select from private.paid_credits c
          where c.platform = p.platform and c.source = 'payment' and c.source_id = p.payment_id))
      order by p.payment_id
    ) p;
    if exists (
      select from public.credit_grants g
      where g.workspace_id = owner_id and not g.is_spent and g.expires_at <= settle_subjects.at
    ) then
      perform private.expire_wallet(owner_id, at); -- what came after its time
    end if;
    perform private.refresh_plan(owner_id, at);
    perform private.refresh_freeze(owner_id, at);
  end loop;
  -- A subscription that goes on although its account is gone is to be cancelled.
  insert into private.payment_tasks as t (platform, task, subscription_id)
  select s.platform, 'cancel_subscription', s.subscription_id from public.user_subscriptions s
  where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
    and s.bound_at is not null and s.workspace_id is null and s.plan_status not in ('canceled', 'expired', 'inactive')
  on conflict (platform, task, subscription_id) do update set due_at = now(), state = 'requested'
    where t.state = 'done';
end;
$$;

-- Ends one plan whose time is over and of which nothing more was reported; false when there is none.
create function private.end_next_access(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  ended uuid;
begin
  select s.workspace_id into ended
  from public.user_subscriptions s
  join public.credit_wallets w on w.workspace_id = s.workspace_id
  where s.is_live and s.access_until <= end_next_access.at
  limit 1 for no key update of w skip locked;
  if not found then
    return false;
  end if;
  perform private.refresh_plan(ended, at);
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('end_next_access', 50);

-- What was paid, against the credits that it gave, and disputes against frozen wallets.
create function private.prove_payments(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return query with worth as (
    select p.workspace_id, t.platform, t.source, t.source_id, t.period_start, t.credits
    from public.payments p, private.due_of_purchase(p) t
    where p.kind = 'purchase' and (p.workspace_id = wanted_workspace or wanted_workspace is null
      and p.workspace_id is not null)
    union all
    select s.workspace_id, t.platform, t.source, t.source_id, t.period_start,
      case when t.source = 'trial' and private.had_trial(t, s.workspace_id) then 0 else t.credits end
    from public.user_subscriptions s
    cross join lateral private.due_of_periods(s.platform, s.subscription_id, array(
      select p from private.periods_of(s.platform, s.subscription_id) p)) t
    where s.workspace_id = wanted_workspace or wanted_workspace is null and s.workspace_id is not null
  ), given as (
    select c.*, coalesce(g.amount, 0) - c.written_off - c.credited as taken,
      coalesce(g.clawed_back_amount, 0) as clawed_back, coalesce(g.expired_amount, 0) as expired
    from private.paid_credits c
    join public.workspaces w on w.id = c.workspace_id
    left join public.credit_grants g on g.id = c.grant_id
    where wanted_workspace is null or c.workspace_id = wanted_workspace
  )
  select coalesce(w.workspace_id, c.workspace_id), r.rule, r.expected, r.actual,
    format('%s %s %s', coalesce(w.platform, c.platform), coalesce(w.source, c.source), coalesce(w.source_id,
      c.source_id))
  from worth w
  full join given c
    on (c.platform, c.source, c.source_id, c.period_start) = (w.platform, w.source, w.source_id, w.period_start)
  cross join lateral (values
    -- Whether a trial is the first depends on which came first.
    ('what was paid for gave what it is worth',
      case when w.source = 'trial' and coalesce(c.credited, 0) = 0 then 0 else coalesce(w.credits, 0) end,
      coalesce(c.credited, 0)),
    ('what was taken back of something paid is what its grant says, or less',
      greatest(least(c.taken, c.clawed_back), c.manually_clawed_back, 0), coalesce(c.taken, 0)),
    ('what a rollover cap ended has expired', coalesce(least(c.cap_expired, c.expired), 0), coalesce(c.cap_expired, 0))
  ) r (rule, expected, actual)
  where r.expected is distinct from r.actual
  union all
  select w.workspace_id, 'a wallet is frozen while a payment is disputed', d.is_disputed::integer,
    (w.frozen_at is not null)::integer, w.workspace_id::text
  from public.credit_wallets w
  cross join lateral (select private.is_disputed(w.workspace_id) as is_disputed) d
  where (wanted_workspace is null or w.workspace_id = wanted_workspace) and (w.frozen_at is not null) <> d.is_disputed;
end;
$$;
