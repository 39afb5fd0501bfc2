-- A session's life: started, metered, paused, resumed, ended. All of it runs under the lock of the wallet that pays,
-- then that of the session's row.

insert into public.features (feature_code, name, unit, is_counted, description) values
  ('sessions_at_once', 'Sessions at once', 'session', false, 'Sessions of a workspace that may run at the same time.');
insert into public.plan_features (plan, feature_code, feature_limit) values
  ('free', 'sessions_at_once', 1), ('basic', 'sessions_at_once', 3), ('creator', 'sessions_at_once', 5),
  ('pro', 'sessions_at_once', 20), ('enterprise', 'sessions_at_once', 100);

alter table public.spending_limits add column sessions_at_once integer
  constraint sessions_at_once_is_a_count check (sessions_at_once >= 0);
comment on column public.spending_limits.sessions_at_once is
  'Sessions that this member or key may have running at the same time; null: as many as the plan allows.';
grant update (sessions_at_once) on public.spending_limits to service_role;

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('session_expected_minutes', '5', 'integer', 1, 1440, true,
    'The length that a session on the policy hard is held for when it starts.'),
  ('session_warn_seconds', '120', 'integer', 1, 3600, true,
    'How long before its end by credits or time a session warns.'),
  ('session_grace_credits', '5', 'number', 0, 1000000, false,
    'How far past what is available a session on the policy soft may run before it is ended.'),
  ('session_idle_minutes', '15', 'integer', 1, 1440, true,
    'A session that runs, and of which nobody was heard for so long, is ended.'),
  ('session_longest_minutes', '240', 'integer', 1, 1440, true, 'The longest that a session runs, pauses included.'),
  ('session_tail', '"until_report"', 'text', null, null, false,
    'Until when an idle session is charged: until_report (the last that was heard) or until_end (its end).'),
  ('max_transcript_bytes', '2097152', 'integer', 1, 100000000, false,
    'Bytes that the transcript of a session may have.');
alter table public.system_config add constraint session_tail_is_one_of_its_words
  check (config_key <> 'session_tail' or config_value in ('"until_report"', '"until_end"'));

-- A session that its caller may write, under the locks of its wallet and row; an error for everyone else's.
create function private.lock_session(
  account_id uuid, key_hash text, wanted_workspace uuid, wanted_session uuid, at timestamptz
) returns public.sessions language plpgsql set search_path = '' as $$
declare
  session public.sessions;
  key public.api_keys;
begin
  perform private.require_valid(at);
  if key_hash is not null then
    key := private.api_key_of(key_hash, at);
    account_id := key.user_id;
    if 'session_analysis' <> all (key.allowed_scenes) then
      perform private.raise_error('forbidden', 'This API key is not for scene session_analysis.');
    end if;
  end if;
  if not (private.require_account(account_id)).is_active then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  end if;
  for tries in 1 .. 2 loop -- as it is, and as it is under the lock
    select * into session from public.sessions s
    where s.id = wanted_session and s.workspace_id = coalesce(wanted_workspace, s.workspace_id)
      and private.role_in(s.workspace_id, account_id) is not null
      and (s.user_id = account_id or s.is_shared or private.role_in(s.workspace_id, account_id) in ('owner', 'admin'));
    if not found then
      perform private.raise_error('not_found', format('There is no session %s.',
        coalesce(wanted_session::text, 'null')));
    elsif session.user_id is distinct from account_id then
      perform private.raise_error('forbidden', 'Only its person runs a session.');
    elsif key.workspace_id <> session.workspace_id then
      perform private.raise_error('forbidden', 'This API key is for another workspace.');
    end if;
    exit when tries = 2;
    perform private.lock_wallet(session.workspace_id, at);
    perform from public.sessions s where s.id = wanted_session for no key update;
  end loop;
  return session;
end;
$$;

-- Time --------------------------------------------------------------------------------------------------------------

-- Counts a time as active: what was counted already, or is of a pause, is not counted again. The seconds it added.
create function private.add_active_time(wanted_session uuid, began timestamptz, ended timestamptz) returns numeric
language plpgsql set search_path = '' as $$
declare
  piece record;
  joined record;
  added numeric := 0;
begin
  for piece in
    with pauses as (
      select greatest(p.starts_at, began) as starts_at, least(p.ends_at, ended) as ends_at
      from private.session_spans p
      where p.session_id = wanted_session and p.is_pause and p.starts_at < ended and p.ends_at > began
    )
    select g.starts_at, g.ends_at from (
      select p.ends_at as starts_at, lead(p.starts_at, 1, ended) over (order by p.starts_at) as ends_at from pauses p
      union all
      select began, coalesce((select min(p.starts_at) from pauses p), ended)
    ) g where g.ends_at > g.starts_at
  loop
    -- Spans don't touch: those that touch this one begin within it, but for one that begins before.
    with touched as (
      delete from private.session_spans s
      where s.session_id = wanted_session and not s.is_pause and s.starts_at <= piece.ends_at
        and s.ends_at >= piece.starts_at and s.starts_at >= coalesce((
          select max(b.starts_at) from private.session_spans b
          where b.session_id = wanted_session and not b.is_pause and b.starts_at <= piece.starts_at), piece.starts_at)
      returning s.starts_at, s.ends_at
    )
    select least(min(t.starts_at), piece.starts_at) as starts_at, greatest(max(t.ends_at), piece.ends_at) as ends_at,
      coalesce(sum(extract(epoch from t.ends_at - t.starts_at)), 0) as seconds
    into joined from touched t;
    insert into private.session_spans (session_id, is_pause, starts_at, ends_at)
    values (wanted_session, false, joined.starts_at, joined.ends_at);
    added := added + extract(epoch from joined.ends_at - joined.starts_at) - joined.seconds;
  end loop;
  return added;
end;
$$;

-- Counts so many seconds as active whose time is not known: the last ones before a time that are not counted yet.
create function private.add_active_seconds(
  wanted_session uuid, since timestamptz, until timestamptz, seconds numeric
) returns numeric language plpgsql set search_path = '' as $$
declare
  busy private.session_spans;
  free_from timestamptz;
  added numeric := 0;
begin
  while seconds > 0 and until > since loop
    select * into busy from (
      (select * from private.session_spans s
        where s.session_id = wanted_session and not s.is_pause and s.starts_at < until
        order by s.starts_at desc limit 1)
      union all
      (select * from private.session_spans s
        where s.session_id = wanted_session and s.is_pause and s.starts_at < until
        order by s.starts_at desc limit 1)
    ) b order by b.ends_at desc limit 1;
    if busy.ends_at >= until then
      until := busy.starts_at;
    else
      free_from := greatest(since, busy.ends_at, until - make_interval(secs => seconds::double precision));
      seconds := seconds - extract(epoch from until - free_from);
      added := added + private.add_active_time(wanted_session, free_from, until);
      until := free_from;
    end if;
  end loop;
  return added;
end;
$$;

-- The meter ---------------------------------------------------------------------------------------------------------

create type private.metered_session as (
  session public.sessions, work private.session_work, usage public.session_usage, hold private.credit_holds,
  budget numeric, ends_at timestamptz, end_reason public.session_end_reason
);
comment on type private.metered_session is
  'A locked session as it stands: what it may use in all (budget), and when and why it ends unless something changes.';

-- The usage of a session with what is under way: the time since the last report, and analyses that were admitted.
create function private.live_usage(m private.metered_session, until timestamptz) returns public.session_usage
language plpgsql stable set search_path = '' as $$
declare
  usage public.session_usage := m.usage;
  tolerance numeric := private.config_numeric('usage_tolerance', 2);
  running record;
begin
  usage.duration_seconds := usage.duration_seconds
    + greatest(extract(epoch from least(until, (m.session).paused_at) - (m.work).active_until), 0);
  select count(*) as analyses, coalesce(sum((h.work #>> '{details,segment,characters}')::bigint), 0) as characters,
    coalesce(sum((h.work #>> '{details,segment,duration_seconds}')::numeric), 0) as seconds,
    ceil(coalesce(sum(greatest((h.work #>> '{worst_case,prompt_tokens}')::bigint, 500)
      + (h.work #>> '{worst_case,completion_tokens}')::bigint), 0) * tolerance) as tokens
  into running
  from private.credit_holds h
  where h.workspace_id = (m.session).workspace_id and h.state = 'open' and h.work is not null
    and h.work #>> '{details,session_id}' = (m.session).id::text;
  usage.analysis_count := usage.analysis_count + running.analyses;
  usage.request_count := usage.request_count + 2 * running.analyses;
  usage.characters := usage.characters + running.characters;
  usage.audio_seconds := usage.audio_seconds + running.seconds;
  usage.total_prompt_tokens := usage.total_prompt_tokens + running.tokens;
  return usage;
end;
$$;

-- For how many more seconds of active time some credits last from a usage on, where analyses use burn a second
-- besides; null: for ever.
create function private.session_seconds_for(
  rate jsonb, usage public.session_usage, credits numeric, burn numeric default 0
) returns numeric language plpgsql immutable set search_path = '' as $$
declare
  minutes jsonb := (select r from jsonb_array_elements(rate) r where r ->> 'unit' = 'minute');
  a_minute numeric := (minutes ->> 'credits')::numeric;
  left_over numeric;
  by_time numeric;
begin
  if a_minute > 0 then
    left_over := credits - private.session_charge(
      (select coalesce(jsonb_agg(r), '[]') from jsonb_array_elements(rate) r where r ->> 'unit' <> 'minute'), usage);
    by_time := case when left_over < (minutes ->> 'minimum')::numeric then 0
      when minutes ->> 'rounding' = 'started_minute' then floor(left_over / a_minute) * 60
      else left_over / a_minute * 60 end - usage.duration_seconds;
  end if;
  if burn > 0 then
    by_time := least(by_time,
      (credits - private.session_charge(rate, usage)) / (burn + coalesce(a_minute, 0) / 60));
  end if;
  return case when by_time is not null then greatest(by_time, 0) end;
end;
$$;

-- What a session's provider cost, in credits.
create function private.session_cost(usage public.session_usage) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return usage.estimated_cost_usd * private.config_numeric('credits_per_usd', 100);
end;
$$;

-- How far past what is available a session may run.
create function private.session_grace(session public.sessions) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return case session.policy when 'soft' then private.config_numeric('session_grace_credits', 5) else 0 end;
end;
$$;

-- A locked session with everything that is known of it.
create function private.read_session(session public.sessions, at timestamptz) returns private.metered_session
language plpgsql set search_path = '' as $$
declare
  m private.metered_session;
  wallet public.credit_wallets;
  others record;
  legs numeric;
begin
  m.session := session;
  select w into m.work from private.session_work w where w.session_id = session.id;
  select u into m.usage from public.session_usage u where u.session_id = session.id;
  select h into m.hold from private.credit_holds h where h.id = (m.work).hold_id;
  select * into wallet from public.credit_wallets w where w.workspace_id = session.workspace_id;
  wallet := private.free_due_holds(wallet, 'infinity', at);
  -- What other soft sessions will be charged is set aside by none of them.
  select coalesce(sum(u.credits_consumed), 0) as credits,
    coalesce(sum(u.credits_consumed) filter (where s.user_id = session.user_id or s.api_key_id = session.api_key_id), 0)
      as own_credits
  into others
  from public.sessions s join public.session_usage u on u.session_id = s.id
  where s.workspace_id = session.workspace_id and s.status in ('in_progress', 'paused') and s.policy = 'soft'
    and s.id <> session.id;
  legs := least(wallet.credits_spendable - others.credits, private.credits_left_to(session.workspace_id,
    session.user_id, session.api_key_id, at) - others.own_credits);
  m.budget := case session.policy when 'soft' then legs + private.session_grace(session)
    else greatest(legs, 0) + case when (m.hold).state = 'open' then (m.hold).amount else 0 end end;
  return m;
end;
$$;

-- When a warned session on the policy hard may end for want of credits: so long it is kept, whoever looked at it late.
create function private.session_kept_until(work private.session_work) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return work.warned_at + make_interval(secs => private.config_numeric('session_warn_seconds', 120)::double precision);
end;
$$;

-- The usage of a session with the time that its analyses must leave to it: that until the end which a warning
-- promises, and a minute for the sweep to come by.
create function private.kept_ahead(usage public.session_usage, m private.metered_session, at timestamptz)
returns public.session_usage language plpgsql stable set search_path = '' as $$
begin
  if (m.session).status = 'in_progress' then
    usage.duration_seconds := usage.duration_seconds + greatest(private.config_numeric('session_warn_seconds', 120) + 60
      - coalesce(extract(epoch from at - (m.work).warned_at), 0), 0);
  end if;
  return usage;
end;
$$;

-- Writes how long a session can go on, extends the hold of one on the policy hard, warns where its end is near, and
-- says when the sweep is to look at it. The warning of one on hard is a promise. Its time until then is held ahead, and
-- no analysis may use that (admit_session_analysis), so others who spend cannot end it sooner; analyses that the rest
-- does not pay for are put off, not an end; and where nobody looked in time it ends that much later.
create function private.meter_session(m private.metered_session, at timestamptz) returns private.metered_session
language plpgsql set search_path = '' as $$
declare
  session public.sessions := m.session;
  work private.session_work := m.work;
  usage public.session_usage := m.usage;
  rate jsonb := session.rate;
  live public.session_usage := private.live_usage(m, at);
  timed public.session_usage := usage; -- without analyses that run: these may use less than what is held for them
  -- The sweep looks once a minute, and analyses come about as often.
  ahead numeric := private.config_numeric('session_warn_seconds', 120) + 60;
  longest timestamptz := session.started_at
    + make_interval(mins => private.config_numeric('session_longest_minutes', 240)::integer);
  idle timestamptz := case when session.status = 'in_progress' then session.last_heard_at
    + make_interval(mins => private.config_numeric('session_idle_minutes', 15)::integer) end;
  due numeric := greatest(private.session_charge(rate, live), private.session_cost(usage));
  analysis numeric;
  more numeric;
  by_credits numeric;
  seconds numeric;
begin
  timed.duration_seconds := live.duration_seconds;
  analysis := private.session_charge(rate, live) - private.session_charge(rate, timed);
  if session.policy = 'hard' and (m.hold).state = 'open' then
    more := round(least(private.session_charge(rate, private.kept_ahead(timed, m, at)) + work.burn * ahead + analysis,
      m.budget), 6) - (m.hold).amount;
    if more > 0 then
      update private.credit_holds h set amount = h.amount + more where h.id = (m.hold).id returning h into m.hold;
      perform private.post_entry(session.workspace_id, session.user_id, 'debit', 0, 'session_fee', at,
        for_hold => (m.hold).id, held_change => more);
    end if;
  end if;
  by_credits := private.session_seconds_for(rate, timed, m.budget - analysis, work.burn);
  if private.session_cost(usage) > m.budget then
    by_credits := 0;
  end if;
  seconds := least(extract(epoch from longest - at), by_credits);
  m.ends_at := longest;
  m.end_reason := 'too_long';
  if idle < m.ends_at then
    m.ends_at := idle;
    m.end_reason := 'idle';
  end if;
  if session.policy = 'hard' and session.status = 'in_progress' then
    more := private.session_seconds_for(rate, usage, (m.hold).amount);
    if work.active_until + make_interval(secs => more::double precision) < m.ends_at then
      m.ends_at := work.active_until + make_interval(secs => more::double precision);
      m.end_reason := 'credits';
    end if;
  end if;
  if floor(seconds) <= ahead and work.warned_at is null then
    work.warned_at := at;
    perform private.notify(session.workspace_id, 'session_ending', jsonb_build_object('session_id', session.id,
      'seconds_left', floor(greatest(seconds, 0))), at, session.user_id);
  elsif seconds > 2 * ahead then
    work.warned_at := null; -- there are credits again
  end if;
  if session.policy = 'hard' and work.warned_at is not null then
    seconds := greatest(seconds, extract(epoch from private.session_kept_until(work) - at));
  end if;
  work.due_at := least(
    case m.end_reason when 'credits' then greatest(m.ends_at, private.session_kept_until(work)) else m.ends_at end,
    case when session.status = 'in_progress' and (session.policy = 'hard' or work.warned_at is not null)
        then at + interval '1 minute'
      when work.warned_at is null then at + make_interval(secs => greatest(seconds - ahead, 60)::double precision) end);
  usage.credits_consumed := private.session_charge(rate, usage);
  usage.warning := work.warned_at is not null;
  -- What a team has is not for its members to know, until it ends.
  usage.seconds_left := floor(greatest(case when session.workspace_id = session.user_id or usage.warning then seconds
    else extract(epoch from longest - at) end, 0));
  usage.credits_left := case when session.workspace_id = session.user_id
    then trim_scale(greatest(m.budget - private.session_grace(session) - due, 0)) end;
  update private.session_work w set warned_at = work.warned_at, due_at = work.due_at where w.session_id = session.id;
  update public.session_usage u set credits_consumed = usage.credits_consumed, warning = usage.warning,
    seconds_left = usage.seconds_left, credits_left = usage.credits_left, status = session.status
  where u.session_id = session.id returning u into m.usage;
  m.work := work;
  return m;
end;
$$;

-- A session as its rpcs tell it.
create function private.session_json(m private.metered_session, at timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('session', to_jsonb(m.session) - 'api_key_id', 'usage', to_jsonb(m.usage), 'meter',
    jsonb_build_object('status', (m.session).status, 'seconds_left', (m.usage).seconds_left,
      'credits_left', coalesce((m.usage).credits_left, private.spendable((m.session).workspace_id, (m.session).user_id,
        (m.session).api_key_id, at)),
      'warning', (m.usage).warning, 'credits_consumed', trim_scale((m.usage).credits_consumed)));
end;
$$;

-- The end -----------------------------------------------------------------------------------------------------------

-- Counts the time from the last report to a time as active.
create function private.add_tail(m private.metered_session, until timestamptz) returns private.metered_session
language plpgsql set search_path = '' as $$
declare
  seconds numeric;
begin
  if until > (m.work).active_until then
    seconds := private.add_active_time((m.session).id, (m.work).active_until, until);
    update private.session_work w set active_until = until where w.session_id = (m.session).id returning w into m.work;
    update public.session_usage u set duration_seconds = u.duration_seconds + seconds,
      tail_seconds = u.tail_seconds + seconds
    where u.session_id = (m.session).id returning u into m.usage;
  end if;
  return m;
end;
$$;

-- Ends a locked session that has not ended: settles its hold as one debit, logs it, marks its usage. until: how far its
-- time counts, where it was not paused. Called once a session.
create function private.end_session(
  m private.metered_session, ending public.session_status, reason public.session_end_reason, until timestamptz,
  at timestamptz, has_tail boolean default true, error text default null
) returns private.metered_session language plpgsql set search_path = '' as $$
declare
  session public.sessions := m.session;
  charge numeric;
  settled public.credit_result;
  is_debt boolean;
begin
  until := least(until, session.paused_at, at);
  if has_tail then
    m := private.add_tail(m, until);
  end if;
  until := greatest(until, (m.work).active_until, session.started_at);
  charge := private.session_charge(session.rate, m.usage, ending in ('canceled', 'failed'));
  if session.policy = 'hard' then
    charge := least(charge, (m.hold).amount); -- it makes no debt
  end if;
  if (m.hold).state in ('open', 'expired') then
    settled := private.close_hold(m.hold, charge, at, (m.hold).metadata);
  else -- it was closed by hand
    charge := (m.hold).settled_amount;
  end if;
  is_debt := coalesce(charge > 0 and settled.credits_balance < 0, false);
  update public.sessions s set status = ending, end_reason = reason, ended_at = until, paused_at = null,
    error_message = left(error, 1000)
  where s.id = session.id returning s into m.session;
  update private.session_work w set due_at = null where w.session_id = session.id;
  update public.session_usage u set status = ending, completed_at = until, credits_consumed = charge,
    credit_deducted = true, credit_deducted_at = end_session.at, seconds_left = 0, warning = false,
    credits_left = case when session.workspace_id = session.user_id
      then greatest(trim_scale(settled.credits_available), 0) end
  where u.session_id = session.id returning u into m.usage;
  perform private.log_ai_call((m.work).details || jsonb_build_object('status', case ending when 'failed' then 'failed'
      when 'canceled' then 'canceled' else 'success' end, 'scene', 'session_analysis', 'model', 'session',
      'reference_id', session.id, 'scene_description', session.mode, 'api_key_id', session.api_key_id,
      'duration', least((m.usage).duration_seconds * 1000, 2147483647)::integer)
      || case when is_debt then jsonb_build_object('error_code', 'session_debt', 'error_message',
        'The session used more credits than there were.') else '{}' end,
    session.workspace_id, session.user_id, at, session.started_at, (m.hold).id,
    pricing => jsonb_build_object('credits_per_usd', private.config_numeric('credits_per_usd', 100)),
    charge => row(0, charge, 0, null)::private.ai_charge, entry_id => settled.transaction_id);
  if is_debt then
    perform private.notify(session.workspace_id, 'session_debt', jsonb_build_object('session_id', session.id,
      'credits', charge, 'credits_balance', settled.credits_balance), at);
  end if;
  return m;
end;
$$;

-- Whether a session on the policy soft has no credits to go on with, and so ends. Before that it is announced.
create function private.is_used_up(m private.metered_session, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
declare
  due numeric := greatest(private.session_charge((m.session).rate, private.live_usage(m, at)),
    private.session_cost(m.usage));
begin
  return (m.session).policy = 'soft' and due > m.budget and (m.work).warned_at < at;
end;
$$;

-- A locked session as it is by now: metered, or ended where its time or credits have ended.
create function private.watch_session(session public.sessions, at timestamptz) returns private.metered_session
language plpgsql set search_path = '' as $$
declare
  m private.metered_session := private.read_session(session, at);
begin
  if session.ended_at is not null then
    return m;
  end if;
  m := private.meter_session(m, at);
  if m.ends_at <= at and (m.end_reason <> 'credits' or private.session_kept_until(m.work) <= at) then
    return private.end_session(m, 'expired', m.end_reason, m.ends_at, at, m.end_reason <> 'idle'
      or private.config('session_tail') = '"until_end"');
  elsif private.is_used_up(m, at) then
    return private.end_session(m, 'expired', 'credits', at, at);
  end if;
  return m;
end;
$$;

-- Starting ------------------------------------------------------------------------------------------------------------

-- What a session of so many minutes is expected to use: an analysis of 1,000 tokens and characters each minute.
create function private.expected_usage(minutes numeric) returns public.session_usage
language plpgsql immutable set search_path = '' as $$
declare
  usage public.session_usage := private.no_session_usage();
begin
  usage.duration_seconds := 60 * minutes;
  usage.audio_seconds := 60 * minutes;
  usage.analysis_count := minutes;
  usage.request_count := minutes;
  usage.total_prompt_tokens := 1000 * minutes;
  usage.characters := 1000 * minutes;
  return usage;
end;
$$;

-- Why a session may not start by how many run, if so. Called under the wallet's lock.
create function private.refuse_session_count(asked private.admission) returns private.ai_refusal
language plpgsql stable set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  running record;
begin
  select l.most, l.who, l.used into running
  from (
    select private.limit_in(caller.features, 'sessions_at_once') as most,
      format('The plan %s', (caller.plan).plan) as who,
      (select count(*) from public.sessions s where s.workspace_id = caller.workspace_id
        and s.status in ('in_progress', 'paused')) as used
    union all
    select p.sessions_at_once, case p.spender_kind when 'member' then 'Your limit in this workspace'
        else 'This API key' end,
      (select count(*) from public.sessions s where s.workspace_id = caller.workspace_id
        and s.status in ('in_progress', 'paused') and p.spender_id in (s.user_id, s.api_key_id))
    from public.spending_limits p
    where p.workspace_id = caller.workspace_id and p.spender_id in ((caller.account).id, (caller.api_key).id)
  ) l
  where l.used >= l.most limit 1;
  if found then
    return row('limit_reached', format('%s allows %s at the same time. Wait until one ends.', running.who,
      case running.most when 0 then 'no sessions' when 1 then 'one session' else running.most || ' sessions' end), null,
      30)::private.ai_refusal;
  end if;
  return null;
end;
$$;

create function public.start_session(
  user_id uuid, client_id text default null, mode text default null, started_at timestamptz default null,
  metadata jsonb default '{}', policy public.session_policy default null, workspace_id uuid default null,
  api_key_hash text default null, request_id text default null, details jsonb default '{}',
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  asked private.admission;
  caller private.ai_caller;
  m private.metered_session;
  session public.sessions;
  hold private.credit_holds;
  call jsonb;
  request jsonb := jsonb_build_object('mode', start_session.mode, 'started_at', start_session.started_at,
    'metadata', start_session.metadata, 'policy', start_session.policy);
  needed numeric;
  has_paid boolean;
  uncharged numeric := 0;
begin
  perform private.require_valid(at, metadata => start_session.metadata);
  if length(start_session.client_id) not between 1 and 200 or length(start_session.mode) not between 1 and 63 then
    perform private.raise_error('invalid_request',
      'client_id must have 1 to 200 characters, and mode 1 to 63.');
  elsif start_session.started_at not between at - interval '24 hours' and at + interval '24 hours' then
    perform private.raise_error('invalid_request', 'started_at must be within a day of now.');
  end if;
  asked := private.begin_admission('sessions', start_session.user_id, api_key_hash, start_session.workspace_id,
    'session', start_session.request_id, null, null, details || '{"scene": "session_analysis"}', at);
  caller := asked.caller;
  select * into session from public.sessions s
  where s.workspace_id = caller.workspace_id and s.user_id = (caller.account).id
    and s.client_id = start_session.client_id for no key update;
  if found then
    m := private.watch_session(session, asked.at);
    if (m.work).request <> request then
      return jsonb_build_object('started', false, 'status', private.error_status('idempotency_conflict'),
        'code', 'idempotency_conflict', 'message', 'There is another session with this client_id.',
        'param', 'client_id', 'retry_after', null);
    end if;
    return private.session_json(m, asked.at) || '{"started": false}';
  end if;
  session.rate := private.session_rate_of(caller.workspace_id, start_session.mode, asked.at);
  has_paid := exists (select from public.credit_grants g where g.workspace_id = caller.workspace_id and g.is_paid);
  session.policy := case when start_session.policy = 'hard' then 'hard' else coalesce(
    (select w.session_policy from public.workspaces w where w.id = caller.workspace_id),
    case when has_paid then 'soft' else 'hard' end::public.session_policy) end;
  needed := case session.policy when 'hard' then greatest(private.session_charge(session.rate,
    private.expected_usage(private.config_numeric('session_expected_minutes', 5))), 0.000001) else 0.000001 end;

  call := asked.call;
  asked.call := null; -- no certain model is asked for
  asked.refusal := private.refuse_request(asked, null, null);
  asked.call := call;
  if (asked.refusal).code is null then
    asked.refusal := case
      when not array[asked.scene] <@ (caller.api_key).allowed_scenes then row('forbidden',
        'This API key is not for scene session_analysis.', null, null)::private.ai_refusal
      when not private.feature_is_on(caller.features, 'scene:session_analysis') then row('feature_not_in_plan',
        format('The plan %s does not include scene session_analysis.', (caller.plan).plan), null,
        null)::private.ai_refusal
      else private.refuse_session_count(asked) end;
  end if;
  if (asked.refusal).code is null then
    session.workspace_id := caller.workspace_id;
    session.user_id := (caller.account).id;
    session.api_key_id := (caller.api_key).id;
    session.id := gen_random_uuid();
    m := private.read_session(session, asked.at);
    if not has_paid then
      -- A client reports its time itself: reporting none is no way to have one session after the other for nothing.
      select coalesce(sum(greatest(private.session_cost(u) - u.credits_consumed, 0)), 0) into uncharged
      from public.session_usage u
      where u.workspace_id = caller.workspace_id and u.started_at > asked.at - interval '24 hours';
    end if;
    if needed + uncharged > m.budget - private.session_grace(session) then
      asked.refusal := private.refuse_credits(asked, needed + uncharged, case when uncharged > 0
        then 'With what those of the last day cost beyond their charge, this session needs'
        else 'This session needs' end);
    end if;
  end if;
  if (asked.refusal).code is not null then
    return private.refuse_ai_call(asked) - 'admitted' || '{"started": false}';
  end if;

  perform private.require_room_for_content(caller.workspace_id, octet_length(start_session.metadata::text));
  perform private.count_request(caller, asked.counts, false, asked.at);
  hold.workspace_id := caller.workspace_id;
  hold.user_id := session.user_id;
  hold.spender_id := session.api_key_id;
  hold.amount := case session.policy when 'hard' then needed else 0 end;
  hold.reason := 'session_fee';
  hold.feature_code := 'session_analysis';
  hold.metadata := jsonb_build_object('session_id', session.id);
  hold.created_at := asked.at;
  -- It outlives the session, whose end settles it.
  hold.expires_at := asked.at
    + make_interval(mins => private.config_numeric('session_longest_minutes', 240)::integer) + interval '24 hours';
  hold.id := (private.add_hold(hold)).hold_id;
  insert into public.sessions (id, workspace_id, user_id, client_id, mode, policy, rate, metadata, api_key_id,
    started_at, last_heard_at, created_at)
  values (session.id, session.workspace_id, session.user_id,
    coalesce(start_session.client_id, session.id::text), start_session.mode, session.policy, session.rate,
    start_session.metadata, session.api_key_id, asked.at, asked.at, asked.at)
  returning * into session;
  insert into public.session_usage (session_id, workspace_id, user_id, started_at)
  values (session.id, session.workspace_id, session.user_id, asked.at);
  insert into private.session_work (session_id, workspace_id, hold_id, request, details, clock_offset, active_until,
    burn_at)
  values (session.id, session.workspace_id, hold.id, request, details - '{scene,request_data}'::text[]
    || jsonb_build_object('request_id', start_session.request_id),
    asked.at - coalesce(start_session.started_at, asked.at), asked.at, asked.at);
  m := private.meter_session(private.read_session(session, asked.at), asked.at);
  return private.session_json(m, asked.at) || '{"started": true}';
end;
$$;
comment on function public.start_session is
  'Starts a session, with its usage row, or refuses it as admit_ai_call does: { started, session, usage, meter } or '
  '{ started: false, code, status, message, param, retry_after }. The same client_id with the same body gives the '
  'session it started, another body idempotency_conflict. policy hard is for who wants no debt; without it the '
  'workspace''s holds. started_at: by the client''s clock, which it is then told from.';

-- Pause, resume, end --------------------------------------------------------------------------------------------------

create function public.pause_session(
  session_id uuid, user_id uuid, api_key_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  session public.sessions := private.lock_session(pause_session.user_id, api_key_hash, pause_session.workspace_id,
    pause_session.session_id, at);
  m private.metered_session;
begin
  at := private.time_under_lock(at);
  m := private.watch_session(session, at);
  if (m.session).status = 'in_progress' then
    m := private.add_tail(m, greatest(at, (m.session).last_heard_at));
    update public.sessions s set status = 'paused', last_heard_at = greatest(pause_session.at, s.last_heard_at),
      paused_at = greatest(pause_session.at, s.last_heard_at)
    where s.id = session.id returning * into session;
    m := private.meter_session(private.read_session(session, at), at);
  elsif (m.session).ended_at is not null then
    perform private.raise_error('invalid_state', format('Session %s is %s.', session.id, (m.session).status));
  end if;
  return private.session_json(m, at);
end;
$$;
comment on function public.pause_session is
  'Pauses a session: no time counts until it is resumed. Doing it again changes nothing: { session, usage, meter }.';

create function public.resume_session(
  session_id uuid, user_id uuid, api_key_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  session public.sessions := private.lock_session(resume_session.user_id, api_key_hash, resume_session.workspace_id,
    resume_session.session_id, at);
  m private.metered_session;
begin
  at := private.time_under_lock(at);
  m := private.watch_session(session, at);
  if (m.session).status = 'paused' then
    at := greatest(at, (m.session).paused_at);
    insert into private.session_spans (session_id, is_pause, starts_at, ends_at)
    select session.id, true, session.paused_at, resume_session.at where session.paused_at < resume_session.at;
    update private.session_work w set active_until = greatest(w.active_until, resume_session.at)
    where w.session_id = session.id;
    update public.sessions s set status = 'in_progress', paused_at = null, last_heard_at = resume_session.at
    where s.id = session.id returning * into session;
    m := private.meter_session(private.read_session(session, at), at);
  elsif (m.session).ended_at is not null then
    perform private.raise_error('invalid_state', format('Session %s is %s.', session.id, (m.session).status));
  end if;
  return private.session_json(m, at);
end;
$$;
comment on function public.resume_session is
  'Goes on with a paused session. Doing it again changes nothing: { session, usage, meter }.';

create function public.complete_session(
  session_id uuid, user_id uuid, full_transcript text default null, ended_at timestamptz default null,
  api_key_hash text default null, workspace_id uuid default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  session public.sessions := private.lock_session(complete_session.user_id, api_key_hash,
    complete_session.workspace_id, complete_session.session_id, at);
  m private.metered_session;
begin
  if octet_length(full_transcript) > private.config_numeric('max_transcript_bytes', 2097152) then
    perform private.raise_error('invalid_request', format('full_transcript has at most %s bytes.',
      private.config_numeric('max_transcript_bytes', 2097152)));
  end if;
  at := private.time_under_lock(at);
  m := private.watch_session(session, at);
  if (m.session).ended_at is null then
    if complete_session.ended_at + (m.work).clock_offset
      < session.started_at - make_interval(mins => private.config_numeric('max_clock_skew_minutes', 5)::integer) then
      perform private.raise_error('invalid_request', format('ended_at is before the session began (%s).',
        to_char((session.started_at - (m.work).clock_offset) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    end if;
    m := private.end_session(m, 'completed', null, coalesce(complete_session.ended_at + (m.work).clock_offset, at), at);
  elsif (m.session).status not in ('completed', 'expired') then
    perform private.raise_error('invalid_state', format('Session %s is %s.', session.id, (m.session).status));
  end if;
  -- Also of one that expired before its client could end it, and from its end on it is kept so long.
  if full_transcript ~ '\S' and not (m.work).has_sent_transcript then
    if private.has_room_for_content(session.workspace_id, octet_length(full_transcript)) then
      insert into public.session_transcripts (session_id, workspace_id, transcript, created_at)
      values (session.id, session.workspace_id, full_transcript, (m.session).ended_at);
      update private.session_work w set has_sent_transcript = true where w.session_id = session.id;
    end if;
  end if;
  return private.session_json(m, at);
end;
$$;
comment on function public.complete_session is
  'Ends a session and charges it, once: a second call gives the same answer { session, usage, meter }. ended_at: by '
  'the client''s clock, not before the start by more than max_clock_skew_minutes; the time from the last report until '
  'then is active unless it is paused. The first transcript is stored, once, where there is room for it.';

-- Ends a session that comes to nothing.
create function private.give_session_up(
  wanted_session uuid, account_id uuid, ending public.session_status, error text, key_hash text, wanted_workspace uuid,
  at timestamptz
) returns jsonb language plpgsql set search_path = '' as $$
declare
  session public.sessions := private.lock_session(account_id, key_hash, wanted_workspace, wanted_session, at);
  m private.metered_session;
begin
  at := private.time_under_lock(at);
  m := private.watch_session(session, at);
  if (m.session).ended_at is null then
    m := private.end_session(m, ending, null, at, at, error => give_session_up.error);
  elsif (m.session).status <> ending then
    perform private.raise_error('invalid_state', format('Session %s is %s.', session.id, (m.session).status));
  end if;
  return private.session_json(m, at);
end;
$$;

create function public.cancel_session(
  session_id uuid, user_id uuid, api_key_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
begin
  return private.give_session_up(cancel_session.session_id, cancel_session.user_id, 'canceled', null, api_key_hash,
    cancel_session.workspace_id, at);
end;
$$;
comment on function public.cancel_session is
  'Ends a session that is not wanted: charged are the units of its rate that charge what is unfinished. A second call '
  'gives the same answer { session, usage, meter }.';

create function public.fail_session(
  session_id uuid, user_id uuid, error_message text default null, api_key_hash text default null,
  workspace_id uuid default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
begin
  return private.give_session_up(fail_session.session_id, fail_session.user_id, 'failed', fail_session.error_message,
    api_key_hash, fail_session.workspace_id, at);
end;
$$;
comment on function public.fail_session is 'Ends a session that broke down, as cancel_session does.';

-- Sessions that nobody ends -------------------------------------------------------------------------------------------

-- Looks at one session that is due: warns, extends its hold, or ends it; false when there is none.
create function private.watch_next_session(at timestamptz) returns boolean language plpgsql set search_path = '' as $$
declare
  due_id uuid;
  session public.sessions;
  passed_over uuid[] := array[]::uuid[];
begin
  while cardinality(passed_over) < 100 loop
    select k.session_id into due_id
    from private.session_work k join public.credit_wallets w on w.workspace_id = k.workspace_id
    where k.due_at <= watch_next_session.at and k.session_id <> all (passed_over)
    limit 1 for no key update of w skip locked;
    exit when not found;
    begin
      select s.* into session from public.sessions s where s.id = due_id and s.ended_at is null for no key update;
      if found then
        perform private.watch_session(session, at);
        return true;
      end if;
    exception when others then
      raise warning 'session % could not be looked at: % (%)', due_id, sqlerrm, sqlstate;
    end;
    passed_over := passed_over || due_id;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('watch_next_session', 25);

grant execute on function public.start_session, public.pause_session, public.resume_session, public.complete_session,
  public.cancel_session, public.fail_session to service_role, basemeter_functions;
