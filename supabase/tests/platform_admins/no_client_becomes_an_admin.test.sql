begin;
select plan(13);
select tests.hide_yours();
select tests.create_user('climber', metadata => '{"role": "admin", "is_active": true, "is_platform_admin": true, "full_name": "Climber"}');
select tests.create_user('mate');
select is((select role::text from public.users where id = tests.id('climber')), 'user', 'what a sign-up says of a role counts for nothing');
update auth.users set raw_user_meta_data = '{"role": "admin"}', raw_app_meta_data = '{"role": "admin"}' where id = tests.id('climber');
update auth.users set email = 'other@example.test' where id = tests.id('climber');
select is((select role::text from public.users where id = tests.id('climber')), 'user', 'nor later');

select tests.sign_in('climber');
select throws_ok('update public.users set role = ''admin''', '42501', null, 'nobody writes their role');
select throws_ok('update public.users set full_name = ''x'', role = ''admin''', '42501', null, 'along with something else either');
select throws_ok('update public.users set is_active = true', '42501', null, 'or whether they are disabled');
select throws_ok('insert into public.users (id, role) values (gen_random_uuid(), ''admin'')', '42501', null, 'or a row of their own');
select throws_ok('delete from public.users', '42501', null, 'or without one');
select set_config('request.jwt.claims', jsonb_build_object('sub', tests.id('climber'), 'role', 'authenticated',
  'user_metadata', '{"role": "admin"}'::jsonb, 'user_role', 'admin')::text, true);
select is(private.is_platform_admin(), false, 'a token that says so makes none');
select public.create_workspace('Team');
select is(private.is_platform_admin(), false, 'nor does a team');
select tests.be_anonymous();
select throws_ok('update public.users set role = ''admin''', '42501', null, 'nor who is not signed in');

select tests.be_postgres();
select is_empty($$
  select a.* from (values ('anon'), ('authenticated')) r (role_name), (values ('role'), ('is_active')) a (column_name)
  where has_column_privilege(role_name, 'public.users', column_name, 'insert, update')
$$, 'no client''s role may write these columns');
select is_empty($$
  select p.oid::regprocedure from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and p.prosrc ~ 'public\.users'
    and p.prosrc ~* 'set\s+([a-z_]+ = [^;]*,\s*)?role = ' and p.prosrc ~* 'update public\.users'
$$, 'no function writes the role');
update public.users set role = 'admin' where id = tests.id('climber');
select tests.sign_in('climber');
select throws_ok('update public.users set role = ''admin'' where id = tests.id(''mate'')', '42501', null, 'nor does an admin make another');

select * from finish();
rollback;
