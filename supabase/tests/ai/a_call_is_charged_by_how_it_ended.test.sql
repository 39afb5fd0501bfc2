begin;
select plan(14);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values
  ('test', 'Test', 'up', 100, null), ('test-fixed', 'Fixed', 'up', 100, 0.75);
select private.set_model_price('test', '{"input": 10, "output": 100}', '2020-01-01'),
  private.set_model_price('test-fixed', '{"input": 1, "output": 1}', '2020-01-01');
create function pg_temp.call(ending public.ai_usage_status, prompt integer, cached integer, completion integer,
  model text default 'test', details jsonb default '{}', lasts interval default '1 s') returns text
language plpgsql as $$
declare
  hold uuid := public.admit_ai_call(tests.id('owner'), model, 500, 50, at => now()) ->> 'hold_id';
begin
  perform public.finish_ai_call(hold, ending, prompt, cached, completion, details, written_tokens => completion, at => now() + lasts);
  return (select concat_ws(' ', l.status, l.prompt_tokens, l.cached_tokens, l.completion_tokens,
    trim_scale(l.credits_charged), l.error_code)
    from public.ai_usage_logs l where l.hold_id = hold);
end;
$$;

select is(pg_temp.call('success', 100, 0, 10), 'success 100 0 10 0.2', 'a success costs what was used');
select is(pg_temp.call('canceled', 100, 0, 5), 'canceled 100 0 5 0.15', 'a canceled one what was used until then');
select is(pg_temp.call('failed', 100, 0, 0, details => '{"error_code": "upstream_error", "error_message": "500"}'),
  'failed 100 0 0 0 upstream_error', 'a failed one nothing');
select is(tests.wallet('owner'), 'balance 2.65, total 3, spent 0.35, expired 0, held 0', 'its hold is given back');
select is(pg_temp.call('success', 0, 0, 0), 'success 0 0 0 0', 'a usage of zero is one');
select is(pg_temp.call('success', 1000, 0, 100, 'test-fixed'), 'success 1000 0 100 0.75',
  'a fixed price is what it is');
select is(pg_temp.call('failed', 0, 0, 0, 'test-fixed'), 'failed 0 0 0 0', 'but not for a failure');
select is(pg_temp.call('success', 100, 0, 10, lasts => '20 minutes'), 'success 100 0 10 0.2',
  'one that outlasted its hold is charged all the same');
select is(pg_temp.call('success', 5, 9, null), 'success 5 5 0 0.005', 'what cannot be is read as what can');
select is(pg_temp.call('success', -5, -9, -1), 'success 0 0 0 0', 'less than nothing as nothing');
select is(pg_temp.call('success', 1000, 0, 200), 'success 1000 0 200 3', 'more than was held is charged');
select is(tests.wallet('owner'), 'balance -1.305, total 3, spent 4.305, expired 0, held 0', 'as debt where need be');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
update public.credit_wallets set overdraft_limit = 10 where workspace_id = tests.id('owner');
select lives_ok($$ select pg_temp.call('success', 1, 0, 1, details => '{"scene": null, "model": null}') $$,
  'details that say nothing of a thing do not unsay it');

select * from finish();
rollback;
