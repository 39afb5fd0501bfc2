begin;
select plan(17);
select tests.create_user('owner'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner');
select public.admit_ai_call(tests.id('owner'), 'none', 1), public.admit_ai_call(tests.id('stranger'), 'none', 1);
insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model)
  values (tests.id('team'), tests.id('owner'), 'other', 'success', 'in team');

select tests.sign_in('owner');
select set_eq('select model, workspace_id, user_id from public.ai_usage_logs',
  $$ values ('none', tests.id('owner'), tests.id('owner')), ('in team', tests.id('team'), tests.id('owner')) $$,
  'people read their own calls, in a team too');
select throws_ok('delete from public.ai_usage_logs', '42501', null, 'and delete none');
select throws_ok('update public.ai_usage_logs set credits_charged = 0', '42501', null, 'change none');
select throws_ok($$ insert into public.ai_usage_logs (workspace_id, scene, status, model)
  values (tests.id('owner'), 'other', 'success', 'x') $$, '42501', null, 'and add none');
select throws_ok('select cost_usd from private.ai_usage_logs', '42501', null, 'what a call cost the operator is not theirs');
select throws_ok('select cost_usd from private.usage_by_day', '42501', null, 'nor is the sum of it');
select throws_ok('select work from private.credit_holds', '42501', null, 'nor what a call under way is charged by');
select throws_ok($$ select public.admit_ai_call(tests.id('owner'), 'none', 1) $$, '42501', null, 'nor admit a call');
select throws_ok($$ select public.finish_ai_call(tests.id('owner'), 'failed') $$, '42501', null, 'or finish one');

select tests.be_postgres();
delete from public.workspace_members where workspace_id = tests.id('team');
select tests.sign_in('owner');
select results_eq('select model from public.ai_usage_logs', array['none'], 'who has left the team reads none of it any more');
select tests.sign_in('stranger');
select results_eq('select user_id from public.ai_usage_logs', $$ values (tests.id('stranger')) $$,
  'a stranger reads nobody else''s');
select tests.be_anonymous();
select throws_ok('select * from public.ai_usage_logs', '42501', null, 'without sign-in one reads none');
select throws_ok($$ select public.admit_ai_call(tests.id('owner'), 'none', 1) $$, '42501', null, 'and admits no call');

select tests.be_service();
select is((select count(*) from public.ai_usage_logs where user_id in (tests.id('owner'), tests.id('stranger'))),
  3::bigint, 'the service role reads all');
select throws_ok('delete from public.ai_usage_logs', '42501', null, 'and deletes none');
select throws_ok('update public.ai_usage_logs set credits_charged = 0', '42501', null, 'changes none');
select throws_ok($$ insert into public.ai_usage_logs (workspace_id, scene, status, model)
  values (tests.id('owner'), 'other', 'success', 'x') $$, '42501', null, 'and adds none by hand');

select * from finish();
rollback;
