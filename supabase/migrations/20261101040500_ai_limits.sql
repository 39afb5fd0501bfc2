-- Who may make an AI call, and how many. All of it runs under the lock of the wallet that pays, so counts are exact.

create table private.ai_request_counts (
  workspace_id uuid not null references public.workspaces on delete cascade,
  period_start timestamptz not null,
  messages bigint not null default 0,
  minute_started_at timestamptz not null,
  day_started_at timestamptz not null default now(),
  minute_requests integer not null default 0,
  day_requests integer not null default 0,
  day_empty_answers integer not null default 0,
  primary key (workspace_id, period_start)
) with (fillfactor = 50); -- every call rewrites its row
comment on table private.ai_request_counts is
  'How many messages a workspace sent in a period (private.feature_period by month), and how many calls it began in '
  'the newest minute and day of that period.';
comment on column private.ai_request_counts.day_empty_answers is
  'How many of that day''s answers had nothing in them and were free though input was reported.';

create table private.kept_content (
  workspace_id uuid not null references public.workspaces on delete cascade,
  is_by_client boolean not null,
  day_started_at timestamptz not null,
  bytes bigint not null,
  primary key (workspace_id, is_by_client)
) with (fillfactor = 50);
comment on table private.kept_content is
  'Bytes of a day''s requests, answers, messages and files that were kept, where a plan bounds the calls of a day. '
  'What clients store themselves has a row of its own: a client can hold that as long as its statement runs, and an '
  'AI call, which holds the wallet, never waits for it.';

create type private.ai_caller as (
  account public.users, workspace_id uuid, api_key public.api_keys, plan public.plans, features jsonb
);
comment on type private.ai_caller is
  'Who calls, for which workspace, with which key (null members: none), on which plan, '
  'with which features (private.features_of).';

create type private.ai_refusal as (code text, message text, param text, retry_after integer);
comment on type private.ai_refusal is
  'Why a call is refused; all null where it is not. retry_after in seconds: null where waiting does not help.';

create type private.admission as (
  caller private.ai_caller, wallet public.credit_wallets, at timestamptz, earlier jsonb, wanted public.ai_models,
  is_message boolean, scene public.ai_usage_scene, call jsonb, counts private.ai_request_counts,
  refusal private.ai_refusal
);
comment on type private.admission is
  'Paid work that is asked for: who asks, under the lock of which wallet, since when; what a retry gets (earlier); the '
  'model, and whether its calls count as messages; its scene; its log columns (null: no certain call is asked for); '
  'what its workspace did in this period; why it is refused, if so.';

-- The caller behind a signed-in account or an API key, for a workspace of theirs (default: the personal one, the
-- key's); an error where there is none.
create function private.ai_caller_of(
  account_id uuid, key_hash text, at timestamptz, wanted_workspace uuid default null
) returns private.ai_caller language plpgsql set search_path = '' as $$
declare
  caller private.ai_caller;
begin
  perform private.require_valid(at);
  if key_hash is not null then
    caller.api_key := private.api_key_of(key_hash, at);
    account_id := (caller.api_key).user_id;
  end if;
  caller.account := private.require_account(account_id);
  if key_hash is null then
    perform private.touch_session(account_id);
  end if;
  caller.workspace_id := coalesce((caller.api_key).workspace_id, wanted_workspace, account_id);
  if caller.workspace_id <> coalesce(wanted_workspace, caller.workspace_id) then
    perform private.raise_error('forbidden', 'This API key is for another workspace.');
  end if;
  select p into caller.plan
  from public.workspace_members m
  join public.workspaces w on w.id = m.workspace_id
  join public.plans p on p.plan = w.plan
  where m.workspace_id = caller.workspace_id and m.user_id = (caller.account).id;
  if not found then
    perform private.raise_error('not_found', format('There is no workspace %s.', caller.workspace_id));
  end if;
  caller.features := private.features_of(caller.workspace_id, at);
  return caller;
end;
$$;

-- Whether key and plan allow a model: feature model:<model>, by default from minimum_plan on, and the feature of
-- its scene.
create function private.may_use_model(caller private.ai_caller, wanted public.ai_models) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(((caller.api_key).allowed_models is null or wanted.model = any ((caller.api_key).allowed_models))
    and private.feature_is_on(caller.features, 'model:' || wanted.model,
      (caller.plan).rank >= (select p.rank from public.plans p where p.plan = wanted.minimum_plan))
    and private.feature_is_on(caller.features, 'scene:' || wanted.scene), false);
end;
$$;

-- Where models of a scene are called: named by the scene it is for.
create function private.endpoint_of(scene public.ai_usage_scene) returns public.ai_usage_scene
language plpgsql immutable set search_path = '' as $$
begin
  return case when scene in ('embedding', 'image_generation', 'video_generation') then scene else 'text_chat' end;
end;
$$;

-- Why this caller may not use a model for a scene, if so.
create function private.refuse_model(
  caller private.ai_caller, wanted_name text, wanted public.ai_models, pricing jsonb, scene public.ai_usage_scene,
  endpoint public.ai_usage_scene
) returns private.ai_refusal language plpgsql stable set search_path = '' as $$
declare
  scenes public.ai_usage_scene[] := (caller.api_key).allowed_scenes;
begin
  if wanted.model is null then
    return row('not_found', format('The model %s does not exist.', to_json(wanted_name)), 'model',
      null)::private.ai_refusal;
  elsif endpoint <> private.endpoint_of(wanted.scene) then
    -- Its price says what it does there, and nothing of what it may do elsewhere.
    return row('invalid_request', format('The model %s is for %s: call it by %s.', to_json(wanted_name), wanted.scene,
      case private.endpoint_of(wanted.scene) when 'embedding' then 'POST /v1/embeddings'
        when 'image_generation' then 'POST /v1/images/generations' when 'video_generation' then 'function video'
        else 'POST /v1/chat/completions' end), 'model', null)::private.ai_refusal;
  elsif pricing is null then
    return row('not_found', format('The model %s is not available.', to_json(wanted_name)), 'model',
      null)::private.ai_refusal;
  elsif not private.may_use_model(caller, wanted) then
    return row('model_not_allowed', format('The model %s is not allowed for this %s.', to_json(wanted_name),
      case when (caller.api_key).allowed_models is null then 'plan' else 'plan or API key' end), 'model',
        null)::private.ai_refusal;
  elsif not array[scene, wanted.scene] <@ scenes then
    -- The model's own scene too: a caller names the other as it likes.
    return row('forbidden', format('This API key is not for scene %s.', case when scene = any (scenes) then wanted.scene
      else scene end),
      case when scene = any (scenes) then 'model' else 'x-ai-scene' end, null)::private.ai_refusal;
  elsif not private.feature_is_on(caller.features, 'scene:' || scene) then
    return row('feature_not_in_plan', format('The plan %s does not include scene %s.', (caller.plan).plan, scene),
      'x-ai-scene', null)::private.ai_refusal;
  end if;
  return null;
end;
$$;

-- Whether a workspace has credits left that were paid for.
create function private.has_paid_credits(wanted_workspace uuid, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
    select from public.credit_grants g
    where g.workspace_id = wanted_workspace and not g.is_spent and g.is_paid
      and (g.expires_at is null or g.expires_at > has_paid_credits.at)
  );
end;
$$;

-- What a workspace did in the period that a message of this time counts to. In a period without a row no message was
-- sent; its minute and day go on from the period before.
create function private.request_counts_of(
  wanted_workspace uuid, at timestamptz
) returns private.ai_request_counts language plpgsql stable set search_path = '' as $$
declare
  counts private.ai_request_counts;
  period timestamptz := (private.feature_period(wanted_workspace, at, by_month => true)).period_start;
begin
  select * into counts from private.ai_request_counts c
  where c.workspace_id = wanted_workspace and c.period_start = period;
  if not found then
    select * into counts from private.ai_request_counts c
    where c.workspace_id = wanted_workspace and c.period_start < period order by c.period_start desc limit 1;
    if not found then
      counts := row(wanted_workspace, period, 0, date_trunc('minute', at), date_trunc('day', at, 'UTC'), 0, 0, 0);
    end if;
    counts.period_start := period;
    counts.messages := 0;
  end if;
  return counts;
end;
$$;

-- Writes what a workspace did in a period. Called under the wallet's lock, under which it was read.
create function private.store_request_counts(counts private.ai_request_counts) returns void
language plpgsql set search_path = '' as $$
begin
  insert into private.ai_request_counts as c select counts.*
  on conflict (workspace_id, period_start) do update
  set (messages, minute_started_at, day_started_at, minute_requests, day_requests, day_empty_answers)
  = (excluded.messages, excluded.minute_started_at, excluded.day_started_at, excluded.minute_requests,
    excluded.day_requests, excluded.day_empty_answers);
end;
$$;

-- Why a call may not begin in this minute or day, if so. Whatever becomes of it, count_request counts it.
create function private.refuse_request_rate(
  caller private.ai_caller, counts private.ai_request_counts, at timestamptz
) returns private.ai_refusal language plpgsql stable set search_path = '' as $$
declare
  per_minute numeric := private.limit_in(caller.features, 'requests_per_minute');
  per_day numeric := private.limit_in(caller.features, 'requests_per_day');
  used record;
  message text;
begin
  used := private.window_at('minute', counts.minute_started_at, counts.minute_requests, at);
  if used.used >= per_minute then
    message := format('The plan %s allows %s calls a minute.', (caller.plan).plan, per_minute);
  end if;
  if message is null and per_day is not null then
    used := private.window_at('day', counts.day_started_at, counts.day_requests, at);
    if used.used >= per_day and not private.has_paid_credits(caller.workspace_id, at) then
      message := format('The plan %s allows %s calls a day without paid credits.', (caller.plan).plan, per_day);
    end if;
  end if;
  if message is null and (caller.api_key).requests_per_minute is not null then
    used := private.window_at('minute', (caller.api_key).minute_started_at, (caller.api_key).minute_requests, at);
    if used.used >= (caller.api_key).requests_per_minute then
      message := format('This API key allows %s calls a minute.', (caller.api_key).requests_per_minute);
    end if;
  end if;
  if message is not null then
    return row('rate_limited', message, null, ceil(extract(epoch from used.ends_at - at)))::private.ai_refusal;
  end if;
  return null;
end;
$$;

-- Counts a call that begins or is refused, to the rates of its workspace and key, and its message where it is one.
create function private.count_request(
  caller private.ai_caller, counts private.ai_request_counts, is_message boolean, at timestamptz
) returns void language plpgsql set search_path = '' as $$
declare
  this_minute record := private.window_at('minute', counts.minute_started_at, counts.minute_requests, at);
  this_day record := private.window_at('day', counts.day_started_at, counts.day_requests, at);
begin
  if this_day.started_at <> counts.day_started_at then
    counts.day_empty_answers := 0;
  end if;
  counts.messages := counts.messages + is_message::integer;
  counts.minute_started_at := this_minute.started_at;
  counts.minute_requests := this_minute.used + 1;
  counts.day_started_at := this_day.started_at;
  -- What the minute refuses takes nothing from the day.
  counts.day_requests := this_day.used
    + coalesce(this_minute.used < private.limit_in(caller.features, 'requests_per_minute'), true)::integer;
  perform private.store_request_counts(counts);
  if (caller.api_key).id is not null then
    update public.api_keys k set
      last_used_at = greatest(k.last_used_at, count_request.at),
      (minute_started_at, minute_requests) =
        (select w.started_at, w.used + 1 from private.window_at('minute', k.minute_started_at, k.minute_requests, at) w)
    where k.id = (caller.api_key).id;
  end if;
end;
$$;

-- The period whose row was written last: it has the day.
create function private.last_counted_period(wanted_workspace uuid) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return (select c.period_start from private.ai_request_counts c
    where c.workspace_id = wanted_workspace order by c.minute_started_at desc, c.period_start desc limit 1);
end;
$$;

-- Counts bytes that are to be kept (requests and answers, messages, files), unless they are too many for today: where a
-- plan bounds the calls of a day. AI calls are counted under the wallet's lock, and what clients store one after the
-- other, last in their transactions. Neither sees what the other is about to commit: a day passes its bound by no more
-- than that. is_counted false: only asks, without a lock.
create function private.has_room_for_content(
  wanted_workspace uuid, content bigint, at timestamptz default clock_timestamp(), is_by_client boolean default false,
  is_counted boolean default true
) returns boolean language plpgsql set search_path = '' as $$
declare
  kept numeric;
begin
  if content = 0 or private.limit_in(private.features_of(wanted_workspace, clock_timestamp(), 'requests_per_day'),
    'requests_per_day') is null
  then
    return true;
  end if;
  if is_counted then
    insert into private.kept_content as k (workspace_id, is_by_client, day_started_at, bytes)
    values (wanted_workspace, has_room_for_content.is_by_client, date_trunc('day', at, 'UTC'), 0)
    on conflict on constraint kept_content_pkey do update set bytes = k.bytes where false; -- that only locks it
  end if;
  select sum(d.used) into kept
  from private.kept_content k cross join private.window_at('day', k.day_started_at, k.bytes, at) d
  where k.workspace_id = wanted_workspace;
  if coalesce(kept, 0) + content > private.config_numeric('kept_content_per_day', 5242880) then
    return false;
  elsif is_counted then
    update private.kept_content k set (day_started_at, bytes) = (
      select d.started_at, d.used + content from private.window_at('day', k.day_started_at, k.bytes, at) d)
    where k.workspace_id = wanted_workspace and k.is_by_client = has_room_for_content.is_by_client;
  end if;
  return true;
end;
$$;

insert into public.system_config
  (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('free_empty_answers_per_day', '20', 'integer', 0, 1000000, false,
    'How many answers with nothing in them a workspace gets free a day. '
    'Further ones are charged the input that the provider reports.');

create table private.jobs_under_way (
  job_id uuid primary key,
  workspace_id uuid not null references public.workspaces on delete cascade
);
comment on table private.jobs_under_way is
  'Jobs besides AI calls that run and will count as calls. Whoever makes such a job adds a row, and deletes it at its '
  'end.';
create index jobs_under_way_workspace_id_idx on private.jobs_under_way (workspace_id);

-- Why a counted feature has nothing left for one more use, if so.
create function private.refuse_feature(
  of_plan text, code text, is_on boolean, most numeric, used numeric, period_end timestamptz, at timestamptz
) returns private.ai_refusal language plpgsql immutable set search_path = '' as $$
begin
  if not is_on then
    return row('feature_not_in_plan', format('The plan %s does not include feature %s.', of_plan, code), null,
      null)::private.ai_refusal;
  elsif used + 1 > most then
    return row('limit_reached', format('This workspace has used its %s of feature %s until %s.', trim_scale(most), code,
      period_end), null, ceil(extract(epoch from period_end - at)))::private.ai_refusal;
  end if;
  return null;
end;
$$;

-- Why a call may not begin by the features api_call and token, if so. Calls under way count as calls; what tokens
-- they will use is not known, so the last of them may pass that limit.
create function private.refuse_counted_features(caller private.ai_caller, at timestamptz) returns private.ai_refusal
language plpgsql stable set search_path = '' as $$
declare
  period record;
  code text;
  most numeric;
  used numeric;
  refusal private.ai_refusal;
begin
  if not coalesce(caller.features ?| array['api_call', 'token'], false) then
    return null; -- nothing is said of either: nothing to look up
  end if;
  foreach code in array array['api_call', 'token'] loop
    most := private.limit_in(caller.features, code); -- 0 where it is off
    continue when most is null;
    period := private.feature_period(caller.workspace_id, at);
    used := private.feature_used(caller.workspace_id, code, period.period_start);
    if code = 'api_call' then -- calls under way will count
      used := used + (
        select count(*) from private.credit_holds h where h.workspace_id = caller.workspace_id
          and h.state = 'open' and h.expires_at > refuse_counted_features.at and h.work is not null
      ) + (select count(*) from private.jobs_under_way j where j.workspace_id = caller.workspace_id);
    end if;
    refusal := private.refuse_feature((caller.plan).plan, code, private.feature_is_on(caller.features, code), most,
      used, period.period_end, at);
    if refusal.code is not null then
      return refusal;
    end if;
  end loop;
  return null;
end;
$$;

-- Tells platform admins that a model was asked for which has no price, once for each model and day.
create function private.notify_unpriced(of_model text, resolution text, at timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  perform private.notify_admins('model_unpriced', concat_ws(' ', of_model, resolution, (at at time zone 'UTC')::date),
    jsonb_build_object('model', of_model, 'resolution', resolution,
      'hint', 'Nobody can call it. Give it a price with admin_set_model_price (a video also needs a row of '
        || 'video_models and video_api of its provider), or set is_active of its row in ai_models to false.'));
end;
$$;

-- Why paid work may not be begun, whatever it costs, if so: account, rate, model (of a certain call), messages,
-- features.
create function private.refuse_request(
  asked private.admission, pricing jsonb, endpoint public.ai_usage_scene
) returns private.ai_refusal language plpgsql set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  messages numeric := private.limit_in(caller.features, 'messages_per_month');
  refusal private.ai_refusal;
begin
  if private.config('maintenance_mode') = 'true' then
    return row('maintenance', 'The service is under maintenance. Try again later.', null, null)::private.ai_refusal;
  elsif not (caller.account).is_active then
    return row('account_disabled', 'This account is disabled.', null, null)::private.ai_refusal;
  elsif (asked.wallet).frozen_at is not null then
    return row('account_disabled', 'This workspace is frozen: a payment of it is disputed.', null,
      null)::private.ai_refusal;
  end if;
  refusal := private.refuse_request_rate(caller, asked.counts, asked.at);
  if refusal.code is not null then
    return refusal;
  end if;
  if asked.call is not null then
    refusal := private.refuse_model(caller, asked.call ->> 'model', asked.wanted, pricing, asked.scene, endpoint);
  end if;
  if refusal.code is not null then
    if refusal.code = 'not_found' and (asked.wanted).model is not null then
      perform private.notify_unpriced((asked.wanted).model, null, asked.at);
    end if;
    return refusal;
  end if;
  if asked.is_message and messages <= (asked.counts).messages
    and ((caller.plan).messages_limit_paid or not private.has_paid_credits(caller.workspace_id, asked.at))
  then
    return row('limit_reached', format('The plan %s allows %s messages a month%s.', (caller.plan).plan, messages,
      case when not (caller.plan).messages_limit_paid then ' without paid credits' end), null,
      ceil(extract(epoch from (private.feature_period(caller.workspace_id, asked.at, by_month => true)).period_end
        - asked.at)))::private.ai_refusal;
  end if;
  return private.refuse_counted_features(caller, asked.at);
end;
$$;

-- Whether somebody may know what a workspace has: its owners and admins may, and everybody of their personal one.
create function private.sees_wallet(wanted_workspace uuid, account_id uuid) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(wanted_workspace = account_id or private.role_in(wanted_workspace, account_id) in ('owner', 'admin'),
    false);
end;
$$;

-- The refusal of what the wallet, the budget of the key or the limit of the member cannot pay; what: how its price
-- is told.
create function private.refuse_credits(asked private.admission, needed numeric, what text) returns private.ai_refusal
language plpgsql stable set search_path = '' as $$
declare
  caller private.ai_caller := asked.caller;
  available numeric := (asked.wallet).credits_spendable;
  by_member record := private.spending_left(caller.workspace_id, (caller.account).id, asked.at);
  by_key record := private.spending_left(caller.workspace_id, (caller.api_key).id, asked.at);
begin
  what := format('%s %s credits and', what, trim_scale(needed));
  if by_member.credits < least(available, by_key.credits) then
    return row('limit_reached', format('%s your limit in this workspace has %s left.', what,
      trim_scale(greatest(by_member.credits, 0))), null,
      ceil(extract(epoch from by_member.next_period_at - asked.at)))::private.ai_refusal;
  elsif by_key.credits >= available or by_key.credits is null then
    return row('insufficient_credits', format('%s %s are available.', what,
      case when private.sees_wallet(caller.workspace_id, (caller.account).id)
        then trim_scale(available)::text else 'fewer' end), null, null)::private.ai_refusal;
  end if;
  return row('limit_reached', format('%s the API key''s budget has %s left.', what,
    trim_scale(greatest(by_key.credits, 0))), null,
    ceil(extract(epoch from by_key.next_period_at - asked.at)))::private.ai_refusal;
end;
$$;

-- What a caller can spend now, as far as it is theirs to know: the least of wallet, member limit and key budget.
-- Null: not to be told.
create function private.spendable(wanted_workspace uuid, account_id uuid, key_id uuid, at timestamptz) returns numeric
language plpgsql stable set search_path = '' as $$
declare
  available numeric;
begin
  -- What a team has is not for its members to know: they are told what their own limits leave them, or nothing.
  if private.sees_wallet(wanted_workspace, account_id) then
    select w.credits_spendable into available from public.credit_wallets w where w.workspace_id = wanted_workspace;
  end if;
  available := least(available, private.credits_left_to(wanted_workspace, account_id, key_id, at));
  return case when available is not null then trim_scale(greatest(available, 0)) end;
end;
$$;

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('ai_call_timeout_seconds', '140', 'integer', 1, 390, false,
    'Seconds after which an AI call is ended and settled: below the platform''s own limit (150 s, '
    '400 s on paid plans).'),
  ('kept_content_per_day', '5242880', 'integer', 0, 1000000000, false,
    'Bytes of requests and answers in the log, of messages and of files that are kept of a workspace''s day, where '
    'its plan bounds its calls a day.'),
  ('least_useful_output_tokens', '100', 'integer', 1, 1000000, false,
    'Output tokens (a choice) that a wallet must pay for to admit a call that asks for more than it can pay.'),
  ('output_tokens_per_extension', '1000', 'integer', 1, 1000000, false,
    'Output tokens by which the hold of a stream is extended when it has used up what was set aside.');
