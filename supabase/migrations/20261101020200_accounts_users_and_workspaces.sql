-- People and what they own through: users are 1:1 with auth.users, workspaces own things.
-- Everyone has a personal workspace whose id is the user's id; teams are further workspaces.

create type public.user_role as enum ('user', 'admin');
comment on type public.user_role is 'admin: runs the platform. No client can grant it.';
create type public.theme_preference as enum ('system', 'light', 'dark');
comment on type public.theme_preference is 'Colour scheme a person chose.';
create type public.subscription_status as enum (
  'inactive', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'scheduled_cancel', 'canceled', 'expired'
);
comment on type public.subscription_status is 'State of a subscription; inactive where there is none.';

create domain public.credit_amount as numeric(20, 6)
  constraint credit_amount_is_a_number check (value <> 'NaN');
comment on domain public.credit_amount is 'Credits, to six decimals: a model call can cost a fraction of one.';

-- Rules of single columns are domains where rows are rewritten often: a domain is checked when its column is written, a
-- check constraint whenever its row is, and every debit writes the snapshot below.
create domain public.short_name as text constraint name_has_at_most_200_characters check (length(value) <= 200);
comment on domain public.short_name is 'A name of at most 200 characters.';
create domain public.web_address as text
  constraint web_address_begins_with_http check (value ~ '^https?://' and length(value) <= 2048);
comment on domain public.web_address is 'An http or https URL of at most 2048 characters.';
create domain public.phone_number as text constraint phone_number_has_at_most_40_characters check (length(value) <= 40);
comment on domain public.phone_number is 'A phone number as a person writes it.';
create domain public.language_tag as text constraint language_tag_is_well_formed
  check (value ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$' and length(value) <= 35);
comment on domain public.language_tag is 'A BCP 47 language tag, such as en or pt-BR.';

create type public.workspace_role as enum ('owner', 'admin', 'member');
comment on type public.workspace_role is 'What a member of a workspace may do; owners and admins manage it.';

create table public.workspaces (
  id uuid primary key default gen_random_uuid(),
  name text not null constraint workspace_name_is_short check (length(name) between 1 and 200),
  slug text constraint a_slug_is_one_workspaces unique
    constraint slug_is_a_name_for_urls check (slug ~ '^[a-z0-9](-?[a-z0-9])+$' and length(slug) <= 63),
  personal_user_id uuid constraint one_personal_workspace_each unique references auth.users on delete cascade
    constraint personal_workspace_has_its_users_id check (personal_user_id = id),
  plan text not null default 'free' references public.plans,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.workspaces is 'What owns credits, calls and content: a person''s own workspace, or a team.';
comment on column public.workspaces.slug is
  'Its name in URLs, if it has one: lower case letters, digits and single hyphens.';
comment on column public.workspaces.personal_user_id is 'Whose personal workspace it is; null for a team.';
comment on column public.workspaces.plan is 'The plan it is on: that of its subscription, else free; read-only.';
create index workspaces_plan_idx on public.workspaces (plan);

create table public.users (
  -- By way of the personal workspace: Postgres checks a foreign key anew when a row is updated twice in a transaction,
  -- as an expiry and a debit do, and a lock on auth.users while holding a wallet would deadlock with the account's
  -- deletion.
  id uuid primary key references public.workspaces (personal_user_id) on delete cascade,
  email text,
  full_name public.short_name,
  avatar_url public.web_address,
  phone public.phone_number,
  preferred_language public.language_tag,
  theme_preference public.theme_preference not null default 'system',
  role public.user_role not null default 'user',
  is_active boolean not null default true,
  credits_balance public.credit_amount not null default 0,
  credits_total public.credit_amount not null default 0,
  credits_spent public.credit_amount not null default 0,
  subscription_plan text not null default 'free',
  subscription_status public.subscription_status not null default 'inactive',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
) with (fillfactor = 80); -- room on the page: every debit rewrites the snapshot, and no index covers it
comment on table public.users is 'One row for each account in auth.users, made at sign-up.';
comment on column public.users.email is
  'Copy of the sign-in address; follows it. Null for anonymous and phone accounts.';
comment on column public.users.phone is
  'Follows the phone of sign-in whenever that changes; people without one may write their own.';
comment on column public.users.is_active is
  'False: the account is disabled and its calls are refused, as those of accounts that Auth banned or soft-deleted '
  'are.';
comment on column public.users.credits_balance is 'The personal workspace''s balance; kept by the ledger, read-only.';
comment on column public.users.credits_total is
  'The personal workspace''s credits ever granted, less clawbacks; read-only.';
comment on column public.users.credits_spent is 'The personal workspace''s credits used, less refunds; read-only.';
comment on column public.users.subscription_plan is 'The personal workspace''s plan; read-only.';
comment on column public.users.subscription_status is 'State of the personal workspace''s subscription; read-only.';

create table public.workspace_members (
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid not null references public.users on delete cascade,
  role public.workspace_role not null default 'member',
  created_at timestamptz not null default clock_timestamp(),
  primary key (workspace_id, user_id)
);
comment on table public.workspace_members is
  'Who is in which workspace. Everyone owns their personal one; a team always has an owner.';
create index workspace_members_user_id_idx on public.workspace_members (user_id, role);

create type public.device_type as enum ('ios', 'android', 'web');
comment on type public.device_type is 'What kind of app a person signed in with.';

create table public.user_sessions (
  id uuid primary key,
  user_id uuid not null references public.users on delete cascade,
  device_id text constraint device_id_has_at_most_200_characters check (length(device_id) <= 200),
  device_type public.device_type,
  device_name public.short_name,
  app_version text constraint app_version_has_at_most_50_characters check (length(app_version) <= 50),
  ip_address inet,
  user_agent text constraint user_agent_has_at_most_500_characters check (length(user_agent) <= 500),
  created_at timestamptz not null default clock_timestamp(),
  last_used_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null default clock_timestamp() + interval '2160 hours',
  is_active boolean not null default true
);
comment on table public.user_sessions is
  'The devices on which people are signed in: a row per sign-in that its app registered (register_device).';
comment on column public.user_sessions.id is
  'The session''s id in Auth: auth.sessions.id, in access tokens the claim session_id. No token is stored.';
comment on column public.user_sessions.device_id is 'The app''s own id of the device; it may have several sign-ins.';
comment on column public.user_sessions.last_used_at is
  'Written by what the session does, at most every five minutes.';
comment on column public.user_sessions.expires_at is
  'When the row is removed: 90 days after the last use; 7 days after the end, when no access token is valid any more.';
comment on column public.user_sessions.is_active is
  'False: signed out or revoked. Its token cannot be refreshed, and calls with its access token are refused.';
create index user_sessions_user_id_idx on public.user_sessions (user_id, last_used_at);
create index user_sessions_expires_at_idx on public.user_sessions (expires_at);

-- The session by which the caller comes: their token's claim session_id. Functions call for a person whose token they
-- verified, and name its session in a header. Null for API keys, servers and jobs.
create function private.session_id() returns uuid language plpgsql stable set search_path = '' as $$
declare
  id text := auth.jwt() ->> 'session_id';
begin
  if id is null and auth.uid() is null then
    id := nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-session-id';
  end if;
  -- Another issuer's claim may be anything.
  return case when id ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then id::uuid end;
end;
$$;

-- Whether the caller comes by a session of this account that has ended. One that was never registered has not.
create function private.is_session_revoked(account_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  session uuid := private.session_id();
begin
  return session is not null and exists (
    select from public.user_sessions s where s.id = session and s.user_id = account_id and not s.is_active
  );
end;
$$;

-- Refuses an account's caller whose session has ended.
create function private.require_session(account_id uuid) returns void language plpgsql stable set search_path = '' as $$
begin
  if private.is_session_revoked(account_id) then
    perform private.raise_error('session_revoked', 'This session was signed out.', 'Sign in again.');
  end if;
end;
$$;

-- The signed-in caller, for functions that only read; null for nobody. A session that has ended is refused.
create function private.caller_id() returns uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_session(auth.uid());
  return auth.uid();
end;
$$;
grant execute on function private.caller_id() to authenticated, service_role;

-- Not SQL functions: those are planned anew in every query that a policy is part of (bench/RESULTS.md, rls).
-- Workspaces of the caller. Policies compare with array(select …) of it, so that it runs once per statement.
create function private.my_workspace_ids() returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select m.workspace_id from public.workspace_members m where m.user_id = (select auth.uid());
end;
$$;
grant execute on function private.my_workspace_ids() to authenticated;

-- Workspaces that the caller owns or administers: money and statistics of a team are for these.
create function private.my_managed_workspace_ids() returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select m.workspace_id from public.workspace_members m
    where m.user_id = (select auth.uid()) and m.role in ('owner', 'admin');
end;
$$;
grant execute on function private.my_managed_workspace_ids() to authenticated;

-- Auth's own word is read each time: a ban that ends needs no job, and a token that was issued before it admits nobody.
-- Whether an account is neither disabled here nor banned or soft-deleted in Auth, and its caller, if it is one, does
-- not come by a session that has ended: the one place that decides it.
create function private.is_admitted(account public.users) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return account.is_active and not exists (
    select from auth.users a where a.id = account.id
      and (a.deleted_at is not null or a.banned_until > clock_timestamp())
  ) and not private.is_session_revoked(account.id);
end;
$$;

-- Whether the caller runs the platform.
create function private.is_platform_admin() returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select from public.users u where u.id = (select auth.uid()) and u.role = 'admin' and private.is_admitted(u)
  )
$$;
grant execute on function private.is_platform_admin() to authenticated;

-- Whether the caller may see what is the operator's: the service role and platform admins.
create function private.is_operator() returns boolean language plpgsql stable set search_path = '' as $$
begin
  return current_setting('role') not in ('anon', 'authenticated') or private.is_platform_admin();
end;
$$;

-- Refuses clients who do not run the platform; the service role may.
create function private.require_platform_admin() returns void language plpgsql stable set search_path = '' as $$
begin
  if not private.is_operator() then
    perform private.caller_id();
    perform private.raise_error('forbidden', 'Only platform admins may do this.');
  end if;
end;
$$;

-- Whether the caller is admitted: one whose account is disabled, banned or soft-deleted, or whose session has ended,
-- may read, and change nothing.
create function private.is_account_active() returns boolean
language sql stable security definer set search_path = '' as $$
  select not exists (select from public.users u where u.id = (select auth.uid()) and not private.is_admitted(u))
$$;
grant execute on function private.is_account_active() to authenticated;

-- Not for the snapshot: every debit rewrites it, and it has the ledger for its history.
create trigger users_set_updated_at
  before update of email, full_name, avatar_url, phone, preferred_language, theme_preference, role, is_active,
    subscription_plan, subscription_status
  on public.users
  for each row execute function private.set_updated_at();
create trigger workspaces_set_updated_at before update on public.workspaces
  for each row execute function private.set_updated_at();

-- users.subscription_plan is a copy: workspaces.plan is the one source of a plan, for people and teams alike.
-- Writes a personal workspace's new plan into its person's snapshot.
create function private.sync_plan() returns trigger language plpgsql set search_path = '' as $$
begin
  update public.users u set subscription_plan = new.plan where u.id = new.id;
  return null;
end;
$$;
create trigger workspaces_copy_plan after update of plan on public.workspaces
  for each row when (new.plan <> old.plan and new.personal_user_id is not null) execute function private.sync_plan();

-- What someone is in a workspace; null for a stranger.
create function private.role_in(wanted_workspace uuid, account_id uuid) returns public.workspace_role
language plpgsql stable set search_path = '' as $$
begin
  return (select m.role from public.workspace_members m
    where m.workspace_id = wanted_workspace and m.user_id = account_id);
end;
$$;

-- What somebody is in a workspace; an error for who is less than this role.
create function private.require_role(
  wanted_workspace uuid, account_id uuid, least_role public.workspace_role
) returns public.workspace_role language plpgsql stable set search_path = '' as $$
declare
  role public.workspace_role := private.role_in(wanted_workspace, account_id);
begin
  if role is null then
    perform private.raise_error('not_found',
      format('There is no workspace %s.', coalesce(wanted_workspace::text, 'null')));
  elsif role > least_role then
    perform private.raise_error('forbidden', format('This is for a workspace''s %s.',
      case least_role when 'owner' then 'owners' else 'owners and admins' end));
  end if;
  return role;
end;
$$;

-- Refuses a user who does not exist. Called under the wallet's lock.
create function private.require_user(account_id uuid) returns void language plpgsql set search_path = '' as $$
begin
  -- Locked, so that a deletion meanwhile is not found and no error of a foreign key.
  perform from public.users u where u.id = account_id for key share;
  if not found then
    perform private.raise_error('not_found', format('There is no user %s.', coalesce(account_id::text, 'null')));
  end if;
end;
$$;

-- What a member is; an error for who is none.
create function private.require_member(wanted_workspace uuid, account_id uuid) returns public.workspace_role
language plpgsql stable set search_path = '' as $$
declare
  role public.workspace_role := private.role_in(wanted_workspace, account_id);
begin
  if role is null then
    perform private.raise_error('not_found',
      format('%s is no member of this workspace.', coalesce(account_id::text, 'null')));
  end if;
  return role;
end;
$$;

alter table public.users enable row level security;
create policy "people can read their own account" on public.users
  for select to authenticated using ((select auth.uid()) = id);
create policy "people can change their own profile" on public.users
  for update to authenticated using ((select auth.uid()) = id and (select private.is_account_active()))
  with check ((select auth.uid()) = id);

alter table public.workspaces enable row level security;
create policy "members can read their workspace" on public.workspaces
  for select to authenticated using (id = any (array(select private.my_workspace_ids())));
create policy "owners and admins can change their workspace" on public.workspaces
  for update to authenticated
  using (id = any (array(select private.my_managed_workspace_ids())) and (select private.is_account_active()))
  with check (id = any (array(select private.my_managed_workspace_ids())));

alter table public.user_sessions enable row level security;
create policy "people can read their own sessions" on public.user_sessions
  for select to authenticated using ((select auth.uid()) = user_id);

alter table public.workspace_members enable row level security;
create policy "members can read who is in their workspace" on public.workspace_members
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));

grant select on public.users to authenticated;
grant update (full_name, avatar_url, phone, preferred_language, theme_preference) on public.users to authenticated;
grant select on public.users to service_role;
grant update (full_name, avatar_url, phone, preferred_language, theme_preference, role, is_active)
  on public.users to service_role;
grant select on public.workspaces to authenticated, service_role;
grant insert (name), update (name, slug) on public.workspaces to service_role;
grant update (name, slug) on public.workspaces to authenticated;
grant select on public.workspace_members to authenticated, service_role;
grant select on public.user_sessions to authenticated, service_role;
