-- Credits for what was paid. What a payment or a period is worth is computed from all that is known of it, and only the
-- difference to what its lot was given is posted: so it is granted once, whoever tells of it, however often.

create type private.paid_source as enum ('payment', 'period', 'trial');
comment on type private.paid_source is
  'What brings credits: a payment for a pack, a period of a subscription, or its trial.';

create table private.paid_credits (
  platform public.payment_platform not null,
  source private.paid_source not null,
  source_id text not null,
  period_start timestamptz not null default '-infinity',
  workspace_id uuid not null,
  grant_id uuid,
  credited numeric(20, 6) not null default 0,
  in_full numeric(20, 6),
  absorbed numeric(20, 6) not null default 0,
  by_hand numeric(20, 6) not null default 0,
  cap_expired numeric(20, 6) not null default 0,
  waiting numeric(20, 6),
  lives_until timestamptz,
  primary key (platform, source, source_id, period_start)
);
comment on table private.paid_credits is
  'That something paid was given its credits. No foreign keys: it outlives workspace and lot, '
  'so that nothing is granted twice.';
comment on column private.paid_credits.credited is 'What its lot was given so far, net of what was taken back.';
comment on column private.paid_credits.in_full is
  'What it was worth before refunds and disputes: where this differs from what it is now, its plan has changed.';
comment on column private.paid_credits.by_hand is
  'Of what refunds and disputes were to take back, what had been clawed back by hand: comes back if they fail, '
  'and only then.';
comment on column private.paid_credits.absorbed is
  'Of what was to be taken back, what was gone already (expired, or clawed back by hand before a change of plan): '
  'it does not come back either.';
comment on column private.paid_credits.cap_expired is 'What of its lot a rollover cap ended.';
comment on column private.paid_credits.lives_until is
  'Until when its lot lives because credits came late: they had waited, or came back after its time. Null: '
  'as paid for.';
comment on column private.paid_credits.waiting is
  'What does not fit under max_credits_balance yet; null: nothing waits.';
create index paid_credits_waiting_workspace_id_idx on private.paid_credits (workspace_id) where waiting is not null;
create index paid_credits_trial_workspace_id_idx on private.paid_credits (workspace_id) where source = 'trial';
create index paid_credits_trial_source_id_idx on private.paid_credits (source_id) where source = 'trial';

create type private.subscription_period as (
  starts_at timestamptz, ends_at timestamptz, cut_at timestamptz, is_paid boolean, is_trial boolean, product_id text,
  price_id text, units integer
);
comment on type private.subscription_period is
  'A period; cut_at is its end, or when a next one began before it (a change of plan).';

create function private.periods_of(of_platform public.payment_platform, of_subscription text)
returns setof private.subscription_period
language plpgsql stable set search_path = ''
as $$
begin
  return query
    with told as (
      -- Invoices have lines of other things too, for times of their own.
      select p.period_start, w.facts, p.occurred_at, p.rank, p.event_id
      from private.payment_facts p
      cross join lateral (select private.with_product(of_platform, p.facts) as facts) w
      where p.platform = of_platform and p.subject = 'period' and p.subject_id = of_subscription
        and (private.product_of(of_platform, w.facts ->> 'product_id', w.facts ->> 'price_id')).plan is not null
    ), known as (
      select t.period_start, bool_or(t.facts ? 'is_paid') as is_paid, bool_or(t.facts ? 'is_trial') as is_trial,
        (array_agg((t.facts ->> 'end')::timestamptz order by t.occurred_at desc, t.rank desc, t.event_id desc))[1]
          as ends_at,
        -- What was bought is what the first word of it says: later ones may tell of a change.
        (array_agg(t.facts order by t.facts ? 'is_paid' desc, t.occurred_at, t.rank, t.event_id))[1] as bought
      from told t
      group by t.period_start
    ), paid as (
      select k.period_start, lead(k.period_start) over (order by k.period_start) as next_start from known k
        where k.is_paid
    )
    select k.period_start, k.ends_at, least(k.ends_at, p.next_start), k.is_paid, k.is_trial, k.bought ->> 'product_id',
      k.bought ->> 'price_id', coalesce((k.bought ->> 'units')::integer, 1)
    from known k
    left join paid p on p.period_start = k.period_start
    order by k.period_start;
end;
$$;
comment on function private.periods_of is
  'The periods of a subscription to a plan of ours that are paid or a trial, oldest first.';

create function private.months_of(period public.billing_period) returns integer
language plpgsql immutable set search_path = ''
as $$
begin
  return case period when 'month' then 1 when 'quarter' then 3 when 'half_year' then 6 when 'year' then 12 end;
end;
$$;
comment on function private.months_of(public.billing_period) is 'How many months a plan is paid for at a time.';

create function private.terms_of(product public.payment_products, at timestamptz) returns private.payment_product_terms
language plpgsql stable set search_path = ''
as $$
declare
  terms private.payment_product_terms;
begin
  select * into terms from private.payment_product_terms t
  where t.payment_product_id = product.id
  order by t.effective_from <= terms_of.at desc, case when t.effective_from <= terms_of.at then t.effective_from
    end desc,
    t.effective_from
  limit 1;
  return terms;
end;
$$;
comment on function private.terms_of is
  'What a product brought and cost at a time; before it was there, what it began with.';

create function private.credits_of_plan(
  of_platform public.payment_platform, product_id text, price_id text, units numeric, at timestamptz
) returns numeric
language plpgsql stable set search_path = ''
as $$
declare
  product public.payment_products := private.product_of(of_platform, product_id, price_id);
begin
  return coalesce((private.terms_of(product, at)).credits / private.months_of(product.billing_period), 0) * units;
end;
$$;
comment on function private.credits_of_plan is 'Credits that a product brings a month; 0 for what is no plan of ours.';

create type private.plan_change as (at timestamptz, is_paid boolean, credits numeric);
comment on type private.plan_change is 'From when on what plan holds, in credits a month, and whether it was paid for.';

create function private.changes_within(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period
) returns setof private.plan_change
language plpgsql stable set search_path = ''
as $$
begin
  return query
    -- One that is made at once, in a period's first minutes, is of the whole period.
    select case when c.at < period.starts_at + interval '5 minutes' then period.starts_at else c.at
      end, c.is_paid, c.credits
    from (
      select f.occurred_at, false, private.credits_of_plan(of_platform, w.told ->> 'product_id', w.told ->> 'price_id',
        coalesce((w.told ->> 'units')::integer, 1), period.starts_at)
      from private.payment_facts f
      cross join lateral (select private.with_product(of_platform, f.facts) as told) w
      where f.platform = of_platform and f.subject = 'subscription' and f.subject_id = of_subscription
        -- Creem gives no money back for a lesser plan, which counts from the next period; Stripe does.
        and of_platform = 'stripe' and f.occurred_at > period.starts_at
        -- What is no plan of ours tells nothing of one.
        and (private.product_of(of_platform, w.told ->> 'product_id', w.told ->> 'price_id')).plan is not null
        -- What is told in its last minutes is about the next one.
        and f.occurred_at < period.cut_at - interval '5 minutes'
      union all
      select p.changed_at, true, private.credits_of_plan(of_platform, k.known ->> 'product_id', k.known ->> 'price_id',
        p.units, period.starts_at)
      from public.payments p, private.known_of(of_platform, 'payment', p.payment_id) k (known)
      where p.platform = of_platform and p.subscription_id = of_subscription
        and p.status in ('succeeded', 'refunded', 'partially_refunded', 'disputed')
        and p.changed_at >= period.starts_at and p.changed_at < period.cut_at
        and exists (select from public.payment_products o where o.id = p.payment_product_id and o.plan is not null)
    ) c (at, is_paid, credits)
    order by c.at, c.is_paid;
end;
$$;
comment on function private.changes_within is
  'What a subscription changed to within a period: as it is told, and as it was paid for, '
  'which stands above what is told at that moment.';

create function private.credits_of_period(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period
) returns numeric
language plpgsql stable set search_path = ''
as $$
declare
  product public.payment_products := private.product_of(of_platform, period.product_id, period.price_id);
  in_force numeric := private.credits_of_plan(of_platform, period.product_id, period.price_id, period.units,
    period.starts_at);
  since timestamptz := period.starts_at;
  change private.plan_change;
  credit_seconds numeric := 0;
begin
  for change in select * from private.changes_within(of_platform, of_subscription, period) loop
    credit_seconds := credit_seconds + in_force * extract(epoch from change.at - since);
    since := change.at;
    -- Less counts as soon as it is told; more only once it is paid for.
    in_force := case when change.is_paid then change.credits else least(in_force, change.credits) end;
  end loop;
  credit_seconds := credit_seconds + in_force * extract(epoch from period.cut_at - since);
  return round(coalesce(private.months_of(product.billing_period), 1) * credit_seconds
    / extract(epoch from period.ends_at - period.starts_at), 6);
end;
$$;
comment on function private.credits_of_period is
  'Credits that a paid period brings, before refunds: each plan counts for the share of the period in which it held.';

create function private.worth_of(payment public.payments) returns numeric
language plpgsql stable set search_path = ''
as $$
begin
  return coalesce(payment.amount, (
    select (private.terms_of(o, payment.paid_at)).amount * payment.units
    from public.payment_products o where o.id = payment.payment_product_id), 0);
end;
$$;
comment on function private.worth_of(public.payments) is
  'What was paid, or the price on show where the platform has not told it.';

create function private.reversed_share(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period
) returns numeric
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(sum(p.reversed_share * private.worth_of(p)) / nullif(sum(private.worth_of(p)), 0),
      max(p.reversed_share), 0)
    from public.payments p
    where p.platform = of_platform and p.subscription_id = of_subscription
      and p.status in ('succeeded', 'refunded', 'partially_refunded', 'disputed')
      -- What was paid for another item of the subscription is no part of it.
      and (exists (select from public.payment_products o where o.id = p.payment_product_id and o.plan is not null)
        or not private.known_of(of_platform, 'payment', p.payment_id) ?| array['product_id', 'price_id'])
      -- A platform's clocks agree to less than an hour.
      and coalesce(p.period_start, p.changed_at, p.paid_at) >= period.starts_at - interval '1 hour'
      and coalesce(p.period_start, p.changed_at, p.paid_at) < period.cut_at - interval '1 hour'
  );
end;
$$;
comment on function private.reversed_share is 'Which part of what was paid for a period was given back.';

create function private.post_to_lot(
  wallet_id uuid, lot_id uuid, change numeric, entry_type public.credit_transaction_type, entry_reason text,
  details jsonb, at timestamptz, returned numeric default 0
) returns void
language plpgsql set search_path = ''
as $$
declare
  balance numeric := (select w.credits_balance from public.credit_wallets w where w.workspace_id = wallet_id);
  payer uuid := (select u.id from public.users u where u.id = wallet_id);
  lots public.credit_lot_change[];
  change_of_lots numeric;
begin
  if change > 0 then
    change_of_lots := least(change, greatest(balance + change, 0)); -- debt is paid first
    -- What was taken from other lots goes back to them while they live: a refund of what this one paid for finds its
    -- room.
    lots := array(
      select l from unnest(private.lots_to_return((
        select max(t.id) from public.credit_transactions t
        where t.workspace_id = wallet_id and t.grant_id = lot_id and t.transaction_type = 'clawback'
      ), least(change_of_lots, returned), at)) l where l.grant_id <> lot_id);
    lots := lots || private.lot_change(lot_id, change_of_lots - (select coalesce(sum(l.amount), 0)
      from unnest(lots) l));
  elsif entry_type = 'expire' then
    lots := private.lot_change(lot_id, change);
  end if;
  perform private.post_entry(wallet_id, payer, entry_type, change, entry_reason, at, lots, first_lot => lot_id,
    entry_metadata => details, new_grant => lot_id);
end;
$$;
comment on function private.post_to_lot is
  'Posts an entry that gives credits to a lot (what is returned: to the lots it was taken from) or takes them back: '
  'from it, then from others, then as debt.';

create type private.paid_terms as (
  credits numeric, in_full numeric, kind public.credit_grant_kind, reason text, starts_at timestamptz,
    expires_at timestamptz,
  clawback_reason text, details jsonb
);
comment on type private.paid_terms is
  'What something paid is worth now (in_full: before refunds and disputes), and how that is told in the ledger.';

create function private.give_paid_credits(paid private.paid_credits, wallet_id uuid, terms private.paid_terms,
  at timestamptz)
returns void
language plpgsql set search_path = ''
as $$
declare
  wallet public.credit_wallets;
  lot public.credit_grants;
  -- What counted for a refund that is less now.
  undone numeric := greatest(paid.by_hand - (terms.in_full - terms.credits), 0);
  -- What was gone before it could be taken back was never taken, and is as gone as before.
  lost numeric := least(terms.credits - paid.credited - undone, paid.absorbed);
  change numeric := terms.credits - paid.credited - lost;
  returned numeric;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id;
  if change > 0 and wallet.credits_balance > 0
    and wallet.credits_balance + change > private.config_numeric('max_credits_balance', 50000) then
    update private.paid_credits c set waiting = change
    where (c.platform, c.source, c.source_id, c.period_start) = (paid.platform, paid.source, paid.source_id,
      paid.period_start);
    perform private.notify_admins('credits_waiting', format('%s %s', paid.platform, paid.source_id), jsonb_build_object(
      'workspace_id', wallet_id, 'credits', change, 'balance', wallet.credits_balance));
    return;
  end if;
  paid.grant_id := coalesce(paid.grant_id,
    private.add_lot(wallet, 0, terms.kind, terms.kind <> 'promotion', 0, terms.expires_at));
  select * into lot from public.credit_grants g where g.id = paid.grant_id;
  returned := least(change, private.taken_of(paid, lot) - paid.by_hand + undone);
  if paid.waiting is not null or returned > 0 and terms.expires_at <= at then
    paid.lives_until := at + (terms.expires_at - terms.starts_at); -- as long as it would have
  end if;
  if returned > 0 then
    -- The time that it had left when a refund or dispute took it is not lost meanwhile.
    paid.lives_until := greatest(paid.lives_until, at + (lot.expires_at - (
      select t.created_at from public.credit_transactions t
      where t.workspace_id = wallet_id and t.grant_id = lot.id and t.transaction_type = 'clawback'
        and t.reason in ('refund', 'dispute') and t.created_at <= lot.expires_at
      order by t.id desc limit 1)));
  end if;
  update public.credit_grants g
  set amount = g.amount + change - returned, clawed_back_amount = g.clawed_back_amount - returned,
    expires_at = case when g.expires_at is not null then greatest(g.expires_at, paid.lives_until) end
  where g.id = lot.id;
  if change > 0 then
    perform private.post_to_lot(wallet_id, lot.id, change, 'credit', terms.reason, terms.details, at, returned);
  end if;
  update private.paid_credits c
  set credited = terms.credits, absorbed = c.absorbed - lost, by_hand = c.by_hand - undone, grant_id = paid.grant_id,
    waiting = null, lives_until = paid.lives_until
  where (c.platform, c.source, c.source_id, c.period_start) = (paid.platform, paid.source, paid.source_id,
    paid.period_start);
end;
$$;
comment on function private.give_paid_credits is
  'Grants what is missing, or leaves it waiting where the balance has no room for it. '
  'What was taken back comes again to a lot that lives.';

create function private.taken_of(paid private.paid_credits, lot public.credit_grants) returns numeric
language sql immutable set search_path = ''
as $$ select lot.amount - paid.absorbed - paid.credited $$;
comment on function private.taken_of is
  'What was taken back for something paid, from whichever lots; what its own says beyond it was clawed back by hand.';

create function private.take_paid_credits(paid private.paid_credits, wallet_id uuid, terms private.paid_terms,
  at timestamptz)
returns void
language plpgsql set search_path = ''
as $$
declare
  lot public.credit_grants;
  absorbed_now numeric;
  by_hand numeric;
  refunded_by_hand numeric := 0;
  taken numeric := paid.credited - terms.credits;
begin
  select * into lot from public.credit_grants g where g.id = paid.grant_id;
  -- What is gone already counts first, clawed back by hand or expired: only what was used beyond the new worth is
  -- taken.
  by_hand := greatest(lot.clawed_back_amount - private.taken_of(paid,
    lot) - greatest(paid.absorbed - lot.expired_amount, 0), 0);
  if terms.clawback_reason <> 'plan_change' then
    refunded_by_hand := least(taken, by_hand); -- it was for this, and comes back if this fails
    taken := taken - refunded_by_hand;
    by_hand := 0;
  end if;
  -- Changing plans back and forth undoes no clawback.
  absorbed_now := least(taken, by_hand + greatest(lot.expired_amount - paid.absorbed, 0));
  taken := taken - absorbed_now;
  if taken > 0 then
    perform private.post_to_lot(wallet_id, lot.id, -taken, 'clawback', terms.clawback_reason, terms.details, at);
    update public.credit_grants g
    set clawed_back_amount = least(g.clawed_back_amount + taken, g.amount - g.remaining - g.expired_amount)
    where g.id = lot.id;
  end if;
  update private.paid_credits c
  set credited = terms.credits, absorbed = c.absorbed + absorbed_now, by_hand = c.by_hand + refunded_by_hand,
    waiting = null
  where (c.platform, c.source, c.source_id, c.period_start) = (paid.platform, paid.source, paid.source_id,
    paid.period_start);
end;
$$;
comment on function private.take_paid_credits is 'Takes back what something is no longer worth.';

create function private.settle_paid_credits(
  of_platform public.payment_platform, of_source private.paid_source, of_id text, of_period timestamptz, wallet_id uuid,
  terms private.paid_terms, at timestamptz
) returns void
language plpgsql set search_path = ''
as $$
declare
  paid private.paid_credits;
begin
  if terms.credits > 0 then
    insert into private.paid_credits (platform, source, source_id, period_start, workspace_id, in_full)
    values (of_platform, of_source, of_id, of_period, wallet_id, terms.in_full)
    on conflict do nothing;
  end if;
  -- A change of plan undoes no clawback, also where it makes a refund a smaller one: what counted for that is gone for
  -- good.
  update private.paid_credits c
  set in_full = terms.in_full, by_hand = least(c.by_hand, terms.in_full - terms.credits),
    absorbed = c.absorbed + greatest(c.by_hand - (terms.in_full - terms.credits), 0)
  where c.platform = of_platform and c.source = of_source and c.source_id = of_id and c.period_start = of_period
    and c.in_full <> terms.in_full;
  if found then
    terms.clawback_reason := 'plan_change';
  end if;
  select * into paid from private.paid_credits c
  where c.platform = of_platform and c.source = of_source and c.source_id = of_id and c.period_start = of_period;
  if terms.credits > paid.credited then
    perform private.give_paid_credits(paid, wallet_id, terms, at);
  elsif terms.credits < paid.credited then
    perform private.take_paid_credits(paid, wallet_id, terms, at);
  elsif paid.waiting is not null then
    update private.paid_credits c set waiting = null
    where (c.platform, c.source, c.source_id, c.period_start) = (of_platform, of_source, of_id, of_period);
  end if;
end;
$$;
comment on function private.settle_paid_credits is 'Brings the credits of something paid to what it is worth now.';

create function private.terms_of_purchase(of_platform public.payment_platform, of_payment text)
returns private.paid_terms
language plpgsql stable set search_path = ''
as $$
declare
  payment public.payments;
  product public.payment_products;
  in_full numeric;
  worth numeric;
begin
  select * into payment from public.payments p where p.platform = of_platform and p.payment_id = of_payment;
  select * into product from public.payment_products p where p.id = payment.payment_product_id and p.plan is null;
  in_full := (private.terms_of(product, payment.paid_at)).credits * payment.units;
  worth := in_full * (1 - payment.reversed_share);
  if payment.kind is distinct from 'purchase' or product.id is null or payment.status in ('pending', 'failed')
    or exists (
    -- The invoice of a checkout tells of the same money once more.
    select from private.payment_references r
    where r.platform = of_platform and r.reference = of_payment and r.subject = 'payment' and r.subject_id <> of_payment
  ) then
    worth := 0;
  end if;
  return row(round(worth, 6), round(in_full, 6), 'purchase', 'purchase', payment.paid_at,
    payment.paid_at + make_interval(hours => 24 * product.expires_after_days),
    case when payment.status = 'disputed' then 'dispute' else 'refund' end,
    jsonb_build_object('platform', of_platform, 'payment_id', of_payment))::private.paid_terms;
end;
$$;
comment on function private.terms_of_purchase is 'What the payment for a pack is worth now.';

create function private.settle_purchase(of_platform public.payment_platform, of_payment text, wallet_id uuid,
  at timestamptz)
returns void
language sql set search_path = ''
as $$
  select private.settle_paid_credits(of_platform, 'payment', of_payment, '-infinity', wallet_id,
    private.terms_of_purchase(of_platform, of_payment), at)
$$;
comment on function private.settle_purchase is 'Brings the credits of a pack to what its payment is worth now.';

create function private.had_trial(
  of_platform public.payment_platform, of_subscription text, of_period timestamptz, wallet_id uuid
) returns boolean
language plpgsql stable set search_path = ''
as $$
declare
  person_id uuid := (
    select s.user_id from public.user_subscriptions s where s.platform = of_platform
      and s.subscription_id = of_subscription);
begin
  return exists (
    select from private.paid_credits c
    left join public.user_subscriptions s on s.platform = c.platform and s.subscription_id = c.source_id
    where c.source = 'trial' and c.credited > 0 and (c.workspace_id = wallet_id or s.user_id = person_id)
      and (c.platform, c.source_id, c.period_start) <> (of_platform, of_subscription, of_period)
  );
end;
$$;
comment on function private.had_trial is
  'Whether this workspace, or this person in another one, has had the credits of a trial before: '
  'teams are free to make.';

create function private.terms_of_period(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period
) returns private.paid_terms
language plpgsql stable set search_path = ''
as $$
declare
  terms private.paid_terms;
  share numeric := private.reversed_share(of_platform, of_subscription, period);
begin
  terms.kind := 'subscription';
  terms.reason := 'subscription';
  terms.in_full := case when period.is_paid then private.credits_of_period(of_platform, of_subscription, period) else 0
    end;
  terms.credits := round(terms.in_full * (1 - share), 6);
  terms.starts_at := period.starts_at;
  terms.expires_at := period.ends_at + make_interval(hours => 24 * private.config_numeric('subscription_grace_days',
    3)::integer);
  terms.clawback_reason := case when exists (
    select from public.payments p
    where p.platform = of_platform and p.subscription_id = of_subscription and p.status = 'disputed'
  ) then 'dispute' else 'refund' end;
  terms.details := jsonb_build_object('platform', of_platform, 'subscription_id', of_subscription,
    'period_start', period.starts_at, 'period_end', period.ends_at);
  return terms;
end;
$$;
comment on function private.terms_of_period is 'What a period is worth now.';

create function private.terms_of_trial(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period, wallet_id uuid
) returns private.paid_terms
language plpgsql stable set search_path = ''
as $$
declare
  terms private.paid_terms := private.terms_of_period(of_platform, of_subscription, period);
  product public.payment_products := private.product_of(of_platform, period.product_id, period.price_id);
begin
  terms.kind := 'promotion';
  terms.reason := 'trial';
  terms.credits := case when period.is_paid
    or private.had_trial(of_platform, of_subscription, period.starts_at, wallet_id)
    then 0 else coalesce((private.terms_of(product, period.starts_at)).trial_credits, 0) end;
  terms.in_full := terms.credits;
  return terms;
end;
$$;
comment on function private.terms_of_trial is
  'What the trial in a period is worth now; one that is paid for after all is a period.';

create function private.settle_period(
  of_platform public.payment_platform, of_subscription text, period private.subscription_period, wallet_id uuid,
  at timestamptz
) returns void
language plpgsql set search_path = ''
as $$
begin
  if period.ends_at > period.starts_at is not true then
    return; -- nothing can be told of its length
  end if;
  perform private.settle_paid_credits(of_platform, 'period', of_subscription, period.starts_at, wallet_id,
    private.terms_of_period(of_platform, of_subscription, period), at);
  if period.is_trial then
    perform private.settle_paid_credits(of_platform, 'trial', of_subscription, period.starts_at, wallet_id,
      private.terms_of_trial(of_platform, of_subscription, period, wallet_id), at);
  end if;
end;
$$;
comment on function private.settle_period is 'Brings the credits of a period to what it is worth now.';

-- Rollover ------------------------------------------------------------------------------------------------------------

create function private.carry_lot(paid private.paid_credits, live_until timestamptz, room numeric, at timestamptz)
returns numeric
language plpgsql set search_path = ''
as $$
declare
  lot public.credit_grants;
  wallet public.credit_wallets;
  lost numeric;
  kept numeric;
begin
  select * into lot from public.credit_grants g where g.id = paid.grant_id;
  select * into wallet from public.credit_wallets w where w.workspace_id = paid.workspace_id;
  -- What ran out before the next payment was heard of comes back.
  lost := case when live_until > at then greatest(lot.expired_amount - paid.absorbed - paid.cap_expired, 0) else 0 end;
  kept := least(lot.remaining + lost, room);
  update public.credit_grants g
  set expires_at = greatest(live_until, paid.lives_until),
    expired_amount = g.expired_amount - greatest(kept - lot.remaining, 0) where g.id = lot.id;
  if kept > lot.remaining then
    perform private.post_to_lot(paid.workspace_id, lot.id, kept - lot.remaining, 'credit', 'rollover', '{}', at);
  elsif kept < lot.remaining then
    -- Never what open holds need.
    kept := greatest(kept, lot.remaining - greatest(wallet.credits_balance - wallet.credits_held, 0));
    if kept < lot.remaining then
      perform private.post_to_lot(paid.workspace_id, lot.id, kept - lot.remaining, 'expire', 'rollover_cap', '{}', at);
    end if;
  end if;
  update private.paid_credits c set cap_expired = c.cap_expired + lot.remaining + lost - kept
  where (c.platform, c.source, c.source_id, c.period_start) = (paid.platform, paid.source, paid.source_id,
    paid.period_start);
  return kept;
end;
$$;
comment on function private.carry_lot is
  'Lets a period''s unused credits live on, as far as there is room under the cap; what there is no room for ends now. '
  'Answers with what lives on.';

create function private.roll_over(of_platform public.payment_platform, of_subscription text, at timestamptz)
returns void
language plpgsql set search_path = ''
as $$
declare
  grace interval := make_interval(hours => 24 * private.config_numeric('subscription_grace_days', 3)::integer);
  later private.subscription_period;
  chain_end timestamptz;
  carried numeric := 0;
  plan public.plans;
  period private.subscription_period;
  paid private.paid_credits;
begin
  -- From the newest period back: what is youngest has the room under a cap first.
  for period in
    select * from private.periods_of(of_platform, of_subscription) p
    where p.is_paid and private.reversed_share(of_platform, of_subscription, p) < 1
    order by p.starts_at desc
  loop
    select * into paid from private.paid_credits c
    where c.platform = of_platform and c.source = 'period' and c.source_id = of_subscription
      and c.period_start = period.starts_at;
    select p.* into plan from public.plans p
    where p.plan = (private.product_of(of_platform, period.product_id, period.price_id)).plan;
    if later.starts_at is null or period.cut_at + grace < later.starts_at then
      chain_end := period.ends_at; -- the newest, or one after which a payment is missing or was given back
      carried := 0;
      update public.credit_grants g set expires_at = greatest(chain_end + grace, paid.lives_until)
      where g.id = paid.grant_id and g.expires_at > greatest(chain_end + grace, paid.lives_until)
        and exists (
          select from private.periods_of(of_platform, of_subscription) p
          where p.starts_at > period.starts_at and private.reversed_share(of_platform, of_subscription, p) = 1
        );
    elsif plan.credit_rollover in ('all', 'capped') and paid.grant_id is not null then
      carried := carried + private.carry_lot(paid, chain_end + grace,
        -- What came late has time of its own before a cap counts.
        case when plan.credit_rollover = 'all' or paid.lives_until > at then 'infinity'
          else greatest(plan.credit_rollover_cap - carried, 0) end, at);
    end if;
    later := period;
  end loop;
end;
$$;
comment on function private.roll_over is
  'Where the plan of a period lets unused credits live on: does so, if the next one was paid.';
