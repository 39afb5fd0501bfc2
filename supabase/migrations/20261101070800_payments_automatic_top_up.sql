-- Automatic top-up: a workspace whose balance falls below a threshold has a pack charged. Here it is only requested;
-- function billing asks the platform, and the credits come by the platform's events, as those of any other payment.
-- What function billing claims and finishes, charges and cancellations alike, stands here too.
-- A charge is a row of private.payment_tasks. Its state, and who moves it:
--   -         → requested  request_top_up: the balance is low, the month has room, no other charge is open or unpaid
--   requested → (removed)  withdraw_top_up, and the end of the workspace: nothing was asked of the platform
--   requested → done       next_charge: nobody agrees to it any more
--   requested → tried      claim_payment_task; it stays tried, due ever less often, while no answer is known
--   tried     → voiding    next_charge: nobody agrees to it any more; and the end of the workspace
--   tried     → done       finish_payment_task: charged, declined, impossible, or given up (it stays counted)
--   voiding   → voided     finish_payment_task: nothing will be charged, or given up (it stays counted)
--   voiding   → done       finish_payment_task: it was charged before it could be voided
--   done      → voiding    follow_charge: its payment failed later and is still open at the platform
-- A cancellation of a subscription moves requested → tried → done, and to requested again if the subscription goes on.

create table public.auto_top_ups (
  workspace_id uuid primary key references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  payment_product_id uuid not null references public.payment_products,
  amount bigint not null,
  currency public.currency_code not null,
  price_id text,
  threshold public.unsigned_credit_amount not null,
  monthly_cap integer not null constraint monthly_cap_is_1_to_1000_packs check (monthly_cap between 1 and 1000),
  is_active boolean not null default false,
  failures integer not null default 0,
  next_try_at timestamptz,
  last_error text,
  month_started_at timestamptz,
  requested_this_month integer not null default 0,
  pending_payment_id text,
  pending_since timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.auto_top_ups is
  'Which pack is charged when a workspace''s balance falls below which line. Off unless someone sets it.';
comment on column public.auto_top_ups.user_id is 'Who set it and so agreed to be charged.';
comment on column public.auto_top_ups.amount is
  'What the pack cost when it was agreed to, as currency and price_id: at another price it is not charged.';
comment on column public.auto_top_ups.monthly_cap is 'Packs that may be charged in a calendar month (UTC).';
comment on column public.auto_top_ups.failures is 'Charges in a row that came to nothing.';
comment on column public.auto_top_ups.next_try_at is 'Not before this; null: at once.';
comment on column public.auto_top_ups.requested_this_month is
  'Packs requested in the month that began at month_started_at, less those that were certainly not charged.';
comment on column public.auto_top_ups.pending_payment_id is
  'The newest charge. Until its payment is known (three days at most) no other is requested.';
create index auto_top_ups_user_id_idx on public.auto_top_ups (user_id);
create index auto_top_ups_payment_product_id_idx on public.auto_top_ups (payment_product_id);
create index auto_top_ups_active_idx on public.auto_top_ups (workspace_id) where is_active;
create trigger auto_top_ups_set_updated_at before update on public.auto_top_ups
  for each row execute function private.set_updated_at();

-- Why nobody agrees to a top-up any more; null where somebody does.
create function private.why_top_up_ends(rule public.auto_top_ups) returns text
language plpgsql stable set search_path = '' as $$
begin
  if not exists (
    select from public.users u
    where u.id = rule.user_id and private.is_admitted(u)
      and private.role_in(rule.workspace_id, u.id) in ('owner', 'admin')
  ) then
    return 'Whoever set it sees to this workspace''s payments no more.';
  elsif not exists (
    select from public.payment_products p
    where p.id = rule.payment_product_id and (p.amount, p.currency) = (rule.amount, rule.currency)
      and p.price_id is not distinct from rule.price_id
  ) then
    return 'The pack has another price than was agreed to.';
  end if;
  return null;
end;
$$;

-- Whether a workspace needs its top-up and somebody agrees to it.
create function private.top_up_is_wanted(rule public.auto_top_ups, wallet public.credit_wallets) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  if rule.is_active is not true or wallet.credits_balance >= rule.threshold or wallet.frozen_at is not null then
    return false;
  end if;
  return exists (
      select from public.payment_products p
      where p.id = rule.payment_product_id and p.is_active
        -- What would not fit under the cap is not bought.
        and wallet.credits_balance + p.credits <= private.config_numeric('max_credits_balance', 50000)
    )
    and private.why_top_up_ends(rule) is null;
end;
$$;

-- Whether a workspace's top-up is to be requested now.
create function private.top_up_is_due(
  rule public.auto_top_ups, wallet public.credit_wallets, at timestamptz
) returns boolean language plpgsql stable set search_path = '' as $$
begin
  if rule.next_try_at > at
    or rule.month_started_at >= date_trunc('month', at, 'UTC') and rule.requested_this_month >= rule.monthly_cap
    or not private.top_up_is_wanted(rule, wallet) then
    return false;
  end if;
  return not exists (
      select from private.payment_tasks t
      where t.workspace_id = rule.workspace_id and t.task = 'charge_pack' and t.state < 'done'
    )
    and (rule.pending_payment_id is null or rule.pending_since <= at - interval '72 hours' or exists (
      select from public.payments p join public.payment_products o on o.platform = p.platform
      where o.id = rule.payment_product_id and p.payment_id = rule.pending_payment_id and p.status <> 'pending'
    ));
end;
$$;

-- Asks for the top-up of a locked wallet where it is due, and counts it to the month.
create function private.request_top_up(wallet public.credit_wallets, at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  rule public.auto_top_ups;
  month timestamptz := date_trunc('month', at, 'UTC');
begin
  select * into rule from public.auto_top_ups t where t.workspace_id = wallet.workspace_id and t.is_active;
  if not found or not private.top_up_is_due(rule, wallet, at) then
    return false;
  end if;
  insert into private.payment_tasks (platform, task, workspace_id, payment_product_id, requested_at, due_at)
  select p.platform, 'charge_pack', rule.workspace_id, p.id, request_top_up.at, request_top_up.at
  from public.payment_products p where p.id = rule.payment_product_id;
  update public.auto_top_ups t set month_started_at = greatest(t.month_started_at, month),
    requested_this_month = case when t.month_started_at >= month then t.requested_this_month else 0 end + 1
  where t.workspace_id = rule.workspace_id;
  return true;
end;
$$;

-- Takes a top-up that was certainly not charged out of its month.
create function private.uncount_top_up(task private.payment_tasks) returns void language sql set search_path = '' as $$
  update public.auto_top_ups t set requested_this_month = t.requested_this_month - 1
  where t.workspace_id = task.workspace_id and t.month_started_at = date_trunc('month', task.requested_at, 'UTC')
$$;

-- Takes back a top-up that was requested and not begun.
create function private.withdraw_top_up(wanted_workspace uuid) returns void language plpgsql set search_path = '' as $$
declare
  task private.payment_tasks;
begin
  -- One that has been tried may have been charged: what becomes of it is seen when it comes again.
  delete from private.payment_tasks t
  where t.workspace_id = wanted_workspace and t.task = 'charge_pack' and t.state = 'requested'
  returning * into task;
  if found then
    perform private.uncount_top_up(task);
  end if;
end;
$$;

-- Whether the platform may no longer know that it was asked before (Stripe: a day), so that asking would charge
-- again.
create function private.is_forgotten(task private.payment_tasks, at timestamptz) returns boolean
language sql immutable set search_path = ''
as $$ select task.first_tried_at <= at - interval '23 hours' and task.payment_id is null $$;

-- Ends the top-up of a locked wallet, and notifies its workspace.
create function private.end_top_up(wanted_workspace uuid, reason text, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  rule public.auto_top_ups;
begin
  perform private.withdraw_top_up(wanted_workspace);
  update public.auto_top_ups t set is_active = false, last_error = reason
  where t.workspace_id = wanted_workspace and t.is_active returning * into rule;
  if found then
    perform private.notify(wanted_workspace, 'top_up_ended',
      jsonb_build_object('error', reason, 'failures', rule.failures,
      'payment_product_id', rule.payment_product_id), at);
  end if;
end;
$$;

-- Ends the top-up of a team when whoever agreed to it manages the team no more. Under the lock of its wallet.
create function private.end_top_up_of_member() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if (tg_op = 'DELETE' or new.role = 'member') and exists (
    select from public.auto_top_ups t join public.workspaces w on w.id = t.workspace_id -- it may be going as well
    where t.workspace_id = old.workspace_id and t.user_id = old.user_id and t.is_active
  ) then
    perform private.end_top_up(old.workspace_id, 'Whoever set it sees to this workspace''s payments no more.',
      clock_timestamp());
  end if;
  return null;
end;
$$;
create trigger workspace_members_end_top_up after update of role or delete on public.workspace_members
  for each row execute function private.end_top_up_of_member();

-- Ends one top-up to which nobody agrees any more: its price changed, or its person's account was disabled; false
-- when there is none.
create function private.end_next_top_up(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  rule public.auto_top_ups;
begin
  select r.* into rule
  from public.auto_top_ups r join public.credit_wallets w on w.workspace_id = r.workspace_id
  where r.is_active and private.why_top_up_ends(r) is not null
  limit 1 for no key update of w skip locked;
  if not found then
    return false;
  end if;
  select * into rule from public.auto_top_ups r where r.workspace_id = rule.workspace_id; -- as it is under the lock
  if rule.is_active and private.why_top_up_ends(rule) is not null then
    perform private.end_top_up(rule.workspace_id, private.why_top_up_ends(rule), at);
  end if;
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('end_next_top_up', 120);

-- A charge of a locked wallet as it is to be tried now: made, voided, or (null) over before it began.
create function private.review_charge(
  task private.payment_tasks, wallet public.credit_wallets, at timestamptz
) returns private.payment_tasks language plpgsql set search_path = '' as $$
declare
  rule public.auto_top_ups;
begin
  select * into rule from public.auto_top_ups t where t.workspace_id = task.workspace_id;
  -- Between requesting and charging much may happen. A try is repeated as it was or not at all.
  if task.state <> 'voiding' and rule.payment_product_id = task.payment_product_id
    and private.top_up_is_wanted(rule, wallet)
    and (task.charge is null or (task.charge ->> 'user_id')::uuid = rule.user_id
      and task.charge ->> 'price_id' is not distinct from rule.price_id and exists (
        select from public.payment_customers c
        where c.platform = task.platform and c.customer_id = task.charge ->> 'customer_id'
          and private.is_paid_by_members(c)
      ))
  then
    update private.payment_tasks t set charge = coalesce(t.charge, (
      select jsonb_build_object('workspace_id', t.workspace_id, 'product_id', p.product_id, 'price_id', p.price_id,
        'user_id', rule.user_id, 'proof', private.checkout_proof(t.workspace_id, rule.user_id),
        'customer_id', private.customer_to_charge(t.workspace_id, t.platform))
      from public.payment_products p where p.id = t.payment_product_id))
    where t.id = task.id returning * into task;
  elsif task.state = 'requested' then
    update private.payment_tasks t set state = 'done', error = 'It is not to be charged any more.' where t.id = task.id;
    perform private.uncount_top_up(task);
    task := null;
  else
    -- Whether it was charged is not known: the platform is asked to void it.
    update private.payment_tasks t set state = 'voiding' where t.id = task.id returning * into task;
  end if;
  if rule.is_active and private.why_top_up_ends(rule) is not null then
    perform private.end_top_up(rule.workspace_id, private.why_top_up_ends(rule), at);
  end if;
  return task;
end;
$$;

-- After a charge that failed a top-up waits 1, 6 and 24 hours; after the fourth, or the last there can be, it ends
-- and its workspace is notified.
create function private.decline_top_up(wanted_workspace uuid, reason text, is_last boolean, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  rule public.auto_top_ups;
begin
  update public.auto_top_ups t set failures = t.failures + 1, last_error = reason, pending_payment_id = null,
    next_try_at = decline_top_up.at + (array['1 hour', '6 hours', '24 hours']::interval[])[t.failures + 1]
  where t.workspace_id = wanted_workspace returning * into rule;
  if rule.failures > 3 or is_last then
    perform private.end_top_up(wanted_workspace, reason, at);
  end if;
end;
$$;

-- What a top-up's newest charge came to: one that fails later (a direct debit) is a decline like any other.
create function private.follow_charge(
  task private.payment_tasks, status public.payment_status, at timestamptz
) returns void language plpgsql set search_path = '' as $$
begin
  if not exists (
    select from public.auto_top_ups t where t.workspace_id = task.workspace_id
      and t.pending_payment_id = task.payment_id
  ) then
    return;
  end if;
  if status = 'failed' then
    perform private.decline_top_up(task.workspace_id, 'The charge failed.', false, at);
    -- What was not paid is still open at the platform, and counts to its month until it is voided.
    update private.payment_tasks t set state = 'voiding', attempts = 1, due_at = follow_charge.at
    where t.id = task.id and not exists (
      select from private.payment_tasks o
      where o.workspace_id = t.workspace_id and o.task = 'charge_pack' and o.state < 'done'
    );
  elsif status = 'succeeded' then
    update public.auto_top_ups t set failures = 0, last_error = null where t.workspace_id = task.workspace_id;
  end if;
end;
$$;

create function public.finish_payment_task(
  task_id bigint, error text default null, outcome text default null, payment_id text default null,
  at timestamptz default clock_timestamp()
) returns void language plpgsql security definer set search_path = '' as $$
declare
  payer uuid := (select t.workspace_id from private.payment_tasks t where t.id = task_id);
  task private.payment_tasks;
begin
  perform private.require_valid(at);
  if outcome not in ('declined', 'impossible') then
    perform private.raise_error('invalid_request', 'outcome must be declined or impossible.');
  end if;
  perform from public.credit_wallets w where w.workspace_id = payer for no key update; -- before the task, as everywhere
  update private.payment_tasks t
  set state = case
      when finish_payment_task.error is not null and outcome is null
        -- Whether it was charged is not known, and it is not tried for ever.
        and (t.task <> 'charge_pack' or t.attempts < case t.state when 'voiding' then 10 else 5 end
          and private.is_forgotten(t, finish_payment_task.at) is not true) then t.state
      when t.state = 'voiding' and (finish_payment_task.error is not null or finish_payment_task.payment_id is null)
        then 'voided'
      else 'done' end,
    error = left(finish_payment_task.error, 1000), payment_id = coalesce(finish_payment_task.payment_id, t.payment_id)
  where t.id = task_id and t.state < 'done'
  returning * into task;
  if task.task = 'charge_pack' and task.state >= 'done' then
    if outcome is not null or task.state = 'voided' and task.error is null then
      perform private.uncount_top_up(task);
    end if;
    if task.state <> 'voided' and task.error is not null then
      perform private.decline_top_up(task.workspace_id, task.error, outcome = 'impossible', at);
    elsif task.state <> 'voided' then
      -- The payment tells whether it was paid. Its events may have come before the answer.
      update public.auto_top_ups t set next_try_at = null, pending_payment_id = finish_payment_task.payment_id,
        pending_since = finish_payment_task.at
      where t.workspace_id = task.workspace_id;
      perform private.follow_charge(task, p.status, at) from public.payments p
      where p.platform = task.platform and p.payment_id = finish_payment_task.payment_id;
    end if;
  elsif task.task = 'cancel_subscription' and task.attempts >= 5 and task.state < 'done' then
    perform private.notify_admins('cancellation_failed', format('%s %s', task.platform, task.subscription_id),
      jsonb_build_object('error', task.error));
  end if;
end;
$$;
comment on function public.finish_payment_task is
  'Reports that a task is done (payment_id: what it was charged by; a charge that was voided has none), '
  'or why it is not; then it comes again, unless the outcome is declined (nothing was charged) or impossible (nor ever '
  'will be).';
grant execute on function public.finish_payment_task to service_role, basemeter_functions;

-- Ends a charge of which nobody knows whether it was made: it stays counted.
create function private.end_lost_charge(lost bigint, at timestamptz) returns void
language sql set search_path = '' as $$
  select public.finish_payment_task(lost,
    'The function that was to charge it never reported what came of it.', at => at)
$$;

-- The next charge that is due and still to be made or voided, its wallet locked.
create function private.next_charge(at timestamptz) returns private.payment_tasks
language plpgsql set search_path = '' as $$
declare
  task private.payment_tasks;
  wallet public.credit_wallets;
begin
  loop
    select t.* into task
    from private.payment_tasks t join public.credit_wallets w on w.workspace_id = t.workspace_id
    where t.task = 'charge_pack' and t.state < 'done' and t.due_at <= next_charge.at
      and t.attempts < 10
    order by t.due_at limit 1 for no key update of w skip locked;
    exit when not found;
    -- As they are under the lock.
    select * into wallet from public.credit_wallets w where w.workspace_id = task.workspace_id;
    select * into task from private.payment_tasks t
    where t.id = task.id and t.state < 'done' and t.due_at <= next_charge.at;
    continue when not found;
    if private.is_forgotten(task, at) then
      perform private.end_lost_charge(task.id, at);
      task := null;
      continue;
    end if;
    task := private.review_charge(task, wallet, at);
    exit when task.id is not null;
  end loop;
  if task.id is null then
    -- One that was tried for a workspace that is gone: it is voided.
    select t.* into task from private.payment_tasks t
    where t.task = 'charge_pack' and t.state < 'done' and t.due_at <= next_charge.at
      and t.attempts < 10 and private.is_forgotten(t, next_charge.at) is not true
      and not exists (select from public.credit_wallets w where w.workspace_id = t.workspace_id)
    order by t.due_at limit 1 for update skip locked;
  end if;
  return task;
end;
$$;

create function public.claim_payment_task(at timestamptz default clock_timestamp()) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  task private.payment_tasks;
begin
  perform private.require_valid(at);
  select * into task from private.payment_tasks t
  where t.task = 'cancel_subscription' and t.state < 'done' and t.due_at <= claim_payment_task.at
  order by t.due_at limit 1 for update skip locked;
  if not found then
    task := private.next_charge(at);
  end if;
  if task.id is null then
    return null;
  end if;
  -- Due again later, ever less often, unless it is reported done.
  update private.payment_tasks t
  set state = greatest(t.state, 'tried'), attempts = t.attempts + 1,
    first_tried_at = coalesce(t.first_tried_at, claim_payment_task.at),
    due_at = claim_payment_task.at + make_interval(mins => power(2, least(t.attempts, 10))::integer)
  where t.id = task.id returning * into task;
  return jsonb_build_object('id', task.id, 'platform', task.platform,
    'task', case when task.state = 'voiding' then 'void_charge' else task.task end)
    || jsonb_strip_nulls(jsonb_build_object('invoice_id', task.payment_id))
    || coalesce(task.charge, jsonb_build_object('subscription_id', task.subscription_id));
end;
$$;
comment on function public.claim_payment_task is
  'The next thing to do at a platform, or null: { id, platform, task } and { subscription_id }, '
  'or for charge_pack and void_charge { workspace_id, user_id, customer_id, product_id, price_id }; invoice_id: '
  'by what it was charged, where that is known.';
grant execute on function public.claim_payment_task to service_role, basemeter_functions;

-- Tells an automatic top-up what became of its payment.
create function private.follow_payment() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  task private.payment_tasks;
begin
  select * into task from private.payment_tasks t where t.payment_id = new.payment_id and t.platform = new.platform
    limit 1;
  if found then
    perform private.follow_charge(task, new.status, clock_timestamp());
  end if;
  return null;
end;
$$;
create trigger payments_follow_top_up after insert or update of status on public.payments
  for each row when (new.status in ('succeeded', 'failed')) execute function private.follow_payment();

-- Asks for one top-up that time made due: a wait or a month is over; false when there is none.
create function private.request_next_top_up(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  wallet public.credit_wallets;
begin
  select w.* into wallet
  from public.auto_top_ups r
  join public.credit_wallets w on w.workspace_id = r.workspace_id
  where r.is_active and w.credits_balance < r.threshold and private.top_up_is_due(r, w, request_next_top_up.at)
  limit 1 for no key update of w skip locked;
  return found and private.request_top_up(wallet, at);
end;
$$;
insert into private.due_work (piece, place) values ('request_next_top_up', 110);

-- Ends one charge of which nothing was reported however often it was tried; false when there is none.
create function private.end_next_lost_charge(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  lost bigint;
begin
  select t.id into lost from private.payment_tasks t
  where t.task = 'charge_pack' and t.state < 'done' and t.due_at <= end_next_lost_charge.at
    and (t.attempts >= 10 or private.is_forgotten(t, end_next_lost_charge.at))
  limit 1;
  if not found then
    return false;
  end if;
  perform private.end_lost_charge(lost, at);
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('end_next_lost_charge', 100);

-- Sets the automatic top-up of a workspace that the caller manages; what was charged this month stays counted.
create function private.set_top_up_of_mine(
  wanted_workspace uuid, product_id uuid, new_threshold numeric, new_cap integer
) returns void language plpgsql security definer set search_path = '' as $$
declare
  wallet public.credit_wallets;
  product public.payment_products;
begin
  perform private.lock_workspace(wanted_workspace, 'admin');
  product := private.product_on_sale(product_id);
  perform private.require_valid(amount => new_threshold, field => 'threshold', zero_allowed => true);
  if new_cap between 1 and 1000 is not true then
    perform private.raise_error('invalid_request', 'monthly_cap must be between 1 and 1000 packs.');
  elsif product.plan is not null then
    perform private.raise_error('invalid_request', 'payment_product_id must be a pack.');
  end if;
  perform private.withdraw_top_up(wanted_workspace);
  insert into public.auto_top_ups
    as t (workspace_id, user_id, payment_product_id, amount, currency, price_id, threshold,
    monthly_cap, is_active)
  values (wanted_workspace, auth.uid(), product.id, product.amount, product.currency, product.price_id, new_threshold,
    new_cap, true)
  on conflict (workspace_id) do update set user_id = excluded.user_id, payment_product_id = excluded.payment_product_id,
    amount = excluded.amount, currency = excluded.currency, price_id = excluded.price_id,
      threshold = excluded.threshold, monthly_cap = excluded.monthly_cap, is_active = true, failures = 0,
    next_try_at = null, last_error = null;
  select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace;
  perform private.request_top_up(wallet, clock_timestamp());
end;
$$;
grant execute on function private.set_top_up_of_mine to authenticated;

-- Ends the automatic top-up of a workspace that the caller manages.
create function private.disable_top_up_of_mine(wanted_workspace uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform private.lock_workspace(wanted_workspace, 'admin');
  perform private.withdraw_top_up(wanted_workspace);
  update public.auto_top_ups t set is_active = false where t.workspace_id = wanted_workspace and t.is_active;
end;
$$;
grant execute on function private.disable_top_up_of_mine(uuid) to authenticated;

create function public.set_auto_top_up(
  workspace_id uuid, payment_product_id uuid, threshold numeric, monthly_cap integer
) returns void
language sql set search_path = ''
as $$ select private.set_top_up_of_mine(workspace_id, payment_product_id, threshold, monthly_cap) $$;
comment on function public.set_auto_top_up is
  'Has a pack charged whenever the balance falls below threshold, monthly_cap times a calendar month (UTC) at most. '
  'For owners and admins; Stripe alone can charge without a checkout.';
create function public.disable_auto_top_up(workspace_id uuid) returns void
language sql set search_path = '' as $$ select private.disable_top_up_of_mine(workspace_id) $$;
comment on function public.disable_auto_top_up is
  'Ends the automatic top-up; a charge that is under way at the platform is not called back, '
  'one that failed there is not tried again.';
grant execute on function public.set_auto_top_up, public.disable_auto_top_up to authenticated;

alter table public.auto_top_ups enable row level security;
create policy "owners and admins can read their workspace's automatic top-up" on public.auto_top_ups
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
grant select on public.auto_top_ups to authenticated, service_role;

-- What somebody agreed to, and that it ended; not the charges, which payments report. user_id says who agreed.
create trigger auto_top_ups_audit_start_and_end after insert or delete on public.auto_top_ups
  for each row execute function private.audit_change('workspace_id', 'workspace_id',
    'user_id payment_product_id amount currency threshold monthly_cap is_active');
create trigger auto_top_ups_audit_changes
  after update of user_id, payment_product_id, amount, currency, threshold, monthly_cap, is_active
    on public.auto_top_ups
  for each row when ((old.user_id, old.payment_product_id, old.amount, old.currency, old.threshold, old.monthly_cap,
    old.is_active)
    is distinct from (new.user_id, new.payment_product_id, new.amount, new.currency, new.threshold, new.monthly_cap,
      new.is_active))
  execute function private.audit_change('workspace_id', 'workspace_id',
    'user_id payment_product_id amount currency threshold monthly_cap is_active');
