-- Statistics of AI calls, kept with the log and exact to the row.

create table private.usage_by_day (
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid,
  api_key_id uuid,
  first_call_at timestamptz not null,
  last_call_at timestamptz not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  duration bigint not null,
  day date not null,
  scene public.ai_usage_scene not null,
  requests integer not null,
  success_requests integer not null,
  failed_requests integer not null,
  canceled_requests integer not null,
  refused_requests integer not null,
  cost numeric not null,
  credits public.credit_amount not null,
  free_credits public.credit_amount not null,
  cost_usd numeric not null default 0,
  charged_usd numeric not null default 0,
  model text not null,
  constraint one_row_a_day unique nulls not distinct (workspace_id, day, user_id, scene, model, api_key_id)
) with (fillfactor = 80); -- each call rewrites its row
comment on table private.usage_by_day is
  'Sums of the log: one row for each workspace, person, day (UTC), scene, model and API key. No foreign key to people: '
  'setting it null would collide at the second deletion.';
comment on column private.usage_by_day.cost_usd is 'What the calls cost the operator; for no client, as charged_usd.';
create index usage_by_day_user_id_day_idx on private.usage_by_day (user_id, day);
create index usage_by_day_day_idx on private.usage_by_day (day);

alter table private.usage_by_day enable row level security;
create policy "members can read their own figures, owners and admins all of their workspace" on private.usage_by_day
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))));
-- The view and usage_report read it with their caller's rights. Not cost_usd and charged_usd, which are the operator's.
grant select (workspace_id, user_id, api_key_id, first_call_at, last_call_at, prompt_tokens, completion_tokens,
  duration, day, scene, requests, success_requests, failed_requests, canceled_requests, refused_requests, cost, credits,
  free_credits, model) on private.usage_by_day to authenticated, service_role;

-- Adds figures to their row: the one place that sums them up.
create function private.add_usage(more private.usage_by_day) returns void language plpgsql set search_path = '' as $$
begin
  insert into private.usage_by_day as u select more.*
  on conflict on constraint one_row_a_day do update set
    first_call_at = least(u.first_call_at, excluded.first_call_at),
    last_call_at = greatest(u.last_call_at, excluded.last_call_at),
    requests = u.requests + excluded.requests,
    success_requests = u.success_requests + excluded.success_requests,
    failed_requests = u.failed_requests + excluded.failed_requests,
    canceled_requests = u.canceled_requests + excluded.canceled_requests,
    refused_requests = u.refused_requests + excluded.refused_requests,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = u.completion_tokens + excluded.completion_tokens,
    duration = u.duration + excluded.duration,
    cost = u.cost + excluded.cost,
    credits = u.credits + excluded.credits,
    free_credits = u.free_credits + excluded.free_credits,
    cost_usd = u.cost_usd + excluded.cost_usd,
    charged_usd = u.charged_usd + excluded.charged_usd;
end;
$$;

-- The name that a call's model is counted by: one for all names that no model has and for calls that were refused
-- before their model was looked up.
create function private.counted_model(model text, status public.ai_usage_status, error_code text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case when status = 'refused' and error_code in ('not_found', 'rate_limited', 'maintenance', 'account_disabled')
    then 'unknown' else model end;
end;
$$;

-- Adds a new row of the log to its day.
create function private.count_ai_call() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  more private.usage_by_day;
begin
  more.workspace_id := new.workspace_id;
  more.user_id := new.user_id;
  more.api_key_id := new.api_key_id;
  more.first_call_at := new.created_at;
  more.last_call_at := new.created_at;
  more.prompt_tokens := new.prompt_tokens;
  more.completion_tokens := new.completion_tokens;
  more.duration := coalesce(new.duration, 0);
  more.day := (new.created_at at time zone 'UTC')::date;
  more.scene := new.scene;
  more.requests := new.requests;
  more.success_requests := (new.status = 'success')::integer * new.requests;
  more.failed_requests := (new.status = 'failed')::integer * new.requests;
  more.canceled_requests := (new.status = 'canceled')::integer * new.requests;
  more.refused_requests := (new.status = 'refused')::integer * new.requests;
  more.cost := new.estimated_cost;
  more.credits := new.credits_charged;
  more.free_credits := new.free_credits;
  more.cost_usd := new.cost_usd;
  more.charged_usd := new.charged_usd;
  more.model := private.counted_model(new.model, new.status, new.error_code);
  perform private.add_usage(more);
  return null;
end;
$$;
create trigger ai_usage_logs_count after insert on private.ai_usage_logs
  for each row execute function private.count_ai_call();

-- When a person is deleted, a team's figures stay, with those of everyone else who was deleted.
create function private.merge_statistics_of_person() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  theirs private.usage_by_day;
begin
  for theirs in delete from private.usage_by_day u where u.user_id = old.id returning u.* loop
    theirs.user_id := null;
    -- The personal workspace goes in the same cascade.
    perform private.add_usage(theirs) where exists (select from public.workspaces w where w.id = theirs.workspace_id);
  end loop;
  return null;
end;
$$;
create trigger users_merge_statistics after delete on public.users
  for each row execute function private.merge_statistics_of_person();

-- The view ------------------------------------------------------------------------------------------------------------

create type private.usage_part as (
  scene text, model text, key text, requests bigint, tokens bigint, cost numeric, credits numeric, free_credits numeric
);
comment on type private.usage_part is 'What of a day is shown by scene, model or key.';

-- Sums of a day by scene, model or key: { name: { requests, tokens, cost, credits, free_credits } }.
create function private.usage_by(dimension text, parts private.usage_part[]) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_object_agg(x.name, x.figures), '{}')
    from (
      select case dimension when 'scene' then p.scene when 'model' then p.model else p.key end as name,
        jsonb_build_object('requests', sum(p.requests), 'tokens', sum(p.tokens), 'cost', trim_scale(sum(p.cost)),
          'credits', trim_scale(sum(p.credits)), 'free_credits', trim_scale(sum(p.free_credits))) as figures
      from unnest(parts) p group by 1
    ) x
    where x.name is not null
  );
end;
$$;
grant execute on function private.usage_by to authenticated, service_role;

create view public.ai_usage_statistics with (security_invoker = true) as
select md5(concat_ws(' ', d.workspace_id, d.user_id, d.date - 'epoch'::date))::uuid as id, d.workspace_id, d.user_id,
  d.date, d.total_requests, d.success_requests, d.failed_requests, d.canceled_requests, d.refused_requests,
  d.total_prompt_tokens, d.total_completion_tokens, d.total_prompt_tokens + d.total_completion_tokens as total_tokens,
  d.total_duration, d.total_cost, d.credits, d.free_credits, d.credits - d.free_credits as paid_credits,
  round(d.total_duration::numeric / nullif(d.total_requests - d.refused_requests, 0), 2) as avg_duration,
  private.usage_by('scene', d.parts) as scene_stats, private.usage_by('model', d.parts) as model_stats,
  private.usage_by('key', d.parts) as key_stats, d.created_at, d.updated_at
from (
  select u.workspace_id, u.user_id, u.day as date, sum(u.requests)::integer as total_requests,
    sum(u.success_requests)::integer as success_requests, sum(u.failed_requests)::integer as failed_requests,
    sum(u.canceled_requests)::integer as canceled_requests, sum(u.refused_requests)::integer as refused_requests,
    sum(u.prompt_tokens)::bigint as total_prompt_tokens,
    sum(u.completion_tokens)::bigint as total_completion_tokens,
    sum(u.duration)::bigint as total_duration, trim_scale(sum(u.cost)) as total_cost, sum(u.credits) as credits,
    sum(u.free_credits) as free_credits, array_agg(row(u.scene::text, u.model,
      u.api_key_id::text, u.requests, u.prompt_tokens + u.completion_tokens, u.cost, u.credits,
      u.free_credits)::private.usage_part) as parts, min(u.first_call_at) as created_at,
    max(u.last_call_at) as updated_at
  from private.usage_by_day u group by u.workspace_id, u.user_id, u.day
) d;
comment on view public.ai_usage_statistics is
  'AI calls of a workspace, person and day (UTC). Kept with the log, from which it can be made again.';
comment on column public.ai_usage_statistics.user_id is 'Whose calls; null: those of deleted people, together.';
comment on column public.ai_usage_statistics.total_requests is 'success, failed, canceled and refused ones.';
comment on column public.ai_usage_statistics.total_duration is 'Milliseconds.';
comment on column public.ai_usage_statistics.avg_duration is 'Milliseconds a call that was not refused took.';
comment on column public.ai_usage_statistics.total_cost is 'What the calls are worth to their caller, in US dollars.';
comment on column public.ai_usage_statistics.credits is 'What the wallet paid.';
comment on column public.ai_usage_statistics.free_credits is 'The part of it that came from free credits.';
comment on column public.ai_usage_statistics.paid_credits is
  'The part of it that came from purchased credits or became debt.';
comment on column public.ai_usage_statistics.scene_stats is
  'By scene: { name: { requests, tokens, cost, credits, free_credits } }.';
comment on column public.ai_usage_statistics.model_stats is
  'By the model that was requested, in the same form; names that no model has, and calls that were refused before '
  'their model was looked up, count together as "unknown".';
comment on column public.ai_usage_statistics.key_stats is
  'By API key id, in the same form; calls without a key are not in it.';
comment on column public.ai_usage_statistics.created_at is 'When the first of the calls ended.';
comment on column public.ai_usage_statistics.updated_at is 'When the last of the calls ended.';
grant select on public.ai_usage_statistics to authenticated, service_role;
create trigger ai_usage_statistics_refuse_write instead of insert or update or delete on public.ai_usage_statistics
  for each row execute function private.refuse_write();

-- Makes the statistics of these days again.
create function private.rebuild_usage_statistics(first_day date, last_day date) returns integer
language plpgsql set search_path = '' as $$
declare
  began_at timestamptz := first_day::timestamp at time zone 'UTC';
  ended_at timestamptz := (last_day + 1)::timestamp at time zone 'UTC';
begin
  if first_day is null or last_day is null or last_day < first_day or last_day - first_day > 3660 then
    perform private.raise_error('invalid_request', 'from and to must be days, in order and at most ten years apart.');
  end if;
  -- Whoever is logging a call waits: its row is either seen here or added afterwards.
  lock table private.usage_by_day in share row exclusive mode;
  delete from private.usage_by_day u where u.day between first_day and last_day;
  insert into private.usage_by_day (workspace_id, user_id, day, scene, model, api_key_id, first_call_at, last_call_at,
    requests, success_requests, failed_requests, canceled_requests, refused_requests, prompt_tokens, completion_tokens,
    duration, cost, credits, free_credits, cost_usd, charged_usd)
  select l.workspace_id, l.user_id, (l.created_at at time zone 'UTC')::date, l.scene,
    private.counted_model(l.model, l.status, l.error_code), l.api_key_id, min(l.created_at), max(l.created_at),
    sum(l.requests), coalesce(sum(l.requests) filter (where l.status = 'success'), 0),
    coalesce(sum(l.requests) filter (where l.status = 'failed'), 0),
    coalesce(sum(l.requests) filter (where l.status = 'canceled'), 0),
    coalesce(sum(l.requests) filter (where l.status = 'refused'), 0), sum(l.prompt_tokens), sum(l.completion_tokens),
    coalesce(sum(l.duration), 0), sum(l.estimated_cost), sum(l.credits_charged), sum(l.free_credits),
    sum(l.cost_usd), sum(l.charged_usd)
  from private.ai_usage_logs l
  where l.created_at >= began_at and l.created_at < ended_at
  group by 1, 2, 3, 4, 5, 6;
  return (select count(*) from public.ai_usage_statistics s where s.date between first_day and last_day);
end;
$$;

-- SQL, for db lint holds words of SQL for no names of parameters in PL/pgSQL.
create function public.rebuild_usage_statistics("from" date, "to" date) returns integer
language sql security definer set search_path = '' as $$ select private.rebuild_usage_statistics("from", "to") $$;
comment on function public.rebuild_usage_statistics is
  'Makes the statistics of these days (UTC, both included) again from the log and returns how many rows that are. '
  'Calls wait meanwhile: take a long range in parts.';
grant execute on function public.rebuild_usage_statistics to service_role;

-- Not another arm of the policy: one that no index serves would make Postgres read the whole table for everyone.
-- The figures of all workspaces, or of any one, for platform admins and the service role.
create function private.usage_of_everyone(
  first_day date, last_day date, wanted_workspace uuid
) returns setof private.usage_by_day language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.is_operator() then
    perform private.raise_error('forbidden', 'Usage of all workspaces is for platform admins.');
  end if;
  return query select * from private.usage_by_day u
  where u.day between first_day and last_day and (wanted_workspace is null or u.workspace_id = wanted_workspace);
end;
$$;
grant execute on function private.usage_of_everyone(date, date, uuid) to authenticated, service_role;
