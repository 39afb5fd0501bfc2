-- Who changed what: members, keys, plans, prices, settings, limits, subscriptions. One trigger function writes it;
-- functions add what no row shows. Only what people and their servers decide is here: what happens all the time
-- (debits, calls, counters) has records of its own, and its statements fire nothing of this.

create table public.audit_logs (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default clock_timestamp(),
  -- Plain, all three: a foreign key would have to empty them, and the row of a deletion is of what is gone by then.
  actor_id uuid,
  workspace_id uuid,
  resource_id text,
  actor_role text not null,
  actor_email text,
  action text not null,
  resource_type text not null,
  old_values jsonb,
  new_values jsonb,
  details jsonb,
  ip_address inet,
  user_agent text,
  request_id text
);
comment on table public.audit_logs is
  'Who changed what, append-only. What a row says goes with its workspace, who it names with the account; '
  'that it happened stays.';
comment on column public.audit_logs.actor_id is
  'The account that did it; null where nobody was signed in, as with the service role.';
comment on column public.audit_logs.workspace_id is
  'Whose owners and admins may read it; null: it is for platform admins.';
comment on column public.audit_logs.resource_id is
  'Which row, by its id; of a membership the member, of a plan''s feature both, as in "free message".';
comment on column public.audit_logs.actor_role is 'Database role: authenticated, service_role, or who was connected.';
comment on column public.audit_logs.actor_email is 'Their address at the time.';
comment on column public.audit_logs.action is 'insert, update or delete of a row; else the function that did it.';
comment on column public.audit_logs.resource_type is 'The table.';
comment on column public.audit_logs.old_values is
  'Of an update the changed columns, of a delete all; never secrets or addresses.';
comment on column public.audit_logs.new_values is
  'Of an update the changed columns, of an insert all; never secrets or addresses.';
comment on column public.audit_logs.details is 'What a function tells besides, such as the reason.';
comment on column public.audit_logs.ip_address is
  'cf-connecting-ip, else the first of x-forwarded-for: as good as the gateway that writes them, '
  'for a client can send both.';
comment on column public.audit_logs.request_id is 'The header x-request-id, to find the request in other logs by.';
create index audit_logs_workspace_id_idx on public.audit_logs (workspace_id, id);
create index audit_logs_actor_id_idx on public.audit_logs (actor_id, id);
create index audit_logs_resource_id_idx on public.audit_logs (resource_id, id);

-- Columns that the audit log never shows, of whatever table.
create function private.is_unaudited_column(column_name text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  -- Addresses: the log would outlive them. A row's id leads to them as long as they are there.
  return column_name in ('updated_at', 'email', 'phone', 'ip_address', 'user_agent', 'facts', 'raw_body')
    or column_name ~ '(^|_)(hash|token|secret|password|body)$';
end;
$$;

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('changes_per_day', '1000', 'integer', 10, 1000000, false,
    'Changes of settings (of keys, alerts, limits, roles and the like) that a person may make in 24 hours: '
    'the log keeps each.');

-- Refuses a change to who has made as many in 24 hours as a person may: what is logged stays for ever.
create function private.require_room_for_change(person uuid) returns void language plpgsql set search_path = '' as $$
declare
  allowed integer := private.config_numeric('changes_per_day', 1000)::integer;
  first_of_them timestamptz := ( -- of the newest, if there are as many
    select a.occurred_at from public.audit_logs a where a.actor_id = person order by a.id desc offset allowed - 1
      limit 1);
begin
  if first_of_them is null or first_of_them <= clock_timestamp() - interval '24 hours' then
    return;
  elsif private.is_platform_admin() then
    return;
  end if;
  perform private.raise_error('limit_reached', format('A person makes at most %s changes of settings a day.', allowed),
    retry_after => ceil(extract(epoch from first_of_them + interval '24 hours' - clock_timestamp()))::integer);
end;
$$;

-- What an audit row keeps of { name: value }: of a value above 1,000 bytes its beginning, above 2,000 bytes in all
-- the names.
create function private.cut_values(named jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
declare
  cut jsonb := (
    select jsonb_object_agg(n.key, case when octet_length(n.value::text) <= 1000 then n.value
      else to_jsonb(left(n.value #>> '{}', 200) || '… (cut)') end)
    from jsonb_each(named) n
  );
begin
  if coalesce(octet_length(cut::text), 0) <= 2000 then
    return coalesce(cut, named);
  end if;
  -- So many, or so long, that names have to do.
  return jsonb_build_object('cut', left((select string_agg(k, ' ' order by k) from jsonb_object_keys(named) k), 500));
end;
$$;

-- Who is at work, and over which request: the part of an audit row that says so.
create function private.audit_actor() returns public.audit_logs language plpgsql set search_path = '' as $$
declare
  entry public.audit_logs;
begin
  -- Functions act for the service, whichever way they come.
  entry.actor_role := case when session_user = 'basemeter_functions' then 'service_role'
    else coalesce(nullif(current_setting('role', true), 'none'), session_user) end;
  -- A token that makes no sense leaves its field empty: the change that is audited never fails for it.
  begin
    entry.actor_id := auth.uid();
  exception when others then
    entry.actor_id := null;
  end;
  -- Locked, so that the account's deletion comes after this as a whole and finds the row; where it came first, nothing
  -- of them is kept. Waiting for it could deadlock with what it waits for.
  if entry.actor_id is not null then
    select u.email into entry.actor_email from public.users u where u.id = entry.actor_id for key share skip locked;
    if not found then
      return entry;
    end if;
  end if;
  select o.ip_address, o.user_agent, o.request_id into entry.ip_address, entry.user_agent, entry.request_id
  from private.request_origin() o;
  return entry;
end;
$$;

-- Writes an audit row. Without a workspace it is for platform admins alone.
create function private.audit(
  action text, resource_type text, resource_id text, wanted_workspace uuid default null, details jsonb default null,
  old_values jsonb default null, new_values jsonb default null
) returns void language plpgsql set search_path = '' as $$
declare
  actor public.audit_logs := private.audit_actor();
begin
  -- What ends something for good is never refused, and happens once to what was made.
  if actor.actor_id is not null and audit.action in ('insert', 'update')
    and audit.new_values -> 'revoked_at' is null then
    perform private.require_room_for_change(actor.actor_id);
  end if;
  -- A customer is told that the platform did it, and not from where.
  if wanted_workspace is not null and actor.actor_id is not null
    and private.role_in(wanted_workspace, actor.actor_id) is null
    and private.is_platform_admin() then
    actor.actor_email := null;
    actor.ip_address := null;
    actor.user_agent := null;
  end if;
  insert into public.audit_logs (actor_id, actor_role, actor_email, action, resource_type, resource_id, workspace_id,
    old_values, new_values, details, ip_address, user_agent, request_id)
  values (actor.actor_id, actor.actor_role, actor.actor_email, audit.action, audit.resource_type, audit.resource_id,
    wanted_workspace, private.cut_values(audit.old_values), private.cut_values(audit.new_values),
      private.cut_values(audit.details),
    actor.ip_address, actor.user_agent, actor.request_id);
end;
$$;

-- Writes an audit row of what a server does for a person whom it has signed in.
create function private.audit_for(
  person uuid, action text, resource_type text, resource_id text, wanted_workspace uuid, details jsonb
) returns void language plpgsql set search_path = '' as $$
declare
  actor public.audit_logs := private.audit_actor();
begin
  perform private.require_room_for_change(person);
  -- as in audit_actor
  select u.email into actor.actor_email from public.users u where u.id = person for key share skip locked;
  -- Address and browser are those of the server that asks for them.
  insert into public.audit_logs (actor_id, actor_role, actor_email, action, resource_type, resource_id, workspace_id,
    details, request_id)
  values (person, actor.actor_role, actor.actor_email, audit_for.action, audit_for.resource_type, audit_for.resource_id,
    wanted_workspace, private.cut_values(audit_for.details), actor.request_id);
end;
$$;

-- Audits the change of a row. Arguments: its id's column (or several, with spaces), its workspace's column (or
-- empty), and which columns to show (default: all).
create function private.audit_change() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  id_columns text[] := string_to_array(tg_argv[0], ' ');
  workspace_column text := tg_argv[1]; -- '' where it is nobody's
  shown text[] := string_to_array(tg_argv[2], ' '); -- null: all
  row_before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  row_after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  id text := (
    select string_agg(coalesce(row_after, row_before) ->> c.name, ' ' order by c.place)
    from unnest(id_columns) with ordinality c (name, place)
  );
  of_workspace uuid := (coalesce(row_after, row_before) ->> workspace_column)::uuid;
  old_values jsonb;
  new_values jsonb;
begin
  if tg_op <> 'INSERT' and tg_table_name <> 'workspaces' and of_workspace is not null
    and not exists (select from public.workspaces w where w.id = of_workspace) then
    return null; -- it goes with its workspace, whose deletion is told once
  end if;
  select jsonb_object_agg(k.key, row_before -> k.key), jsonb_object_agg(k.key, row_after -> k.key)
    into old_values, new_values
  from jsonb_object_keys(coalesce(row_after, row_before)) k (key)
  where not private.is_unaudited_column(k.key) and (shown is null or k.key = any (shown))
    and (tg_op <> 'UPDATE' or row_before -> k.key is distinct from row_after -> k.key);
  if tg_op = 'UPDATE' and new_values is null then
    return null;
  end if;
  perform private.audit(lower(tg_op), tg_table_name, id, of_workspace, null,
    case tg_op when 'UPDATE' then old_values when 'DELETE' then jsonb_strip_nulls(old_values) end,
    case tg_op when 'UPDATE' then new_values when 'INSERT' then jsonb_strip_nulls(new_values) end);
  return null;
end;
$$;

-- The personal workspace of everyone who signs up is no news.
create trigger workspaces_audit_start after insert on public.workspaces
  for each row when (new.personal_user_id is null)
  execute function private.audit_change('id', 'id');
create trigger workspaces_audit_changes after update of name, slug, ai_log_content on public.workspaces
  for each row execute function private.audit_change('id', 'id', 'name slug ai_log_content');
create trigger workspaces_audit_end after delete on public.workspaces
  for each row execute function private.audit_change('id', 'id');
create trigger workspace_members_audit_start after insert on public.workspace_members
  for each row when (new.workspace_id <> new.user_id)
  execute function private.audit_change('user_id', 'workspace_id', 'role');
create trigger workspace_members_audit_changes after update of role on public.workspace_members
  for each row when (old.role is distinct from new.role)
  execute function private.audit_change('user_id', 'workspace_id', 'role');
create trigger workspace_members_audit_end after delete on public.workspace_members
  for each row execute function private.audit_change('user_id', 'workspace_id', 'role');
-- Not what is used: every call of a member counts there. The row comes and goes with the membership.
create trigger spending_limits_audit_limits
  after update of credit_limit, period_credit_limit, limit_period on public.spending_limits
  for each row when (new.spender_kind = 'member' and (old.credit_limit, old.period_credit_limit, old.limit_period)
    is distinct from (new.credit_limit, new.period_credit_limit, new.limit_period))
  execute function private.audit_change('spender_id', 'workspace_id', 'credit_limit period_credit_limit limit_period');

-- Not what a call writes: its counters and last_used_at. user_id is listed because the end of a person ends the key.
create trigger api_keys_audit_start_and_end after insert or delete on public.api_keys
  for each row execute function private.audit_change('id', 'workspace_id',
    'user_id name allowed_models allowed_scenes requests_per_minute budget period_budget budget_period expires_at');
create trigger api_keys_audit_changes
  after update of user_id, name, prefix, allowed_models, allowed_scenes, requests_per_minute, budget, period_budget,
    budget_period, expires_at, revoked_at
  on public.api_keys
  for each row when (old.prefix <> '') -- else it is being made
  execute function private.audit_change('id', 'workspace_id',
    'user_id name prefix allowed_models allowed_scenes requests_per_minute budget period_budget budget_period '
    'expires_at revoked_at');
create trigger credit_wallets_audit_limits after update of overdraft_limit, frozen_at on public.credit_wallets
  for each row when ((old.overdraft_limit, old.frozen_at) is distinct from (new.overdraft_limit, new.frozen_at))
  execute function private.audit_change('workspace_id', 'workspace_id', 'overdraft_limit frozen_at');

create trigger users_audit_rights after update of role, is_active on public.users
  for each row when ((old.role, old.is_active) is distinct from (new.role, new.is_active))
  execute function private.audit_change('id', 'id', 'role is_active');

create trigger plans_audit_changes after insert or update or delete on public.plans
  for each row execute function private.audit_change('plan', '');
create trigger ai_providers_audit_changes after insert or update or delete on public.ai_providers
  for each row execute function private.audit_change('provider', '');
create trigger ai_models_audit_changes after insert or update or delete on public.ai_models
  for each row execute function private.audit_change('model', '');
create trigger ai_model_fallbacks_audit_changes after insert or update or delete on public.ai_model_fallbacks
  for each row execute function private.audit_change('model position', '');
create trigger ai_model_prices_audit_changes
  after insert or update of model, effective_from, effective_to, source or delete on public.ai_model_prices
  for each row execute function private.audit_change('id', '');
create trigger video_models_audit_changes after insert or update or delete on public.video_models
  for each row execute function private.audit_change('model', '');
create trigger ai_price_components_audit_changes after insert or update or delete on public.ai_price_components
  for each row execute function private.audit_change('id', '');
create trigger system_config_audit_changes after insert or update or delete on public.system_config
  for each row execute function private.audit_change('config_key', '');
create trigger features_audit_changes after insert or update or delete on public.features
  for each row execute function private.audit_change('feature_code', '');
create trigger plan_features_audit_changes after insert or update or delete on public.plan_features
  for each row execute function private.audit_change('plan feature_code', '');
create trigger workspace_features_audit_changes after insert or update or delete on public.workspace_features
  for each row execute function private.audit_change('feature_code', 'workspace_id');

-- Append-only, also for the service role and for whoever connects as the owner; and yet what goes leaves no words
-- behind.
-- Refuses every change of the audit log but the words of a workspace that is gone, and the traces of a person who
-- is.
create function private.guard_audit_logs() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  about uuid;
begin
  if tg_op = 'UPDATE' then
    about := coalesce(old.workspace_id, case when old.resource_type in ('workspaces', 'users')
      then old.resource_id::uuid end);
    -- A deletion takes both, one after the other: what is gone is blanked whichever comes first.
    if about is not null and not exists (select from public.workspaces w where w.id = about) then
      old.old_values := null;
      old.new_values := null;
      old.details := null;
      new.old_values := null;
      new.new_values := null;
      new.details := null;
    end if;
    if old.actor_id is not null and not exists (select from public.users u where u.id = old.actor_id) then
      old.actor_email := null;
      old.ip_address := null;
      old.user_agent := null;
      new.actor_email := null;
      new.ip_address := null;
      new.user_agent := null;
    end if;
    if new is not distinct from old then
      return new;
    end if;
  end if;
  perform private.raise_error('forbidden', 'The audit log is never changed.');
  return null;
end;
$$;
create trigger audit_logs_refuse_update before update on public.audit_logs
  for each row execute function private.guard_audit_logs();
create trigger audit_logs_refuse_delete before delete or truncate on public.audit_logs
  for each statement execute function private.guard_audit_logs();

-- Not in the deletion's own transaction: however much was done in a workspace, its end must not wait for it.
create table private.audit_removals (
  gone_id uuid not null,
  found_by text not null constraint found_by_a_column check (found_by in ('workspace_id', 'resource_id', 'actor_id')),
  done_to bigint not null default 0,
  gone_at timestamptz not null default clock_timestamp(),
  primary key (gone_id, found_by)
);
comment on table private.audit_removals is
  'Workspaces and people that are gone, whose audit rows are to be blanked. Until they are, '
  'who reads the log is not shown them.';
comment on column private.audit_removals.found_by is 'The column that leads to the rows.';
comment on column private.audit_removals.done_to is 'The last row that was.';
create index audit_removals_gone_at_idx on private.audit_removals (gone_at);

-- When a workspace or a person goes: the log keeps that things were done, by which id and when. The rest is due
-- work.
create function private.forget_in_audit_logs() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.audit_removals (gone_id, found_by)
  select old.id, c.name from unnest(case tg_table_name::text when 'users' then array['actor_id']
    else array['workspace_id', 'resource_id'] end) c (name)
  on conflict do nothing;
  return null;
end;
$$;

-- Blanks a thousand audit rows of a workspace or a person that is gone; false where there are none.
create function private.forget_next_audit_logs(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  at_once constant integer := 1000;
  removal private.audit_removals;
  ids bigint[];
begin
  select * into removal from private.audit_removals r where r.gone_at <= forget_next_audit_logs.at
  order by r.gone_at limit 1 for update skip locked;
  if not found then
    return false;
  end if;
  -- An index each, of which one is asked.
  ids := array(
    (select a.id from public.audit_logs a
      where removal.found_by = 'workspace_id' and a.workspace_id = removal.gone_id and a.id > removal.done_to
      order by a.id limit at_once)
    union all
    (select a.id from public.audit_logs a
      where removal.found_by = 'actor_id' and a.actor_id = removal.gone_id and a.id > removal.done_to
      order by a.id limit at_once)
    union all
    (select a.id from public.audit_logs a
      where removal.found_by = 'resource_id' and a.resource_id = removal.gone_id::text and a.id > removal.done_to
      order by a.id limit at_once));
  update public.audit_logs a set details = a.details where a.id = any (ids); -- guard_audit_logs takes what has to go
  if cardinality(ids) < at_once then
    delete from private.audit_removals r where r.gone_id = removal.gone_id and r.found_by = removal.found_by;
  else
    update private.audit_removals r set done_to = ids[at_once]
    where r.gone_id = removal.gone_id and r.found_by = removal.found_by;
  end if;
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('forget_next_audit_logs', 130);

-- Who and what is gone and has rows in the audit log that still tell of it.
create function private.gone_from_audit_logs() returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select r.gone_id from private.audit_removals r;
end;
$$;
grant execute on function private.gone_from_audit_logs() to authenticated;

create trigger workspaces_forget_audit_logs after delete on public.workspaces
  for each row execute function private.forget_in_audit_logs();
create trigger users_forget_audit_logs after delete on public.users
  for each row execute function private.forget_in_audit_logs();

alter table public.audit_logs enable row level security;
-- A listing names its workspace (or resource or actor), and so has an index.
create policy "owners and admins can read their workspace's audit log, platform admins all" on public.audit_logs
  for select to authenticated using ((workspace_id = any (array(select private.my_managed_workspace_ids()))
      or (select private.is_platform_admin()))
    and (workspace_id = any (array(select private.gone_from_audit_logs()))
      or actor_id = any (array(select private.gone_from_audit_logs()))
      or resource_id = any (array(select private.gone_from_audit_logs())::text[])) is not true);
grant select on public.audit_logs to authenticated, service_role;
