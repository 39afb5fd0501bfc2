begin;
select plan(29);
select tests.create_user('owner');
select tests.put_on_plan('owner', 'pro');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('test', 'Test', 'up', 100, 0);
select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01');
select tests.be_service();
create function pg_temp.call(at timestamptz default '2026-05-05 10:00+00') returns text
language plpgsql as $$
declare
  a jsonb := public.admit_ai_call(tests.id('owner'), 'test', 1, at => at);
begin
  perform tests.remember('hold', a ->> 'hold_id');
  return concat_ws(' ', coalesce(a ->> 'code', 'admitted'), a ->> 'status', a ->> 'retry_after');
end
$$;
create function pg_temp.finish(ending public.ai_usage_status, input bigint, output bigint, is_empty boolean default false) returns void
language sql as $$
  select public.finish_ai_call(tests.recall('hold')::uuid, ending, input, 0, output, is_empty => is_empty, at => '2026-05-05 10:00:30+00')
$$;
create function pg_temp.used() returns text
language sql as $$ select string_agg(feature_code || ' ' || used, ', ' order by feature_code) from public.feature_usage $$;

select pg_temp.call();
select is(pg_temp.used(), null, 'a call that begins counts nothing');
select pg_temp.finish('success', 100, 50);
select is(pg_temp.used(), 'api_call 1, token 150', 'one that is settled is a call and its tokens');
select pg_temp.finish('success', 100, 50);
select is(pg_temp.used(), 'api_call 1, token 150', 'however often it is finished');
select results_eq($$
  select r.feature_code, r.quantity, trim_scale(r.cost), r.model, r.user_id, r.reference_id = l.id::text, r.created_at = l.created_at
  from public.usage_records r, public.ai_usage_logs l where r.reference_type = 'ai_usage_log' order by r.id
$$, $$ values ('api_call', 1::numeric, 0::numeric, 'test', tests.id('owner'), true, true),
  ('token', 150, null, 'test', tests.id('owner'), true, true) $$, 'the records lead to its log row, and have the cost once');
select pg_temp.call(), pg_temp.finish('success', 100, 0, is_empty => true);
select pg_temp.call(), pg_temp.finish('failed', 100, 0);
select pg_temp.call(), pg_temp.finish('canceled', 0, 0);
select is(pg_temp.used(), 'api_call 1, token 150', 'what came to nothing counts nothing');
select pg_temp.call(), pg_temp.finish('canceled', 10, 5);
select is(pg_temp.used(), 'api_call 2, token 165', 'a canceled one that used something counts');
select pg_temp.call(), pg_temp.finish('success', 0, 0);
select is(pg_temp.used(), 'api_call 3, token 165', 'an answer without tokens is a call');
select public.record_ai_usage(tests.id('owner'), 'test', 'r1', 7, 0, 3, at => '2026-05-05 10:00+00') from generate_series(1, 2);
select is(pg_temp.used(), 'api_call 4, token 175', 'a call made elsewhere counts, once');
select public.record_ai_usage(tests.id('owner'), 'test', 'r2', 7, 0, 3, status => 'failed', at => '2026-05-05 10:00+00');
select is(pg_temp.used(), 'api_call 4, token 175', 'unless it failed');
select pg_temp.call();
select public.extend_ai_call(tests.recall('hold')::uuid, 10, 20, at => '2026-05-05 10:00:20+00');
select tests.be_postgres();
select is(private.finish_next_lost_ai_call('2026-05-05 11:00+00'), true, 'a lost call is swept');
select is(pg_temp.used(), 'api_call 5, token 205', 'and counts what it had told of');

select tests.be_service();
insert into public.plan_features (plan, feature_code, feature_limit) values ('pro', 'api_call', 7);
select is(pg_temp.call(), 'admitted', 'below the limit a call is admitted');
select is(pg_temp.call(), 'admitted', 'calls under way count');
select is(pg_temp.call('2026-05-31 23:00+00'), 'admitted', 'until their time is over');
select is(pg_temp.call(), 'limit_reached 429 2296800', 'then the next one waits for the next period');
select is((select status || ' ' || error_code from public.ai_usage_logs where status = 'refused'), 'refused limit_reached', 'and is logged');
select is(pg_temp.call('2026-06-01 00:00+00'), 'admitted', 'which has its own seven');
update public.plan_features set feature_limit = 206, feature_code = 'token' where feature_code = 'api_call';
select is(pg_temp.call(), 'admitted', 'below a limit of tokens a call is admitted');
select pg_temp.finish('success', 100, 50);
select is(pg_temp.used(), 'api_call 6, token 355', 'and may pass it, what it uses being known at its end');
select is(pg_temp.call(), 'limit_reached 429 2296800', 'then none is');
update public.plan_features set feature_limit = null where feature_code = 'token';
select is(pg_temp.call(), 'admitted', 'no limit is none');
update public.plan_features set is_enabled = false where feature_code = 'token';
select is(pg_temp.call(), 'feature_not_in_plan 403', 'what is off is not in the plan');
insert into public.workspace_features (workspace_id, feature_code, reason) values (tests.id('owner'), 'token', 'a gift');
select is(pg_temp.call(), 'admitted', 'unless the workspace has it');
select tests.remember('tokens', min(r.id)) from public.usage_records r where r.quantity = 150 and r.feature_code = 'token';
select results_eq($$ select a.released, a.used from public.release_feature(tests.recall('tokens')::bigint, 100, at => '2026-05-05 10:00+00') a $$,
  $$ values (100.0, 255.0) $$, 'what a call used can be given back');
select is(to_jsonb(public.release_feature(tests.recall('tokens')::bigint, at => '2026-05-05 10:00+00')) ->> 'released', '50', 'no more than is left of it');
select is(to_jsonb(public.release_feature(tests.recall('tokens')::bigint - 1, at => '2026-05-05 10:00+00')) ->> 'released', '1', 'the call as well');
select results_eq($$ select feature_code, quantity, reference_id = (select reference_id from public.usage_records where id = tests.recall('tokens')::bigint)
    from public.usage_records where released_id is not null order by id $$,
  $$ values ('token', -100.0, true), ('token', -50, true), ('api_call', -1, true) $$, 'as a record that leads to the call');
select is((select count(*) - count(distinct id) from public.usage_records), 0::bigint, 'each record has an id of its own');
select is_empty($$
  select workspace_id, feature_code, period_start, sum(quantity) from public.usage_records group by 1, 2, 3
  except select workspace_id, feature_code, period_start, used from public.feature_usage
$$, 'the sums are those of the records');
select * from finish();
rollback;
