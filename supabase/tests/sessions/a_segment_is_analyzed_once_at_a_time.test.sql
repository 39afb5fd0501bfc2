-- The same segment is analysed by one call at a time, and counts when that succeeds, once, while its session runs.
begin;
select plan(17);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', at => '2026-03-01');
select public.set_credit_rate('[{"unit": "analysis", "credits": 1}]', tests.id('owner'), effective_from => '2026-03-01', at => '2026-03-01');
select tests.remember('session', tests.start_session('owner', at => '2026-03-01') #>> '{session,id}');
-- Admits a segment under a name, by which its call is finished.
create function pg_temp.admit(name text, number integer, at timestamptz) returns text language plpgsql as $$
declare
  answer jsonb := tests.admit_analysis('owner', tests.recall('session')::uuid, number, request_id => name, at => at);
begin
  perform tests.remember(name, answer);
  return coalesce(answer ->> 'code' || ' ' || coalesce(answer ->> 'retry_after', ''), answer ->> 'admitted');
end;
$$;
-- Ends it: whether it was open, the number of the analysis there is, and how many count.
create function pg_temp.finish(name text, at timestamptz, ending public.ai_usage_status default 'success', level text default 'green') returns text language plpgsql as $$
declare
  answer jsonb := public.finish_session_analysis((tests.recall(name)::jsonb ->> 'hold_id')::uuid, ending, 100, 10, 50,
    jsonb_build_object('safety_level', level, 'severity', 1, 'display_text', 'Fine.'), at => at);
begin
  return format('%s, analysis %s, %s counted', answer ->> 'finished', coalesce(answer #>> '{analysis,sequence_number}', 'none'), answer #>> '{usage,analysis_count}');
end;
$$;

select is(pg_temp.admit('one', 1, '2026-03-01 00:01:00Z'), 'true', 'a segment is admitted');
select is(pg_temp.admit('two', 1, '2026-03-01 00:01:10Z'), 'analysis_running 1', 'not a second time while it is analysed');
select is(pg_temp.admit('next', 2, '2026-03-01 00:01:10Z'), 'true', 'the next one is, meanwhile');
select is(pg_temp.admit('two', 1, '2026-03-01 00:02:00Z'), 'true', 'nor is it kept from another try by a call that was lost');
select is((select string_agg(status || ' ' || error_code, ', ') from public.ai_usage_logs), 'failed call_lost', 'which is logged');
select is(pg_temp.finish('one', '2026-03-01 00:02:01Z'), 'false, analysis none, 0 counted', 'and counts nothing, though it comes back late');
select is(pg_temp.finish('two', '2026-03-01 00:02:02Z', level => 'red'), 'true, analysis 1, 1 counted', 'the other does');
select is(pg_temp.finish('two', '2026-03-01 00:02:03Z'), 'false, analysis 1, 1 counted', 'once');

-- One that fails counts nothing, whatever was found by then, and can be sent again.
select is(pg_temp.finish('next', '2026-03-01 00:02:04Z', 'failed'), 'true, analysis none, 1 counted', 'one that fails counts nothing');
select is(pg_temp.admit('again', 2, '2026-03-01 00:02:05Z'), 'true', 'and can be sent again');
select is(pg_temp.finish('again', '2026-03-01 00:02:06Z'), 'true, analysis 2, 2 counted', 'to count then');

-- What is analysed while its session ends.
select is(pg_temp.admit('late', 3, '2026-03-01 00:03:00Z'), 'true', 'one is under way');
select is((public.complete_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 00:03:01Z') #>> '{usage,credits_consumed}')::numeric, 2::numeric, 'when the session ends: charged for those that count');
select is(pg_temp.finish('late', '2026-03-01 00:03:02Z'), 'true, analysis none, 2 counted', 'it counts no more');
select is((select string_agg(safety_level::text, ' ' order by sequence_number) from public.session_analysis_logs), 'red green', 'two are logged');
select is((select count(*) from private.credit_holds where state = 'open'), 0::bigint, 'and nothing stays held');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
