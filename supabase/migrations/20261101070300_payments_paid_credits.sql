-- Credits for what was paid. What a payment or a period is worth is computed from all that is known of it, and only the
-- difference to what its grant was given is posted: so it is granted once, however many events report it, however
-- often.

create type private.paid_source as enum ('payment', 'period', 'trial');
comment on type private.paid_source is
  'What grants credits: a payment for a pack, a period of a subscription, or its trial.';

create table private.paid_credits (
  platform public.payment_platform not null,
  source private.paid_source not null,
  source_id text not null,
  period_start timestamptz not null default '-infinity',
  workspace_id uuid not null,
  grant_id uuid,
  credited numeric(20, 6) not null default 0,
  in_full numeric(20, 6),
  written_off numeric(20, 6) not null default 0,
  manually_clawed_back numeric(20, 6) not null default 0,
  cap_expired numeric(20, 6) not null default 0,
  lives_until timestamptz,
  primary key (platform, source, source_id, period_start)
);
comment on table private.paid_credits is
  'That something paid was given its credits. No foreign keys: it outlives workspace and grant, so that nothing is '
  'granted twice.';
comment on column private.paid_credits.credited is 'What its grant was given so far, net of what was taken back.';
comment on column private.paid_credits.in_full is
  'What it was worth before refunds and disputes: where this differs from what it is now, its plan has changed.';
comment on column private.paid_credits.written_off is
  'Of what was to be taken back, what was gone already (expired, or clawed back manually before a change of plan): it '
  'does not come back either.';
comment on column private.paid_credits.manually_clawed_back is
  'Of what refunds and disputes were to take back, what had been clawed back manually: comes back if they fail, and '
  'only then.';
comment on column private.paid_credits.cap_expired is 'What of its grant a rollover cap ended.';
comment on column private.paid_credits.lives_until is
  'Until when its grant lives because credits came back late. Null: as paid for.';
create index paid_credits_trial_workspace_id_idx on private.paid_credits (workspace_id) where source = 'trial';
create index paid_credits_trial_source_id_idx on private.paid_credits (source_id) where source = 'trial';

-- How many months a plan is paid for at a time.
create function private.months_of(period public.billing_period) returns integer
language plpgsql immutable set search_path = '' as $$
begin
  return case period when 'month' then 1 when 'quarter' then 3 when 'half_year' then 6 when 'year' then 12 end;
end;
$$;

-- What a product granted and cost at a time; before it existed, what it began with.
create function private.terms_of(product public.payment_products, at timestamptz) returns private.payment_product_terms
language plpgsql stable set search_path = '' as $$
declare
  terms private.payment_product_terms;
begin
  select * into terms from private.payment_product_terms t
  where t.payment_product_id = product.id
  order by t.effective_from <= terms_of.at desc, case when t.effective_from <= terms_of.at
    then t.effective_from end desc,
    t.effective_from
  limit 1;
  return terms;
end;
$$;

-- Credits that a plan grants a month.
create function private.credits_a_month(product public.payment_products, units numeric, at timestamptz) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((private.terms_of(product, at)).credits / private.months_of(product.billing_period), 0) * units;
end;
$$;

-- Periods -------------------------------------------------------------------------------------------------------------

create type private.subscription_period as (
  starts_at timestamptz, ends_at timestamptz, cut_at timestamptz, is_paid boolean, is_trial boolean,
  product public.payment_products, units integer, reversed_share numeric
);
comment on type private.subscription_period is
  'A period; cut_at is its end, or when a next one began before it (a change of plan); reversed_share: which part of '
  'what was paid for it was given back.';

-- The periods of a subscription to a plan of ours that are paid or a trial, oldest first.
create function private.periods_of(
  of_platform public.payment_platform, of_subscription text
) returns setof private.subscription_period language plpgsql stable set search_path = '' as $$
begin
  return query
    with reported as (
      select (w.facts ->> 'start')::timestamptz as starts_at, w.facts, product.id as product_id,
        array[extract(epoch from e.occurred_at), coalesce((e.facts ->> 'rank')::numeric, 0)] as age, e.event_id, p.place
      from public.payment_events e
      cross join lateral jsonb_array_elements(jsonb_build_array(e.facts -> 'period')
        || coalesce(e.facts -> 'more_periods', '[]')) with ordinality p (facts, place)
      cross join lateral private.with_product(of_platform, p.facts) w (facts)
      cross join lateral private.product_of(of_platform, w.facts ->> 'product_id', w.facts ->> 'price_id') product
      where e.platform = of_platform and e.subscription_id = of_subscription and e.applied_at is not null
        -- Invoices have lines of other things too, for times of their own.
        and p.facts <> 'null' and product.plan is not null
    ), known as (
      select r.starts_at, bool_or(r.facts ? 'is_paid') as is_paid, bool_or(r.facts ? 'is_trial') as is_trial,
        (array_agg((r.facts ->> 'end')::timestamptz order by r.age desc, r.event_id desc, r.place))[1] as ends_at,
        -- What was bought is what the first event of it says: later ones may report a change.
        (array_agg(r.product_id order by r.facts ? 'is_paid' desc, r.age, r.event_id, r.place))[1] as product_id,
        (array_agg(coalesce((r.facts ->> 'units')::integer, 1)
          order by r.facts ? 'is_paid' desc, r.age, r.event_id, r.place))[1] as units
      from reported r
      group by r.starts_at
    ), cut as (
      select k.*, least(k.ends_at, case when k.is_paid then
        min(k.starts_at) filter (where k.is_paid) over (order by k.starts_at rows between 1 following
          and unbounded following)
      end) as cut_at
      from known k
    )
    select c.starts_at, c.ends_at, c.cut_at, c.is_paid, c.is_trial, o, c.units, paid.reversed_share
    from cut c
    join public.payment_products o on o.id = c.product_id
    cross join lateral (
      select coalesce(sum(p.reversed_share * w.worth) / nullif(sum(w.worth), 0), max(p.reversed_share),
        0) as reversed_share
      from public.payments p
      left join public.payment_products sold on sold.id = p.payment_product_id
      -- What was paid, or the price on show where the platform has not reported it.
      cross join lateral (
        select coalesce(p.amount, (private.terms_of(sold, p.paid_at)).amount * p.units, 0) as worth) w
      where p.platform = of_platform and p.subscription_id = of_subscription
        and p.status in ('succeeded', 'refunded', 'partially_refunded', 'disputed')
        -- A platform's clocks agree to less than an hour.
        and coalesce(p.period_start, p.changed_at, p.paid_at) >= c.starts_at - interval '1 hour'
        and coalesce(p.period_start, p.changed_at, p.paid_at) < c.cut_at - interval '1 hour'
        -- What was paid for another item of the subscription is no part of it.
        and (sold.plan is not null
          or not private.known_of(of_platform, 'payment', p.payment_id) ?| array['product_id', 'price_id'])
    ) paid
    order by c.starts_at;
end;
$$;

-- Credits that a paid period grants, before refunds: each plan counts for the share of the period in which it held.
create function private.credits_of_period(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period
) returns numeric language plpgsql stable set search_path = '' as $$
begin
  return (
    with plan_changes as (
      select period.starts_at as at, true as is_paid,
        private.credits_a_month(period.product, period.units, period.starts_at) as credits, 0 as place
      union all
      select f.occurred_at, false, private.credits_a_month(product, coalesce((w.facts ->> 'units')::integer, 1),
        period.starts_at), 1
      from private.payment_facts f
      cross join lateral private.with_product(of_platform, f.facts) w (facts)
      cross join lateral private.product_of(of_platform, w.facts ->> 'product_id', w.facts ->> 'price_id') product
      where f.platform = of_platform and f.subject = 'subscription' and f.subject_id = of_subscription
        -- Creem gives no money back for a lesser plan, which counts from the next period; Stripe does.
        and of_platform = 'stripe' and f.occurred_at > period.starts_at
        -- What is reported in its last minutes is about the next one.
        and f.occurred_at < period.cut_at - interval '5 minutes'
        -- What is no plan of ours changes none.
        and product.plan is not null
      union all
      select p.changed_at, true, private.credits_a_month(o, p.units, period.starts_at), 1
      from public.payments p
      join public.payment_products o on o.id = p.payment_product_id and o.plan is not null
      where p.platform = of_platform and p.subscription_id = of_subscription
        and p.status in ('succeeded', 'refunded', 'partially_refunded', 'disputed')
        and p.changed_at >= period.starts_at and p.changed_at < period.cut_at
    ), ordered as (
      -- What was paid for stands above what is reported at that moment.
      select c.*, row_number() over (order by c.place, c.at, c.is_paid, c.credits) as number,
        -- A change at once, in a period's first minutes, is of the whole period.
        case when c.at < period.starts_at + interval '5 minutes' then period.starts_at else c.at end as since
      from plan_changes c
    ), counted as (
      select o.*, count(*) filter (where o.is_paid) over (order by o.number) as payments,
        lead(o.since, 1, period.cut_at) over (order by o.number) - o.since as span
      from ordered o
    ), in_force as (
      -- Less counts as soon as it is reported; more only once it is paid for.
      select c.span, min(c.credits) over (partition by c.payments order by c.number) as credits from counted c
    )
    select round(coalesce(private.months_of((period.product).billing_period), 1) * sum(i.credits * extract(epoch
      from i.span))
      / extract(epoch from period.ends_at - period.starts_at), 6)
    from in_force i
  );
end;
$$;

-- What is due ---------------------------------------------------------------------------------------------------------

create type private.due_credits as (
  platform public.payment_platform, source private.paid_source, source_id text, period_start timestamptz,
    credits numeric,
  in_full numeric, starts_at timestamptz, expires_at timestamptz, clawback_reason text, details jsonb
);
comment on type private.due_credits is
  'What something paid is worth now (in_full: before refunds and disputes), and how the ledger describes it.';

-- What the payment for a pack is worth now.
create function private.due_of_purchase(payment public.payments) returns private.due_credits
language plpgsql stable set search_path = '' as $$
declare
  pack public.payment_products;
  due private.due_credits;
begin
  select * into pack from public.payment_products o where o.id = payment.payment_product_id and o.plan is null;
  due.platform := payment.platform;
  due.source := 'payment';
  due.source_id := payment.payment_id;
  due.period_start := '-infinity';
  due.in_full := round((private.terms_of(pack, payment.paid_at)).credits * payment.units, 6);
  due.credits := case when payment.kind is distinct from 'purchase' or pack.id is null
    or payment.status in ('pending', 'failed') or exists (
      -- The invoice of a checkout reports the same money once more.
      select from private.payment_references r
      where r.platform = payment.platform and r.reference = payment.payment_id and r.subject = 'payment'
        and r.subject_id <> payment.payment_id
    ) then 0 else round(due.in_full * (1 - payment.reversed_share), 6) end;
  due.starts_at := payment.paid_at;
  due.expires_at := payment.paid_at + make_interval(hours => 24 * pack.expires_after_days);
  due.clawback_reason := case when payment.status = 'disputed' then 'dispute' else 'refund' end;
  due.details := jsonb_build_object('platform', payment.platform, 'payment_id', payment.payment_id);
  return due;
end;
$$;

-- What periods of a subscription, and the trials in them, are worth now.
create function private.due_of_periods(
  of_platform public.payment_platform, of_subscription text, periods private.subscription_period[]
) returns setof private.due_credits language plpgsql stable set search_path = '' as $$
declare
  grace interval := make_interval(hours => 24 * private.config_numeric('subscription_grace_days', 3)::integer);
  is_disputed boolean := exists (
    select from public.payments p
    where p.platform = of_platform and p.subscription_id = of_subscription and p.status = 'disputed');
begin
  return query
    select of_platform, w.source, of_subscription, p.starts_at, round(w.in_full * w.share, 6), w.in_full, p.starts_at,
      p.ends_at + grace, case when is_disputed then 'dispute' else 'refund' end,
      jsonb_build_object('platform', of_platform, 'subscription_id', of_subscription, 'period_start', p.starts_at,
        'period_end', p.ends_at)
    from unnest(periods) p
    cross join lateral (
      select 'period'::private.paid_source as source, 1 - p.reversed_share as share,
        case when p.is_paid then private.credits_of_period(of_platform, of_subscription, p) else 0 end as in_full
      union all
      -- A trial that is paid for after all is a period.
      select 'trial', 1,
        case when p.is_paid then 0 else coalesce((private.terms_of(p.product, p.starts_at)).trial_credits, 0) end
      where p.is_trial
    ) w
    where p.ends_at > p.starts_at; -- else nothing is known of its length
end;
$$;

-- Posting -------------------------------------------------------------------------------------------------------------

-- Whether this workspace, or this person in another one, has had the credits of a trial before: teams are free to
-- make.
create function private.had_trial(due private.due_credits, wanted_workspace uuid) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  person_id uuid := (
    select s.user_id from public.user_subscriptions s where s.platform = due.platform
      and s.subscription_id = due.source_id);
begin
  return exists (
    select from private.paid_credits c
    left join public.user_subscriptions s on s.platform = c.platform and s.subscription_id = c.source_id
    where c.source = 'trial' and c.credited > 0 and (c.workspace_id = wanted_workspace or s.user_id = person_id)
      and (c.platform, c.source_id, c.period_start) <> (due.platform, due.source_id, due.period_start)
  );
end;
$$;

-- Posts an entry that gives credits to a grant (what is returned: to the grants it was taken from) or takes them
-- back: from it, then from others, then as debt.
create function private.post_to_grant(
  wanted_workspace uuid, grant_id uuid, change numeric, entry_type public.credit_transaction_type, entry_reason text,
  details jsonb, at timestamptz, returned numeric default 0
) returns void language plpgsql set search_path = '' as $$
declare
  balance numeric;
  payer uuid;
  changes public.credit_grant_change[];
  to_grants numeric;
begin
  select w.credits_balance, u.id into balance, payer
  from public.credit_wallets w left join public.users u on u.id = w.workspace_id
  where w.workspace_id = wanted_workspace;
  if change > 0 then
    to_grants := least(change, greatest(balance + change, 0)); -- debt is paid first
    if returned > 0 then
      -- What was taken from other grants goes back to them while they live: a refund of what this one paid for finds
      -- its room.
      changes := array(
        select l from unnest(private.grants_to_return((
          select max(t.id) from public.credit_transactions t
          where t.workspace_id = wanted_workspace and t.grant_id = post_to_grant.grant_id
            and t.transaction_type = 'clawback'
        ), least(to_grants, returned), at)) l where l.grant_id <> post_to_grant.grant_id);
    end if;
    changes := changes || private.grant_change(grant_id,
      to_grants - coalesce((select sum(l.amount) from unnest(changes) l), 0));
  elsif entry_type = 'expire' then
    changes := private.grant_change(grant_id, change);
  end if;
  perform private.post_entry(wanted_workspace, payer, entry_type, change, entry_reason, at, changes,
    first_grant => grant_id,
    entry_metadata => details, new_grant => grant_id);
end;
$$;

-- Grants what is missing. What was taken back comes again to a grant that lives.
create function private.give_paid_credits(
  paid private.paid_credits, due private.due_credits, at timestamptz
) returns private.paid_credits language plpgsql set search_path = '' as $$
declare
  own_grant public.credit_grants;
  -- What counted for a refund that is less now.
  undone numeric := greatest(paid.manually_clawed_back - (due.in_full - due.credits), 0);
  -- What was gone before it could be taken back was never taken, and is as gone as before.
  still_gone numeric := least(due.credits - paid.credited - undone, paid.written_off);
  change numeric := due.credits - paid.credited - still_gone;
  returned numeric := 0; -- of what was taken back
begin
  if paid.grant_id is null then
    paid.grant_id := private.add_grant(paid.workspace_id, change, (case due.source when 'payment' then 'purchase'
      when 'period' then 'subscription' else 'promotion' end)::public.credit_grant_kind, due.source <> 'trial', 0,
      due.expires_at);
  else
    select * into own_grant from public.credit_grants g where g.id = paid.grant_id;
    returned := least(change,
      own_grant.amount - paid.written_off - paid.credited - paid.manually_clawed_back + undone);
    if returned > 0 then
      -- As long as it would have lived; the time that it had left when a refund or dispute took it is not lost either.
      paid.lives_until := greatest(
        case when due.expires_at <= at then at + (due.expires_at - due.starts_at) else paid.lives_until end,
        at + (own_grant.expires_at - (
          select t.created_at from public.credit_transactions t
          where t.workspace_id = paid.workspace_id and t.grant_id = own_grant.id and t.transaction_type = 'clawback'
            and t.reason in ('refund', 'dispute') and t.created_at <= own_grant.expires_at
          order by t.id desc limit 1)));
    end if;
    update public.credit_grants g
    set amount = g.amount + change - returned, clawed_back_amount = g.clawed_back_amount - returned,
      expires_at = case when g.expires_at is not null then greatest(g.expires_at, paid.lives_until) end
    where g.id = own_grant.id;
  end if;
  if change > 0 then
    perform private.post_to_grant(paid.workspace_id, paid.grant_id, change, 'credit',
      case due.source when 'payment' then 'purchase' when 'period' then 'subscription' else 'trial' end, due.details,
      at, returned);
  end if;
  paid.written_off := paid.written_off - still_gone;
  paid.manually_clawed_back := paid.manually_clawed_back - undone;
  return paid;
end;
$$;

-- Takes back what something is no longer worth: from its grant, then from others, then as debt.
create function private.take_paid_credits(
  paid private.paid_credits, due private.due_credits, at timestamptz
) returns private.paid_credits language plpgsql set search_path = '' as $$
declare
  own_grant public.credit_grants;
  manual numeric;
  gone numeric;
  taken numeric := paid.credited - due.credits;
begin
  select * into own_grant from public.credit_grants g where g.id = paid.grant_id;
  -- What is gone already counts first, clawed back manually or expired: only what was used beyond the new worth is
  -- taken. Clawed back manually is what the grant says beyond what was taken for this.
  manual := greatest(own_grant.clawed_back_amount - (own_grant.amount - paid.written_off - paid.credited)
    - greatest(paid.written_off - own_grant.expired_amount, 0), 0);
  if due.clawback_reason <> 'plan_change' then
    manual := least(taken, manual); -- it was for this, and comes back if this fails
    taken := taken - manual;
    paid.manually_clawed_back := paid.manually_clawed_back + manual;
    manual := 0;
  end if;
  -- Changing plans back and forth undoes no clawback.
  gone := least(taken, manual + greatest(own_grant.expired_amount - paid.written_off, 0));
  paid.written_off := paid.written_off + gone;
  taken := taken - gone;
  if taken > 0 then
    perform private.post_to_grant(paid.workspace_id, own_grant.id, -taken, 'clawback', due.clawback_reason,
      due.details, at);
    update public.credit_grants g
    set clawed_back_amount = least(g.clawed_back_amount + taken, g.amount - g.remaining - g.expired_amount)
    where g.id = own_grant.id;
  end if;
  return paid;
end;
$$;

-- Brings the credits of something paid to what it is worth now.
create function private.settle_paid_credits(due private.due_credits, wanted_workspace uuid, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  paid private.paid_credits;
begin
  if due.source = 'trial' and private.had_trial(due, wanted_workspace) then
    due.credits := 0;
    due.in_full := 0;
  end if;
  select * into paid from private.paid_credits c
  where (c.platform, c.source, c.source_id, c.period_start) = (due.platform, due.source, due.source_id,
    due.period_start);
  if not found then
    paid.workspace_id := wanted_workspace;
    paid.credited := 0;
    paid.in_full := due.in_full;
    paid.written_off := 0;
    paid.manually_clawed_back := 0;
  end if;
  if (paid.credited, paid.in_full) is not distinct from (due.credits, due.in_full) then
    return;
  end if;
  if paid.in_full <> due.in_full then
    -- A change of plan undoes no clawback, also where it makes a refund a smaller one: what counted for that is gone
    -- for good.
    due.clawback_reason := 'plan_change';
    paid.written_off := paid.written_off + greatest(paid.manually_clawed_back - (due.in_full - due.credits), 0);
    paid.manually_clawed_back := least(paid.manually_clawed_back, due.in_full - due.credits);
    paid.in_full := due.in_full;
  end if;
  if due.credits > paid.credited then
    paid := private.give_paid_credits(paid, due, at);
  elsif due.credits < paid.credited then
    paid := private.take_paid_credits(paid, due, at);
  end if;
  insert into private.paid_credits as c (platform, source, source_id, period_start, workspace_id, grant_id, credited,
    in_full, written_off, manually_clawed_back, lives_until)
  values (due.platform, due.source, due.source_id, due.period_start, paid.workspace_id, paid.grant_id, due.credits,
    paid.in_full, paid.written_off, paid.manually_clawed_back, paid.lives_until)
  on conflict (platform, source, source_id, period_start) do update
  set (grant_id, credited, in_full, written_off, manually_clawed_back, lives_until) = (excluded.grant_id,
    excluded.credited, excluded.in_full, excluded.written_off, excluded.manually_clawed_back, excluded.lives_until);
end;
$$;

-- Rollover ------------------------------------------------------------------------------------------------------------

-- Rolls over a period's unused credits as far as there is room under the cap; the rest expires now. Answers with
-- what was rolled over.
create function private.roll_over_grant(
  paid private.paid_credits, live_until timestamptz, room numeric, at timestamptz
) returns numeric language plpgsql set search_path = '' as $$
declare
  own_grant public.credit_grants;
  wallet public.credit_wallets;
  expired numeric;
  kept numeric;
begin
  select * into own_grant from public.credit_grants g where g.id = paid.grant_id;
  -- What expired before the next payment was reported comes back.
  expired := case when live_until > at
    then greatest(own_grant.expired_amount - paid.written_off - paid.cap_expired, 0) else 0 end;
  kept := least(own_grant.remaining + expired, room);
  if kept = own_grant.remaining + expired and expired = 0 and own_grant.expires_at = greatest(live_until,
    paid.lives_until) then
    return kept;
  end if;
  update public.credit_grants g
  set expires_at = greatest(live_until, paid.lives_until),
    expired_amount = g.expired_amount - greatest(kept - own_grant.remaining, 0)
  where g.id = own_grant.id;
  if kept > own_grant.remaining then
    perform private.post_to_grant(paid.workspace_id, own_grant.id, kept - own_grant.remaining, 'credit', 'rollover',
      '{}', at);
  elsif kept < own_grant.remaining then
    -- Never what open holds need.
    select * into wallet from public.credit_wallets w where w.workspace_id = paid.workspace_id;
    kept := greatest(kept, own_grant.remaining - greatest(wallet.credits_balance - wallet.credits_held, 0));
    if kept < own_grant.remaining then
      perform private.post_to_grant(paid.workspace_id, own_grant.id, kept - own_grant.remaining, 'expire',
        'rollover_cap', '{}', at);
    end if;
  end if;
  update private.paid_credits c set cap_expired = c.cap_expired + own_grant.remaining + expired - kept
  where (c.platform, c.source, c.source_id, c.period_start) = (paid.platform, paid.source, paid.source_id,
    paid.period_start);
  return kept;
end;
$$;

-- Where the plan of a period lets unused credits roll over: does so, if the next one was paid.
create function private.roll_over(
  of_platform public.payment_platform, of_subscription text, periods private.subscription_period[], at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  grace interval := make_interval(hours => 24 * private.config_numeric('subscription_grace_days', 3)::integer);
  next_start timestamptz;
  chain_end timestamptz; -- of the periods that follow each other without a gap
  rolled_over numeric := 0;
  period record;
begin
  -- From the newest period back: what is youngest has the room under a cap first.
  for period in
    select p.starts_at, p.ends_at, p.cut_at, l.credit_rollover, l.credit_rollover_cap, c as paid, exists (
      select from unnest(periods) n where n.starts_at > p.starts_at and n.reversed_share = 1) as next_was_reversed
    from unnest(periods) p
    join public.plans l on l.plan = (p.product).plan
    left join private.paid_credits c on c.platform = of_platform and c.source = 'period'
      and c.source_id = of_subscription
      and c.period_start = p.starts_at
    where p.is_paid and p.reversed_share < 1
    order by p.starts_at desc
  loop
    if next_start is null or period.cut_at + grace < next_start then
      chain_end := period.ends_at; -- the newest, or one after which a payment is missing or was given back
      rolled_over := 0;
      if period.next_was_reversed then
        update public.credit_grants g set expires_at = greatest(chain_end + grace, (period.paid).lives_until)
        where g.id = (period.paid).grant_id and g.expires_at > greatest(chain_end + grace, (period.paid).lives_until);
      end if;
    elsif period.credit_rollover in ('all', 'capped') and (period.paid).grant_id is not null then
      rolled_over := rolled_over + private.roll_over_grant(period.paid, chain_end + grace,
        -- What came late has time of its own before a cap counts.
        case when period.credit_rollover = 'all' or (period.paid).lives_until > at then 'infinity'
          else greatest(period.credit_rollover_cap - rolled_over, 0) end, at);
    end if;
    next_start := period.starts_at;
  end loop;
end;
$$;
