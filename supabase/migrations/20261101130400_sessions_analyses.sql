-- Analyses of a session: AI calls that take no credits of their own, each logged and added up in one transaction.
-- The key (session, sequence number) is written with the log row, never before: whatever is killed in between was not
-- counted, and is counted once by the next try.

-- Why an analysis is refused, as admit_ai_call says it, with the session as it is.
create function private.refuse_analysis(m private.metered_session, code text, message text, at timestamptz)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return private.session_json(m, at) || jsonb_build_object('admitted', false, 'status', private.error_status(code),
    'code', code, 'message', message, 'param', null,
    'retry_after', case code when 'analysis_running' then 1 end);
end;
$$;

-- Why a session cannot have one more analysis by its credits: whether it ends now. Before that it is announced.
create function private.is_used_up(m private.metered_session, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  due numeric := greatest(private.session_charge((m.session).rate, private.live_usage(m, at)),
    private.session_cost(m.usage));
begin
  return due > m.budget and ((m.session).policy = 'hard' or (m.work).warned_at < at);
end;
$$;

-- An analysis as it is answered; null where there is none.
create function private.analysis_json(wanted_session uuid, wanted_number integer) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (select to_jsonb(l) from public.session_analysis_logs l
    where l.session_id = wanted_session and l.sequence_number = wanted_number);
end;
$$;

create function public.admit_session_analysis(
  session_id uuid, user_id uuid, sequence_number integer, request_hash text, segment jsonb, model text,
  input_tokens integer, max_output_tokens integer default null, request_id text default null,
  details jsonb default '{}', api_key_hash text default null, workspace_id uuid default null,
  parts jsonb default '{}', fields jsonb default '{}', at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  session public.sessions := private.lock_session(admit_session_analysis.user_id, api_key_hash,
    admit_session_analysis.workspace_id, admit_session_analysis.session_id, at);
  m private.metered_session;
  earlier private.session_segments;
  running private.credit_holds;
  hold private.credit_holds;
  admission jsonb;
  is_warned boolean;
begin
  if (sequence_number >= 0 and length(request_hash) between 1 and 200 and jsonb_typeof(segment) = 'object'
    and coalesce((segment ->> 'characters')::bigint, 0) between 0 and 10000000
    and coalesce((segment ->> 'duration_seconds')::numeric, 0) between 0 and 86400
    and coalesce((segment ->> 'started_at')::timestamptz, at) between at - interval '72 hours' and at + interval '72 hours')
    is not true
  then
    perform private.raise_error('invalid_request', 'An analysis has a sequence_number from 0 on, a request_hash and a '
      'segment { characters, duration_seconds, started_at }.');
  end if;
  at := private.time_under_lock(at);
  select * into earlier from private.session_segments g
  where g.session_id = session.id and g.sequence_number = admit_session_analysis.sequence_number;
  if found then
    m := private.watch_session(session, at);
    if earlier.request_hash <> admit_session_analysis.request_hash then
      return private.refuse_analysis(m, 'idempotency_conflict', format('Another segment has the sequence number %s.',
        sequence_number), at);
    end if;
    return private.session_json(m, at) || jsonb_build_object('admitted', false, 'analysis',
      private.analysis_json(session.id, sequence_number));
  end if;
  for running in
    select h.* from private.credit_holds h
    where h.workspace_id = session.workspace_id and h.state = 'open' and h.work is not null
      and h.work #>> '{details,session_id}' = session.id::text
      and h.work #>> '{details,sequence_number}' = admit_session_analysis.sequence_number::text
      and h.metadata ->> 'request_id' is distinct from admit_session_analysis.request_id
  loop
    if not private.is_silent(running, at) then
      return private.refuse_analysis(private.read_session(session, at), 'analysis_running',
        'This segment is being analyzed.', at);
    end if;
    perform private.finish_lost_ai_call(running, at);
  end loop;
  m := private.watch_session(session, at);
  is_warned := (m.work).warned_at < at;
  if (m.session).ended_at is null and private.is_used_up(m, at) then
    m := private.end_session(m, 'expired', 'credits', at, at);
  end if;
  if (m.session).ended_at is not null then
    return private.refuse_analysis(m, case (m.session).end_reason when 'credits' then 'insufficient_credits'
      else 'invalid_state' end, format('Session %s is %s.', session.id, (m.session).status), at);
  end if;

  admission := public.admit_ai_call(admit_session_analysis.user_id, admit_session_analysis.model,
    admit_session_analysis.input_tokens, admit_session_analysis.max_output_tokens, 1,
    -- What is said is kept with the session alone, which fewer people read than the log.
    admit_session_analysis.request_id, details - 'request_data' || jsonb_build_object('scene', 'session_analysis',
      'reference_id', session.id, 'session_id', session.id, 'sequence_number', sequence_number,
      'request_hash', admit_session_analysis.request_hash, 'segment', segment || jsonb_build_object('heard_at', at)),
    endpoint => 'text_chat', api_key_hash => admit_session_analysis.api_key_hash,
    workspace_id => session.workspace_id, at => admit_session_analysis.at, parts => admit_session_analysis.parts,
    fields => admit_session_analysis.fields, counts_message => false, is_included => true);
  if not (admission -> 'admitted')::boolean then
    return admission;
  end if;
  update private.credit_holds h set metadata = h.metadata
    || jsonb_build_object('session_id', session.id, 'sequence_number', sequence_number)
  where h.id = (admission ->> 'hold_id')::uuid returning * into hold;
  update public.sessions s set last_heard_at = greatest(s.last_heard_at, admit_session_analysis.at)
  where s.id = session.id returning * into session;
  -- Once more, with what this one may use at most.
  m := private.meter_session(private.read_session(session, at), at);
  if session.policy = 'hard'
    and private.session_charge(session.rate, private.live_usage(m, at)) > (m.hold).amount
  then
    perform private.close_hold(hold, null, at, is_work_done => true); -- as if it had not been admitted
    m := private.end_session(m, 'expired', 'credits', at, at);
    return private.refuse_analysis(m, 'insufficient_credits', format('Session %s is %s.', session.id,
      (m.session).status), at);
  end if;
  return private.session_json(m, at) || admission;
end;
$$;
comment on function public.admit_session_analysis is
  'Admits the AI call of one analysis as admit_ai_call does, without credits of its own: { admitted: true, hold_id, '
  'candidates, …, session, usage, meter }; or the first answer to the same segment (same sequence_number and '
  'request_hash): { admitted: false, analysis, meter }; or a refusal: idempotency_conflict, analysis_running, '
  'invalid_state and, where the session ends for want of credits, insufficient_credits. segment: { characters, '
  'duration_seconds, started_at (by the client''s clock; without it the segment is the time before this call) }.';

-- Credits a second that a session used besides time.
create function private.session_burn(rate jsonb, usage public.session_usage, seconds numeric) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  usage.duration_seconds := 0;
  return private.session_charge((select coalesce(jsonb_agg(r), '[]') from jsonb_array_elements(rate) r
    where r ->> 'unit' <> 'fixed'), usage) / seconds * 1.25;
end;
$$;

-- Logs an analysis whose call was logged, counts it to its session, and gives the session as it is then.
create function private.add_analysis(
  m private.metered_session, work jsonb, verdict jsonb, logged private.ai_usage_logs, at timestamptz
) returns private.metered_session language plpgsql set search_path = '' as $$
declare
  session public.sessions := m.session;
  segment jsonb := work #> '{details,segment}';
  heard_at timestamptz := (segment ->> 'heard_at')::timestamptz;
  began timestamptz := (segment ->> 'started_at')::timestamptz + (m.work).clock_offset;
  latest timestamptz := least(heard_at, session.paused_at);
  seconds numeric := least((segment ->> 'duration_seconds')::numeric,
    greatest(extract(epoch from heard_at - session.started_at), 0));
  before numeric := private.session_charge(session.rate, m.usage);
  grown numeric;
  usage public.session_usage;
  row public.session_analysis_logs;
begin
  row.duration_seconds := round(case when began is null
    then private.add_active_seconds(session.id, session.started_at, latest, seconds)
    else private.add_active_time(session.id, greatest(began, session.started_at),
      least(began + make_interval(secs => seconds::double precision), latest)) end, 3);
  insert into public.session_analysis_logs (session_id, sequence_number, workspace_id, user_id, analyzed_at,
    safety_level, severity, display_text, action_suggestion, rag_documents, rag_sources, transcript_length,
    duration_seconds, audio_seconds, model_used, prompt_tokens, completion_tokens, cached_tokens, estimated_cost_usd)
  values (session.id, (work #>> '{details,sequence_number}')::integer, session.workspace_id, session.user_id, at,
    (verdict ->> 'safety_level')::public.session_safety_level, (verdict ->> 'severity')::smallint,
    verdict ->> 'display_text', verdict ->> 'action_suggestion', coalesce(verdict -> 'rag_documents', '[]'),
    coalesce(verdict -> 'rag_sources', '[]'), coalesce((segment ->> 'characters')::integer, 0), row.duration_seconds,
    coalesce(seconds, 0), coalesce(logged.served_model, logged.model), logged.prompt_tokens + (m.work).query_tokens,
    logged.completion_tokens, logged.cached_tokens, logged.estimated_cost + (m.work).query_cost_usd)
  returning * into row;
  insert into private.session_segments (session_id, sequence_number, request_hash)
  values (session.id, row.sequence_number, work #>> '{details,request_hash}');
  update public.session_usage u set analysis_count = u.analysis_count + 1,
    red_count = u.red_count + (row.safety_level = 'red')::integer,
    yellow_count = u.yellow_count + (row.safety_level = 'yellow')::integer,
    green_count = u.green_count + (row.safety_level = 'green')::integer,
    duration_seconds = u.duration_seconds + row.duration_seconds, audio_seconds = u.audio_seconds + row.audio_seconds,
    characters = u.characters + row.transcript_length, total_prompt_tokens = u.total_prompt_tokens + row.prompt_tokens,
    total_completion_tokens = u.total_completion_tokens + row.completion_tokens,
    total_cached_tokens = u.total_cached_tokens + row.cached_tokens,
    estimated_cost_usd = u.estimated_cost_usd + row.estimated_cost_usd
  where u.session_id = session.id returning * into usage;
  -- What it added besides time, and at what pace analyses do.
  usage.duration_seconds := usage.duration_seconds - row.duration_seconds;
  grown := private.session_charge(session.rate, usage) - before;
  update private.session_work w set query_tokens = 0, query_cost_usd = 0,
    largest_analysis = greatest(w.largest_analysis, grown),
    active_until = greatest(w.active_until, least(coalesce(began
      + make_interval(secs => seconds::double precision), latest), latest)),
    burn = greatest(w.burn, private.session_burn(session.rate, usage, greatest(extract(epoch from at
      - session.started_at), 1)))
  where w.session_id = session.id;
  return private.meter_session(private.read_session(session, at), at);
end;
$$;

create function public.finish_session_analysis(
  hold_id uuid, ending public.ai_usage_status, prompt_tokens bigint default 0, cached_tokens bigint default 0,
  completion_tokens bigint default 0, verdict jsonb default null, details jsonb default '{}',
  usage_source public.ai_usage_source default 'reported', served_model text default null,
  written_tokens bigint default 0, pools jsonb default '{}', at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds := private.lock_hold(finish_session_analysis.hold_id, at);
  wanted_session uuid := (hold.metadata ->> 'session_id')::uuid;
  session public.sessions;
  logged private.ai_usage_logs;
  m private.metered_session;
  is_first boolean := hold.work is not null;
begin
  at := greatest(private.time_under_lock(at), (hold.work ->> 'started_at')::timestamptz);
  select * into session from public.sessions s where s.id = wanted_session for no key update;
  if not found then
    perform private.raise_error('not_found', 'This is no analysis of a session.');
  end if;
  perform public.finish_ai_call(hold.id, finish_session_analysis.ending, finish_session_analysis.prompt_tokens,
    finish_session_analysis.cached_tokens, finish_session_analysis.completion_tokens,
    finish_session_analysis.details - 'response_data', 0, finish_session_analysis.usage_source, false,
    finish_session_analysis.served_model, null, finish_session_analysis.written_tokens, false,
    finish_session_analysis.at, finish_session_analysis.pools);
  m := private.watch_session(session, at);
  if is_first and finish_session_analysis.ending = 'success' and verdict is not null
    and ((m.session).ended_at is null)
  then
    select * into logged from private.ai_usage_logs l
    where l.workspace_id = session.workspace_id and l.created_at = finish_session_analysis.at and l.hold_id = hold.id;
    m := private.add_analysis(m, hold.work, verdict, logged, at);
  end if;
  return private.session_json(m, at) || jsonb_build_object('finished', is_first,
    'analysis', private.analysis_json(wanted_session, (hold.metadata ->> 'sequence_number')::integer));
end;
$$;
comment on function public.finish_session_analysis is
  'Ends the AI call of an analysis as finish_ai_call does and, where it succeeded with a verdict, writes its log row '
  'and adds it to the session''s usage: { finished, analysis, session, usage, meter }. analysis is null where it came '
  'to nothing: it failed, or the session had ended meanwhile. verdict: { safety_level, severity, display_text, '
  'action_suggestion, rag_documents, rag_sources }.';

grant execute on function public.admit_session_analysis, public.finish_session_analysis
  to service_role, basemeter_functions;
