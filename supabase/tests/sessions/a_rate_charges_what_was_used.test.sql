-- Each unit of a rate, and how long a session lasts by it.
begin;
select plan(19);
select tests.create_user('owner'), tests.offer_analysis();
create function pg_temp.used() returns public.session_usage language sql as $$
  select jsonb_populate_record(private.no_session_usage(), '{"duration_seconds": 61, "audio_seconds": 100, "characters": 1000, "analysis_count": 3, "request_count": 4,
    "total_prompt_tokens": 1500, "total_completion_tokens": 500}')
$$;
select is(private.session_charge(jsonb_build_array(r::jsonb || '{"unit": "fixed", "credits": 0}'::jsonb || r::jsonb), pg_temp.used()), charge, r) from (values
  ('{"unit": "minute", "credits": 0.6, "rounding": "second"}', 0.61), ('{"unit": "minute", "credits": 0.6, "rounding": "started_minute"}', 1.2),
  ('{"unit": "analysis", "credits": 2}', 6), ('{"unit": "thousand_tokens", "credits": 0.5}', 1), ('{"unit": "fixed", "credits": 7}', 7), ('{"unit": "audio_second", "credits": 0.01}', 1),
  ('{"unit": "character", "credits": 0.001}', 1), ('{"unit": "request", "credits": 0.5}', 2), ('{"unit": "request", "credits": 0.5, "minimum": 9}', 9)) v (r, charge);
select is(private.session_seconds_for('[{"unit": "analysis", "credits": 1}]', pg_temp.used(), 10), null, 'where neither time nor analyses are seen to use any, credits last for ever');
select is(private.session_seconds_for('[{"unit": "analysis", "credits": 1}]', pg_temp.used(), 2, 0.1), 0::numeric, 'and where more was used, not at all');
select is(private.session_seconds_for('[{"unit": "minute", "credits": 1, "rounding": "started_minute"}]', pg_temp.used(), 3.5), 119::numeric, 'minutes last by their number');

-- A session on hard whose rate has no minutes goes on while it can pay for analyses.
select public.set_credit_rate('[{"unit": "analysis", "credits": 1}, {"unit": "request", "credits": 0.25}]', tests.id('owner'), effective_from => now(), at => now());
select public.credit_user_credits_transaction(tests.id('owner'), 46, 'gift', at => now());
select tests.remember('session', tests.start_session('owner', policy => 'hard') #>> '{session,id}');
select ok(tests.analyze('owner', tests.recall('session')::uuid, 1, at => now() + interval '1 second') @> '{"finished": true, "meter": {"status": "in_progress", "warning": false}}', 'its first analysis is not its end');
select tests.remember('second', public.finish_session_analysis((tests.admit_analysis('owner', tests.recall('session')::uuid, 2, at => now() + interval '2 seconds') ->> 'hold_id')::uuid, 'success', 100, 0, 50,
  '{"safety_level": "red", "severity": 3, "display_text": "Look.", "request_count": 2}', at => now() + interval '3 seconds')::text);
select is(tests.recall('second')::jsonb #> '{analysis,request_count}', '2', 'a request that was tried again counts two');
select is((select format('%s %s', u.request_count, trim_scale(u.credits_consumed)) from public.session_usage u), '3 2.75', 'and is charged so');
select throws_ok($$ select public.set_credit_rate('[{"unit": "hour", "credits": 1}]') $$, 'PT400', 'invalid_request', 'there is no other unit');
select lives_ok($$ select public.set_credit_rate('[{"unit": "minute", "credits": 1}, {"unit": "analysis", "credits": 1}, {"unit": "thousand_tokens", "credits": 1}, {"unit": "fixed", "credits": 1},
  {"unit": "audio_second", "credits": 1}, {"unit": "character", "credits": 1}, {"unit": "request", "credits": 1}]') $$, 'a rate may have all of them');
select ok((select count(*) from public.ai_usage_logs where credits_charged > 0) = 0, 'no analysis is charged by itself');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
