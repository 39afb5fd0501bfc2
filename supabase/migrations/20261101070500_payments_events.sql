-- The inbox: an event is stored and applied in one transaction, once.

-- The one account that has confirmed an address, as its own or as a further one; null where matching by address is
-- off.
create function private.confirmed_account(address text) returns uuid language plpgsql stable set search_path = '' as $$
declare
  accounts uuid[];
begin
  if private.config('match_payments_by_email') = 'true' is not true then
    return null;
  end if;
  select array_agg(a.id) into accounts from (
    -- Auth's own index begins with the instance: everybody's, or none of who was imported without.
    select u.* from auth.users u
    where u.instance_id = '00000000-0000-0000-0000-000000000000' and lower(u.email) = lower(trim(address))
    union all
    select u.* from auth.users u where u.instance_id is null and lower(u.email) = lower(trim(address))
  ) a
  where a.email_confirmed_at is not null and a.deleted_at is null;
  if cardinality(accounts) = 1 then
    return accounts[1];
  elsif accounts is not null then
    return null; -- two accounts have confirmed it: which of them is for an admin to say
  end if;
  return (select e.user_id from public.user_email_aliases e
    where lower(e.email) = lower(trim(address)) and e.confirmed_at is not null);
end;
$$;

-- The workspace with this id, or null.
create function private.existing_workspace(wanted_workspace uuid) returns uuid
language plpgsql set search_path = '' as $$
begin
  if wanted_workspace is not null and not exists (select from public.workspaces w where w.id = wanted_workspace) then
    perform private.complete_account(wanted_workspace); -- one whose sign-up could not finish
  end if;
  return (select w.id from public.workspaces w where w.id = wanted_workspace);
end;
$$;

-- Whose event it is: whose its payments are, else metadata, else customer, else a confirmed address, else nobody's
-- yet.
create function private.owner_of_event(
  event public.payment_events, subjects private.payment_subjects
) returns private.payment_owner language plpgsql set search_path = '' as $$
declare
  owner private.payment_owner;
  reported jsonb := event.facts -> 'owner';
  by_address uuid;
begin
  -- Whose its subscriptions and payments were found to be stays so.
  select b.workspace_id, b.workspace_id is null, b.bound_by into owner.workspace_id, owner.is_gone, owner.evidence
  from (
    select s.workspace_id, s.bound_at, s.bound_by from public.user_subscriptions s
    where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions)
    union all
    select p.workspace_id, p.bound_at, p.bound_by from public.payments p
    where p.platform = subjects.platform and p.payment_id = any (subjects.payments)
  ) b
  where b.bound_at is not null
  order by b.workspace_id
  limit 1;
  if found then
    return owner;
  end if;
  owner.is_gone := false;
  -- What our own checkout wrote down, then who this customer was, then whose address it is.
  owner.workspace_id := coalesce(private.existing_workspace((reported ->> 'workspace_id')::uuid),
    private.existing_workspace((reported ->> 'user_id')::uuid));
  if owner.workspace_id is not null then
    owner.evidence := (case
      when reported ->> 'by' = 'reference' then 'reference'
      when reported ->> 'proof' = private.checkout_proof((reported ->> 'workspace_id')::uuid,
        (reported ->> 'user_id')::uuid) then 'checkout'
      else 'metadata' end)::public.payment_evidence;
    return owner;
  end if;
  by_address := private.existing_workspace(private.confirmed_account(
    private.known_of(event.platform, 'customer', event.customer_id) ->> 'email'));
  -- A customer proves no more than what bound it.
  select c.workspace_id, case when c.bound_by in ('email', 'reference') then c.bound_by else 'customer' end
  into owner.workspace_id, owner.evidence
  from public.payment_customers c
  where c.platform = event.platform and c.customer_id = event.customer_id and c.workspace_id is not null
    and not private.is_guest(c.customer_id);
  if owner.workspace_id <> by_address then
    owner.workspace_id := null; -- one address, two accounts: which of them is for an admin to say
  elsif owner.workspace_id is null and by_address is not null then
    owner.workspace_id := by_address;
    owner.evidence := 'email';
  end if;
  return owner;
end;
$$;

-- Subscriptions and payments that an event is about, by what is known now.
create function private.subjects_of_event(event public.payment_events) returns private.payment_subjects
language plpgsql stable set search_path = '' as $$
declare
  subjects private.payment_subjects;
begin
  subjects.platform := event.platform;
  subjects.payments := array(
    select event.payment_id where event.payment_id is not null
    union
    select r.payment_id from private.payment_reversals r
    where r.platform = event.platform and r.reversal_id = event.reversal_id
    union
    select p.payment_id from public.payments p
    where p.platform = event.platform
      and p.payment_id in (select jsonb_array_elements_text(coalesce(event.facts #> '{payment,references}', '[]')))
  );
  subjects.subscriptions := array(
    select event.subscription_id where event.subscription_id is not null
    union
    select p.subscription_id from public.payments p
    where p.platform = event.platform and p.payment_id = any (subjects.payments) and p.subscription_id is not null
  );
  subjects.touched := array(
    select (p.facts ->> 'start')::timestamptz
    from jsonb_array_elements(jsonb_build_array(event.facts -> 'period') || coalesce(event.facts -> 'more_periods',
      '[]'))
      p (facts)
    where p.facts <> 'null'
  ) || event.occurred_at;
  return subjects;
end;
$$;

-- Keeps other events of the same customer, subscription or payment waiting.
create function private.lock_subjects(event public.payment_events) returns void
language plpgsql set search_path = '' as $$
begin
  -- In one order, and before any wallet: two events of one customer are applied one after the other.
  perform pg_advisory_xact_lock(k.key)
  from (
    select distinct hashtextextended(event.platform || ':' || n.name, 0) as key
    from (
      values ('customer ' || event.customer_id), ('subscription ' || event.subscription_id),
        ('payment ' || event.payment_id)
      union all
      select 'payment ' || jsonb_array_elements_text(coalesce(event.facts #> '{payment,references}', '[]')
        || coalesce(event.facts #> '{reversal,references}', '[]'))
    ) n (name)
    where n.name is not null
    order by 1
  ) k;
end;
$$;

-- Writes a customer's row, and whose they are once that is known.
create function private.write_customer(event public.payment_events, owner private.payment_owner) returns void
language plpgsql set search_path = '' as $$
declare
  known jsonb := private.known_of(event.platform, 'customer', event.customer_id);
begin
  if event.customer_id is null then
    return;
  elsif owner.is_gone then
    known := '{}'; -- the account is gone, and name and address do not come back
  end if;
  insert into public.payment_customers as c (platform, customer_id, workspace_id, bound_by, email, name)
  values (event.platform, event.customer_id, owner.workspace_id, owner.evidence, trim(known ->> 'email'),
    known ->> 'name')
  on conflict (platform, customer_id) do update set
    -- Our own checkout stands above what bound it before, for the same workspace.
    bound_by = case when c.workspace_id is null or c.workspace_id = excluded.workspace_id
      and excluded.bound_by = 'checkout'
      then coalesce(excluded.bound_by, c.bound_by) else c.bound_by end,
    workspace_id = coalesce(c.workspace_id, excluded.workspace_id), email = excluded.email, name = excluded.name;
  update public.unmatched_payment_emails u set email = trim(known ->> 'email')
  where u.platform = event.platform and u.customer_id = event.customer_id and u.resolved_at is null;
end;
$$;

-- Writes what an event reports into the history of its subscription, once.
create function private.write_history(event public.payment_events) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.subscription_history (workspace_id, platform, subscription_id, event_type, event_id, occurred_at,
    plan,
    status, invoice_id, amount, currency, period_start, period_end, metadata)
  select s.workspace_id, s.platform, s.subscription_id, h.name, event.event_id, event.occurred_at,
    (private.product_of(event.platform, f.facts ->> 'product_id', f.facts ->> 'price_id')).plan,
    coalesce((event.facts #>> '{subscription,status}')::public.subscription_status, s.plan_status),
    coalesce(event.facts #>> '{payment,invoice_id}', event.facts #>> '{payment,id}'),
    coalesce((event.facts #>> '{reversal,amount}')::bigint, (event.facts #>> '{payment,amount}')::bigint),
    coalesce(event.facts #>> '{reversal,currency}', event.facts #>> '{payment,currency}'),
    coalesce(f.facts ->> 'start', f.facts ->> 'period_start')::timestamptz,
    coalesce(f.facts ->> 'end', f.facts ->> 'period_end')::timestamptz,
    jsonb_build_object('event', event.event_type)
  from jsonb_array_elements_text(coalesce(event.facts -> 'history', '[]')) h (name)
  cross join lateral (
    select private.with_product(event.platform, coalesce(event.facts -> 'subscription', '{}'))
      || private.with_product(event.platform, coalesce(event.facts -> 'period', '{}')) as facts
  ) f
  join public.user_subscriptions s on s.platform = event.platform and s.subscription_id = event.subscription_id
  on conflict (platform, event_id, event_type) do nothing;
end;
$$;

-- Notifies admins of what an event leaves for people to decide.
create function private.notify_admins_of_event(
  event public.payment_events, subjects private.payment_subjects, owner private.payment_owner
) returns void language plpgsql set search_path = '' as $$
begin
  if (event.facts #>> '{payment,status}' = 'succeeded' or event.facts ? 'period') and owner.workspace_id is null
    and not owner.is_gone then
    insert into public.unmatched_payment_emails as u (platform, customer_id, email, event_id)
    select event.platform, event.customer_id, c.email, event.event_id from public.payment_customers c
    where c.platform = event.platform and c.customer_id = event.customer_id
    on conflict (platform, customer_id) do update
    -- Another payment of the same customer may be nobody's again.
    set resolved_at = null, workspace_id = null;
    perform private.notify_admins('payment_unmatched', format('%s %s', event.platform, event.customer_id),
      jsonb_build_object('event_id', event.event_id));
  end if;
  insert into public.admin_notifications (kind, subject, data)
  select 'product_unknown', format('%s %s', p.platform, p.payment_id), '{}'::jsonb
  from public.payments p
  where p.platform = subjects.platform and p.payment_id = any (subjects.payments) and p.kind = 'purchase'
    and p.status = 'succeeded' and p.payment_product_id is null
  union all
  select 'product_unknown', format('%s %s', s.platform, s.subscription_id), '{}'
  from public.user_subscriptions s
  where s.platform = subjects.platform and s.subscription_id = any (subjects.subscriptions) and s.plan_type is null
    and private.known_of(s.platform, 'subscription', s.subscription_id) ? 'product_id'
  union all
  select 'dispute_opened', format('%s %s', event.platform, event.reversal_id),
    jsonb_build_object('workspace_id', owner.workspace_id, 'platform', event.platform,
      'dispute_id', event.reversal_id, 'payment_ids', subjects.payments,
      'amount', event.facts #> '{reversal,amount}', 'currency', event.facts #> '{reversal,currency}')
  where event.facts #>> '{reversal,kind}' = 'dispute' and event.facts #>> '{reversal,status}' = 'open'
  on conflict (kind, subject) do nothing;
end;
$$;

-- Keeps events of a customer waiting.
create function private.lock_customer(of_platform public.payment_platform, of_customer text) returns void
language sql set search_path = ''
as $$ select pg_advisory_xact_lock(hashtextextended(of_platform || ':customer ' || of_customer, 0)) $$;

-- Gives a workspace everything that a customer paid and that is nobody's yet, while no event of theirs is applied.
create function private.bind_customer(
  of_platform public.payment_platform, of_customer text, wanted_workspace uuid, evidence public.payment_evidence,
  at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  subjects private.payment_subjects;
  owner private.payment_owner :=
    (wanted_workspace, (select u.id from public.users u where u.id = wanted_workspace), evidence, at, false);
begin
  perform private.lock_customer(of_platform, of_customer);
  perform private.lock_wallet(wanted_workspace, at);
  subjects.platform := of_platform;
  subjects.subscriptions := array(select s.subscription_id from public.user_subscriptions s
    where s.platform = of_platform and s.customer_id = of_customer and s.bound_at is null);
  subjects.payments := array(select p.payment_id from public.payments p
    where p.platform = of_platform and p.customer_id = of_customer and p.bound_at is null);
  if subjects.subscriptions <> '{}' or subjects.payments <> '{}' then
    perform private.project_subjects(subjects, owner);
    perform private.settle_subjects(subjects, at);
  end if;
  update public.payment_customers c set workspace_id = wanted_workspace, bound_by = evidence
  where c.platform = of_platform and c.customer_id = of_customer and c.workspace_id is null;
  update public.unmatched_payment_emails e set resolved_at = bind_customer.at, workspace_id = wanted_workspace
  where e.platform = of_platform and e.customer_id = of_customer and e.resolved_at is null;
end;
$$;

-- Applies an event in a subtransaction, once: doing it again changes nothing. What no other try can mend is kept
-- with its error.
create function private.apply_payment_event(
  event public.payment_events, problem text, at timestamptz
) returns public.payment_events language plpgsql set search_path = '' as $$
declare
  subjects private.payment_subjects;
  owner private.payment_owner;
begin
  event.state := (case when problem is not null then 'failed' when event.facts is null then 'ignored' else 'applied'
    end)::public.payment_event_state;
  event.error_code := case when problem is not null then 'invalid_payload' end;
  event.error_message := left(problem, 1000);
  event.attempts := event.attempts + 1;
  if event.state = 'applied' then
    begin
      perform private.lock_subjects(event);
      -- From here on its facts count.
      update public.payment_events e set state = 'applied', applied_at = coalesce(e.applied_at, apply_payment_event.at),
        attempts = event.attempts, error_code = null, error_message = null
      where e.id = event.id;
      insert into private.payment_references (platform, reference, subject, subject_id)
      select event.platform, r.reference, s.subject, s.subject_id
      from (values ('payment'::private.payment_subject, event.payment_id, event.facts #> '{payment,references}',
        event.payment_id),
        ('reversal', event.reversal_id, event.facts #> '{reversal,references}', event.facts #>> '{reversal,reference}')
      ) s (subject, subject_id, others, reference)
      cross join lateral (select s.reference union select jsonb_array_elements_text(coalesce(s.others,
        '[]'))) r (reference)
      where s.subject_id is not null and r.reference is not null
      on conflict do nothing;
      subjects := private.subjects_of_event(event);
      owner := private.owner_of_event(event, subjects);
      if owner.workspace_id is null then
        owner.evidence := null; -- of one that is gone
      else
        perform from public.credit_wallets w where w.workspace_id = owner.workspace_id for no key update;
        if not found then
          -- Another try finds it gone.
          raise serialization_failure using message = 'the workspace was deleted meanwhile';
        end if;
        owner.bound_at := at;
        -- Who bought is who the metadata names, else whose own workspace it is.
        owner.user_id := coalesce(
          (select u.id from public.users u where u.id = (event.facts #>> '{owner,user_id}')::uuid),
          (select u.id from public.users u where u.id = owner.workspace_id));
      end if;
      perform private.write_customer(event, owner);
      perform private.project_subjects(subjects, owner);
      perform private.write_history(event);
      perform private.settle_subjects(subjects, at);
      if event.customer_id is null or owner.is_gone then
        -- Whose event it was, also where it does not name the customer; and nothing personal of an account that is
        -- gone.
        update public.payment_events e set
          customer_id = coalesce(e.customer_id, (
            select p.customer_id from public.payments p
            where p.platform = e.platform and p.payment_id = any (subjects.payments)
              and p.customer_id is not null limit 1)),
          raw_body = case when not owner.is_gone then e.raw_body end,
          facts = case when owner.is_gone then e.facts - 'customer' - 'owner' else e.facts end
        where e.id = event.id;
      end if;
      perform private.notify_admins_of_event(event, subjects, owner);
      if owner.evidence = 'email' then
        perform private.bind_customer(event.platform, event.customer_id, owner.workspace_id, owner.evidence, at);
      end if;
      return event;
    exception
      when transaction_rollback or lock_not_available or insufficient_resources or operator_intervention then
        raise; -- another try can mend it: nothing is kept, and the provider is asked to deliver it again
      when others then
        event.state := 'failed';
        event.error_code := sqlstate;
        event.error_message := left(sqlerrm, 1000);
    end;
  end if;
  if event.state = 'failed' then
    perform private.notify_admins('payment_event_failed', format('%s %s', event.platform, event.event_id),
      jsonb_build_object('id', event.id, 'error', event.error_message));
  end if;
  update public.payment_events e
  set state = event.state, attempts = event.attempts, error_code = event.error_code, error_message = event.error_message
  where e.id = event.id;
  return event;
end;
$$;

create function public.receive_payment_event(
  platform public.payment_platform,
  event_id text,
  event_type text,
  occurred_at timestamptz,
  raw_body text,
  facts jsonb default null,
  problem text default null,
  at timestamptz default clock_timestamp(),
  mode text default null,
  account text default null
) returns jsonb
-- Nearly every statement below is a look-up by keys: a plan for every event costs more than it saves.
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  event public.payment_events;
  own_mode text := nullif(lower(trim(private.config('payment_mode') #>> '{}')), '');
  own_account text := coalesce(trim(private.config('stripe_account') #>> '{}'), '');
  -- Who pays without an account at the platform is known by the e-mail address, or by the payment alone.
  customer text := coalesce(facts #>> '{customer,id}', 'email:' || lower(trim(facts #>> '{customer,email}')),
    case when facts #>> '{payment,status}' = 'succeeded' then 'payment:' || (facts #>> '{payment,id}') end);
  -- Why it is none of this project's money; null where it is.
  foreign_reason text := case
    when mode <> own_mode then format('It is of %s mode, and payment_mode is %s.', mode, own_mode)
    when account <> own_account then format('It is of account %s, which stripe_account does not name.', account)
  end;
begin
  perform private.require_valid(at);
  insert into public.payment_events (platform, event_id, event_type, occurred_at, raw_body, facts, customer_id)
  values (receive_payment_event.platform, receive_payment_event.event_id, receive_payment_event.event_type,
    -- An event from the future would outrank every later one.
    case when isfinite(receive_payment_event.occurred_at) and receive_payment_event.occurred_at
        <= at + make_interval(mins => private.config_numeric('max_clock_skew_minutes', 5)::integer)
      then receive_payment_event.occurred_at else at end,
    receive_payment_event.raw_body, receive_payment_event.facts,
    customer)
  on conflict on constraint an_event_is_kept_once do nothing;
  select * into event from public.payment_events e
  where e.platform = receive_payment_event.platform and e.event_id = receive_payment_event.event_id
  for update;
  if event.state in ('applied', 'ignored') then
    return jsonb_build_object('id', event.id, 'state', event.state, 'duplicate', true);
  end if;
  if foreign_reason is not null then
    update public.payment_events e
    set state = 'ignored', attempts = e.attempts + 1, error_code = 'foreign_event', error_message = foreign_reason
    where e.id = event.id;
    perform private.notify_admins('payment_event_foreign', concat_ws(' ', event.platform, coalesce(account, mode)),
      jsonb_build_object('id', event.id, 'error', foreign_reason));
    return jsonb_build_object('id', event.id, 'state', 'ignored', 'duplicate', false);
  end if;
  if event.attempts > 0 then
    -- Read again: what could not be read before may be now.
    update public.payment_events e
    set facts = receive_payment_event.facts, customer_id = customer
    where e.id = event.id returning * into event;
  end if;
  event := private.apply_payment_event(event, problem, at);
  return jsonb_build_object('id', event.id, 'state', event.state, 'duplicate', false);
end;
$$;
comment on function public.receive_payment_event is
  'Stores an event of a payment platform and applies it: once, however often it is delivered. occurred_at: the '
  'platform''s time; now where it has none or lies in the future; facts: what it reports, null where nothing follows; '
  'problem: why it could not be read; mode (live or test) and account: as the platform reports them, see settings '
  'payment_mode and stripe_account.';
grant execute on function public.receive_payment_event to service_role, basemeter_functions;
