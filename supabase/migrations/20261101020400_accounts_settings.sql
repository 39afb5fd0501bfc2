-- Settings that change without a deployment: typed, validated, public or not.

create type public.config_value_type as enum ('boolean', 'integer', 'number', 'text');
comment on type public.config_value_type is 'What a setting may hold.';

-- Whether a setting's value is of its type and within its bounds.
create function private.is_config_value(
  value_type public.config_value_type, value jsonb, minimum numeric, maximum numeric
) returns boolean language sql immutable set search_path = '' as $$
  select case
    when value is null then false
    when value_type = 'boolean' then jsonb_typeof(value) = 'boolean'
    when value_type = 'text' then jsonb_typeof(value) = 'string'
    when jsonb_typeof(value) <> 'number' then false
    else (value_type = 'number' or value::numeric = trunc(value::numeric))
      and value::numeric between coalesce(minimum, value::numeric) and coalesce(maximum, value::numeric)
  end
$$;
-- A check constraint calls it as whoever writes the row.
grant execute on function private.is_config_value(public.config_value_type, jsonb, numeric, numeric)
  to authenticated, service_role;

create table public.system_config (
  config_key text primary key
    constraint config_key_is_snake_case check (config_key ~ '^[a-z][a-z0-9_]{0,62}$'),
  config_value jsonb not null,
  value_type public.config_value_type not null,
  minimum numeric,
  maximum numeric,
  description text not null,
  is_public boolean not null default false,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint config_value_is_of_its_type
    check (private.is_config_value(value_type, config_value, minimum, maximum))
);
comment on table public.system_config is 'Settings. An inactive one counts as not set: its built-in default applies.';
comment on column public.system_config.config_value is 'JSON value of the type that value_type names.';
comment on column public.system_config.minimum is 'Smallest number allowed, if any.';
comment on column public.system_config.maximum is 'Largest number allowed, if any.';
comment on column public.system_config.is_public is 'Whether clients may read it.';

-- These and other helpers of the hot paths are plpgsql where one statement of SQL would do: Postgres keeps the plan of
-- a plpgsql function, and plans an SQL function that it cannot inline anew in every transaction (up to 150 µs each).
-- A setting's value; null where it is missing or inactive.
create function private.config(key text) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (select c.config_value from public.system_config c where c.config_key = config.key and c.is_active);
end;
$$;

-- A numeric setting, or the default given.
create function private.config_numeric(key text, fallback numeric) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select c.config_value::numeric from public.system_config c
    where c.config_key = config_numeric.key and c.is_active), fallback);
end;
$$;

create trigger system_config_set_updated_at before update on public.system_config
  for each row execute function private.set_updated_at();

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('maintenance_mode', 'false', 'boolean', null, null, true,
    'While true, AI calls are refused with maintenance (503).'),
  ('signup_credits', '3', 'number', 0, 1000000, true,
    'Credits a new account starts with, once per person.'),
  ('max_credits_balance', '50000', 'number', 0, 1000000000, true,
    'Balance that credits given by hand or a new checkout may not pass. Paid money and refunds always count.'),
  ('credits_per_usd', '100', 'number', 0.000001, 1000000, false,
    'Credits that one US dollar of provider cost becomes, before markup.'),
  ('default_markup', '1', 'number', 0, 1000, false,
    'Factor on provider cost for models that name none of their own.'),
  ('refund_expiry_days', '30', 'integer', 1, 3650, false,
    'Days that refunded credits live when the grants they came from no longer do.'),
  ('max_backdating_days', '366', 'integer', 1, 36500, false,
    'Days back that the time (at) of an operation may lie.'),
  ('max_clock_skew_minutes', '5', 'integer', 1, 1440, false,
    'Minutes ahead that the time (at) of an operation may lie.'),
  ('usage_log_partitions_ahead', '3', 'integer', 1, 24, false,
    'Months of log partitions that are kept ready.'),
  ('max_video_bytes', '52428800', 'integer', 1, 5368709120, false,
    'Largest video file that is copied to Storage; larger ones stay at the provider. '
    'The bucket has a limit of its own.'),
  ('video_submission_seconds', '600', 'integer', 420, 3600, false,
    'Seconds after which nobody is at work any more to submit a video job: longer than a function lives.'),
  ('video_poll_seconds', '20', 'integer', 1, 3600, false,
    'Seconds after which the provider is asked again how a video job is doing, besides its own word.');

alter table public.system_config enable row level security;
create policy "anyone can read public settings" on public.system_config
  for select to anon using (is_public and is_active);
create policy "people can read public settings, platform admins all" on public.system_config
  for select to authenticated using ((is_public and is_active) or (select private.is_platform_admin()));
create policy "platform admins can add settings" on public.system_config
  for insert to authenticated with check ((select private.is_platform_admin()));
create policy "platform admins can change settings" on public.system_config
  for update to authenticated
  using ((select private.is_platform_admin())) with check ((select private.is_platform_admin()));

grant select on public.system_config to anon, authenticated, service_role;
grant insert (config_key, config_value, value_type, minimum, maximum, description, is_public, is_active),
  update (config_value, minimum, maximum, description, is_public, is_active)
  on public.system_config to authenticated, service_role;
