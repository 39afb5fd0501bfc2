-- AI models: who provides them, who may call them, what they cost.

create type public.ai_usage_scene as enum (
  'text_chat', 'embedding', 'image_generation', 'video_generation', 'session_analysis', 'other'
);
comment on type public.ai_usage_scene is 'What an AI call was for.';
insert into public.features (feature_code, name, unit, description)
select 'scene:' || s, initcap(replace(s::text, '_', ' ')), 'call', 'Whether AI calls of this scene may be made.'
from unnest(enum_range(null::public.ai_usage_scene)) s;
create type public.ai_disconnect_policy as enum ('drain', 'cancel');
comment on type public.ai_disconnect_policy is
  'When a client leaves a stream: drain reads the provider''s answer to its end and charges that; '
  'cancel stops it and charges what had come.';
create type public.ai_output_limit_field as enum ('max_tokens', 'max_completion_tokens');
comment on type public.ai_output_limit_field is 'The request field by which a model takes its output limit.';

create type public.video_api as enum ('302ai', 'openai');
comment on type public.video_api is
  'The protocol of a provider''s video API: 302.AI''s unified one, or OpenAI''s /v1/videos.';

create table public.ai_providers (
  provider text primary key constraint provider_is_snake_case check (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
  base_url public.web_address,
  api_key_env text not null default 'AI_API_KEY'
    constraint api_key_env_begins_with_ai check (api_key_env ~ '^AI_[A-Z0-9_]{1,60}$'),
  disconnect_policy public.ai_disconnect_policy not null default 'drain',
  timeout_ms integer not null default 120000 constraint timeout_is_between_100_ms_and_10_minutes
    check (timeout_ms between 100 and 600000),
  max_retries integer not null default 2 constraint max_retries_is_at_most_10 check (max_retries between 0 and 10),
  video_api public.video_api,
  video_base_url public.web_address,
  result_hosts text[] not null default '{}' constraint result_hosts_are_at_most_50_names check (
    cardinality(result_hosts) <= 50 and array_position(result_hosts, null) is null
    and length(array_to_string(result_hosts, ',')) <= 5000
    and array_to_string(result_hosts, ',') ~ '^[A-Za-z0-9.:*_,\[\]-]*$'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.ai_providers is 'Where calls go: OpenAI-compatible APIs. For the service role alone.';
comment on column public.ai_providers.base_url is 'Base URL; null: the functions'' AI_BASE_URL.';
comment on column public.ai_providers.api_key_env is
  'The functions'' variable that holds the key. The key itself is never in the database.';
comment on column public.ai_providers.timeout_ms is
  'The longest silence: before the answer, and between two pieces of a stream.';
comment on column public.ai_providers.max_retries is
  'Tries after the first one, before the first byte, on 429, 5xx and broken connections.';
comment on column public.ai_providers.video_api is 'How it is asked for videos; null: it makes none.';
comment on column public.ai_providers.video_base_url is
  'Base URL of its video API; null: for 302ai the origin of its base URL, for openai its base URL.';
comment on column public.ai_providers.result_hosts is
  'Hosts that finished files are fetched from: exact names or *.example.com, with a :port where it is not the '
  'scheme''s. Private addresses only where an entry is that address or localhost. '
  'AI_BASE_URL stands for the host of that variable.';
insert into public.ai_providers (provider, video_api, result_hosts) values
  ('default', '302ai', '{AI_BASE_URL,file.302.ai,*.302.ai,*.302ai.com,*.302ai.cn}');
insert into public.ai_providers (provider, base_url, api_key_env) values
  ('gemini', 'https://generativelanguage.googleapis.com/v1beta/openai', 'AI_GEMINI_KEY');

create table public.ai_models (
  model text primary key constraint model_name_is_short check (length(model) between 1 and 200),
  display_name text not null,
  scene public.ai_usage_scene not null default 'text_chat',
  provider text not null default 'default' references public.ai_providers,
  upstream_model text not null,
  minimum_plan text not null default 'free' references public.plans,
  max_output_tokens integer not null constraint max_output_tokens_not_negative check (max_output_tokens >= 0),
  output_limit_field public.ai_output_limit_field not null default 'max_tokens',
  context_window integer constraint context_window_positive check (context_window > 0),
  content_parts jsonb not null default '{}' constraint content_parts_are_token_bounds check (
    jsonb_typeof(content_parts) = 'object' and not jsonb_path_exists(content_parts, 'strict $.keyvalue() ? (
      !(@.key like_regex "^[a-z][a-z0-9_]{0,62}$") || @.key == "text" || @.key == "refusal"
      || !(@.value == null || @.value.type() == "number" && @.value >= 0 && @.value <= 1000000000))', silent => true)),
  extra_fields text[] not null default '{}' constraint extra_fields_are_at_most_100_names check (
    cardinality(extra_fields) <= 100 and array_position(extra_fields, null) is null
    and length(array_to_string(extra_fields, ',')) <= 5000
      and array_to_string(extra_fields, ',') ~ '^[A-Za-z0-9_.,-]*$'),
  credits_per_request public.credit_amount constraint credits_per_request_not_negative check (credits_per_request >= 0),
  markup numeric constraint markup_not_negative check (markup >= 0 and markup < 'infinity'),
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint a_part_without_a_bound_needs_a_context_window
    check (context_window is not null
      or not jsonb_path_exists(content_parts, 'strict $.* ? (@ == null)', silent => true)),
  -- What they ask for has no bound before the call, so no row may let them through.
  constraint extra_fields_change_no_price
    check (not extra_fields && array['web_search_options', 'plugins', 'models',
    'modalities', 'audio', 'prediction', 'provider', 'route', 'preset', 'search_parameters', 'enable_search',
    'cache_control', 'prompt_cache_options', 'prompt_cache_breakpoint', 'partial_images', 'best_of'])
);
comment on table public.ai_models is 'Models that callers may name. The operator''s; clients read the view models.';
comment on column public.ai_models.scene is 'A call''s scene unless the caller names one.';
comment on column public.ai_models.upstream_model is 'The name the provider knows it by.';
comment on column public.ai_models.minimum_plan is 'The lowest plan, by rank, that may call it.';
comment on column public.ai_models.max_output_tokens is
  'The most it writes in one answer (for one image); what a call without a limit is held for.';
comment on column public.ai_models.output_limit_field is
  'How it is told a limit that the caller did not name, when a wallet cannot pay for the whole output.';
comment on column public.ai_models.context_window is
  'The most input tokens of one chat: no call is held for more. Null: not known.';
comment on column public.ai_models.content_parts is
  'The kinds of content that its chats take besides text, each with the most tokens that one part can cost; null: '
  'a part can be as much as the context window. E.g. {"image_url": 1445, "file": null}.';
comment on column public.ai_models.extra_fields is
  'Names of request fields that it takes besides those every endpoint knows, at any level of a request. '
  'Only names that change no price, and service_tier.';
comment on column public.ai_models.credits_per_request is
  'A fixed price in credits; without it a call is charged by its cost.';
comment on column public.ai_models.markup is 'Factor on its cost; system_config.default_markup where null.';
create index ai_models_provider_idx on public.ai_models (provider);
create index ai_models_minimum_plan_idx on public.ai_models (minimum_plan);

create table public.ai_model_fallbacks (
  model text not null references public.ai_models on delete cascade,
  position integer not null,
  fallback_model text not null references public.ai_models on delete cascade,
  primary key (model, position),
  constraint a_model_is_no_fallback_of_itself check (fallback_model <> model),
  constraint a_model_is_a_fallback_once unique (model, fallback_model)
);
comment on table public.ai_model_fallbacks is
  'Models that answer for another, in order of position, when its provider fails before anything was sent to the '
  'client. The call costs the price of the one that answers.';
create index ai_model_fallbacks_fallback_model_idx on public.ai_model_fallbacks (fallback_model);

create type public.price_unit as enum (
  'input', 'cached_input', 'cache_write_5m', 'cache_write_1h', 'output', 'reasoning', 'audio_input', 'audio_output',
  'image_input', 'image_output', 'image', 'second_input', 'second_output', 'character', 'request', 'web_search',
  'tool_call', 'video_second'
);
comment on type public.price_unit is
  'What a provider charges for: one token of a kind (input to image_output), one image, one second of sound in or out, '
  'one character, one request, one search, one call of a hosted tool, one second of video.';

create table public.ai_model_prices (
  id uuid primary key default gen_random_uuid(),
  model text not null references public.ai_models on delete cascade,
  effective_from timestamptz not null default now(),
  effective_to timestamptz,
  source text not null default 'manual'
    constraint source_is_a_name check (source ~ '^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$'),
  components jsonb not null default '[]',
  created_at timestamptz not null default now(),
  constraint one_price_at_a_time unique (model, effective_from),
  constraint effective_to_is_after_effective_from check (effective_to > effective_from),
  constraint a_price_begins_some_time check (isfinite(effective_from))
);
comment on table public.ai_model_prices is
  'What a provider charges, from a time on: ai_price_components has its parts. A call costs what was in force when it '
  'began. Set with admin_set_model_price.';
comment on column public.ai_model_prices.effective_from is 'In force from here until the next row of the model.';
comment on column public.ai_model_prices.effective_to is
  'Until when at most: after it the row before is in force again. Null: no such end.';
comment on column public.ai_model_prices.components is 'A copy of its rows of ai_price_components.';
comment on column public.ai_model_prices.source is 'Who says so: manual, or the catalogue it was imported from.';

create table public.ai_price_components (
  id bigint generated always as identity primary key,
  price_id uuid not null references public.ai_model_prices on delete cascade,
  unit public.price_unit not null,
  -- Names of these constraints are what callers are told.
  usd_per_unit numeric constraint usd_per_unit_must_be_0_to_1000000_with_at_most_30_decimals
    check (usd_per_unit >= 0 and usd_per_unit <= 1000000 and scale(usd_per_unit) <= 30),
  credits_per_unit numeric constraint credits_per_unit_must_be_0_to_1000000_with_at_most_30_decimals
    check (credits_per_unit >= 0 and credits_per_unit <= 1000000 and scale(credits_per_unit) <= 30),
  resolution text constraint resolution_has_at_most_40_characters check (length(resolution) <= 40),
  above_input_tokens bigint not null default 0
    constraint above_input_tokens_not_negative check (above_input_tokens >= 0),
  bound_included boolean not null default false,
  reprices text not null default 'whole' constraint reprices_whole_or_excess check (reprices in ('whole', 'excess')),
  service_tier text not null default 'standard' constraint service_tier_is_a_word
    check (service_tier ~ '^[a-z][a-z0-9_-]{0,49}$' and service_tier not in ('default', 'auto')),
  weekdays smallint[] constraint weekdays_are_1_to_7
    check (cardinality(weekdays) between 1 and 7 and weekdays <@ '{1,2,3,4,5,6,7}'),
  clock_from time,
  clock_to time,
  constraint a_component_has_a_price check (usd_per_unit is not null or credits_per_unit is not null),
  constraint only_a_context_tier_reprices_an_excess check (above_input_tokens > 0 or reprices = 'whole'),
  constraint a_clock_has_both_its_times_in_minutes check ((clock_from is null) = (clock_to is null)
    and extract(second from clock_from) = 0 and extract(second from clock_to) = 0),
  constraint this_component_is_there_twice unique nulls not distinct (
    price_id, unit, resolution, service_tier, above_input_tokens, weekdays, clock_from, clock_to)
);
comment on table public.ai_price_components is
  'The parts of a price: what one unit costs, in general or in a service tier, at a time of day, above a number of '
  'input tokens. What has no row falls back as docs/ai.md says.';
comment on column public.ai_price_components.usd_per_unit is 'US dollars that the provider charges for one unit.';
comment on column public.ai_price_components.credits_per_unit is
  'Credits that one unit is charged instead of its cost x markup.';
comment on column public.ai_price_components.resolution is 'The resolution of a video that it is for; null: any.';
comment on column public.ai_price_components.above_input_tokens is
  'For calls with more input tokens than that, cached and written ones included.';
comment on column public.ai_price_components.bound_included is 'Whether exactly above_input_tokens are above it too.';
comment on column public.ai_price_components.reprices is
  'whole: all of such a call; excess: the share of it that is above the bound.';
comment on column public.ai_price_components.service_tier is 'The tier that the answer names; its default is standard.';
comment on column public.ai_price_components.weekdays is 'ISO days (UTC) that its hours begin on; null: all.';
comment on column public.ai_price_components.clock_from is
  'The hours (UTC) it is for, clock_to excluded; past midnight where clock_to is not after it. Null: all day.';

create type public.model_price as (
  resolution text, credits_per_request numeric, credits_per_million_input_tokens numeric,
  credits_per_million_cached_input_tokens numeric, credits_per_million_output_tokens numeric, credits_per_image numeric,
  credits_per_job numeric, credits_per_second numeric, components jsonb
);
comment on type public.model_price is
  'What a model costs, in credits. A null is no part of it; credits_per_job and credits_per_second are a video''s, '
  'of its resolution. components: all parts in credits, where there are more than these.';

create type private.ai_usage as (
  prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint, images bigint, cache_write_5m_tokens bigint,
  cache_write_1h_tokens bigint, audio_input_tokens bigint, image_input_tokens bigint, reasoning_tokens bigint,
  audio_output_tokens bigint, image_output_tokens bigint, input_seconds numeric, output_seconds numeric,
  characters bigint, web_searches bigint, tool_calls bigint, service_tier text
);
comment on type private.ai_usage is
  'What a call used. prompt_tokens include the cached, written, audio and image ones, completion_tokens the reasoning, '
  'audio and image ones: these exclude each other, and the rest is text. A null is none, or the standard tier.';

create type private.price_units as (
  input numeric, cached_input numeric, cache_write_5m numeric, cache_write_1h numeric, output numeric,
  reasoning numeric, audio_input numeric, audio_output numeric, image_input numeric, image_output numeric,
  image numeric, second_input numeric, second_output numeric, "character" numeric, request numeric,
  web_search numeric, tool_call numeric, video_second numeric
);
comment on type private.price_units is 'A number for each price_unit: a rate, or how many were used.';

create type private.ai_charge as (cost_usd numeric, credits numeric, worth_usd numeric, unpriced text[]);
comment on type private.ai_charge is
  'What a call costs (US dollars), is charged (credits) and is worth to its caller (US dollars); units that were used '
  'and have no price.';

-- Gives a model a price from a time on. components: a list as in admin_set_model_price, or in short
-- { unit: US dollars }, of tokens for a million.
create function private.set_model_price(
  model text, components jsonb, effective_from timestamptz default now(), effective_to timestamptz default null,
  source text default 'manual'
) returns uuid language plpgsql set search_path = '' as $$
declare
  wanted_id uuid;
  component jsonb;
  c public.ai_price_components;
  place integer;
  rule text;
begin
  if jsonb_typeof(components) = 'object' then
    components := (
      select jsonb_agg(jsonb_build_object('unit', s.key, 'usd_per_unit', case when jsonb_typeof(s.value)
        in ('number', 'string') then to_jsonb(trim_scale((s.value #>> '{}')::numeric
          * case when s.key ~ '^(image|second_.*|character|request|web_search|tool_call|video_second)$' then 1
            else 0.000001 end)) else s.value end))
      from jsonb_each(components) s);
  end if;
  if jsonb_typeof(components) is distinct from 'array' or jsonb_array_length(components) not between 1 and 500 then
    perform private.raise_error('invalid_request', 'components must be a list of 1 to 500 parts of a price.');
  end if;
  insert into public.ai_model_prices (model, effective_from, effective_to, source)
  values (set_model_price.model, set_model_price.effective_from, set_model_price.effective_to, set_model_price.source)
  returning id into wanted_id;
  for component, place in select e.value, e.ordinality - 1 from jsonb_array_elements(components) with ordinality e loop
    if jsonb_typeof(component) <> 'object' or component - array['unit', 'usd_per_unit', 'credits_per_unit',
        'resolution', 'above_input_tokens', 'bound_included', 'reprices', 'service_tier', 'clock'] <> '{}'
      or jsonb_typeof(component -> 'clock') <> 'object'
      or (component -> 'clock') - array['weekdays', 'from', 'to'] <> '{}' then
      perform private.raise_error('invalid_request', format('components[%s] has fields that are not known.', place));
    end if;
    c := jsonb_populate_record(null::public.ai_price_components, component || jsonb_build_object(
      'weekdays', (select jsonb_agg(d order by d) from jsonb_array_elements(component #> '{clock,weekdays}') d),
      'clock_from', component #> '{clock,from}', 'clock_to', component #> '{clock,to}'));
    insert into public.ai_price_components (price_id, unit, usd_per_unit, credits_per_unit, resolution,
      above_input_tokens, bound_included, reprices, service_tier, weekdays, clock_from, clock_to)
    values (wanted_id, c.unit, c.usd_per_unit, c.credits_per_unit, c.resolution, coalesce(c.above_input_tokens, 0),
      coalesce(c.bound_included, false), coalesce(c.reprices, 'whole'), coalesce(c.service_tier, 'standard'),
      c.weekdays, c.clock_from, c.clock_to);
  end loop;
  -- What a tier or a clock does not say falls back to this row, and a hold has to know that there is one.
  select string_agg(distinct p.unit::text, ', ') into rule from public.ai_price_components p
  where p.price_id = wanted_id and not exists (
    select from public.ai_price_components b where b.price_id = wanted_id and b.unit = p.unit
      and b.service_tier = 'standard' and b.above_input_tokens = 0 and b.weekdays is null and b.clock_from is null);
  if rule is not null then
    perform private.raise_error('invalid_request',
      format('These units need a component of the standard tier, without a bound and a clock: %s.', rule));
  end if;
  return wanted_id;
exception when data_exception or integrity_constraint_violation then
  get stacked diagnostics rule = constraint_name;
  if place is not null then
    perform private.raise_error('invalid_request',
      format('components[%s]: %s.', place, coalesce(replace(nullif(rule, ''), '_', ' '), sqlerrm)));
  elsif sqlstate = '23503' then
    perform private.raise_error('not_found', format('There is no model %s.', to_json(model)));
  elsif sqlstate = '23505' then
    perform private.raise_error('invalid_state', 'This model has a price from this time on.', 'Name another time.');
  end if;
  perform private.raise_error('invalid_request', coalesce(replace(nullif(rule, ''), '_', ' '), sqlerrm) || '.');
  return null;
end;
$$;

-- Keeps a price's parts beside it, as calls are charged by: what is the default is left out, and they stand from
-- general to special.
create function private.sync_price_components() returns trigger language plpgsql set search_path = '' as $$
begin
  update public.ai_model_prices p set components = coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('unit', c.unit, 'usd_per_unit', c.usd_per_unit,
        'credits_per_unit', c.credits_per_unit, 'resolution', c.resolution,
        'above_input_tokens', nullif(c.above_input_tokens, 0), 'bound_included', nullif(c.bound_included, false),
        'reprices', nullif(c.reprices, 'whole'), 'service_tier', nullif(c.service_tier, 'standard'),
        'clock', case when c.weekdays is not null or c.clock_from is not null
          then jsonb_build_object('weekdays', c.weekdays, 'from', to_char(c.clock_from, 'HH24:MI'),
            'to', to_char(c.clock_to, 'HH24:MI')) end))
      order by c.unit, c.resolution is not null, c.service_tier <> 'standard',
        c.weekdays is not null or c.clock_from is not null, c.above_input_tokens, c.usd_per_unit, c.id)
    from public.ai_price_components c where c.price_id = p.id), '[]')
  where p.id = coalesce(new.price_id, old.price_id);
  return null;
end;
$$;
create trigger ai_price_components_sync after insert or update or delete on public.ai_price_components
  for each row execute function private.sync_price_components();

-- What a call's charge is computed from, as it is when the call begins; null for a model without a price. Of a video
-- (duration, resolution) null where its resolution has none.
create function private.pricing_of(wanted public.ai_models, at timestamptz, video jsonb default null) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  price public.ai_model_prices;
  own jsonb := jsonb '{}';
begin
  select * into price from public.ai_model_prices p
  where p.model = wanted.model and p.effective_from <= at and (p.effective_to is null or p.effective_to > at)
  order by p.effective_from desc limit 1;
  if not found then
    return null;
  elsif video is not null then
    price.components := jsonb_path_query_array(price.components,
      '$[*] ? (!exists(@.resolution) || @.resolution == $video.resolution)', jsonb_build_object('video', video));
    if not price.components @? '$[*].unit ? (@ == "request" || @ == "video_second")' then
      return null;
    end if;
    own := jsonb_build_object('duration', video -> 'duration', 'resolution', video -> 'resolution');
  elsif price.components @? '$[*].resolution' then
    price.components := jsonb_path_query_array(price.components, '$[*] ? (!exists(@.resolution))');
  end if;
  return jsonb_build_object('price', jsonb_build_object('id', price.id, 'model', price.model, 'effective_from',
      price.effective_from, 'components', price.components),
    'credits_per_request', wanted.credits_per_request, 'credits_per_usd',
    private.config_numeric('credits_per_usd', 100), 'markup',
    coalesce(wanted.markup, private.config_numeric('default_markup', 1))) || own;
end;
$$;

-- Whether a clock { weekdays, from, to } (UTC) runs at some time from began to ended.
create function private.meets_clock(clock jsonb, began timestamp, ended timestamp) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  opens time := coalesce((clock ->> 'from')::time, time '00:00');
  closes time := coalesce((clock ->> 'to')::time, time '24:00');
  day date := began::date - 1; -- its hours may have begun the day before
begin
  while day <= ended::date loop
    if (not clock ? 'weekdays' or clock -> 'weekdays' @> to_jsonb(extract(isodow from day)::integer))
      and day + opens <= ended
      and day + closes + (closes <= opens)::integer * interval '1 day' > began then
      return true;
    end if;
    day := day + 1;
  end loop;
  return false;
end;
$$;

-- What one unit costs a call, in US dollars or credits: { unit: rate }. A unit without a row is not in it. Each
-- component that applies takes the place of those before it, which are more general: service tiers go before clocks,
-- these before context tiers. Of a bound: the dearest that applies to a call of at most this input, within this time.
create function private.price_rows(
  pricing jsonb, usage private.ai_usage, began timestamptz, ended timestamptz, in_credits boolean default false,
  is_bound boolean default false
) returns jsonb language plpgsql immutable set search_path = '' as $$
declare
  components jsonb := pricing #> '{price,components}';
  c jsonb;
  above bigint;
  unit text;
  rate numeric;
  below numeric; -- of the component before, of the same unit
  next_rate numeric;
  has_clock boolean := false;
  rates jsonb := jsonb '{}';
begin
  for place in 0 .. coalesce(jsonb_array_length(components), 0) - 1 loop
    c := components -> place;
    above := 0;
    if c ?| '{service_tier,clock,above_input_tokens}' then
      above := coalesce((c ->> 'above_input_tokens')::bigint, 0);
      has_clock := has_clock or c ? 'clock';
      continue when c ? 'service_tier' and c ->> 'service_tier' is distinct from usage.service_tier
          and not (is_bound and pricing ? 'any_service_tier')
        or c ? 'clock' and private.meets_clock(c -> 'clock', began at time zone 'UTC',
          case when is_bound then ended else began end at time zone 'UTC') is not true
        or above > 0 and coalesce(usage.prompt_tokens, 0) < above + case when c ? 'bound_included' then 0 else 1 end;
    end if;
    next_rate := coalesce((c ->> 'usd_per_unit')::numeric, 0);
    if in_credits then
      next_rate := coalesce((c ->> 'credits_per_unit')::numeric,
        next_rate * (pricing ->> 'credits_per_usd')::numeric * (pricing ->> 'markup')::numeric);
    end if;
    if unit is distinct from c ->> 'unit' then
      unit := c ->> 'unit';
      rate := next_rate;
    elsif is_bound then
      rate := greatest(rate, next_rate);
    elsif c ? 'reprices' then
      rate := rate + (next_rate - below) * (usage.prompt_tokens - above) / usage.prompt_tokens;
    else
      rate := next_rate;
    end if;
    below := next_rate;
    rates := rates || jsonb_build_object(unit, rate);
  end loop;
  if has_clock and not is_bound and ended is distinct from began then
    -- The dearest of where it began and where it ended.
    select jsonb_object_agg(e.key, greatest(e.value::numeric, (rates ->> e.key)::numeric)) into rates
    from jsonb_each_text(private.price_rows(pricing, usage, ended, ended, in_credits)) e;
  end if;
  return rates;
end;
$$;

-- The rates of a call from those that have a row. This is the chain of defaults: audio, image, cached and written
-- input -> input; reasoning, audio and image output -> output. What has none after it takes the dearest of its kind.
create function private.default_rates(rows jsonb) returns private.price_units
language plpgsql immutable set search_path = '' as $$
declare
  r private.price_units := jsonb_populate_record(null::private.price_units, rows);
begin
  r.input := coalesce(r.input,
    greatest(r.cached_input, r.cache_write_5m, r.cache_write_1h, r.audio_input, r.image_input));
  r.cached_input := coalesce(r.cached_input, r.input);
  r.cache_write_5m := coalesce(r.cache_write_5m, r.input);
  r.cache_write_1h := coalesce(r.cache_write_1h, r.input);
  r.audio_input := coalesce(r.audio_input, r.input);
  r.image_input := coalesce(r.image_input, r.input);
  r.output := coalesce(r.output, greatest(r.reasoning, r.audio_output, r.image_output));
  r.reasoning := coalesce(r.reasoning, r.output);
  r.audio_output := coalesce(r.audio_output, r.output);
  r.image_output := coalesce(r.image_output, r.output);
  r.second_input := coalesce(r.second_input, r.second_output);
  r.second_output := coalesce(r.second_output, r.second_input);
  r.web_search := coalesce(r.web_search, r.tool_call);
  r.tool_call := coalesce(r.tool_call, r.web_search);
  return r;
end;
$$;

-- How many of each unit were used: pools that exclude each other.
create function private.pools_of(usage private.ai_usage, pricing jsonb) returns private.price_units
language plpgsql immutable set search_path = '' as $$
begin
  return row(
    usage.prompt_tokens - usage.cached_tokens - coalesce(usage.cache_write_5m_tokens, 0)
      - coalesce(usage.cache_write_1h_tokens, 0) - coalesce(usage.audio_input_tokens, 0)
      - coalesce(usage.image_input_tokens, 0),
    usage.cached_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens,
    usage.completion_tokens - coalesce(usage.reasoning_tokens, 0) - coalesce(usage.audio_output_tokens, 0)
      - coalesce(usage.image_output_tokens, 0),
    usage.reasoning_tokens, usage.audio_input_tokens, usage.audio_output_tokens, usage.image_input_tokens,
    usage.image_output_tokens, usage.images, usage.input_seconds, usage.output_seconds, usage.characters, 1,
    usage.web_searches, usage.tool_calls, (pricing ->> 'duration')::numeric)::private.price_units;
end;
$$;

-- So many units at these rates.
create function private.sum_of(n private.price_units, r private.price_units) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(n.input * r.input, 0) + coalesce(n.cached_input * r.cached_input, 0)
    + coalesce(n.cache_write_5m * r.cache_write_5m, 0) + coalesce(n.cache_write_1h * r.cache_write_1h, 0)
    + coalesce(n.audio_input * r.audio_input, 0) + coalesce(n.image_input * r.image_input, 0)
    + coalesce(n.output * r.output, 0) + coalesce(n.reasoning * r.reasoning, 0)
    + coalesce(n.audio_output * r.audio_output, 0) + coalesce(n.image_output * r.image_output, 0)
    + coalesce(n.image * r.image, 0) + coalesce(n.second_input * r.second_input, 0)
    + coalesce(n.second_output * r.second_output, 0) + coalesce(n."character" * r."character", 0)
    + coalesce(n.request * r.request, 0) + coalesce(n.web_search * r.web_search, 0)
    + coalesce(n.tool_call * r.tool_call, 0) + coalesce(n.video_second * r.video_second, 0);
end;
$$;

-- What a call or a video costs, from began to ended, and is charged: the credits of its components where they have
-- some, else the model's fixed price, else cost x credits_per_usd x markup, to six decimals.
create function private.charge_of(
  pricing jsonb, usage private.ai_usage, began timestamptz default null, ended timestamptz default null
) returns private.ai_charge language plpgsql immutable set search_path = '' as $$
declare
  rows jsonb := private.price_rows(pricing, usage, began, ended);
  pools private.price_units := private.pools_of(usage, pricing);
  charge private.ai_charge;
  by_cost numeric;
begin
  if pricing is null then
    return null;
  end if;
  charge.cost_usd := trim_scale(round(private.sum_of(pools, private.default_rates(rows)), 15));
  by_cost := trim_scale(round(charge.cost_usd * (pricing ->> 'credits_per_usd')::numeric
    * (pricing ->> 'markup')::numeric, 6));
  if pricing @? '$.price.components[*].credits_per_unit' then
    charge.credits := trim_scale(round(private.sum_of(pools,
      private.default_rates(private.price_rows(pricing, usage, began, ended, in_credits => true))), 6));
  else
    charge.credits := trim_scale(coalesce((pricing ->> 'credits_per_request')::numeric, by_cost));
  end if;
  -- What customers see as the cost: of a fixed price its credits, for cost x markup would tell the cost.
  charge.worth_usd := trim_scale(case when charge.credits = by_cost
    then charge.cost_usd * (pricing ->> 'markup')::numeric
    else charge.credits / (pricing ->> 'credits_per_usd')::numeric end);
  if pricing ? 'included' then -- something else that is charged pays for it
    charge.credits := 0;
  end if;
  -- An image, a second or a character is counted besides tokens: its price may be theirs.
  if not rows ?& '{input,output}' or usage.images > 0 or coalesce(usage.input_seconds, usage.output_seconds,
    usage.characters, usage.web_searches, usage.tool_calls) is not null then
    select array_agg(u.key order by u.key) into charge.unpriced
    from jsonb_each_text(to_jsonb(pools) - array['request', 'video_second']) u
    where u.value::numeric > 0 and not rows ? u.key
      and not rows ? case when u.key ~ 'input|cache_write' and u.key <> 'second_input' then 'input'
        when u.key ~ 'output|reasoning' and u.key <> 'second_output' then 'output' else u.key end
      and (u.key !~ '^(image|second_input|second_output|character)$' or charge.cost_usd = 0)
      and pricing ->> 'credits_per_request' is null;
  end if;
  return charge;
end;
$$;

-- What a call can cost at most, in credits a unit, with this input (its other counts don't matter): each unit at the
-- dearest that its tokens may turn out to be, in the time that it may take (its hold expires after 990 s at most).
create function private.bound_rates(
  pricing jsonb, usage private.ai_usage, began timestamptz
) returns private.price_units language plpgsql stable set search_path = '' as $$
declare
  r private.price_units := private.default_rates(private.price_rows(pricing, usage, began,
    began + interval '1000 seconds', in_credits => true, is_bound => true));
begin
  if pricing ? 'included' then
    return null;
  elsif pricing ->> 'credits_per_request' is not null
    and not pricing @? '$.price.components[*].credits_per_unit' then
    r := null;
    r.request := (pricing ->> 'credits_per_request')::numeric;
    return r;
  end if;
  r.input := greatest(r.input, r.cached_input, r.cache_write_5m, r.cache_write_1h);
  r.audio_input := greatest(r.audio_input, r.input);
  r.image_input := greatest(r.image_input, r.input);
  r.output := greatest(r.output, r.reasoning, r.audio_output, r.image_output);
  return r;
end;
$$;

-- The most output tokens that an amount of credits pays for besides the rest of a call, at these rates; null where it
-- does not pay for the rest.
create function private.output_tokens_for(
  rates private.price_units, usage private.ai_usage, budget numeric
) returns bigint language plpgsql immutable set search_path = '' as $$
declare
  base numeric;
begin
  usage.completion_tokens := 0;
  base := private.sum_of(private.pools_of(usage, null), rates);
  if round(base, 6) > budget then
    return null;
  elsif coalesce(rates.output, 0) = 0 then
    return 1000000000;
  end if;
  -- A charge is rounded to six decimals: the most tokens whose charge rounds to no more than the budget.
  return least(ceil((budget + 0.0000005 - base) / rates.output) - 1, 1000000000);
end;
$$;

-- A pricing as customers see it: in credits, of the standard tier.
create function private.model_price_of(pricing jsonb) returns public.model_price
language plpgsql immutable set search_path = '' as $$
declare
  factor numeric := (pricing ->> 'credits_per_usd')::numeric * (pricing ->> 'markup')::numeric;
  components jsonb := pricing #> '{price,components}';
  is_video boolean := pricing ? 'duration';
  r private.price_units;
  price public.model_price;
begin
  price.resolution := pricing ->> 'resolution';
  if pricing ->> 'credits_per_request' is not null and not components @? '$[*].credits_per_unit' then
    price.credits_per_request := trim_scale((pricing ->> 'credits_per_request')::numeric);
    return price;
  end if;
  r := private.default_rates(private.price_rows(pricing, null, null, null, in_credits => true));
  if is_video then
    price.credits_per_job := trim_scale(round(r.request, 6));
    price.credits_per_second := trim_scale(nullif(round(r.video_second, 6), 0));
  else
    price.credits_per_request := coalesce(trim_scale(round(r.request, 6)), 0);
    price.credits_per_million_input_tokens := trim_scale(round(r.input * 1000000, 6));
    price.credits_per_million_cached_input_tokens := trim_scale(round(r.cached_input * 1000000, 6));
    price.credits_per_million_output_tokens := trim_scale(round(r.output * 1000000, 6));
    price.credits_per_image := coalesce(trim_scale(round(r.image, 6)), 0);
  end if;
  if components @? '$[*] ? (exists(@.service_tier) || exists(@.clock) || exists(@.above_input_tokens)
    || !(@.unit like_regex "^(input|cached_input|output|image|request|video_second)$"))' then
    price.components := (
      select jsonb_agg(c.value - 'usd_per_unit' || jsonb_build_object('credits_per_unit', trim_scale(coalesce(
        (c.value ->> 'credits_per_unit')::numeric, (c.value ->> 'usd_per_unit')::numeric * factor)))
        order by c.ordinality)
      from jsonb_array_elements(components) with ordinality c);
  end if;
  return price;
end;
$$;

create trigger ai_providers_set_updated_at before update on public.ai_providers
  for each row execute function private.set_updated_at();
create trigger ai_models_set_updated_at before update on public.ai_models
  for each row execute function private.set_updated_at();

alter table public.ai_providers enable row level security;
alter table public.ai_models enable row level security;
create policy "platform admins can read models" on public.ai_models
  for select to authenticated using ((select private.is_platform_admin()));
alter table public.ai_model_fallbacks enable row level security;
alter table public.ai_model_prices enable row level security;
create policy "platform admins can read what providers charge" on public.ai_model_prices
  for select to authenticated using ((select private.is_platform_admin()));
alter table public.ai_price_components enable row level security;
create policy "platform admins can read the parts of what providers charge" on public.ai_price_components
  for select to authenticated using ((select private.is_platform_admin()));

grant select on public.ai_models, public.ai_model_prices, public.ai_price_components to authenticated;
grant select, insert, update, delete
  on public.ai_providers, public.ai_models, public.ai_model_fallbacks to service_role;
-- Written by admin_set_model_price alone, which changes no price in force.
grant select on public.ai_model_prices, public.ai_price_components to service_role;
