-- What is read of sessions besides their rows: shares of the levels, sums, logs by level and time, a timeline. Clients
-- call these functions; function sessions asks read_sessions, which gives a person what they could read themselves.

create type public.safety_distribution as (
  red_count bigint, yellow_count bigint, green_count bigint, total_count bigint, red_percentage numeric,
  yellow_percentage numeric, green_percentage numeric
);
comment on type public.safety_distribution is
  'How many analyses found which level. The percentages have two places and add up to 100, or are 0.';

create type public.session_statistics as (
  total_sessions bigint, total_duration_seconds numeric, total_analysis_count bigint, total_tokens bigint,
  total_cost_usd numeric, total_credits_consumed numeric
);
comment on type public.session_statistics is
  'Sums over sessions. total_cost_usd is what they are worth to their customer, in US dollars.';

create type public.session_levels as (
  session_id uuid, started_at timestamptz, ended_at timestamptz, sequence_numbers integer[], seconds numeric[],
  levels public.session_safety_level[], severities smallint[]
);
comment on type public.session_levels is
  'The analyses of a session by their time, in arrays of one length. seconds: how long after its start each was made.';

-- Counts with their percentages. Each is what a rounded running sum grows by: so they add up to 100, and none is 0.
create function private.safety_distribution_of(red bigint, yellow bigint, green bigint)
returns public.safety_distribution language plpgsql immutable set search_path = '' as $$
declare
  total bigint := red + yellow + green;
  up_to_red numeric := coalesce(round(100.0 * red / nullif(total, 0), 2), 0);
  up_to_yellow numeric := coalesce(round(100.0 * (red + yellow) / nullif(total, 0), 2), 0);
begin
  return row(red, yellow, green, total, up_to_red, up_to_yellow - up_to_red,
    case when total > 0 then 100 - up_to_yellow else 0 end)::public.safety_distribution;
end;
$$;
grant execute on function private.safety_distribution_of to authenticated, service_role;

-- The levels of a session that the caller was found to read; null: there is none that they do.
create function private.safety_of_session(wanted_session uuid) returns public.safety_distribution
language plpgsql stable security definer set search_path = '' as $$
declare
  usage public.session_usage;
begin
  perform private.caller_id(); -- refuses who signed out
  select * into usage from public.session_usage u where u.session_id = wanted_session;
  if not found then
    perform private.raise_error('not_found', 'There is no such session.');
  end if;
  return private.safety_distribution_of(usage.red_count, usage.yellow_count, usage.green_count);
end;
$$;
grant execute on function private.safety_of_session to authenticated, service_role;

create function public.session_safety_distribution(session_id uuid) returns public.safety_distribution
language sql stable set search_path = '' as $$
  select private.safety_of_session((select s.id from public.sessions s where s.id = session_id))
$$;
comment on function public.session_safety_distribution is
  'How many analyses of a session found which level, and their percentages, which add up to 100; for who may read the '
  'session.';
grant execute on function public.session_safety_distribution to authenticated, service_role;

-- The timeline of a session that the caller was found to read, as above.
create function private.timeline_of_session(wanted_session uuid) returns public.session_levels
language plpgsql stable security definer set search_path = '' as $$
declare
  line public.session_levels;
begin
  perform private.caller_id();
  select s.id, s.started_at, s.ended_at into line.session_id, line.started_at, line.ended_at
  from public.sessions s where s.id = wanted_session;
  if not found then
    perform private.raise_error('not_found', 'There is no such session.');
  end if;
  select coalesce(array_agg(l.sequence_number), '{}'),
    coalesce(array_agg(round(extract(epoch from l.analyzed_at - line.started_at), 3)), '{}'),
    coalesce(array_agg(l.safety_level), '{}'), coalesce(array_agg(l.severity), '{}')
  into line.sequence_numbers, line.seconds, line.levels, line.severities
  from (
    select * from public.session_analysis_logs l where l.session_id = wanted_session
    order by l.analyzed_at, l.sequence_number
  ) l;
  return line;
end;
$$;
grant execute on function private.timeline_of_session to authenticated, service_role;

create function public.session_timeline(session_id uuid) returns public.session_levels
language sql stable set search_path = '' as $$
  select private.timeline_of_session((select s.id from public.sessions s where s.id = session_id))
$$;
comment on function public.session_timeline is
  'The levels of a session over its time, in one row of arrays, for drawing; for who may read the session.';
grant execute on function public.session_timeline to authenticated, service_role;

-- Sums over sessions --------------------------------------------------------------------------------------------------

-- The usage of the sessions that began on these days (UTC, both included) and count for a person: their own and, in
-- teams that they own or administer, everybody's; without a workspace or a person asked for, their own. Clients ask
-- for themselves; nobody (null) is the project's functions, who count all.
create function private.usage_that_counts(
  person uuid, first_day date, last_day date, wanted_user uuid, wanted_workspace uuid
) returns setof public.session_usage language plpgsql stable security definer set search_path = '' as $$
declare
  -- Days far off are still days.
  since timestamptz := least(greatest(first_day, '1970-01-01'), '9999-01-01')::timestamp at time zone 'UTC';
  until timestamptz := (greatest(least(last_day, '9999-01-01'), '1970-01-01') + 1)::timestamp at time zone 'UTC';
begin
  if current_setting('role') in ('anon', 'authenticated') then
    person := private.caller_id();
  elsif person is null then
    return query select * from public.session_usage u
    where (wanted_workspace is null or u.workspace_id = wanted_workspace)
      and (wanted_user is null or u.user_id = wanted_user) and u.started_at >= since and u.started_at < until;
    return;
  end if;
  if wanted_workspace is not null then
    perform private.require_role(wanted_workspace, person, 'member');
  else
    wanted_user := coalesce(wanted_user, person);
  end if;
  return query select u.* from public.workspace_members m join public.session_usage u on u.workspace_id = m.workspace_id
  where m.user_id = person and (wanted_workspace is null or m.workspace_id = wanted_workspace)
    and (u.user_id = person or m.role in ('owner', 'admin')) and (wanted_user is null or u.user_id = wanted_user)
    and u.started_at >= since and u.started_at < until;
end;
$$;
grant execute on function private.usage_that_counts to authenticated, service_role;

-- Their sums.
create function private.session_statistics_of(
  person uuid, first_day date, last_day date, wanted_user uuid, wanted_workspace uuid
) returns public.session_statistics language sql stable set search_path = '' as $$
  select row(count(*), coalesce(sum(u.duration_seconds), 0), coalesce(sum(u.analysis_count), 0),
    coalesce(sum(u.total_tokens), 0), coalesce(trim_scale(sum(u.estimated_cost_usd)), 0),
    coalesce(trim_scale(sum(u.credits_consumed)), 0))::public.session_statistics
  from private.usage_that_counts(person, first_day, last_day, wanted_user, wanted_workspace) u
$$;
grant execute on function private.session_statistics_of to authenticated, service_role;

create function public.session_usage_stats(
  start_date date default null, end_date date default null, user_id uuid default null, workspace_id uuid default null
) returns public.session_statistics language sql stable set search_path = '' as $$
  select private.session_statistics_of(null, start_date, end_date, user_id, workspace_id)
$$;
comment on function public.session_usage_stats is
  'Sums over the sessions that began from start_date to end_date (UTC days, both included; null: no bound), of a '
  'workspace and a person where they are given, else over the caller''s own. Owners and admins count all of their '
  'team, members their own, the service role everything.';
grant execute on function public.session_usage_stats to authenticated, service_role;

create function public.session_safety_by_member(
  workspace_id uuid, start_date date default null, end_date date default null
) returns table (
  user_id uuid, session_count bigint, red_count bigint, yellow_count bigint, green_count bigint, total_count bigint,
  red_percentage numeric, yellow_percentage numeric, green_percentage numeric
) language sql stable set search_path = '' as $$
  select m.user_id, m.sessions, d.*
  from (
    select u.user_id, count(*) as sessions, sum(u.red_count) as red, sum(u.yellow_count) as yellow,
      sum(u.green_count) as green
    from private.usage_that_counts(null, start_date, end_date, null, workspace_id) u group by u.user_id
  ) m cross join lateral private.safety_distribution_of(m.red, m.yellow, m.green) d
  order by d.total_count desc, m.user_id
$$;
comment on function public.session_safety_by_member is
  'Levels found in the sessions of a workspace that began on these days (as in session_usage_stats), by person (null: '
  'deleted people). Owners and admins get everyone, members themselves.';
grant execute on function public.session_safety_by_member to authenticated, service_role;

-- Logs ----------------------------------------------------------------------------------------------------------------

-- Logs of a workspace by level and time. Rights are looked at once; then each level's index is walked from the cursor
-- on, no further than a page.
create function private.session_analysis_history(
  wanted_workspace uuid, wanted_user uuid, level public.session_safety_level, since timestamptz, until timestamptz,
  max_rows integer, before_session uuid, before_number integer
) returns setof public.session_analysis_logs language plpgsql stable security definer set search_path = '' as $$
declare
  before timestamptz := 'infinity'::timestamptz;
begin
  if private.lists_own_alone(wanted_workspace, max_rows) then
    if wanted_user <> auth.uid() then
      return;
    end if;
    wanted_user := auth.uid();
  end if;
  if before_session is not null or before_number is not null then
    select l.analyzed_at into before from public.session_analysis_logs l
    where l.session_id = before_session and l.sequence_number = before_number and l.workspace_id = wanted_workspace
      and (wanted_user is null or l.user_id = wanted_user);
    if not found then
      perform private.raise_error('not_found', 'before_session_id and before_number name no row of this list.');
    end if;
  end if;
  before_session := coalesce(before_session, '00000000-0000-0000-0000-000000000000');
  before_number := coalesce(before_number, 0);
  since := coalesce(since, '-infinity');
  until := coalesce(until, 'infinity');
  return query
    select p.*
    from unnest(case when level is null then enum_range(null::public.session_safety_level)
      else array[level] end) v (level)
    cross join lateral (
      select * from public.session_analysis_logs l
      where l.workspace_id = wanted_workspace and l.safety_level = v.level
        and (l.analyzed_at, l.session_id, l.sequence_number) < (before, before_session, before_number)
        and l.analyzed_at >= since and l.analyzed_at < until and (wanted_user is null or l.user_id = wanted_user)
      order by l.analyzed_at desc, l.session_id desc, l.sequence_number desc limit max_rows
    ) p
    order by p.analyzed_at desc, p.session_id desc, p.sequence_number desc limit max_rows;
end;
$$;
grant execute on function private.session_analysis_history to authenticated, service_role;

create function public.session_analysis_history(
  workspace_id uuid default null, safety_level public.session_safety_level default null, user_id uuid default null,
  "from" timestamptz default null, "to" timestamptz default null, max_rows integer default 50,
  before_session_id uuid default null, before_number integer default null
) returns setof public.session_analysis_logs language sql stable set search_path = '' as $$
  select * from private.session_analysis_history(coalesce(workspace_id, auth.uid()), user_id, safety_level, "from",
    "to", max_rows, before_session_id, before_number)
$$;
comment on function public.session_analysis_history is
  'Analyses of a workspace (default: the caller''s own), newest first, at most 200 at once; before_session_id and '
  'before_number: session_id and sequence_number of the last one of the page before. Filters: level, person, a span '
  'of time (from included, to not). Plain members of a team get their own.';
grant execute on function public.session_analysis_history to authenticated, service_role;

-- For function sessions -----------------------------------------------------------------------------------------------

create function public.read_sessions(
  user_id uuid, what text, session_id uuid default null, before_number integer default null,
  max_rows integer default 50, start_date date default null, end_date date default null, of_user_id uuid default null,
  workspace_id uuid default null, api_key_hash text default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  caller private.ai_caller := private.ai_caller_of(read_sessions.user_id, api_key_hash, at,
    read_sessions.workspace_id);
  account_id uuid := (caller.account).id;
  -- A key reads in its workspace alone.
  home uuid := case when api_key_hash is not null then caller.workspace_id else read_sessions.workspace_id end;
  session public.sessions;
  logs jsonb;
begin
  if 'session_analysis' <> all ((caller.api_key).allowed_scenes) then
    perform private.raise_error('forbidden', 'This API key is not for scene session_analysis.');
  elsif what = 'usage_stats' then
    return to_jsonb(private.session_statistics_of(account_id, start_date, end_date, of_user_id, home));
  elsif max_rows between 1 and 200 is not true then
    perform private.raise_error('invalid_request', 'max_rows must be between 1 and 200.');
  end if;
  select s.* into session
  from public.sessions s join public.workspace_members m on m.workspace_id = s.workspace_id and m.user_id = account_id
  where s.id = read_sessions.session_id and (home is null or s.workspace_id = home)
    and (s.user_id = account_id or s.is_shared or m.role in ('owner', 'admin'));
  if not found then
    perform private.raise_error('not_found',
      format('There is no session %s.', coalesce(read_sessions.session_id::text, 'null')));
  end if;
  case what
    when 'session' then
      return jsonb_build_object('session', to_jsonb(session) - 'api_key_id', 'usage', (
          select to_jsonb(u) from public.session_usage u where u.session_id = session.id), 'transcript', (
          select t.transcript from public.session_transcripts t
          where t.session_id = session.id and (session.user_id = account_id or session.is_shared)));
    when 'analysis_logs' then
      select coalesce(jsonb_agg(to_jsonb(p) order by p.sequence_number desc), '[]') into logs
      from (
        select * from public.session_analysis_logs l
        where l.session_id = session.id and (before_number is null or l.sequence_number < before_number)
        order by l.sequence_number desc limit max_rows + 1
      ) p;
      return jsonb_build_object('data', logs - max_rows, 'has_more', jsonb_array_length(logs) > max_rows);
    when 'safety_distribution' then
      return to_jsonb(private.safety_of_session(session.id));
    when 'timeline' then
      return to_jsonb(private.timeline_of_session(session.id));
    else
      perform private.raise_error('invalid_request',
        'what must be session, analysis_logs, safety_distribution, timeline or usage_stats.');
      return null;
  end case;
end;
$$;
comment on function public.read_sessions is
  'What a person, or the person of an API key in its workspace, may read of sessions. what: session ({ session, usage, '
  'transcript }: null where they may not read that), analysis_logs ({ data, has_more }: by number, highest first, '
  'before_number: the last one''s of the page before), safety_distribution, timeline, usage_stats.';
grant execute on function public.read_sessions to service_role, basemeter_functions;
