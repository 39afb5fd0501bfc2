begin;
select plan(11);
select tests.create_user('someone');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, is_active) values
  ('test-open', 'Open', 'up', 100, true), ('test-closed', 'Closed', 'up', 100, false);
insert into public.ai_model_prices (model, input_usd_per_million) values ('test-open', 1), ('test-closed', 1);

select tests.be_anonymous();
select results_eq($$ select model from public.ai_models where model ~ '^test-' $$, array['test-open'],
  'anyone reads the models on offer');
select results_eq($$ select model from public.ai_model_prices where model ~ '^test-' $$, array['test-open'],
  'and their prices');
select throws_ok('delete from public.ai_models', '42501', null, 'and changes none');
select tests.sign_in('someone');
select results_eq($$ select model from public.ai_models where model ~ '^test-' $$, array['test-open'],
  'people read the same');
select throws_ok('update public.ai_model_prices set input_usd_per_million = 0', '42501', null, 'and change no price');
select throws_ok($$ insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
  values ('x', 'X', 'x', 1) $$, '42501', null, 'nor add a model');

select tests.be_service();
select is((select count(*) from public.ai_models where model ~ '^test-'), 2::bigint, 'the service role reads all');
select throws_ok($$ insert into public.ai_model_prices (model, input_usd_per_million) values ('test-open', -1) $$,
  '23514', null, 'a price is not negative');
select throws_ok($$ insert into public.ai_model_prices (model, output_usd_per_million, effective_from)
  values ('test-open', 'NaN', '2020-01-01') $$, '23514', null, 'and is a number');
select throws_ok($$ insert into public.ai_model_prices (model) values ('test-open') $$, '23505', null,
  'there is one at a time');
select throws_ok($$ update public.ai_models set markup = 'NaN' where model = 'test-open' $$, '23514', null,
  'a markup is a number');

select * from finish();
rollback;
