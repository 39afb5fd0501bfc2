begin;
select plan(3);
select tests.create_user(n) from unnest(array['customer', 'platform']) n;
update public.users set role = 'admin' where id = tests.id('platform');
select tests.sell('pack', 100);
select tests.be_service();
select tests.deliver('evt_1', tests.paid_pack('pack', 'tran_1'));
select tests.sign_in('platform');
select public.resolve_unmatched_payment((select id from public.unmatched_payment_emails), tests.id('customer'));
select results_eq($$ select action, resource_type, resource_id, actor_id, details from public.audit_logs order by id desc limit 1 $$,
  $$ select 'resolve_unmatched_payment', 'unmatched_payment_emails', id::text, tests.id('platform'),
    jsonb_build_object('workspace_id', tests.id('customer')) from public.unmatched_payment_emails $$, 'whose a payment is');
select tests.be_service();
select tests.deliver('evt_2', tests.reversed('tran_1', 1000, 'dispute', 'pending', 'dp_1'), '2026-01-02', '2026-01-02');
select tests.sign_in('platform');
select public.resolve_dispute('creem', 'dp_1', 'won');
select results_eq($$ select action, resource_id, actor_email, details from public.audit_logs where action = 'resolve_dispute' $$,
  $$ values ('resolve_dispute', 'dp_1', 'platform@example.test', '{"platform": "creem", "outcome": "won"}'::jsonb) $$, 'how a dispute ended');
select public.replay_payment_event((select id from public.payment_events where event_id = 'evt_1'));
select results_eq($$ select action, details from public.audit_logs order by id desc limit 1 $$,
  $$ values ('replay_payment_event', '{"state": "applied"}'::jsonb) $$, 'that an event was applied again');

select * from finish();
rollback;
