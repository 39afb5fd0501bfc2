begin;
select plan(19);
select tests.create_guest('owner');
select tests.create_team('team');
select tests.sell('prod_basic', 100, 'basic');
select tests.sell('prod_pro', 300, 'pro');
select tests.sell('prod_pack', 50);
select tests.be_service();
select tests.deliver('evt_0', tests.paid_pack('prod_pack', 'tran_pack', 'owner'));
select tests.deliver('evt_1', tests.paid_period('prod_basic', '2026-01-01', 'owner'));

select tests.deliver('evt_2', tests.told_status('scheduled_cancel', more => '{"cancel_at_period_end": true}'), '2026-01-10', '2026-01-10');
select is(tests.plan_of('owner'), 'basic scheduled_cancel', 'a cancellation at the period''s end keeps the plan until then');
select tests.deliver('evt_3', tests.told_status('active', more => '{"cancel_at_period_end": false}'), '2026-01-11', '2026-01-11');
select is(tests.plan_of('owner'), 'basic active', 'and can be taken back');
select tests.deliver('evt_2_late', tests.told_status('scheduled_cancel', more => '{"cancel_at_period_end": true}'), '2026-01-10', '2026-01-12');
select is(tests.plan_of('owner'), 'basic active', 'an older word does not overwrite a newer one');

select tests.deliver('evt_r1', '{"rank": 63}' || tests.told_status('scheduled_cancel'), '2026-01-12', '2026-01-12');
select tests.deliver('evt_r2', '{"rank": 23}' || tests.told_status('active'), '2026-01-12', '2026-01-12');
select is(tests.plan_of('owner'), 'basic scheduled_cancel', 'of two words of one instant the one of the higher rank stands');
select tests.deliver('evt_4', tests.told_status('past_due'), '2026-01-31', '2026-01-31');
select is(tests.plan_of('owner'), 'basic past_due', 'a failed charge leaves the plan for a grace');
select tests.deliver('evt_5', tests.told_status('unpaid'), '2026-02-03', '2026-02-03');
select is(tests.plan_of('owner'), 'basic unpaid', 'counted from the first one');
select tests.be_postgres();
select is(private.end_next_access('2026-02-06'), false, 'which has not ended yet');
select is(private.end_next_access('2026-02-07'), true, 'a week later it has');
select is(tests.plan_of('owner'), 'free unpaid', 'without any event');
select tests.be_service();
select tests.deliver('evt_6', tests.paid_period('prod_basic', '2026-01-31', 'owner'), '2026-02-08', '2026-02-08');
select is(tests.plan_of('owner'), 'basic active', 'a recovery brings it back');

select tests.deliver('evt_6b', tests.told_status('past_due'), '2026-02-10', '2026-02-10');
select is((select past_due_since from public.user_subscriptions where subscription_id = 'sub_1'), '2026-02-10'::timestamptz,
  'the next failure has a grace of its own');
select tests.deliver('evt_7', tests.told_status('canceled'), '2026-02-20', '2026-02-20');
select is(tests.plan_of('owner'), 'free canceled', 'a final cancellation ends it');
select is(tests.wallet('owner'), 'balance 150, total 250, spent 0, expired 100, held 0', 'and touches no credits that were bought');
select results_eq('select plan, status::text from public.current_subscriptions where workspace_id = tests.id(''owner'')',
  $$ values ('free', 'inactive') $$, 'no subscription reads as free and inactive');

select tests.deliver('evt_8', tests.paid_period('prod_basic', '2026-03-01', 'owner', 'sub_2'), '2026-03-01', '2026-03-01');
select tests.deliver('evt_9', tests.paid_period('prod_pro', '2026-03-01', 'owner', 'sub_3'), '2026-03-01', '2026-03-01');
select results_eq('select subscription_id from public.user_subscriptions where is_live', array['sub_3'],
  'of two subscriptions the higher one is live');
select results_eq('select kind from public.admin_notifications', array['second_subscription'], 'and admins are told');
select tests.be_postgres();
select private.end_next_access('2026-05-01');
select is(tests.plan_of('owner'), 'free expired', 'a subscription that is not heard of any more ends with its grace');

select tests.be_service();
select tests.deliver('evt_10', tests.paid_period('prod_pro', '2026-01-01', null, 'sub_t') || jsonb_build_object('owner',
  jsonb_build_object('workspace_id', tests.id('team'))));
select tests.be_postgres();
select is((select plan from public.workspaces where id = tests.id('team')), 'pro', 'a team has the plan of its own subscription');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
