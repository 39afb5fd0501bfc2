begin;
select plan(6);
select tests.create_user('ann', 'ann@example.test');
select tests.create_user('ben', 'ben@example.test');

update auth.users set email = 'ann@other.test' where id = tests.id('ann');
select is((select email from public.users where id = tests.id('ann')), 'ann@other.test', 'the copy follows');
select is((select email from public.users where id = tests.id('ben')), 'ben@example.test', 'nobody else''s does');
update auth.users set email = null, phone = '491700000001' where id = tests.id('ann');
select is((select email from public.users where id = tests.id('ann')), null, 'to none as well');

update public.users set full_name = 'Own Choice' where id = tests.id('ben');
update auth.users set email = 'ben@other.test', raw_user_meta_data = '{"full_name": "From Provider"}'
  where id = tests.id('ben');
select is((select full_name from public.users where id = tests.id('ben')), 'Own Choice',
  'a profile is not written over');

alter table public.users add constraint broken check (email <> 'ben@third.test') not valid;
select lives_ok($$ update auth.users set email = 'ben@third.test' where id = tests.id('ben') $$,
  'a change never fails for a reason of ours');
alter table public.users drop constraint broken;
select private.run_due_work(now() + interval '2 minutes');
select is((select email from public.users where id = tests.id('ben')), 'ben@third.test', 'and is made up for');

select * from finish();
rollback;
