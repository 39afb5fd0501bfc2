-- Prompts for images pass moderation where it is configured; one that is denied is refused after its admission.
begin;
select plan(12);
select tests.create_user('owner'), public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase');
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens, credits_per_request) values ('test', 'Test', 'image_generation', 'up', 0, 5);
select private.set_model_price('test', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.admit(endpoint public.ai_usage_scene default 'image_generation') returns jsonb
language sql as $$ select public.admit_ai_call(tests.id('owner'), 'test', 1, images => 1, endpoint => admit.endpoint, idempotency_key => 'k', request_hash => 'h', request_id => 'r') $$;

select tests.remember('call', pg_temp.admit());
select is(tests.recall('call')::jsonb -> 'moderation', '{"provider": "none", "flagged": "block", "failed": "block"}'::jsonb, 'an image''s admission says who moderates');
select is((select messages from private.ai_request_counts where workspace_id = tests.id('owner')), 1::bigint, 'it counts as a message');
select is(public.finish_ai_call((tests.recall('call')::jsonb ->> 'hold_id')::uuid, 'refused', images => 1,
  details => '{"error_code": "content_policy_violation", "error_message": "no"}') - array['credits_balance', 'credits_available'],
  '{"finished": true, "credits_charged": 0}'::jsonb, 'a denied prompt ends the call');
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0', 'and costs nothing');
select is((select messages from private.ai_request_counts where workspace_id = tests.id('owner')), 0::bigint, 'nor a message');
select results_eq($$ select status::text, error_code, credits_charged::integer, estimated_cost::integer, usage_source::text from public.ai_usage_logs $$,
  $$ values ('refused', 'content_policy_violation', 0, 0, 'none') $$, 'it is logged as refused');
select is((select refused_requests from public.ai_usage_statistics where workspace_id = tests.id('owner')), 1, 'and counted');
update public.system_config set config_value = '"creem"' where config_key = 'prompt_moderation';
update public.system_config set config_value = '"allow"' where config_key in ('moderation_flagged', 'moderation_failed');
select is(pg_temp.admit() -> 'moderation', '{"provider": "creem", "flagged": "allow", "failed": "allow"}'::jsonb, 'the same key may try again, by the settings of then');
select is(public.admit_ai_call(tests.id('owner'), 'test', 1, images => 1) -> 'moderation', null, 'it is for the endpoint of images');
select throws_ok($$ update public.system_config set config_value = '"cream"' where config_key = 'prompt_moderation' $$, '23514', null, 'who moderates is one of those there are');
select throws_ok($$ update public.system_config set config_value = '"maybe"' where config_key = 'moderation_flagged' $$, '23514', null, 'what follows from a flag too');
select throws_ok($$ update public.system_config set config_value = '"maybe"' where config_key = 'moderation_failed' $$, '23514', null, 'and from no answer');

select * from finish();
rollback;
