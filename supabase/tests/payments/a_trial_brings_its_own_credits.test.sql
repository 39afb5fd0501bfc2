begin;
select plan(11);
select tests.create_guest('owner');
select tests.sell('prod_basic', 100, 'basic', trial_credits => 10);
select tests.be_service();

select tests.deliver('evt_1', tests.told_status('trialing', 'prod_basic', more => jsonb_build_object(
  'period_start', '2026-01-01', 'period_end', '2026-01-08'))
  || jsonb_build_object('owner', jsonb_build_object('user_id', tests.id('owner')), 'history', '["trial_started"]'::jsonb,
    'period', '{"start": "2026-01-01T00:00:00Z", "end": "2026-01-08T00:00:00Z", "is_trial": true, "product_id": "prod_basic"}'::jsonb));
select is(tests.wallet('owner'), 'balance 10, total 10, spent 0, expired 0, held 0', 'a trial brings the trial''s credits');
select is(tests.plan_of('owner'), 'basic trialing', 'and the plan');
select results_eq($$ select kind::text, is_paid, expires_at from public.credit_grants where workspace_id = tests.id('owner') $$,
  $$ values ('promotion', false, '2026-01-11'::timestamptz) $$, 'nobody has paid for them, and they end with it');
select results_eq('select event_type from public.subscription_history', array['trial_started'], 'the history tells of it');

select tests.deliver('evt_2', tests.paid_period('prod_basic', '2026-01-08', 'owner'), '2026-01-08', '2026-01-08');
select is(tests.wallet('owner'), 'balance 110, total 110, spent 0, expired 0, held 0', 'the first payment brings the plan''s');
select results_eq('select event_type from public.subscription_history order by id',
  array['trial_started', 'payment_succeeded', 'trial_ended'], 'and ends the trial');
select tests.deliver('evt_3', tests.paid_period('prod_basic', '2026-02-07', 'owner'), '2026-02-07', '2026-02-07');
select is((select count(*)::integer from public.subscription_history where event_type = 'trial_ended'), 1, 'once');
select is(tests.wallet('owner'), 'balance 200, total 210, spent 0, expired 10, held 0', 'trial credits do not roll over');
select tests.deliver('evt_4', tests.told_status('trialing', 'prod_basic', 'sub_2') || jsonb_build_object(
  'owner', jsonb_build_object('user_id', tests.id('owner')),
  'period', '{"start": "2026-02-10T00:00:00Z", "end": "2026-02-17T00:00:00Z", "is_trial": true, "product_id": "prod_basic"}'::jsonb),
  '2026-02-10', '2026-02-10');
select is(tests.wallet('owner'), 'balance 100, total 210, spent 0, expired 110, held 0', 'a second trial brings none');
select tests.be_postgres();
select tests.create_team('team');
select tests.be_service();
select tests.deliver('evt_5', tests.told_status('trialing', 'prod_basic', 'sub_3') || jsonb_build_object(
  'owner', jsonb_build_object('user_id', tests.id('owner'), 'workspace_id', tests.id('team')),
  'period', '{"start": "2026-02-10T00:00:00Z", "end": "2026-02-17T00:00:00Z", "is_trial": true, "product_id": "prod_basic"}'::jsonb),
  '2026-02-10', '2026-02-10');
select is(tests.wallet('team'), 'balance 0, total 0, spent 0, expired 0, held 0', 'nor does one of the same person''s in a team');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
