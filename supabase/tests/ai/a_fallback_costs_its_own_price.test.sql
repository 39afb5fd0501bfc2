begin;
select plan(7);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, minimum_plan, is_active) values
  ('main', 'Main', 'up-main', 100, 1, 'free', true), ('second', 'Second', 'up-second', 100, 2, 'free', true),
  ('dear', 'Dear', 'up-dear', 100, 9, 'free', true), ('better', 'Better', 'up-better', 100, 1, 'pro', true),
  ('gone', 'Gone', 'up-gone', 100, 1, 'free', false);
select private.set_model_price(model, '{"input": 0, "output": 0}', '2020-01-01') from public.ai_models;
insert into public.ai_model_fallbacks (model, position, fallback_model) values
  ('main', 1, 'dear'), ('main', 2, 'better'), ('main', 3, 'gone'), ('main', 4, 'second');
select tests.remember('call', public.admit_ai_call(tests.id('owner'), 'main', 1));
select is(jsonb_path_query_array(tests.recall('call')::jsonb, '$.candidates[*].upstream_model')::text, '["up-main", "up-second"]',
  'who may answer, in order: not what the wallet cannot pay, the plan does not allow or is not on offer');
select is(tests.recall('call')::jsonb ->> 'credits_held', '2', 'the dearest of them is held');
select is(tests.recall('call')::jsonb #>> '{candidates,0,base_url}', null, 'a provider without an address is the functions'' own');
select is(public.finish_ai_call((tests.recall('call')::jsonb ->> 'hold_id')::uuid, 'success', 1, 0, 1, served_model => 'second') ->> 'credits_charged',
  '2.000000', 'the one that answered is charged');
select is((select model || ' ' || served_model from private.ai_usage_logs), 'main second', 'and both are kept for the operator');
select throws_ok($$ insert into public.ai_model_fallbacks values ('main', 9, 'main') $$, '23514', null, 'none is its own fallback');
select throws_ok($$ insert into public.ai_providers (provider, api_key_env) values ('x', 'SUPABASE_SECRET_KEYS') $$, '23514', null,
  'a provider''s key is in a variable that begins with AI_');

select * from finish();
rollback;
