-- What clients see of models, and what they cost. Videos have choices of their own: which provider's API they are asked
-- by, what may be asked.

create table public.video_models (
  model text primary key references public.ai_models on delete cascade,
  durations integer[] not null constraint durations_are_seconds check (
    cardinality(durations) between 1 and 100 and array_position(durations, null) is null
    and 1 <= all (durations) and 3600 >= all (durations)),
  resolutions text[] not null default '{}' constraint at_most_100_resolutions_of_40_characters check (
    cardinality(resolutions) <= 100 and array_position(resolutions, null) is null
    and length(array_to_string(resolutions, '')) <= 4000),
  aspect_ratios text[] not null default '{}' constraint at_most_100_aspect_ratios_of_40_characters check (
    cardinality(aspect_ratios) <= 100 and array_position(aspect_ratios, null) is null
    and length(array_to_string(aspect_ratios, '')) <= 4000),
  takes_image boolean not null default false,
  needs_image boolean not null default false,
  max_prompt_characters integer not null default 2000 constraint max_prompt_characters_is_at_most_20000
    check (max_prompt_characters between 1 and 20000),
  time_limit_seconds integer not null default 1800 constraint time_limit_is_between_a_minute_and_a_day
    check (time_limit_seconds between 60 and 86400),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint who_needs_an_image_takes_one check (takes_image or not needs_image)
);
comment on table public.video_models is
  'What may be asked of a model that makes videos. On offer as long as its model is.';
comment on column public.video_models.durations is 'Seconds that a video may have; the first is the default.';
comment on column public.video_models.resolutions is
  'Resolutions it may have; the first is the default. Empty: the model takes none.';
comment on column public.video_models.aspect_ratios is
  'Aspect ratios it may have; the first is the default. Empty: the model takes none.';
comment on column public.video_models.takes_image is 'Whether a picture to begin with may be given.';
comment on column public.video_models.needs_image is 'Whether there must be one.';
comment on column public.video_models.time_limit_seconds is
  'A job that is not finished by then is given up and refunded.';
create trigger video_models_set_updated_at before update on public.video_models
  for each row execute function private.set_updated_at();

-- Whether videos can be asked of a model: its row, a price and a provider that makes them are there.
create function private.is_video_model(wanted public.ai_models, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (
    select from public.video_models v join public.ai_providers p on p.provider = wanted.provider
    where v.model = wanted.model and p.video_api is not null
  ) and exists (
    select from public.ai_model_prices p join public.ai_price_components c on c.price_id = p.id
    where p.model = wanted.model and p.effective_from <= at and (p.effective_to is null or p.effective_to > at)
      and c.unit in ('request', 'video_second')
  );
end;
$$;

-- What clients see of models ------------------------------------------------------------------------------------------

-- The models that can be called, with their prices in credits: all that a client sees of them.
create function private.models_on_offer(at timestamptz) returns table (
  model text, display_name text, scene public.ai_usage_scene, minimum_plan text, max_output_tokens integer,
  created_at timestamptz, price public.model_price, resolution_prices public.model_price[]
)
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  with offers as (
    select m as wanted, private.pricing_of(m, at) as pricing, array(
        select private.model_price_of(p.pricing) from unnest(v.resolutions) with ordinality r (name, position)
        cross join lateral private.pricing_of(m, at, jsonb_build_object('resolution', r.name)) p (pricing)
        where p.pricing is not null order by r.position
      ) as resolution_prices,
      private.pricing_of(m, at, jsonb_build_object('resolution', v.resolutions[1])) as video_pricing,
      private.is_video_model(m, at) as is_video
    from public.ai_models m left join public.video_models v on v.model = m.model
    where m.is_active
  )
  select (o.wanted).model, (o.wanted).display_name, (o.wanted).scene, (o.wanted).minimum_plan,
    (o.wanted).max_output_tokens,
    (o.wanted).created_at, private.model_price_of(case when o.is_video then o.video_pricing else o.pricing end),
    case when o.is_video then o.resolution_prices else '{}' end
  from offers o where o.is_video or o.pricing is not null;
end;
$$;
grant execute on function private.models_on_offer(timestamptz) to anon, authenticated, service_role;

create view public.models with (security_invoker = true) as
  select o.* from private.models_on_offer(clock_timestamp()) o;
comment on view public.models is 'The models that can be called, with their prices in credits.';
comment on column public.models.scene is 'What it is for; a call''s scene unless the caller names one.';
comment on column public.models.minimum_plan is 'The lowest plan, by rank, that may call it.';
comment on column public.models.price is 'What it costs; of a video that of its first resolution.';
comment on column public.models.resolution_prices is
  'What a video costs in each resolution that its model has; empty for other models.';
grant select on public.models to anon, authenticated, service_role;
create trigger models_refuse_write instead of insert or update or delete on public.models
  for each row execute function private.refuse_write();

create function public.list_ai_models(
  user_id uuid default null, api_key_hash text default null, at timestamptz default clock_timestamp(),
  workspace_id uuid default null
) returns setof public.models language plpgsql security definer set search_path = '' as $$
declare
  caller private.ai_caller := private.ai_caller_of(list_ai_models.user_id, api_key_hash, at,
    list_ai_models.workspace_id);
begin
  return query
  select o.* from private.models_on_offer(at) o join public.ai_models m on m.model = o.model
  where private.may_use_model(caller, m)
  order by o.model;
end;
$$;
comment on function public.list_ai_models is 'The models that a signed-in user or the holder of an API key may call.';
grant execute on function public.list_ai_models to service_role, basemeter_functions;

alter table public.video_models enable row level security;
create policy "everyone can read what may be asked of models on offer" on public.video_models
  for select to anon, authenticated
  using (model in (select m.model from public.models m));

grant select on public.video_models to anon, authenticated;
grant select, insert, update, delete on public.video_models to service_role;
