begin;
select plan(10);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01');
select tests.remember('silent', public.admit_ai_call(tests.id('owner'), 'test', 0, 50, request_id => 'silent',
  details => '{"reference_id": "visit"}') ->> 'hold_id');
select tests.remember('told', public.admit_ai_call(tests.id('owner'), 'test', 0, 50, request_id => 'told') ->> 'hold_id');
select public.extend_ai_call(tests.recall('told')::uuid, 7, 20);
select is(private.run_due_work(), 0, 'a call under way is left alone');
select is(private.run_due_work(clock_timestamp() + interval '171 seconds') + private.run_due_work(clock_timestamp() + interval '171 seconds'), 2,
  'one past its time is not');
select results_eq($$ select request_id, status::text, usage_source::text, completion_tokens, credits_charged::numeric, error_code, reference_id
  from public.ai_usage_logs order by 1 $$,
  $$ values ('silent', 'failed', 'none', 0, 0::numeric, 'call_lost', 'visit'), ('told', 'canceled', 'estimated', 20, 0.2::numeric, 'call_lost', null) $$,
  'each has its log row: charged what it had told of');
select results_eq($$ select request_id, error_message from public.ai_usage_logs order by 1 $$, $$ values
  ('silent', 'The function that ran this call ended before it did, and had reported no usage.'),
  ('told', 'The function that ran this call ended before it did; it had reported 20 output tokens.') $$, 'which says how far it was known');
select is(tests.wallet('owner'), 'balance 2.8, total 3, spent 0.2, expired 0, held 0', 'and its hold is closed');
select is((public.finish_ai_call(tests.recall('told')::uuid, 'success', 7, 0, 50)) ->> 'finished', 'false', 'an ending that comes later');
select is((public.finish_ai_call(tests.recall('silent')::uuid, 'success', 7, 0, 50)) ->> 'credits_charged', '0', 'of either');
select is(tests.wallet('owner'), 'balance 2.8, total 3, spent 0.2, expired 0, held 0', 'changes nothing');
select is((select count(*) from public.ai_usage_logs), 2::bigint, 'and is not logged');
select is(private.run_due_work(now() + interval '1 hour'), 0, 'nothing is left to do');

select * from finish();
rollback;
