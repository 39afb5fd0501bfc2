begin;
select plan(5);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, scene) values ('each', 'Each', 'up', 0, 'image_generation'), ('tokens', 'Tokens', 'up', 1000, 'image_generation');
select private.set_model_price('each', '{"input": 0, "output": 0, "image": 0.005}', '2020-01-01'),
  private.set_model_price('tokens', '{"input": 0, "output": 5, "image": 0}', '2020-01-01');
create function pg_temp.call(model text, images integer, made integer, tokens integer) returns text language plpgsql as $$
declare
  a jsonb := public.admit_ai_call(tests.id('owner'), model, 10, choices => images, images => images);
begin
  return concat_ws(' ', a ->> 'credits_held', public.finish_ai_call((a ->> 'hold_id')::uuid, 'success', 10, 0, tokens, images => made,
    is_empty => made = 0) ->> 'credits_charged');
end;
$$;
select is(pg_temp.call('each', 3, 3, 0), '1.5 1.500000', 'each that was asked for is held, each that was made is charged');
select is(pg_temp.call('each', 2, 1, 0), '1 0.500000', 'and only those');
select is(pg_temp.call('each', 1, 0, 0), '0.5 0', 'none costs nothing');
select is(pg_temp.call('tokens', 1, 1, 800), '0.5 0.400000', 'or by their tokens');
select is((select sum(images) || ' ' || count(*) from public.ai_usage_logs), '5 4', 'the log counts them');

select * from finish();
rollback;
