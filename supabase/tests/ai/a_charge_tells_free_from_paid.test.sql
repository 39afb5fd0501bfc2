begin;
select plan(8);
select tests.create_guest('owner'), tests.create_user('other');
select tests.put_on_plan('owner', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 1000);
select private.set_model_price('test', '{"input": 0, "output": 10000}', '2020-01-01');
select public.credit_user_credits_transaction(tests.id('owner'), 5, 'manual', kind => 'promotion'),
  public.credit_user_credits_transaction(tests.id('owner'), 10, 'purchase');
create function pg_temp.call(id text, tokens integer, ending public.ai_usage_status default 'success') returns text
language plpgsql as $$
begin
  perform public.finish_ai_call((public.admit_ai_call(tests.id('owner'), 'test', 1, 1, request_id => call.id, at => now()) ->> 'hold_id')::uuid,
    ending, 0, 0, tokens, written_tokens => tokens, at => now());
  return (select format('%s = %s free + %s paid', trim_scale(l.credits_charged), trim_scale(l.free_credits), trim_scale(l.paid_credits))
    from public.ai_usage_logs l where l.request_id = call.id);
end;
$$;

-- A token is a credit.
select is(pg_temp.call('a', 3), '3 = 3 free + 0 paid', 'what was given burns first');
select is(pg_temp.call('b', 4), '4 = 2 free + 2 paid', 'a charge over both kinds of grants is told apart');
select is(pg_temp.call('c', 10), '10 = 0 free + 10 paid', 'what no grant covers counts as paid: debt is paid by what comes next');
select public.credit_user_credits_transaction(tests.id('owner'), 20, 'manual', kind => 'free');
select is(pg_temp.call('e', 0, 'failed'), '0 = 0 free + 0 paid', 'a failure is neither');
select public.record_ai_usage(tests.id('owner'), 'test', 'f', completion_tokens => 5, charge => true);
select is((select trim_scale(free_credits)::text from public.ai_usage_logs where request_id = 'f'), '5', 'a call made elsewhere tells it too');
select results_eq($$ select sum(credits)::numeric, sum(free_credits)::numeric, sum(paid_credits)::numeric from public.ai_usage_statistics
    where workspace_id = tests.id('owner') $$, $$ values (22.0, 10.0, 12.0) $$, 'the statistics add them up');
select is((select concat_ws(' ', trim_scale(sum(free_credits)), trim_scale(sum(paid_credits))) from public.ai_usage_logs
  where workspace_id = tests.id('owner')), '10 12', 'as the log does');
select tests.sign_in('owner');
select is((select concat_ws(' ', e.free_credits, e.paid_credits) from public.explain_charge('b') e), '2 2',
  'and the explanation of a charge');

select * from finish();
rollback;
