-- Usage over a range of days, for dashboards: read from the statistics, under their row level security.

create type public.usage_dimension as enum ('day', 'model', 'scene', 'user', 'key', 'workspace');
comment on type public.usage_dimension is 'What usage is grouped by.';

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
as $$
  with asked as (
    -- The project's own functions are nobody: they get all workspaces.
    select coalesce(all_workspaces, false) or private.caller_id() is null as of_all,
      case when coalesce(all_workspaces, false) or auth.uid() is null then $4 else coalesce($4, auth.uid()) end
        as workspace
  ), facts as (
    select u.*, u.prompt_tokens + u.completion_tokens as tokens
    from asked
    cross join lateral (
      select m.workspace_id, m.user_id, m.day, m.scene, m.model, m.api_key_id, m.requests, m.prompt_tokens,
        m.completion_tokens, m.cost, m.credits, m.free_credits, null::numeric as cost_usd, null::numeric as charged_usd
      from private.usage_by_day m
      where not asked.of_all and m.day between $2 and $3 and m.workspace_id = asked.workspace
      union all
      select m.workspace_id, m.user_id, m.day, m.scene, m.model, m.api_key_id, m.requests, m.prompt_tokens,
        m.completion_tokens, m.cost, m.credits, m.free_credits, m.cost_usd, m.charged_usd
      from private.usage_of_everyone($2, $3, asked.workspace) m where asked.of_all
    ) u
    where not coalesce('key' in (by, then_by), false) or u.api_key_id is not null
  )
  select n.names ->> by::text, n.names ->> then_by::text, sum(f.requests), sum(f.tokens)::bigint,
    sum(f.cost), sum(f.credits), sum(f.free_credits), sum(f.credits - f.free_credits), sum(f.cost_usd),
    sum(f.charged_usd - f.cost_usd)
  from facts f
  cross join lateral jsonb_build_object('day', f.day, 'model', f.model, 'scene', f.scene, 'user', f.user_id,
    'key', f.api_key_id, 'workspace', f.workspace_id) n (names)
  group by 1, 2
  order by 1, 2
$$;
comment on function public.usage_report is
  'Requests, tokens, cost (US dollars: what they are worth to their caller) and credits (of them free and paid) by '
  'day, model, scene, user (null: deleted people), API key (calls made with one) or workspace, and by a second of '
  'these (then_by), from and to (UTC days, both included; default: this month), of a workspace (default: '
  'the caller''s own) or, for platform admins (all_workspaces) and the service role, of all. These see the providers'' '
  'cost and the margin too.';
grant execute on function public.usage_report to authenticated, service_role;
