begin;
select plan(25);
select tests.create_user('owner');
select tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.sell('prod_pack', 50);
update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email';

create function pg_temp.pays(event_id text, customer text, email text, tran text) returns text language sql as $$
  select tests.deliver(event_id, jsonb_set(tests.paid_pack('prod_pack', tran), '{customer}',
    jsonb_build_object('id', customer, 'email', email)))
$$;

select pg_temp.pays('evt_1', 'cust_1', 'owner@example.test', 'tran_1');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0', 'an address nobody has confirmed claims nothing');
select results_eq('select email, resolved_at, workspace_id from public.unmatched_payment_emails',
  $$ values ('owner@example.test', null::timestamptz, null::uuid) $$, 'the payment waits');
select results_eq('select kind from public.admin_notifications', array['payment_unmatched'], 'and admins are told');
update auth.users set email_confirmed_at = now() where id = tests.id('owner');
select is(tests.wallet('owner'), 'balance 53, total 53, spent 0, expired 0, held 0', 'who confirms it has the credits');
select isnt((select resolved_at from public.unmatched_payment_emails), null, 'and it waits no more');
select pg_temp.pays('evt_2', 'cust_1', 'else@example.test', 'tran_2');
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0', 'the customer is known from then on');
select pg_temp.pays('evt_3', 'cust_2', 'OWNER@example.test', 'tran_3');
select is(tests.wallet('owner'), 'balance 153, total 153, spent 0, expired 0, held 0', 'a confirmed address matches at once');

select tests.sign_in('owner');
insert into public.user_email_aliases (user_id, email) values (tests.id('owner'), 'second@example.test');
select throws_ok($$ update public.user_email_aliases set confirmed_at = now() $$, '42501', null, 'nobody confirms an address themselves');
select tests.be_postgres();
select pg_temp.pays('evt_4', 'cust_3', 'second@example.test', 'tran_4');
select is(tests.wallet('owner'), 'balance 153, total 153, spent 0, expired 0, held 0', 'a further address counts once it is confirmed');
update public.user_email_aliases set confirmed_at = now();
select is(tests.wallet('owner'), 'balance 203, total 203, spent 0, expired 0, held 0', 'then it does');

select pg_temp.pays('evt_5', 'cust_4', 'nobody@example.test', 'tran_5');
select tests.remember('unmatched', id) from public.unmatched_payment_emails where resolved_at is null;
select tests.sign_in('owner');
select throws_ok(format('select public.resolve_unmatched_payment(%L, %L)', tests.recall('unmatched'), tests.id('owner')), 'PT403',
  'forbidden', 'who is no admin resolves nothing');
select is_empty('select * from public.unmatched_payment_emails', 'nor sees it');
select tests.sign_in('admin');
select public.resolve_unmatched_payment(tests.recall('unmatched')::uuid, tests.id('owner'));
select lives_ok(format('select public.resolve_unmatched_payment(%L, %L)', tests.recall('unmatched'), tests.id('owner')),
  'an admin does, and may say it twice');
select throws_ok(format('select public.resolve_unmatched_payment(%L, %L)', tests.recall('unmatched'), tests.id('admin')), 'PT409',
  'invalid_state', 'but not otherwise');
select tests.be_postgres();
select is(tests.wallet('owner'), 'balance 253, total 253, spent 0, expired 0, held 0', 'the credits arrive as if matched at once');

insert into auth.users (id, email, email_confirmed_at, is_sso_user)
values (tests.id('twin'), 'owner@example.test', now(), true);
select pg_temp.pays('evt_twin', 'cust_twin', 'owner@example.test', 'tran_twin');
select is(tests.wallet('owner'), 'balance 253, total 253, spent 0, expired 0, held 0',
  'of two accounts that have confirmed an address neither is taken');
select tests.deliver('evt_n1', jsonb_set(tests.paid_pack('prod_pack', 'tran_n1'), '{customer}', '{"id": "cust_n"}'));
select tests.deliver('evt_n2', '{"customer": {"id": "cust_n", "email": " Late@example.test "}, "payment": {"id": "tran_n1"}}', '2026-01-02');
select is((select email from public.unmatched_payment_emails where customer_id = 'cust_n'), 'Late@example.test',
  'an address may come later');
update auth.users set email = 'late@example.test' where id = tests.id('admin');
update auth.users set email_confirmed_at = now() where id = tests.id('admin');
select is(tests.wallet('admin'), 'balance 53, total 53, spent 0, expired 0, held 0', 'and claims as any');
update auth.users set email_confirmed_at = null where id = tests.id('admin');
select tests.deliver('evt_g1', jsonb_set(tests.paid_pack('prod_pack', 'tran_g1', 'admin'), '{customer}', '{"email": "typed@example.test"}'));
select tests.deliver('evt_g2', jsonb_set(tests.paid_pack('prod_pack', 'tran_g2'), '{customer}', '{"email": "typed@example.test"}'));
select is(tests.wallet('admin'), 'balance 103, total 103, spent 0, expired 0, held 0', 'a typed address is nobody''s for the next time');
select tests.deliver('evt_c1', jsonb_set(tests.paid_pack('prod_pack', 'tran_c1', 'admin'), '{customer}',
  '{"id": "cust_shared", "email": "second@example.test"}'));
select tests.deliver('evt_c2', jsonb_set(tests.paid_pack('prod_pack', 'tran_c2'), '{customer}',
  '{"id": "cust_shared", "email": "second@example.test"}'));
select is(tests.wallet('admin') || ', ' || tests.wallet('owner'), 'balance 153, total 153, spent 0, expired 0, held 0, '
  'balance 253, total 253, spent 0, expired 0, held 0', 'nor is a customer whose address another account has confirmed');
select tests.deliver('evt_l1', jsonb_set(tests.paid_pack('prod_pack', 'tran_l1', 'owner'), '{owner,by}', '"reference"'));
select tests.deliver('evt_l2', tests.reversed('tran_l1', 1000, 'dispute', 'open', 'disp_l'));
select is(tests.wallet('owner') || coalesce((select frozen_at::text from public.credit_wallets where workspace_id = tests.id('owner')), ''),
  'balance 253, total 253, spent 0, expired 0, held 0', 'who is named by a link is not frozen by its dispute');
update public.system_config set config_value = 'false' where config_key = 'match_payments_by_email';
select pg_temp.pays('evt_6', 'cust_5', 'owner@example.test', 'tran_6');
select is(tests.wallet('owner'), 'balance 253, total 253, spent 0, expired 0, held 0', 'where matching by address is off, none counts');
select tests.deliver('evt_7', jsonb_set(tests.paid_pack('prod_pack', 'tran_7', 'owner'), '{customer,id}', '"cust_5"'));
select is(tests.wallet('owner'), 'balance 303, total 303, spent 0, expired 0, held 0',
  'a later payment that names the account brings its own credits and none that wait: anyone can type an address');
select tests.deliver('evt_8', jsonb_build_object('owner', jsonb_build_object('user_id', tests.id('owner')), 'customer',
  '{"id": "cust_5"}'::jsonb, 'payment', '{"id": "tran_6"}'::jsonb));
select is(tests.wallet('owner'), 'balance 353, total 353, spent 0, expired 0, held 0', 'a later event of that payment does');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
