begin;
select plan(10);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
  values ('test', 'Test', 'up-1', 100);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
select tests.be_service();

-- A token in costs 0.001 credits, one out 0.01.
select results_eq($$
  select a ->> 'admitted', (a ->> 'credits_held')::numeric, a #>> '{candidates,0,upstream_model}', a ? 'hold_id', a ? 'message'
  from public.admit_ai_call(tests.id('owner'), 'test', 500, 50) a
$$, $$ values ('true', 1::numeric, 'up-1', true, false) $$, 'says what it holds and the model''s name upstream');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 1', 'sets it aside');
select is((public.admit_ai_call(tests.id('owner'), 'test', 0) ->> 'credits_held')::numeric, 1::numeric,
  'without a limit, what the model can write');
select is((public.admit_ai_call(tests.id('owner'), 'test', 0, 1000000, choices => 1) ->> 'credits_held')::numeric,
  1::numeric, 'and never more than that');
select is(public.admit_ai_call(tests.id('owner'), 'test', 0, 1) ->> 'code', 'insufficient_credits',
  'nothing is left for another');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 3', 'whose refusal changes nothing');
update public.credit_wallets set overdraft_limit = 5 where workspace_id = tests.id('owner');
select is((public.admit_ai_call(tests.id('owner'), 'test', 0, 100, choices => 3) ->> 'credits_held')::numeric,
  3::numeric, 'each choice is an answer');
select is((public.admit_ai_call(tests.id('owner'), 'test', -5, -5, choices => -1) ->> 'credits_held')::numeric,
  0::numeric, 'less than nothing is nothing');
select is((public.admit_ai_call(tests.id('owner'), 'test', 0, 10, at => now() + interval '1 hour') ->> 'admitted'),
  'true', 'holds that time has ended are in nobody''s way');
select results_eq($$ select distinct reason, metadata ->> 'model' from public.credit_holds
  where workspace_id = tests.id('owner') $$,
  $$ values ('generation', 'test') $$, 'the hold says what it is for');

select * from finish();
rollback;
