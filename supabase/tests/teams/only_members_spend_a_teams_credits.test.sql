begin;
select plan(18);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'purchase', workspace_id => tests.id('team'));
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('one', 'One', 'up', 100, 1);
select private.set_model_price('one', '{"input": 0, "output": 0}', '2020-01-01');
select throws_ok(format('select public.%s', call), 'PT403', 'forbidden', 'nobody else may: ' || call)
from (select format(c, tests.id('stranger'), tests.id('team')) as call from (values
  ('debit_user_credits_transaction(%L, 1, ''x'', workspace_id => %L)'), ('debit_user_credits_transaction(%L, 1, ''x'', workspace_id => %L, idempotency_key => ''k'')'),
  ('hold_credits(%L, 1, ''x'', workspace_id => %L)'), ('hold_credits(%L, 0, ''x'', workspace_id => %L)'),
  ('record_ai_usage(%L, ''one'', ''r1'', charge => true, workspace_id => %L)'), ('record_ai_usage(%L, ''one'', ''r1'', workspace_id => %L)')) calls (c)) c;
select throws_ok(format('select public.debit_user_credits_transaction(%L, 1, ''x'', workspace_id => %L)', tests.id('ann'), tests.id('ben')), 'PT403',
  'forbidden', 'nor may anybody of somebody''s own');
select throws_ok(format('select public.debit_user_credits_transaction(%L, 1, ''x'', workspace_id => %L)', tests.id('ann'), gen_random_uuid()), 'PT404',
  'not_found', 'and nobody of none');

-- What was begun is finished after its person has left.
create temporary table begun as select
  (public.hold_credits(tests.id('ben'), 10, 'x', workspace_id => tests.id('team'))).hold_id as settled,
  (public.hold_credits(tests.id('ben'), 10, 'x', workspace_id => tests.id('team'))).hold_id as released,
  (public.debit_user_credits_transaction(tests.id('ben'), 5, 'x', workspace_id => tests.id('team'), idempotency_key => 'once')).transaction_id as debit,
  (public.record_ai_usage(tests.id('ben'), 'one', 'r2', workspace_id => tests.id('team'))).recorded as recorded;
delete from public.workspace_members where workspace_id = tests.id('team') and user_id = tests.id('ben');
select is((public.extend_credit_hold(settled, expires_in => '1 hour')).hold_id, settled, 'a hold lasts longer') from begun;
select throws_ok(format('select public.extend_credit_hold(%L, 1)', settled), 'PT403', 'forbidden', 'but grows no more') from begun;
select is((public.settle_credit_hold(settled, 12)).amount, 12::numeric, 'it is settled') from begun;
select is((public.release_credit_hold(released)).credits_held, 0::numeric, 'or released') from begun;
select is((public.debit_user_credits_transaction(tests.id('ben'), 5, 'x', workspace_id => tests.id('team'), idempotency_key => 'once')).transaction_id, debit,
  'a retry gets its answer') from begun;
select is((public.record_ai_usage(tests.id('ben'), 'one', 'r2', workspace_id => tests.id('team'))).recorded, false,
  'also one that records a call');
select is((public.refund_user_credits(tests.id('ben'), 5, 'x', workspace_id => tests.id('team'), transaction_id => debit)).amount, 5::numeric,
  'and a debit is refunded') from begun;
select throws_ok(format('select public.hold_credits(%L, 1, ''x'', workspace_id => %L)', tests.id('ben'), tests.id('team')), 'PT403', 'forbidden',
  'nothing new begins');
select is(tests.wallet('team'), 'balance 88, total 100, spent 12, expired 0, held 0', 'the team paid what was used');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
