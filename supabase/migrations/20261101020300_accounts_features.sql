-- Features: what plans include and how much of it, and what one workspace has besides. null is no limit, everywhere.
-- Every switch and limit is decided here, by private.features_of: features, scenes, models, calls a minute, messages,
-- video jobs at once, seats.

create table public.features (
  feature_code text primary key
    constraint feature_code_is_snake_case_or_a_scene_or_model
    check (feature_code ~ '^([a-z][a-z0-9_]{0,62}|scene:[a-z_]{1,63}|model:.{1,200})$'),
  name public.short_name not null,
  unit text not null constraint unit_is_short check (length(unit) between 1 and 40),
  description text not null default '',
  is_counted boolean not null default true,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.features is
  'What plans include and workspaces use. scene:<scene> and model:<model> switch AI scenes and models on and off.';
comment on column public.features.unit is 'What its quantities count.';
comment on column public.features.is_counted is
  'Whether its uses are counted by period. False: its limit is for a minute, day or month of AI calls, or for what '
  'there is at once, and consume_feature refuses it.';
comment on column public.features.is_active is 'False: off for every plan and workspace.';
create index features_inactive_idx on public.features (feature_code) where not is_active;

create table public.plan_features (
  plan text not null references public.plans,
  feature_code text not null references public.features,
  is_enabled boolean not null default true,
  feature_limit numeric constraint plan_limit_is_an_amount check (feature_limit >= 0 and feature_limit < 'infinity'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (plan, feature_code)
);
comment on table public.plan_features is
  'What a plan includes. A missing row: allowed without limit (for model:<model>: what ai_models.minimum_plan says).';
comment on column public.plan_features.is_enabled is
  'False: the plan does not have it. For model:<model> true overrules ai_models.minimum_plan.';
comment on column public.plan_features.feature_limit is
  'How much a workspace may use: of what is counted, in a period of its subscription, else in a calendar month (UTC); '
  'null: no limit.';
create index plan_features_feature_code_idx on public.plan_features (feature_code);

create table public.workspace_features (
  workspace_id uuid not null references public.workspaces on delete cascade,
  feature_code text not null references public.features,
  is_enabled boolean not null default true,
  feature_limit numeric constraint workspace_limit_is_an_amount
    check (feature_limit >= 0 and feature_limit < 'infinity'),
  expires_at timestamptz,
  reason text not null constraint reason_is_given check (reason ~ '\S' and length(reason) <= 1000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace_id, feature_code)
);
comment on table public.workspace_features is 'What holds for one workspace in place of its plan''s whole row.';
comment on column public.workspace_features.feature_limit is 'In place of the plan''s limit; null: no limit.';
comment on column public.workspace_features.expires_at is 'When the plan holds again; null: never.';
comment on column public.workspace_features.reason is 'Why it was given or taken away.';
create index workspace_features_feature_code_idx on public.workspace_features (feature_code);

create trigger features_set_updated_at before update on public.features
  for each row execute function private.set_updated_at();
create trigger plan_features_set_updated_at before update on public.plan_features
  for each row execute function private.set_updated_at();
create trigger workspace_features_set_updated_at before update on public.workspace_features
  for each row execute function private.set_updated_at();

insert into public.features (feature_code, name, unit, is_counted, description) values
  ('message', 'Messages', 'message', true, 'For an application''s own count. AI calls have messages_per_month.'),
  ('token', 'Tokens', 'token', true, 'Input and output tokens of AI calls; counted when a call ends.'),
  ('api_call', 'AI calls', 'call', true, 'AI calls that were settled.'),
  ('requests_per_minute', 'AI calls a minute', 'call', false, 'AI calls that a workspace may begin in a minute.'),
  ('requests_per_day', 'AI calls a day', 'call', false,
    'AI calls that a workspace without paid credits may begin in a day (UTC), those refused for their rate aside. '
    'It bounds what their log can grow to.'),
  ('messages_per_month', 'Messages a month', 'message', false,
    'Chat and image calls that a workspace may make in a month of its subscription, else in a calendar month (UTC).'),
  ('video_jobs_at_once', 'Video jobs at once', 'job', false,
    'Video jobs of a workspace that may run at the same time.'),
  ('seats', 'Seats', 'member', false, 'Members that a team may have.'),
  ('attachment_bytes', 'Size of an attachment', 'byte', false, 'Bytes that one file of a conversation may have.');

insert into public.plan_features (plan, feature_code, feature_limit)
select l.plan, f.feature_code, f.feature_limit
from (values
  ('free', 10, 500, 10, 1, 3, 2), ('basic', 60, null, 100, 2, 5, 10), ('creator', 120, null, 1000, 3, 10, 20),
  ('pro', 300, null, null, 5, 25, 50), ('enterprise', 600, null, null, 20, null, 50)
) l (plan, requests_per_minute, requests_per_day, messages_per_month, video_jobs_at_once, seats, attachment_mib)
cross join lateral (values
  ('requests_per_minute', l.requests_per_minute), ('requests_per_day', l.requests_per_day),
  ('messages_per_month', l.messages_per_month), ('video_jobs_at_once', l.video_jobs_at_once), ('seats', l.seats),
  ('attachment_bytes', l.attachment_mib * 1048576)
) f (feature_code, feature_limit);

-- What holds for a workspace, by feature: its limit, null for no limit, or false where it is off. Its own row
-- before its plan's; inactive features are off. Null where there is no row.
create function private.features_of(
  wanted_workspace uuid, at timestamptz, wanted_feature text default null
) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  -- Of rows for the same feature the last one stays.
  return (
    select jsonb_object_agg(x.feature_code, case when x.is_enabled then to_jsonb(x.feature_limit) else 'false' end
      order by x.place)
    from (
      select p.feature_code, p.is_enabled, p.feature_limit, 1 as place
      from public.plan_features p
      where p.plan = (select w.plan from public.workspaces w where w.id = wanted_workspace)
      union all
      select w.feature_code, w.is_enabled, w.feature_limit, 2
      from public.workspace_features w
      where w.workspace_id = wanted_workspace and (w.expires_at is null or w.expires_at > features_of.at)
      union all
      select f.feature_code, false, null, 3 from public.features f where not f.is_active
    ) x
    where wanted_feature is null or x.feature_code = wanted_feature
  );
end;
$$;

-- Whether a feature is on, by features_of; without a row, what holds by default.
create function private.feature_is_on(features jsonb, code text, by_default boolean default true) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(features -> code <> 'false', by_default);
end;
$$;

-- The limit of a feature, by features_of: null for no limit or no row, 0 where it is off.
create function private.limit_in(features jsonb, code text) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  return case features -> code when 'false' then 0 else (features ->> code)::numeric end;
end;
$$;

-- Counting ------------------------------------------------------------------------------------------------------------

create table public.feature_usage (
  workspace_id uuid not null references public.workspaces on delete cascade,
  feature_code text not null,
  period_start timestamptz not null,
  used numeric not null constraint used_not_negative check (used >= 0 and used < 'infinity'),
  primary key (workspace_id, feature_code, period_start)
) with (fillfactor = 50); -- every use rewrites its row
comment on table public.feature_usage is
  'What a workspace used of a feature in a period: the sum of its usage_records.';

-- An AI call takes two numbers, for its api_call and its tokens.
create sequence private.usage_record_ids increment by 2;
comment on sequence private.usage_record_ids is 'Ids of usage_records, of those that AI calls have in their log too.';

create table private.plan_periods (
  workspace_id uuid not null references public.workspaces on delete cascade,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  primary key (workspace_id, starts_at),
  constraint ends_after_it_starts check (ends_at > starts_at and isfinite(ends_at))
);
comment on table private.plan_periods is
  'Periods of what gives a workspace its plan, the newest one and those before it; whoever sells plans keeps them. '
  'Without any, uses count to the calendar month (UTC).';

-- The period that a use counts to: that of its plan, else the calendar month (UTC). by_month: of a period that is
-- longer (a year's) the month, counted from the period's start as payment platforms do it.
create function private.feature_period(
  wanted_workspace uuid, at timestamptz, by_month boolean default false, out period_start timestamptz,
  out period_end timestamptz
) language plpgsql stable set search_path = '' as $$
declare
  seconds double precision;
  next_start timestamptz;
  last_month timestamptz; -- the latest that a month may begin: with less than a week left, the one before goes on
  months integer;
begin
  select p.starts_at, p.ends_at into period_start, period_end from private.plan_periods p
  where p.workspace_id = wanted_workspace and p.starts_at <= at order by p.starts_at desc limit 1;
  select min(p.starts_at) into next_start from private.plan_periods p
  where p.workspace_id = wanted_workspace and p.starts_at > at;
  last_month := private.later(period_end, '-7 days');
  -- Back-dated, or late at a period's edge: to the period of then, which may be used up, and not to one that begins
  -- anew.
  period_end := least(period_end, next_start);
  if period_start is null or period_end <= at and next_start is not null then
    select w.started_at, w.ends_at into period_start, period_end from private.window_at('month', null, 0, at) w;
    return;
  elsif period_end <= at then
    -- A renewal is told of late. It begins where the last period ended: what is used meanwhile counts to it already.
    seconds := extract(epoch from period_end - period_start);
    period_start := period_end + make_interval(secs => floor(extract(epoch from at - period_end) / seconds) * seconds);
    period_end := period_start + make_interval(secs => seconds);
    last_month := private.later(period_end, '-7 days');
  end if;
  if by_month and private.later(period_start, '1 month') <= last_month then
    -- Each begins on the day of the first, or on the last day of a month that is too short: 31 January, 28 February,
    -- 31 March.
    select 12 * (extract(year from n) - extract(year from s)) + extract(month from n) - extract(month from s)
    into months from (select at at time zone 'UTC' as n, period_start at time zone 'UTC' as s) t;
    while months > 0 and private.later(period_start, make_interval(months => months)) > least(at, last_month) loop
      months := months - 1; -- twice, where the month that is too short reaches into the next one
    end loop;
    if private.later(period_start, make_interval(months => months + 1)) <= last_month then
      period_end := least(period_end, private.later(period_start, make_interval(months => months + 1)));
    end if;
    period_start := private.later(period_start, make_interval(months => months));
  end if;
end;
$$;

-- What a workspace has used of a feature in the period that began then.
create function private.feature_used(wanted_workspace uuid, code text, in_period timestamptz) returns numeric
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select u.used from public.feature_usage u
    where u.workspace_id = wanted_workspace and u.feature_code = code and u.period_start = in_period), 0);
end;
$$;

alter table public.features enable row level security;
create policy "everyone can read the features on offer" on public.features
  for select to anon, authenticated using (is_active);
alter table public.plan_features enable row level security;
create policy "everyone can read what plans include" on public.plan_features
  for select to anon, authenticated using (true);
alter table public.workspace_features enable row level security;
create policy "owners and admins can read what was given to their workspace" on public.workspace_features
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));

alter table public.feature_usage enable row level security;
create policy "members can read what their workspace has used" on public.feature_usage
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));

grant select on public.features, public.plan_features to anon, authenticated;
grant select on public.workspace_features, public.feature_usage to authenticated, service_role;
grant select, insert, update on public.features to service_role;
grant select, insert, update, delete on public.plan_features to service_role;
grant insert, update, delete on public.workspace_features to service_role;
