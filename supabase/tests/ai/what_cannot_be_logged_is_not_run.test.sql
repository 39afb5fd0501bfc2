-- A call that runs and then cannot be finished would be free.
begin;
select plan(5);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values
  ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
create function pg_temp.run(details jsonb) returns void
language plpgsql as $$
declare
  admission jsonb;
begin
  begin
    admission := public.admit_ai_call(tests.id('owner'), 'test', 1, 1, details => details);
  exception when others then
    return;
  end;
  perform public.finish_ai_call((admission ->> 'hold_id')::uuid, 'success', 1, 0, 1, details);
end;
$$;

select lives_ok($$ select pg_temp.run('{"ip_address": "fe80::1%eth0"}') $$, 'an address with a zone');
select lives_ok($$ select pg_temp.run('{"ip_address": "no address"}') $$, 'what is no address');
select lives_ok($$ select pg_temp.run('{"scene": "no scene"}') $$, 'what is no scene');
select lives_ok($$ select pg_temp.run('{"scene": null, "ip_address": null, "request_data": null}') $$, 'nulls');
select lives_ok($$ select pg_temp.run(jsonb_build_object('user_agent', repeat('x', 100000))) $$, 'long texts');

select * from finish();
rollback;
