begin;
select plan(27);
select tests.create_user('platform');
update public.users set role = 'admin' where id = tests.id('platform');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('m', 'M', 'up', 1);
select tests.sign_in('platform');

select public.admin_set_config('signup_credits', '9', 'a campaign');
select is((select config_value from public.system_config where config_key = 'signup_credits'), '9', 'a setting is set');
select results_eq($$ select action, old_values, new_values, details ->> 'reason' from public.audit_logs where resource_id = 'signup_credits' order by id $$,
  $$ values ('update', '{"config_value": 3}'::jsonb, '{"config_value": 9}'::jsonb, null), ('admin_set_config', null, null, 'a campaign') $$, 'what and why');
select throws_ok($$ select public.admin_set_config('no_such', '9', 'why') $$, 'PT404', 'not_found', 'one that exists');
select throws_ok($$ select public.admin_set_config('signup_credits', '"nine"', 'why') $$, 'PT400', 'invalid_request', 'to what it may be');
select throws_ok($$ select public.admin_set_config('signup_credits', '-1', 'why') $$, 'PT400', 'invalid_request', 'within its bounds');
select throws_ok($$ select public.admin_set_config('signup_credits', null, 'why') $$, 'PT400', 'invalid_request', 'not to nothing');
select throws_ok($$ select public.admin_set_config('signup_credits', '9', '') $$, 'PT400', 'invalid_request', 'for a reason');

select is(to_jsonb(public.admin_set_model_price('m', 'they raised it', '{"input": 2, "output": 8}', '2999-01-01')) ->> 'model', 'm', 'a price is set');
select results_eq($$ select unit::text, usd_per_unit, service_tier from public.ai_price_components order by unit $$,
  $$ values ('input', 0.000002, 'standard'), ('output', 0.000008, 'standard') $$, 'as told');
select results_eq($$ select action, details ->> 'reason' from public.audit_logs where resource_type = 'ai_model_prices' order by id $$,
  $$ values ('insert', null), ('admin_set_model_price', 'they raised it') $$, 'what and why');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 2}', '2999-01-01') $$, 'PT409', 'invalid_state', 'one price at a time');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 2}', '2020-01-01') $$, 'PT400', 'invalid_request', 'not for what has been charged');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 2}', 'infinity') $$, 'PT400', 'invalid_request', 'nor for never');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": -2}') $$, 'PT400', 'invalid_request', 'not below zero');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": "NaN"}') $$, 'PT400', 'invalid_request', 'and a number');
select throws_ok($$ select public.admin_set_model_price('n', 'why', '{"input": 2}') $$, 'PT404', 'not_found', 'of a model that exists');
select lives_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 3}') $$, 'from now on, unless told');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 1e13}') $$, 'PT400', 'invalid_request', 'of at most a million dollars a unit');
select throws_ok($$ select public.admin_set_model_price('m', 'why', '{"input": 1e-30}') $$, 'PT400', 'invalid_request', 'with not too many decimals');
select lives_ok($$ select public.admin_set_model_price('m', 'why', '{"input": "2", "output": "8"}', '2998-01-01') $$, 'a number may be written as text');
select is((select c.usd_per_unit from public.ai_price_components c join public.ai_model_prices p on p.id = c.price_id
  where p.effective_from = '2998-01-01' and c.unit = 'input'), 0.000002, 'and is of a million tokens as well');
select is((public.admin_set_model_price('m', 'a mistake', null, '2998-01-01')).effective_from, '2998-01-01'::timestamptz, 'what is yet to begin is withdrawn');
select is((select count(*) from public.ai_model_prices where effective_from = '2998-01-01'), 0::bigint, 'and gone');
select throws_ok($$ select public.admin_set_model_price('m', 'why', null, p.effective_from) from public.ai_model_prices p where p.effective_from < now() + interval '1 hour' $$,
  'PT400', 'invalid_request', 'what has begun is not');
select throws_ok($$ select public.admin_set_overdraft(tests.id('platform'), -1, 'why') $$, 'PT400', 'invalid_request', 'an overdraft is not below zero');
select throws_ok($$ select public.admin_set_overdraft(tests.id('nobody'), 1, 'why') $$, 'PT404', 'not_found', 'and of a workspace');
select public.admin_set_overdraft(tests.id('platform'), 5, 'why');
select is((select overdraft_limit::numeric from public.credit_wallets where workspace_id = tests.id('platform')), 5::numeric, 'then it is set');

select * from finish();
rollback;
