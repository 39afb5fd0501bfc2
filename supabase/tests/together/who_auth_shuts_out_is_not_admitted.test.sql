begin;
select plan(17);
select tests.create_user('ann');
select tests.create_user('root');
update public.users set role = 'admin' where id = tests.id('root');
select tests.sign_in('ann');
select tests.remember('key', to_jsonb(public.create_api_key('server')) ->> 'key');
select tests.be_postgres();
select tests.remember('hash', encode(sha256(convert_to(tests.recall('key'), 'UTF8')), 'hex'));

create function pg_temp.call_of(hash text default null) returns text language sql as $$
  select coalesce(public.admit_ai_call(case when hash is null then tests.id('ann') end, 'no-such-model', 1, api_key_hash => hash) ->> 'code', 'ok')
$$;
select is(pg_temp.call_of(), 'not_found', 'an account that nobody bans gets as far as the model');

update auth.users set banned_until = clock_timestamp() + interval '1 hour' where id = tests.id('ann');
select is(pg_temp.call_of(), 'account_disabled', 'a banned one does not');
select is(pg_temp.call_of(tests.recall('hash')), 'account_disabled', 'nor does its key');
select is(tests.ask_video('ann') ->> 'code', 'account_disabled', 'it gets no video');
select throws_ok($$ select private.require_billing_rights(tests.id('ann'), null) $$, 'PT403', 'account_disabled', 'sees to no payments');
select tests.sign_in('ann');
select throws_ok($$ select public.create_workspace('Team') $$, 'PT403', 'account_disabled', 'and makes nothing');
select throws_ok($$ select public.create_api_key('more') $$, 'PT403', 'account_disabled', 'no key either');
update public.users set full_name = 'Changed' where id = tests.id('ann');
select is((select full_name from public.users where id = tests.id('ann')), null, 'or changes anything');
select is((select count(*) from public.users), 1::bigint, 'it may still read what is its own');
select tests.be_postgres();

update auth.users set banned_until = clock_timestamp() - interval '1 second' where id = tests.id('ann');
select is(pg_temp.call_of(tests.recall('hash')), 'not_found', 'a ban that is over is over');
select tests.sign_in('ann');
select lives_ok($$ select public.create_workspace('Team') $$, 'for everything');
select tests.be_postgres();

update auth.users set banned_until = 'infinity' where id = tests.id('root');
select tests.sign_in('root');
select is(private.is_platform_admin(), false, 'a banned admin runs nothing');
select tests.be_postgres();

update public.users set full_name = 'Ann', avatar_url = 'https://example.test/ann.png', phone = '1' where id = tests.id('ann');
-- As Supabase Auth writes it: hashes take the place of the address and the phone.
update auth.users set email = 'c29tZSBoYXNo', phone = 'c29tZSBoYXNoIG9', raw_user_meta_data = '{}', deleted_at = now()
where id = tests.id('ann');
select is((select (u.email, u.phone, u.full_name, u.avatar_url)::text from public.users u where u.id = tests.id('ann')), '(,,,)',
  'a soft-deleted person''s name, picture, address and phone go');
select is(pg_temp.call_of(), 'account_disabled', 'their token admits nobody');
select is(pg_temp.call_of(tests.recall('hash')), 'account_disabled', 'nor does their key');
select is(tests.ledger('ann'), 'credit 3 signup', 'the hashes are no new mailbox');
select tests.create_guest('guest');
update auth.users set email = 'bW9yZQ', is_anonymous = false, deleted_at = now() where id = tests.id('guest');
select is(tests.ledger('guest'), null, 'and get no credits');

select * from finish();
rollback;
