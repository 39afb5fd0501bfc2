-- Sign-up: an account in auth.users gets its user and its personal workspace, and by their triggers its wallet and
-- credits. None of it may ever make a sign-up fail: what goes wrong is recorded and done again by the next call that
-- needs it.

create table private.account_failures (
  user_id uuid primary key references auth.users on delete cascade,
  error_code text not null,
  message text not null,
  attempts integer not null default 1,
  failed_at timestamptz not null default clock_timestamp()
);
comment on table private.account_failures is 'Accounts that could not be made or changed yet, and why.';

-- Makes what an account in auth.users lacks and follows its changed address and phone; one that Auth soft-deleted
-- loses its person's data. Doing it again changes nothing.
create function private.complete_account(account_id uuid, phone_changed boolean default false) returns void
language plpgsql set search_path = '' as $$
declare
  account auth.users;
  profile jsonb;
  is_gone boolean;
begin
  -- Locked before anything else, as a deletion does it: it then comes before this as a whole, or after.
  select * into account from auth.users a where a.id = account_id for no key update;
  if not found then
    return;
  end if;
  profile := coalesce(account.raw_user_meta_data, '{}');
  is_gone := account.deleted_at is not null;
  if is_gone then -- what Auth leaves as its address and phone are hashes
    account.email := null;
    account.phone := null;
    profile := '{}';
  end if;
  phone_changed := phone_changed or is_gone
    or exists (select from private.account_failures f where f.user_id = account_id); -- it may have changed then
  insert into public.workspaces (id, name, personal_user_id)
  values (account.id, 'Personal', account.id)
  on conflict (id) do nothing;
  insert into public.users (id, email, phone, full_name, avatar_url)
  values (
    account.id, nullif(account.email, ''), left(nullif(account.phone, ''), 40),
    left(coalesce(profile ->> 'full_name', profile ->> 'name'), 200),
    (select a.url from (values (profile ->> 'avatar_url'), (profile ->> 'picture')) a (url)
     where a.url ~ '^https?://' and length(a.url) <= 2048 limit 1)
  )
  on conflict (id) do update set email = excluded.email,
    phone = case when phone_changed then excluded.phone else users.phone end,
    full_name = case when not is_gone then users.full_name end,
    avatar_url = case when not is_gone then users.avatar_url end;
  insert into public.workspace_members (workspace_id, user_id, role)
  values (account.id, account.id, 'owner')
  on conflict (workspace_id, user_id) do nothing;
  delete from private.account_failures f where f.user_id = account_id;
end;
$$;

-- Completes the account behind a new or changed row of auth.users; never fails it.
create function private.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.complete_account(new.id, tg_op = 'UPDATE' and old.phone is distinct from new.phone);
  return null;
exception when others then
  begin
    insert into private.account_failures as f (user_id, error_code, message)
    values (new.id, sqlstate, left(sqlerrm, 1000))
    on conflict (user_id) do update
    set error_code = excluded.error_code, message = excluded.message, attempts = f.attempts + 1,
      failed_at = clock_timestamp();
  exception when others then
    raise warning 'account % is incomplete and the reason could not be recorded: %', new.id, sqlerrm;
  end;
  return null;
end;
$$;

create or replace trigger users_create_account after insert on auth.users
  for each row execute function private.handle_new_user();
create or replace trigger users_follow_account after update of email, phone, is_anonymous, deleted_at on auth.users
  for each row when ((old.email, old.phone, old.is_anonymous, old.deleted_at)
    is distinct from (new.email, new.phone, new.is_anonymous, new.deleted_at))
  execute function private.handle_new_user();

-- Tries one incomplete account again, ever less often; false when none is due.
create function private.complete_next_account(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  account_id uuid;
begin
  select f.user_id into account_id from private.account_failures f
  where f.failed_at < complete_next_account.at - make_interval(mins => least(f.attempts, 60))
  limit 1;
  if not found then
    return false;
  end if;
  perform private.complete_account(account_id);
  return true;
exception when others then
  update private.account_failures f
  set error_code = sqlstate, message = left(sqlerrm, 1000), attempts = f.attempts + 1, failed_at = clock_timestamp()
  where f.user_id = account_id;
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('complete_next_account', 40);

-- Notes that the caller's session of this account is in use. It comes before any wallet's lock, and never waits: a
-- deletion takes the sessions before the wallets as well.
create function private.touch_session(account_id uuid) returns void language plpgsql set search_path = '' as $$
declare
  session uuid := private.session_id();
begin
  if session is not null and current_setting('transaction_read_only') = 'off' then
    update public.user_sessions s set last_used_at = default, expires_at = default
    from (
      select t.id from public.user_sessions t
      where t.id = session and t.user_id = account_id and t.is_active
        and t.last_used_at < clock_timestamp() - interval '5 minutes'
      for no key update skip locked
    ) due
    where s.id = due.id;
  end if;
end;
$$;

-- The account of a signed-in caller, completed where its sign-up could not be; an error where it is gone, or the
-- caller's session has ended. is_active is false also for one that Auth banned or soft-deleted.
create function private.require_account(account_id uuid) returns public.users
language plpgsql set search_path = '' as $$
declare
  account public.users;
begin
  select * into account from public.users u where u.id = account_id;
  if not found then
    perform private.complete_account(account_id);
    select * into account from public.users u where u.id = account_id;
    if not found then
      perform private.raise_error('not_authenticated', 'The account of this token does not exist any more.',
        'Sign in again.');
    end if;
  end if;
  account.is_active := private.is_admitted(account);
  if not account.is_active then
    perform private.require_session(account_id);
  end if;
  return account;
end;
$$;

-- The signed-in caller; an error for anyone else, and for a disabled account. Notes that the session is used.
create function private.my_account(is_use boolean default true) returns uuid language plpgsql set search_path = '' as $$
declare
  account public.users;
begin
  if auth.uid() is null then
    perform private.raise_error('not_authenticated', 'Sign in first.');
  end if;
  account := private.require_account(auth.uid());
  if not account.is_active then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  end if;
  if is_use then
    perform private.touch_session(account.id);
  end if;
  return account.id;
end;
$$;
