-- Statistics of AI calls by workspace, person and day, kept with the log and exact to the row.

create table public.ai_usage_statistics (
  id bigint generated always as identity primary key,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid,
  day date not null,
  total_requests integer not null,
  success_requests integer not null,
  failed_requests integer not null,
  canceled_requests integer not null,
  refused_requests integer not null,
  total_prompt_tokens bigint not null,
  total_completion_tokens bigint not null,
  total_tokens bigint not null,
  total_duration bigint not null,
  total_cost numeric not null,
  credits public.credit_amount not null,
  free_credits public.credit_amount not null,
  paid_credits public.credit_amount not null generated always as (credits - free_credits) stored,
  avg_duration numeric generated always as
    (round(total_duration::numeric / nullif(total_requests - refused_requests, 0), 2)) stored,
  scene_stats jsonb not null,
  model_stats jsonb not null,
  key_stats jsonb not null,
  constraint one_row_a_workspace_person_and_day unique nulls not distinct (workspace_id, user_id, day)
);
comment on table public.ai_usage_statistics is
  'AI calls of a workspace, person and day (UTC). Kept with the log, from which it can be made again.';
comment on column public.ai_usage_statistics.user_id is
  'Whose calls; null: those of people who are gone, together. No foreign key: setting it null would collide at the second deletion.';
comment on column public.ai_usage_statistics.total_requests is 'success, failed, canceled and refused ones.';
comment on column public.ai_usage_statistics.total_duration is 'Milliseconds.';
comment on column public.ai_usage_statistics.total_cost is 'What the calls are worth to their caller, in US dollars.';
comment on column public.ai_usage_statistics.credits is 'What the wallet paid.';
comment on column public.ai_usage_statistics.free_credits is 'Of it what came from lots that were given.';
comment on column public.ai_usage_statistics.paid_credits is 'Of it what came from lots that were bought, or was debt.';
comment on column public.ai_usage_statistics.avg_duration is 'Milliseconds a call that was not refused took.';
comment on column public.ai_usage_statistics.scene_stats is 'By scene: { name: { requests, tokens, cost, credits, free_credits } }.';
comment on column public.ai_usage_statistics.model_stats is
  'By the model that was named, in the same form; names that no model has, and calls that were refused before their model was looked at, count together as "unknown".';
comment on column public.ai_usage_statistics.key_stats is 'By API key id, in the same form; calls without a key are not in it.';
create index ai_usage_statistics_user_id_day_idx on public.ai_usage_statistics (user_id, day);
create index ai_usage_statistics_workspace_id_day_idx on public.ai_usage_statistics (workspace_id, day);
create index ai_usage_statistics_day_idx on public.ai_usage_statistics (day);

create table private.ai_cost_statistics (
  workspace_id uuid not null references public.workspaces on delete cascade,
  day date not null,
  model text not null,
  cost_usd numeric not null,
  charged_usd numeric not null,
  primary key (workspace_id, day, model)
);
comment on table private.ai_cost_statistics is
  'What the calls of a workspace, day (UTC) and named model cost the operator, and what was charged for them, in US dollars.';
create index ai_cost_statistics_day_idx on private.ai_cost_statistics (day);

create function private.count_ai_costs() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.ai_cost_statistics as s (workspace_id, day, model, cost_usd, charged_usd)
  values (new.workspace_id, (new.created_at at time zone 'UTC')::date, new.model, new.cost_usd, new.charged_usd)
  on conflict (workspace_id, day, model) do update
  set cost_usd = s.cost_usd + excluded.cost_usd, charged_usd = s.charged_usd + excluded.charged_usd;
  return null;
end;
$$;
comment on function private.count_ai_costs() is 'Adds what a call cost the operator to its day.';
create trigger ai_call_costs_count after insert on private.ai_call_costs
  for each row when (new.cost_usd <> 0 or new.charged_usd <> 0) execute function private.count_ai_costs();

create function private.add_usage_stats(stats jsonb, more jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  name text;
  a jsonb;
  b jsonb;
begin
  for name, b in select m.key, m.value from jsonb_each(more) m loop
    a := stats -> name;
    stats := stats || jsonb_build_object(name, case when a is null then b else jsonb_build_object(
      'requests', (a ->> 'requests')::bigint + (b ->> 'requests')::bigint,
      'tokens', (a ->> 'tokens')::bigint + (b ->> 'tokens')::bigint,
      'cost', trim_scale((a ->> 'cost')::numeric + (b ->> 'cost')::numeric),
      'credits', trim_scale((a ->> 'credits')::numeric + (b ->> 'credits')::numeric),
      'free_credits', trim_scale((a ->> 'free_credits')::numeric + (b ->> 'free_credits')::numeric)) end);
  end loop;
  return stats;
end;
$$;
comment on function private.add_usage_stats(jsonb, jsonb) is 'Adds two { name: { requests, tokens, cost, credits, free_credits } } by name.';
create type private.ai_call_figures as (
  workspace_id uuid, user_id uuid, created_at timestamptz, status public.ai_usage_status, scene public.ai_usage_scene,
  model text, api_key_id uuid, error_code text, prompt_tokens bigint, completion_tokens bigint, duration bigint,
  cost numeric, credits numeric, free_credits numeric, requests integer
);
comment on type private.ai_call_figures is 'What of a log row goes into the statistics.';

create function private.statistics_of(call private.ai_call_figures) returns public.ai_usage_statistics
language plpgsql immutable set search_path = ''
as $$
declare
  stats public.ai_usage_statistics;
  figures jsonb;
begin
  stats.workspace_id := call.workspace_id;
  stats.user_id := call.user_id;
  stats.day := (call.created_at at time zone 'UTC')::date;
  stats.total_requests := call.requests;
  stats.success_requests := (call.status = 'success')::integer * call.requests;
  stats.failed_requests := (call.status = 'failed')::integer * call.requests;
  stats.canceled_requests := (call.status = 'canceled')::integer * call.requests;
  stats.refused_requests := (call.status = 'refused')::integer * call.requests;
  stats.total_prompt_tokens := call.prompt_tokens;
  stats.total_completion_tokens := call.completion_tokens;
  stats.total_tokens := call.prompt_tokens + call.completion_tokens;
  stats.total_duration := coalesce(call.duration, 0);
  stats.total_cost := call.cost;
  stats.credits := call.credits;
  stats.free_credits := call.free_credits;
  figures := jsonb_build_object('requests', call.requests, 'tokens', stats.total_tokens, 'cost', trim_scale(call.cost),
    'credits', trim_scale(call.credits), 'free_credits', trim_scale(call.free_credits));
  stats.scene_stats := jsonb_build_object(call.scene, figures);
  stats.model_stats := jsonb_build_object(
    case when call.status = 'refused' and call.error_code in ('not_found', 'rate_limited', 'maintenance', 'account_disabled')
      then 'unknown' else call.model end, figures);
  stats.key_stats := case when call.api_key_id is null then '{}' else jsonb_build_object(call.api_key_id, figures) end;
  return stats;
end;
$$;
comment on function private.statistics_of(private.ai_call_figures) is 'One call, as a row of the statistics.';

create function private.sum_of_statistics(a public.ai_usage_statistics, b public.ai_usage_statistics)
returns public.ai_usage_statistics
language plpgsql immutable set search_path = ''
as $$
begin
  a.total_requests := a.total_requests + b.total_requests;
  a.success_requests := a.success_requests + b.success_requests;
  a.failed_requests := a.failed_requests + b.failed_requests;
  a.canceled_requests := a.canceled_requests + b.canceled_requests;
  a.refused_requests := a.refused_requests + b.refused_requests;
  a.total_prompt_tokens := a.total_prompt_tokens + b.total_prompt_tokens;
  a.total_completion_tokens := a.total_completion_tokens + b.total_completion_tokens;
  a.total_tokens := a.total_tokens + b.total_tokens;
  a.total_duration := a.total_duration + b.total_duration;
  a.total_cost := trim_scale(a.total_cost + b.total_cost);
  a.credits := a.credits + b.credits;
  a.free_credits := a.free_credits + b.free_credits;
  a.scene_stats := private.add_usage_stats(a.scene_stats, b.scene_stats);
  a.model_stats := private.add_usage_stats(a.model_stats, b.model_stats);
  a.key_stats := private.add_usage_stats(a.key_stats, b.key_stats);
  return a;
end;
$$;
comment on function private.sum_of_statistics(public.ai_usage_statistics, public.ai_usage_statistics) is
  'Two rows of one workspace, person and day, as one.';

create function private.write_statistics(stats public.ai_usage_statistics) returns void
language plpgsql set search_path = ''
as $$
declare
  there public.ai_usage_statistics;
begin
  loop
    select * into there from public.ai_usage_statistics s
    where s.workspace_id = stats.workspace_id and s.user_id is not distinct from stats.user_id and s.day = stats.day
    for no key update;
    if found then
      there := private.sum_of_statistics(there, stats);
      update public.ai_usage_statistics s set (total_requests, success_requests, failed_requests, canceled_requests,
        refused_requests, total_prompt_tokens, total_completion_tokens, total_tokens, total_duration, total_cost, credits,
        free_credits, scene_stats, model_stats, key_stats) = (there.total_requests, there.success_requests, there.failed_requests,
        there.canceled_requests, there.refused_requests, there.total_prompt_tokens, there.total_completion_tokens,
        there.total_tokens, there.total_duration, there.total_cost, there.credits, there.free_credits,
        there.scene_stats, there.model_stats, there.key_stats)
      where s.id = there.id;
      return;
    end if;
    insert into public.ai_usage_statistics (workspace_id, user_id, day, total_requests, success_requests,
      failed_requests, canceled_requests, refused_requests, total_prompt_tokens, total_completion_tokens, total_tokens,
      total_duration, total_cost, credits, free_credits, scene_stats, model_stats, key_stats)
    values (stats.workspace_id, stats.user_id, stats.day, stats.total_requests, stats.success_requests,
      stats.failed_requests, stats.canceled_requests, stats.refused_requests, stats.total_prompt_tokens,
      stats.total_completion_tokens, stats.total_tokens, stats.total_duration, stats.total_cost, stats.credits,
      stats.free_credits, stats.scene_stats, stats.model_stats, stats.key_stats)
    on conflict on constraint one_row_a_workspace_person_and_day do nothing;
    exit when found; -- else another session has just made the row: it is there now
  end loop;
end;
$$;
comment on function private.write_statistics(public.ai_usage_statistics) is
  'Adds to the row of a workspace, person and day: the one place that writes the statistics.';

create function private.add_statistics(more public.ai_usage_statistics[]) returns void
language plpgsql set search_path = ''
as $$
declare
  next public.ai_usage_statistics;
  total public.ai_usage_statistics;
begin
  -- In one order for all writers, or two could deadlock; and each row is written once.
  for next in select m.* from unnest(more) m order by m.workspace_id, m.user_id, m.day loop
    if (total.workspace_id, total.user_id, total.day) is not distinct from (next.workspace_id, next.user_id, next.day) then
      total := private.sum_of_statistics(total, next);
    else
      perform private.write_statistics(total) where total.workspace_id is not null;
      total := next;
    end if;
  end loop;
  perform private.write_statistics(total) where total.workspace_id is not null;
end;
$$;
comment on function private.add_statistics(public.ai_usage_statistics[]) is 'Adds rows to the statistics.';

create function private.count_ai_calls() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.add_statistics(array(
    select private.statistics_of((c.workspace_id, c.user_id, c.created_at, c.status, c.scene, c.model, c.api_key_id,
      c.error_code, c.prompt_tokens, c.completion_tokens, c.duration, c.estimated_cost, c.credits_charged,
      c.free_credits, c.requests
    )::private.ai_call_figures)
    from new_calls c));
  return null;
end;
$$;
comment on function private.count_ai_calls() is 'Adds new log rows to the statistics.';
create trigger ai_usage_logs_count after insert on public.ai_usage_logs
  referencing new table as new_calls for each statement execute function private.count_ai_calls();

create function private.merge_statistics_of_person() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  gone public.ai_usage_statistics[];
begin
  with deleted as (
    delete from public.ai_usage_statistics s where s.user_id = old.id returning s.*
  )
  select array_agg(d) into gone
  from deleted d
  where exists (select from public.workspaces w where w.id = d.workspace_id); -- the personal one goes in the same cascade
  if gone is not null then
    for i in 1 .. cardinality(gone) loop
      gone[i].user_id := null;
    end loop;
    perform private.add_statistics(gone);
  end if;
  return null;
end;
$$;
comment on function private.merge_statistics_of_person() is
  'When a person is deleted, a team''s figures stay, with those of everyone else who is gone.';
create trigger users_merge_statistics after delete on public.users
  for each row execute function private.merge_statistics_of_person();

create function private.rebuild_statistics(first_day date, last_day date) returns integer
language plpgsql set search_path = ''
as $$
declare
  day date;
  rows_made integer := 0;
begin
  if first_day is null or last_day is null or last_day < first_day or last_day - first_day > 3660 then
    perform private.raise_error('invalid_request', 'from and to must be days, in order and at most ten years apart.');
  end if;
  -- Whoever is logging a call waits: its row is either seen here or added afterwards. Exclusive, for a writer locks the row
  -- it reads before it writes it, and a weaker lock here would deadlock with that.
  lock table public.ai_usage_statistics in exclusive mode;
  delete from public.ai_usage_statistics s where s.day between first_day and last_day;
  lock table private.ai_cost_statistics in exclusive mode;
  delete from private.ai_cost_statistics s where s.day between first_day and last_day;
  insert into private.ai_cost_statistics (workspace_id, day, model, cost_usd, charged_usd)
  select c.workspace_id, (c.created_at at time zone 'UTC')::date, c.model, sum(c.cost_usd), sum(c.charged_usd)
  from private.ai_call_costs c
  where c.created_at >= first_day::timestamp at time zone 'UTC' and c.created_at < (last_day + 1)::timestamp at time zone 'UTC'
    and (c.cost_usd <> 0 or c.charged_usd <> 0)
  group by 1, 2, 3;
  for day in select generate_series(first_day, last_day, interval '1 day') loop
    perform private.add_statistics(array(
      select private.statistics_of((l.workspace_id, l.user_id, l.created_at, l.status, l.scene, l.model, l.api_key_id,
        l.error_code, l.prompt_tokens, l.completion_tokens, l.duration, l.estimated_cost, l.credits_charged,
        l.free_credits, l.requests
      )::private.ai_call_figures)
      from public.ai_usage_logs l
      where l.created_at >= day::timestamp at time zone 'UTC' and l.created_at < (day + 1)::timestamp at time zone 'UTC'));
  end loop;
  select count(*) into rows_made from public.ai_usage_statistics s where s.day between first_day and last_day;
  return rows_made;
end;
$$;
comment on function private.rebuild_statistics(date, date) is 'Makes the statistics of these days anew from the log.';

create function public.rebuild_usage_statistics("from" date, "to" date) returns integer
language sql security definer set search_path = ''
as $$ select private.rebuild_statistics("from", "to") $$;
comment on function public.rebuild_usage_statistics is
  'Makes the statistics of these days (UTC, both included) anew from the log and returns how many rows that are. Calls wait meanwhile: take a long range in parts.';

alter table public.ai_usage_statistics enable row level security;
create policy "members can read their own figures, owners and admins all of their workspace" on public.ai_usage_statistics
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))));

-- Not a third arm of the policy: one that no index serves would have Postgres read the whole table for everyone.
create function private.statistics_of_everyone(first_day date, last_day date) returns setof public.ai_usage_statistics
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_operator() then
    perform private.raise_error('forbidden', 'Usage of all workspaces is for platform admins.');
  end if;
  return query select * from public.ai_usage_statistics s where s.day between first_day and last_day;
end;
$$;
comment on function private.statistics_of_everyone(date, date) is 'The statistics of all workspaces, for platform admins and the service role.';
grant execute on function private.statistics_of_everyone(date, date) to authenticated, service_role;

create function private.costs_of_operator(first_day date, last_day date) returns setof private.ai_cost_statistics
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.is_operator() then
    return query select * from private.ai_cost_statistics s where s.day between first_day and last_day;
  end if;
end;
$$;
comment on function private.costs_of_operator(date, date) is
  'What all calls cost the operator, for platform admins and the service role; nothing for anyone else.';
grant execute on function private.costs_of_operator(date, date) to authenticated, service_role;

grant select on public.ai_usage_statistics to authenticated, service_role;
grant execute on function public.rebuild_usage_statistics to service_role;
