begin;
select plan(6);
select tests.create_user('someone');
update public.plans set is_active = false where plan = 'pro';

select tests.be_anonymous();
select results_eq('select plan from public.plans order by rank', array['free', 'basic', 'creator', 'enterprise'],
  'anyone reads those on offer');
select throws_ok($$ update public.plans set rank = 9 $$, '42501', null, 'and changes none');

select tests.sign_in('someone');
select is((select count(*) from public.plans), 4::bigint, 'people too');
select throws_ok($$ insert into public.plans (plan, name, rank) values ('x', 'X', 9) $$, '42501', null, 'and add none');
select tests.be_service();
select is((select count(*) from public.plans), 5::bigint, 'the service role reads all');
select throws_ok($$ insert into public.plans (plan, name, rank) values ('x', 'X', 3) $$, '23505', null,
  'no two have the same rank');

select * from finish();
rollback;
