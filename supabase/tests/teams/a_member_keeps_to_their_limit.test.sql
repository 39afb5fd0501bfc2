begin;
select plan(25);
select tests.create_user('ann'), tests.create_user('ben');
select tests.create_team('team'), tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('five', 'Five', 'up', 10, 5);
select private.set_model_price('five', '{"input": 0, "output": 0}', '2020-01-01');
select tests.be_service();
select public.credit_user_credits_transaction(tests.id('ann'), 100, 'manual', workspace_id => tests.id('team'));
select tests.sign_in('ann');
select throws_ok(format('select public.set_member_limit(%L, %L, -1)', tests.id('team'), tests.id('ben')), 'PT400', 'invalid_request',
  'a limit is no negative');
select throws_ok(format('select public.set_member_limit(%L, %L, period_credit_limit => 1)', tests.id('team'), tests.id('ben')), 'PT400',
  'invalid_request', 'one per period names its period');
select public.set_member_limit(tests.id('team'), tests.id('ben'), 12, 8, 'day');
select tests.be_service();
select is(public.admit_ai_call(tests.id('ben'), 'five', 1, at => '2026-01-01 10:00') ->> 'code', 'insufficient_credits',
  'a call is of the personal workspace unless it says so');
select tests.remember('hold', public.admit_ai_call(tests.id('ben'), 'five', 1, workspace_id => tests.id('team'), at => '2026-01-01 10:00') ->> 'hold_id');
select isnt(tests.recall('hold'), null, 'the team pays for its members');
select is(public.admit_ai_call(tests.id('ben'), 'five', 1, workspace_id => tests.id('team'), at => '2026-01-01 10:01') ->> 'code', 'limit_reached',
  'what is held counts towards the limit');
select is(public.admit_ai_call(tests.id('ben'), 'five', 1, workspace_id => tests.id('team'), at => '2026-01-01 10:01+00') ->> 'retry_after', '50340',
  'until the next day');
select is((public.admit_ai_call(tests.id('ann'), 'five', 1, workspace_id => tests.id('team'), at => '2026-01-01 10:01') ->> 'admitted')::boolean, true,
  'which is the member''s own');
select public.finish_ai_call(tests.recall('hold')::uuid, 'success', at => '2026-01-01 10:02');
select throws_ok(format('select public.debit_user_credits_transaction(%L, 4, ''x'', workspace_id => %L, at => %L)', tests.id('ben'), tests.id('team'),
  '2026-01-01 10:03'), 'PGRST', null, 'a debit keeps to it too, and says when to try again');
select throws_ok(format('select public.hold_credits(%L, 4, ''x'', workspace_id => %L, at => %L)', tests.id('ben'), tests.id('team'),
  '2026-01-01 10:03'), 'PGRST', null, 'and a hold');
select lives_ok(format('select public.debit_user_credits_transaction(%L, 3, ''x'', workspace_id => %L, at => %L)', tests.id('ben'), tests.id('team'),
  '2026-01-01 10:03'), 'up to the limit it is paid');
select throws_ok(format('select public.debit_user_credits_transaction(%L, 5, ''x'', workspace_id => %L, at => %L)', tests.id('ben'), tests.id('team'),
  '2026-01-02 10:03'), 'PT429', 'limit_reached', 'the next day what is left in all, for which waiting does not help');
select lives_ok(format('select public.debit_user_credits_transaction(%L, 4, ''x'', workspace_id => %L, at => %L)', tests.id('ben'), tests.id('team'),
  '2026-01-02 10:03'), 'counts');
select is(public.admit_ai_call(tests.id('ben'), 'five', 1, workspace_id => tests.id('team'), at => '2026-01-02 10:04') ->> 'retry_after', null,
  'and waiting helps nobody whose limit in all is used up');
select public.refund_user_credits(tests.id('ben'), 2, 'refund', workspace_id => tests.id('team'), at => '2026-01-02 10:04');
select results_eq(format('select credits_used, period_credits_used from public.workspace_member_credits where user_id = %L and workspace_id = %L', tests.id('ben'),
  tests.id('team')), $$ values (10::public.credit_amount, 0::public.credit_amount) $$, 'a refund gives it back; of the day that is now none was used');
select tests.be_postgres();
select is(private.credits_left_to(tests.id('team'), tests.id('ben'), null, '2026-01-02 10:05'), 2::numeric, 'and a back-dated day has its own use');
select tests.be_service();
select throws_ok(format('select public.admit_ai_call(%L, ''five'', 1, workspace_id => %L)', tests.id('ben'), gen_random_uuid()), 'PT404', 'not_found',
  'nobody calls for a workspace that is not theirs');

select tests.be_postgres();
select tests.create_user('cal');
select tests.join_team('team', 'cal', 'admin');
select tests.sign_in('cal');
select throws_ok(format('select public.set_member_limit(%L, %L, 0)', tests.id('team'), tests.id('ann')), 'PT403', 'forbidden', 'an admin limits no owner');
select tests.be_service();
select tests.remember('cals', public.admit_ai_call(tests.id('cal'), 'five', 1, workspace_id => tests.id('team'),
  at => '2026-01-02 11:00') ->> 'hold_id');
select tests.sign_in('cal');
select public.leave_workspace(tests.id('team'));
select tests.be_postgres();
select is(private.credits_left_to(tests.id('team'), tests.id('cal'), null, now()), 0::numeric, 'who leaves during a call gets no more for it');
select tests.be_service();
select public.finish_ai_call(tests.recall('cals')::uuid, 'success', at => '2026-01-02 11:01');
select is(tests.wallet('team'), 'balance 85, total 100, spent 15, expired 0, held 0', 'than what was set aside');
select tests.sign_in('ben');
select results_eq('select user_id from public.workspace_member_credits', array[tests.id('ben')], 'a member sees their own limits and use, of nobody else');
select is((select count(*)::integer from public.my_credit_transactions(tests.id('team'))), 4, 'a member sees their own entries');
select is((select count(*)::integer from public.credit_transactions where workspace_id = tests.id('team')), 0, 'without balance and grants');
select is((select count(*)::integer from public.credit_wallets where workspace_id = tests.id('team')), 0, 'and not the team''s money');
select tests.sign_in('ann');
select is((select count(*)::integer from public.credit_transactions where workspace_id = tests.id('team')), 6, 'an owner sees all');
select tests.be_postgres();
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
