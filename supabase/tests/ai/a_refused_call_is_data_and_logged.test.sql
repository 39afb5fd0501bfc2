begin;
select plan(14);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens, is_active) values
  ('test', 'Test', 'embedding', 'up', 1000, true), ('test-closed', 'Closed', 'other', 'up', 1000, false),
    ('test-unpriced', 'Unpriced', 'other', 'up', 1000, true);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01'),
  private.set_model_price('test-closed', '{"input": 1, "output": 1}', '2020-01-01'),
  private.set_model_price('test-unpriced', '{"input": 1, "output": 1}', 'tomorrow');
create function pg_temp.refusal(model text) returns text
language sql as $$
  select concat_ws(' ', a ->> 'admitted', a ->> 'status', a ->> 'code', a ->> 'param', (a ->> 'message') is not null)
  from public.admit_ai_call(tests.id('owner'), model, 1000, 1000, request_id => 'req_1',
    details => '{"ip_address": "192.0.2.1", "user_agent": "tests", "reference_id": "ref", "scene_description": "why",
      "request_data": {"a": null}}') a
$$;

select is(pg_temp.refusal('no such model'), 'false 404 not_found model t', 'an unknown model');
select is(pg_temp.refusal('test-closed'), 'false 404 not_found model t', 'a model that is not on offer');
select is(pg_temp.refusal('test-unpriced'), 'false 404 not_found model t', 'a model whose price is not in force yet');
select is(pg_temp.refusal(null), 'false 404 not_found model t', 'no model at all');
select is(pg_temp.refusal(repeat('m', 100000)), 'false 404 not_found model t', 'a name of any length');
select is(pg_temp.refusal('test'), 'false 402 insufficient_credits t',
  'credits that the worst case may need and are not there');
update public.users set is_active = false where id = tests.id('owner');
select is(pg_temp.refusal('test'), 'false 403 account_disabled t', 'a disabled account');
update public.system_config set config_value = 'true' where config_key = 'maintenance_mode';
select is(pg_temp.refusal('test'), 'false 503 maintenance t', 'maintenance, before all else');

select is((select count(*) from public.ai_usage_logs where workspace_id = tests.id('owner')), 8::bigint,
  'each refusal is logged');
select results_eq($$
  select user_id, status::text, scene::text, error_code, model, credits_charged::numeric, estimated_cost, duration,
    hold_id, request_id, reference_id,
    scene_description, host(ip_address), user_agent, request_data -- nobody pays for this row: it keeps no content
  from public.ai_usage_logs where workspace_id = tests.id('owner') and error_code = 'insufficient_credits'
$$,
  $$ values (tests.id('owner'), 'refused', 'embedding', 'insufficient_credits', 'test', 0::numeric, 0::numeric,
    0, null::uuid, 'req_1', 'ref', 'why', '192.0.2.1', 'tests', null::jsonb) $$,
  'with what was asked and why it was refused');
select is((select max(length(model)) from public.ai_usage_logs where workspace_id = tests.id('owner')), 200,
  'a long name is cut');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0', 'nothing is held or charged');
select throws_ok($$ select public.admit_ai_call(tests.id('nobody'), 'test', 1) $$, 'PT401', 'not_authenticated',
  'an account that is gone is an error: no row could name it');
select throws_ok($$ select public.admit_ai_call(null, 'test', 1) $$, 'PT401', 'not_authenticated', 'as is none');

select * from finish();
rollback;
