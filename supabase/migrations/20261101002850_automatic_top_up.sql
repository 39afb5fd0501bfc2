-- Automatic top-up: a workspace whose balance falls below a line has a pack charged. Here it is only asked for; function
-- billing asks the platform, and the credits come by the platform's events, as those of any other payment.

create table public.auto_top_ups (
  workspace_id uuid primary key references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  payment_product_id uuid not null references public.payment_products,
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
comment on table public.auto_top_ups is 'Which pack is charged when a workspace''s balance falls below which line. Off unless someone sets it.';
comment on column public.auto_top_ups.user_id is 'Who set it and so agreed to be charged.';
comment on column public.auto_top_ups.monthly_cap is 'Packs that may be charged in a calendar month (UTC).';
comment on column public.auto_top_ups.failures is 'Charges in a row that came to nothing.';
comment on column public.auto_top_ups.next_try_at is 'Not before this; null: at once.';
comment on column public.auto_top_ups.requested_this_month is
  'Packs asked for in the month that began at month_started_at, less those that were certainly not charged.';
comment on column public.auto_top_ups.pending_payment_id is 'The newest charge. Until its payment is known (three days at most) no other is asked for.';
create index auto_top_ups_user_id_idx on public.auto_top_ups (user_id);
create index auto_top_ups_payment_product_id_idx on public.auto_top_ups (payment_product_id);
create index auto_top_ups_active_idx on public.auto_top_ups (workspace_id) where is_active;
create trigger auto_top_ups_set_updated_at before update on public.auto_top_ups
  for each row execute function private.set_updated_at();

create function private.top_up_is_due(rule public.auto_top_ups, wallet public.credit_wallets, at timestamptz) returns boolean
language plpgsql stable set search_path = ''
as $$
declare
  product public.payment_products;
begin
  if not rule.is_active or wallet.credits_balance >= rule.threshold or wallet.frozen_at is not null
    or rule.next_try_at > at
    or rule.month_started_at >= private.period_start('month', at) and rule.requested_this_month >= rule.monthly_cap then
    return false;
  end if;
  select * into product from public.payment_products p where p.id = rule.payment_product_id and p.is_active;
  return found
    -- What would only wait for room is not bought.
    and wallet.credits_balance + product.credits <= private.config_numeric('max_credits_balance', 50000)
    and not exists (
      select from private.payment_tasks t
      where t.workspace_id = rule.workspace_id and t.task = 'charge_pack' and t.done_at is null
    )
    and (rule.pending_payment_id is null or rule.pending_since <= at - interval '3 days' or exists (
      select from public.payments p
      where p.platform = product.platform and p.payment_id = rule.pending_payment_id and p.status <> 'pending'
    ));
end;
$$;
comment on function private.top_up_is_due is 'Whether a workspace''s top-up is to be asked for now.';

create function private.request_top_up(wallet public.credit_wallets, at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
  rule public.auto_top_ups;
  month timestamptz := private.period_start('month', at);
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
comment on function private.request_top_up is 'Asks for the top-up of a locked wallet where it is due, and counts it to the month.';

create function private.uncount_top_up(task private.payment_tasks) returns void
language sql set search_path = ''
as $$
  update public.auto_top_ups t set requested_this_month = t.requested_this_month - 1
  where t.workspace_id = task.workspace_id and t.month_started_at = private.period_start('month', task.requested_at)
$$;
comment on function private.uncount_top_up is 'Takes a top-up that was certainly not charged out of its month.';

create function private.charge_of_task(task private.payment_tasks) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  payer uuid := (select t.user_id from public.auto_top_ups t where t.workspace_id = task.workspace_id);
begin
  return (
    select jsonb_build_object('workspace_id', task.workspace_id, 'product_id', p.product_id, 'price_id', p.price_id,
      'user_id', payer, 'proof', private.checkout_proof(task.workspace_id, payer),
      'customer_id', (
        select c.customer_id from private.own_customers(task.workspace_id) c
        -- Not one that somebody made by typing an address.
        where c.platform = task.platform and c.bound_by in ('checkout', 'admin') limit 1))
    from public.payment_products p where p.id = task.payment_product_id
  );
end;
$$;
comment on function private.charge_of_task is 'What the platform has to be told to charge a pack.';

create function private.note_top_up(task private.payment_tasks, outcome text, payment_id text, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  rule public.auto_top_ups;
begin
  if task.error is null then
    update public.auto_top_ups t set failures = 0, next_try_at = null, last_error = null,
      pending_payment_id = note_top_up.payment_id, pending_since = note_top_up.at
    where t.workspace_id = task.workspace_id;
    return;
  end if;
  if outcome is not null then
    perform private.uncount_top_up(task);
  end if;
  update public.auto_top_ups t set failures = t.failures + 1, last_error = task.error,
    next_try_at = note_top_up.at + (array['1 hour', '6 hours', '24 hours']::interval[])[t.failures + 1],
    is_active = t.is_active and t.failures < 3 and outcome is distinct from 'impossible'
  where t.workspace_id = task.workspace_id
  returning * into rule;
  if not rule.is_active then
    perform private.refresh_has_alerts(task.workspace_id);
    perform private.notify(task.workspace_id, 'top_up_ended', jsonb_build_object('error', task.error,
      'failures', rule.failures, 'payment_product_id', task.payment_product_id), at);
  end if;
end;
$$;
comment on function private.note_top_up is
  'What became of a charge: after a failure it waits 1, 6 and 24 hours, and after the fourth, or one that cannot be done, it is off and its workspace told.';

create function private.request_next_top_up(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
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
comment on function private.request_next_top_up(timestamptz) is
  'Asks for one top-up that time made due: a wait or a month is over; false when there is none.';

create function private.end_next_lost_charge(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
  lost bigint;
begin
  select t.id into lost from private.payment_tasks t
  where t.task = 'charge_pack' and t.done_at is null and t.attempts >= 10 and t.due_at <= end_next_lost_charge.at
  limit 1;
  if not found then
    return false;
  end if;
  perform public.finish_payment_task(lost, 'The function that was to charge it never told what came of it.', at => at);
  return true;
end;
$$;
comment on function private.end_next_lost_charge(timestamptz) is
  'Ends one charge of which nothing was heard however often it was tried; false when there is none.';

create function private.lock_billing(wanted_workspace uuid) returns public.credit_wallets
language plpgsql set search_path = ''
as $$
declare
  account_id uuid := private.my_account();
  wallet public.credit_wallets;
  role public.workspace_role;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace for no key update;
  role := private.role_in(wanted_workspace, account_id); -- as it is under the lock
  if role is null then
    perform private.raise_error('not_found', format('There is no workspace %s.', coalesce(wanted_workspace::text, 'null')));
  elsif role = 'member' then
    perform private.raise_error('forbidden', 'Only owners and admins of a workspace may see to its payments.');
  end if;
  return wallet;
end;
$$;
comment on function private.lock_billing(uuid) is 'Locks the wallet of a workspace, also a personal one, that the caller manages.';

create function private.withdraw_top_up(wallet_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  task private.payment_tasks;
begin
  -- One that has been claimed is under way at the platform and goes on.
  delete from private.payment_tasks t
  where t.workspace_id = wallet_id and t.task = 'charge_pack' and t.done_at is null and t.attempts = 0
  returning * into task;
  if found then
    perform private.uncount_top_up(task);
  end if;
end;
$$;
comment on function private.withdraw_top_up(uuid) is 'Takes back a top-up that was asked for and not begun.';

create function private.set_top_up_of_mine(
  wanted_workspace uuid, product_id uuid, new_threshold numeric, new_cap integer
) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  wallet public.credit_wallets := private.lock_billing(wanted_workspace);
  product public.payment_products := private.product_on_sale(product_id);
begin
  perform private.require_amount(new_threshold, 'threshold', zero_allowed => true);
  if new_cap between 1 and 1000 is not true then
    perform private.raise_error('invalid_request', 'monthly_cap must be between 1 and 1000 packs.');
  elsif product.plan is not null then
    perform private.raise_error('invalid_request', 'payment_product_id must be a pack.');
  end if;
  perform private.withdraw_top_up(wanted_workspace);
  insert into public.auto_top_ups as t (workspace_id, user_id, payment_product_id, threshold, monthly_cap, is_active)
  values (wanted_workspace, auth.uid(), product.id, new_threshold, new_cap, true)
  on conflict (workspace_id) do update set user_id = excluded.user_id, payment_product_id = excluded.payment_product_id,
    threshold = excluded.threshold, monthly_cap = excluded.monthly_cap, is_active = true, failures = 0,
    next_try_at = null, last_error = null;
  perform private.refresh_has_alerts(wanted_workspace);
  perform private.request_top_up(wallet, clock_timestamp());
end;
$$;
comment on function private.set_top_up_of_mine is 'Sets the automatic top-up of a workspace that the caller manages; what was charged this month stays counted.';
grant execute on function private.set_top_up_of_mine to authenticated;

create function private.disable_top_up_of_mine(wanted_workspace uuid) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lock_billing(wanted_workspace);
  perform private.withdraw_top_up(wanted_workspace);
  update public.auto_top_ups t set is_active = false where t.workspace_id = wanted_workspace and t.is_active;
  perform private.refresh_has_alerts(wanted_workspace);
end;
$$;
comment on function private.disable_top_up_of_mine(uuid) is 'Ends the automatic top-up of a workspace that the caller manages.';
grant execute on function private.disable_top_up_of_mine(uuid) to authenticated;

create function public.set_auto_top_up(
  workspace_id uuid, payment_product_id uuid, threshold numeric, monthly_cap integer
) returns void
language sql set search_path = ''
as $$ select private.set_top_up_of_mine(workspace_id, payment_product_id, threshold, monthly_cap) $$;
comment on function public.set_auto_top_up is
  'Has a pack charged whenever the balance falls below threshold, monthly_cap times a calendar month (UTC) at most. For owners and admins; Stripe alone can charge without a checkout.';
create function public.disable_auto_top_up(workspace_id uuid) returns void
language sql set search_path = ''
as $$ select private.disable_top_up_of_mine(workspace_id) $$;
comment on function public.disable_auto_top_up is 'Ends the automatic top-up; a charge that has begun at the platform is not called back.';
grant execute on function public.set_auto_top_up, public.disable_auto_top_up to authenticated;

alter table public.auto_top_ups enable row level security;
create policy "owners and admins can read their workspace's automatic top-up" on public.auto_top_ups
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
grant select on public.auto_top_ups to authenticated, service_role;

-- What somebody agreed to, and that it ended; not the charges, which payments tell of. user_id says who agreed.
create trigger auto_top_ups_audit_start_and_end after insert or delete on public.auto_top_ups
  for each row execute function private.audit_change('workspace_id', 'workspace_id',
    'user_id payment_product_id threshold monthly_cap is_active');
create trigger auto_top_ups_audit_changes
  after update of user_id, payment_product_id, threshold, monthly_cap, is_active on public.auto_top_ups
  for each row when ((old.user_id, old.payment_product_id, old.threshold, old.monthly_cap, old.is_active)
    is distinct from (new.user_id, new.payment_product_id, new.threshold, new.monthly_cap, new.is_active))
  execute function private.audit_change('workspace_id', 'workspace_id',
    'user_id payment_product_id threshold monthly_cap is_active');
