begin;
select plan(16);
select tests.create_user('someone'), tests.create_user('admin');
update public.users set role = 'admin' where id = tests.id('admin');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, is_active, markup, credits_per_request, minimum_plan) values
  ('test-open', 'Open', 'up', 100, true, 2, null, 'pro'), ('test-fixed', 'Fixed', 'up', 50, true, null, 0.5, 'free'),
  ('test-closed', 'Closed', 'up', 100, false, null, null, 'free'), ('test-unpriced', 'Unpriced', 'up', 100, true, null, null, 'free');
select private.set_model_price('test-open', '{"input": 1, "cached_input": 0.25, "output": 4, "request": 0.001, "image": 0.02}', '2020-01-01'),
  private.set_model_price('test-fixed', '{"input": 9, "output": 9, "request": 9, "image": 9}', '2020-01-01'),
  private.set_model_price('test-closed', '{"input": 1, "output": 0, "request": 0, "image": 0}', '2020-01-01');

select tests.be_anonymous();
select results_eq($$ select model, display_name, scene::text, minimum_plan, max_output_tokens from public.models where model ~ '^test-' order by model $$,
  $$ values ('test-fixed', 'Fixed', 'text_chat', 'free', 50), ('test-open', 'Open', 'text_chat', 'pro', 100) $$, 'anyone reads the models on offer that have a price');
select is((select jsonb_strip_nulls(to_jsonb(price)) from public.models where model = 'test-open'),
  '{"credits_per_request": 0.2, "credits_per_million_input_tokens": 200, "credits_per_million_cached_input_tokens": 50,
    "credits_per_million_output_tokens": 800, "credits_per_image": 4}'::jsonb, 'and their prices in credits');
select is((select jsonb_strip_nulls(to_jsonb(price)) from public.models where model = 'test-fixed'), '{"credits_per_request": 0.5}'::jsonb, 'a fixed one is all there is');
select throws_ok('select * from public.ai_models', '42501', null, 'upstream names, providers and markup are not for them');
select throws_ok('select * from public.ai_model_prices', '42501', null, 'nor is what providers charge');
select throws_ok('delete from public.models', null, null, 'and change none');
select tests.sign_in('someone');
select results_eq($$ select model from public.models where model ~ '^test-' order by model $$, array['test-fixed', 'test-open'], 'people read the same');
select is_empty('select model from public.ai_models union all select model from public.ai_model_prices', 'and nothing of what is the operator''s');
select throws_ok('update public.ai_price_components set usd_per_unit = 0', '42501', null, 'and change no price');
select throws_ok($$ insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
  values ('x', 'X', 'x', 1) $$, '42501', null, 'nor add a model');
select tests.sign_in('admin');
select is((select count(*) from public.ai_models m join public.ai_model_prices p using (model) where model ~ '^test-'), 3::bigint, 'platform admins read all');

select tests.be_service();
select is((select count(*) from public.ai_models where model ~ '^test-'), 4::bigint, 'as does the service role');
select throws_ok($$ insert into public.ai_model_prices (model) values ('test-open') $$, '42501', null, 'which sets prices by its function alone');
select tests.be_postgres();
select throws_ok($$ select private.set_model_price('test-open', '{"input": -1, "output": 0}') $$, 'PT400', 'invalid_request', 'a price is not negative');
select throws_ok($$ select private.set_model_price('test-open', '{"input": 0, "output": "NaN"}') $$, 'PT400', 'invalid_request', 'and is a number');
select tests.be_service();
select throws_ok($$ update public.ai_models set markup = 'NaN' where model = 'test-open' $$, '23514', null,
  'a markup is a number');

select * from finish();
rollback;
