begin;
select plan(24);
select tests.create_user('owner'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger'), tests.create_user('platform');
update public.users set role = 'admin' where id = tests.id('platform');
select tests.create_team('team');
insert into public.workspace_members (workspace_id, user_id, role) values (tests.id('team'), tests.id('owner'), 'owner'),
  (tests.id('team'), tests.id('admin'), 'admin'), (tests.id('team'), tests.id('member'), 'member');
insert into public.notifications (workspace_id, user_id, kind) values
  (tests.id('team'), null, 'debt'), (tests.id('team'), tests.id('member'), 'limit_share');
create function pg_temp.seen() returns text language sql as $$ select string_agg(kind, ' ' order by id) from public.notifications $$;
grant execute on function pg_temp.seen to authenticated, anon, service_role;

select tests.sign_in('owner');
select is(pg_temp.seen(), 'debt', 'an owner reads what the workspace is told, and nobody else''s');
select tests.sign_in('admin');
select is(pg_temp.seen(), 'debt', 'an admin as well');
select lives_ok($$ update public.notifications set read_at = now() $$, 'and marks it as read');
select throws_ok($$ update public.notifications set read_at = 'infinity' $$, '23514', null, 'at a time that there is');
select throws_ok($$ update public.notifications set data = '{"a": 1}' $$, '42501', null, 'and changes nothing else of it');
select throws_ok($$ update public.notifications set user_id = auth.uid() $$, '42501', null, 'nor whose it is');
select throws_ok($$ insert into public.notifications (workspace_id, kind) values (tests.id('team'), 'x') $$, '42501', null, 'nobody tells themselves anything');
select throws_ok('delete from public.notifications', '42501', null, 'or unsays it');
select tests.sign_in('member');
select is(pg_temp.seen(), 'limit_share', 'a member reads their own');
select tests.sign_in('stranger');
select is(pg_temp.seen(), null, 'a stranger nothing');
select tests.sign_in('platform');
select is(pg_temp.seen(), null, 'who runs the platform nothing');
select tests.be_anonymous();
select throws_ok('select * from public.notifications', '42501', null, 'who is not signed in is refused');
select tests.be_postgres();
select is((select string_agg(kind, ' ') from public.notifications where read_at is not null), 'debt', 'what was marked was what could be read');

select tests.sign_in('admin');
select lives_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'low_balance', 5), (tests.id('team'), 'debt', 0) $$, 'an admin sets alerts');
select lives_ok($$ update public.credit_alerts set threshold = 6 where kind = 'low_balance' $$, 'changes');
select lives_ok($$ delete from public.credit_alerts where kind = 'debt' $$, 'and removes them');
select throws_ok($$ update public.credit_alerts set last_fired_at = now() $$, '42501', null, 'but not when they fired');
select throws_ok($$ update public.credit_alerts set workspace_id = auth.uid() $$, '42501', null, 'nor whose they are');
select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('stranger'), 'debt', 1) $$, '42501', null, 'and none in a workspace that is not theirs');
select tests.sign_in('member');
select is_empty('select * from public.credit_alerts', 'a member sees no alerts');
select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'debt', 1) $$, '42501', null, 'and sets none');
select tests.be_postgres();
insert into public.credit_alerts (workspace_id, kind, threshold) select tests.id('team'), 'debt', n from generate_series(1, 19) n;
select tests.sign_in('stranger');
select throws_ok($$ insert into public.credit_alerts (workspace_id, kind, threshold) values (tests.id('team'), 'debt', 50) $$, '42501', null, 'a stranger is not told how many there are');
select tests.be_postgres();
delete from auth.users where id = tests.id('member');
select is((select string_agg(kind, ' ') from public.notifications), 'debt', 'what a person was told goes with them and becomes nobody else''s');
select is((select array_agg(schemaname || '.' || tablename order by tablename) from pg_catalog.pg_publication_tables where pubname = 'supabase_realtime'), array['public.notifications', 'public.session_usage', 'public.video_jobs'],
  'frontends may subscribe to notifications');

select * from finish();
rollback;
