begin;
select plan(12);
select tests.create_user('ann'), tests.create_user('ben');
select tests.create_team('team');
create function pg_temp.log(person text, workspace text, day date, status public.ai_usage_status, model text, tokens integer, credits numeric,
  key uuid default null, error text default null) returns void language sql as $$
  insert into private.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model, prompt_tokens, completion_tokens, duration,
    estimated_cost, credits_charged, free_credits, api_key_id, error_code)
  values (tests.id(workspace), tests.id(person), day::timestamp at time zone 'UTC', status, 'text_chat', model, tokens, 2 * tokens,
    case when status <> 'refused' then 100 end, credits / 100, credits, credits * 0.4, key, error)
$$;
select pg_temp.log('ann', 'ann', '2026-05-01', 'success', 'a', 10, 0.5), pg_temp.log('ann', 'ann', '2026-05-01', 'failed', 'a', 0, 0, null, 'rate_limited'),
  pg_temp.log('ann', 'ann', '2026-05-01', 'canceled', 'b', 5, 0.25, tests.id('key')), pg_temp.log('ann', 'ann', '2026-05-01', 'refused', 'odd', 0, 0, null, 'not_found'),
  pg_temp.log('ann', 'ann', '2026-05-02', 'success', 'a', 1, 0.1), pg_temp.log('ann', 'team', '2026-05-01', 'success', 'a', 1, 0.1),
  pg_temp.log('ben', 'team', '2026-05-01', 'success', 'a', 2, 0.2);
select results_eq($$ select total_requests, success_requests, failed_requests, canceled_requests, refused_requests, total_prompt_tokens, total_completion_tokens,
    total_tokens, total_duration, avg_duration, total_cost, credits::numeric, free_credits::numeric, paid_credits::numeric
  from public.ai_usage_statistics where workspace_id = tests.id('ann') and date = '2026-05-01' $$,
  $$ values (4, 1, 1, 1, 1, 15::bigint, 30::bigint, 45::bigint, 300::bigint, 100.00, 0.0075, 0.75, 0.3, 0.45) $$, 'a day''s calls add up');
select results_eq($$ select model_stats, scene_stats, key_stats from public.ai_usage_statistics where workspace_id = tests.id('ann') and date = '2026-05-01' $$,
  $$ select '{"a": {"requests": 2, "tokens": 30, "cost": 0.005, "credits": 0.5, "free_credits": 0.2}, "b": {"requests": 1, "tokens": 15, "cost": 0.0025, "credits": 0.25, "free_credits": 0.1},
    "unknown": {"requests": 1, "tokens": 0, "cost": 0, "credits": 0, "free_credits": 0}}'::jsonb,
    '{"text_chat": {"requests": 4, "tokens": 45, "cost": 0.0075, "credits": 0.75, "free_credits": 0.3}}'::jsonb,
    jsonb_build_object(tests.id('key'), '{"requests": 1, "tokens": 15, "cost": 0.0025, "credits": 0.25, "free_credits": 0.1}'::jsonb) $$, 'by model, scene and key too');
select is((select count(*) from public.ai_usage_statistics), 4::bigint, 'a row for each workspace, person and day');
insert into private.ai_usage_logs (workspace_id, user_id, created_at, status, scene, model, prompt_tokens)
select tests.id('team'), p, '2026-05-01', 'success', 'embedding', 'e', 1 from unnest(array[tests.id('ann'), tests.id('ben'), tests.id('ann')]) p;
select is((select string_agg(total_requests::text, ' ' order by user_id = tests.id('ann') desc) from public.ai_usage_statistics where workspace_id = tests.id('team')), '3 2',
  'many rows at once count as one by one');

select results_eq($$ select created_at, updated_at, count(*) over () from public.ai_usage_statistics where user_id = tests.id('ann') and workspace_id = tests.id('team') $$,
  $$ values ('2026-05-01 00:00+00'::timestamptz, '2026-05-01 00:00+00'::timestamptz, 1::bigint) $$, 'from the first call to the last');
create temporary table before as select to_jsonb(s) as row from public.ai_usage_statistics s;
update private.usage_by_day set requests = 99, model = 'not ' || model;
select is(public.rebuild_usage_statistics('2026-05-01', '2026-05-02'), 4, 'they are made anew from the log');
select set_eq('select to_jsonb(s) from public.ai_usage_statistics s', 'select row from before', 'to the same rows');
select throws_ok($$ select public.rebuild_usage_statistics('2026-05-02', '2026-05-01') $$, 'PT400', 'invalid_request', 'of days in their order');

delete from auth.users where id in (tests.id('ann'));
delete from auth.users where id in (tests.id('ben'));
select results_eq($$ select workspace_id, user_id, total_requests, (model_stats #>> '{e,requests}')::integer from public.ai_usage_statistics $$,
  $$ values (tests.id('team'), null::uuid, 5, 3) $$, 'those of people who are gone become one');
create temporary table merged as select to_jsonb(s) as row from public.ai_usage_statistics s;
select public.rebuild_usage_statistics('2026-05-01', '2026-05-02');
select set_eq('select to_jsonb(s) from public.ai_usage_statistics s', 'select row from merged', 'as the log tells it');
select tests.be_service();
select throws_ok($$ update public.ai_usage_statistics set credits = 0 $$, '42501', null, 'no role of the API writes them');
select lives_ok($$ select public.rebuild_usage_statistics('2026-05-01', '2026-05-01') $$, 'the service role has them made anew');

select * from finish();
rollback;
