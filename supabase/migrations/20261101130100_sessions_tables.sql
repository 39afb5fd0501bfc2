-- Session metering: sessions, their analyses, their usage, and the rates that they are charged by.
-- An analysis is one inserted row, and the session's usage is added up in the same transaction; credits move once, at
-- the session's end.

create type public.session_status as enum ('in_progress', 'paused', 'completed', 'failed', 'canceled', 'expired');
comment on type public.session_status is
  'State of a session; the last four are final. expired: it was ended for it (session.end_reason says why).';
create type public.session_policy as enum ('soft', 'hard');
comment on type public.session_policy is
  'What a session may use: soft starts on any balance above zero and may end in debt; hard holds what it uses ahead '
  'and ends when no more can be held.';
create type public.session_end_reason as enum ('credits', 'idle', 'too_long');
comment on type public.session_end_reason is
  'Why a session expired: no credits for more, nobody was heard, the longest time.';
create type public.session_safety_level as enum ('red', 'yellow', 'green');
comment on type public.session_safety_level is 'The verdict of an analysis.';
create type public.credit_rate_unit as enum ('minute', 'analysis', 'thousand_tokens', 'fixed', 'audio_second',
  'character', 'request');
comment on type public.credit_rate_unit is
  'What a row of a rate is for: a minute of active time, an analysis, 1,000 tokens, the session, a second of the '
  'reported sound, a character of the transcript, a request to the model (an analysis may take two).';
create type public.credit_rate_rounding as enum ('second', 'started_minute');
comment on type public.credit_rate_rounding is 'Whether minutes are charged to the second or each that was begun.';

alter table public.workspaces add column session_policy public.session_policy;
comment on column public.workspaces.session_policy is
  'How its sessions are paid; null: soft where it ever had paid credits, else hard.';
grant update (session_policy) on public.workspaces to service_role;

create table public.credit_rates (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid references public.workspaces on delete cascade,
  mode text constraint mode_is_short check (length(mode) between 1 and 63),
  unit public.credit_rate_unit not null,
  credits public.unsigned_credit_amount not null,
  minimum public.unsigned_credit_amount not null default 0,
  rounding public.credit_rate_rounding not null default 'second',
  charges_unfinished boolean not null default false,
  effective_from timestamptz not null default now(),
  created_at timestamptz not null default now(),
  constraint a_unit_is_once_in_a_rate unique nulls not distinct (workspace_id, mode, effective_from, unit)
);
comment on table public.credit_rates is
  'What sessions cost. The rows of one workspace, mode and effective_from are one rate; a session is charged by the '
  'rate in force when it starts: that of its workspace and mode, else of its workspace, of its mode, of all.';
comment on column public.credit_rates.workspace_id is 'Null: of all workspaces without a rate of their own.';
comment on column public.credit_rates.mode is 'Null: of all modes without a rate of their own.';
comment on column public.credit_rates.credits is 'For one unit.';
comment on column public.credit_rates.minimum is 'The least that is charged for this unit where any of it was used.';
comment on column public.credit_rates.charges_unfinished is
  'Whether this unit is also charged of sessions that were canceled or failed.';
create index credit_rates_effective_from_idx on public.credit_rates (effective_from);
create trigger credit_rates_audit after insert or update or delete on public.credit_rates
  for each row execute function private.audit_change('id', 'workspace_id');

create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  client_id text not null constraint client_id_is_short check (length(client_id) between 1 and 200),
  mode text constraint mode_is_short check (length(mode) between 1 and 63),
  status public.session_status not null default 'in_progress',
  policy public.session_policy not null default 'soft',
  rate jsonb not null default '[]',
  is_shared boolean not null default false,
  end_reason public.session_end_reason,
  error_message text constraint error_message_is_short check (length(error_message) <= 1000),
  metadata jsonb not null default '{}',
  api_key_id uuid,
  started_at timestamptz not null default clock_timestamp(),
  last_heard_at timestamptz not null default clock_timestamp(),
  paused_at timestamptz,
  ended_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint a_client_starts_a_session_once unique (workspace_id, user_id, client_id),
  constraint an_ended_session_has_its_time
    check ((ended_at is not null) = (status in ('completed', 'failed', 'canceled', 'expired'))),
  constraint a_paused_session_has_its_time check ((paused_at is not null) = (status = 'paused')),
  constraint an_expired_session_has_its_reason check ((end_reason is not null) = (status = 'expired'))
);
comment on table public.sessions is
  'Sessions that are metered while they run and charged once at their end. Their figures are in session_usage, their '
  'transcript, which fewer people read, in session_transcripts.';
comment on column public.sessions.user_id is 'Who started it; null when the person is gone.';
comment on column public.sessions.client_id is 'The client''s own reference: the same starts one session.';
comment on column public.sessions.rate is 'The rows of credit_rates in force when it started: what it is charged by.';
comment on column public.sessions.is_shared is
  'Whether everyone in the workspace may see it; for its person to decide.';
comment on column public.sessions.error_message is 'Why it failed, as its client says.';
comment on column public.sessions.last_heard_at is 'When its client last analyzed, paused or resumed.';
comment on column public.sessions.ended_at is 'Until when it is charged.';
create index sessions_workspace_id_started_at_idx on public.sessions (workspace_id, started_at);
create index sessions_user_id_started_at_idx on public.sessions (user_id, started_at);
create index sessions_under_way_idx on public.sessions (workspace_id) where status in ('in_progress', 'paused');

create table public.session_transcripts (
  session_id uuid primary key references public.sessions on delete cascade,
  workspace_id uuid not null references public.workspaces on delete cascade,
  transcript text not null,
  created_at timestamptz not null default clock_timestamp()
);
comment on table public.session_transcripts is
  'What was said in a session, as its client sent it at the end: for its author, and for the team where it is shared.';
create index session_transcripts_workspace_id_created_at_idx on public.session_transcripts (workspace_id, created_at);

create table public.session_analysis_logs (
  session_id uuid not null references public.sessions on delete cascade,
  sequence_number integer not null constraint sequence_number_is_not_negative check (sequence_number >= 0),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  analyzed_at timestamptz not null,
  safety_level public.session_safety_level not null,
  severity smallint not null constraint severity_is_1_to_3 check (severity between 1 and 3),
  display_text text not null,
  action_suggestion text,
  rag_documents jsonb not null default '[]',
  rag_sources jsonb not null default '[]',
  transcript_length integer not null default 0,
  duration_seconds numeric(12, 3) not null default 0,
  audio_seconds numeric(12, 3) not null default 0,
  request_count smallint not null default 1,
  model_used text not null,
  prompt_tokens integer not null default 0,
  completion_tokens integer not null default 0,
  total_tokens integer not null generated always as (prompt_tokens + completion_tokens) stored,
  cached_tokens integer not null default 0,
  estimated_cost_usd numeric not null default 0,
  primary key (session_id, sequence_number)
);
comment on table public.session_analysis_logs is
  'One row for each analysis of a session: append-only. Its author reads it, the team''s owners and admins, and the '
  'team where the session is shared.';
comment on column public.session_analysis_logs.sequence_number is 'The client''s number of the segment.';
comment on column public.session_analysis_logs.rag_documents is 'The documents whose passages the verdict cites.';
comment on column public.session_analysis_logs.rag_sources is 'Its citations: chunk, quote and where in it.';
comment on column public.session_analysis_logs.transcript_length is 'Characters of the segment.';
comment on column public.session_analysis_logs.duration_seconds is
  'What it added to the session''s active time: what other analyses cover, or a pause, is not counted again.';
comment on column public.session_analysis_logs.audio_seconds is 'How long the segment is by itself.';
comment on column public.session_analysis_logs.request_count is
  'Requests to the model: two where the first answer was no verdict.';
comment on column public.session_analysis_logs.prompt_tokens is
  'Input of the analysis, with what was embedded to find its passages.';
comment on column public.session_analysis_logs.estimated_cost_usd is
  'What the call is worth to its customer in US dollars: the cost with the model''s markup.';
create index session_analysis_logs_workspace_id_safety_level_idx
  on public.session_analysis_logs (workspace_id, safety_level, analyzed_at, session_id, sequence_number);
create index session_analysis_logs_user_id_safety_level_idx
  on public.session_analysis_logs (user_id, safety_level, analyzed_at, session_id, sequence_number);

create table public.session_usage (
  session_id uuid primary key references public.sessions on delete cascade,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  status public.session_status not null default 'in_progress',
  duration_seconds numeric(12, 3) not null default 0,
  tail_seconds numeric(12, 3) not null default 0,
  audio_seconds numeric(14, 3) not null default 0,
  characters bigint not null default 0,
  analysis_count integer not null default 0,
  request_count integer not null default 0,
  red_count integer not null default 0,
  yellow_count integer not null default 0,
  green_count integer not null default 0,
  total_prompt_tokens bigint not null default 0,
  total_completion_tokens bigint not null default 0,
  total_tokens bigint not null generated always as (total_prompt_tokens + total_completion_tokens) stored,
  total_cached_tokens bigint not null default 0,
  estimated_cost_usd numeric not null default 0,
  credits_consumed public.unsigned_credit_amount not null default 0,
  credit_deducted boolean not null default false,
  credit_deducted_at timestamptz,
  seconds_left integer,
  credits_left public.unsigned_credit_amount,
  warning boolean not null default false,
  started_at timestamptz not null default clock_timestamp(),
  completed_at timestamptz,
  updated_at timestamptz not null default clock_timestamp(),
  constraint deducted_has_its_time check (credit_deducted = (credit_deducted_at is not null))
) with (fillfactor = 50); -- every analysis rewrites its row
comment on table public.session_usage is
  'What a session used: the sum of its logs. While it runs it is the live meter, in the Realtime publication.';
comment on column public.session_usage.duration_seconds is 'Active time: that of its analyses, and the tail.';
comment on column public.session_usage.tail_seconds is
  'Of the active time, what no analysis reported: from the last report to the end.';
comment on column public.session_usage.audio_seconds is 'What the analysed segments are long by themselves.';
comment on column public.session_usage.credits_consumed is
  'While it runs, what it would be charged by its last report; then what was charged.';
comment on column public.session_usage.credit_deducted is 'Whether it has ended and its charge is settled.';
comment on column public.session_usage.seconds_left is
  'How long it can go on at its pace by its last report. Of a team''s credits it tells only when they near their end.';
comment on column public.session_usage.credits_left is
  'What it can still use, in a personal workspace; null in a team, whose balance is not for all.';
comment on column public.session_usage.warning is 'Whether its end by credits or time is near.';
create index session_usage_workspace_id_started_at_idx on public.session_usage (workspace_id, started_at);
create index session_usage_user_id_started_at_idx on public.session_usage (user_id, started_at);

create table private.session_work (
  session_id uuid primary key references public.sessions on delete cascade,
  workspace_id uuid not null references public.workspaces on delete cascade,
  hold_id uuid not null,
  request jsonb not null,
  details jsonb not null default '{}',
  clock_offset interval not null default '0 s',
  active_until timestamptz not null,
  largest_analysis numeric not null default 0,
  burn numeric not null default 0,
  burn_at timestamptz not null,
  warned_at timestamptz,
  due_at timestamptz,
  has_sent_transcript boolean not null default false
);
comment on table private.session_work is 'What metering a session needs and its readers are not to see.';
comment on column private.session_work.hold_id is 'The hold that its end settles.';
comment on column private.session_work.request is 'What it was started with: the same again is the same session.';
comment on column private.session_work.clock_offset is 'Our clock less that of its client, when it started.';
comment on column private.session_work.active_until is 'The end of the last time that was reported or paused.';
comment on column private.session_work.largest_analysis is 'The most that one analysis added to its charge.';
comment on column private.session_work.burn is
  'Credits a second that its analyses use besides time: what the last minutes weigh most in, as of burn_at.';
comment on column private.session_work.due_at is 'When the sweep looks at it; null once it has ended.';
comment on column private.session_work.has_sent_transcript is
  'Whether its transcript was stored: one that was removed does not come back.';
create index session_work_workspace_id_idx on private.session_work (workspace_id);
create index session_work_due_at_idx on private.session_work (due_at) where due_at is not null;

create table private.session_spans (
  session_id uuid not null references public.sessions on delete cascade,
  is_pause boolean not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  primary key (session_id, is_pause, starts_at),
  constraint ends_after_it_starts check (ends_at > starts_at)
);
comment on table private.session_spans is
  'Active times and pauses of sessions. Those of a kind never touch: what touches is one.';

create table private.session_segments (
  session_id uuid not null references public.sessions on delete cascade,
  sequence_number integer not null,
  request_hash text not null,
  primary key (session_id, sequence_number)
);
comment on table private.session_segments is
  'The requests that were analysed: written with their log row, so the same again gets the first answer.';

-- What may change of a session ----------------------------------------------------------------------------------------

-- Has the state of a session move forward only, whoever writes it, and what it is and is charged by stay.
create function private.guard_session() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if (new.workspace_id, new.mode, new.policy, new.rate, new.started_at, new.created_at)
      is distinct from (old.workspace_id, old.mode, old.policy, old.rate, old.started_at, old.created_at)
    or old.user_id is distinct from new.user_id and new.user_id is not null
    or old.ended_at is not null and (new.ended_at, new.status) is distinct from (old.ended_at, old.status) then
    perform private.raise_error('invalid_state',
      format('Session %s is %s; a session only moves forward.', old.id, old.status));
  end if;
  return new;
end;
$$;
create trigger sessions_keep before update on public.sessions
  for each row execute function private.guard_session();
create trigger sessions_set_updated_at before update on public.sessions
  for each row execute function private.set_updated_at();
create trigger session_usage_set_updated_at before update on public.session_usage
  for each row execute function private.set_updated_at();

-- When a person is deleted, a team keeps what they shared, and of the rest the figures.
create function private.forget_session_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update private.session_work w set request = '{}', details = '{}' where w.session_id = new.id;
  if not new.is_shared then
    delete from public.session_transcripts t where t.session_id = new.id;
    update public.session_analysis_logs l set user_id = null, display_text = '', action_suggestion = null,
      rag_documents = '[]', rag_sources = '[]' where l.session_id = new.id;
    new.client_id := new.id::text;
    new.error_message := null;
    new.metadata := '{}';
  end if;
  return new;
end;
$$;
create trigger sessions_forget_person before update of user_id on public.sessions
  for each row when (old.user_id is not null and new.user_id is null)
  execute function private.forget_session_person();

-- Who reads -----------------------------------------------------------------------------------------------------------

alter table public.credit_rates enable row level security;
create policy "people can read the general rates, members those of their workspaces" on public.credit_rates
  for select to authenticated
  using (workspace_id is null or workspace_id = any (array(select private.my_workspace_ids())));
alter table public.sessions enable row level security;
create policy "people can read their sessions, members what is shared, admins those of their team" on public.sessions
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or is_shared
      or workspace_id = any (array(select private.my_managed_workspace_ids()))));
create policy "people can share their own sessions" on public.sessions
  for update to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) and (select auth.uid()) = user_id
    and (select private.is_account_active()))
  with check ((select auth.uid()) = user_id);
alter table public.session_transcripts enable row level security;
create policy "people can read their transcripts, members those of shared sessions" on public.session_transcripts
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and exists (select from public.sessions s where s.id = session_id
      and (s.user_id = (select auth.uid()) or s.is_shared)));
-- Sessions' own policy says which can be read.
alter table public.session_analysis_logs enable row level security;
create policy "members can read the analyses of sessions that they can read" on public.session_analysis_logs
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))
      or exists (select from public.sessions s where s.id = session_id)));
alter table public.session_usage enable row level security;
create policy "members can read the usage of sessions that they can read" on public.session_usage
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))
      or exists (select from public.sessions s where s.id = session_id)));
grant select on public.credit_rates, public.sessions, public.session_transcripts, public.session_analysis_logs,
  public.session_usage to authenticated, service_role;
grant update (is_shared) on public.sessions to authenticated;

do $$
begin
  -- As for notifications.
  if exists (
    select from pg_catalog.pg_publication p
    where p.pubname = 'supabase_realtime' and not p.puballtables and pg_has_role(p.pubowner, 'usage')
  ) then
    alter publication supabase_realtime add table public.session_usage;
  end if;
end;
$$;
