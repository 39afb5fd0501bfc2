begin;
select plan(16);
select tests.create_user('ann'), tests.create_user('ben');

select tests.sign_in('ann');
select results_eq('select id from public.users', $$ values (tests.id('ann')) $$,
  'people see their own account and nobody else''s');
select results_eq('select id from public.workspaces', $$ values (tests.id('ann')) $$, 'and their own workspace');
select lives_ok($$ update public.users set full_name = 'Ann', phone = '1', preferred_language = 'pt-BR',
  theme_preference = 'dark',
  avatar_url = 'https://example.test/a.png' $$, 'they change their profile');
select results_eq($$ update public.users set full_name = 'x' where id = tests.id('ben') returning id $$,
  array[]::uuid[],
  'a stranger''s profile is out of reach');
select throws_ok($$ update public.users set avatar_url = 'javascript:alert(1)' $$, '23514', null,
  'a picture is a web address');
select throws_ok($$ update public.users set preferred_language = 'not a tag' $$, '23514', null,
  'a language is a language tag');
select throws_ok($$ update public.users set role = 'admin' $$, '42501', null, 'nobody makes themselves an admin');
select throws_ok($$ update public.users set is_active = true $$, '42501', null, 'nor active');
select throws_ok($$ update public.users set credits_balance = 1000 $$, '42501', null, 'nor rich');
select throws_ok($$ update public.users set subscription_plan = 'pro' $$, '42501', null, 'nor a subscriber');
select throws_ok($$ update public.users set email = 'x@example.test' $$, '42501', null,
  'the address follows the sign-in');
select throws_ok($$ insert into public.users (id) values (gen_random_uuid()) $$, '42501', null,
  'nobody makes accounts here');
select throws_ok($$ delete from public.users $$, '42501', null, 'or deletes them');

select tests.be_anonymous();
select throws_ok('select * from public.users', '42501', null, 'a client without sign-in sees no account');

select tests.be_service();
select lives_ok($$ update public.users set role = 'admin', is_active = false where id = tests.id('ben') $$,
  'the service role sets roles and disables accounts');
select throws_ok($$ update public.users set credits_balance = 1000 $$, '42501', null,
  'but the snapshot is the ledger''s alone');

select * from finish();
rollback;
