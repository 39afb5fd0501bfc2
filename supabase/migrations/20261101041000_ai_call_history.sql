-- The log page by page, for frontends.

-- Refuses who may not list a workspace's history, and a page that is none. Whether the caller gets their own rows
-- alone, as plain members do.
create function private.lists_own_alone(wanted_workspace uuid, max_rows integer) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  if max_rows between 1 and 200 is not true then
    perform private.raise_error('invalid_request', 'max_rows must be between 1 and 200.');
  end if;
  return (current_setting('role') in ('anon', 'authenticated')
      or not exists (select from public.workspaces w where w.id = wanted_workspace))
    and private.require_role(wanted_workspace, private.caller_id(), 'member') = 'member';
end;
$$;

-- Rights are looked at once, then one index is walked from the cursor on. The plan is kept, made before anybody knows
-- which filters there are: it takes them to let nothing through, and might sort a whole life but for enable_sort.
create function private.call_history(
  wanted_workspace uuid, before_id uuid, max_rows integer, wanted_scene public.ai_usage_scene, wanted_model text,
  wanted_key uuid, wanted_user uuid, wanted_status public.ai_usage_status, wanted_reference text, since timestamptz,
  until timestamptz
) returns setof public.ai_usage_logs
language plpgsql stable security definer
set search_path = '' set enable_sort = off set plan_cache_mode = force_generic_plan
as $$
declare
  before timestamptz := timestamptz 'infinity';
begin
  if private.lists_own_alone(wanted_workspace, max_rows) then
    if wanted_user <> auth.uid() then
      return;
    end if;
    wanted_user := auth.uid();
  end if;
  if before_id is not null then
    select l.created_at into before from private.ai_usage_logs l
    where l.id = before_id and l.workspace_id = wanted_workspace and (wanted_user is null or l.user_id = wanted_user);
    if not found then
      perform private.raise_error('not_found', format('before_id: there is no call %s in this list.', before_id));
    end if;
  end if;
  before_id := coalesce(before_id, '00000000-0000-0000-0000-000000000000');
  wanted_reference := left(wanted_reference, 500);
  since := coalesce(since, '-infinity');
  until := coalesce(until, 'infinity');
  if wanted_reference is not null then
    return query select * from public.ai_usage_logs l
    where l.workspace_id = wanted_workspace and l.reference_id = wanted_reference
      and (l.created_at, l.id) < (before, before_id) and l.created_at >= since and l.created_at < until
      and (wanted_user is null or l.user_id = wanted_user)
      and (wanted_scene is null or l.scene = wanted_scene)
      and (wanted_model is null or l.model = wanted_model)
      and (wanted_key is null or l.api_key_id = wanted_key)
      and (wanted_status is null or l.status = wanted_status)
    order by l.created_at desc, l.id desc limit max_rows;
  elsif wanted_user is not null then
    return query select * from public.ai_usage_logs l
    where l.user_id = wanted_user and l.workspace_id = wanted_workspace
      and (l.created_at, l.id) < (before, before_id) and l.created_at >= since and l.created_at < until
      and (wanted_scene is null or l.scene = wanted_scene)
      and (wanted_model is null or l.model = wanted_model)
      and (wanted_key is null or l.api_key_id = wanted_key)
      and (wanted_status is null or l.status = wanted_status)
    order by l.created_at desc, l.id desc limit max_rows;
  else
    return query select * from public.ai_usage_logs l
    where l.workspace_id = wanted_workspace
      and (l.created_at, l.id) < (before, before_id) and l.created_at >= since and l.created_at < until
      and (wanted_scene is null or l.scene = wanted_scene)
      and (wanted_model is null or l.model = wanted_model)
      and (wanted_key is null or l.api_key_id = wanted_key)
      and (wanted_status is null or l.status = wanted_status)
    order by l.created_at desc, l.id desc limit max_rows;
  end if;
end;
$$;
grant execute on function private.call_history to authenticated, service_role;

create function public.call_history(
  workspace_id uuid default null, before_id uuid default null, max_rows integer default 50,
  scene public.ai_usage_scene default null, model text default null, api_key_id uuid default null,
  user_id uuid default null, status public.ai_usage_status default null, reference_id text default null,
  "from" timestamptz default null, "to" timestamptz default null
) returns setof public.ai_usage_logs language sql stable set search_path = '' as $$
  select * from private.call_history(coalesce(workspace_id, auth.uid()), before_id, max_rows, scene, model,
    api_key_id, user_id, status, reference_id, "from", "to")
$$;
comment on function public.call_history is
  'Calls of a workspace (default: the caller''s own), newest first, at most 200 at once; before_id: the id of the last '
  'call of the page before. Filters: scene, model, key, person, status, reference_id, and a span of time (from '
  'included, to not). Plain members of a team get their own calls.';
grant execute on function public.call_history to authenticated, service_role;
