-- Analyses of a session: AI calls that take no credits of their own, each logged and added up in one transaction.
-- The key (session, sequence number) is written with the log row, never before: whatever is killed in between was not
-- counted, and is counted once by the next try.

-- Why an analysis is refused, as admit_ai_call says it, with the session as it is.
create function private.refuse_analysis(
  m private.metered_session, code text, message text, at timestamptz, retry_after integer default null
) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return private.session_json(m, at) || jsonb_build_object('admitted', false, 'status', private.error_status(code),
    'code', code, 'message', message, 'param', null, 'retry_after', retry_after);
end;
$$;

-- For how many seconds an admitted analysis of a session on the policy hard is put off, if so; null: it is not. From a
-- warning until the end that it promises, credits are spread over the time: as many analyses as they pay for, evenly.
create function private.analysis_put_off(
  m private.metered_session, most numeric, last_admitted_at timestamptz, at timestamptz
) returns numeric language plpgsql stable set search_path = '' as $$
declare
  window_left numeric := extract(epoch from private.session_kept_until(m.work) - at);
  since_last numeric := extract(epoch from at - last_admitted_at);
  a_share numeric := (m.work).largest_analysis / nullif((m.work).largest_analysis + most, 0);
begin
  if window_left <= 0 then
    return null;
  elsif most < 0 then
    return window_left;
  elsif since_last < window_left * a_share then
    return (window_left * a_share - since_last) / (1 + a_share);
  end if;
  return null;
end;
$$;

-- Whether a segment is as admit_session_analysis has it.
create function private.is_segment(segment jsonb, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (jsonb_typeof(segment) = 'object'
    and coalesce((segment ->> 'characters')::integer, 0) between 0 and 10000000
    and coalesce((segment ->> 'duration_seconds')::numeric, 0) between 0 and 86400
    and coalesce((segment ->> 'started_at')::timestamptz, at)
      between at - interval '72 hours' and at + interval '72 hours') is true;
exception when data_exception then
  return false;
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
  admission jsonb;
  before numeric;
  worst numeric;
  left_over numeric;
  put_off numeric;
  refusal private.ai_refusal;
begin
  if (sequence_number >= 0 and length(request_hash) between 1 and 200 and private.is_segment(segment, at)) is not true
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
        'This segment is being analyzed.', at, 1);
    end if;
    perform private.finish_lost_ai_call(running, at);
  end loop;
  m := private.watch_session(session, at);
  if (m.session).ended_at is not null then
    return private.refuse_analysis(m, case (m.session).end_reason when 'credits' then 'insufficient_credits'
      else 'invalid_state' end, format('Session %s is %s.', session.id, (m.session).status), at);
  end if;

  before := private.session_charge(session.rate, private.live_usage(m, at));
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
  where h.id = (admission ->> 'hold_id')::uuid;
  -- Once more, with what this one may use at most.
  m := private.read_session(session, at);
  worst := private.session_charge(session.rate, private.live_usage(m, at)) - before;
  if session.policy = 'hard' then
    left_over := case when private.session_cost(m.usage) > m.budget then -1 else m.budget
      - private.session_charge(session.rate, private.kept_ahead(private.live_usage(m, at), m, at)) end;
    put_off := private.analysis_put_off(m, left_over, session.last_heard_at, at);
    refusal := case
      when put_off is not null then row('rate_limited', 'The credits of this session are near their end: until then '
        'it has analyses at the pace that they pay for.', null, ceil(put_off))::private.ai_refusal
      when left_over < 0 then row('insufficient_credits', format('This analysis may cost up to %s credits, which is '
        'more than the session can use.', trim_scale(worst)), null, null)::private.ai_refusal end;
  end if;
  if refusal.code is not null then
    perform public.finish_ai_call((admission ->> 'hold_id')::uuid, 'refused', at => admit_session_analysis.at,
      details => jsonb_build_object('error_code', refusal.code, 'error_message', refusal.message));
    m := private.read_session(session, at);
    -- One that is too large for a session without a warning is no end of it.
    if refusal.code = 'insufficient_credits' and (m.work).warned_at is not null then
      m := private.end_session(m, 'expired', 'credits', at, at);
    end if;
    return private.refuse_analysis(m, refusal.code, refusal.message, at, refusal.retry_after);
  end if;
  update public.sessions s set last_heard_at = greatest(s.last_heard_at, admit_session_analysis.at)
  where s.id = session.id returning * into session;
  return private.session_json(private.meter_session(private.read_session(session, at), at), at) || admission;
end;
$$;
comment on function public.admit_session_analysis is
  'Admits the AI call of one analysis as admit_ai_call does, without credits of its own: { admitted: true, hold_id, '
  'candidates, …, session, usage, meter }; or the first answer to the same segment (same sequence_number and '
  'request_hash): { admitted: false, analysis, meter }; or a refusal: idempotency_conflict, analysis_running, '
  'invalid_state; rate_limited for the pace that the last credits of a session on hard pay for; insufficient_credits '
  'where it ends for want of them, or is too small for this segment. segment: { characters, '
  'duration_seconds, started_at (by the client''s clock; without it the segment is the time before this call) }.';

-- Credits a second that a session used besides time, on average.
create function private.session_burn(rate jsonb, usage public.session_usage, seconds numeric) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  usage.duration_seconds := 0;
  return private.session_charge((select coalesce(jsonb_agg(r), '[]') from jsonb_array_elements(rate) r
    where r ->> 'unit' <> 'fixed'), usage) / seconds;
end;
$$;

-- Logs an analysis whose call was logged, counts it to its session, and gives the session as it is then.
create function private.add_analysis(
  m private.metered_session, work jsonb, verdict jsonb, logged private.ai_usage_logs, query private.ai_usage_logs,
  at timestamptz
) returns private.metered_session language plpgsql set search_path = '' as $$
declare
  session public.sessions := m.session;
  segment jsonb := work #> '{details,segment}';
  heard_at timestamptz := (segment ->> 'heard_at')::timestamptz;
  began timestamptz := (segment ->> 'started_at')::timestamptz + (m.work).clock_offset;
  latest timestamptz := least(heard_at, session.paused_at);
  seconds numeric := trunc(least((segment ->> 'duration_seconds')::numeric,
    greatest(extract(epoch from heard_at - session.started_at), 0)), 3);
  before numeric := private.session_charge(session.rate, m.usage);
  has_room boolean := private.has_room_for_content(session.workspace_id, octet_length(concat(verdict ->> 'display_text',
    verdict ->> 'action_suggestion', verdict ->> 'rag_documents', verdict ->> 'rag_sources')), at);
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
    duration_seconds, audio_seconds, request_count, model_used, prompt_tokens, completion_tokens, cached_tokens,
    estimated_cost_usd)
  values (session.id, (work #>> '{details,sequence_number}')::integer, session.workspace_id, session.user_id, at,
    (verdict ->> 'safety_level')::public.session_safety_level, (verdict ->> 'severity')::smallint,
    -- A day's bound on what is stored takes the texts, as in the log of calls; the level is what was paid for.
    case when has_room then verdict ->> 'display_text' else '' end,
    case when has_room then verdict ->> 'action_suggestion' end,
    coalesce(case when has_room then verdict -> 'rag_documents' end, '[]'),
    coalesce(case when has_room then verdict -> 'rag_sources' end, '[]'),
    coalesce((segment ->> 'characters')::integer, 0), row.duration_seconds, coalesce(seconds, 0),
    least(greatest((verdict ->> 'request_count')::integer, 1), 2), coalesce(logged.served_model, logged.model),
    logged.prompt_tokens + coalesce(query.prompt_tokens, 0), logged.completion_tokens, logged.cached_tokens,
    logged.estimated_cost + coalesce(query.estimated_cost, 0))
  returning * into row;
  insert into private.session_segments (session_id, sequence_number, request_hash)
  values (session.id, row.sequence_number, work #>> '{details,request_hash}');
  update public.session_usage u set analysis_count = u.analysis_count + 1,
    request_count = u.request_count + row.request_count,
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
  update private.session_work w set largest_analysis = greatest(w.largest_analysis, grown),
    active_until = greatest(w.active_until, least(coalesce(began
      + make_interval(secs => seconds::double precision), latest), latest)),
    -- Of the last minutes, fading; a short session has none but its whole.
    burn = round(greatest(w.burn * exp(-least(extract(epoch from at - w.burn_at), 3600) / 180) + grown / 180,
      private.session_burn(session.rate, usage, greatest(extract(epoch from at - session.started_at), 60))), 12),
    burn_at = at
  where w.session_id = session.id;
  return private.meter_session(private.read_session(session, at), at);
end;
$$;

create function public.finish_session_analysis(
  hold_id uuid, ending public.ai_usage_status, prompt_tokens bigint default 0, cached_tokens bigint default 0,
  completion_tokens bigint default 0, verdict jsonb default null, details jsonb default '{}',
  usage_source public.ai_usage_source default 'reported', served_model text default null,
  written_tokens bigint default 0, pools jsonb default '{}', at timestamptz default clock_timestamp(),
  query_request_id text default null
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds := private.lock_hold(finish_session_analysis.hold_id, at);
  wanted_session uuid := (hold.metadata ->> 'session_id')::uuid;
  session public.sessions;
  logged private.ai_usage_logs;
  query private.ai_usage_logs;
  m private.metered_session;
  is_first boolean := hold.work is not null;
  is_added boolean := false;
begin
  at := greatest(private.time_under_lock(at), (hold.work ->> 'started_at')::timestamptz);
  select * into session from public.sessions s where s.id = wanted_session for no key update;
  if not found then
    perform private.raise_error('not_found', 'This is no analysis of a session.');
  end if;
  perform public.finish_ai_call(hold.id, finish_session_analysis.ending, finish_session_analysis.prompt_tokens,
    finish_session_analysis.cached_tokens, finish_session_analysis.completion_tokens,
    -- As when it was admitted: what was said and found is not for the log.
    finish_session_analysis.details - '{request_data,response_data}'::text[], 0, finish_session_analysis.usage_source,
    false, finish_session_analysis.served_model, null, finish_session_analysis.written_tokens, false,
    finish_session_analysis.at, finish_session_analysis.pools);
  m := private.watch_session(session, at);
  if is_first and finish_session_analysis.ending = 'success' and verdict is not null
    and ((m.session).ended_at is null)
  then
    select * into logged from private.ai_usage_logs l
    where l.workspace_id = session.workspace_id and l.created_at = finish_session_analysis.at and l.hold_id = hold.id;
    select * into query from private.ai_usage_logs l
    where l.request_id = query_request_id and l.workspace_id = session.workspace_id and l.user_id = session.user_id
      and l.scene = 'embedding' limit 1;
    m := private.add_analysis(m, hold.work, verdict, logged, query, at);
    is_added := true;
  end if;
  -- Also where the day has no room for it, this answer has what was found.
  return private.session_json(m, at) || jsonb_build_object('finished', is_first,
    'analysis', private.analysis_json(wanted_session, (hold.metadata ->> 'sequence_number')::integer)
      || case when is_added then verdict - array['severity', 'request_count'] else '{}' end);
end;
$$;
comment on function public.finish_session_analysis is
  'Ends the AI call of an analysis as finish_ai_call does and, where it succeeded with a verdict, writes its log row '
  'and adds it to the session''s usage: { finished, analysis, session, usage, meter }. analysis is null where it came '
  'to nothing: it failed, or the session had ended meanwhile. verdict: { safety_level, severity, display_text, '
  'action_suggestion, rag_documents, rag_sources, request_count (2: the first answer was no verdict) }. '
  'query_request_id: the embedding that looked for its passages, whose tokens and cost it counts.';

grant execute on function public.admit_session_analysis, public.finish_session_analysis
  to service_role, basemeter_functions;
