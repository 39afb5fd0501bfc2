-- What a session was charged: corrected by further entries, never by an edit, and proved.

-- The debits of a session, the end's and those of corrections, with what has not been refunded of each.
create function private.session_debits(session public.sessions) returns table (entry_id bigint, amount numeric)
language plpgsql stable set search_path = '' as $$
begin
  return query
  select t.id, -t.amount - coalesce((select sum(r.amount) from public.credit_transactions r
    where r.refunded_transaction_id = t.id), 0)
  from public.credit_transactions t
  where t.workspace_id = session.workspace_id and t.created_at >= session.started_at and t.transaction_type = 'debit'
    and t.reason = 'session_fee' and t.metadata ->> 'session_id' = session.id::text;
end;
$$;

create function public.correct_session(
  session_id uuid, quantities jsonb, reason text, idempotency_key text, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  session public.sessions;
  usage public.session_usage;
  wallet public.credit_wallets;
  debit record;
  request jsonb := jsonb_build_object('correct_session', session_id, 'quantities', quantities, 'reason', reason);
  facts jsonb := jsonb_build_object('session_id', session_id, 'corrected_to', quantities);
  answer jsonb;
  charged numeric;
  due numeric;
  change numeric;
  posted public.credit_result;
begin
  perform private.require_valid(at, reason => reason, idempotency_key => idempotency_key);
  if idempotency_key is null or jsonb_typeof(quantities) is distinct from 'object' or quantities = '{}'
    or exists (select from jsonb_each(quantities) q where (q.key in ('duration_seconds', 'analysis_count',
      'request_count', 'total_tokens', 'audio_seconds', 'characters') and jsonb_typeof(q.value) = 'number'
      and (q.value #>> '{}')::numeric between 0 and 1000000000
      and (q.key ~ 'seconds' or (q.value #>> '{}')::numeric = trunc((q.value #>> '{}')::numeric))) is not true)
  then
    perform private.raise_error('invalid_request', 'A correction has an idempotency_key and quantities { '
      'duration_seconds, analysis_count, request_count, total_tokens, audio_seconds, characters }: the right ones of '
      'those that were wrong, from 0 on.');
  end if;
  select * into session from public.sessions s where s.id = correct_session.session_id;
  if not found then
    perform private.raise_error('not_found', format('There is no session %s.',
      coalesce(correct_session.session_id::text, 'null')));
  end if;
  wallet := private.lock_wallet(session.workspace_id, at);
  at := private.time_under_lock(at);
  answer := private.earlier_answer(session.workspace_id, 'credits', idempotency_key, request);
  if answer is not null then
    return answer;
  end if;
  select * into session from public.sessions s where s.id = correct_session.session_id; -- as it is under the lock
  if session.ended_at is null then
    perform private.raise_error('invalid_state', format('Session %s is %s: it is not charged yet.', session.id,
      session.status));
  end if;
  select * into usage from public.session_usage u where u.session_id = session.id;
  usage := jsonb_populate_record(usage, quantities);
  if quantities ? 'total_tokens' then
    usage.total_prompt_tokens := (quantities ->> 'total_tokens')::bigint;
    usage.total_completion_tokens := 0;
  end if;
  due := private.session_charge(session.rate, usage, session.status in ('canceled', 'failed'));
  select coalesce(sum(d.amount), 0) into charged from private.session_debits(session) d;
  change := due - charged;
  if change > 0 then
    if session.policy = 'hard' then
      perform private.require_available(wallet, change, at); -- it makes no debt
    end if;
    posted := private.post_entry(session.workspace_id, session.user_id, 'debit', -change, 'session_fee', at,
      entry_metadata => facts, entry_description => reason, entry_feature => 'session_analysis',
      spender => session.api_key_id);
    perform private.log_ai_call(jsonb_build_object('status', 'success', 'scene', 'session_analysis', 'model', 'session',
      'reference_id', session.id, 'scene_description', left(reason, 100), 'api_key_id', session.api_key_id,
      'duration', 0), session.workspace_id, session.user_id, at,
      pricing => jsonb_build_object('credits_per_usd', private.config_numeric('credits_per_usd', 100)),
      charge => row(0, change, 0, null)::private.ai_charge, entry_id => posted.transaction_id);
  end if;
  for debit in select * from private.session_debits(session) d where d.amount > 0 order by d.entry_id desc loop
    exit when charged <= due;
    select * into wallet from public.credit_wallets w where w.workspace_id = session.workspace_id;
    perform private.post_refund(wallet, session.user_id, least(charged - due, debit.amount), 'session_fee', facts,
      reason, null, debit.entry_id, at);
    charged := charged - least(charged - due, debit.amount);
  end loop;
  answer := jsonb_build_object('session_id', session.id, 'credits_before', trim_scale(due - change),
    'credits_after', trim_scale(due), 'credits_changed', trim_scale(change));
  perform private.store_answer(session.workspace_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.correct_session is
  'Corrects what an ended session was charged, by its own rate with the quantities that were wrong put right: refunds '
  'its debit or makes a further one; its usage and logs stay as they are. Once for an idempotency_key. Gives { '
  'session_id, credits_before, credits_after, credits_changed }. On the policy hard it makes no debt: '
  'insufficient_credits.';
grant execute on function public.correct_session to service_role;

-- Sessions against their logs and entries: usage is the sum of the logs, and each that ended was debited once.
create function private.prove_sessions(wanted_workspace uuid) returns setof private.drift
language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan
  set enable_nestloop = off set jit = off
as $$
begin
  return query with logs as (
    select l.session_id, count(*) as analyses, sum(l.request_count) as requests, sum(l.duration_seconds) as seconds,
      sum(l.audio_seconds) as audio_seconds, sum(l.transcript_length) as characters, sum(l.prompt_tokens) as input,
      sum(l.completion_tokens) as output, sum(l.cached_tokens) as cached, sum(l.estimated_cost_usd) as cost,
      count(*) filter (where l.safety_level = 'red') as red, count(*) filter (where l.safety_level = 'yellow') as yellow
    from public.session_analysis_logs l where wanted_workspace is null or l.workspace_id = wanted_workspace
    group by l.session_id
  ), entries as (
    select t.hold_id, count(*) as debits, -sum(t.amount) as credits from public.credit_transactions t
    where t.hold_id is not null and t.reason = 'session_fee'
      and (wanted_workspace is null or t.workspace_id = wanted_workspace)
    group by t.hold_id
  )
  select u.workspace_id, r.rule, r.expected, r.actual, u.session_id::text
  from public.session_usage u
  join public.sessions s on s.id = u.session_id
  left join private.session_work w on w.session_id = u.session_id
  left join logs l on l.session_id = u.session_id
  left join entries e on e.hold_id = w.hold_id
  cross join lateral (values
    ('a session''s analyses are its logs', coalesce(l.analyses, 0)::numeric, u.analysis_count::numeric),
    ('a session''s requests are those of its logs', coalesce(l.requests, 0), u.request_count),
    ('a session''s active time is that of its logs and the tail', coalesce(l.seconds, 0) + u.tail_seconds,
      u.duration_seconds),
    ('a session''s sound is that of its logs', coalesce(l.audio_seconds, 0), u.audio_seconds),
    ('a session''s characters are those of its logs', coalesce(l.characters, 0), u.characters),
    ('a session''s input is that of its logs', coalesce(l.input, 0), u.total_prompt_tokens),
    ('a session''s output is that of its logs', coalesce(l.output, 0), u.total_completion_tokens),
    ('a session''s cached tokens are those of its logs', coalesce(l.cached, 0), u.total_cached_tokens),
    ('a session''s cost is that of its logs', coalesce(l.cost, 0), u.estimated_cost_usd),
    ('a session''s levels are those of its logs', coalesce(l.red, 0) * 1000000 + coalesce(l.yellow, 0),
      u.red_count::numeric * 1000000 + u.yellow_count),
    ('a session has as many levels as analyses', u.analysis_count, u.red_count + u.yellow_count + u.green_count),
    ('a session is charged when it has ended', (s.ended_at is not null)::integer, u.credit_deducted::integer),
    ('what a session is charged is its debit', case when u.credit_deducted then coalesce(e.credits, 0) end,
      case when u.credit_deducted then u.credits_consumed::numeric end),
    ('a session has one debit', case when u.credit_deducted then (u.credits_consumed > 0)::integer end,
      case when u.credit_deducted then coalesce(e.debits, 0) end)
  ) r (rule, expected, actual)
  where (wanted_workspace is null or u.workspace_id = wanted_workspace) and r.expected is distinct from r.actual;
end;
$$;
