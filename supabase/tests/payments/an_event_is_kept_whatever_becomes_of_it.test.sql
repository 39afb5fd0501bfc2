begin;
select plan(14);
select tests.create_guest('owner');
select tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
select tests.sell('prod_pack', 50);
select tests.be_service();

select is(public.receive_payment_event('stripe', 'evt_1', 'plan.created', now(), '{"a": 1}') ->> 'state', 'ignored',
  'one that tells us nothing is kept');
select is(public.receive_payment_event('stripe', 'evt_2', 'invoice.paid', now(), '{}', problem => 'id is missing') ->> 'state',
  'failed', 'so is one that cannot be read');
select is(tests.deliver('evt_3', jsonb_set(tests.paid_pack('prod_pack', 'tran_3', 'owner'), '{payment,amount}', '"much"')),
  'failed', 'and one that cannot be applied');
select results_eq($$ select event_id, state::text, attempts, error_code from public.payment_events order by event_id $$,
  $$ values ('evt_1', 'ignored', 1, null), ('evt_2', 'failed', 1, 'invalid_payload'), ('evt_3', 'failed', 1, '22P02') $$,
  'with what became of it');
select is((select count(*)::integer from public.payments), 0, 'nothing of it is half done');
select tests.be_postgres();
select is_empty('select * from private.payment_facts', 'not even a fact');
select tests.be_service();
select is((select count(*)::integer from public.admin_notifications where kind = 'payment_event_failed'), 2, 'admins are told');

select is(tests.deliver('evt_3', tests.paid_pack('prod_pack', 'tran_3', 'owner')), 'applied', 'a retry tries again');
select is(tests.wallet('owner'), 'balance 50, total 50, spent 0, expired 0, held 0', 'and then it counts');

select tests.deliver('evt_4', tests.paid_pack('prod_new', 'tran_4', 'owner'));
select is(tests.wallet('owner'), 'balance 50, total 50, spent 0, expired 0, held 0', 'a product that is not ours brings nothing');
select tests.be_postgres();
select tests.sell('prod_new', 70);
select tests.sign_in('owner');
select throws_ok($$ select public.replay_payment_event(1) $$, 'PT403', 'forbidden', 'only an admin replays an event');
select tests.sign_in('admin');
select is((select to_jsonb(public.replay_payment_event(id)) ->> 'state' from public.payment_events where event_id = 'evt_4'), 'applied',
  'who has put it on sale by now');
select tests.be_service();
select is(tests.wallet('owner'), 'balance 120, total 120, spent 0, expired 0, held 0', 'then it brings its credits');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
