-- Usage over a range of days, for dashboards: read from the statistics, under their row level security.

create type public.usage_dimension as enum ('day', 'model', 'scene', 'user', 'key', 'workspace');
comment on type public.usage_dimension is 'What usage is grouped by.';

create function private.usage_report(
  by public.usage_dimension, first_day date, last_day date, of_workspace uuid, all_workspaces boolean,
  then_by public.usage_dimension
) returns table (
  name text, then_name text, requests bigint, tokens bigint, cost numeric, credits numeric, free_credits numeric,
  paid_credits numeric, provider_cost numeric, margin numeric
)
language plpgsql stable set search_path = ''
as $$
declare
  account_id uuid := auth.uid();
  -- The project's own functions are nobody: they get all workspaces.
  is_of_all boolean := coalesce(all_workspaces, false) or account_id is null;
  wanted_workspace uuid := case when is_of_all then of_workspace else coalesce(of_workspace, account_id) end;
  expanded public.usage_dimension;
begin
  if by in ('model', 'scene', 'key') and then_by in ('model', 'scene', 'key') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format('Usage by %s is not kept by %s.', by, then_by), hint = 'Name day, user or workspace for one of them.';
  end if;
  expanded := case when by in ('model', 'scene', 'key') then by when then_by in ('model', 'scene', 'key') then then_by end;
  return query
  with statistics as (
    select * from public.ai_usage_statistics s
    where not is_of_all and s.day between first_day and last_day and s.workspace_id = wanted_workspace
    union all
    select * from private.statistics_of_everyone(first_day, last_day) s
    where is_of_all and (wanted_workspace is null or s.workspace_id = wanted_workspace)
  ), facts as (
    select s.workspace_id, s.user_id, s.day, e.key as part, (e.value ->> 'requests')::bigint as requests,
      (e.value ->> 'tokens')::bigint as tokens, (e.value ->> 'cost')::numeric as cost, (e.value ->> 'credits')::numeric as credits,
      (e.value ->> 'free_credits')::numeric as free_credits, null::numeric as cost_usd, null::numeric as charged_usd
    from statistics s
    cross join lateral jsonb_each(case expanded
      when 'model' then s.model_stats when 'scene' then s.scene_stats when 'key' then s.key_stats
      else jsonb_build_object('', jsonb_build_object('requests', s.total_requests, 'tokens', s.total_tokens,
        'cost', s.total_cost, 'credits', s.credits, 'free_credits', s.free_credits)) end) e
    union all
    select c.workspace_id, null, c.day, c.model, 0, 0, 0, 0, 0, c.cost_usd, c.charged_usd
    from private.costs_of_operator(first_day, last_day) c
    where (wanted_workspace is null or c.workspace_id = wanted_workspace)
      and by in ('day', 'model', 'workspace') and coalesce(then_by, 'day') in ('day', 'model', 'workspace')
  ), named as (
    select case by when 'day' then f.day::text when 'user' then f.user_id::text when 'workspace' then f.workspace_id::text
        else f.part end as name,
      case then_by when 'day' then f.day::text when 'user' then f.user_id::text when 'workspace' then f.workspace_id::text
        when expanded then f.part end as then_name, f.*
    from facts f
  )
  select n.name, n.then_name, sum(n.requests)::bigint, sum(n.tokens)::bigint, sum(n.cost), sum(n.credits),
    sum(n.free_credits), sum(n.credits) - sum(n.free_credits), sum(n.cost_usd), sum(n.charged_usd) - sum(n.cost_usd)
  from named n
  group by n.name, n.then_name
  order by n.name, n.then_name;
end;
$$;
comment on function private.usage_report is 'The figures of usage_report, whose parameters have names that plpgsql reserves.';
grant execute on function private.usage_report to authenticated, service_role;

create function public.usage_report(
  by public.usage_dimension default 'day',
  "from" date default date_trunc('month', now() at time zone 'UTC')::date,
  "to" date default (now() at time zone 'UTC')::date,
  workspace_id uuid default null,
  all_workspaces boolean default false,
  then_by public.usage_dimension default null
) returns table (
  name text, then_name text, requests bigint, tokens bigint, cost numeric, credits numeric, free_credits numeric,
  paid_credits numeric, provider_cost numeric, margin numeric
)
language sql stable set search_path = ''
as $$ select * from private.usage_report(by, "from", "to", workspace_id, all_workspaces, then_by) $$;
comment on function public.usage_report is
  'Requests, tokens, cost (US dollars: what they are worth to their caller) and credits (of them free and paid) by day, model, scene, user (null: people who are gone), API key or workspace, and by a second of these (then_by; one of both is day, user or workspace), from and to (UTC days, both included; default: this month), of a workspace (default: the caller''s own) or, for platform admins (all_workspaces) and the service role, of all. These are told the providers'' cost and the margin too, by day, model and workspace.';
grant execute on function public.usage_report to authenticated, service_role;
