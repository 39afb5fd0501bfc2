-- Every function of platform admins, refused to everyone else.
begin;
select plan(36);
select tests.hide_yours();
select tests.create_user(n) from unnest(array['customer', 'platform', 'disabled']) n;
update public.users set role = 'admin' where id in (tests.id('platform'), tests.id('disabled'));
update public.users set is_active = false where id = tests.id('disabled');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('m', 'M', 'up', 1);
create table pg_temp.calls (call text);
insert into pg_temp.calls values
  ($$ select public.admin_find_users('customer') $$),
  ($$ select public.admin_find_workspaces('customer') $$),
  ($$ select public.admin_adjust_credits(tests.id('customer'), 1, 'why', 'k' || current_setting('role')) $$),
  ($$ select public.admin_set_account_active(tests.id('customer'), true, 'why') $$),
  ($$ select public.admin_set_overdraft(tests.id('customer'), 1, 'why') $$),
  ($$ select public.admin_set_config('signup_credits', '4', 'why') $$),
  ($$ select public.admin_set_model_price('m', 'why', 1) $$);
grant select on pg_temp.calls to public;
create table pg_temp.named as select distinct proname from pg_catalog.pg_proc
  where pronamespace = 'public'::regnamespace and proname ~ '^admin_';
select is((select count(*) from pg_temp.named), (select count(*) from pg_temp.calls), 'all of them are here');

select tests.be_anonymous();
select throws_ok(c.call, '42501', null, 'not by who is not signed in:' || c.call) from pg_temp.calls c;
select tests.sign_in('customer');
select throws_ok(c.call, 'PT403', 'forbidden', 'not by a person:' || c.call) from pg_temp.calls c;
select tests.sign_in('disabled');
select throws_ok(c.call, 'PT403', 'forbidden', 'not by an admin who is disabled:' || c.call) from pg_temp.calls c;
select tests.be_service();
select lives_ok(c.call, 'by the service role:' || c.call) from pg_temp.calls c;
select tests.sign_in('platform');
select lives_ok(c.call, 'by a platform admin:' || c.call) from pg_temp.calls c;

select * from finish();
rollback;
