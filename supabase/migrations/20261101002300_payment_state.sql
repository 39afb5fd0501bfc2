-- From facts to tables: subscriptions, payments, plans and credits of a workspace, brought to what is known now.
-- All of it runs under the wallet's lock; doing it again changes nothing.

create function private.past_due_since(of_platform public.payment_platform, of_subscription text) returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select min(f.occurred_at) from private.payment_facts f
    where f.platform = of_platform and f.subject = 'subscription' and f.subject_id = of_subscription
      and f.facts ->> 'status' in ('past_due', 'unpaid') and f.occurred_at > coalesce((
        select max(g.occurred_at) from private.payment_facts g
        where g.platform = of_platform and g.subject = 'subscription' and g.subject_id = of_subscription
          and g.facts ->> 'status' not in ('past_due', 'unpaid')
      ), '-infinity')
  );
end;
$$;
comment on function private.past_due_since is 'Since when a subscription''s charges have failed.';

create function private.access_until(subscription public.user_subscriptions) returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select case
      when subscription.plan_type is null then null
      when subscription.plan_status = 'scheduled_cancel'
        or subscription.plan_status in ('trialing', 'active') and subscription.cancel_at_period_end
        then coalesce(subscription.current_period_end, 'infinity')
      when subscription.plan_status in ('trialing', 'active') then coalesce(subscription.current_period_end
        + make_interval(hours => 24 * private.config_numeric('subscription_grace_days', 3)::integer), 'infinity')
      when subscription.plan_status in ('past_due', 'unpaid') then subscription.past_due_since
        + make_interval(hours => 24 * private.config_numeric('past_due_grace_days', 7)::integer)
    end
  );
end;
$$;
comment on function private.access_until is
  'Until when a subscription gives its plan if nothing more is heard of it; null: it does not.';

create function private.product_in_force(of_platform public.payment_platform, of_subscription text, known jsonb)
returns public.payment_products
language plpgsql stable set search_path = ''
as $$
declare
  product public.payment_products := private.product_of(of_platform, known ->> 'product_id', known ->> 'price_id');
  paid public.payment_products;
begin
  if of_platform = 'creem' then
    select p.* into paid
    from private.periods_of(of_platform, of_subscription) period,
      private.product_of(of_platform, period.product_id, period.price_id) p
    where period.is_paid and period.starts_at = (known ->> 'period_start')::timestamptz;
    if (select p.rank from public.plans p where p.plan = paid.plan)
      > (select p.rank from public.plans p where p.plan = product.plan) then
      return paid;
    end if;
  end if;
  return product;
end;
$$;
comment on function private.product_in_force is
  'The product whose plan holds: the newest told, but on Creem a lesser one only from the next period on, '
  'for which alone it is paid.';

create function private.project_subscription(of_platform public.payment_platform, of_subscription text) returns void
language plpgsql set search_path = ''
as $$
declare
  known jsonb := private.known_of(of_platform, 'subscription', of_subscription);
  state private.payment_state := private.newest_state_of(of_platform, 'subscription', of_subscription);
  product public.payment_products := private.product_in_force(of_platform, of_subscription, known);
  subscription public.user_subscriptions;
begin
  subscription := jsonb_populate_record(null::public.user_subscriptions, jsonb_build_object(
    'platform', of_platform, 'subscription_id', of_subscription, 'customer_id', known -> 'customer_id',
    'payment_product_id', product.id, 'plan_type', product.plan,
    'plan_status', coalesce(known ->> 'status', 'inactive'), 'units', coalesce(known -> 'units', '1'),
    'started_at', known -> 'started_at', 'ended_at', known -> 'ended_at', 'trial_end', known -> 'trial_end',
    'current_period_start', known -> 'period_start', 'current_period_end', known -> 'period_end',
    'canceled_at', known -> 'canceled_at',
    'cancel_at_period_end', coalesce(known -> 'cancel_at_period_end', 'false')));
  if subscription.plan_status in ('past_due', 'unpaid') then
    subscription.past_due_since := private.past_due_since(of_platform, of_subscription);
  end if;
  subscription.access_until := private.access_until(subscription);
  subscription.next_plan_type := nullif((private.product_of(of_platform, known ->> 'product_id',
    known ->> 'price_id')).plan,
    subscription.plan_type);
  if subscription.plan_status not in ('scheduled_cancel', 'canceled', 'expired') then
    subscription.canceled_at := null; -- it was taken back
  end if;
  insert into public.user_subscriptions as s (platform, subscription_id, customer_id, payment_product_id, plan_type,
    next_plan_type, plan_status, units, started_at, ended_at, trial_end, current_period_start, current_period_end,
      canceled_at,
    cancel_at_period_end, past_due_since, access_until, state_occurred_at, state_rank, state_event_id)
  values (of_platform, of_subscription, subscription.customer_id, subscription.payment_product_id,
    subscription.plan_type,
    subscription.next_plan_type, subscription.plan_status, subscription.units, subscription.started_at,
      subscription.ended_at, subscription.trial_end,
    subscription.current_period_start, subscription.current_period_end, subscription.canceled_at,
    subscription.cancel_at_period_end, subscription.past_due_since, subscription.access_until,
    state.occurred_at, state.rank, state.event_id)
  on conflict (platform, subscription_id) do update set
    customer_id = excluded.customer_id, payment_product_id = excluded.payment_product_id,
      plan_type = excluded.plan_type,
    next_plan_type = excluded.next_plan_type, plan_status = excluded.plan_status, units = excluded.units,
      started_at = excluded.started_at,
    ended_at = excluded.ended_at, trial_end = excluded.trial_end, current_period_start = excluded.current_period_start,
    current_period_end = excluded.current_period_end, canceled_at = excluded.canceled_at,
    cancel_at_period_end = excluded.cancel_at_period_end, past_due_since = excluded.past_due_since,
    access_until = excluded.access_until, state_occurred_at = excluded.state_occurred_at,
    state_rank = excluded.state_rank, state_event_id = excluded.state_event_id;
end;
$$;
comment on function private.project_subscription is 'Writes a subscription''s row from all that is known of it.';

create function private.project_payment(of_platform public.payment_platform, of_payment text) returns void
language plpgsql set search_path = ''
as $$
declare
  known jsonb := private.known_of(of_platform, 'payment', of_payment);
  state private.payment_state := private.newest_state_of(of_platform, 'payment', of_payment);
  reversals private.reversals_known := private.reversals_of(of_platform, of_payment);
  product public.payment_products := private.product_of(of_platform, known ->> 'product_id', known ->> 'price_id');
  paid bigint := coalesce((known ->> 'amount')::bigint, reversals.total::bigint);
  units integer := coalesce((known ->> 'units')::integer, 1);
  paid_at timestamptz := (known ->> 'paid_at')::timestamptz;
  -- Where the platform has not told what was paid, it is measured by the price on show.
  whole numeric := coalesce(paid, (private.terms_of(product, paid_at)).amount * units);
  share numeric := case when reversals.amount = 0 then 0 when whole > 0 then least(reversals.amount / whole, 1) else 1
    end;
  is_paid boolean := private.was_ever_paid(of_platform, of_payment);
  status public.payment_status;
begin
  status := (case
    when reversals.is_disputed then 'disputed'
    when share = 1 then 'refunded'
    when share > 0 then 'partially_refunded'
    when is_paid then 'succeeded'
    else coalesce(known ->> 'status', 'pending') end)::public.payment_status;
  insert into public.payments as p (platform, payment_id, kind, status, amount, refunded_amount, currency, customer_id,
    subscription_id, invoice_id, checkout_id, payment_product_id, units, period_start, period_end, paid_at,
    changed_at, reversed_share, state_occurred_at, state_rank, state_event_id)
  values (of_platform, of_payment, (known ->> 'kind')::public.payment_kind, status, paid,
    coalesce(round(share * whole), nullif(reversals.amount, 'infinity'), 0), known ->> 'currency',
      known ->> 'customer_id',
    known ->> 'subscription_id', known ->> 'invoice_id', known ->> 'checkout_id', product.id,
    units, (known ->> 'period_start')::timestamptz, (known ->> 'period_end')::timestamptz, paid_at,
    (known ->> 'changed_at')::timestamptz, share, state.occurred_at, state.rank, state.event_id)
  on conflict (platform, payment_id) do update set
    kind = excluded.kind, status = excluded.status, amount = excluded.amount,
      refunded_amount = excluded.refunded_amount,
    currency = excluded.currency, customer_id = excluded.customer_id, subscription_id = excluded.subscription_id,
    invoice_id = excluded.invoice_id, checkout_id = excluded.checkout_id,
      payment_product_id = excluded.payment_product_id,
    units = excluded.units, period_start = excluded.period_start, period_end = excluded.period_end,
    paid_at = excluded.paid_at, changed_at = excluded.changed_at, reversed_share = excluded.reversed_share,
      state_occurred_at = excluded.state_occurred_at, state_rank = excluded.state_rank,
    state_event_id = excluded.state_event_id;
end;
$$;
comment on function private.project_payment is
  'Writes a payment''s row from all that is known of it, its refunds and disputes included.';

create function private.was_ever_paid(of_platform public.payment_platform, of_payment text) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return (
    -- A payment that succeeded does not fail later, whatever its tries before it say when they are heard of.
    select exists (
      select from private.payment_facts f
      where f.platform = of_platform and f.subject = 'payment' and f.subject_id = of_payment
        and f.facts ->> 'status' = 'succeeded'
    )
  );
end;
$$;
comment on function private.was_ever_paid is 'Whether any event told that a payment succeeded.';

create function private.choose_live_subscription(of_workspace uuid, at timestamptz) returns public.user_subscriptions
language plpgsql stable set search_path = ''
as $$
declare
  subscription public.user_subscriptions;
begin
  select s.* into subscription
  from public.user_subscriptions s
  join public.plans p on p.plan = s.plan_type
  where s.workspace_id = of_workspace and s.access_until > choose_live_subscription.at
  order by p.rank desc, s.started_at desc nulls last, s.platform, s.subscription_id
  limit 1;
  return subscription;
end;
$$;
comment on function private.choose_live_subscription is
  'Of the subscriptions that give a plan, the one with the highest; the newest of two such.';

create function private.refresh_plan(of_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  live public.user_subscriptions := private.choose_live_subscription(of_workspace, at);
  last_status public.subscription_status;
begin
  update public.user_subscriptions s set is_live = false
  where s.workspace_id = of_workspace and s.is_live and s.id is distinct from live.id;
  update public.user_subscriptions s set is_live = true where s.id = live.id and not s.is_live;
  if exists (
    select from public.user_subscriptions s
    where s.workspace_id = of_workspace and s.access_until > at and s.id <> live.id
  ) then
    perform private.notify_admins('second_subscription', format('%s besides %s', of_workspace, live.subscription_id));
  end if;
  select case when s.plan_status in ('trialing', 'active', 'scheduled_cancel') then 'expired' else s.plan_status end
  into last_status
  from public.user_subscriptions s
  where s.workspace_id = of_workspace
  order by s.state_occurred_at desc, s.platform, s.subscription_id
  limit 1;
  update public.users u
  set subscription_plan = coalesce(live.plan_type, 'free'),
    subscription_status = coalesce(live.plan_status, last_status, 'inactive')
  where u.id = of_workspace and (u.subscription_plan, u.subscription_status)
    is distinct from (coalesce(live.plan_type, 'free'), coalesce(live.plan_status, last_status, 'inactive'));
end;
$$;
comment on function private.refresh_plan is
  'Settles which subscription gives a workspace its plan, and the person''s snapshot of it.';

create function private.is_disputed(of_workspace uuid) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return exists (
    -- Not for what anyone could pay in another's name: by a typed address or a link.
    select from public.payments p
    where p.workspace_id = of_workspace and p.status = 'disputed'
      and p.bound_by in ('checkout', 'metadata', 'customer', 'admin')
  );
end;
$$;
comment on function private.is_disputed(uuid) is
  'Whether a payment of a workspace is disputed, so that nothing more may be spent.';

create function private.refresh_freeze(of_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  is_disputed boolean := private.is_disputed(of_workspace);
  since timestamptz := (select w.frozen_at from public.credit_wallets w where w.workspace_id = of_workspace);
  expired record;
begin
  if is_disputed = (since is not null) then
    return;
  end if;
  update public.credit_wallets w set frozen_at = case when is_disputed then at end where w.workspace_id = of_workspace;
  -- What nobody could spend before it expired comes back, for the time that it had left. Not what a refund of its own
  -- payment found gone, nor what a rollover's cap ended.
  for expired in
    select g.id, refresh_freeze.at + (g.expires_at - since) as until, least(-sum(l.amount),
      g.expired_amount - coalesce(c.absorbed + c.cap_expired, 0)) as amount
    from public.credit_transactions t
    cross join lateral unnest(t.lots) l
    join public.credit_grants g on g.id = l.grant_id
    left join private.paid_credits c on c.grant_id = g.id
    where t.workspace_id = of_workspace and t.created_at >= since and t.reason = 'expiry' and g.expires_at > since
    group by g.id, c.absorbed, c.cap_expired
  loop
    continue when expired.amount <= 0;
    update public.credit_grants g set expires_at = expired.until, expired_amount = g.expired_amount - expired.amount
    where g.id = expired.id;
    update private.paid_credits c set lives_until = expired.until where c.grant_id = expired.id;
    perform private.post_to_lot(of_workspace, expired.id, expired.amount, 'credit', 'dispute', '{}', at);
  end loop;
end;
$$;
comment on function private.refresh_freeze is
  'Freezes a workspace while a payment of it is disputed; afterwards returns what expired meanwhile.';

create function private.tell_of_ended_trials(of_platform public.payment_platform, of_subscription text) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into public.subscription_history (workspace_id, platform, subscription_id, event_type, event_id, occurred_at,
    plan, status, period_start, period_end)
  select s.workspace_id, s.platform, s.subscription_id, 'trial_ended', 'trial_ended:' || s.subscription_id,
    trial.ends_at,
    s.plan_type, s.plan_status, trial.starts_at, trial.ends_at
  from public.user_subscriptions s, private.periods_of(of_platform, of_subscription) trial
  where s.platform = of_platform and s.subscription_id = of_subscription and trial.is_trial
    and (s.plan_status in ('canceled', 'expired') or exists (
      select from private.periods_of(of_platform, of_subscription) p where p.is_paid and p.starts_at >= trial.starts_at
    ))
  on conflict (platform, event_id, event_type) do nothing;
end;
$$;
comment on function private.tell_of_ended_trials is
  'Notes in the history that a trial ended, once: platforms send no event for it.';

create function private.settle_subscription(
  of_platform public.payment_platform, of_subscription text, wallet_id uuid, at timestamptz
) returns void
language plpgsql set search_path = ''
as $$
declare
  period private.subscription_period;
begin
  for period in select * from private.periods_of(of_platform, of_subscription) loop
    perform private.settle_period(of_platform, of_subscription, period, wallet_id, at);
  end loop;
  perform private.roll_over(of_platform, of_subscription, at);
end;
$$;
comment on function private.settle_subscription is
  'Brings the credits of all periods of a subscription to what they are worth now.';

create type private.payment_subjects as (platform public.payment_platform, subscriptions text[], payments text[]);
comment on type private.payment_subjects is 'Subscriptions and payments that are to be brought up to date.';

create function private.project_subjects(
  subjects private.payment_subjects, owner_id uuid, person_id uuid, evidence public.payment_evidence, at timestamptz
) returns void
language plpgsql set search_path = ''
as $$
declare
  id text;
begin
  foreach id in array subjects.payments loop
    perform private.project_payment(subjects.platform, id);
  end loop;
  foreach id in array subjects.subscriptions loop
    perform private.project_subscription(subjects.platform, id);
  end loop;
  if owner_id is null then
    return;
  end if;
  -- Bound once, for good: a workspace that is deleted later does not make them anyone else's.
  update public.user_subscriptions s
  set workspace_id = owner_id, user_id = person_id, bound_at = project_subjects.at, bound_by = evidence
  where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions) and s.bound_at is null;
  update public.payments p
  set workspace_id = owner_id, user_id = person_id, bound_at = project_subjects.at, bound_by = evidence
  where p.platform = subjects.platform and p.bound_at is null
    and (p.payment_id = any (subjects.payments) or p.subscription_id = any (subjects.subscriptions));
  update public.subscription_history h set workspace_id = owner_id
  where h.platform = subjects.platform and h.subscription_id = any (subjects.subscriptions) and h.workspace_id is null
    and exists (
      select from public.user_subscriptions s
      where s.platform = h.platform and s.subscription_id = h.subscription_id and s.workspace_id = owner_id
    );
end;
$$;
comment on function private.project_subjects is
  'Writes the rows of subscriptions and payments, and whose they are where that is known.';

create function private.cancel_for_the_gone(subjects private.payment_subjects) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into private.payment_tasks as t (platform, task, subscription_id)
  select s.platform, 'cancel_subscription', s.subscription_id from public.user_subscriptions s
  where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
    and s.bound_at is not null and s.workspace_id is null and s.plan_status not in ('canceled', 'expired', 'inactive')
  on conflict (platform, task, subscription_id) do update set due_at = now(), done_at = null
    where t.done_at is not null;
end;
$$;
comment on function private.cancel_for_the_gone is
  'A subscription that goes on although its account is gone is to be cancelled.';

create function private.settle_subjects(subjects private.payment_subjects, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  subject record;
begin
  for subject in
    select s.workspace_id, s.subscription_id, null as payment_id from public.user_subscriptions s
    where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
      and s.workspace_id is not null
    union all
    select p.workspace_id, null, p.payment_id from public.payments p
    where p.platform = subjects.platform and p.payment_id = any (subjects.payments) and p.workspace_id is not null
    order by workspace_id, subscription_id nulls last, payment_id
  loop
    perform private.lock_wallet(subject.workspace_id, at);
    if subject.subscription_id is not null then
      perform private.settle_subscription(subjects.platform, subject.subscription_id, subject.workspace_id, at);
      perform private.tell_of_ended_trials(subjects.platform, subject.subscription_id);
    else
      perform private.settle_purchase(subjects.platform, subject.payment_id, subject.workspace_id, at);
    end if;
    perform private.expire_what_came_late(subject.workspace_id, at);
    perform private.refresh_plan(subject.workspace_id, at);
    perform private.refresh_freeze(subject.workspace_id, at);
  end loop;
end;
$$;
comment on function private.settle_subjects is
  'Brings credits, plan and freeze of the workspaces behind them up to date.';

create function private.expire_what_came_late(of_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if exists (
    select from public.credit_grants g
    where g.workspace_id = of_workspace and not g.is_spent and g.expires_at <= expire_what_came_late.at
  ) then
    perform private.expire_wallet(of_workspace, at);
  end if;
end;
$$;
comment on function private.expire_what_came_late is 'Ends credits that came after their time.';

create function private.end_next_access(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
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
comment on function private.end_next_access is
  'Ends one plan whose time is over and of which nothing more was heard; false when there is none.';

create function private.give_next_waiting_credits(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
  next private.paid_credits;
begin
  select c.* into next
  from private.paid_credits c
  join public.credit_wallets w on w.workspace_id = c.workspace_id
  where c.waiting is not null
    and w.credits_balance + c.waiting <= greatest(private.config_numeric('max_credits_balance', 50000), c.waiting)
  limit 1 for no key update of w skip locked;
  if not found then
    return false;
  end if;
  perform private.settle_subjects(row(next.platform,
    case when next.source <> 'payment' then array[next.source_id] else array[]::text[] end,
    case when next.source = 'payment' then array[next.source_id] else array[]::text[] end)::private.payment_subjects,
      at);
  return true;
end;
$$;
comment on function private.give_next_waiting_credits is
  'Grants one lot that waited for room under max_credits_balance; false when there is none.';

create function private.prove_payments(only_one uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
as $$
begin
  return query with worth as (
    select p.workspace_id, p.platform, 'payment'::private.paid_source as source, p.payment_id as source_id,
      '-infinity'::timestamptz as period_start, t.credits, t.in_full
    from public.payments p, private.terms_of_purchase(p.platform, p.payment_id) t
    where p.kind = 'purchase' and (p.workspace_id = only_one or only_one is null and p.workspace_id is not null)
    union all
    select s.workspace_id, s.platform, w.source, s.subscription_id, period.starts_at, w.credits, w.in_full
    from public.user_subscriptions s
    cross join lateral private.periods_of(s.platform, s.subscription_id) period
    cross join lateral (
      select 'period'::private.paid_source as source, t.credits, t.in_full
      from private.terms_of_period(s.platform, s.subscription_id, period) t
      union all
      select 'trial', t.credits, t.in_full
      from private.terms_of_trial(s.platform, s.subscription_id, period, s.workspace_id) t where period.is_trial
    ) w
    where period.ends_at > period.starts_at
      and (s.workspace_id = only_one or only_one is null and s.workspace_id is not null)
  ), given as (
    select c.*, coalesce(g.amount, 0) - c.absorbed - c.credited as taken,
      coalesce(g.clawed_back_amount, 0) as clawed_back, coalesce(g.expired_amount, 0) as expired
    from private.paid_credits c
    join public.workspaces w on w.id = c.workspace_id
    left join public.credit_grants g on g.id = c.grant_id
    where only_one is null or c.workspace_id = only_one
  )
  select coalesce(w.workspace_id, c.workspace_id), r.rule, r.expected, r.actual,
    format('%s %s %s', coalesce(w.platform, c.platform), coalesce(w.source, c.source),
      coalesce(w.source_id, c.source_id))
  from worth w
  full join given c
    on (c.platform, c.source, c.source_id, c.period_start) = (w.platform, w.source, w.source_id, w.period_start)
  cross join lateral (values
    -- Whether a trial is the first depends on which came first.
    ('what was paid for gave what it is worth', case when w.source = 'trial' and coalesce(c.credited, 0) = 0 then 0
      else coalesce(w.credits, 0) end,
      coalesce(c.credited, 0) + case when c.waiting is not null then c.waiting
        + least(w.credits - c.credited - greatest(c.by_hand - (w.in_full - w.credits), 0), c.absorbed) else 0 end),
    ('what was taken back of something paid is what its grant says, or less',
      greatest(least(c.taken, c.clawed_back), c.by_hand, 0), coalesce(c.taken, 0)),
    ('what a rollover cap ended has expired', coalesce(least(c.cap_expired, c.expired), 0), coalesce(c.cap_expired, 0))
  ) r (rule, expected, actual)
  where r.expected is distinct from r.actual
  union all
  select w.workspace_id, 'a wallet is frozen while a payment is disputed', d.is_disputed::integer,
    (w.frozen_at is not null)::integer, w.workspace_id::text
  from public.credit_wallets w
  cross join lateral (select private.is_disputed(w.workspace_id) as is_disputed) d
  where (only_one is null or w.workspace_id = only_one) and (w.frozen_at is not null) <> d.is_disputed;
end;
$$;
comment on function private.prove_payments(uuid) is
  'What was paid, against the credits that it gave, and disputes against frozen wallets.';
