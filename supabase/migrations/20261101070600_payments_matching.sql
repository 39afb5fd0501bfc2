-- What people settle: payments whose owner was not known, disputes, events that could not be applied; and what becomes
-- of payments when an account goes.

-- Gives a workspace what an unmatched customer paid.
create function private.resolve_unmatched_payment(unmatched_id uuid, wanted_workspace uuid, at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare
  unmatched public.unmatched_payment_emails;
begin
  perform private.require_platform_admin();
  perform private.require_valid(at);
  select * into unmatched from public.unmatched_payment_emails e where e.id = unmatched_id;
  if found then
    -- As events do it: the customer before any row of theirs, which is read as it is then.
    perform private.lock_customer(unmatched.platform, unmatched.customer_id);
    select * into unmatched from public.unmatched_payment_emails e where e.id = unmatched_id;
  end if;
  if not found then
    perform private.raise_error('not_found',
      format('There is no unmatched payment %s.', coalesce(unmatched_id::text, 'null')));
  end if;
  if unmatched.resolved_at is not null and unmatched.workspace_id is not distinct from wanted_workspace then
    return;
  elsif unmatched.resolved_at is not null then
    perform private.raise_error('invalid_state', 'This payment is matched already.');
  end if;
  if private.existing_workspace(wanted_workspace) is null then
    perform private.raise_error('not_found', format('There is no workspace %s.',
      coalesce(wanted_workspace::text, 'null')));
  end if;
  perform private.bind_customer(unmatched.platform, unmatched.customer_id, wanted_workspace, 'admin', at);
  perform private.audit('resolve_unmatched_payment', 'unmatched_payment_emails', unmatched_id::text,
    details => jsonb_build_object('workspace_id', wanted_workspace));
end;
$$;
grant execute on function private.resolve_unmatched_payment to authenticated, service_role;

-- Gives who confirms an address what was paid with it.
create function private.claim_payments() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.existing_workspace(private.confirmed_account(new.email));
begin
  if account_id is null then
    return null;
  end if;
  -- All customers before the wallet that they share, and read again under their locks.
  perform private.lock_customer(e.platform, e.customer_id) from (
    select u.platform, u.customer_id from public.unmatched_payment_emails u
    where lower(u.email) = lower(trim(new.email)) and u.resolved_at is null
    order by u.platform, u.customer_id
  ) e;
  perform private.bind_customer(e.platform, e.customer_id, account_id, 'email', clock_timestamp()) from (
    select u.platform, u.customer_id from public.unmatched_payment_emails u
    where lower(u.email) = lower(trim(new.email)) and u.resolved_at is null
    order by u.platform, u.customer_id
  ) e;
  return null;
exception when others then
  -- Confirming an address never fails for a reason of ours; the scheduled work comes by again.
  raise warning 'payments of account % could not be claimed: % (%)', new.id, sqlerrm, sqlstate;
  return null;
end;
$$;
create or replace trigger users_match_payments_when_made after insert on auth.users
  for each row when (new.email_confirmed_at is not null) execute function private.claim_payments();
create or replace trigger users_match_payments_when_confirmed after update of email, email_confirmed_at on auth.users
  for each row when (new.email_confirmed_at is not null
    and (old.email, old.email_confirmed_at) is distinct from (new.email, new.email_confirmed_at))
  execute function private.claim_payments();
create trigger user_email_aliases_match_payments after insert or update of confirmed_at on public.user_email_aliases
  for each row when (new.confirmed_at is not null) execute function private.claim_payments();

-- Matches one payment whose payer has confirmed the address by now; false when there is none.
create function private.match_next_payment(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  unmatched public.unmatched_payment_emails;
begin
  for unmatched in
    select * from public.unmatched_payment_emails e
    where e.resolved_at is null and private.existing_workspace(private.confirmed_account(e.email)) is not null
  loop
    -- One whose events are being applied is left for the next time.
    if pg_try_advisory_xact_lock(hashtextextended(unmatched.platform || ':customer ' || unmatched.customer_id, 0)) then
      perform private.bind_customer(unmatched.platform, unmatched.customer_id,
        private.confirmed_account(unmatched.email), 'email', at);
      return exists (select from public.unmatched_payment_emails e where e.id = unmatched.id
        and e.resolved_at is not null);
    end if;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('match_next_payment', 60);

-- An admin's decision on a dispute.
create function private.resolve_dispute(
  of_platform public.payment_platform, dispute_id text, outcome text, at timestamptz
) returns void language plpgsql security definer set search_path = '' as $$
declare
  event public.payment_events;
  dispute jsonb := private.known_of(of_platform, 'reversal', dispute_id);
begin
  perform private.require_platform_admin();
  perform private.require_valid(at);
  if outcome in ('won', 'lost') is not true then
    perform private.raise_error('invalid_request', 'outcome must be won or lost.');
  end if;
  if dispute ->> 'kind' is distinct from 'dispute' then
    perform private.raise_error('not_found', format('There is no dispute %s.', to_json(dispute_id)));
  end if;
  insert into public.payment_events (platform, event_id, event_type, occurred_at, facts)
  -- Each decision counts, also one made before; and after whatever the platform reported, which does not stand above
  -- it.
  values (of_platform, format('resolved:%s:%s', dispute_id, gen_random_uuid()), 'dispute.resolved',
    greatest(at, (dispute ->> 'state_occurred_at')::timestamptz + interval '1 microsecond'),
    jsonb_build_object('rank', 100, 'reversal', jsonb_build_object('id', dispute_id, 'status',
      case outcome when 'won' then 'won' else 'settled' end)))
  returning * into event;
  event := private.apply_payment_event(event, null, at);
  if event.state = 'failed' then
    perform private.raise_error('invalid_state', format('It could not be applied: %s', event.error_message));
  end if;
  perform private.audit('resolve_dispute', 'payments', dispute_id,
    details => jsonb_build_object('platform', of_platform, 'outcome', outcome));
end;
$$;
grant execute on function private.resolve_dispute to authenticated, service_role;

-- Applies a stored event again.
create function private.replay_payment_event(wanted_event bigint, at timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  event public.payment_events;
begin
  perform private.require_platform_admin();
  perform private.require_valid(at);
  select * into event from public.payment_events e where e.id = wanted_event for update;
  if not found then
    perform private.raise_error('not_found',
      format('There is no payment event %s.', coalesce(wanted_event::text, 'null')));
  end if;
  event := private.apply_payment_event(event, case when event.error_code = 'invalid_payload'
    then event.error_message end, at);
  perform private.audit('replay_payment_event', 'payment_events', wanted_event::text,
    details => jsonb_build_object('state', event.state));
  return jsonb_build_object('id', event.id, 'state', event.state, 'error', event.error_message);
end;
$$;
grant execute on function private.replay_payment_event to authenticated, service_role;

-- Notifies admins of a refund or dispute of which no payment is known an hour later; false when there is none.
create function private.report_next_lone_reversal(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  insert into public.admin_notifications (kind, subject)
  select 'reversal_without_payment', format('%s %s', e.platform, e.reversal_id)
  from public.payment_events e
  where e.reversal_id is not null and e.applied_at is not null
    and e.occurred_at between at - interval '720 hours' and at - interval '1 hour'
    and not exists (
      select from private.payment_reversals r where r.platform = e.platform and r.reversal_id = e.reversal_id)
    and not exists (
      select from public.admin_notifications n
      where n.kind = 'reversal_without_payment' and n.subject = format('%s %s', e.platform, e.reversal_id)
    )
  limit 1
  on conflict (kind, subject) do nothing;
  return found;
end;
$$;
insert into private.due_work (piece, place) values ('report_next_lone_reversal', 90);

-- The end of an account -----------------------------------------------------------------------------------------------

-- When a workspace goes: its subscriptions are to be cancelled, its payments stay without the person.
create function private.leave_payments_without_workspace() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- Nobody is left to use them: they are cancelled at the platform.
  insert into private.payment_tasks (platform, task, subscription_id)
  select s.platform, 'cancel_subscription', s.subscription_id
  from public.user_subscriptions s
  where s.workspace_id = old.id and s.plan_status not in ('canceled', 'expired')
  on conflict (platform, task, subscription_id) do nothing;
  delete from private.payment_tasks t where t.workspace_id = old.id and t.state = 'requested';
  update private.payment_tasks t set state = 'voiding' where t.workspace_id = old.id and t.state = 'tried';
  update public.user_subscriptions s set is_live = false where s.workspace_id = old.id and s.is_live;
  -- The payment is kept; name and address go with the account.
  update public.payment_events e set raw_body = null, facts = e.facts - 'customer' - 'owner'
  from public.payment_customers c
  where c.workspace_id = old.id and e.platform = c.platform and e.customer_id = c.customer_id;
  delete from public.unmatched_payment_emails e using public.payment_customers c
  where c.workspace_id = old.id and e.platform = c.platform and e.customer_id = c.customer_id;
  update public.payment_customers c set email = null, name = null where c.workspace_id = old.id;
  return old;
end;
$$;
create trigger workspaces_leave_payments before delete on public.workspaces
  for each row execute function private.leave_payments_without_workspace();

create function public.resolve_unmatched_payment(
  unmatched_id uuid, workspace_id uuid, at timestamptz default clock_timestamp()
) returns void
language sql set search_path = '' as $$ select private.resolve_unmatched_payment(unmatched_id, workspace_id, at) $$;
comment on function public.resolve_unmatched_payment is
  'Gives a workspace what an unmatched customer paid, as if it had been matched at once. For platform admins.';
grant execute on function public.resolve_unmatched_payment to authenticated, service_role;

create function public.resolve_dispute(
  platform public.payment_platform, dispute_id text, outcome text, at timestamptz default clock_timestamp()
) returns void
language sql set search_path = '' as $$ select private.resolve_dispute(platform, dispute_id, outcome, at) $$;
comment on function public.resolve_dispute is
  'Ends a dispute: won gives the credits back; lost keeps them. Either way its workspace may go on. '
  'For platform admins, where the platform itself does not report it (Creem).';
grant execute on function public.resolve_dispute to authenticated, service_role;

create type public.replayed_event as (id bigint, state public.payment_event_state, error text);
comment on type public.replayed_event is 'What became of a payment event.';

create function public.replay_payment_event(event_id bigint, at timestamptz default clock_timestamp())
returns public.replayed_event
language sql set search_path = ''
as $$ select jsonb_populate_record(null::public.replayed_event, private.replay_payment_event(event_id, at)) $$;
comment on function public.replay_payment_event is
  'Applies a stored event (payment_events.id) again, say after its product was added: { id, state, error }. '
  'For platform admins.';
grant execute on function public.replay_payment_event to authenticated, service_role;
