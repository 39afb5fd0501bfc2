-- Devices: apps register the session they are signed in with, people see and end them. A session ends when its row of
-- auth.sessions goes, whoever deletes that: Auth at a sign-out, or the functions below. With it go its refresh tokens.

-- Marks a session that Auth has ended. Its row stays until no access token of it can be valid any more.
create function private.end_session() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.user_sessions s
  set is_active = false, expires_at = least(s.expires_at, clock_timestamp() + interval '168 hours')
  where s.id = old.id and s.is_active;
  return null;
end;
$$;
create or replace trigger sessions_end_device after delete on auth.sessions
  for each row execute function private.end_session();

-- Before the wallets of who is deleted are locked: a call notes that it uses its session before it locks one.
create function private.remove_sessions_of_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.user_sessions s where s.user_id = old.id;
  return old;
end;
$$;
-- Triggers fire in the order of their names.
create or replace trigger users_end_sessions before delete on auth.users
  for each row execute function private.remove_sessions_of_user();

-- The signed-in caller, whose sessions change one after the other: they cannot pass their bound together, nor wait for
-- each other when two of them end each other. Locked first, as a deletion does it; and no use is noted, for which
-- Auth's end of this session would wait while it holds the rows that are asked for next.
create function private.lock_my_sessions() returns uuid language plpgsql set search_path = '' as $$
begin
  perform from auth.users a where a.id = auth.uid() for no key update;
  return private.my_account(is_use => false);
end;
$$;

-- Removes what a person has above a hundred sessions: those that ended, then the ones not used for longest.
create function private.trim_sessions(account_id uuid) returns void language sql set search_path = '' as $$
  delete from public.user_sessions s where s.id in (
    select t.id from public.user_sessions t where t.user_id = account_id
    order by t.is_active desc, t.last_used_at desc, t.id offset 100)
$$;

-- Registers the caller's session.
create function private.register_device(
  device_id text, device_type public.device_type, device_name text, app_version text
) returns public.user_sessions language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.lock_my_sessions();
  session uuid := private.session_id();
  device public.user_sessions;
begin
  if session is null then
    perform private.raise_error('invalid_request', 'This access token has no claim session_id.');
  elsif register_device.device_type is null or length(register_device.device_id) between 1 and 200 is not true then
    perform private.raise_error('invalid_request', 'device_type is needed, and device_id with 1 to 200 characters.');
  elsif length(register_device.device_name) > 200 or length(register_device.app_version) > 50 then
    perform private.raise_error('invalid_request',
      'device_name has at most 200 characters, app_version at most 50.');
  end if;
  insert into public.user_sessions as d (id, user_id, device_id, device_type, device_name, app_version, ip_address,
    user_agent, created_at)
  select session, account_id, register_device.device_id, register_device.device_type, register_device.device_name,
    register_device.app_version, o.ip_address, o.user_agent, coalesce(a.created_at, clock_timestamp())
  -- Locked, so that its end comes before this or finds the row.
  from (select s.created_at from auth.sessions s where s.id = session and s.user_id = account_id for key share) a,
    private.request_origin() o
  on conflict (id) do update set device_id = excluded.device_id, device_type = excluded.device_type,
    device_name = excluded.device_name, app_version = excluded.app_version, ip_address = excluded.ip_address,
    user_agent = excluded.user_agent, last_used_at = excluded.last_used_at, expires_at = excluded.expires_at
  returning * into device;
  if not found then
    perform private.raise_error('session_revoked', 'This session was signed out.', 'Sign in again.');
  end if;
  perform private.trim_sessions(account_id);
  return device;
end;
$$;
grant execute on function private.register_device to authenticated;

-- Ends sessions of the caller: one, or all but the one they come by.
create function private.revoke_devices(wanted_session uuid, is_all_others boolean) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  account_id uuid := private.lock_my_sessions();
  caller_session uuid := private.session_id();
  ended integer;
begin
  if is_all_others then
    -- Those that were never registered are known from now on, or their access tokens would not be refused.
    insert into public.user_sessions (id, user_id, ip_address, user_agent, created_at, last_used_at)
    select s.id, s.user_id, s.ip, left(s.user_agent, 500), coalesce(s.created_at, clock_timestamp()),
      coalesce(s.refreshed_at at time zone 'UTC', s.created_at, clock_timestamp())
    from auth.sessions s where s.user_id = account_id and s.id is distinct from caller_session
    on conflict (id) do nothing;
  elsif not exists (select from public.user_sessions s where s.id = wanted_session and s.user_id = account_id) then
    perform private.raise_error('not_found', format('There is no session %s.',
      coalesce(wanted_session::text, 'null')));
  end if;
  delete from auth.sessions s where s.user_id = account_id
    and case when is_all_others then s.id is distinct from caller_session else s.id = wanted_session end;
  get diagnostics ended = row_count;
  perform private.trim_sessions(account_id);
  return ended;
end;
$$;
grant execute on function private.revoke_devices to authenticated;

create function public.register_device(
  device_id text, device_type public.device_type, device_name text default null, app_version text default null
) returns public.user_sessions language sql set search_path = '' as $$
  select private.register_device(device_id, device_type, device_name, app_version)
$$;
comment on function public.register_device is
  'Registers the session that the caller is signed in with in user_sessions, or updates its row. device_id is an id '
  'that the app keeps on the device; address and browser are the request''s. A person has at most 100 rows: beyond '
  'that the oldest inactive ones go.';
create function public.revoke_device(session_id uuid) returns void language sql set search_path = '' as $$
  select private.revoke_devices(session_id, is_all_others => false)
$$;
comment on function public.revoke_device is
  'Signs one device of the caller out (user_sessions.id): its token cannot be refreshed, and calls with its access '
  'token are refused from now on (session_revoked).';
create function public.revoke_other_devices() returns integer language sql set search_path = '' as $$
  select private.revoke_devices(null, is_all_others => true)
$$;
comment on function public.revoke_other_devices is
  'Signs the caller out everywhere else, also where the session was never registered; how many that were.';
grant execute on function public.register_device, public.revoke_device, public.revoke_other_devices to authenticated;

create function public.check_session() returns void language plpgsql set search_path = '' as $$
begin
  if auth.uid() is not null then
    perform private.caller_id();
  end if;
end;
$$;
comment on function public.check_session is
  'Refuses a caller whose session has ended (session_revoked), and nobody else. As PostgREST''s pgrst.db_pre_request '
  'it guards every request, reads of rows included.';
grant execute on function public.check_session to anon, authenticated, service_role;

-- Removes rows that have expired; how many.
create function private.remove_expired_sessions(at timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  removed integer;
begin
  delete from public.user_sessions s where s.id in (
    select t.id from public.user_sessions t where t.expires_at <= remove_expired_sessions.at
    order by t.expires_at limit 10000 for update skip locked);
  get diagnostics removed = row_count;
  return removed;
end;
$$;

create function public.cleanup_expired_sessions() returns integer
language sql security definer set search_path = '' as $$ select private.remove_expired_sessions(clock_timestamp()) $$;
comment on function public.cleanup_expired_sessions is
  'Removes rows of user_sessions that have expired, at most 10,000; how many they were. A scheduled job does it too.';
grant execute on function public.cleanup_expired_sessions to service_role;

-- The same as a piece of work that is due.
create function private.forget_expired_sessions(at timestamptz) returns boolean
language sql set search_path = '' as $$ select private.remove_expired_sessions(at) > 0 $$;
insert into private.due_work (piece, place) values ('forget_expired_sessions', 140);
