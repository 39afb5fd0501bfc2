-- The log of AI calls: one row each, partitioned by month.

create type public.ai_usage_status as enum ('success', 'failed', 'canceled', 'refused');
comment on type public.ai_usage_status is 'How an AI call ended; refused: it never reached the provider.';

create type public.ai_usage_source as enum ('reported', 'bounded', 'counted', 'estimated', 'none');
comment on type public.ai_usage_source is
  'Where a call''s token counts are from: the provider; the most the call could use, where the provider reported more; '
  'a tokenizer run over what was sent and received; a rule of thumb; nothing was used.';

create type public.ai_log_content as enum ('none', 'metadata', 'full');
comment on type public.ai_log_content is
  'What the log keeps of requests and answers: nothing, everything but what was said, or all of it (cut at 16 KiB).';

alter table public.workspaces add column ai_log_content public.ai_log_content not null default 'metadata';
comment on column public.workspaces.ai_log_content is 'What the log keeps of what is asked and answered.';
grant update (ai_log_content) on public.workspaces to authenticated, service_role;

-- Its base is in private: the columns that are the operator's are for no client, and the view in public has the others.
-- What makes a call be logged once is its hold: the key has to name created_at, so it could not.
create table private.ai_usage_logs (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  hold_id uuid,
  api_key_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  scene public.ai_usage_scene not null,
  status public.ai_usage_status not null,
  usage_source public.ai_usage_source not null default 'none',
  prompt_tokens integer not null default 0 constraint prompt_tokens_not_negative check (prompt_tokens >= 0),
  cached_tokens integer not null default 0 constraint cached_tokens_within_prompt
    check (cached_tokens between 0 and prompt_tokens),
  completion_tokens integer not null default 0 constraint completion_tokens_not_negative check (completion_tokens >= 0),
  images integer not null default 0 constraint images_not_negative check (images >= 0),
  -- Null where there is none, which takes no room.
  cache_write_5m_tokens integer,
  cache_write_1h_tokens integer,
  audio_input_tokens integer,
  image_input_tokens integer,
  reasoning_tokens integer,
  audio_output_tokens integer,
  image_output_tokens integer,
  input_seconds numeric,
  output_seconds numeric,
  characters integer,
  web_searches integer,
  tool_calls integer,
  service_tier text,
  usage_record_id bigint,
  usage_period_start timestamptz,
  total_tokens integer not null generated always as (prompt_tokens + completion_tokens) stored,
  requests integer not null default 1 constraint requests_positive check (requests > 0),
  duration integer constraint duration_not_negative check (duration >= 0),
  estimated_cost numeric not null default 0,
  credits_charged public.credit_amount not null default 0,
  free_credits public.credit_amount not null default 0,
  paid_credits public.credit_amount not null generated always as (credits_charged - free_credits) stored,
  model text not null,
  scene_description text,
  reference_id text,
  request_id text,
  error_code text,
  error_message text,
  ip_address inet,
  user_agent text,
  request_data jsonb,
  response_data jsonb,
  served_model text,
  cost_usd numeric not null default 0,
  charged_usd numeric not null default 0,
  pricing jsonb,
  attempts jsonb,
  conversation_id uuid,
  message_id uuid,
  primary key (id, created_at)
) partition by range (created_at);
comment on table private.ai_usage_logs is 'The log, with what of a call is the operator''s to know.';
comment on column private.ai_usage_logs.served_model is 'The model that answered: the one named, or a fallback.';
comment on column private.ai_usage_logs.cost_usd is 'The provider''s charge in US dollars by our price list.';
comment on column private.ai_usage_logs.charged_usd is
  'The credits that were charged, in US dollars at the rate of that time.';
comment on column private.ai_usage_logs.pricing is
  'What the charge was computed from: prices, fixed price, rate, markup.';
comment on column private.ai_usage_logs.attempts is
  'What was tried to get an answer, in order, for the service role alone: [{ model, provider, status or error, said, '
  'duration }].';
create index ai_usage_logs_workspace_id_created_at_idx on private.ai_usage_logs (workspace_id, created_at);
create index ai_usage_logs_user_id_created_at_idx on private.ai_usage_logs (user_id, created_at);
create index ai_usage_logs_request_id_idx on private.ai_usage_logs (request_id);
create index ai_usage_logs_usage_record_id_idx on private.ai_usage_logs (usage_record_id)
  where usage_record_id is not null;
create index ai_usage_logs_conversation_id_idx on private.ai_usage_logs (conversation_id, message_id)
  where conversation_id is not null;
-- The last: of two that are taken to cost the same the planner tries the newer one first.
create index ai_usage_logs_reference_id_idx on private.ai_usage_logs (workspace_id, reference_id, created_at)
  where reference_id is not null;

create table private.ai_usage_logs_default partition of private.ai_usage_logs default;

-- The planner takes what policy and query ask of the workspace for two conditions that each let a part through. By the
-- real part it expects next to nothing of the newest 50 and sorts a workspace's whole life; by its usual one, of 1 in
-- 200, it walks the index (bench/RESULTS.md, rls). For the partitions too, which do not inherit it.
alter table private.ai_usage_logs alter column workspace_id set statistics 0;

-- Makes the partition of a month (UTC) and moves its rows out of the default one; false where it exists.
create function private.make_usage_log_partition(month date) returns boolean
language plpgsql set search_path = '' set lock_timeout = '2s' as $$
declare
  partition_name text := 'ai_usage_logs_' || to_char(month, 'YYYY_MM');
  next_month date := (month + interval '1 month')::date;
begin
  if to_regclass('private.' || partition_name) is not null then
    return false;
  end if;
  execute format('create table private.%I (like private.ai_usage_logs including defaults including constraints '
    'including generated)',
    partition_name);
  execute format('alter table private.%I alter column workspace_id set statistics 0', partition_name);
  -- Rows that came before their month had a partition wait in the default one; generated columns make themselves.
  execute format(
    'with moved as (delete from private.ai_usage_logs_default where created_at >= %1$L and created_at < %2$L returning '
    '*)
     insert into private.%3$I (%4$s) select %4$s from moved',
    month::timestamp at time zone 'UTC', next_month::timestamp at time zone 'UTC', partition_name,
    (select string_agg(quote_ident(a.attname), ', ') from pg_catalog.pg_attribute a
     where a.attrelid = 'private.ai_usage_logs'::regclass and a.attnum > 0 and not a.attisdropped
       and a.attgenerated = ''));
  execute format('alter table private.ai_usage_logs attach partition private.%I for values from (%L) to (%L)',
    partition_name, month::timestamp at time zone 'UTC', next_month::timestamp at time zone 'UTC');
  return true;
end;
$$;

-- Makes one partition that is missing for this month or those kept ready; false where none is.
create function private.make_next_usage_log_partition(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  month date;
begin
  for month in
    select (date_trunc('month', at at time zone 'UTC') + make_interval(months => ahead))::date
    from generate_series(0, private.config_numeric('usage_log_partitions_ahead', 3)::integer) ahead
  loop
    if private.make_usage_log_partition(month) then
      return true;
    end if;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('make_next_usage_log_partition', 70);

do $$
begin
  while private.make_next_usage_log_partition(clock_timestamp()) loop
  end loop;
end;
$$;

-- When a person is deleted, a team keeps the figures of the call and loses what was said, also by a provider, and
-- from where.
create function private.forget_log_person() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  new.request_data := null;
  new.response_data := null;
  new.ip_address := null;
  new.user_agent := null;
  new.attempts := (select jsonb_agg(a.attempt - 'said') from jsonb_array_elements(new.attempts) a (attempt));
  return new;
end;
$$;
create trigger ai_usage_logs_forget_person before update of user_id on private.ai_usage_logs
  for each row when (old.user_id is not null and new.user_id is null)
  execute function private.forget_log_person();

alter table private.ai_usage_logs enable row level security;
-- The first condition is what the index serves. The last one asks for a workspace among the managed ones, in words that
-- the planner takes to let nearly all through.
create policy "members can read their own calls, owners and admins all of their workspace" on private.ai_usage_logs
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id
      or nullif(workspace_id = any (array(select private.my_managed_workspace_ids())), false) is not null));

create view public.ai_usage_logs with (security_invoker = true) as
select id, workspace_id, user_id, hold_id, api_key_id, created_at, scene, status, usage_source, prompt_tokens,
  cached_tokens, completion_tokens, images, cache_write_5m_tokens, cache_write_1h_tokens, audio_input_tokens,
  image_input_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens, input_seconds, output_seconds,
  characters, web_searches, tool_calls, service_tier, usage_record_id, usage_period_start, total_tokens, requests,
  duration,
  estimated_cost, credits_charged, free_credits, paid_credits, model, scene_description, reference_id, request_id,
  error_code, error_message, ip_address, user_agent, request_data, response_data, conversation_id, message_id
from private.ai_usage_logs;
comment on view public.ai_usage_logs is
  'Every AI call: what was asked, how it ended, what it cost and what was charged.';
comment on column public.ai_usage_logs.hold_id is 'The hold it ran under. No foreign key: a refused call had none.';
comment on column public.ai_usage_logs.api_key_id is
  'The API key it was made with. No foreign key: figures outlive keys.';
comment on column public.ai_usage_logs.created_at is 'When the call ended or was refused.';
comment on column public.ai_usage_logs.prompt_tokens is 'Input tokens, the cached ones included.';
comment on column public.ai_usage_logs.completion_tokens is 'Output tokens, reasoning included.';
comment on column public.ai_usage_logs.cache_write_5m_tokens is
  'Input tokens that were written to the provider''s cache for a short time. Like the cached ones and those of the '
  'next columns they are part of prompt_tokens and exclude each other.';
comment on column public.ai_usage_logs.cache_write_1h_tokens is 'Those that were written for a long time.';
comment on column public.ai_usage_logs.audio_input_tokens is 'Those that are sound.';
comment on column public.ai_usage_logs.image_input_tokens is 'Those that are pictures.';
comment on column public.ai_usage_logs.reasoning_tokens is
  'Output tokens that are thoughts. Like those of the next columns they are part of completion_tokens.';
comment on column public.ai_usage_logs.audio_output_tokens is 'Those that are sound.';
comment on column public.ai_usage_logs.image_output_tokens is 'Those that are pictures.';
comment on column public.ai_usage_logs.input_seconds is
  'Seconds of sound that were sent, where the provider counts them.';
comment on column public.ai_usage_logs.output_seconds is 'Seconds of sound that were made.';
comment on column public.ai_usage_logs.characters is 'Characters that were read out.';
comment on column public.ai_usage_logs.web_searches is 'Searches that the provider made.';
comment on column public.ai_usage_logs.tool_calls is 'Calls of the provider''s own tools.';
comment on column public.ai_usage_logs.service_tier is 'The service tier of the answer; null: standard.';
comment on column public.ai_usage_logs.requests is
  'Calls that this row stands for: 1, but for calls refused for their rate or account (rate_limited, maintenance, '
  'account_disabled), of which a person''s first in a minute is logged and the others are counted here.';
comment on column public.ai_usage_logs.images is 'Images that were made.';
comment on column public.ai_usage_logs.usage_record_id is
  'The id of its api_call in usage_records; that of its tokens is the next. Null: it counts to no feature.';
comment on column public.ai_usage_logs.usage_period_start is 'The period of its features that it counts to.';
comment on column public.ai_usage_logs.model is 'The model the caller named.';
comment on column public.ai_usage_logs.duration is 'Milliseconds from the call''s admission to its end.';
comment on column public.ai_usage_logs.estimated_cost is
  'What the call is worth to its caller, in US dollars: the provider''s cost x markup, or the model''s fixed price.';
comment on column public.ai_usage_logs.credits_charged is 'What the wallet paid.';
comment on column public.ai_usage_logs.free_credits is 'Of it what came from grants that were given.';
comment on column public.ai_usage_logs.paid_credits is
  'Of it what came from grants that were bought, and what no grant covered: the credits that come next pay debt.';
comment on column public.ai_usage_logs.scene_description is
  'The caller''s words for the scene (header x-ai-scene-description).';
comment on column public.ai_usage_logs.reference_id is
  'The caller''s own id for what the call belongs to (header x-ai-reference).';
comment on column public.ai_usage_logs.request_id is 'The id that the answer carried as x-request-id.';
comment on column public.ai_usage_logs.conversation_id is
  'The conversation it was made for. No foreign key: null once that is deleted, as message_id is.';
comment on column public.ai_usage_logs.message_id is 'The answer that it wrote.';
grant select (
  id, workspace_id, user_id, hold_id, api_key_id, created_at, scene, status, usage_source, prompt_tokens,
  cached_tokens, completion_tokens, images, cache_write_5m_tokens, cache_write_1h_tokens, audio_input_tokens,
  image_input_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens, input_seconds, output_seconds,
  characters, web_searches, tool_calls, service_tier, usage_record_id, usage_period_start, total_tokens, requests,
  duration,
  estimated_cost, credits_charged, free_credits, paid_credits, model, scene_description, reference_id, request_id,
  error_code, error_message, ip_address, user_agent, request_data, response_data, conversation_id, message_id
) on private.ai_usage_logs to authenticated, service_role;
grant select on public.ai_usage_logs to authenticated, service_role;
create trigger ai_usage_logs_refuse_write instead of insert or update or delete on public.ai_usage_logs
  for each row execute function private.refuse_write();
