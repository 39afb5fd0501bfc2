-- What was embedded to look for an analysis's passages counts into its session's usage: its tokens and its cost, of that request alone, and
-- only where it was an embedding of the same person in the same workspace. It takes no credits.
begin;
select plan(11);
select tests.create_user('author'), tests.create_user('other'), tests.create_team('team'), tests.offer_analysis();
select tests.join_team('team', 'author', 'owner'), tests.join_team('team', 'other');
select public.credit_user_credits_transaction(tests.id('author'), 100, 'purchase', workspace_id => tests.id('team'));
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values ('embed', 'Embed', 'embedding', 'up', 0);
select private.set_model_price('embed', '{"input": 1000}', '2020-01-01');
-- A call that is no analysis of a session.
create function pg_temp.call(request text, person text, model text, workspace text default null) returns jsonb language sql as $$
  select public.finish_ai_call((public.admit_ai_call(tests.id(person), model, 40, case model when 'embed' then null else 10 end, request_id => request,
    details => jsonb_build_object('scene', case model when 'embed' then 'embedding' else 'session_analysis' end), workspace_id => tests.id(workspace), at => '2026-03-01 00:00:30Z',
    counts_message => false, is_included => true) ->> 'hold_id')::uuid, 'success', 40, at => '2026-03-01 00:00:40Z')
$$;
select tests.remember('session', tests.start_session('author', workspace => 'team', at => '2026-03-01') #>> '{session,id}');
select pg_temp.call('query', 'author', 'embed', 'team'), pg_temp.call('at home', 'author', 'embed'), pg_temp.call('another''s', 'other', 'embed', 'team'), pg_temp.call('no embedding', 'author', 'gemini', 'team');
select is((select count(*) from public.ai_usage_logs where status = 'success' and prompt_tokens = 40), 4::bigint, 'four calls were made');

create function pg_temp.counted(number integer, query text) returns text language plpgsql as $$
begin
  perform public.finish_session_analysis((tests.admit_analysis('author', tests.recall('session')::uuid, number, at => '2026-03-01 00:01Z') ->> 'hold_id')::uuid, 'success', 100, 0, 50,
    '{"safety_level": "green", "severity": 1, "display_text": "Fine."}', at => '2026-03-01 00:01Z', query_request_id => query);
  return (select format('%s tokens, %s dollars', l.prompt_tokens, round(l.estimated_cost_usd, 2)) from public.session_analysis_logs l
    where l.session_id = tests.recall('session')::uuid and l.sequence_number = number);
end;
$$;
select is(pg_temp.counted(number, query), said, format('%s: %s', coalesce('the query ' || query, 'without a query'), said)) from (values
  (1, null, '100 tokens, 0.00 dollars'), (2, 'query', '140 tokens, 0.04 dollars'), (3, 'at home', '100 tokens, 0.00 dollars'), (4, 'another''s', '100 tokens, 0.00 dollars'),
  (5, 'no embedding', '100 tokens, 0.00 dollars'), (6, 'none', '100 tokens, 0.00 dollars')) x (number, query, said);
select is((select format('%s %s %s', total_prompt_tokens, round(estimated_cost_usd, 2), analysis_count) from public.session_usage where session_id = tests.recall('session')::uuid), '640 0.04 6', 'the session''s usage has it once');
select public.set_credit_rate('[{"unit": "thousand_tokens", "credits": 1}]', tests.id('team'));
select is((public.complete_session(tests.recall('session')::uuid, tests.id('author'), at => '2026-03-01 00:02Z') #>> '{usage,credits_consumed}')::numeric, 1::numeric, 'and it is charged by its rate, which is of minutes');
select is(tests.ledger('team'), 'credit 100 purchase, debit -1 session_fee', 'in one debit');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
