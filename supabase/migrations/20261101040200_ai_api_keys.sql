-- API keys: what a server calls the function `ai` with, for its workspace and within limits of its own.

create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  name public.short_name not null constraint api_key_name_is_not_empty check (name ~ '\S'),
  prefix text not null,
  allowed_models text[] constraint at_most_100_allowed_models_of_200_characters check (
    cardinality(allowed_models) <= 100 and array_position(allowed_models, null) is null
    and length(array_to_string(allowed_models, '')) <= 20000),
  allowed_scenes public.ai_usage_scene[] constraint at_most_20_allowed_scenes check (
    cardinality(allowed_scenes) <= 20 and array_position(allowed_scenes, null) is null),
  requests_per_minute integer constraint requests_per_minute_positive check (requests_per_minute > 0),
  budget public.unsigned_credit_amount,
  period_budget public.unsigned_credit_amount,
  budget_period public.calendar_period,
  minute_requests integer not null default 0,
  minute_started_at timestamptz,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint a_period_budget_names_its_period check ((period_budget is null) = (budget_period is null))
);
comment on table public.api_keys is
  'Keys for the function ai. A key''s secret is shown once, when it is made; only its hash is kept.';
comment on column public.api_keys.user_id is 'Who made it; its calls are theirs. With the person the key ends.';
comment on column public.api_keys.prefix is 'How the secret begins, to recognise it by.';
comment on column public.api_keys.allowed_models is 'Models it may call; null: all.';
comment on column public.api_keys.allowed_scenes is 'Scenes it may call for; null: all.';
comment on column public.api_keys.requests_per_minute is
  'Calls it may begin in a minute, besides the plan''s limit; null: no limit of its own.';
comment on column public.api_keys.budget is 'Credits it may use in all; null: no limit.';
comment on column public.api_keys.period_budget is 'Credits it may use in each budget_period; null: no limit.';
create index api_keys_workspace_id_created_at_idx on public.api_keys (workspace_id, created_at);
create index api_keys_user_id_idx on public.api_keys (user_id);

create table private.api_key_hashes (
  key_hash bytea primary key,
  made_by uuid,
  api_key_id uuid not null references public.api_keys on delete cascade,
  expires_at timestamptz
);
comment on table private.api_key_hashes is
  'SHA-256 of each secret that a key answers to: 288 random bits need no slower hash. '
  'One that was rotated out has an end.';
comment on column private.api_key_hashes.made_by is
  'Who was shown the secret: it ends with their part in the workspace.';
create index api_key_hashes_api_key_id_idx on private.api_key_hashes (api_key_id);

-- Makes a secret for a key; nothing but its hash stays.
create function private.add_api_key_secret(for_key uuid) returns text language plpgsql set search_path = '' as $$
declare
  secret text := 'sk-' || translate(encode(extensions.gen_random_bytes(36), 'base64'), '+/', '-_');
begin
  insert into private.api_key_hashes (key_hash, api_key_id, made_by)
  values (sha256(convert_to(secret, 'UTF8')), for_key, auth.uid());
  update public.api_keys k set prefix = left(secret, 11) where k.id = for_key;
  return secret;
end;
$$;

-- Locks a key of the caller's workspaces, after its wallet; not_found for every other.
create function private.my_api_key(wanted_key uuid) returns public.api_keys language plpgsql set search_path = '' as $$
declare
  key public.api_keys;
begin
  perform private.my_account();
  -- Whoever is taken out of the team is so before this or after it, and then their secrets end. The rights are looked
  -- at in a statement of its own, which sees what the lock waited for.
  perform from public.credit_wallets w
  where w.workspace_id = (select k.workspace_id from public.api_keys k where k.id = wanted_key)
    and w.workspace_id = any (array(select private.my_managed_workspace_ids())) -- nobody locks what is not theirs
  for no key update;
  if found then
    select * into key from public.api_keys k
    where k.id = wanted_key and k.workspace_id = any (array(select private.my_managed_workspace_ids()))
    for no key update;
  end if;
  if key.id is null then
    perform private.raise_error('not_found', format('There is no API key %s.', coalesce(wanted_key::text, 'null')));
  end if;
  return key;
end;
$$;

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('api_keys_per_day', '100', 'integer', 0, 100000, false, 'API keys that may be made in a workspace in 24 hours.');

-- Refuses one more active key to a workspace that has a hundred. Called under its wallet's lock.
create function private.require_room_for_key(wanted_workspace uuid) returns void
language plpgsql set search_path = '' as $$
begin
  if 100 <= (
    select count(*) from public.api_keys k
    where k.workspace_id = wanted_workspace and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > clock_timestamp())
  ) then
    perform private.raise_error('limit_reached', 'A workspace has at most 100 active API keys.', 'Revoke one of them.');
  end if;
end;
$$;

-- What the maker of a key is told, the secret this once.
create function private.api_key_answer(wanted_key uuid, secret text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('id', k.id, 'key', secret, 'prefix', k.prefix, 'name', k.name, 'workspace_id',
    k.workspace_id,
    'expires_at', k.expires_at, 'created_at', k.created_at)
  from public.api_keys k where k.id = wanted_key
$$;

-- Makes a key for a workspace of the caller.
create function private.create_my_api_key(wanted public.api_keys, budget numeric, period_budget numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  owner_id uuid := (select auth.uid());
  account public.users := private.require_account(owner_id);
  allowed integer := private.config_numeric('api_keys_per_day', 100)::integer;
  secret text;
begin
  wanted.workspace_id := coalesce(wanted.workspace_id, owner_id);
  perform private.share_settings();
  perform from public.credit_wallets w
  where w.workspace_id = wanted.workspace_id and w.workspace_id = any (array(select private.my_managed_workspace_ids()))
  for no key update; -- as in my_api_key
  if not found or wanted.workspace_id <> all (array(select private.my_managed_workspace_ids())) then
    perform private.raise_error('not_found', format('There is no workspace %s.', wanted.workspace_id));
  end if;
  if not account.is_active then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  end if;
  if budget is not null then
    perform private.require_valid(amount => budget, field => 'budget', zero_allowed => true);
  end if;
  if period_budget is not null then
    perform private.require_valid(amount => period_budget, field => 'period_budget', zero_allowed => true);
  end if;
  perform private.require_room_for_key(wanted.workspace_id);
  -- Revoked keys stay as rows: without this their number would have no end.
  if allowed <= (
    select count(*) from public.api_keys k
    where k.workspace_id = wanted.workspace_id and k.created_at > clock_timestamp() - interval '24 hours'
  ) then
    perform private.raise_error('limit_reached', format('A workspace makes at most %s API keys a day.', allowed),
      'Rotate a key instead of making a new one.');
  end if;
  insert into public.api_keys (workspace_id, user_id, name, prefix, allowed_models, allowed_scenes, requests_per_minute,
    budget, period_budget, budget_period, expires_at)
  values (wanted.workspace_id, owner_id, wanted.name, '', wanted.allowed_models, wanted.allowed_scenes,
    wanted.requests_per_minute, create_my_api_key.budget, create_my_api_key.period_budget, wanted.budget_period,
      wanted.expires_at)
  returning id into wanted.id;
  secret := private.add_api_key_secret(wanted.id);
  return private.api_key_answer(wanted.id, secret);
end;
$$;
grant execute on function private.create_my_api_key(public.api_keys, numeric, numeric) to authenticated;

-- Gives a key of the caller's a new secret; the old one works on for the grace period.
create function private.rotate_my_api_key(wanted_key uuid, grace_period interval) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  key public.api_keys := private.my_api_key(wanted_key);
  secret text;
begin
  if key.revoked_at is not null then
    perform private.raise_error('invalid_state', format('API key %s is revoked.', key.id), 'Create a new key.');
  end if;
  perform private.require_span(grace_period, '30 days', 'grace_period', zero_allowed => true);
  delete from private.api_key_hashes h where h.api_key_id = key.id and h.expires_at <= clock_timestamp();
  update private.api_key_hashes h
  set expires_at = least(h.expires_at, private.later(clock_timestamp(), grace_period))
  where h.api_key_id = key.id;
  secret := private.add_api_key_secret(key.id);
  return private.api_key_answer(key.id, secret)
    || jsonb_build_object('old_key_expires_at', private.later(clock_timestamp(), grace_period));
end;
$$;
grant execute on function private.rotate_my_api_key(uuid, interval) to authenticated;

-- Ends a key of the caller's; doing it again changes nothing.
create function private.revoke_my_api_key(wanted_key uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  key public.api_keys := private.my_api_key(wanted_key);
begin
  delete from private.api_key_hashes h where h.api_key_id = key.id;
  update public.api_keys k set revoked_at = coalesce(k.revoked_at, clock_timestamp()) where k.id = key.id
  returning k.revoked_at into key.revoked_at;
  return jsonb_build_object('id', key.id, 'revoked_at', key.revoked_at);
end;
$$;
grant execute on function private.revoke_my_api_key(uuid) to authenticated;

-- The living key behind a secret, by the secret's SHA-256 in hex; an error where there is none.
create function private.api_key_of(secret_hash text, at timestamptz) returns public.api_keys
language plpgsql stable set search_path = '' as $$
declare
  key public.api_keys;
begin
  if secret_hash ~ '^[0-9a-f]{64}$' then
    select k.* into key
    from private.api_key_hashes h
    join public.api_keys k on k.id = h.api_key_id
    where h.key_hash = decode(secret_hash, 'hex') and (h.expires_at > api_key_of.at or h.expires_at is null)
      and k.revoked_at is null and k.user_id is not null and (k.expires_at > api_key_of.at or k.expires_at is null);
  end if;
  if key.id is null then
    perform private.raise_error('invalid_api_key', 'The API key does not exist, has expired or was revoked.',
      'Create a new key.');
  end if;
  return key;
end;
$$;

-- When a person is deleted, a team keeps the key's history and not the key.
create function private.revoke_keys_of_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.revoked_at := coalesce(new.revoked_at, clock_timestamp());
  return new;
end;
$$;
create trigger api_keys_revoke_of_person before update of user_id on public.api_keys
  for each row when (old.user_id is not null and new.user_id is null)
  execute function private.revoke_keys_of_person();

-- Refuses what a key's columns may not hold. A revoked key changes no more, and an expired one becomes active again
-- only while there is room for it.
create function private.guard_api_key() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  -- The table's constraints say the same, but in words that are nobody's to read.
  complaint text := case
    when new.name is null or new.name !~ '\S' then 'name must not be empty.'
    when new.requests_per_minute < 1 then 'requests_per_minute must be at least 1.'
    when array_ndims(new.allowed_models) > 1 or cardinality(new.allowed_models) > 100
      or length(array_to_string(new.allowed_models, '')) > 20000
      or exists (select from unnest(new.allowed_models) m where m is null)
      then 'allowed_models must be at most 100 names of 20,000 characters together, none of them null.'
    when array_ndims(new.allowed_scenes) > 1 or cardinality(new.allowed_scenes) > 20
      or exists (select from unnest(new.allowed_scenes) s where s is null)
      then 'allowed_scenes must be at most 20 scenes, none of them null.'
    when (new.period_budget is null) <> (new.budget_period is null)
      then 'period_budget and budget_period come together.'
  end;
begin
  if old.revoked_at is not null then
    perform private.raise_error('invalid_state', format('API key %s is revoked.', old.id), 'Create a new key.');
  elsif complaint is not null then
    perform private.raise_error('invalid_request', complaint);
  elsif old.expires_at <= clock_timestamp() and (new.expires_at is null or new.expires_at > clock_timestamp()) then
    perform private.require_room_for_key(new.workspace_id);
  end if;
  return new;
end;
$$;
create trigger api_keys_keep
  before insert or update of name, allowed_models, allowed_scenes, requests_per_minute, budget, period_budget,
    budget_period, expires_at on public.api_keys
  for each row execute function private.guard_api_key();
create trigger api_keys_lock_settings
  before update of name, allowed_models, allowed_scenes, requests_per_minute, budget, period_budget, budget_period,
    expires_at
  on public.api_keys
  for each statement when (pg_trigger_depth() = 0) execute function private.lock_settings();
-- Not for its use: each call writes that.
create trigger api_keys_set_updated_at
  before update of name, prefix, allowed_models, allowed_scenes, requests_per_minute, budget, period_budget,
    budget_period,
    expires_at, revoked_at
  on public.api_keys
  for each row execute function private.set_updated_at();

-- Copies a key's budgets into its row of spending_limits.
create function private.sync_key_limit() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.spending_limits (workspace_id, spender_id, spender_kind, credit_limit, period_credit_limit,
      limit_period)
    values (new.workspace_id, new.id, 'api_key', new.budget, new.period_budget, new.budget_period);
  else
    perform private.set_spending_limit(new.workspace_id, new.id, new.budget, new.period_budget, new.budget_period);
  end if;
  return null;
end;
$$;
create trigger api_keys_make_limit after insert on public.api_keys
  for each row execute function private.sync_key_limit();
create trigger api_keys_set_limit after update of budget, period_budget, budget_period on public.api_keys
  for each row when ((old.budget, old.period_budget, old.budget_period)
    is distinct from (new.budget, new.period_budget, new.budget_period)) execute function private.sync_key_limit();

-- Columns of a key to clients, kept where every spender's use is.
create function public.credits_used(public.api_keys) returns numeric language sql stable set search_path = '' as $$
  select l.credits_used from public.spending_limits l
  where l.workspace_id = $1.workspace_id and l.spender_id = $1.id
$$;
comment on function public.credits_used(public.api_keys) is
  'Column credits_used of api_keys: credits that calls with the key were charged, less refunds.';
create function public.period_credits_used(public.api_keys) returns numeric
language sql stable set search_path = '' as $$
  select w.used from public.spending_limits l
  cross join private.window_at(coalesce(l.limit_period::text, 'month'), l.period_started_at, l.period_credits_used,
    now()) w
  where l.workspace_id = $1.workspace_id and l.spender_id = $1.id
$$;
comment on function public.period_credits_used(public.api_keys) is
  'Column period_credits_used of api_keys: credits_used of calls that began in the current period (period_started_at).';
create function public.period_started_at(public.api_keys) returns timestamptz
language sql stable set search_path = '' as $$
  select w.started_at from public.spending_limits l
  cross join private.window_at(coalesce(l.limit_period::text, 'month'), l.period_started_at, l.period_credits_used,
    now()) w
  where l.workspace_id = $1.workspace_id and l.spender_id = $1.id
$$;
comment on function public.period_started_at(public.api_keys) is
  'Column period_started_at of api_keys: start of the current day, week or month (UTC), which period_credits_used '
  'counts.';
grant execute on function public.credits_used(public.api_keys), public.period_credits_used(public.api_keys),
  public.period_started_at(public.api_keys) to authenticated, service_role;

alter table public.api_keys enable row level security;
create policy "owners and admins can read their workspace's keys" on public.api_keys
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
create policy "owners and admins can change the limits of their workspace's keys" on public.api_keys
  for update to authenticated
  using (workspace_id = any (array(select private.my_managed_workspace_ids())) and (select private.is_account_active()))
  with check (workspace_id = any (array(select private.my_managed_workspace_ids())));

create type public.created_api_key as (
  id uuid, key text, prefix text, name text, workspace_id uuid, expires_at timestamptz, created_at timestamptz
);
comment on type public.created_api_key is 'An API key with its secret, which is shown this once.';
create type public.rotated_api_key as (
  id uuid, key text, prefix text, name text, workspace_id uuid, expires_at timestamptz, created_at timestamptz,
  old_key_expires_at timestamptz
);
comment on type public.rotated_api_key is 'An API key with its new secret, which is shown this once.';
create type public.revoked_api_key as (id uuid, revoked_at timestamptz);
comment on type public.revoked_api_key is 'An API key that has ended.';

create function public.create_api_key(
  name text, workspace_id uuid default null, allowed_models text[] default null,
  allowed_scenes public.ai_usage_scene[] default null, requests_per_minute integer default null,
  budget numeric default null, period_budget numeric default null, budget_period public.calendar_period default null,
  expires_at timestamptz default null
) returns public.created_api_key language plpgsql set search_path = '' as $$
declare
  wanted public.api_keys;
begin
  wanted.name := name;
  wanted.workspace_id := workspace_id;
  wanted.allowed_models := allowed_models;
  wanted.allowed_scenes := allowed_scenes;
  wanted.requests_per_minute := requests_per_minute;
  wanted.budget_period := budget_period;
  wanted.expires_at := expires_at;
  -- a row would round what it cannot hold, or fail
  return jsonb_populate_record(null::public.created_api_key, private.create_my_api_key(wanted, budget, period_budget));
end;
$$;
comment on function public.create_api_key is
  'Makes an API key for a workspace of the caller (default: the personal one): { id, key, prefix, … }. '
  'The key is shown this once.';

create function public.rotate_api_key(api_key_id uuid, grace_period interval default '24 hours')
returns public.rotated_api_key
language sql set search_path = ''
as $$ select jsonb_populate_record(null::public.rotated_api_key,
  private.rotate_my_api_key(api_key_id, grace_period)) $$;
comment on function public.rotate_api_key is
  'Gives a key a new secret: { id, key, prefix, …, old_key_expires_at }. '
  'The old one works on for the grace period (at most 30 days).';

create function public.revoke_api_key(api_key_id uuid) returns public.revoked_api_key
language sql set search_path = ''
as $$ select jsonb_populate_record(null::public.revoked_api_key, private.revoke_my_api_key(api_key_id)) $$;
comment on function public.revoke_api_key is 'Ends a key at once: { id, revoked_at }. Doing it again changes nothing.';

create function public.require_api_key(api_key_hash text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform private.api_key_of(api_key_hash, clock_timestamp());
end;
$$;
comment on function public.require_api_key is
  'Raises invalid_api_key unless a secret (its SHA-256 in hex) is that of a living API key: for a server, '
  'before it reads a request.';
grant execute on function public.require_api_key to service_role, basemeter_functions;

grant select on public.api_keys to authenticated, service_role;
grant update (name, allowed_models, allowed_scenes, requests_per_minute, budget, period_budget, budget_period,
  expires_at)
  on public.api_keys to authenticated, service_role;
grant execute on function public.create_api_key to authenticated;
grant execute on function public.rotate_api_key to authenticated;
grant execute on function public.revoke_api_key to authenticated;
