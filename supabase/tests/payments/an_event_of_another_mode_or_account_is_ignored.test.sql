begin;
select plan(10);
select tests.create_guest('owner');
select tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.sell('prod_pack', 50);
create function pg_temp.tell(id text, told_mode text, told_account text default null) returns text language sql as $$
  select public.receive_payment_event('creem', id, 'test', now(), '{}', '{"rank": 0}' || tests.paid_pack('prod_pack', id, 'owner'),
    mode => told_mode, account => told_account) ->> 'state' $$;
grant execute on all functions in schema pg_temp to service_role;
select tests.be_service();

select is(pg_temp.tell('tran_1', 'test'), 'applied', 'where no mode is set both count');
select tests.be_postgres();
update public.system_config set config_value = '"live"' where config_key = 'payment_mode';
select tests.be_service();
select is(pg_temp.tell('tran_2', 'test'), 'ignored', 'in a live project one of test mode does not');
select is(pg_temp.tell('tran_2', 'test'), 'ignored', 'however often it comes');
select is(pg_temp.tell('tran_3', 'live'), 'applied', 'one of live mode does');
select is(pg_temp.tell('tran_4', null), 'applied', 'and one that tells no mode');
select is(pg_temp.tell('tran_5', 'live', 'acct_other'), 'ignored', 'but none of another account');
select results_eq($$ select subject, data ->> 'error' from public.admin_notifications where kind = 'payment_event_foreign' order by 1 $$,
  $$ values ('creem acct_other', 'It is of account acct_other, which stripe_account does not name.'),
    ('creem test', 'It is of test mode, and payment_mode is live.') $$, 'admins are told, once each');
select tests.be_postgres();
update public.system_config set config_value = '"acct_other"' where config_key = 'stripe_account';
select tests.be_service();
select is(pg_temp.tell('tran_6', 'live', 'acct_other'), 'applied', 'unless a setting names it');
select is(tests.wallet('owner'), 'balance 200, total 200, spent 0, expired 0, held 0', 'credits came of those that count');
select tests.sign_in('admin');
select is((select to_jsonb(public.replay_payment_event(id)) ->> 'state' from public.payment_events where event_id = 'tran_2'), 'applied',
  'an admin may have one count all the same');

select * from finish();
rollback;
