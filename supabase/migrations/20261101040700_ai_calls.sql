-- An AI call: admitted once, finished once. In between the function talks to the provider.
-- A refusal is data, not an error: an error would take its log row back with it.

create type private.ai_call as (
  request_id text, idempotency_key text, message_period timestamptz, started_at timestamptz, heard_at timestamptz,
  prompt_tokens bigint, completion_tokens bigint, worst_case private.ai_usage, served_model text, pricings jsonb,
  details jsonb
);
comment on type private.ai_call is
  'A call under way, as it is kept in the work of its hold. message_period: the period whose messages it counts to. '
  'heard_at: when its function last said that it runs; one under an Idempotency-Key says so every ten seconds. '
  'prompt_tokens, completion_tokens: what a long stream last told of itself; what a lost call is charged. '
  'worst_case: what it may use at most, by its request and its limits: what it is held for. '
  'pricings: what its charge is computed from, by the model that answers, as it was when the call began. '
  'details: columns of its log row that were known when it began.';

create view private.ai_calls as
select h.id as hold_id, h.workspace_id, h.user_id, h.spender_id as api_key_id, h.expires_at as hold_expires_at, c.*
from private.credit_holds h cross join lateral jsonb_populate_record(null::private.ai_call, h.work) c
where h.work is not null;
comment on view private.ai_calls is 'Calls under way; what is left past its time was lost and is swept.';

-- What the log keeps of a request or answer: 16 KiB of text, and a mark where it was cut.
create function private.log_data(value jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  if length(value::text) > 16384 then
    return jsonb_build_object('truncated', true, 'characters', length(value::text), 'begins', left(value::text, 16384));
  end if;
  return value;
end;
$$;

-- The pricing of a call that used what has no price, marked so; admins hear of it once for each model and day.
create function private.mark_unpriced(
  call private.ai_usage_logs, pricing jsonb, charge private.ai_charge, at timestamptz
) returns jsonb language plpgsql set search_path = '' as $$
begin
  perform private.notify_admins('usage_unpriced',
    format('%s %s', pricing #>> '{price,model}', (at at time zone 'UTC')::date), jsonb_build_object(
      'request_id', call.request_id, 'served_model', pricing #>> '{price,model}', 'units', to_jsonb(charge.unpriced),
      'hint', 'Give the model a price for these units with admin_set_model_price; 0 where they are free.'));
  return pricing || jsonb_build_object('unpriced', charge.unpriced);
end;
$$;

-- The end of whatever is paid for (an AI call, a video job, a call made elsewhere, a refusal): its log row, from
-- facts by column name, with what its usage cost by its pricing and the entry charged for it, and, where is_use,
-- its count to its features. The statistics follow the log. charge null: nothing came of it.
create function private.log_ai_call(
  facts jsonb, wanted_workspace uuid, account_id uuid, at timestamptz, began_at timestamptz default null,
  hold_id uuid default null, usage private.ai_usage default null, pricing jsonb default null,
  charge private.ai_charge default null, entry_id bigint default null, is_use boolean default false
) returns void language plpgsql set search_path = '' as $$
declare
  c private.ai_usage_logs := jsonb_populate_record(null::private.ai_usage_logs, facts);
begin
  c.request_data := private.log_data(c.request_data);
  c.response_data := private.log_data(c.response_data);
  if account_id is null then -- deleted while it ran
    c.request_data := null;
    c.response_data := null;
    c.ip_address := null;
    c.user_agent := null;
  elsif not private.has_room_for_content(wanted_workspace,
    coalesce(octet_length(c.request_data::text), 0) + coalesce(octet_length(c.response_data::text), 0), at) then
    c.request_data := null;
    c.response_data := null;
  end if;
  -- A canceled call counts where it used something.
  if is_use and (c.status <> 'canceled'
    or greatest(usage.prompt_tokens, usage.completion_tokens, usage.images, charge.credits) > 0)
  then
    c.usage_record_id := nextval('private.usage_record_ids');
    c.usage_period_start := (private.feature_period(wanted_workspace, at)).period_start;
    -- It was used: it counts even past a limit. In one order, as every other call locks them.
    insert into public.feature_usage as u (workspace_id, feature_code, period_start, used)
    select wanted_workspace, n.code, c.usage_period_start, n.amount
    from (values (1, 'api_call', 1), (2, 'token', usage.prompt_tokens + usage.completion_tokens)) 
      n (place, code, amount)
    where n.amount > 0 order by n.place
    on conflict (workspace_id, feature_code, period_start) do update set used = u.used + excluded.used;
  end if;
  insert into private.ai_usage_logs (
    workspace_id, user_id, hold_id, api_key_id, created_at, scene, status, usage_source, prompt_tokens, cached_tokens,
    completion_tokens, images, duration, estimated_cost, credits_charged, free_credits, model, scene_description,
    reference_id, request_id, error_code, error_message, ip_address, user_agent, request_data, response_data,
    usage_record_id, usage_period_start, served_model, cost_usd, charged_usd, pricing, attempts,
    cache_write_5m_tokens, cache_write_1h_tokens, audio_input_tokens, image_input_tokens, reasoning_tokens,
    audio_output_tokens, image_output_tokens, input_seconds, output_seconds, characters, web_searches, tool_calls,
    service_tier, conversation_id, message_id
  )
  values (wanted_workspace, account_id, log_ai_call.hold_id, c.api_key_id, at, c.scene, c.status,
    coalesce(c.usage_source, 'none'), coalesce(usage.prompt_tokens, 0), coalesce(usage.cached_tokens, 0),
    coalesce(usage.completion_tokens, 0), coalesce(usage.images, 0), coalesce(c.duration,
      least(greatest(extract(epoch from at - began_at) * 1000, 0), 2147483647)::integer), coalesce(charge.worth_usd, 0),
    coalesce(charge.credits, 0), (
      -- The rest came from credits that were bought, or is debt.
      select coalesce(-sum(l.amount), 0)
      from public.credit_transactions t, unnest(t.grant_changes) l join public.credit_grants g on g.id = l.grant_id
      where t.id = entry_id and not g.is_paid
    ), c.model, c.scene_description, left(c.reference_id, 500), c.request_id, c.error_code, c.error_message,
    c.ip_address,
    c.user_agent, c.request_data, c.response_data, c.usage_record_id, c.usage_period_start, c.served_model,
    coalesce(charge.cost_usd, 0), coalesce(trim_scale(charge.credits / (pricing ->> 'credits_per_usd')::numeric), 0),
    case when charge.unpriced is null then pricing else private.mark_unpriced(c, pricing, charge, at) end, c.attempts,
    usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.audio_input_tokens, usage.image_input_tokens,
    usage.reasoning_tokens, usage.audio_output_tokens, usage.image_output_tokens, usage.input_seconds,
    usage.output_seconds, usage.characters, usage.web_searches, usage.tool_calls, usage.service_tier,
    c.conversation_id, c.message_id);
end;
$$;

-- Counts and logs a call that is refused, and says why it is.
create function private.refuse_ai_call(asked private.admission) returns jsonb
language plpgsql set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  refusal private.ai_refusal := asked.refusal;
  at timestamptz := asked.at;
  call jsonb;
  minute timestamptz := date_trunc('minute', asked.at);
  logged private.ai_usage_logs;
begin
  if refusal.code not in ('maintenance', 'account_disabled') then
    perform private.count_request(caller, asked.counts, false, at);
  end if;
  -- These come before any limit on how many there are: the minute's first is logged, and counts the others.
  if refusal.code in ('rate_limited', 'maintenance', 'account_disabled') then
    update private.ai_usage_logs l set requests = l.requests + 1
    where l.workspace_id = caller.workspace_id and l.user_id = (caller.account).id and l.status = 'refused'
      and l.error_code = refusal.code and l.created_at >= minute and l.created_at < minute + interval '1 minute'
    returning l.* into logged;
  end if;
  if logged.id is not null then
    update private.usage_by_day u set requests = u.requests + 1, refused_requests = u.refused_requests + 1
    where u.workspace_id = logged.workspace_id and u.user_id = logged.user_id
      and u.day = (logged.created_at at time zone 'UTC')::date and u.scene = logged.scene
      and u.model = 'unknown' -- it was not looked up (private.counted_model)
      and u.api_key_id is not distinct from logged.api_key_id;
  else
    -- Nobody pays for these rows: of each text the beginning.
    call := (select jsonb_object_agg(c.key, case when jsonb_typeof(c.value) = 'string'
      and c.key not in ('model', 'request_id')
      then to_jsonb(left(c.value #>> '{}', 100)) else c.value end) from jsonb_each(asked.call) c);
    perform private.log_ai_call(call - array['request_data', 'response_data', 'attempts', 'message_id']
      || jsonb_build_object('status', 'refused', 'error_code', refusal.code,
        'error_message', left(refusal.message, 300), 'duration', 0), caller.workspace_id, (caller.account).id, at);
  end if;
  return jsonb_build_object('admitted', false, 'status', private.error_status(refusal.code), 'code', refusal.code,
    'message', refusal.message, 'param', refusal.param, 'retry_after', refusal.retry_after);
end;
$$;

-- Moderation ---------------------------------------------------------------------------------------------------------

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('prompt_moderation', '"none"', 'text', null, null, false,
    'Who looks at prompts for images and videos before they are made: none or creem.'),
  ('moderation_flagged', '"block"', 'text', null, null, false,
    'What becomes of a prompt that moderation flags without denying it: block or allow.'),
  ('moderation_failed', '"block"', 'text', null, null, false,
    'What becomes of a prompt when moderation cannot be asked: block or allow.');
alter table public.system_config add constraint a_choice_is_one_of_its_words check (case config_key
  when 'prompt_moderation' then config_value in ('"none"', '"creem"')
  when 'moderation_flagged' then config_value in ('"block"', '"allow"')
  when 'moderation_failed' then config_value in ('"block"', '"allow"')
  else true end);

-- Who moderates prompts, and what follows where the answer is no clear one.
create function private.moderation_terms() returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'provider', coalesce(private.config('prompt_moderation'), '"none"'),
    'flagged', coalesce(private.config('moderation_flagged'), '"block"'),
    'failed', coalesce(private.config('moderation_failed'), '"block"'));
end;
$$;

-- Admission -----------------------------------------------------------------------------------------------------------

create type private.ai_request as (
  usage private.ai_usage, max_output_tokens bigint, choices integer, can_lower_output boolean, idempotency_key text,
  request_hash text, parts jsonb, fields jsonb, is_included boolean
);
comment on type private.ai_request is
  'What a call asks for: its input, the output it may make. usage counts the text alone; '
  'parts, fields and is_included are as in admit_ai_call.';

-- Why a model does not take what a request holds, if so: a kind of content or a field that is not on its row.
create function private.refuse_input(wanted public.ai_models, request private.ai_request) returns private.ai_refusal
language plpgsql immutable set search_path = '' as $$
declare
  unknown record;
begin
  select p.key as name, p.value ->> 'param' as param into unknown
  from jsonb_each(request.parts) p where not wanted.content_parts ? p.key order by param limit 1;
  if found then
    return row('invalid_request', format('The model %s takes no content of type %s.', to_json(wanted.model),
      to_json(unknown.name)), unknown.param, null)::private.ai_refusal;
  end if;
  select f.key as name, f.value as param into unknown
  from jsonb_each_text(request.fields) f where f.key <> all (wanted.extra_fields) order by param limit 1;
  if found then
    return row('invalid_request', format(
      'The field %s is not supported for the model %s. Whoever runs this project can add it to the model''s '
      'extra_fields.',
      to_json(unknown.name), to_json(wanted.model)), unknown.param, null)::private.ai_refusal;
  end if;
  return null;
end;
$$;

create type private.ai_terms as (
  credits numeric, output_limit bigint, worst_case private.ai_usage, candidates jsonb, pricings jsonb,
  refusal private.ai_refusal
);
comment on type private.ai_terms is
  'What a call is held for, the lower output limit it runs under if so, and who may answer at which price; or why not.';

-- Terms with one more model that may answer: its output is lowered to what credits_left pay for, and nothing is to
-- cost above most_credits. The first that they do not pay for is a refusal.
create function private.add_candidate(
  terms private.ai_terms, candidate public.ai_models, pricing jsonb, request private.ai_request, credits_left numeric,
  most_credits numeric, at timestamptz
) returns private.ai_terms language plpgsql stable set search_path = '' as $$
declare
  is_first boolean := terms.credits is null;
  usage private.ai_usage := request.usage;
  part_tokens bigint := 0;
  audio_tokens numeric := 0;
  image_tokens numeric := 0;
  other_tokens numeric := 0;
  rates private.price_units;
  wanted_output bigint := least(terms.output_limit, request.max_output_tokens, candidate.max_output_tokens);
  output bigint := wanted_output;
  charge numeric;
  covered bigint;
begin
  if request.fields ? 'service_tier' then
    pricing := pricing || '{"any_service_tier": true}'; -- the answer says which it was
  end if;
  if request.is_included then
    pricing := pricing || '{"included": true}';
    credits_left := 0;
    most_credits := 0;
  end if;
  if request.parts <> '{}' then
    -- The context window for what has no bound.
    select case when bool_or(m.tokens is null) then candidate.context_window
        else least(ceil(sum(m.tokens)), 1000000000) end,
      coalesce(sum(coalesce(m.tokens, candidate.context_window)) filter (where p.key ~ 'audio'), 0),
      coalesce(sum(coalesce(m.tokens, candidate.context_window)) filter (where p.key ~ 'image'), 0),
      coalesce(sum(coalesce(m.tokens, candidate.context_window)) filter (where p.key !~ 'audio|image'), 0)
    into part_tokens, audio_tokens, image_tokens, other_tokens
    from jsonb_each(request.parts) p, lateral (
      select (candidate.content_parts ->> p.key)::numeric * (p.value ->> 'count')::bigint as tokens) m;
  end if;
  -- A chat reads no more than its context window; of embeddings each input may fill one.
  usage.prompt_tokens := least(usage.prompt_tokens + part_tokens,
    case when private.endpoint_of(candidate.scene) = 'text_chat' then candidate.context_window end, 1000000000);
  usage.completion_tokens := wanted_output * request.choices;
  rates := private.bound_rates(pricing, usage, at);
  if request.parts <> '{}' then
    -- Parts are billed as sound or as pictures, those of another kind as either: the dearer first.
    if rates.audio_input > rates.image_input then
      usage.audio_input_tokens := least(ceil(audio_tokens + other_tokens), usage.prompt_tokens);
      usage.image_input_tokens := least(ceil(image_tokens), usage.prompt_tokens - usage.audio_input_tokens);
    else
      usage.image_input_tokens := least(ceil(image_tokens + other_tokens), usage.prompt_tokens);
      usage.audio_input_tokens := least(ceil(audio_tokens), usage.prompt_tokens - usage.image_input_tokens);
    end if;
  end if;
  usage.web_searches := 1; -- as models do that always search; no request asks for more
  usage.tool_calls := 1;
  charge := round(private.sum_of(private.pools_of(usage, null), rates), 6);
  if charge > credits_left then
    -- The lower limit (a choice) that they pay for, where it is still useful.
    output := private.output_tokens_for(rates, usage, credits_left) / request.choices;
    if not (request.can_lower_output and is_first)
      or output < least(wanted_output, private.config_numeric('least_useful_output_tokens', 100)) then
      output := null;
    end if;
    usage.completion_tokens := coalesce(output, wanted_output) * request.choices;
    charge := round(private.sum_of(private.pools_of(usage, null), rates), 6);
  end if;
  if charge > most_credits and output is not null then
    output := null;
    usage.completion_tokens := wanted_output * request.choices;
    charge := round(private.sum_of(private.pools_of(usage, null), rates), 6);
  end if;
  if output is null and is_first then
    terms.refusal.code := 'insufficient_credits';
    terms.credits := charge;
  elsif output is not null then -- else a fallback that is too dear, which is none
    terms.output_limit := case when output < wanted_output then output else terms.output_limit end;
    covered := private.output_tokens_for(rates, usage, charge);
    terms.credits := greatest(terms.credits, charge);
    usage.prompt_tokens := greatest(usage.prompt_tokens, (terms.worst_case).prompt_tokens);
    usage.completion_tokens := greatest(usage.completion_tokens, (terms.worst_case).completion_tokens);
    usage.audio_input_tokens := greatest(usage.audio_input_tokens, (terms.worst_case).audio_input_tokens);
    usage.image_input_tokens := greatest(usage.image_input_tokens, (terms.worst_case).image_input_tokens);
    terms.worst_case := usage;
    terms.pricings := terms.pricings || jsonb_build_object(candidate.model, pricing);
    terms.candidates := terms.candidates || (
      select jsonb_build_object('model', candidate.model, 'upstream_model', candidate.upstream_model,
        'output_limit_field', candidate.output_limit_field, 'output_tokens_covered', covered,
        'provider', p.provider, 'base_url', p.base_url, 'api_key_env', p.api_key_env, 'part_tokens', part_tokens,
        'disconnect_policy', p.disconnect_policy, 'timeout_ms', p.timeout_ms, 'max_retries', p.max_retries)
      from public.ai_providers p where p.provider = candidate.provider);
  end if;
  return terms;
end;
$$;

-- The worst case of a call, over every model that may answer it, in the order they are asked, within what wallet
-- and key can pay.
create function private.terms_of_ai_call(
  asked private.admission, pricing jsonb, request private.ai_request
) returns private.ai_terms language plpgsql stable set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  available numeric := (asked.wallet).credits_spendable;
  -- An output lowered to what the wallet pays for would tell its balance.
  credits_left numeric := least(
    private.credits_left_to(caller.workspace_id, (caller.account).id, (caller.api_key).id, asked.at),
    case when private.sees_wallet(caller.workspace_id, (caller.account).id) then available end);
  terms private.ai_terms;
  fallback public.ai_models;
begin
  terms.candidates := '[]';
  terms.pricings := '{}';
  terms := private.add_candidate(terms, asked.wanted, pricing, request, credits_left, available,
    asked.at);
  if (terms.refusal).code is not null then
    terms.refusal := private.refuse_credits(asked, terms.credits, 'This call may cost up to');
    return terms;
  end if;
  for fallback in
    select m.* from public.ai_model_fallbacks f join public.ai_models m on m.model = f.fallback_model
    where f.model = (asked.wanted).model and m.is_active
    order by f.position
  loop
    pricing := private.pricing_of(fallback, asked.at);
    if pricing is not null and private.may_use_model(caller, fallback)
      and (private.refuse_input(fallback, request)).code is null
    then
      terms := private.add_candidate(terms, fallback, pricing, request, credits_left, available, asked.at);
    end if;
  end loop;
  return terms;
end;
$$;

-- Holds the credits of an admitted call and counts it.
create function private.begin_ai_call(
  asked private.admission, request private.ai_request, terms private.ai_terms
) returns jsonb language plpgsql set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  call jsonb := asked.call;
  at timestamptz := asked.at;
  timeout_seconds integer := private.config_numeric('ai_call_timeout_seconds', 140);
  message_period timestamptz := case when asked.is_message then (asked.counts).period_start end;
  hold private.credit_holds;
begin
  perform private.count_request(caller, asked.counts, asked.is_message, at);
  hold.workspace_id := caller.workspace_id;
  hold.user_id := (caller.account).id;
  hold.spender_id := (caller.api_key).id;
  hold.amount := terms.credits;
  hold.reason := 'generation';
  hold.feature_code := call ->> 'scene';
  hold.metadata := jsonb_build_object('request_id', call -> 'request_id', 'model', call -> 'model');
  hold.created_at := at;
  -- It outlives the call's time, so that a lost call is found by the sweep before its credits are free again.
  hold.expires_at := at + make_interval(secs => timeout_seconds + 600);
  hold.work := jsonb_strip_nulls(to_jsonb(row(call ->> 'request_id', request.idempotency_key, message_period, at, at, 0,
    0, terms.worst_case, null, terms.pricings, call)::private.ai_call));
  hold.id := (private.add_hold(hold)).hold_id;
  perform private.store_answer(caller.workspace_id, 'ai_calls', request.idempotency_key,
    to_jsonb(coalesce(request.request_hash, '')), null::jsonb, (caller.account).id, (caller.api_key).id,
    call ->> 'request_id', is_running => true, expires_at => at + interval '24 hours');
  return jsonb_build_object('admitted', true, 'hold_id', hold.id, 'credits_held', trim_scale(terms.credits),
    'output_limit', terms.output_limit, 'candidates', terms.candidates, 'timeout_seconds', timeout_seconds,
    'log_content', (select w.ai_log_content from public.workspaces w where w.id = caller.workspace_id));
end;
$$;

-- Counts as they can be priced and logged. pools: the further ones, by their names in private.ai_usage.
create function private.usage_of_call(
  prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint, images bigint, pools jsonb default '{}'
) returns private.ai_usage language plpgsql immutable set search_path = '' as $$
declare
  usage private.ai_usage;
  input_left bigint;
  output_left bigint;
begin
  if pools <> '{}' then
    usage := jsonb_populate_record(usage, pools);
  end if;
  -- Whatever is reported, a call that was answered is charged and logged: counts are bounded, not refused.
  usage.prompt_tokens := least(greatest(coalesce(prompt_tokens, 0), 0), 1000000000);
  usage.cached_tokens := least(greatest(coalesce(cached_tokens, 0), 0), usage.prompt_tokens);
  usage.completion_tokens := least(greatest(coalesce(completion_tokens, 0), 0), 1000000000);
  usage.images := least(greatest(coalesce(images, 0), 0), 1000000);
  if pools <> '{}' then
    input_left := usage.prompt_tokens - usage.cached_tokens;
    output_left := usage.completion_tokens;
    usage.cache_write_5m_tokens := case when usage.cache_write_5m_tokens > 0
      then least(usage.cache_write_5m_tokens, input_left) end;
    input_left := input_left - coalesce(usage.cache_write_5m_tokens, 0);
    usage.cache_write_1h_tokens := case when usage.cache_write_1h_tokens > 0
      then least(usage.cache_write_1h_tokens, input_left) end;
    input_left := input_left - coalesce(usage.cache_write_1h_tokens, 0);
    usage.audio_input_tokens := case when usage.audio_input_tokens > 0
      then least(usage.audio_input_tokens, input_left) end;
    input_left := input_left - coalesce(usage.audio_input_tokens, 0);
    usage.image_input_tokens := case when usage.image_input_tokens > 0
      then least(usage.image_input_tokens, input_left) end;
    usage.reasoning_tokens := case when usage.reasoning_tokens > 0 then least(usage.reasoning_tokens, output_left) end;
    output_left := output_left - coalesce(usage.reasoning_tokens, 0);
    usage.audio_output_tokens := case when usage.audio_output_tokens > 0
      then least(usage.audio_output_tokens, output_left) end;
    output_left := output_left - coalesce(usage.audio_output_tokens, 0);
    usage.image_output_tokens := case when usage.image_output_tokens > 0
      then least(usage.image_output_tokens, output_left) end;
    usage.input_seconds := case when usage.input_seconds > 0 then least(usage.input_seconds, 1000000) end;
    usage.output_seconds := case when usage.output_seconds > 0 then least(usage.output_seconds, 1000000) end;
    usage.characters := case when usage.characters > 0 then least(usage.characters, 1000000000) end;
    usage.web_searches := case when usage.web_searches > 0 then least(usage.web_searches, 1000000) end;
    usage.tool_calls := case when usage.tool_calls > 0 then least(usage.tool_calls, 1000000) end;
    usage.service_tier := nullif(left(usage.service_tier, 50), 'standard');
  end if;
  return usage;
end;
$$;

create function public.extend_ai_call(
  hold_id uuid, prompt_tokens bigint default null, completion_tokens bigint default null,
  served_model text default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds := private.lock_hold(extend_ai_call.hold_id, at);
  call private.ai_call := jsonb_populate_record(null::private.ai_call, hold.work);
  pricing jsonb;
  wallet public.credit_wallets;
  more numeric := 0;
  available numeric;
  covered bigint;
  usage private.ai_usage := call.worst_case;
  rates private.price_units;
begin
  if hold.work is null then
    return jsonb_build_object('extended', false);
  end if;
  at := private.time_under_lock(at);
  call.prompt_tokens := coalesce(extend_ai_call.prompt_tokens, call.prompt_tokens);
  call.completion_tokens := coalesce(extend_ai_call.completion_tokens, call.completion_tokens);
  call.served_model := coalesce(extend_ai_call.served_model, call.served_model);
  call.heard_at := greatest(call.heard_at, at);
  if hold.state = 'open' and hold.expires_at > at and extend_ai_call.completion_tokens is not null then
    pricing := coalesce(call.pricings -> call.served_model, call.pricings -> (call.details ->> 'model'));
    rates := private.bound_rates(pricing, usage, call.started_at);
    usage.prompt_tokens := least(greatest(call.prompt_tokens, 0), 1000000000);
    usage.completion_tokens := least(greatest(call.completion_tokens, 0), 1000000000)
      + private.config_numeric('output_tokens_per_extension', 1000)::bigint;
    usage.audio_input_tokens := least(coalesce(usage.audio_input_tokens, 0), usage.prompt_tokens);
    usage.image_input_tokens := least(coalesce(usage.image_input_tokens, 0),
      usage.prompt_tokens - usage.audio_input_tokens);
    more := greatest(round(private.sum_of(private.pools_of(usage, null), rates), 6) - hold.amount, 0);
    select * into wallet from public.credit_wallets w where w.workspace_id = hold.workspace_id;
    wallet := private.free_due_holds(wallet, more, at);
    available := greatest(wallet.credits_spendable, 0);
    -- The whole step, or all that is left of wallet and key; of a wallet that its caller does not see, the whole or
    -- nothing.
    more := greatest(least(more, private.credits_left_to(hold.workspace_id, hold.user_id, hold.spender_id, at)), 0);
    if more > available then
      more := case when private.sees_wallet(hold.workspace_id, hold.user_id) then available else 0 end;
    end if;
    covered := private.output_tokens_for(rates, usage, hold.amount + more);
    if covered <= call.completion_tokens or covered is null then
      covered := null;
      more := 0;
    end if;
  end if;
  update private.credit_holds h set work = to_jsonb(call), amount = h.amount + more where h.id = hold.id;
  if more > 0 then
    perform private.post_entry(hold.workspace_id, hold.user_id, 'debit', 0, hold.reason, at, for_hold => hold.id,
      held_change => more);
  end if;
  return jsonb_strip_nulls(jsonb_build_object('extended', covered is not null, 'output_tokens_covered', covered));
end;
$$;
comment on function public.extend_ai_call is
  'A long stream tells what it has used so far, and its hold grows to cover what comes next; extended is false where '
  'wallet or key cannot pay for more. Without counts it says no more than that the call is under way.';

-- The end -------------------------------------------------------------------------------------------------------------

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('usage_tolerance', '2', 'number', 1, 1000, false,
    'How many times what a call may use at most a provider may report. More is charged as that, and admins are told.');

-- What is charged of a reported usage: no more than the request and its limits allow, with a tolerance, or than was
-- written.
create function private.bounded_usage(
  usage private.ai_usage, worst_case private.ai_usage, written_tokens bigint, pricing jsonb, began timestamptz,
  ended timestamptz
) returns private.ai_usage language plpgsql stable set search_path = '' as $$
declare
  tolerance numeric;
  bounded private.ai_usage;
begin
  if usage.prompt_tokens <= worst_case.prompt_tokens and usage.completion_tokens <= worst_case.completion_tokens
    and usage.images <= worst_case.images and coalesce(usage.audio_input_tokens, usage.image_input_tokens,
      usage.web_searches, usage.tool_calls, usage.characters, usage.input_seconds, usage.output_seconds) is null then
    return usage;
  end if;
  tolerance := private.config_numeric('usage_tolerance', 2);
  bounded := private.usage_of_call(
    -- However short a request is, what a provider itself tells the model comes on top of it.
    least(usage.prompt_tokens, ceil(tolerance * greatest(worst_case.prompt_tokens, 500))::bigint), usage.cached_tokens,
    -- What was seen to be written was used, limits or not.
    least(usage.completion_tokens,
      ceil(tolerance * greatest(worst_case.completion_tokens, written_tokens))::bigint),
    least(usage.images, worst_case.images),
    -- What was not sent is neither sound nor picture.
    to_jsonb(usage) || jsonb_build_object(
      'audio_input_tokens',
        least(coalesce(usage.audio_input_tokens, 0), ceil(tolerance * coalesce(worst_case.audio_input_tokens, 0))),
      'image_input_tokens',
        least(coalesce(usage.image_input_tokens, 0), ceil(tolerance * coalesce(worst_case.image_input_tokens, 0))),
      'web_searches', least(coalesce(usage.web_searches, 0), floor(tolerance * worst_case.web_searches)),
      'tool_calls', least(coalesce(usage.tool_calls, 0), floor(tolerance * worst_case.tool_calls)),
      'input_seconds', null, 'output_seconds', null, 'characters', null));
  -- A count that has no price may be what it likes.
  if bounded is distinct from usage and (private.charge_of(pricing, bounded, began, ended)).cost_usd
    < (private.charge_of(pricing, usage, began, ended)).cost_usd then
    return bounded;
  end if;
  return usage;
end;
$$;

-- Corrects what was counted when a call began: the period's messages, the Idempotency-Key.
create function private.close_ai_call(
  call private.ai_call, hold private.credit_holds, is_charged boolean, answer jsonb
) returns void language plpgsql set search_path = '' as $$
begin
  if call.message_period is not null and not is_charged then
    update private.ai_request_counts c set messages = c.messages - 1
    where c.workspace_id = hold.workspace_id and c.period_start = call.message_period;
  end if;
  if call.idempotency_key is not null and is_charged then
    -- The answer is kept where the workspace keeps all content.
    update private.idempotent_requests r
    set is_running = false, answer = case
      when w.ai_log_content = 'full' and octet_length(close_ai_call.answer::text) <= 262144
        and private.has_room_for_content(w.id, octet_length(close_ai_call.answer::text))
      then jsonb_build_object('answer', close_ai_call.answer, 'request_id', r.request_id) end
    from public.workspaces w
    where r.workspace_id = hold.workspace_id and r.scope = 'ai_calls' and r.idempotency_key = call.idempotency_key
      and w.id = hold.workspace_id;
  elsif call.idempotency_key is not null then
    -- It came to nothing: the same request may be tried again.
    delete from private.idempotent_requests r
    where r.workspace_id = hold.workspace_id and r.scope = 'ai_calls' and r.idempotency_key = call.idempotency_key;
  end if;
end;
$$;

create function public.finish_ai_call(
  hold_id uuid, ending public.ai_usage_status, prompt_tokens bigint default 0, cached_tokens bigint default 0,
  completion_tokens bigint default 0, details jsonb default '{}', images bigint default 0,
  usage_source public.ai_usage_source default 'reported', is_empty boolean default false,
  served_model text default null, answer jsonb default null, written_tokens bigint default 0,
  may_be_cut_short boolean default false, at timestamptz default clock_timestamp(), pools jsonb default '{}'
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds := private.lock_hold(finish_ai_call.hold_id, at);
  reported private.ai_usage := private.usage_of_call(prompt_tokens, cached_tokens, completion_tokens, images, pools);
  usage private.ai_usage;
  call private.ai_call := jsonb_populate_record(null::private.ai_call, hold.work);
  pricing jsonb;
  charge private.ai_charge;
  is_charged boolean := ending in ('success', 'canceled');
  wallet public.credit_wallets;
  is_first boolean := hold.work is not null;
  entry_id bigint;
begin
  if ending is null then
    perform private.raise_error('invalid_request', 'ending must be success, failed, canceled or refused.');
  end if;
  if is_first then
    at := greatest(at, call.started_at);
    pricing := coalesce(call.pricings -> finish_ai_call.served_model, call.pricings -> (call.details ->> 'model'));
    usage := private.bounded_usage(reported, call.worst_case,
      greatest(finish_ai_call.written_tokens, call.completion_tokens), pricing, call.started_at, at);
    if usage is distinct from reported then
      perform private.notify_admins('usage_bounded',
        format('%s %s', hold.metadata ->> 'model', (at at time zone 'UTC')::date),
        jsonb_build_object('request_id', call.request_id, 'served_model', finish_ai_call.served_model,
          'reported', jsonb_strip_nulls(to_jsonb(reported)), 'charged', jsonb_strip_nulls(to_jsonb(usage))));
    end if;
    -- Nobody pays for nothing, unless they may have asked for it, or get it again and again: its input was used.
    if is_charged and is_empty then
      is_charged := finish_ai_call.usage_source = 'reported' and reported.prompt_tokens > 0;
      if is_charged and not may_be_cut_short then
        update private.ai_request_counts c set day_empty_answers = c.day_empty_answers + 1
        where c.workspace_id = hold.workspace_id
          and c.period_start = private.last_counted_period(hold.workspace_id)
          and c.day_empty_answers < private.config_numeric('free_empty_answers_per_day', 20);
        is_charged := not found;
      end if;
    end if;
    if ending in ('success', 'canceled') and hold.state in ('open', 'expired') then
      charge := private.charge_of(pricing, usage, call.started_at, at);
      charge.credits := case when is_charged then charge.credits else 0 end;
    end if;
    if hold.state in ('open', 'expired') then
      entry_id := (private.close_hold(hold, case when is_charged then charge.credits end, at, hold.metadata,
        is_work_done => true)).transaction_id;
    else -- it was closed by hand
      update private.credit_holds h set work = null where h.id = hold.id;
    end if;
    perform private.close_ai_call(call, hold, is_charged, answer);
    perform private.log_ai_call(call.details || finish_ai_call.details || jsonb_build_object('status', ending,
      'api_key_id', hold.spender_id, 'model', hold.metadata -> 'model', 'request_id', call.request_id,
      'scene', call.details -> 'scene', 'served_model', finish_ai_call.served_model,
      'usage_source', case when ending in ('failed', 'refused') then 'none' when usage is distinct from reported
        then 'bounded' else finish_ai_call.usage_source end),
      hold.workspace_id, hold.user_id, at, call.started_at, hold.id, usage, pricing, charge, entry_id, is_charged);
  end if;
  select * into hold from private.credit_holds h where h.id = hold.id;
  select * into wallet from public.credit_wallets w where w.workspace_id = hold.workspace_id;
  return jsonb_strip_nulls(jsonb_build_object('finished', is_first, 'credits_charged', coalesce(hold.final_amount, 0),
    'credits_balance', case when private.sees_wallet(hold.workspace_id, hold.user_id) then wallet.credits_balance end,
    'credits_available', private.spendable(hold.workspace_id, hold.user_id, hold.spender_id, at)));
end;
$$;
comment on function public.finish_ai_call is
  'Ends an admitted call once: charges its usage (success, canceled) or nothing (failed, refused for its prompt), '
  'frees the rest of its hold and logs it. What a provider reports is bounded (usage_tolerance) by what the call was '
  'held for and by written_tokens, the output that was seen. An answer that is_empty is free, but for a reported input '
  'where the request''s stop, logit_bias or output limit may be the reason (may_be_cut_short) or where the day''s '
  'free_empty_answers_per_day are used up. pools are further counts by the log''s columns (cache_write_5m_tokens, …, '
  'service_tier). Later endings of the same call change nothing.';

-- Finishes a call whose function ended before it did.
create function private.finish_lost_ai_call(lost private.credit_holds, at timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  call private.ai_call := jsonb_populate_record(null::private.ai_call, lost.work);
begin
  -- Charged what it had told of; one that told of nothing is not charged.
  perform public.finish_ai_call(lost.id, case when call.completion_tokens > 0 then 'canceled' else 'failed'
    end::public.ai_usage_status,
    call.prompt_tokens, 0, call.completion_tokens, usage_source => 'estimated', served_model => call.served_model,
      at => at,
    details => jsonb_build_object('error_code', 'call_lost', 'error_message', case when call.completion_tokens > 0
      then format('The function that ran this call ended before it did; it had reported %s output tokens.',
        call.completion_tokens)
      else 'The function that ran this call ended before it did, and had reported no usage.' end));
end;
$$;

-- Finishes one call whose function ended before it did; false when there is none. Not one whose answer is a message:
-- what that message is part of comes before the wallet.
create function private.finish_next_lost_ai_call(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  lost private.credit_holds;
begin
  -- Half a minute after its time, for its hold lives ten minutes longer (begin_ai_call).
  select h.* into lost
  from private.credit_holds h join public.credit_wallets w on w.workspace_id = h.workspace_id
  where h.work is not null and h.work #> '{details,message_id}' is null
    and h.expires_at <= finish_next_lost_ai_call.at + interval '570 seconds'
  limit 1 for no key update of w skip locked;
  if not found then
    return false;
  end if;
  perform private.finish_lost_ai_call(lost, at);
  return true;
end;
$$;
insert into private.due_work (piece, place) values ('finish_next_lost_ai_call', 10);

-- Whether nobody heard for 30 seconds of a call that says every ten that it runs: its function is lost.
create function private.is_silent(hold private.credit_holds, at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select (hold.work ->> 'heard_at')::timestamptz < at - interval '30 seconds'
$$;

-- Before a call is admitted, under its wallet's lock: ends one under the same Idempotency-Key that was silent for
-- 30 seconds, and takes back an admission of this very request whose answer was lost. Gives the wallet as it is
-- then.
create function private.end_earlier_tries(
  wallet public.credit_wallets, account_id uuid, key text, wanted_request_id text, at timestamptz
) returns public.credit_wallets language plpgsql set search_path = '' as $$
declare
  earlier private.credit_holds;
  call private.ai_call;
begin
  for earlier in
    select h.* from private.credit_holds h
    where h.workspace_id = wallet.workspace_id and h.user_id = account_id and h.state = 'open' and h.work is not null
      and (h.metadata ->> 'request_id' = wanted_request_id
        or key is not null and h.work ->> 'idempotency_key' = key
          and private.is_silent(h, at))
  loop
    if earlier.metadata ->> 'request_id' = wanted_request_id then
      -- The function asks a second time because the answer to its first was lost: that one comes to nothing, unlogged.
      call := jsonb_populate_record(null::private.ai_call, earlier.work);
      perform private.close_hold(earlier, null, at, is_work_done => true);
      perform private.close_ai_call(call, earlier, false, null);
    else
      perform private.finish_lost_ai_call(earlier, at);
    end if;
    select * into wallet from public.credit_wallets w where w.workspace_id = wallet.workspace_id;
  end loop;
  return wallet;
end;
$$;

-- How every kind of paid work is asked for: the caller, the lock of their wallet, the answer to an earlier request
-- under the same key, the caller as they are under the lock, the model. The adapters (admit_ai_call,
-- create_video_job) add what their kind can be refused for and costs, and then refuse_ai_call or begin it.
create function private.begin_admission(
  scope text, account_id uuid, key_hash text, wanted_workspace uuid, model text, request_id text, key text,
  request_hash text, details jsonb, at timestamptz
) returns private.admission language plpgsql set search_path = '' as $$
declare
  asked private.admission;
  name text := left(coalesce(begin_admission.model, ''), 200);
begin
  asked.caller := private.ai_caller_of(account_id, key_hash, at, wanted_workspace);
  asked.wallet := private.lock_wallet((asked.caller).workspace_id, at);
  -- What the log could not hold fails now, before anything runs that would have to be logged.
  perform jsonb_populate_record(null::private.ai_usage_logs, details);
  if scope = 'ai_calls' then
    asked.wallet := private.end_earlier_tries(asked.wallet, ((asked.caller).account).id, key, request_id, at);
  end if;
  asked.earlier := private.earlier_answer((asked.caller).workspace_id, scope, key,
    to_jsonb(coalesce(request_hash, '')), ((asked.caller).account).id, ((asked.caller).api_key).id,
    is_conflict_raised => false);
  asked.at := private.time_under_lock(at);
  -- They, their session or their key may have been removed while this waited.
  perform private.require_role((asked.caller).workspace_id, ((asked.caller).account).id, 'member');
  if key_hash is not null then
    asked.caller.api_key := private.api_key_of(key_hash, asked.at);
  else
    perform private.require_session(account_id);
  end if;
  select m into asked.wanted from public.ai_models m where m.model = name and m.is_active;
  -- By the model's own scene: callers name a call's scene as they like.
  asked.is_message := coalesce((asked.wanted).scene in ('text_chat', 'image_generation'), false);
  asked.scene := coalesce((details ->> 'scene')::public.ai_usage_scene, (asked.wanted).scene, 'other');
  asked.counts := private.request_counts_of((asked.caller).workspace_id, asked.at);
  if (asked.wallet).credits_held > 0 then
    asked.wallet := private.free_due_holds(asked.wallet,
      (asked.wallet).credits_balance + (asked.wallet).overdraft_limit, asked.at);
  end if;
  asked.call := details || jsonb_build_object('scene', asked.scene, 'model', name,
    'request_id', begin_admission.request_id, 'api_key_id', ((asked.caller).api_key).id);
  return asked;
end;
$$;

create function public.admit_ai_call(
  user_id uuid, model text, input_tokens integer, max_output_tokens integer default null, choices integer default 1,
  request_id text default null, details jsonb default '{}', images integer default 0,
  endpoint public.ai_usage_scene default null, can_lower_output boolean default false, api_key_hash text default null,
  idempotency_key text default null, request_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp(), parts jsonb default '{}', fields jsonb default '{}',
  counts_message boolean default true, is_included boolean default false
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  asked private.admission := private.begin_admission('ai_calls', admit_ai_call.user_id, api_key_hash,
    admit_ai_call.workspace_id, admit_ai_call.model, admit_ai_call.request_id, admit_ai_call.idempotency_key,
    request_hash, details, at);
  pricing jsonb := private.pricing_of(asked.wanted, asked.at);
  request private.ai_request;
  terms private.ai_terms;
begin
  if asked.earlier is not null then
    return asked.earlier || '{"admitted": false}';
  end if;
  asked.is_message := asked.is_message and counts_message is not false;
  request.usage := private.usage_of_call(input_tokens, 0, 0, images);
  request.max_output_tokens := case when admit_ai_call.max_output_tokens is not null
    then greatest(admit_ai_call.max_output_tokens, 0) end;
  request.choices := greatest(admit_ai_call.choices, 1);
  request.can_lower_output := admit_ai_call.can_lower_output;
  request.idempotency_key := admit_ai_call.idempotency_key;
  request.request_hash := admit_ai_call.request_hash;
  request.parts := admit_ai_call.parts;
  request.fields := admit_ai_call.fields;
  request.is_included := admit_ai_call.is_included;

  asked.refusal := private.refuse_request(asked, pricing, endpoint);
  if (asked.refusal).code is null then
    asked.refusal := private.refuse_input(asked.wanted, request);
  end if;
  if (asked.refusal).code is null then
    terms := private.terms_of_ai_call(asked, pricing, request);
    asked.refusal := terms.refusal;
  end if;
  if (asked.refusal).code is not null then
    return private.refuse_ai_call(asked);
  end if;
  return private.begin_ai_call(asked, request, terms)
    || case when endpoint = 'image_generation' then jsonb_build_object('moderation', private.moderation_terms())
      else '{}' end;
end;
$$;
comment on function public.admit_ai_call is
  'Whether a call may run: caller, account, rate, model, messages, credits for the worst case. Holds them and says who '
  'may answer; or logs and returns the refusal. endpoint (text_chat, embedding, image_generation) refuses models that '
  'are not for it; for image_generation the answer says who moderates the prompt. input_tokens are the most that the '
  'text can be; parts count what else is in a chat ({ image_url: { count, param } }) and cost what the model''s row '
  'says; fields are names that no endpoint knows ({ name: param }): what the row does not have is refused. '
  'counts_message false: it is part of a message that was counted (its title, a summary, its continuation), and '
  'neither counts as one nor is refused for their number; is_included: something else that is charged pays for it, and '
  'it takes no credits of its own. Both are for functions of ours to decide, never for what a client sends. '
  'details are log columns (scene, scene_description, reference_id, ip_address, user_agent).';

-- Calls made elsewhere ------------------------------------------------------------------------------------------------

create type public.recorded_usage as (recorded boolean, cost_usd numeric, credits_charged numeric);
comment on type public.recorded_usage is
  'A call made elsewhere: whether it was recorded now, the provider''s charge in US dollars, the credits it took.';

create function public.record_ai_usage(
  user_id uuid, model text, request_id text, prompt_tokens bigint default 0, cached_tokens bigint default 0,
  completion_tokens bigint default 0, images bigint default 0, charge boolean default false,
  status public.ai_usage_status default 'success', workspace_id uuid default null, details jsonb default '{}',
  at timestamptz default clock_timestamp(), pools jsonb default '{}', cost_usd numeric default null,
  messages integer default 0
) returns public.recorded_usage language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(record_ai_usage.workspace_id, record_ai_usage.user_id);
  usage private.ai_usage := private.usage_of_call(prompt_tokens, cached_tokens, completion_tokens, images, pools);
  wanted public.ai_models;
  pricing jsonb;
  counts private.ai_request_counts;
  earlier private.ai_usage_logs;
  priced private.ai_charge;
  entry_id bigint;
begin
  perform private.require_valid(at);
  if record_ai_usage.request_id is null or length(record_ai_usage.request_id) not between 1 and 200 then
    perform private.raise_error('invalid_request', 'request_id must have 1 to 200 characters.');
  end if;
  if jsonb_typeof(pools) is distinct from 'object'
    or pools - array(select jsonb_object_keys(to_jsonb(usage))) <> '{}' then
    perform private.raise_error('invalid_request', 'pools must be counts by their names in the log.');
  elsif record_ai_usage.status is null or record_ai_usage.status = 'refused' then
    perform private.raise_error('invalid_request', 'status must be success, failed or canceled.');
  elsif (messages between 0 and 1000000) is not true then
    perform private.raise_error('invalid_request', format('messages must be 0 to 1000000, not %s.',
      coalesce(messages::text, 'null')));
  elsif not record_ai_usage.cost_usd between 0 and 1000000 then -- NaN compares as greater than every number
    perform private.raise_error('invalid_request', format('cost_usd must be 0 to 1000000 US dollars, not %s.',
      record_ai_usage.cost_usd));
  end if;
  perform private.lock_wallet(wallet_id, at);
  at := private.time_under_lock(at);
  select * into earlier from private.ai_usage_logs l
  where l.request_id = record_ai_usage.request_id and l.workspace_id = wallet_id and l.status <> 'refused' limit 1;
  if found then
    return row(false, earlier.cost_usd, earlier.credits_charged)::public.recorded_usage;
  end if;
  perform private.require_spending_left(wallet_id, record_ai_usage.user_id, null, 0, at);
  select * into wanted from public.ai_models m where m.model = record_ai_usage.model;
  if record_ai_usage.cost_usd is null then
    pricing := private.pricing_of(wanted, at);
  else -- a price for this request, whatever it used
    wanted.model := left(record_ai_usage.model, 200);
    pricing := jsonb_build_object('price', jsonb_build_object('model', wanted.model, 'components', jsonb_build_array(
        jsonb_build_object('unit', 'input', 'usd_per_unit', 0), jsonb_build_object('unit', 'output', 'usd_per_unit', 0),
        jsonb_build_object('unit', 'request', 'usd_per_unit', record_ai_usage.cost_usd))),
      'credits_per_usd', private.config_numeric('credits_per_usd', 100),
      'markup', coalesce(wanted.markup, private.config_numeric('default_markup', 1)));
  end if;
  if pricing is null or wanted.model is null then
    perform private.raise_error('not_found',
      format('The model %s does not exist or has no price.', to_json(record_ai_usage.model)));
  end if;
  priced := private.charge_of(pricing, usage, at, at);
  if record_ai_usage.cost_usd is not null then
    priced.unpriced := null;
  end if;
  if not record_ai_usage.charge or record_ai_usage.status = 'failed' then
    priced.credits := 0;
  end if;
  if priced.credits > 0 then
    -- It was used already: it is recorded even past what is there.
    entry_id := (private.post_entry(wallet_id, record_ai_usage.user_id, 'debit', -priced.credits, 'generation', at,
      entry_feature => coalesce(details ->> 'scene', wanted.scene::text, 'other'),
      entry_metadata => jsonb_build_object('request_id', record_ai_usage.request_id, 'model',
        wanted.model))).transaction_id;
  end if;
  if messages > 0 then
    counts := private.request_counts_of(wallet_id, at);
    counts.messages := counts.messages + record_ai_usage.messages;
    perform private.store_request_counts(counts);
  end if;
  perform private.log_ai_call(jsonb_build_object('scene', coalesce(wanted.scene, 'other')) || details
    || jsonb_build_object('status', record_ai_usage.status, 'model', wanted.model, 'served_model', wanted.model,
    'request_id', record_ai_usage.request_id, 'usage_source', 'reported'), wallet_id, record_ai_usage.user_id, at,
    usage => usage, pricing => pricing, charge => priced, entry_id => entry_id,
    is_use => record_ai_usage.status <> 'failed');
  return row(true, priced.cost_usd, priced.credits)::public.recorded_usage;
end;
$$;
comment on function public.record_ai_usage is
  'Logs and prices a call that a backend made itself and, with charge, takes its credits: once per request_id of the '
  'workspace, later times change nothing. details are log columns (scene, scene_description, reference_id, duration, '
  'error_code, error_message, …); pools are further counts by theirs (cache_write_5m_tokens, reasoning_tokens, '
  'input_seconds, characters, web_searches, service_tier, …). cost_usd: what it cost, in place of what the model''s '
  'price says; then model may be any name. messages: how many it counts as, even past a plan''s limit.';

grant execute on function public.admit_ai_call to service_role, basemeter_functions;
grant execute on function public.extend_ai_call to service_role, basemeter_functions;
grant execute on function public.finish_ai_call to service_role, basemeter_functions;
grant execute on function public.record_ai_usage to service_role;
