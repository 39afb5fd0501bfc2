begin;
select plan(16);
select tests.create_user('owner');
select tests.create_user('next');
select tests.sell('prod_basic', 100, 'basic');
update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email';
update auth.users set email = 'payer@example.test', email_confirmed_at = now() where id = tests.id('owner');
select tests.be_service();
select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'owner'));
select tests.deliver('evt_0', tests.told_status('canceled', 'prod_basic', 'sub_0') || jsonb_build_object('owner',
  jsonb_build_object('user_id', tests.id('owner'))));
select tests.be_postgres();
delete from auth.users where id = tests.id('owner');

select results_eq('select workspace_id, user_id, amount from public.payments', $$ values (null::uuid, null::uuid, 1000::bigint) $$,
  'the payment stays without the person');
select results_eq('select workspace_id, user_id, is_live from public.user_subscriptions', $$ values (null::uuid, null::uuid, false), (null, null, false) $$,
  'so do the subscriptions');
select results_eq('select distinct email, name from public.payment_customers', $$ values (null::text, null::text) $$, 'the customer has no address');
select results_eq('select distinct raw_body, facts ? ''customer'' from public.payment_events', $$ values (null::text, false) $$,
  'nor have the events');
select is_empty($$ select * from private.payment_facts where subject = 'customer' $$, 'or the facts');
select results_eq('select platform::text, task, subscription_id from private.payment_tasks',
  $$ values ('creem', 'cancel_subscription', 'sub_1') $$, 'the one that has not ended is to be cancelled at the platform');

update auth.users set email = 'payer@example.test', email_confirmed_at = now() where id = tests.id('next');
select tests.be_service();
select tests.deliver('evt_2', tests.paid_period('prod_basic', '2026-01-01'));
select tests.deliver('evt_3', tests.paid_period('prod_basic', '2026-01-31'), '2026-01-31', '2026-01-31');
select is(tests.wallet('next'), 'balance 3, total 3, spent 0, expired 0, held 0', 'what was theirs becomes nobody else''s');
select is_empty('select * from public.unmatched_payment_emails', 'and waits for nobody');

select results_eq('select distinct email, name from public.payment_customers', $$ values (null::text, null::text) $$,
  'late events bring no name or address back');
select is((select count(*)::integer from public.payment_events where raw_body is not null or facts ? 'customer'), 0, 'nor a body');
select tests.be_postgres();
select is_empty($$ select * from private.payment_facts where subject = 'customer' $$, 'nor a fact');
update private.payment_tasks set state = 'done';
select tests.be_service();
select tests.deliver('evt_4', tests.paid_period('prod_basic', '2026-03-02'), '2026-03-02', '2026-03-02');
select is(public.claim_payment_task() ->> 'subscription_id', 'sub_1', 'a subscription that goes on is to be cancelled once more');
select is(public.claim_payment_task(), null, 'by one at a time');
select tests.be_postgres();
update private.payment_tasks set attempts = 5000, due_at = now();
select tests.be_service();
select isnt(public.claim_payment_task(), null, 'however often it failed');
select public.finish_payment_task((public.claim_payment_task(at => now() + interval '2 days') ->> 'id')::bigint, 'no answer');
select is(public.claim_payment_task(at => now() + interval '4 days') ->> 'subscription_id', 'sub_1', 'and comes again until it is done');
select public.finish_payment_task((public.claim_payment_task(at => now() + interval '6 days') ->> 'id')::bigint);
select is(public.claim_payment_task(at => now() + interval '9 days'), null, 'not after');

select * from finish();
rollback;
