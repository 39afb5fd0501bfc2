-- On soft a session ends past its credits and the grace, by its charge or by what its provider costs, announced one analysis before; on hard it
-- is never charged more than was held; one that is given up is charged only what its rate has for that.
begin;
select plan(18);
select tests.create_user('payer'), tests.create_user('dear'), tests.create_user('poor'), tests.create_user('giver'), tests.create_user('silent'), tests.offer_analysis(), tests.offer_analysis('costly');
select private.set_model_price('costly', '{"input": 10000, "output": 10000}', '2020-01-02');
select public.credit_user_credits_transaction(tests.id(name), 1, 'purchase', at => '2026-03-01') from unnest('{payer,dear,giver}'::text[]) name;

-- soft: half a credit and the grace of 5 last 11 minutes.
select public.debit_user_credits_transaction(tests.id('payer'), 3.5, 'manual', at => '2026-03-01');
select tests.remember('soft', tests.start_session('payer', at => '2026-03-01') #>> '{session,id}');
select ok(tests.analyze('payer', tests.recall('soft')::uuid, 1, 300, at => '2026-03-01 00:05Z') @> '{"meter": {"warning": false, "credits_left": 0}}', 'soft: past its credits it goes on');
select ok(tests.analyze('payer', tests.recall('soft')::uuid, 2, 480, at => '2026-03-01 00:13Z') @> '{"finished": true, "meter": {"warning": true, "status": "in_progress"}}', 'past the grace it is announced first, and this analysis is made');
select ok(tests.analyze('payer', tests.recall('soft')::uuid, 3, at => '2026-03-01 00:13:10Z') @> '{"admitted": false, "code": "insufficient_credits", "meter": {"status": "expired"}}', 'the next one ends it');
select is(tests.session(tests.recall('soft')::uuid), 'expired 790s 2 analyses 300 tokens 7 credits credits', 'charged for what was used');
select is(tests.wallet('payer'), 'balance -6.5, total 4, spent 10.5, expired 0, held 0', 'what is missing is debt');

-- soft: the sweep ends one that nobody has analysed, a minute after its credits and the grace (6 credits, 12 minutes).
select public.credit_user_credits_transaction(tests.id('silent'), 1, 'purchase', at => '2026-02-20');
select public.debit_user_credits_transaction(tests.id('silent'), w.credits_spendable - 1, 'manual', at => '2026-02-20') from public.credit_wallets w where w.workspace_id = tests.id('silent');
select tests.remember('silent', tests.start_session('silent', at => '2026-02-20') #>> '{session,id}');
select private.watch_next_session('2026-02-20 00:09Z'), private.watch_next_session('2026-02-20 00:11Z');
select is((select format('%s %s', s.status, u.warning) from public.sessions s join public.session_usage u on u.session_id = s.id where s.id = tests.recall('silent')::uuid), 'in_progress t', 'within the grace it is warned');
select private.watch_next_session('2026-02-20 00:12:30Z');
select is((select format('%s %s %s', s.status, s.end_reason, trim_scale(u.credits_consumed)) from public.sessions s join public.session_usage u on u.session_id = s.id where s.id = tests.recall('silent')::uuid), 'expired credits 6.5', 'past it the sweep ends it');

-- soft: a rate of nothing, and a provider that is paid for it.
select public.set_credit_rate('[{"unit": "analysis", "credits": 0}]', tests.id('dear'), effective_from => '2026-03-01', at => '2026-03-01');
select tests.remember('dear', tests.start_session('dear', at => '2026-03-01') #>> '{session,id}');
select is(tests.finish_analysis(tests.admit_analysis('dear', tests.recall('dear')::uuid, 1, model => 'costly', at => '2026-03-01 00:01Z'), at => '2026-03-01 00:01Z') #>> '{meter,warning}', 'true', 'soft: what its provider costs is warned of as well');
select is(tests.admit_analysis('dear', tests.recall('dear')::uuid, 2, model => 'costly', at => '2026-03-01 00:02Z') ->> 'code', 'insufficient_credits', 'and ends it');
select is(tests.wallet('dear'), 'balance 4, total 4, spent 0, expired 0, held 0', 'without a charge');

-- hard: 3 credits are 6 minutes; nobody looked until more had gone by.
select tests.remember('hard', tests.start_session('poor', at => '2026-03-01') #>> '{session,id}');
select is((public.complete_session(tests.recall('hard')::uuid, tests.id('poor'), at => '2026-03-01 00:07:30Z') #>> '{usage,credits_consumed}')::numeric, 3::numeric, 'hard: charged is what could be held');
select is(tests.wallet('poor'), 'balance 0, total 3, spent 3, expired 0, held 0', 'and no debt is made');

-- Given up: minutes are charged all the same, what it costs to complete is not.
select public.set_credit_rate('[{"unit": "fixed", "credits": 2}, {"unit": "analysis", "credits": 1}, {"unit": "minute", "credits": 0.1, "charges_unfinished": true}]', tests.id('giver'), effective_from => '2026-03-01', at => '2026-03-01');
create function pg_temp.ends(verb text) returns numeric language plpgsql as $$
declare
  session uuid := tests.start_session('giver', verb, at => '2026-03-01') #>> '{session,id}';
  answer jsonb;
begin
  perform tests.analyze('giver', session, 1, at => '2026-03-01 00:01Z');
  execute format('select public.%I($1, $2, at => $3)', verb) into answer using session, tests.id('giver'), '2026-03-01 00:02Z'::timestamptz;
  return answer #>> '{usage,credits_consumed}';
end;
$$;
select is(pg_temp.ends(verb), charged, format('%s: %s', verb, charged)) from (values ('cancel_session', 0.2), ('fail_session', 0.2), ('complete_session', 3.2)) x (verb, charged);
select is((select string_agg(l.status || ' ' || trim_scale(l.credits_charged), ', ' order by l.status::text) from public.ai_usage_logs l where l.workspace_id = tests.id('giver') and l.model = 'session'), 'canceled 0.2, failed 0.2, success 3.2', 'the log says which');
select is((public.correct_session(s.id, '{"analysis_count": 7}', 'more were made', 'k', '2026-03-02') -> 'credits_changed')::numeric, 0::numeric, 'nor does a correction charge it') from public.sessions s where s.status = 'canceled';
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
