begin;
select plan(7);
select tests.create_guest('owner');
select tests.create_user('buyer');
select tests.sell('prod_pack', 60, expires_after_days => 30);
select tests.sell('prod_basic', 100, 'basic');
select tests.sell('prod_huge', 500);
update public.system_config set config_value = '100' where config_key = 'max_credits_balance';
select tests.be_service();

select tests.deliver('evt_1', tests.paid_pack('prod_pack', 'tran_1', 'owner'));
select is(tests.deliver('evt_2', tests.paid_pack('prod_pack', 'tran_2', 'owner')), 'applied', 'a payment past the cap is applied');
select is(tests.wallet('owner'), 'balance 120, total 120, spent 0, expired 0, held 0', 'and its credits count at once');
select tests.deliver('evt_3', tests.paid_period('prod_basic', '2026-01-01', 'owner'));
select is(tests.wallet('owner'), 'balance 220, total 220, spent 0, expired 0, held 0', 'so do those of a period');
select is_empty('select kind from public.admin_notifications', 'nobody has to be notified');

select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('buyer'),
  (select id from public.payment_products where product_id = 'prod_huge')), 'PT422', 'credits_cap_exceeded',
  'a checkout that would pass the cap is refused');
select throws_ok(format('select public.begin_checkout(%L, %L, at => ''2026-01-02'')', tests.id('owner'),
  (select id from public.payment_products where product_id = 'prod_pack')), 'PT422', 'credits_cap_exceeded',
  'also for a workspace that is past it');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
