begin;
select plan(25);
select tests.create_user('owner');
select tests.create_user('stranger');
select tests.sell('prod_basic', 100, 'basic');
select tests.sell('prod_pro', 300, 'pro');
select tests.sell('prod_pack', 50);
update public.system_config set config_value = '"https://app.example.com, http://localhost:3000"' where config_key = 'checkout_return_urls';
create function pg_temp.product(name text) returns uuid language sql as
$$ select id from public.payment_products where product_id = $1 $$;
grant execute on function pg_temp.product to public;
select tests.be_service();

select is(public.begin_checkout(tests.id('owner'), pg_temp.product('prod_basic')) - 'workspace_id' - 'user_id' - 'proof',
  '{"email": "owner@example.test", "platform": "creem", "product_id": "prod_basic", "price_id": null, "kind": "plan",
    "trial_days": 0, "customer_id": null, "return_urls": ["https://app.example.com", "http://localhost:3000"]}',
  'a checkout of a plan');
select throws_ok(format('select public.begin_checkout(%L, %L, 1, %L)', tests.id('stranger'), pg_temp.product('prod_basic'),
  tests.id('owner')), 'PT403', 'forbidden', 'not for somebody else''s workspace');
select throws_ok(format('select public.begin_checkout(%L, %L, 0)', tests.id('owner'), pg_temp.product('prod_basic')), 'PT400',
  'invalid_request', 'not of nothing');
select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('owner'), gen_random_uuid()), 'PT404', 'not_found',
  'not of what is not sold');
select tests.be_postgres();
select tests.sell('prod_gone', 10);
update public.payment_products set is_active = false where product_id = 'prod_gone';
select tests.be_service();
select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('owner'), pg_temp.product('prod_gone')), 'PT404', 'not_found',
  'nor of what is sold no more');
select throws_ok(format('select public.begin_checkout(%L, %L)', gen_random_uuid(), pg_temp.product('prod_basic')), 'PT401',
  'not_authenticated', 'not for nobody');
select throws_ok(format('select public.get_billing_account(%L, %L)', tests.id('stranger'), tests.id('owner')), 'PT403', 'forbidden',
  'nor is a portal');
select throws_ok(format('select public.begin_plan_change(%L, %L)', tests.id('owner'), pg_temp.product('prod_pro')), 'PT409',
  'invalid_state', 'without a subscription no plan changes');

select tests.remember('proof', public.begin_checkout(tests.id('owner'), pg_temp.product('prod_basic')) ->> 'proof');
select tests.deliver('evt_0', jsonb_set(tests.paid_pack('prod_pack', 'tran_0', 'owner'), '{customer}', '{"id": "cust_0"}'));
select is(public.begin_checkout(tests.id('owner'), pg_temp.product('prod_pack')) ->> 'customer_id', null,
  'metadata that anyone may have written names no customer to pay as');
select tests.deliver('evt_1', tests.paid_period('prod_basic', now(), 'owner') || jsonb_build_object('owner', jsonb_build_object(
  'workspace_id', tests.id('owner'), 'user_id', tests.id('owner'), 'proof', tests.recall('proof'))), at => now());
select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('owner'), pg_temp.product('prod_pro')), 'PT409',
  'invalid_state', 'a second subscription is not sold');
select is(public.begin_checkout(tests.id('owner'), pg_temp.product('prod_pack')) ->> 'customer_id', 'cust_1',
  'a pack is, to the same customer');
select is(public.begin_plan_change(tests.id('owner'), pg_temp.product('prod_pro')) - 'price_id',
  '{"platform": "creem", "subscription_id": "sub_1", "product_id": "prod_pro", "units": 1, "is_upgrade": true}', 'its plan may change');
select throws_ok(format('select public.begin_plan_change(%L, %L)', tests.id('owner'), pg_temp.product('prod_pack')), 'PT400',
  'invalid_request', 'to a plan');
select is(public.get_billing_account(tests.id('owner')) #>> '{subscription,plan}', 'basic', 'its account is there to see');
select tests.deliver('evt_2', tests.told_status('paused'), now() + interval '1 second', now() + interval '1 second');
select is(tests.plan_of('owner'), 'free paused', 'a paused subscription gives no plan');
select is(public.get_billing_account(tests.id('owner')) #>> '{subscription,status}', 'paused', 'but is there to be resumed or cancelled');
select throws_ok(format('select public.begin_checkout(%L, %L)', tests.id('owner'), pg_temp.product('prod_pro')), 'PT409',
  'invalid_state', 'and no second one is sold');
select is(public.begin_subscription_change(tests.id('owner'), 'resume'), '{"platform": "creem", "subscription_id": "sub_1"}', 'which they may');
select throws_ok(format('select public.begin_subscription_change(%L, %L)', tests.id('owner'), 'sell'), 'PT400', 'invalid_request', 'and nothing else');
select throws_ok(format('select public.begin_subscription_change(%L, %L)', tests.id('stranger'), 'resume'), 'PT404', 'not_found', 'nor what is not there');
select tests.deliver('evt_l', jsonb_set(tests.told_status('trialing', 'prod_pro', 'sub_link'), '{owner}',
  jsonb_build_object('user_id', tests.id('stranger'), 'by', 'reference')), now(), now());
select is(public.get_billing_account(tests.id('stranger')) ->> 'subscription', null, 'a subscription that a link named is not theirs to manage');
select tests.be_postgres();
insert into public.payment_customers (platform, customer_id, workspace_id, bound_by)
values ('creem', 'cust_typed', tests.id('owner'), 'email'), ('creem', 'cust_linked', tests.id('owner'), 'reference'),
  ('creem', 'email:a@example.test', tests.id('owner'), 'metadata');
select tests.be_service();
select is(public.begin_checkout(tests.id('owner'), pg_temp.product('prod_pack')) ->> 'customer_id', 'cust_1',
  'nobody pays as a customer that a stranger could have made');
select is((select string_agg(c ->> 'customer_id', ' ' order by c ->> 'customer_id')
  from jsonb_array_elements(public.get_billing_account(tests.id('owner')) -> 'customers') c), 'cust_0 cust_1 cust_typed',
  'or sees one that a link named');
select is(to_jsonb(public.list_payment_products()) #>> '{packs,0,credits}', '50', 'what is sold can be listed');
select tests.be_anonymous();
select is(jsonb_array_length(to_jsonb(public.list_payment_products()) -> 'plans'), 5, 'by anyone');

select * from finish();
rollback;
