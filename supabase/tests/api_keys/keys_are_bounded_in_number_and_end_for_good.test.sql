begin;
select plan(15);
select tests.create_user('owner');

-- A revoked key.
select tests.sign_in('owner');
select tests.remember('key', to_jsonb(public.create_api_key('server')) ->> 'id');
select public.revoke_api_key(tests.recall('key')::uuid);
select throws_ok($$ update public.api_keys set name = 'again' $$, 'PT409', 'invalid_state', 'a revoked key changes no more');
select throws_ok($$ update public.api_keys set budget = 1 $$, 'PT409', 'invalid_state', 'no limit of it either');
select throws_ok($$ update public.api_keys set expires_at = null $$, 'PT409', 'invalid_state', 'nor its end');
select tests.be_service();
select throws_ok($$ update public.api_keys set name = 'again' $$, 'PT409', 'invalid_state', 'whoever asks');
select tests.be_postgres();
update public.spending_limits set credits_used = 2;
select is((select k.credits_used::numeric from public.api_keys k), 2::numeric, 'what its calls under way cost is still counted');

-- Keys made in a day.
update public.system_config set config_value = '3' where config_key = 'api_keys_per_day';
select tests.sign_in('owner');
select public.revoke_api_key((to_jsonb(public.create_api_key(n::text)) ->> 'id')::uuid) from generate_series(1, 2) n;
select throws_ok($$ select public.create_api_key('fourth') $$, 'PT429', 'limit_reached', 'keys that were made count for a day, revoked or not');
select tests.be_postgres();
update public.api_keys set created_at = created_at - interval '1 day' where name = 'server';
select tests.sign_in('owner');
select lives_ok($$ select public.create_api_key('fourth') $$, 'and a day later no more');

-- Expired keys.
select tests.be_postgres();
insert into public.api_keys (workspace_id, user_id, name, prefix, expires_at)
select tests.id('owner'), tests.id('owner'), 'old', 'sk-', now() - interval '1 hour' from generate_series(1, 99);
select tests.sign_in('owner');
select lives_ok($$ update public.api_keys set budget = 1 where name = 'old' $$, 'an expired key may be changed');
select lives_ok($$ update public.api_keys set expires_at = now() + interval '1 hour'
  where id = (select id from public.api_keys where name = 'old' limit 1) $$, 'and become active again');
select tests.be_postgres();
insert into public.api_keys (workspace_id, user_id, name, prefix, expires_at) values
  (tests.id('owner'), tests.id('owner'), 'last', 'sk-', now() - interval '1 hour');
select tests.sign_in('owner');
select throws_ok($$ update public.api_keys set expires_at = null where expires_at < now() $$, 'PT429', 'limit_reached',
  'but never more than a hundred');
select is((select count(*) from public.api_keys where revoked_at is null and (expires_at is null or expires_at > now())), 2::bigint,
  'not even some of them');
select lives_ok($$ update public.api_keys set expires_at = null where expires_at < now() and name = 'old' $$, 'as many as there is room for');
select throws_ok($$ update public.api_keys set expires_at = now() + interval '1 day' where name = 'last' $$, 'PT429', 'limit_reached', 'and then none');
select lives_ok($$ update public.api_keys set expires_at = now() + interval '1 day' where name = 'old' $$, 'those that are active keep changing');

-- Secrets that were rotated out.
select public.rotate_api_key((select id from public.api_keys where name = 'fourth'), '0 s') from generate_series(1, 20);
select tests.be_postgres();
select is((select count(*) from private.api_key_hashes h join public.api_keys k on k.id = h.api_key_id where k.name = 'fourth'), 2::bigint,
  'hashes of secrets that have ended go with the next rotation');

select * from finish();
rollback;
