begin;
select plan(10);
select tests.create_user('owner');
select tests.create_user('stranger');
select tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.sell('prod_basic', 100, 'basic');
select tests.be_service();
select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'owner'));
select tests.deliver('evt_2', jsonb_set(tests.paid_period('prod_basic', '2026-01-01', null, 'sub_2'), '{owner}', '{}'));

create function pg_temp.seen() returns text language sql as $$
  select concat_ws(' ', (select count(*) from public.payments), (select count(*) from public.user_subscriptions),
    (select count(*) from public.subscription_history), (select count(*) from public.payment_customers),
    (select count(*) from public.payment_events), (select count(*) from public.unmatched_payment_emails),
    (select count(*) from public.admin_notifications), (select count(*) from public.current_subscriptions))
$$;
grant execute on function pg_temp.seen to public;
select is(pg_temp.seen(), '2 2 2 2 2 1 1 3', 'the service role sees all');
select tests.sign_in('owner');
select is(pg_temp.seen(), '1 1 1 1 0 0 0 1', 'an owner sees the workspace''s own');
select throws_ok('update public.payments set amount = 1', '42501', null, 'and changes nothing');
select throws_ok('update public.user_subscriptions set plan_type = ''pro''', '42501', null, 'of it');
select throws_ok($$ select public.receive_payment_event('creem', 'evt_9', 'x', now(), '{}') $$, '42501', null, 'nor makes events');
select tests.sign_in('stranger');
select is(pg_temp.seen(), '0 0 0 0 0 0 0 1', 'a stranger sees nothing');
select throws_ok($$ insert into public.user_email_aliases (user_id, email) values (tests.id('owner'), 'x@example.test') $$,
  '42501', null, 'and adds no address for another');
select throws_ok($$ insert into public.user_email_aliases (user_id, email)
  select tests.id('stranger'), n || '@example.test' from generate_series(1, 21) n $$, 'PT429', 'limit_reached',
  'or more than twenty of their own');
select tests.be_anonymous();
select throws_ok('select * from public.payments', '42501', null, 'nor does who is not signed in');
select tests.sign_in('admin');
select is(pg_temp.seen(), '0 0 0 0 2 1 1 1', 'a platform admin sees what there is to settle');

select * from finish();
rollback;
