-- Corrections after the end: refunds or further debits by the session's own rate; usage and logs stay, and drift is found.
begin;
select plan(34);
select tests.create_user('owner'), tests.create_user('poor'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', at => '2026-03-01');
select tests.remember('session', tests.start_session('owner', 'one', at => '2026-03-01') #>> '{session,id}');
select tests.analyze('owner', tests.recall('session')::uuid, 1, at => '2026-03-01 00:01Z');
create function pg_temp.correct(quantities jsonb, key text, at timestamptz default '2026-03-02') returns jsonb language sql as $$
  select public.correct_session(tests.recall('session')::uuid, quantities, 'a clock stood still', key, at)
$$;
select throws_ok($$ select pg_temp.correct('{"duration_seconds": 0}', 'k') $$, 'PT409', 'invalid_state', 'not while it runs');
select public.complete_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-03-01 00:09:30Z');
select public.set_credit_rate('[{"unit": "minute", "credits": 9}]');
select is(tests.wallet('owner'), 'balance 98, total 103, spent 5, expired 0, held 0', 'ten minutes were charged');
select is(pg_temp.correct('{"duration_seconds": 240}', 'k'), '{"session_id": "x", "credits_before": 5, "credits_after": 2, "credits_changed": -3}'::jsonb || jsonb_build_object('session_id', tests.recall('session')), 'four were right: by its own rate');
select is(pg_temp.correct('{"duration_seconds": 240}', 'k') -> 'credits_changed', '-3', 'the same again has the same answer');
select throws_ok($$ select pg_temp.correct('{"duration_seconds": 60}', 'k') $$, 'PT409', 'idempotency_conflict', 'and another under its key is none');
select is(pg_temp.correct('{"duration_seconds": 240}', 'other') -> 'credits_changed', '0', 'what is right already moves nothing');
select is(pg_temp.correct('{"duration_seconds": 720}', 'more') -> 'credits_changed', '4', 'more is a further debit');
select is(pg_temp.correct('{"duration_seconds": 0}', 'none') -> 'credits_changed', '-6', 'and all of it can be given back');
select is(tests.ledger('owner'), 'credit 3 signup, credit 100 purchase, debit -5 session_fee, refund 3 session_fee, debit -4 session_fee, refund 4 session_fee, refund 2 session_fee', 'each by an entry');
select is((select string_agg(format('%s %s', description, metadata ->> 'corrected_to'), ', ' order by id) from public.credit_transactions where workspace_id = tests.id('owner') and description is not null and transaction_type = 'debit'),
  'a clock stood still {"duration_seconds": 720}', 'that says why');
select is(tests.session(tests.recall('session')::uuid), 'completed 570s 1 analyses 150 tokens 5 credits', 'the session stays as it was');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select throws_ok(format('select pg_temp.correct(%L, %s)', q, k), 'PT400', 'invalid_request', format('%s %s', q, k))
from (values ('{}', '''x'''), ('[]', '''x'''), ('{"minutes": 1}', '''x'''), ('{"duration_seconds": "1"}', '''x'''), ('{"analysis_count": 1.5}', '''x'''), ('{"analysis_count": 1}', 'null')) v (q, k);
select throws_ok($$ select public.correct_session(gen_random_uuid(), '{"analysis_count": 1}', 'why', 'k') $$, 'PT404', 'not_found', 'of a session that is');

-- On hard it makes no debt.
select tests.remember('session', tests.start_session('poor', 'one', at => '2026-03-01') #>> '{session,id}');
select public.complete_session(tests.recall('session')::uuid, tests.id('poor'), at => '2026-03-01 00:01Z');
select throws_ok($$ select pg_temp.correct('{"duration_seconds": 6000}', 'k') $$, 'PT402', 'insufficient_credits', 'a further debit on hard makes no debt');

-- What drifts is found.
create function pg_temp.drift(change text) returns text language plpgsql as $$
declare
  found text;
begin
  execute change;
  select string_agg(v.rule, ', ' order by v.rule) into found from public.verify_credits(tests.id('owner')) v;
  raise exception '%', found using errcode = 'ZZ001';
exception when sqlstate 'ZZ001' then
  return found;
end;
$$;
select is(pg_temp.drift($$ update public.session_usage set analysis_count = 2, green_count = 2 where workspace_id = tests.id('owner') $$), 'a session''s analyses are its logs', 'a usage that is not its logs');
select is(pg_temp.drift($$ update public.session_usage set credits_consumed = 4 where workspace_id = tests.id('owner') $$), 'what a session is charged is its debit', 'a charge that is not its entry');
select is(pg_temp.drift($$ update public.session_analysis_logs set prompt_tokens = 1 where workspace_id = tests.id('owner') $$), 'a session''s input is that of its logs', 'a log that is not in the usage');
select is(pg_temp.drift($$ update public.session_usage set credit_deducted = false, credit_deducted_at = null where workspace_id = tests.id('owner') $$), 'a session is charged when it has ended', 'an end without its charge');
select is(pg_temp.drift(format('update public.session_usage set %s where workspace_id = tests.id(''owner'')', change)), rule, change) from (values
  ('request_count = request_count + 1', 'a session''s requests are those of its logs'), ('duration_seconds = duration_seconds + 1', 'a session''s active time is that of its logs and the tail'),
  ('audio_seconds = audio_seconds + 1', 'a session''s sound is that of its logs'), ('characters = characters + 1', 'a session''s characters are those of its logs'),
  ('total_completion_tokens = total_completion_tokens + 1', 'a session''s output is that of its logs'), ('total_cached_tokens = total_cached_tokens + 1', 'a session''s cached tokens are those of its logs'),
  ('estimated_cost_usd = estimated_cost_usd + 1', 'a session''s cost is that of its logs'), ('red_count = 1, green_count = 0', 'a session''s levels are those of its logs'),
  ('green_count = 2', 'a session has as many levels as analyses'), ('credits_consumed = 0', 'a session has one debit, what a session is charged is its debit')) v (change, rule);
select * from finish();
rollback;
