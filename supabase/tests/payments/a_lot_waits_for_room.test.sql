begin;
select plan(10);
select tests.create_guest('owner');
select tests.create_user('buyer');
select tests.sell('prod_pack', 60, expires_after_days => 30);
select tests.sell('prod_huge', 500);
update public.system_config set config_value = '100' where config_key = 'max_credits_balance';
select tests.be_service();

select tests.deliver('evt_1', tests.paid_pack('prod_pack', 'tran_1', 'owner'));
select is(tests.deliver('evt_2', tests.paid_pack('prod_pack', 'tran_2', 'owner')), 'applied', 'a payment past the cap is kept');
select is(tests.wallet('owner'), 'balance 60, total 60, spent 0, expired 0, held 0', 'its credits wait for room');
select results_eq('select kind from public.admin_notifications', array['credits_waiting'], 'and admins are told');
select tests.be_postgres();
select is(private.give_next_waiting_credits('2026-01-02'), false, 'there is none yet');
select tests.be_service();
select public.debit_user_credits_transaction(tests.id('owner'), 30, 'generation', at => '2026-01-05');
select tests.be_postgres();
select is(private.give_next_waiting_credits('2026-01-12'), true, 'now there is');
select results_eq($$ select expires_at from public.credit_grants where workspace_id = tests.id('owner') order by expires_at $$,
  array['2026-01-31'::timestamptz, '2026-02-11'], 'they live as long as they would have');
select is(tests.wallet('owner'), 'balance 90, total 120, spent 30, expired 0, held 0', 'they arrive');
select is(private.give_next_waiting_credits('2026-01-12'), false, 'once');

select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('buyer'),
  (select id from public.payment_products where product_id = 'prod_huge')), 'PT422', 'credits_cap_exceeded',
  'a checkout that would pass the cap is refused');
select is_empty('select * from public.verify_credits()', 'the books are right');

select * from finish();
rollback;
