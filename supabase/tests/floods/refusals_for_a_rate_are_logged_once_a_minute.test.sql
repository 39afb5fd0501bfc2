begin;
select plan(13);
select tests.create_user('owner'), tests.create_user('member');
select tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values ('embed', 'Embed', 'embedding', 'up', 0);
select private.set_model_price('embed', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.flood(person text, calls integer, at timestamptz, wanted text default 'embed', workspace text default 'owner') returns void
language sql as $$
  select public.admit_ai_call(tests.id(person), wanted || case wanted when 'embed' then '' else n::text end, 1, at => at + n * interval '1 ms',
    workspace_id => tests.id(workspace), details => jsonb_build_object('user_agent', repeat('u', 500), 'scene_description', repeat('d', 500),
      'reference_id', repeat('r', 500), 'request_data', jsonb_build_object('a', repeat('a', 10000))))
  from generate_series(1, calls) n
$$;
create function pg_temp.logged(workspace text default 'owner') returns text language sql as $$
  select string_agg(concat_ws(' ', l.error_code, l.requests), ', ' order by l.created_at)
  from public.ai_usage_logs l where l.workspace_id = tests.id(workspace)
$$;
create function pg_temp.counted(workspace text default 'owner') returns text language sql as $$
  select string_agg(concat_ws(' ', s.total_requests, s.refused_requests, s.model_stats #>> '{unknown,requests}', s.model_stats #>> '{embed,requests}',
    s.scene_stats #>> '{embedding,requests}'), ', ' order by s.date, s.total_requests)
  from public.ai_usage_statistics s where s.workspace_id = tests.id(workspace)
$$;

select pg_temp.flood('owner', 110, '2026-05-05 10:00:00+00');
select is(pg_temp.logged(), 'rate_limited 100', 'a hundred calls above a rate are one row of the log');
select is(pg_temp.counted(), '100 100 100 100', 'and a hundred in the statistics, of no model');
select pg_temp.flood('owner', 110, '2026-05-05 10:01:00+00', 'made up ');
select is(pg_temp.logged(), 'rate_limited 100' || repeat(', not_found 1', 10) || ', rate_limited 100', 'another minute has a row of its own; what is refused for itself has one each');
select is(pg_temp.counted(), '210 210 210 100', 'names that nobody has are no keys of the statistics');
select is((select count(*)::integer from public.ai_usage_logs l where l.workspace_id = tests.id('owner') and pg_column_size(l) > 1000), 0, 'each row is small');
select is((select l.user_agent from public.ai_usage_logs l where l.workspace_id = tests.id('owner') limit 1), repeat('u', 100), 'of a text the beginning is kept');

update public.system_config set config_value = 'true' where config_key = 'maintenance_mode';
select pg_temp.flood('owner', 50, '2026-05-05 10:02:00+00');
update public.system_config set config_value = 'false' where config_key = 'maintenance_mode';
update public.users set is_active = false where id = tests.id('owner');
select pg_temp.flood('owner', 60, '2026-05-05 10:02:10+00');
update public.users set is_active = true where id = tests.id('owner');
select alike(pg_temp.logged(), '%, maintenance 50, account_disabled 60', 'refusals that come before the rate as well');

select tests.limit_plans('requests_per_day', 3, 'free');
select pg_temp.flood('owner', 5, '2026-05-06 10:00:00+00', workspace => 'team');
select pg_temp.flood('member', 7, '2026-05-06 10:00:01+00', workspace => 'team');
select is(pg_temp.logged('team'), 'rate_limited 2, rate_limited 7', 'each person has a row');
select is((select count(*)::integer from public.ai_usage_logs l where l.workspace_id = tests.id('team') and l.user_id = tests.id('member')), 1, 'of their own');
select is(pg_temp.counted('team'), '2 2 2 2, 7 7 7 7', 'and their own figures');

select tests.remember('before', (select jsonb_agg(to_jsonb(s) order by s.workspace_id, s.user_id, s.date) from public.ai_usage_statistics s));
select public.rebuild_usage_statistics('2026-05-01', '2026-05-31');
select is((select jsonb_agg(to_jsonb(s) order by s.workspace_id, s.user_id, s.date) from public.ai_usage_statistics s), tests.recall('before')::jsonb,
  'made again from the log the statistics are the same');

-- What is kept of requests and answers.
update public.workspaces set ai_log_content = 'full' where id = tests.id('member');
update public.system_config set config_value = '40000' where config_key = 'kept_content_per_day';
do $$ begin
  for n in 1 .. 3 loop
    perform public.finish_ai_call((public.admit_ai_call(tests.id('member'), 'embed', 1, at => '2026-05-07 10:00+00') ->> 'hold_id')::uuid, 'failed',
      details => jsonb_build_object('request_data', jsonb_build_object('a', repeat('a', 15000))), at => '2026-05-07 10:00+00');
  end loop;
  perform public.finish_ai_call((public.admit_ai_call(tests.id('member'), 'embed', 1, at => '2026-05-08 10:00+00') ->> 'hold_id')::uuid, 'failed',
    details => jsonb_build_object('request_data', jsonb_build_object('a', repeat('a', 15000))), at => '2026-05-08 10:00+00');
end $$;
select is((select string_agg((l.request_data is not null)::text, ' ' order by l.request_data is null) from public.ai_usage_logs l
  where l.workspace_id = tests.id('member') and l.created_at < '2026-05-08'), 'true true false', 'on a free plan a day''s content is bounded');
select is((select l.request_data is not null from public.ai_usage_logs l where l.workspace_id = tests.id('member') and l.created_at >= '2026-05-08'),
  true, 'and the next day has room again');

select * from finish();
rollback;
