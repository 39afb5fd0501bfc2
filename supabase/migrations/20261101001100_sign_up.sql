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
  canonical_domain text,
  equal_characters text not null default '',
  counts_as text not null default '',
  shares_what_begins_as text,
  reads_subdomains boolean not null default false
);
comment on table private.email_providers is
  'Mail providers that deliver several spellings of an address to one mailbox; all of them ignore what follows a +. Case is ignored everywhere.';
comment on column private.email_providers.domain is 'Its domain; name.* for one with a domain for each country, where each has mailboxes of its own.';
comment on column private.email_providers.canonical_domain is 'The domain that stands for this one, where both lead to the same mailboxes.';
comment on column private.email_providers.equal_characters is 'Characters that it takes for those of counts_as, one by one, or ignores.';
comment on column private.email_providers.shares_what_begins_as is
  'A character that no sign-in name has: addresses with the same beginning up to it are one person''s disposable ones.';
comment on column private.email_providers.reads_subdomains is 'Whether anything@jane.domain is delivered to jane@domain.';
insert into private.email_providers (domain, canonical_domain, equal_characters, counts_as) values
  ('gmail.com', null, '.', ''),
  ('googlemail.com', 'gmail.com', '.', ''),
  ('icloud.com', null, '', ''),
  ('me.com', 'icloud.com', '', ''),
  ('mac.com', 'icloud.com', '', ''),
  ('proton.me', null, '.-_', ''),
  ('protonmail.com', 'proton.me', '.-_', ''),
  ('pm.me', 'proton.me', '.-_', ''),
  ('hotmail.*', null, '', ''),
  ('outlook.*', null, '', ''),
  ('live.*', null, '', ''),
  ('msn.com', null, '', ''),
  ('gmx.*', null, '', ''),
  ('zoho.*', null, '', ''),
  ('zohomail.*', null, '', ''),
  ('mail.ru', null, '', ''),
  ('bk.ru', null, '', ''),
  ('inbox.ru', null, '', ''),
  ('list.ru', null, '', ''),
  ('internet.ru', null, '', ''),
  ('yandex.ru', null, '.', '-');
insert into private.email_providers (domain, canonical_domain, equal_characters, counts_as)
select d, 'yandex.ru', '.', '-' from unnest(array['ya.ru', 'yandex.com', 'yandex.by', 'yandex.kz', 'yandex.ua', 'yandex.uz',
  'yandex.az', 'yandex.com.am', 'yandex.com.ge', 'yandex.com.tr', 'yandex.co.il', 'yandex.ee', 'yandex.fr', 'yandex.kg',
  'yandex.lt', 'yandex.lv', 'yandex.md', 'yandex.tj', 'yandex.tm', 'yandex.pl', 'yandex.eu', 'narod.ru']) d;
insert into private.email_providers (domain, shares_what_begins_as)
select d, '-' from unnest(array['yahoo.*', 'ymail.com', 'rocketmail.com', 'myyahoo.com']) d;
-- A name at one of these domains and the same name at another are two people's.
insert into private.email_providers (domain, reads_subdomains)
select d, true from unnest(array['fastmail.com', 'fastmail.fm', 'fastmail.cn', 'fastmail.co.uk', 'fastmail.com.au', 'fastmail.de',
  'fastmail.es', 'fastmail.fr', 'fastmail.im', 'fastmail.in', 'fastmail.jp', 'fastmail.mx', 'fastmail.net', 'fastmail.nl',
  'fastmail.org', 'fastmail.se', 'fastmail.to', 'fastmail.tw', 'fastmail.uk', 'fastmail.us', 'eml.cc', 'f-m.fm', 'fea.st',
  'imap.cc', 'mailbolt.com', 'ml1.net', 'mm.st', 'myfastmail.com', 'sent.at', 'sent.com', 'speedpost.net',
  'swift-mail.com', '123mail.org', 'airpost.net', 'proinbox.com', 'promessage.com', 'rushpost.com', 'warpmail.net',
  'xsmail.com']) d;

create function private.normalised_email(email text) returns text
language sql stable set search_path = ''
as $$
  select coalesce(nullif(split_part(m.name, p.shares_what_begins_as, 1), m.name) || p.shares_what_begins_as, m.name)
    || '@' || coalesce(p.canonical_domain, case when p.reads_subdomains then p.domain end, a.domain)
  from (
    select lower(substring(trim(email) from '^(.*)@')) as mailbox, lower(substring(trim(email) from '@([^@]*)$')) as domain
  ) a
  left join private.email_providers p on p.domain = a.domain or p.domain = split_part(a.domain, '.', 1) || '.*'
    or p.reads_subdomains and p.domain = substring(a.domain from '^[^.]+\.(.*)$')
  cross join lateral (
    select translate(case
        when p.domain <> a.domain and p.reads_subdomains then split_part(a.domain, '.', 1)
        else split_part(a.mailbox, '+', 1) end, p.equal_characters, p.counts_as)
  ) as known (name)
  cross join lateral (select coalesce(known.name, a.mailbox)) as m (name)
  order by p.domain = a.domain desc limit 1
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
    'phone:' || nullif(account.phone, ''), 'account:' || account.id)) and amount > 0
    and private.earlier_answer(account.id, 'credits', 'basemeter:signup', '{}') is null
  then
    perform private.keep_answer(account.id, 'credits', 'basemeter:signup', '{}',
      public.credit_user_credits_transaction(account.id, amount, 'signup', kind => 'free'));
  end if;
end;
$$;
comment on function private.grant_signup_credits(auth.users) is 'The credits an account starts with: once an account, once a person.';

create function private.complete_account(
  account_id uuid, is_conversion boolean default false, phone_changed boolean default false
) returns void
language plpgsql security definer set search_path = ''
as $$
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
  -- The wallet's lock comes before the user's row, as in every credit operation.
  perform from public.credit_wallets w where w.workspace_id = account_id for no key update;
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
    avatar_url = case when not is_gone then users.avatar_url end
  where is_gone or phone_changed or users.email is distinct from excluded.email;
  insert into public.workspace_members (workspace_id, user_id, role)
  values (account.id, account.id, 'owner')
  on conflict (workspace_id, user_id) do nothing;
  -- Supabase Auth ends the anonymity of an account a step before it writes its address: that step is the one to wait for.
  if not is_gone and not account.is_anonymous
    and not (is_conversion and account.email is null and account.phone is null) then
    perform private.grant_signup_credits(account);
  end if;
  delete from private.account_failures f where f.user_id = account_id;
end;
$$;
comment on function private.complete_account(uuid, boolean, boolean) is
  'Makes what an account in auth.users lacks and follows its changed address and phone; one that Auth soft-deleted loses its person''s data. Doing it again changes nothing.';

create function private.handle_new_user() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.complete_account(new.id, is_conversion => tg_op = 'UPDATE',
    phone_changed => tg_op = 'UPDATE' and old.phone is distinct from new.phone);
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
create or replace trigger users_follow_account after update of email, phone, is_anonymous, deleted_at on auth.users
  for each row when ((old.email, old.phone, old.is_anonymous, old.deleted_at)
    is distinct from (new.email, new.phone, new.is_anonymous, new.deleted_at))
  execute function private.handle_new_user();

create function private.lock_wallets_of_user() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.share_settings();
  perform from public.credit_wallets w
  where w.workspace_id in (select m.workspace_id from public.workspace_members m where m.user_id = old.id)
    or w.workspace_id = old.id
    or w.workspace_id in (select h.workspace_id from public.credit_holds h where h.user_id = old.id)
    or w.workspace_id in (select u.workspace_id from private.usage_by_day u where u.user_id = old.id)
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
