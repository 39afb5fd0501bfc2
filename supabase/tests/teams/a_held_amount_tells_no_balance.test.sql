begin;
select plan(11);
select tests.create_user('ann'), tests.create_user('ben'), tests.create_team('team');
select tests.join_team('team', 'ann', 'owner'), tests.join_team('team', 'ben');
select public.credit_user_credits_transaction(tests.id('ann'), 3, 'purchase', workspace_id => tests.id('team'));
-- An output token costs 0.01 credits.
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100000);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01');
select tests.limit_plans('requests_per_minute', 100);
create function pg_temp.ask(person text, max_output integer) returns jsonb language sql as $$
  select public.admit_ai_call(tests.id(person), 'test', 0, max_output, can_lower_output => true, workspace_id => tests.id('team'))
$$;
create function pg_temp.call(person text, max_output integer) returns text language plpgsql as $$
declare
  a jsonb := pg_temp.ask(person, max_output);
begin
  perform public.release_credit_hold((a ->> 'hold_id')::uuid) where a ? 'hold_id';
  return concat_ws(' ', a ->> 'message', a ->> 'credits_held', a ->> 'output_limit');
end $$;
create function pg_temp.limit_to(amount numeric) returns void language plpgsql as $$
begin
  perform tests.sign_in('ann');
  perform public.set_member_limit(tests.id('team'), tests.id('ben'), amount);
  perform tests.be_postgres();
end $$;

select is(pg_temp.call('ann', 1000), '3 300', 'an owner''s output is lowered to what the team has');
select is(pg_temp.call('ben', 1000), 'This call may cost up to 10 credits and fewer are available.', 'a member''s is refused, without a number');
select is(pg_temp.call('ben', 200), '2', 'what the team pays for is held as it was asked for');
select pg_temp.limit_to(2.5);
select is(pg_temp.call('ben', 1000), '2.5 250', 'a limit of their own lowers it');
select pg_temp.limit_to(5);
select is(pg_temp.call('ben', 1000), 'This call may cost up to 10 credits and fewer are available.', 'but not where the team has less than that');
select pg_temp.limit_to(null);

-- A hold that grows is as silent: by a whole step, or not at all.
select tests.remember('hold', pg_temp.ask('ben', 200) ->> 'hold_id');
select is(public.extend_ai_call(tests.recall('hold')::uuid, 0, 200), '{"extended": false}', 'a hold does not grow to all that is left');
select is((select h.amount::numeric from public.credit_holds h where h.id = tests.recall('hold')::uuid), 2::numeric, 'and stays as it is');
update public.system_config set config_value = '50' where config_key = 'output_tokens_per_extension';
select is(public.extend_ai_call(tests.recall('hold')::uuid, 0, 200) ->> 'output_tokens_covered', '250', 'but by a step that there is');
select public.finish_ai_call(tests.recall('hold')::uuid, 'failed');
select pg_temp.limit_to(2.2);
select tests.remember('hold', pg_temp.ask('ben', 200) ->> 'hold_id');
select is(public.extend_ai_call(tests.recall('hold')::uuid, 0, 200) ->> 'output_tokens_covered', '220', 'and within a limit of their own');
select public.finish_ai_call(tests.recall('hold')::uuid, 'failed');
select tests.remember('hold', pg_temp.ask('ann', 200) ->> 'hold_id');
update public.system_config set config_value = '1000' where config_key = 'output_tokens_per_extension';
select is(public.extend_ai_call(tests.recall('hold')::uuid, 0, 200) ->> 'output_tokens_covered', '300', 'an owner''s to all that is left');
select is((select h.amount::numeric from public.credit_holds h where h.id = tests.recall('hold')::uuid), 3::numeric, 'and holds it');

select * from finish();
rollback;
