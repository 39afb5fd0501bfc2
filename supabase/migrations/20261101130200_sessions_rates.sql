-- What sessions cost: rates, and the one function that computes a charge from a rate and a usage.

insert into public.credit_rates (unit, credits, rounding, charges_unfinished, effective_from)
values ('minute', 0.5, 'started_minute', true, '2000-01-01');

-- The rows of the rate that a session of a workspace and mode starting at a time is charged by: of the most specific
-- scope that has one, the newest that has begun. An empty list: it costs nothing.
create function private.session_rate_of(wanted_workspace uuid, wanted_mode text, at timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    with in_force as (
      select r.workspace_id, r.mode, r.effective_from from public.credit_rates r
      where (r.workspace_id = wanted_workspace or r.workspace_id is null) and (r.mode = wanted_mode or r.mode is null)
        and r.effective_from <= at
      order by r.workspace_id is null, r.mode is null, r.effective_from desc limit 1
    )
    select coalesce(jsonb_agg(jsonb_build_object('unit', r.unit, 'credits', trim_scale(r.credits),
      'minimum', trim_scale(r.minimum), 'rounding', r.rounding, 'charges_unfinished', r.charges_unfinished)
      order by r.unit), '[]')
    from in_force f join public.credit_rates r
      on (r.workspace_id, r.mode, r.effective_from) is not distinct from (f.workspace_id, f.mode, f.effective_from)
  );
end;
$$;

-- What a usage costs by a rate: running charge, hold, end and correction are all computed here.
create function private.session_charge(rate jsonb, usage public.session_usage, is_unfinished boolean default false)
returns numeric language plpgsql immutable set search_path = '' as $$
begin
  return (
    select coalesce(trim_scale(round(sum(greatest(c.quantity * c.credits, c.minimum)), 6)), 0)
    from (
      select (r ->> 'credits')::numeric as credits, (r ->> 'minimum')::numeric as minimum, case r ->> 'unit'
        when 'minute' then case r ->> 'rounding' when 'started_minute' then ceil(usage.duration_seconds / 60)
          else usage.duration_seconds / 60 end
        when 'analysis' then usage.analysis_count
        when 'thousand_tokens' then (usage.total_prompt_tokens + usage.total_completion_tokens) / 1000::numeric
        when 'audio_second' then usage.audio_seconds
        when 'character' then usage.characters
        when 'request' then usage.request_count
        else 1 end as quantity
      from jsonb_array_elements(rate) r
      where not is_unfinished or (r -> 'charges_unfinished')::boolean
    ) c where c.quantity > 0
  );
end;
$$;

-- A session without any usage: every count is 0.
create function private.no_session_usage() returns public.session_usage language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_populate_record(null::public.session_usage, '{"duration_seconds": 0, "tail_seconds": 0,
    "audio_seconds": 0, "characters": 0, "analysis_count": 0, "request_count": 0, "total_prompt_tokens": 0,
    "total_completion_tokens": 0, "estimated_cost_usd": 0}');
end;
$$;

create function public.set_credit_rate(
  rate jsonb, workspace_id uuid default null, mode text default null, effective_from timestamptz default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  begins timestamptz := coalesce(set_credit_rate.effective_from, at);
  problem text;
begin
  perform private.require_valid(at);
  problem := case
    when jsonb_typeof(rate) is distinct from 'array' or jsonb_array_length(rate) not between 1 and 7
      or exists (select from jsonb_array_elements(rate) r where jsonb_typeof(r) <> 'object')
      then 'rate must be a list of 1 to 7 rows: { unit, credits, minimum, rounding, charges_unfinished }.'
    when exists (select from jsonb_array_elements(rate) r, jsonb_object_keys(r) k
      where k not in ('unit', 'credits', 'minimum', 'rounding', 'charges_unfinished'))
      or exists (select from jsonb_array_elements(rate) r where (
        r ->> 'unit' = any (enum_range(null::public.credit_rate_unit)::text[])
        and coalesce(r ->> 'rounding', 'second') = any (enum_range(null::public.credit_rate_rounding)::text[])
        and jsonb_typeof(r -> 'credits') = 'number' and jsonb_typeof(coalesce(r -> 'minimum', '0')) = 'number'
        and jsonb_typeof(coalesce(r -> 'charges_unfinished', 'false')) = 'boolean') is not true)
      then 'A row of a rate is { unit, credits, minimum, rounding, charges_unfinished }; only unit and credits must be '
        'given.'
    when exists (select from jsonb_array_elements(rate) r, lateral (values (r ->> 'credits'), (r ->> 'minimum')) v (n)
      where (n::numeric between 0 and 1000000 and n::numeric = round(n::numeric, 6)) is false)
      then 'credits and minimum must be 0 to 1000000 with at most six decimals.'
    when (select count(distinct r ->> 'unit') from jsonb_array_elements(rate) r) < jsonb_array_length(rate)
      then 'A unit stands once in a rate.'
    when length(set_credit_rate.mode) not between 1 and 63 then 'mode must have 1 to 63 characters.'
    when (begins >= at and begins < 'infinity') is not true
      then 'effective_from must not be in the past: a rate in force stays as it is.'
  end;
  if problem is not null then
    perform private.raise_error('invalid_request', problem);
  elsif set_credit_rate.workspace_id is not null then
    perform private.lock_wallet(set_credit_rate.workspace_id, at);
  end if;
  -- One that has not begun may be replaced.
  delete from public.credit_rates r
  where (r.workspace_id, r.mode, r.effective_from)
    is not distinct from (set_credit_rate.workspace_id, set_credit_rate.mode, begins) and begins > at;
  insert into public.credit_rates (workspace_id, mode, unit, credits, minimum, rounding, charges_unfinished,
    effective_from)
  select set_credit_rate.workspace_id, set_credit_rate.mode, (r ->> 'unit')::public.credit_rate_unit,
    (r ->> 'credits')::numeric, coalesce((r ->> 'minimum')::numeric, 0),
    coalesce(r ->> 'rounding', 'second')::public.credit_rate_rounding,
    coalesce((r -> 'charges_unfinished')::boolean, false), begins
  from jsonb_array_elements(rate) r;
  return jsonb_build_object('effective_from', begins,
    'rate', private.session_rate_of(set_credit_rate.workspace_id, set_credit_rate.mode, begins));
exception when unique_violation then
  perform private.raise_error('invalid_state', 'There is a rate from this time on already.');
  return null;
end;
$$;
comment on function public.set_credit_rate is
  'Sets what sessions cost that start from effective_from (default: now) on: the whole rate of a workspace and mode '
  '(null: of all). rate: [{ unit: minute, analysis, thousand_tokens, fixed, audio_second, character or request, '
  'credits, minimum, rounding: second or started_minute, charges_unfinished }]. What has started keeps its own.';
grant execute on function public.set_credit_rate to service_role;
