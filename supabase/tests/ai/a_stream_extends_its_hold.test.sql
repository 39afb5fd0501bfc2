begin;
select plan(10);
select tests.create_user('owner');
-- An output token costs 0.001 credits.
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 0, "output": 10}', '2020-01-01');
select tests.remember('call', public.admit_ai_call(tests.id('owner'), 'test', 0));
select is(tests.recall('call')::jsonb #>> '{candidates,0,output_tokens_covered}', '100', 'a call knows what is covered');
create function pg_temp.extend(completion bigint) returns text language sql as $$
  select concat_ws(' ', a ->> 'extended', a ->> 'output_tokens_covered')
  from public.extend_ai_call((tests.recall('call')::jsonb ->> 'hold_id')::uuid, 0, completion) a
$$;
select is(pg_temp.extend(50), 'true 1050', 'more is set aside a step ahead of what was used');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 1.05', 'from the wallet');
select is(pg_temp.extend(20), 'true 1050', 'never less again');
select is(pg_temp.extend(2500), 'true 3000', 'as far as the wallet goes');
select is(pg_temp.extend(3000), 'false', 'and no further');
select is((public.finish_ai_call((tests.recall('call')::jsonb ->> 'hold_id')::uuid, 'success', 0, 0, 3000)) ->> 'credits_charged', '3.000000',
  'then what was used is charged');
select is(pg_temp.extend(3001), 'false', 'one that has ended extends nothing');
select is(tests.wallet('owner'), 'balance 0, total 3, spent 3, expired 0, held 0', 'the wallet has paid');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
