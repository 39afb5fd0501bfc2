-- Usage over a range of days, for dashboards: read from the statistics, under their row level security.

create type public.usage_dimension as enum ('day', 'model', 'scene', 'user', 'key');
comment on type public.usage_dimension is 'What usage is grouped by.';

create function public.usage_report(
  by public.usage_dimension,
  "from" date,
  "to" date,
  workspace_id uuid default null,
  all_workspaces boolean default false
) returns table (name text, requests bigint, tokens bigint, cost numeric, credits numeric, free_credits numeric, paid_credits numeric)
language sql stable set search_path = ''
as $$
  with statistics as (
    select * from public.ai_usage_statistics s
    where not all_workspaces and s.day between "from" and "to"
      and s.workspace_id = coalesce(usage_report.workspace_id, (select auth.uid()))
    union all
    select * from private.statistics_of_everyone("from", "to") where all_workspaces
  )
  select d.name, sum(d.requests)::bigint, sum(d.tokens)::bigint, sum(d.cost), sum(d.credits), sum(d.free_credits),
    sum(d.credits) - sum(d.free_credits)
  from statistics s
  cross join lateral (
    select s.day::text, s.total_requests::bigint, s.total_tokens, s.total_cost, s.credits::numeric,
      s.free_credits::numeric where by = 'day'
    union all
    select s.user_id::text, s.total_requests, s.total_tokens, s.total_cost, s.credits, s.free_credits where by = 'user'
    union all
    select e.key, (e.value ->> 'requests')::bigint, (e.value ->> 'tokens')::bigint, (e.value ->> 'cost')::numeric,
      (e.value ->> 'credits')::numeric, (e.value ->> 'free_credits')::numeric
    from jsonb_each(case by when 'model' then s.model_stats when 'scene' then s.scene_stats when 'key' then s.key_stats end) e
  ) d (name, requests, tokens, cost, credits, free_credits)
  group by d.name
  order by d.name
$$;
comment on function public.usage_report is
  'Requests, tokens, cost (US dollars) and credits (of them free and paid) by day, model, scene, user (null: people who are gone) or API key, from and to (UTC days, both included), of a workspace (default: the caller''s own) or, for platform admins, of all.';
grant execute on function public.usage_report to authenticated;
