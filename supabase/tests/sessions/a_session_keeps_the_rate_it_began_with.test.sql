-- A session is charged by the rate it began with, over midnight, a new rate and another plan, in one entry.
begin;
select plan(11);
select tests.create_user('owner'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('owner'), 97, 'purchase');
update public.workspaces set plan = 'basic' where id = tests.id('owner');

select tests.remember('session', tests.start_session('owner', 'late', 'lesson', at => '2026-03-31 23:50Z') #>> '{session,id}');
select tests.analyze('owner', tests.recall('session')::uuid, 1, at => '2026-03-31 23:55Z');
select is(public.set_credit_rate('[{"unit": "minute", "credits": 7}]', tests.id('owner'), at => '2026-03-31 23:56Z') #>> '{rate,0,credits}', '7', 'a new rate from now on');
select public.set_credit_rate('[{"unit": "minute", "credits": 9}, {"unit": "analysis", "credits": 2}]', tests.id('owner'), 'lesson', '2026-04-01', at => '2026-03-31 23:56Z');
update public.workspaces set plan = 'free' where id = tests.id('owner');
select ok(tests.analyze('owner', tests.recall('session')::uuid, 2, at => '2026-04-01 00:05Z') @> '{"finished": true, "meter": {"credits_consumed": 1}}',
  'the session goes on in the next month, on another plan, at its rate');
select is(tests.start_session('owner', 'second', at => '2026-04-01 00:06Z') ->> 'code', 'limit_reached', 'another counts by the plan of now, and the one that runs with it');
select is(public.complete_session(tests.recall('session')::uuid, tests.id('owner'), at => '2026-04-01 00:09:30Z') #> '{usage,credits_consumed}', '3.5',
  'seven minutes were begun: two reported, and the four and a half since');
select is(tests.ledger('owner'), 'credit 3 signup, credit 97 purchase, debit -3.5 session_fee', 'in one entry');
select is((select string_agg(trim_scale(l.credits_charged)::text, ', ' order by l.created_at) from public.ai_usage_logs l where l.workspace_id = tests.id('owner')),
  '0, 0, 0, 3.5', 'and one log row: two analyses and a refusal cost nothing');
select is((select string_agg(format('%s %s', date, trim_scale(credits)), ', ' order by date) from (
    select date, sum(credits) as credits from public.ai_usage_statistics where workspace_id = tests.id('owner') group by date) d),
  '2026-03-31 0, 2026-04-01 3.5', 'of the day on which it ended');

select tests.remember('next', tests.start_session('owner', 'next', at => '2026-04-01 01:00Z') #>> '{session,id}');
select is(public.complete_session(tests.recall('next')::uuid, tests.id('owner'), at => '2026-04-01 01:01Z') #> '{usage,credits_consumed}', '7', 'what starts later has the new rate of its workspace');
select tests.remember('lesson', tests.start_session('owner', 'lesson', 'lesson', at => '2026-04-01 02:00Z') #>> '{session,id}');
select tests.analyze('owner', tests.recall('lesson')::uuid, 1, at => '2026-04-01 02:01Z');
select is(public.complete_session(tests.recall('lesson')::uuid, tests.id('owner'), at => '2026-04-01 02:02Z') #> '{usage,credits_consumed}', '20', 'or that of its mode');
select throws_ok(format($$select public.set_credit_rate('[{"unit": "minute", "credits": 1}]', %L, effective_from => '2026-03-01', at => '2026-04-01')$$, tests.id('owner')),
  'PT400', null, 'a rate of the past is not set');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
