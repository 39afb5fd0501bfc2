-- Sign-up: an account in auth.users gets its user, its personal workspace, its wallet and, once a person, its credits.
-- None of it may ever make a sign-up fail: what goes wrong is recorded and done again by the next call that needs it.

create table private.account_failures (
  user_id uuid primary key references auth.users on delete cascade,
  error_code text not null,
  message text not null,
  attempts integer not null default 1,
  failed_at timestamptz not null default clock_timestamp()
);
comment on table private.account_failures is 'Accounts that could not be made or changed yet, and why.';

create table private.email_providers (
  domain text primary key,
  canonical_domain text not null,
  ignores_dots boolean not null default false,
  ignores_tags boolean not null default false
);
comment on table private.email_providers is
  'Mail providers that deliver several spellings of an address to one mailbox. Case is ignored everywhere.';
insert into private.email_providers (domain, canonical_domain, ignores_dots, ignores_tags) values
  ('gmail.com', 'gmail.com', true, true),
  ('googlemail.com', 'gmail.com', true, true),
  ('icloud.com', 'icloud.com', false, true),
  ('me.com', 'icloud.com', false, true),
  ('mac.com', 'icloud.com', false, true),
  ('fastmail.com', 'fastmail.com', false, true),
  ('proton.me', 'proton.me', true, true),
  ('protonmail.com', 'proton.me', true, true),
  ('pm.me', 'proton.me', true, true);

create function private.normalised_email(email text) returns text
language sql stable set search_path = ''
as $$
  select case
      -- Microsoft's have a domain for each country.
      when a.domain ~ '^(hotmail|outlook|live)\.' then split_part(a.mailbox, '+', 1)
      when p.ignores_tags and p.ignores_dots then replace(split_part(a.mailbox, '+', 1), '.', '')
      when p.ignores_tags then split_part(a.mailbox, '+', 1)
      else a.mailbox
    end || '@' || coalesce(p.canonical_domain, a.domain)
  from (
    select lower(substring(trim(email) from '^(.*)@')) as mailbox, lower(substring(trim(email) from '@([^@]*)$')) as domain
  ) a
  left join private.email_providers p on p.domain = a.domain
$$;
comment on function private.normalised_email(text) is 'One spelling for all addresses that reach the same mailbox.';

create table private.signup_claims (
  identity_hash bytea primary key,
  claimed_at timestamptz not null default clock_timestamp()
);
comment on table private.signup_claims is
  'Who has had the credits of a new account, as keyed hashes: they outlive the account and name nobody.';

create function private.claim_signup(identity text) returns boolean
language plpgsql set search_path = ''
as $$
begin
  insert into private.signup_claims (identity_hash)
  select extensions.hmac(convert_to(identity, 'UTF8'), s.value, 'sha256')
  from private.secrets s where s.name = 'identity_hash_key'
  on conflict (identity_hash) do nothing;
  return found;
end;
$$;
comment on function private.claim_signup(text) is 'Claims the sign-up credits for an identity; false where they were claimed before.';

create function private.grant_signup_credits(account auth.users) returns void
language plpgsql set search_path = ''
as $$
declare
  amount numeric := round(private.config_numeric('signup_credits', 3), 6);
begin
  -- A changed address is claimed too, or each change would be worth another start.
  if private.claim_signup(coalesce('email:' || private.normalised_email(nullif(account.email, '')),
    'phone:' || nullif(account.phone, ''), 'account:' || account.id)) and amount > 0 and not exists (
    select from private.credit_requests r where r.workspace_id = account.id and r.idempotency_key = 'signup'
  ) then
    perform public.credit_user_credits_transaction(account.id, amount, 'signup', kind => 'free', idempotency_key => 'signup');
  end if;
end;
$$;
comment on function private.grant_signup_credits(auth.users) is 'The credits an account starts with: once an account, once a person.';

create function private.complete_account(account_id uuid, is_conversion boolean default false) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  account auth.users;
  profile jsonb;
begin
  -- Locked before anything else, as a deletion does it: it then comes before this as a whole, or after.
  select * into account from auth.users a where a.id = account_id for no key update;
  if not found then
    return;
  end if;
  -- The wallet's lock comes before the user's row, as in every credit operation.
  perform from public.credit_wallets w where w.workspace_id = account_id for no key update;
  profile := coalesce(account.raw_user_meta_data, '{}');
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
  on conflict (id) do update set email = excluded.email where users.email is distinct from excluded.email;
  insert into public.workspace_members (workspace_id, user_id, role)
  values (account.id, account.id, 'owner')
  on conflict (workspace_id, user_id) do nothing;
  -- Supabase Auth ends the anonymity of an account a step before it writes its address: that step is the one to wait for.
  if not account.is_anonymous and not (is_conversion and account.email is null and account.phone is null) then
    perform private.grant_signup_credits(account);
  end if;
  delete from private.account_failures f where f.user_id = account_id;
end;
$$;
comment on function private.complete_account(uuid, boolean) is
  'Makes what an account in auth.users lacks and follows its changed address; doing it again changes nothing.';

create function private.handle_new_user() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.complete_account(new.id, is_conversion => tg_op = 'UPDATE');
  return null;
exception when others then
  begin
    insert into private.account_failures as f (user_id, error_code, message)
    values (new.id, sqlstate, left(sqlerrm, 1000))
    on conflict (user_id) do update
    set error_code = excluded.error_code, message = excluded.message, attempts = f.attempts + 1, failed_at = clock_timestamp();
  exception when others then
    raise warning 'account % is incomplete and the reason could not be recorded: %', new.id, sqlerrm;
  end;
  return null;
end;
$$;
comment on function private.handle_new_user() is
  'Completes the account behind a new or changed row of auth.users; never fails it.';

create or replace trigger users_create_account after insert on auth.users
  for each row execute function private.handle_new_user();
create or replace trigger users_follow_account after update of email, phone, is_anonymous on auth.users
  for each row when ((old.email, old.phone, old.is_anonymous) is distinct from (new.email, new.phone, new.is_anonymous))
  execute function private.handle_new_user();

create function private.lock_wallets_of_user() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform from public.credit_wallets w
  where w.workspace_id in (select m.workspace_id from public.workspace_members m where m.user_id = old.id)
    or w.workspace_id = old.id
    or w.workspace_id in (select h.workspace_id from public.credit_holds h where h.user_id = old.id)
    or w.workspace_id in (select s.workspace_id from public.ai_usage_statistics s where s.user_id = old.id)
    or w.workspace_id in (select k.workspace_id from public.api_keys k where k.user_id = old.id)
    or w.workspace_id in (select j.workspace_id from public.video_jobs j where j.user_id = old.id)
  order by w.workspace_id for update;
  -- Secrets that they were shown of keys that others made would live on.
  perform private.end_management(m.workspace_id, old.id) from public.workspace_members m
  where m.user_id = old.id and m.workspace_id <> old.id;
  perform private.pass_teams_on(old.id);
  return old;
end;
$$;
comment on function private.lock_wallets_of_user() is
  'Takes the wallets before the rows: a deletion that met a debit half way would deadlock.';
create or replace trigger users_lock_wallets before delete on auth.users
  for each row execute function private.lock_wallets_of_user();

create function private.complete_next_account(at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
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
comment on function private.complete_next_account(timestamptz) is
  'Tries one incomplete account again, ever less often; false when none is due.';
