-- update_user_usage: messages, tokens and cost of what a backend ran by itself, counted as its AI calls are.
begin;
select plan(29);
select tests.create_user('owner'), tests.create_user('other');
select tests.limit_plans('messages_per_month', 5, 'free');
update public.system_config set config_value = '2' where config_key = 'default_markup';
create function pg_temp.add(messages integer, tokens bigint, cost numeric, at timestamptz default '2026-05-05+00') returns text
language sql as $$
  select concat_ws(' ', a.allowed::text, a.used, a.remaining) from public.update_user_usage(tests.id('owner'), messages, tokens, cost, at) a
$$;
create function pg_temp.used(feature text, period timestamptz default '2026-05-01+00') returns numeric
language sql as $$ select private.feature_used(tests.id('owner'), feature, period) $$;
create function pg_temp.messages() returns text
language sql as $$
  select string_agg(format('%s in %s', c.messages, to_char(c.period_start at time zone 'UTC', 'MM-DD')), ', ' order by c.period_start)
  from private.ai_request_counts c
$$;

grant execute on function pg_temp.add to public;
select tests.be_service();
select is(pg_temp.add(2, 1500, 0.01), 'true 2 3', 'it says what is left');
select tests.be_postgres();
select is(pg_temp.messages(), '2 in 05-01', 'messages count to the month');
select is(array[pg_temp.used('token'), pg_temp.used('api_call')], '{1500,1}', 'tokens to their feature, and that it ran');
select is((select concat_ws(' ', l.model, l.scene, l.status, l.total_tokens, trim_scale(l.estimated_cost), trim_scale(l.credits_charged))
  from public.ai_usage_logs l), 'elsewhere other success 1500 0.02 0', 'the log has it at what it is worth');
select is((select trim_scale(l.cost_usd) from private.ai_usage_logs l), 0.01, 'and what it cost');
select is((select l.pricing ? 'unpriced' from private.ai_usage_logs l), false, 'of which nothing lacks a price');
select is(tests.wallet('owner'), 'balance 3, total 3, spent 0, expired 0, held 0', 'it takes no credits');
select is((select concat_ws(' ', s.total_requests, s.total_tokens, s.total_cost) from public.ai_usage_statistics s), '1 1500 0.02', 'statistics follow');
select is((select explained.sentence from public.explain_charge((select request_id from public.ai_usage_logs)) explained),
  '1500 input tokens of elsewhere cost nothing: it was not charged. The provider''s cost was 0.01 US dollars.', 'and it can be explained');
select is(pg_temp.add(4, 0, 0), 'false 6 0', 'what ran is counted past a limit');
select is((select count(*) from public.ai_usage_logs), 2::bigint, 'one call, one row');
select is(pg_temp.add(0, 0, 0), 'false 6 0', 'nothing is nothing');
select is((select count(*) from public.ai_usage_logs), 2::bigint, 'and leaves no row');
select is(pg_temp.add(1, 10, 0, '2026-04-10+00'), 'true 1 4', 'what is told of late');
select is(pg_temp.messages(), '1 in 04-01, 6 in 05-01', 'counts to its own month');
select is(array[pg_temp.used('token', '2026-04-01+00'), pg_temp.used('token')], '{10,1500}', 'with its tokens');
insert into private.plan_periods values (tests.id('owner'), '2026-05-10+00', '2027-05-10+00');
select is(pg_temp.add(3, 0, 0, '2026-06-12+00'), 'true 3 2', 'a subscription has months of its own');
select is(pg_temp.messages(), '1 in 04-01, 6 in 05-01, 3 in 06-10', 'here too');
select is(pg_temp.used('api_call', '2026-05-10+00'), 1::numeric, 'while its features count to the year');

-- By request id, which may come twice.
select is(to_jsonb(public.record_ai_usage(tests.id('owner'), 'my own model', 'r1', 10, 0, 5, charge => true, cost_usd => 0.01, messages => 1, at => '2026-06-12+00')),
  '{"recorded": true, "cost_usd": 0.01, "credits_charged": 2}', 'record_ai_usage takes cost and messages as well');
select is((public.record_ai_usage(tests.id('owner'), 'my own model', 'r1', 10, 0, 5, charge => true, cost_usd => 0.01, messages => 1, at => '2026-06-12+00')).recorded,
  false, 'and counts a request once');
select is(pg_temp.messages(), '1 in 04-01, 6 in 05-01, 4 in 06-10', 'its messages too');

-- What it refuses, as a whole.
create table pg_temp.before as select pg_temp.messages() as messages, (select count(*) from public.ai_usage_logs) as logs;
create function pg_temp.refused(messages integer, tokens bigint, cost numeric) returns text
language plpgsql as $$
declare
  told text;
begin
  perform public.update_user_usage(tests.id('owner'), messages, tokens, cost);
  return 'nothing';
exception when others then
  get stacked diagnostics told = pg_exception_detail;
  return sqlerrm || ' ' || split_part(told, ' ', 1);
end;
$$;
select results_eq($$
  select n, pg_temp.refused(m, t, c) from (values (1, -1, 1, 1.0), (2, 1, -1, 1), (3, 1, 1, -1), (4, 1, 1, 'NaN'), (5, 1, 1, 'infinity'), (6, null, 1, 1),
    (7, 1, null, 1), (8, 1, 1, null), (9, 1000001, 1, 1), (10, 1, 1000000001, 1), (11, 1, 1, 1000001), (12, -1, 0, 0), (13, 0, 0, -1)) v (n, m, t, c)
$$, $$ values (1, 'invalid_request p_message_count'), (2, 'invalid_request p_tokens'), (3, 'invalid_request p_cost'), (4, 'invalid_request p_cost'),
  (5, 'invalid_request p_cost'), (6, 'invalid_request p_message_count'), (7, 'invalid_request p_tokens'), (8, 'invalid_request p_cost'),
  (9, 'invalid_request p_message_count'), (10, 'invalid_request p_tokens'), (11, 'invalid_request p_cost'), (12, 'invalid_request p_message_count'),
  (13, 'invalid_request p_cost') $$, 'what is no count or cost is named');
select results_eq($$ select pg_temp.messages(), count(*) from public.ai_usage_logs $$, 'select * from pg_temp.before', 'and nothing of it counts');
select throws_ok($$ select public.update_user_usage('00000000-0000-0000-0000-000000000000', 1, 1, 1) $$, 'PT404', 'not_found', 'nobody is nobody');
select tests.sign_in('owner');
select throws_ok($$ select public.update_user_usage(tests.id('owner'), 1, 1, 1) $$, '42501', null, 'nobody counts their own');
select tests.be_anonymous();
select throws_ok($$ select public.update_user_usage(tests.id('owner'), 1, 1, 1) $$, '42501', null, 'or anyone''s');
select tests.be_postgres();
delete from auth.users where id = tests.id('other');
select throws_ok($$ select public.update_user_usage(tests.id('other'), 1, 1, 1) $$, 'PT404', 'not_found', 'who is gone uses nothing');
select is_empty('select * from public.verify_credits()', 'the ledger is right');
select * from finish();
rollback;
