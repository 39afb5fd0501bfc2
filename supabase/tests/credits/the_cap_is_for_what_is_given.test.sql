begin;
select plan(9);
select tests.create_guest('owner');
update public.system_config set config_value = '10' where config_key = 'max_credits_balance';
select tests.be_service();

select lives_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 10, 'manual') $$, 'up to the cap');
select throws_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 0.000001, 'manual') $$, 'PT422',
  'credits_cap_exceeded', 'not past it by hand');
select throws_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 1, 'promotion') $$, 'PT422',
  'credits_cap_exceeded', 'nor as a promotion');
select lives_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'purchase') $$,
  'a purchase always counts');
select lives_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 5, 'renewal',
  kind => 'subscription') $$, 'so does a subscription');
select lives_ok($$ select public.debit_user_credits_transaction(tests.id('owner'), 8, 'generation') $$, 'after a use');
select public.credit_user_credits_transaction(tests.id('owner'), 8, 'purchase');
select lives_ok($$ select public.refund_user_credits(tests.id('owner'), 8, 'refund') $$, 'a refund always counts');
select is(tests.wallet('owner'), 'balance 28, total 28, spent 0, expired 0, held 0', 'all of that is there');
update public.system_config set is_active = false where config_key = 'max_credits_balance';
select lives_ok($$ select public.credit_user_credits_transaction(tests.id('owner'), 49972, 'manual') $$,
  'without the setting the cap is 50,000');

select * from finish();
rollback;
