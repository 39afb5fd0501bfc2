-- Segments that are none, analyses that credits do not pay for, texts that a day has no room for.
begin;
select plan(24);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 17, 'gift', at => '2026-03-01');
select public.set_credit_rate('[{"unit": "analysis", "credits": 1}, {"unit": "character", "credits": 0.001}]', tests.id('owner'), effective_from => '2026-03-01', at => '2026-03-01');
select tests.remember('session', tests.start_session('owner', at => '2026-03-01') #>> '{session,id}');
create function pg_temp.admit(segment jsonb, number integer default 1) returns jsonb language sql as $$
  select public.admit_session_analysis(tests.recall('session')::uuid, tests.id('owner'), number, 'hash', segment, 'gemini', 100, 100, gen_random_uuid()::text, at => '2026-03-01 00:00:01Z')
$$;
select throws_ok(format('select pg_temp.admit(%L)', s), 'PT400', 'invalid_request', s) from unnest(array['[]', '"text"', '{"characters": "many"}', '{"characters": 1.5}', '{"characters": -1}',
  '{"characters": 1e99}', '{"duration_seconds": "long"}', '{"duration_seconds": "NaN"}', '{"duration_seconds": 86401}', '{"started_at": "yesterday noon"}', '{"started_at": "infinity"}', '{"started_at": {}}']) s;

-- A duration of many decimals is counted to the millisecond.
select tests.finish_analysis(pg_temp.admit('{"duration_seconds": 0.1234567}'), at => '2026-03-01 00:00:02Z');
select is((select format('%s %s', duration_seconds, audio_seconds) from public.session_analysis_logs), '0.123 0.123', 'a duration of many decimals');

-- Of 20 credits one is used. A segment that is too large is refused, logged and counted once, and is no end.
select is(tests.admit_analysis('owner', tests.recall('session')::uuid, 2, characters => 30000, at => '2026-03-01 00:01Z') - array['session', 'usage', 'retry_after', 'param', 'status'] #- '{meter,seconds_left}',
  jsonb_build_object('code', 'insufficient_credits', 'admitted', false, 'message', 'This analysis may cost up to 31 credits, which is more than the session can use.', 'meter',
    '{"status": "in_progress", "warning": false, "credits_left": 19, "credits_consumed": 1}'::jsonb), 'a segment too large for what there is');
select is((select format('%s %s %s', count(*), min(error_code), sum(requests)) from public.ai_usage_logs where status = 'refused'), '1 insufficient_credits 1', 'it is logged');
select is((select day_requests from private.ai_request_counts where workspace_id = tests.id('owner')), 3, 'and counted, as the start was');
select is((select count(*) from private.credit_holds where state = 'open'), 1::bigint, 'nothing stays held for it');

-- Near the end they are put off until what was promised is over, and then it ends.
select ok((tests.analyze('owner', tests.recall('session')::uuid, 2, at => '2026-03-01 00:02Z') -> 'admitted') is null, 'smaller ones go on');
select public.debit_user_credits_transaction(tests.id('owner'), w.credits_spendable, 'other', at => '2026-03-01 00:02:01Z') from public.credit_wallets w where w.workspace_id = tests.id('owner');
select tests.analyze('owner', tests.recall('session')::uuid, 10 + n, 1, at => '2026-03-01 00:02:10Z'::timestamptz + n * interval '5 seconds') from generate_series(1, 4) n;
select ok(tests.admit_analysis('owner', tests.recall('session')::uuid, 3, characters => 30000, at => '2026-03-01 00:03Z') @> '{"code": "rate_limited", "meter": {"warning": true, "status": "in_progress"}}', 'after a warning one that is too large waits');
select ok(tests.admit_analysis('owner', tests.recall('session')::uuid, 3, characters => 30000, at => '2026-03-01 00:05:30Z') @> '{"code": "insufficient_credits", "meter": {"status": "expired"}}', 'and then ends the session');
select ok(tests.admit_analysis('owner', tests.recall('session')::uuid, 4, at => '2026-03-01 00:05:31Z') @> '{"code": "insufficient_credits"}', 'after which there are none');

-- Texts are what a free workspace may store a day; a level is always kept.
select public.credit_user_credits_transaction(tests.id('owner'), 50, 'gift', at => '2026-03-02');
select tests.remember('session', tests.start_session('owner', at => '2026-03-02') #>> '{session,id}');
update public.system_config set config_value = '1' where config_key = 'kept_content_per_day';
select is(tests.analyze('owner', tests.recall('session')::uuid, 1, level => 'red', at => '2026-03-02 00:01Z') #>> '{analysis,display_text}', 'Fine.', 'who asked has the text');
select results_eq($$ select safety_level::text, display_text from public.session_analysis_logs where session_id = tests.recall('session')::uuid $$, $$ values ('red', '') $$, 'and the day keeps the level');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
