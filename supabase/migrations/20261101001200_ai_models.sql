-- AI models and what they cost.

create type public.ai_usage_scene as enum (
  'text_chat', 'embedding', 'image_generation', 'video_generation', 'session_analysis', 'other'
);
comment on type public.ai_usage_scene is 'What an AI call was for.';

create table public.ai_models (
  model text primary key constraint model_name_is_short check (length(model) between 1 and 200),
  display_name text not null,
  scene public.ai_usage_scene not null default 'text_chat',
  upstream_model text not null,
  max_output_tokens integer not null constraint max_output_tokens_positive check (max_output_tokens > 0),
  credits_per_request public.credit_amount constraint credits_per_request_not_negative check (credits_per_request >= 0),
  markup numeric constraint markup_not_negative check (markup >= 0 and markup < 'infinity'),
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.ai_models is 'Models that callers may name.';
comment on column public.ai_models.scene is 'A call''s scene unless the caller names one.';
comment on column public.ai_models.upstream_model is 'The name the provider knows it by.';
comment on column public.ai_models.max_output_tokens is 'The most it writes in one answer; what a call without a limit is held for.';
comment on column public.ai_models.credits_per_request is 'A fixed price in credits; without it a call is charged by its cost.';
comment on column public.ai_models.markup is 'Factor on its cost; system_config.default_markup where null.';

create table public.ai_model_prices (
  id uuid primary key default gen_random_uuid(),
  model text not null references public.ai_models on delete cascade,
  effective_from timestamptz not null default now(),
  input_usd_per_million numeric not null default 0,
  cached_input_usd_per_million numeric,
  output_usd_per_million numeric not null default 0,
  usd_per_request numeric not null default 0,
  created_at timestamptz not null default now(),
  constraint one_price_at_a_time unique (model, effective_from),
  constraint prices_are_amounts check (
    input_usd_per_million >= 0 and input_usd_per_million < 'infinity'
    and coalesce(cached_input_usd_per_million, 0) >= 0 and coalesce(cached_input_usd_per_million, 0) < 'infinity'
    and output_usd_per_million >= 0 and output_usd_per_million < 'infinity'
    and usd_per_request >= 0 and usd_per_request < 'infinity'
  )
);
comment on table public.ai_model_prices is 'What a provider charges, from a time on. A call costs what was in force when it began.';
comment on column public.ai_model_prices.effective_from is 'In force from here until the next row of the model.';
comment on column public.ai_model_prices.input_usd_per_million is 'US dollars for a million input tokens that were not cached.';
comment on column public.ai_model_prices.cached_input_usd_per_million is 'US dollars for a million cached input tokens; as uncached where null.';
comment on column public.ai_model_prices.output_usd_per_million is 'US dollars for a million output tokens, reasoning included.';
comment on column public.ai_model_prices.usd_per_request is 'US dollars for each request, besides tokens.';

create function private.price_in_force(wanted_model text, at timestamptz) returns public.ai_model_prices
language sql stable set search_path = ''
as $$
  select p.* from public.ai_model_prices p
  where p.model = wanted_model and p.effective_from <= at
  order by p.effective_from desc limit 1
$$;
comment on function private.price_in_force(text, timestamptz) is 'The price row of a model at a time; null where it has none yet.';

create function private.cost_usd(
  price public.ai_model_prices, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint
) returns numeric
language sql immutable set search_path = ''
as $$
  -- Pools exclude each other: a cached token is not charged as input too.
  select price.usd_per_request + (
    (prompt_tokens - least(cached_tokens, prompt_tokens)) * price.input_usd_per_million
    + least(cached_tokens, prompt_tokens) * coalesce(price.cached_input_usd_per_million, price.input_usd_per_million)
    + completion_tokens * price.output_usd_per_million
  ) / 1000000
$$;
comment on function private.cost_usd(public.ai_model_prices, bigint, bigint, bigint) is
  'What a provider charges for a call, in US dollars; prompt_tokens include the cached ones.';

create function private.pricing_of(wanted public.ai_models, at timestamptz) returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'price', to_jsonb(p),
    'credits_per_request', wanted.credits_per_request,
    'credits_per_usd', private.config_numeric('credits_per_usd', 100)
      * coalesce(wanted.markup, private.config_numeric('default_markup', 1))
  )
  from private.price_in_force(wanted.model, at) p
  where p.id is not null
$$;
comment on function private.pricing_of(public.ai_models, timestamptz) is
  'All that a call''s charge is computed from, as it is when the call begins; null for a model without a price.';

create function private.charge_of(
  pricing jsonb, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint,
  out cost_usd numeric, out credits numeric
)
language plpgsql immutable set search_path = ''
as $$
begin
  cost_usd := trim_scale(private.cost_usd(jsonb_populate_record(null::public.ai_model_prices, pricing -> 'price'),
    prompt_tokens, cached_tokens, completion_tokens));
  credits := coalesce((pricing ->> 'credits_per_request')::numeric,
    round(cost_usd * (pricing ->> 'credits_per_usd')::numeric, 6));
end;
$$;
comment on function private.charge_of(jsonb, bigint, bigint, bigint) is
  'What a call costs (US dollars) and is charged (credits, to six decimals): the model''s fixed price, else cost x credits_per_usd x markup.';

create trigger ai_models_set_updated_at before update on public.ai_models
  for each row execute function private.set_updated_at();

alter table public.ai_models enable row level security;
create policy "everyone can read the models on offer" on public.ai_models
  for select to anon, authenticated using (is_active);
alter table public.ai_model_prices enable row level security;
create policy "everyone can read the prices of models on offer" on public.ai_model_prices
  for select to anon, authenticated
  using (exists (select from public.ai_models m where m.model = ai_model_prices.model and m.is_active));

grant select on public.ai_models, public.ai_model_prices to anon, authenticated;
grant select, insert, update, delete on public.ai_models, public.ai_model_prices to service_role;
