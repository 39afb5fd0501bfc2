begin;
select plan(12);
select tests.create_user('ann', 'ann@example.test');
select tests.create_user('ben', 'ben@example.test');

update auth.users set email = 'ann@other.test' where id = tests.id('ann');
select is((select email from public.users where id = tests.id('ann')), 'ann@other.test', 'the copy follows');
select is((select email from public.users where id = tests.id('ben')), 'ben@example.test', 'nobody else''s does');
update auth.users set email = null, phone = '491700000001' where id = tests.id('ann');
select is((select email from public.users where id = tests.id('ann')), null, 'to none as well');
select is((select phone from public.users where id = tests.id('ann')), '491700000001', 'the phone follows');
update auth.users set phone = '491700000002' where id = tests.id('ann');
select is((select phone from public.users where id = tests.id('ann')), '491700000002', 'each time');
update public.users set phone = '+49 170 2' where id = tests.id('ann');
update auth.users set email = 'ann@third.test' where id = tests.id('ann');
select is((select phone from public.users where id = tests.id('ann')), '+49 170 2', 'a changed address leaves it');
update auth.users set phone = null where id = tests.id('ann');
select is((select phone from public.users where id = tests.id('ann')), null, 'it goes when it is removed');

update public.users set full_name = 'Own Choice' where id = tests.id('ben');
update auth.users set email = 'ben@other.test', raw_user_meta_data = '{"full_name": "From Provider"}'
  where id = tests.id('ben');
select is((select full_name from public.users where id = tests.id('ben')), 'Own Choice',
  'a profile is not written over');

alter table public.users add constraint broken check (email <> 'ben@third.test') not valid;
select lives_ok($$ update auth.users set email = 'ben@third.test', phone = '491700000003' where id = tests.id('ben') $$,
  'a change never fails for a reason of ours');
alter table public.users drop constraint broken;
select private.run_due_work(now() + interval '2 minutes');
select is((select email from public.users where id = tests.id('ben')), 'ben@third.test', 'and is made up for');

select is((select phone from public.users where id = tests.id('ben')), '491700000003', 'the phone too');
update auth.users set phone = '491700000004' where id = tests.id('ben');
select is((select email || ' ' || phone from public.users where id = tests.id('ben')), 'ben@third.test 491700000004',
  'a phone that is added leaves the address');

select * from finish();
rollback;
