-- The credits that an account starts with, once it is a person's and once for each person.

create table private.email_providers (
  domain text primary key,
  canonical_domain text,
  equal_characters text not null default '',
  counts_as text not null default '',
  shares_what_begins_as text,
  reads_subdomains boolean not null default false
);
comment on table private.email_providers is
  'Mail providers that deliver several spellings of an address to one mailbox; all of them ignore what follows a +. '
  'Case is ignored everywhere.';
comment on column private.email_providers.domain is
  'Its domain; name.* for one with a domain for each country, where each has mailboxes of its own.';
comment on column private.email_providers.canonical_domain is
  'The domain that stands for this one, where both lead to the same mailboxes.';
comment on column private.email_providers.equal_characters is
  'Characters that it takes for those of counts_as, one by one, or ignores.';
comment on column private.email_providers.shares_what_begins_as is
  'A character that no sign-in name has: addresses with the same beginning up to it are one person''s disposable ones.';
comment on column private.email_providers.reads_subdomains is
  'Whether anything@jane.domain is delivered to jane@domain.';
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
select d, 'yandex.ru', '.', '-' from unnest(array[
  'ya.ru', 'yandex.com', 'yandex.by', 'yandex.kz', 'yandex.ua', 'yandex.uz',
  'yandex.az', 'yandex.com.am', 'yandex.com.ge', 'yandex.com.tr', 'yandex.co.il', 'yandex.ee', 'yandex.fr', 'yandex.kg',
  'yandex.lt', 'yandex.lv', 'yandex.md', 'yandex.tj', 'yandex.tm', 'yandex.pl', 'yandex.eu', 'narod.ru']) d;
insert into private.email_providers (domain, shares_what_begins_as)
select d, '-' from unnest(array['yahoo.*', 'ymail.com', 'rocketmail.com', 'myyahoo.com']) d;
-- A name at one of these domains and the same name at another are two people's.
insert into private.email_providers (domain, reads_subdomains)
select d, true from unnest(array[
  'fastmail.com', 'fastmail.fm', 'fastmail.cn', 'fastmail.co.uk', 'fastmail.com.au', 'fastmail.de',
  'fastmail.es', 'fastmail.fr', 'fastmail.im', 'fastmail.in', 'fastmail.jp', 'fastmail.mx', 'fastmail.net',
  'fastmail.nl',
  'fastmail.org', 'fastmail.se', 'fastmail.to', 'fastmail.tw', 'fastmail.uk', 'fastmail.us', 'eml.cc', 'f-m.fm',
  'fea.st',
  'imap.cc', 'mailbolt.com', 'ml1.net', 'mm.st', 'myfastmail.com', 'sent.at', 'sent.com', 'speedpost.net',
  'swift-mail.com', '123mail.org', 'airpost.net', 'proinbox.com', 'promessage.com', 'rushpost.com', 'warpmail.net',
  'xsmail.com']) d;

-- One spelling for all addresses that reach the same mailbox.
create function private.normalised_email(email text) returns text language sql stable set search_path = '' as $$
  select coalesce(nullif(split_part(m.name, p.shares_what_begins_as, 1), m.name) || p.shares_what_begins_as, m.name)
    || '@' || coalesce(p.canonical_domain, case when p.reads_subdomains then p.domain end, a.domain)
  from (
    select lower(substring(trim(email) from '^(.*)@')) as mailbox,
      lower(substring(trim(email) from '@([^@]*)$')) as domain
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

create table private.signup_claims (
  identity_hash bytea primary key,
  claimed_at timestamptz not null default clock_timestamp()
);
comment on table private.signup_claims is
  'Who has had the credits of a new account, as keyed hashes: they outlive the account and name nobody.';

-- Gives the credits an account starts with: once an account, once a person. Where it fails, so does completing the
-- account, which is tried again.
create function private.grant_signup_credits() returns trigger language plpgsql set search_path = '' as $$
declare
  account auth.users;
  amount numeric := round(private.config_numeric('signup_credits', 3), 6);
begin
  select * into account from auth.users a where a.id = new.id;
  -- Supabase Auth ends the anonymity of an account a step before it writes its address, which is the one to wait for.
  if account.deleted_at is not null or account.is_anonymous
    or tg_op = 'UPDATE' and account.email is null and account.phone is null then
    return null;
  end if;
  -- A changed address is claimed too, or each change would be worth another start.
  insert into private.signup_claims (identity_hash)
  select extensions.hmac(convert_to(coalesce('email:' || private.normalised_email(nullif(account.email, '')),
    'phone:' || nullif(account.phone, ''), 'account:' || account.id), 'UTF8'), s.value, 'sha256')
  from private.secrets s where s.name = 'identity_hash_key'
  on conflict (identity_hash) do nothing;
  if found and amount > 0 and private.earlier_answer(account.id, 'credits', 'basemeter:signup', '{}') is null then
    perform private.store_answer(account.id, 'credits', 'basemeter:signup', '{}',
      public.credit_user_credits_transaction(account.id, amount, 'signup', kind => 'free'));
  end if;
  return null;
end;
$$;
create trigger users_grant_signup_credits after insert or update of email on public.users
  for each row execute function private.grant_signup_credits();
