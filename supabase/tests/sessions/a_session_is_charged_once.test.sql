-- The worked example: started, analysed, completed; one debit, one ledger entry, one log row with the charge.
begin;
select plan(17);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase');

select tests.remember('started', tests.start_session('owner', 'consultation 1', at => '2026-03-01'));
select tests.remember('session', tests.recall('started')::jsonb #>> '{session,id}');
select ok(tests.recall('started')::jsonb @> '{"started": true, "session": {"status": "in_progress", "policy": "soft"}, "meter": {"warning": false}}',
  'a session starts, soft where there are paid credits');
select is(tests.start_session('owner', 'consultation 1', at => '2026-03-01 00:00:10Z') #> '{session,id}', to_jsonb(tests.recall('session')), 'the same start is the same session');
select is(tests.start_session('owner', 'consultation 1', 'call', at => '2026-03-01 00:00:10Z') ->> 'code', 'idempotency_conflict', 'another body is a conflict');

select ok(tests.analyze('owner', tests.recall('session')::uuid, 1, at => '2026-03-01 00:01Z')
  @> '{"finished": true, "analysis": {"sequence_number": 1, "safety_level": "green", "duration_seconds": 60, "total_tokens": 150}}', 'an analysis is answered');
select is(tests.session(tests.recall('session')::uuid), 'in_progress 60s 1 analyses 150 tokens 0.5 credits', 'and added up');
select is(tests.analyze('owner', tests.recall('session')::uuid, 1, at => '2026-03-01 00:01:30Z') -> 'admitted', 'false', 'the same again');
select ok(tests.analyze('owner', tests.recall('session')::uuid, 1, at => '2026-03-01 00:01:30Z') @> '{"analysis": {"sequence_number": 1}}', 'has the first answer');
select is(tests.analyze('owner', tests.recall('session')::uuid, 1, text_hash => 'other', at => '2026-03-01 00:01:30Z') ->> 'code', 'idempotency_conflict', 'another segment is a conflict');
select tests.analyze('owner', tests.recall('session')::uuid, 2, level => 'red', at => '2026-03-01 00:02Z');
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0', 'no credits have moved');
select is((select string_agg(scene || ' ' || trim_scale(credits_charged) || ' ' || (estimated_cost > 0), ', ') from public.ai_usage_logs where workspace_id = tests.id('owner')),
  'session_analysis 0 true, session_analysis 0 true', 'each analysis is in the log, with its worth and without a charge');

select tests.remember('ended', public.complete_session(tests.recall('session')::uuid, tests.id('owner'), 'All that was said.', at => '2026-03-01 00:02:30Z'));
select is(tests.session(tests.recall('session')::uuid), 'completed 150s 2 analyses 300 tokens 1.5 credits', 'it is charged for the minutes begun');
select is(public.complete_session(tests.recall('session')::uuid, tests.id('owner'), 'Another.', at => '2026-03-01 00:05Z'), tests.recall('ended')::jsonb, 'a second call gives the same answer');
select is(tests.ledger('owner'), 'credit 3 signup, credit 100 purchase, debit -1.5 session_fee', 'one entry');
select is((select string_agg(format('%s %s %s', model, status, trim_scale(credits_charged)), ', ') from public.ai_usage_logs where workspace_id = tests.id('owner') and credits_charged > 0),
  'session success 1.5', 'one log row with the charge');
select is((select transcript from public.session_transcripts where session_id = tests.recall('session')::uuid), 'All that was said.', 'the transcript is kept');
select is((select format('%s %s %s', red_count, green_count, credit_deducted) from public.session_usage where session_id = tests.recall('session')::uuid), '1 1 t', 'the levels are counted');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
