-- Exactly enough credits, one too few, and none: to start a session and to end it, on both policies.
begin;
select plan(25);
select tests.create_user('owner'), tests.create_user('payer'), tests.create_user('timeless'), tests.offer_analysis();
select public.credit_user_credits_transaction(tests.id('payer'), 7, 'purchase');
update public.workspaces set plan = 'basic' where id in (tests.id('owner'), tests.id('payer'));

-- hard: 5 minutes of half a credit are held to start.
select public.debit_user_credits_transaction(tests.id('owner'), 0.500001, 'manual');
select ok(tests.start_session('owner', 'first', policy => 'hard', at => '2026-03-01') @> '{"started": false, "status": 402, "code": "insufficient_credits"}',
  'hard: a millionth too few starts nothing');
select is(tests.wallet('owner'), 'balance 2.499999, total 3, spent 0.500001, expired 0, held 0', 'and holds nothing');
select public.credit_user_credits_transaction(tests.id('owner'), 0.000001, 'manual');
select tests.remember('first', tests.start_session('owner', 'first', policy => 'hard', at => '2026-03-01') #>> '{session,id}');
select isnt(tests.recall('first'), null, 'hard: exactly enough starts');
select is(tests.start_session('owner', 'second', policy => 'hard', at => '2026-03-01') ->> 'code', 'insufficient_credits', 'a second has nothing to hold');
select is(public.complete_session(tests.recall('first')::uuid, tests.id('owner'), at => '2026-03-01 00:05Z') #> '{usage,credits_consumed}', '2.5', 'hard: all of it may be used');
select is(tests.wallet('owner'), 'balance 0, total 3.000001, spent 3.000001, expired 0, held 0', 'to the last credit');
select is(tests.start_session('owner', 'third', policy => 'hard', at => '2026-03-01 01:00Z') ->> 'code', 'insufficient_credits', 'hard: nothing starts with nothing');

-- A hard session whose credits last to the minute is ended there, and makes no debt.
select public.credit_user_credits_transaction(tests.id('owner'), 3, 'manual');
select tests.remember('long', tests.start_session('owner', 'long', policy => 'hard', at => '2026-03-01 02:00Z') #>> '{session,id}');
select tests.analyze('owner', tests.recall('long')::uuid, n, at => '2026-03-01 02:00Z'::timestamptz + n * interval '1 minute') from generate_series(1, 5) n;
select is(tests.analyze('owner', tests.recall('long')::uuid, 7, at => '2026-03-01 02:06:30Z') ->> 'code', 'insufficient_credits', 'hard: past its credits there is no more');
select is(tests.session(tests.recall('long')::uuid), 'expired 360s 5 analyses 750 tokens 3 credits credits', 'it ended when they did');
select is(tests.wallet('owner'), 'balance 0, total 6.000001, spent 6.000001, expired 0, held 0', 'without a debt');

-- soft: anything above zero starts, and what is missing at the end is debt.
select public.debit_user_credits_transaction(tests.id('payer'), 9, 'manual');
select tests.remember('exact', tests.start_session('payer', 'exact', at => '2026-03-01') #>> '{session,id}');
select ok(public.complete_session(tests.recall('exact')::uuid, tests.id('payer'), at => '2026-03-01 00:02Z') @> '{"session": {"policy": "soft"}, "usage": {"credits_consumed": 1}}',
  'soft: exactly enough at the end');
select is(tests.wallet('payer'), 'balance 0, total 10, spent 10, expired 0, held 0', 'is all of it');
select is_empty($$select from public.notifications where workspace_id = tests.id('payer') and kind = 'session_debt'$$, 'and no debt');
select is(tests.start_session('payer', 'none', at => '2026-03-01 00:03Z') ->> 'code', 'insufficient_credits', 'soft: nothing starts with nothing');
select public.credit_user_credits_transaction(tests.id('payer'), 0.000001, 'manual');
select tests.remember('short', tests.start_session('payer', 'short', at => '2026-03-01 00:04Z') #>> '{session,id}');
select isnt(tests.recall('short'), null, 'soft: a millionth starts one');
select is(public.complete_session(tests.recall('short')::uuid, tests.id('payer'), at => '2026-03-01 00:05Z') #> '{usage,credits_consumed}', '0.5', 'and it is charged in full');
select is(tests.wallet('payer'), 'balance -0.499999, total 10.000001, spent 10.5, expired 0, held 0', 'what is missing is debt');
select isnt_empty($$select from public.notifications where workspace_id = tests.id('payer') and kind = 'session_debt'$$, 'of which the admins hear');
select is((select string_agg(l.error_code, ' ') from public.ai_usage_logs l where l.workspace_id = tests.id('payer') and l.model = 'session' and l.status = 'success'), 'session_debt', 'and the log says it');
select is(tests.start_session('payer', 'more', at => '2026-03-01 00:06Z') ->> 'code', 'insufficient_credits', 'soft: nothing starts with a debt');
select is(tests.start_session('payer', 'more', policy => 'hard', at => '2026-03-01 00:06Z') ->> 'code', 'insufficient_credits', 'nor on hard');

-- A client that reports no time is charged none; who never paid cannot have one such session after the other.
select tests.remember('timeless', tests.start_session('timeless', 'first', started_at => '2026-03-01', at => '2026-03-01') #>> '{session,id}');
select tests.analyze('timeless', tests.recall('timeless')::uuid, n, 0, started_at => '2026-03-01', at => '2026-03-01'::timestamptz + n * interval '1 second', prompt_tokens => 1000)
from generate_series(1, 6) n;
select public.complete_session(tests.recall('timeless')::uuid, tests.id('timeless'), ended_at => '2026-03-01', at => '2026-03-01 00:00:10Z');
select is(tests.session(tests.recall('timeless')::uuid), 'completed 0s 6 analyses 6300 tokens 0 credits', 'no time, no charge, and 0.63 credits'' worth of analyses');
select is(tests.start_session('timeless', 'second', at => '2026-03-01 23:59Z') ->> 'message',
  'With what those of the last day cost beyond their charge, this session needs 3.13 credits and 3 are available.', 'the next one needs that besides');
select is(tests.start_session('timeless', 'second', at => '2026-03-02 00:00Z') -> 'started', 'true', 'for a day');

select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
