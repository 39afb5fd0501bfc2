-- Errors and shared helpers.
-- An error is a stable snake_case code (MESSAGE), one sentence with the numbers (DETAIL) and what to do (HINT).
-- SQLSTATE PTnnn makes PostgREST answer with HTTP status nnn.

-- The HTTP status of an error code; null for an unknown code.
create function private.error_status(error_code text) returns integer language sql immutable set search_path = '' as $$
  select case error_code
    when 'invalid_request' then 400
    when 'content_policy_violation' then 400
    when 'not_authenticated' then 401
    when 'invalid_api_key' then 401
    when 'session_revoked' then 401
    when 'insufficient_credits' then 402
    when 'forbidden' then 403
    when 'account_disabled' then 403
    when 'model_not_allowed' then 403
    when 'feature_not_in_plan' then 403
    when 'not_found' then 404
    when 'idempotency_conflict' then 409
    when 'invalid_state' then 409
    when 'generation_running' then 409
    when 'analysis_running' then 409
    when 'credits_cap_exceeded' then 422
    when 'rate_limited' then 429
    when 'limit_reached' then 429
    when 'upstream_error' then 502
    when 'maintenance' then 503
    when 'upstream_timeout' then 504
  end
$$;

-- Raises PTnnn with the code as message. A limit's end in seconds (retry_after) makes it a 429 with that header.
create function private.raise_error(
  error_code text, detail text, hint text default '', retry_after integer default null
) returns void language plpgsql set search_path = '' as $$
declare
  status integer := private.error_status(error_code);
begin
  if status is null then
    raise exception 'unknown error code %', error_code;
  elsif retry_after is null then
    raise exception using errcode = 'PT' || status, message = error_code, detail = detail, hint = hint;
  end if;
  -- Only the PGRST form lets an error carry a header.
  raise exception using
    errcode = 'PGRST',
    message = json_build_object('code', error_code, 'message', error_code, 'details', detail, 'hint', hint)::text,
    detail = json_build_object('status', status,
      'headers', json_build_object('Retry-After', retry_after::text))::text;
end;
$$;

-- Keeps updated_at, on every table that has it.
create function private.set_updated_at() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;

-- Makes a write to a view a missing privilege (403). Else Postgres says 55000, which PostgREST answers with 500.
create function private.refuse_write() returns trigger language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = 'insufficient_privilege', message = 'This view is read only.';
end;
$$;

-- What the request's headers say of where it comes from. Headers that make no sense leave their fields empty.
create function private.request_origin(out ip_address inet, out user_agent text, out request_id text)
language plpgsql stable set search_path = '' as $$
declare
  headers jsonb;
  address text;
begin
  headers := nullif(current_setting('request.headers', true), '')::jsonb;
  user_agent := left(headers ->> 'user-agent', 500);
  request_id := left(headers ->> 'x-request-id', 200);
  address := trim(coalesce(headers ->> 'cf-connecting-ip', split_part(headers ->> 'x-forwarded-for', ',', 1)));
  -- of one, not of a network
  ip_address := case when strpos(address, '/') = 0 then nullif(address, '')::inet end;
exception when others then
  return;
end;
$$;

create type public.calendar_period as enum ('day', 'week', 'month');
comment on type public.calendar_period is 'A calendar period in UTC; a week begins on Monday.';

-- A time plus a span with days and months of UTC: plain addition takes those of the session's time zone, which a
-- client may choose.
create function private.later(at timestamptz, span interval) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  return (at at time zone 'UTC' + span) at time zone 'UTC';
end;
$$;

-- Refuses a span of time that is not above 0 (or 0, where that is allowed) or has more than so many days.
create function private.require_span(
  span interval, most interval, field text default 'expires_in', zero_allowed boolean default false
) returns void language plpgsql stable set search_path = '' as $$
declare
  least_span interval := case when zero_allowed then interval '0 s' else interval '1 microsecond' end;
begin
  -- Instants are compared too: an interval's months count 30 days each beside another interval, whatever they are.
  if (span between least_span and most
    and private.later(now(), span) between now() + least_span and private.later(now(), most)) is not true then
    perform private.raise_error('invalid_request', format('%s must be %s %s days.', field,
      case when zero_allowed then 'between 0 and' else 'above 0 and at most' end, extract(day from most)));
  end if;
end;
$$;

-- The window that a limit counts in at an instant, and what is used in it, by what was counted last and from when:
-- the one place where windows (minute, day, week, month; UTC) begin anew. They only move forward.
create function private.window_at(
  period text, counted_from timestamptz, counted numeric, at timestamptz, out started_at timestamptz,
  out ends_at timestamptz, out used numeric
) language plpgsql immutable set search_path = '' as $$
begin
  -- An instant before the window that was counted last turns nothing back. A count that began within a longer window is
  -- part of it: a limit that changes its period gives nothing.
  started_at := greatest(date_trunc(period, at, 'UTC'), date_trunc(period, counted_from, 'UTC'));
  used := case when started_at <= counted_from then counted else 0 end;
  ends_at := (started_at at time zone 'UTC' + ('1 ' || period)::interval) at time zone 'UTC';
end;
$$;
grant execute on function private.window_at to authenticated, service_role;

create table private.secrets (
  name text primary key,
  value bytea not null
);
comment on table private.secrets is 'Random keys made with the database; nothing outside reads them.';
insert into private.secrets (name, value) values ('identity_hash_key', extensions.gen_random_bytes(32));

-- Work that time brings, one small piece a transaction.

create table private.due_work (
  piece text primary key,
  place integer not null constraint places_differ unique
);
comment on table private.due_work is
  'What time makes due: functions of private that take a time, do one piece and say whether there was one. Each '
  'chapter adds its own. Lost calls have the lowest places: their credits are settled before their holds expire.';

-- Does the next piece of work that is due: 1, or 0 when there is none. Call it, with a commit between, until it
-- answers 0.
create function private.run_due_work(at timestamptz default clock_timestamp()) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  piece text;
  is_done boolean;
begin
  for piece in select w.piece from private.due_work w order by w.place loop
    begin
      execute format('select private.%I($1)', piece) into is_done using at;
      if is_done then
        return 1;
      end if;
    exception when others then
      -- What one kind of work meets is no reason to leave the others undone.
      raise warning '% failed: % (%)', piece, sqlerrm, sqlstate;
    end;
  end loop;
  return 0;
end;
$$;
