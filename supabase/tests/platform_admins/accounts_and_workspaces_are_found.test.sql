begin;
select plan(13);
select tests.create_user('ada', 'ada_1@example.test', metadata => '{"full_name": "Ada 100% Lovelace"}');
select tests.create_user('bob', 'adax1@example.test');
select tests.create_user('platform', 'root@example.test');
update public.users set role = 'admin' where id = tests.id('platform');
select tests.sign_in('ada');
select tests.remember('team', to_jsonb(public.create_workspace('Engines', 'engines')) ->> 'id');
create function pg_temp.found(query text) returns text language sql as $$
  select string_agg(f.email, ', ' order by f.email) from public.admin_find_users(query) f
$$;
grant execute on all functions in schema pg_temp to public;
select tests.sign_in('platform');
select is(pg_temp.found(tests.id('bob')::text), 'adax1@example.test', 'by id');
select is(pg_temp.found('ADA_1@example.test'), 'ada_1@example.test', 'by address, in which _ is itself');
select is(pg_temp.found('ada'), 'ada_1@example.test, adax1@example.test', 'by a part of it');
select is(pg_temp.found('100%'), 'ada_1@example.test', 'by name, in which % is itself');
select is(pg_temp.found('\'), null, 'by what nobody has, nobody');
select is((select to_jsonb(f) from public.admin_find_users('ada_1') f) - 'created_at' - 'id', '{"email": "ada_1@example.test", "full_name": "Ada 100% Lovelace",
  "plan": "free", "credits_balance": 3, "is_active": true, "role": "user"}', 'with what an admin has to know');
select is((select count(*)::integer from public.admin_find_users('example.test', 1)), 1, 'no more than asked for');
select throws_ok($$ select public.admin_find_users(' ') $$, 'PT400', 'invalid_request', 'not by nothing');
select throws_ok($$ select public.admin_find_users('a', 101) $$, 'PT400', 'invalid_request', 'nor everyone');
select is((select to_jsonb(f) from public.admin_find_workspaces('engine') f) - 'created_at', jsonb_build_object('id', tests.recall('team'), 'name', 'Engines', 'slug', 'engines',
  'is_personal', false, 'plan', 'free', 'members', 1, 'credits_balance', 0, 'overdraft_limit', 0, 'frozen_at', null), 'a team by its name');
select is((select is_personal from public.admin_find_workspaces(tests.id('bob')::text)), true, 'any by its id');
select is((select count(*) from public.admin_find_workspaces('Personal')), 0::bigint, 'not those that are all called the same');
select is((select details -> 'found' from public.audit_logs where action = 'admin_find_users' order by id limit 1),
  jsonb_build_array(tests.id('bob')), 'whom they saw is audited');

select * from finish();
rollback;
