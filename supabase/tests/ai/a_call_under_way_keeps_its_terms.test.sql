begin;
select plan(7);
select tests.create_user('owner'), tests.create_guest('guest');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values
  ('test', 'Test', 'up', 100, null), ('test-free', 'Free', 'up', 100, 0);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01'),
  private.set_model_price('test-free', '{"input": 10, "output": 100}', '2020-01-01');
select tests.remember('hold', public.admit_ai_call(tests.id('owner'), 'test', 500, 50) ->> 'hold_id');

update public.ai_price_components c set usd_per_unit = 0.001 from public.ai_model_prices p where p.id = c.price_id and p.model = 'test' and c.unit = 'input';
select private.set_model_price('test', '{"input": 5000, "output": 0}');
update public.ai_models set markup = 9, credits_per_request = 2, is_active = false where model = 'test';
update public.system_config set config_value = '9999' where config_key = 'credits_per_usd';
update public.users set is_active = false where id = tests.id('owner');
update public.system_config set config_value = 'true' where config_key = 'maintenance_mode';
select is(public.finish_ai_call(tests.recall('hold')::uuid, 'success', 100, 0, 10) ->> 'credits_charged', '0.200000',
  'a call is charged by what was in force when it began, whatever changed since');
select is((select status::text from public.ai_usage_logs where hold_id = tests.recall('hold')::uuid), 'success',
  'and is logged');
update public.system_config set config_value = 'false' where config_key = 'maintenance_mode';

select is(public.admit_ai_call(tests.id('guest'), 'test-free', 500, 50) ->> 'admitted', 'true',
  'a model that costs nothing needs no credits');
select tests.remember('hold', (select id from public.credit_holds where workspace_id = tests.id('guest')));
select is((public.finish_ai_call(tests.recall('hold')::uuid, 'success', 100, 0, 10) ->> 'credits_charged')::numeric,
  0::numeric, 'and charges none');
select results_eq($$ select l.estimated_cost, l.credits_charged::numeric, l.cost_usd from private.ai_usage_logs l
  where l.workspace_id = tests.id('guest') $$, $$ values (0::numeric, 0::numeric, 0.002) $$, 'what it costs us is kept, not where customers read');

select tests.create_user('leaver');
select tests.remember('hold', public.admit_ai_call(tests.id('leaver'), 'test-free', 1, 1) ->> 'hold_id');
delete from auth.users where id = tests.id('leaver');
select throws_ok($$ select public.finish_ai_call(tests.recall('hold')::uuid, 'success', 1, 0, 1) $$, 'PT404',
  'not_found',
  'a call whose account is gone has nothing to finish');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
