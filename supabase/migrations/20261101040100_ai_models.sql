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
  -- Until there are prices for what they ask for, no row may let them through.
  constraint extra_fields_change_no_price
    check (not extra_fields && array['service_tier', 'web_search_options', 'plugins',
    'models', 'modalities', 'audio', 'prediction', 'provider', 'route', 'preset', 'search_parameters', 'enable_search',
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
  'Only names that change no price.';
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

create table public.ai_model_prices (
  id uuid primary key default gen_random_uuid(),
  model text not null references public.ai_models on delete cascade,
  effective_from timestamptz not null default now(),
  input_usd_per_million numeric not null default 0,
  cached_input_usd_per_million numeric,
  output_usd_per_million numeric not null default 0,
  usd_per_request numeric not null default 0,
  usd_per_image numeric not null default 0,
  created_at timestamptz not null default now(),
  constraint one_price_at_a_time unique (model, effective_from),
  constraint prices_are_amounts check (
    input_usd_per_million >= 0 and input_usd_per_million < 'infinity'
    and coalesce(cached_input_usd_per_million, 0) >= 0 and coalesce(cached_input_usd_per_million, 0) < 'infinity'
    and output_usd_per_million >= 0 and output_usd_per_million < 'infinity'
    and usd_per_request >= 0 and usd_per_request < 'infinity'
    and usd_per_image >= 0 and usd_per_image < 'infinity'
  )
);
comment on table public.ai_model_prices is
  'What a provider charges, from a time on. A call costs what was in force when it began.';
comment on column public.ai_model_prices.effective_from is 'In force from here until the next row of the model.';
comment on column public.ai_model_prices.input_usd_per_million is
  'US dollars for a million input tokens that were not cached.';
comment on column public.ai_model_prices.cached_input_usd_per_million is
  'US dollars for a million cached input tokens; as uncached where null.';
comment on column public.ai_model_prices.output_usd_per_million is
  'US dollars for a million output tokens, reasoning included.';
comment on column public.ai_model_prices.usd_per_request is 'US dollars for each request, besides tokens.';
comment on column public.ai_model_prices.usd_per_image is 'US dollars for each image that was made, besides tokens.';

create type public.model_price as (
  resolution text, credits_per_request numeric, credits_per_million_input_tokens numeric,
  credits_per_million_cached_input_tokens numeric, credits_per_million_output_tokens numeric, credits_per_image numeric,
  credits_per_job numeric, credits_per_second numeric
);
comment on type public.model_price is
  'What a model costs, in credits. A null is no part of it; credits_per_job and credits_per_second are a video''s, '
  'of its resolution.';

create type private.ai_usage as (prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint, images bigint);
comment on type private.ai_usage is
  'What a call used. prompt_tokens include the cached ones, completion_tokens the reasoning.';

-- All that a charge is computed from, with this row of prices; null without one.
create function private.pricing_with(wanted public.ai_models, price jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return case when price is not null then jsonb_build_object(
    'price', price - 'created_at',
    'credits_per_request', wanted.credits_per_request,
    'credits_per_usd', private.config_numeric('credits_per_usd', 100),
    'markup', coalesce(wanted.markup, private.config_numeric('default_markup', 1))
  ) end;
end;
$$;

-- What a call's charge is computed from, as it is when the call begins; null for a model without a price.
create function private.pricing_of(wanted public.ai_models, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return private.pricing_with(wanted, (
    select to_jsonb(p) from public.ai_model_prices p
    where p.model = wanted.model and p.effective_from <= at order by p.effective_from desc limit 1));
end;
$$;

-- What a provider's price or charge in US dollars becomes, in credits.
create function private.credits_for(pricing jsonb, usd numeric) returns numeric
language plpgsql immutable set search_path = ''
as $$
begin
  return trim_scale(round(usd * (pricing ->> 'credits_per_usd')::numeric * (pricing ->> 'markup')::numeric, 6));
end;
$$;

-- A pricing as customers see it: in credits.
create function private.model_price_of(pricing jsonb) returns public.model_price
language plpgsql immutable set search_path = ''
as $$
declare
  usd jsonb := pricing -> 'price';
  price public.model_price;
begin
  price.resolution := pricing ->> 'resolution';
  price.credits_per_job := trim_scale((usd ->> 'credits_per_job')::numeric);
  price.credits_per_second := trim_scale((usd ->> 'credits_per_second')::numeric);
  if price.credits_per_job is null and price.credits_per_second is null then
    price.credits_per_request := trim_scale((pricing ->> 'credits_per_request')::numeric);
    if price.credits_per_request is null then
      price.credits_per_request := private.credits_for(pricing, (usd ->> 'usd_per_request')::numeric);
      price.credits_per_million_input_tokens := private.credits_for(pricing,
        (usd ->> 'input_usd_per_million')::numeric);
      price.credits_per_million_cached_input_tokens := private.credits_for(pricing,
        coalesce(usd ->> 'cached_input_usd_per_million', usd ->> 'input_usd_per_million')::numeric);
      price.credits_per_million_output_tokens := private.credits_for(pricing,
        (usd ->> 'output_usd_per_million')::numeric);
      price.credits_per_image := private.credits_for(pricing, (usd ->> 'usd_per_image')::numeric);
      price.credits_per_job := private.credits_for(pricing, (usd ->> 'usd_per_job')::numeric);
      price.credits_per_second := private.credits_for(pricing, (usd ->> 'usd_per_second')::numeric);
    end if;
  end if;
  return price;
end;
$$;

-- What customers see as the cost of a call, in US dollars: the provider's cost x markup, or its fixed price.
create function private.worth_of(pricing jsonb, cost_usd numeric, credits numeric) returns numeric
language plpgsql immutable set search_path = ''
as $$
begin
  -- Of a fixed price its credits, for cost x markup would tell the cost.
  return trim_scale(case when credits = private.credits_for(pricing, cost_usd)
    then cost_usd * (pricing ->> 'markup')::numeric else credits / (pricing ->> 'credits_per_usd')::numeric end);
end;
$$;

-- What a call or a video costs (US dollars), is charged (credits, to six decimals: those of a video's price row,
-- else the model's fixed price, else cost x credits_per_usd x markup) and is worth to its caller (US dollars).
create function private.charge_of(
  pricing jsonb, usage private.ai_usage, out cost_usd numeric, out credits numeric, out worth_usd numeric
)
language plpgsql immutable set search_path = ''
as $$
declare
  price jsonb := pricing -> 'price';
  tokens public.ai_model_prices;
  cached bigint;
  seconds numeric;
begin
  if pricing ? 'duration' then
    seconds := (pricing ->> 'duration')::numeric;
    cost_usd := (price ->> 'usd_per_job')::numeric + seconds * (price ->> 'usd_per_second')::numeric;
    if coalesce(price ->> 'credits_per_job', price ->> 'credits_per_second') is not null then
      credits := coalesce((price ->> 'credits_per_job')::numeric, 0)
        + seconds * coalesce((price ->> 'credits_per_second')::numeric, 0);
    end if;
  else
    tokens := jsonb_populate_record(null::public.ai_model_prices, price);
    cached := least(usage.cached_tokens, usage.prompt_tokens);
    -- Pools exclude each other: a cached token is not charged as input too.
    cost_usd := tokens.usd_per_request + usage.images * tokens.usd_per_image + (
      (usage.prompt_tokens - cached) * tokens.input_usd_per_million
      + cached * coalesce(tokens.cached_input_usd_per_million, tokens.input_usd_per_million)
      + usage.completion_tokens * tokens.output_usd_per_million
    ) / 1000000;
  end if;
  cost_usd := trim_scale(cost_usd);
  credits := trim_scale(coalesce(credits, (pricing ->> 'credits_per_request')::numeric,
    private.credits_for(pricing, cost_usd)));
  worth_usd := private.worth_of(pricing, cost_usd, credits);
end;
$$;

-- The most output tokens that an amount of credits pays for besides the rest of a call; null where it does not pay
-- for the rest.
create function private.output_tokens_for(pricing jsonb, usage private.ai_usage, budget numeric) returns bigint
language plpgsql immutable set search_path = ''
as $$
declare
  credits_per_usd numeric := (pricing ->> 'credits_per_usd')::numeric * (pricing ->> 'markup')::numeric;
  per_token numeric := (pricing #>> '{price,output_usd_per_million}')::numeric * credits_per_usd / 1000000;
  base record;
begin
  usage.completion_tokens := 0;
  select c.cost_usd, c.credits into base from private.charge_of(pricing, usage) c;
  if base.credits > budget then
    return null;
  elsif pricing ->> 'credits_per_request' is not null or per_token = 0 then
    return 1000000000;
  end if;
  -- A charge is rounded to six decimals: the most tokens whose charge rounds to no more than the budget.
  return least(ceil((budget + 0.0000005 - base.cost_usd * credits_per_usd) / per_token) - 1, 1000000000);
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

grant select on public.ai_models, public.ai_model_prices to authenticated;
grant select, insert, update, delete
  on public.ai_providers, public.ai_models, public.ai_model_fallbacks, public.ai_model_prices to service_role;
