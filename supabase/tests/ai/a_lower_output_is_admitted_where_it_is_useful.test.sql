begin;
select plan(8);
select tests.create_user('owner');
-- An output token costs 0.01 credits, an input token 0.001.
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100000);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
create function pg_temp.call(max_output integer, choices integer default 1, can_lower boolean default true, input integer default 500) returns text
language plpgsql as $$
declare
  a jsonb := public.admit_ai_call(tests.id('owner'), 'test', input, max_output, choices, can_lower_output => can_lower);
begin
  perform public.release_credit_hold((a ->> 'hold_id')::uuid) where a ? 'hold_id';
  delete from private.ai_request_counts;
  return concat_ws(' ', a ->> 'code', a ->> 'credits_held', a ->> 'output_limit');
end;
$$;

select is(pg_temp.call(200), '2.5', 'what a wallet pays for is not lowered');
select is(pg_temp.call(1000), '3 250', 'what it does not is, to all it pays for');
select is(pg_temp.call(null), '3 250', 'also where the caller set no limit');
select is(pg_temp.call(1000, 2), '3 125', 'each choice has its part');
select is(pg_temp.call(1000, 3), 'insufficient_credits', 'but what is of no use is refused');
select is(pg_temp.call(1000, can_lower => false), 'insufficient_credits', 'as is what cannot be limited');
select is(pg_temp.call(1000, input => 4000), 'insufficient_credits', 'and what has no credits left beside its input');
update public.system_config set config_value = '251' where config_key = 'least_useful_output_tokens';
select is(pg_temp.call(1000), 'insufficient_credits', 'a setting says what is of use');

select * from finish();
rollback;
