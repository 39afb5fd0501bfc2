-- Alerts: notifications when credits cross a line, and the one trigger that watches a wallet for them and its top-up.
-- An alert looks at the step that moved the credits, under the wallet's lock: it fires where the step begins on the
-- good side and ends beyond. So it fires once a crossing without a state that could be wrong, and is armed again by
-- going back.

create type public.credit_alert_kind as enum ('low_balance', 'limit_share', 'overdraft', 'debt');
comment on type public.credit_alert_kind is
  'low_balance: below so many credits; limit_share: so much of a member''s limit or a key''s budget used, '
  '0.8 for 80 %; overdraft: more than so much of the overdraft drawn; debt: more than so much owed beyond it.';

create table public.credit_alerts (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  kind public.credit_alert_kind not null,
  threshold public.unsigned_credit_amount not null,
  is_active boolean not null default true,
  last_fired_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint an_alert_is_there_once unique (workspace_id, kind, threshold),
  constraint a_share_is_above_0_and_at_most_1 check (kind <> 'limit_share' or threshold > 0 and threshold <= 1)
);
comment on table public.credit_alerts is
  'Lines that a workspace''s credits may cross. Each fires once a crossing, into notifications; '
  'a new workspace has none.';
comment on column public.credit_alerts.last_fired_at is 'For people to see; what fires does not depend on it.';

-- Not within a deletion, which has the wallets, nor for last_fired_at.
create trigger credit_alerts_lock_settings
  before insert or delete or update of kind, threshold, is_active on public.credit_alerts
  for each statement when (pg_trigger_depth() = 0) execute function private.lock_settings();

-- Notes in a wallet whether anything watches it.
create function private.refresh_has_alerts(wanted_workspace uuid) returns void
language plpgsql set search_path = '' as $$
begin
  perform from public.credit_wallets w where w.workspace_id = wanted_workspace for no key update;
  update public.credit_wallets w set has_alerts = not w.has_alerts
  where w.workspace_id = wanted_workspace and w.has_alerts <> (
    exists (select from public.credit_alerts a where a.workspace_id = wanted_workspace and a.is_active)
    or exists (select from public.auto_top_ups t where t.workspace_id = wanted_workspace and t.is_active)
  );
end;
$$;

-- Notes in wallets whether they have alerts, and keeps their number to what a debit can look at.
create function private.note_alerts() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  touched uuid[];
begin
  if tg_op = 'UPDATE' then -- last_fired_at is written by who may hold other locks than wallets
    touched := array(select distinct n.workspace_id from new_alerts n join old_alerts o on o.id = n.id
      where n.is_active <> o.is_active order by 1);
  else
    touched := array(select distinct n.workspace_id from new_alerts n order by 1);
  end if;
  for i in 1 .. cardinality(touched) loop -- wallets in id order
    perform private.refresh_has_alerts(touched[i]);
    if tg_op = 'INSERT' and 20 < (select count(*) from public.credit_alerts a where a.workspace_id = touched[i]) then
      perform private.raise_error('limit_reached', 'A workspace may have 20 alerts.');
    end if;
  end loop;
  return null;
end;
$$;
-- Notes in its wallet that an automatic top-up begins or ends.
create function private.note_top_up_rule() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.refresh_has_alerts(new.workspace_id);
  return null;
end;
$$;
create trigger auto_top_ups_note_rule after insert or update of is_active on public.auto_top_ups
  for each row execute function private.note_top_up_rule();

create trigger credit_alerts_note_new after insert on public.credit_alerts
  referencing new table as new_alerts for each statement execute function private.note_alerts();
create trigger credit_alerts_note_changed after update on public.credit_alerts
  referencing old table as old_alerts new table as new_alerts for each statement execute function private.note_alerts();
create trigger credit_alerts_note_gone after delete on public.credit_alerts
  referencing old table as new_alerts for each statement execute function private.note_alerts();

-- Tells that an alert's line was crossed.
create function private.fire_alert(
  alert public.credit_alerts, details jsonb, at timestamptz, person uuid default null
) returns void language plpgsql set search_path = '' as $$
begin
  perform private.notify(alert.workspace_id, alert.kind::text,
    jsonb_build_object('alert_id', alert.id, 'threshold', trim_scale(alert.threshold)) || details, at, person);
  -- Someone who is changing it waits for the wallet's lock, which is held here: it is passed over.
  update public.credit_alerts a set last_fired_at = fire_alert.at
  where a.id = (select n.id from public.credit_alerts n where n.id = alert.id for no key update skip locked);
end;
$$;

-- Whether a balance is on the far side of an alert's line.
create function private.is_beyond(alert public.credit_alerts, balance numeric, overdraft numeric) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return case alert.kind
    when 'low_balance' then balance < alert.threshold
    when 'overdraft' then least(-balance, overdraft) > alert.threshold
    when 'debt' then -balance - overdraft > alert.threshold
    else false end;
end;
$$;

-- Which share of a limit is used: none without a limit, all of a limit of nothing once anything is.
create function private.share_of(used numeric, most numeric) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  return case when most is null then 0 when most = 0 then (used > 0)::integer else used / most end;
end;
$$;

-- Fires the alerts that a step of one limit's share crossed; where the limit alone has changed, once a day unless
-- more is used.
create function private.fire_limit_alerts(
  wanted_workspace uuid, used_before numeric, most_before numeric, used_now numeric, most_now numeric, subject jsonb,
  person uuid, at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  share_before numeric := private.share_of(used_before, most_before);
  share_now numeric := private.share_of(used_now, most_now);
  alert public.credit_alerts;
begin
  for alert in
    select * from public.credit_alerts a
    where a.workspace_id = wanted_workspace and a.is_active and a.kind = 'limit_share'
      and share_before < a.threshold and share_now >= a.threshold
    order by a.threshold
  loop
    -- A limit that is lowered and raised in turns says the same again as long as no more is used.
    if used_now > used_before or not exists (
      select from public.notifications n
      where n.workspace_id = wanted_workspace and n.created_at > fire_limit_alerts.at - interval '24 hours'
        and n.kind = 'limit_share'
        and n.data @> (subject || jsonb_build_object('alert_id', alert.id)) and (n.data ->> 'used')::numeric >= used_now
    ) then
      perform private.fire_alert(alert, subject || jsonb_build_object('share', round(share_now, 4), 'used',
        trim_scale(used_now)),
        at, person);
    end if;
  end loop;
end;
$$;

-- Looks at a spender's limits when more is used of them, or a lower one is set that may be used up already.
create function private.watch_spending() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  is_key boolean := new.spender_kind = 'api_key';
  subject jsonb := jsonb_build_object(case when is_key then 'api_key_id' else 'user_id' end, new.spender_id);
  person uuid := new.spender_id;
  used_before numeric;
  used_now numeric;
begin
  -- Whoever is being deleted waits for this row: to wait for them, as a notification does, would be a deadlock.
  perform from public.credit_wallets c join public.workspaces w on w.id = c.workspace_id
  where c.workspace_id = new.workspace_id and c.has_alerts for key share of w skip locked;
  if not found then
    return null;
  end if;
  if is_key then
    select k.user_id into person from public.api_keys k where k.id = new.spender_id;
  end if;
  select u.id into person from public.users u where u.id = person for key share skip locked;
  -- Each limit by itself: one that is used up hides nothing of the other.
  perform private.fire_limit_alerts(new.workspace_id, old.credits_used, old.credit_limit, new.credits_used,
    new.credit_limit, subject || jsonb_build_object('limit', case when is_key then 'budget' else 'credit_limit' end),
    person, now());
  used_before := (private.window_at(coalesce(old.limit_period, 'month')::text, old.period_started_at,
    old.period_credits_used, now())).used;
  used_now := (private.window_at(coalesce(new.limit_period, 'month')::text, new.period_started_at,
    new.period_credits_used, now())).used;
  perform private.fire_limit_alerts(new.workspace_id, used_before, old.period_credit_limit, used_now,
    new.period_credit_limit,
    subject || jsonb_build_object('limit', case when is_key then 'period_budget' else 'period_credit_limit' end),
    person, now());
  return null;
end;
$$;
create trigger spending_limits_watch after update on public.spending_limits
  for each row when (new.credit_limit is not null or new.period_credit_limit is not null)
  execute function private.watch_spending();

-- Looks at the alerts of a wallet whose balance or overdraft has moved, then at its automatic top-up.
create function private.watch_wallet() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  alert public.credit_alerts;
begin
  for alert in
    select * from public.credit_alerts a where a.workspace_id = new.workspace_id and a.is_active
    order by a.kind, a.threshold
  loop
    if private.is_beyond(alert, new.credits_balance, new.overdraft_limit)
      and not private.is_beyond(alert, old.credits_balance, old.overdraft_limit) then
      perform private.fire_alert(alert, jsonb_build_object('balance', trim_scale(new.credits_balance)), now());
    end if;
  end loop;
  if new.credits_balance < old.credits_balance then
    perform private.request_top_up(new, now());
  end if;
  return null;
end;
$$;
-- The condition is one word, for each debit has Postgres prepare it anew.
create trigger credit_wallets_watch after update of credits_balance, overdraft_limit on public.credit_wallets
  for each row when (new.has_alerts) execute function private.watch_wallet();

alter table public.credit_alerts enable row level security;
create policy "owners and admins can read their workspace's alerts" on public.credit_alerts
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
create policy "owners and admins can add alerts" on public.credit_alerts
  for insert to authenticated
  with check (workspace_id = any (array(select private.my_managed_workspace_ids()))
    and (select private.is_account_active()));
create policy "owners and admins can change their workspace's alerts" on public.credit_alerts
  for update to authenticated
  using (workspace_id = any (array(select private.my_managed_workspace_ids())) and (select private.is_account_active()))
  with check (workspace_id = any (array(select private.my_managed_workspace_ids())));
create policy "owners and admins can remove their workspace's alerts" on public.credit_alerts
  for delete to authenticated
  using (workspace_id = any (array(select private.my_managed_workspace_ids()))
    and (select private.is_account_active()));
grant select, delete on public.credit_alerts to authenticated, service_role;
grant insert (workspace_id, kind, threshold, is_active), update (threshold, is_active) on public.credit_alerts
  to authenticated, service_role;

create trigger credit_alerts_audit_start_and_end after insert or delete on public.credit_alerts
  for each row execute function private.audit_change('id', 'workspace_id', 'kind threshold is_active');
-- Not last_fired_at: that is the alert's doing.
create trigger credit_alerts_audit_changes after update of kind, threshold, is_active on public.credit_alerts
  for each row when ((old.kind, old.threshold, old.is_active) is distinct from (new.kind, new.threshold, new.is_active))
  execute function private.audit_change('id', 'workspace_id', 'kind threshold is_active');
