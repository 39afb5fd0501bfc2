-- Entitlements: what a plan includes and how much of it, what a workspace has besides, and what was used.
-- There is one way to decide: private.features_of gathers the rows that hold for a workspace (its own before its
-- plan's), and private.feature_is_on reads them. Models and scenes are features too: model:<model> and scene:<scene>.
-- Counting locks no wallet: one upsert of feature_usage admits and counts, and an AI call counts under its wallet's
-- lock.

create table public.features (
  feature_code text primary key
    constraint feature_code_is_snake_case_or_a_scene_or_model
    check (feature_code ~ '^([a-z][a-z0-9_]{0,62}|scene:[a-z_]{1,63}|model:.{1,200})$'),
  name public.short_name not null,
  unit text not null constraint unit_is_short check (length(unit) between 1 and 40),
  description text not null default '',
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.features is
  'What plans include and workspaces use. scene:<scene> and model:<model> switch AI scenes and models on and off; '
  'they are not counted.';
comment on column public.features.unit is 'What its quantities count.';
comment on column public.features.is_active is 'False: off for every plan and workspace.';
create index features_inactive_idx on public.features (feature_code) where not is_active;

create table public.plan_features (
  plan text not null references public.plans,
  feature_code text not null references public.features,
  is_enabled boolean not null default true,
  limit_per_period numeric constraint plan_limit_is_an_amount
    check (limit_per_period >= 0 and limit_per_period < 'infinity'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (plan, feature_code)
);
comment on table public.plan_features is
  'What a plan includes. A missing row: allowed without limit (for model:<model>: what ai_models.minimum_plan says).';
comment on column public.plan_features.is_enabled is
  'False: the plan does not have it. For model:<model> true overrules ai_models.minimum_plan.';
comment on column public.plan_features.limit_per_period is
  'How much a workspace may use in a period of its subscription, else in a calendar month (UTC); null: no limit.';
create index plan_features_feature_code_idx on public.plan_features (feature_code);

create table public.workspace_features (
  workspace_id uuid not null references public.workspaces on delete cascade,
  feature_code text not null references public.features,
  is_enabled boolean not null default true,
  limit_per_period numeric constraint workspace_limit_is_an_amount
    check (limit_per_period >= 0 and limit_per_period < 'infinity'),
  expires_at timestamptz,
  reason text not null constraint reason_is_given check (reason ~ '\S' and length(reason) <= 1000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace_id, feature_code)
);
comment on table public.workspace_features is 'What holds for one workspace in place of its plan''s whole row.';
comment on column public.workspace_features.limit_per_period is 'In place of the plan''s limit; null: no limit.';
comment on column public.workspace_features.expires_at is 'When the plan holds again; null: never.';
comment on column public.workspace_features.reason is 'Why it was given or taken away.';
create index workspace_features_feature_code_idx on public.workspace_features (feature_code);

create table private.usage_records (
  -- An AI call takes two numbers, for its api_call and its tokens.
  id bigint generated always as identity (increment by 2) primary key,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  feature_code text not null,
  quantity numeric not null constraint quantity_is_a_finite_amount
    check (abs(quantity) > 0 and abs(quantity) < 'infinity'),
  period_start timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  released_id bigint,
  cost numeric constraint cost_not_negative check (cost >= 0 and cost < 'infinity'),
  model text,
  reference_type text,
  reference_id text,
  idempotency_key text,
  requested numeric,
  metadata jsonb not null default '{}',
  constraint only_a_release_is_negative check ((quantity < 0) = (released_id is not null)),
  constraint only_a_release_is_requested check (requested is null or released_id is not null)
);
comment on table private.usage_records is
  'What was used and given back, one event each; append-only. Uses of AI calls are in the log instead.';
create index usage_records_workspace_id_created_at_idx on private.usage_records (workspace_id, created_at);
create index usage_records_user_id_created_at_idx on private.usage_records (user_id, created_at);
create index usage_records_released_id_idx on private.usage_records (released_id) where released_id is not null;

alter table private.usage_records enable row level security;
-- The first condition is what the index serves.
create policy "members can read their own use, owners and admins all of their workspace" on private.usage_records
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))));

-- The types are spelled out: only arms of the very same types are searched by their indexes.
create view public.usage_records with (security_invoker = true) as
select r.id, r.workspace_id, r.user_id, r.feature_code, r.quantity, r.period_start, r.created_at, r.released_id, r.cost,
  r.model, r.reference_type, r.reference_id, r.idempotency_key, r.requested, r.metadata
from private.usage_records r
union all
select l.usage_record_id, l.workspace_id, l.user_id, 'api_call'::text, 1::numeric, l.usage_period_start, l.created_at,
  null::bigint, l.estimated_cost, l.model, 'ai_usage_log'::text, l.id::text, null::text, null::numeric, '{}'::jsonb
from private.ai_usage_logs l where l.usage_record_id is not null
union all
-- The cost is the call's, so that a sum over all records has it once.
select l.usage_record_id + 1, l.workspace_id, l.user_id, 'token'::text, l.total_tokens::numeric, l.usage_period_start,
  l.created_at, null::bigint, null::numeric, l.model, 'ai_usage_log'::text, l.id::text, null::text, null::numeric,
  '{}'::jsonb
from private.ai_usage_logs l where l.usage_record_id is not null and l.total_tokens > 0;
comment on view public.usage_records is
  'What was used and given back, one event each: by consume_feature and release_feature, and the api_call and the '
  'tokens of each AI call. feature_usage has the sums.';
comment on column public.usage_records.feature_code is 'No foreign key: features are never deleted.';
comment on column public.usage_records.quantity is 'In the feature''s unit; negative: given back.';
comment on column public.usage_records.period_start is
  'The period it counts to; what is given back counts to the period it was used in.';
comment on column public.usage_records.released_id is
  'The record that this one gives back from. No foreign key: they go together, with their workspace.';
comment on column public.usage_records.cost is 'US dollars.';
comment on column public.usage_records.reference_type is
  'What reference_id is an id of; ai_usage_log: a row of the log of AI calls.';
comment on column public.usage_records.requested is 'What a release was to give back; null: all that was left.';
grant select on private.usage_records, public.usage_records to authenticated, service_role;
create trigger usage_records_refuse_write instead of insert or update or delete on public.usage_records
  for each row execute function private.refuse_write();

create table public.feature_usage (
  workspace_id uuid not null references public.workspaces on delete cascade,
  feature_code text not null,
  period_start timestamptz not null,
  used numeric not null constraint used_not_negative check (used >= 0 and used < 'infinity'),
  primary key (workspace_id, feature_code, period_start)
) with (fillfactor = 50); -- every use rewrites its row
comment on table public.feature_usage is
  'What a workspace used of a feature in a period: the sum of its usage_records.';

create function private.keep_usage_records() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    -- Records go only with their workspace, which a cascade has removed by now.
    if exists (select from deleted_records d join public.workspaces w on w.id = d.workspace_id) then
      perform private.raise_error('forbidden', 'Usage records are never deleted.', 'Give back with release_feature.');
    end if;
    return null;
  elsif tg_op = 'UPDATE' and new.user_id is null and not exists (select from public.users u where u.id = old.user_id)
    then
    old.user_id := null; -- the person was deleted, the team's record stays
    if new is not distinct from old then
      return new;
    end if;
  end if;
  perform private.raise_error('forbidden', 'Usage records are never changed.', 'Give back with release_feature.');
  return null;
end;
$$;
comment on function private.keep_usage_records() is
  'Refuses every change of usage records but the end of their workspace or person.';
create trigger usage_records_refuse_update before update on private.usage_records
  for each row execute function private.keep_usage_records();
create trigger usage_records_refuse_delete after delete on private.usage_records
  referencing old table as deleted_records for each statement execute function private.keep_usage_records();
create trigger usage_records_refuse_truncate before truncate on private.usage_records
  for each statement execute function private.keep_usage_records();

create trigger features_set_updated_at before update on public.features
  for each row execute function private.set_updated_at();
create trigger plan_features_set_updated_at before update on public.plan_features
  for each row execute function private.set_updated_at();
create trigger workspace_features_set_updated_at before update on public.workspace_features
  for each row execute function private.set_updated_at();

insert into public.features (feature_code, name, unit, description) values
  ('message', 'Messages', 'message',
    'For an application''s own count. AI calls have plans.messages_per_month besides.'),
  ('token', 'Tokens', 'token', 'Input and output tokens of AI calls; counted when a call ends.'),
  ('api_call', 'AI calls', 'call', 'AI calls that were settled.');
insert into public.features (feature_code, name, unit, description)
select 'scene:' || s, initcap(replace(s::text, '_', ' ')), 'call', 'Whether AI calls of this scene may be made.'
from unnest(enum_range(null::public.ai_usage_scene)) s;

-- Deciding ------------------------------------------------------------------------------------------------------------

create function private.features_of(
  wanted_workspace uuid, wanted_plan text, at timestamptz, wanted_feature text default null
) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  -- Of rows for the same feature the last one stays.
  return (
    select jsonb_object_agg(x.feature_code, jsonb_build_object('on', x.is_enabled, 'limit', x.most) order by x.place)
    from (
      select p.feature_code, p.is_enabled, p.limit_per_period as most, 1 as place
      from public.plan_features p where p.plan = wanted_plan
      union all
      select w.feature_code, w.is_enabled, w.limit_per_period, 2
      from public.workspace_features w
      where w.workspace_id = wanted_workspace and (w.expires_at is null or w.expires_at > features_of.at)
      union all
      select f.feature_code, false, null, 3 from public.features f where not f.is_active
    ) x
    where wanted_feature is null or x.feature_code = wanted_feature
  );
end;
$$;
comment on function private.features_of(uuid, text, timestamptz, text) is
  'What holds for a workspace on a plan, by feature: { on, limit }. Its own row before its plan''s; '
  'inactive features are off. Null where there is no row.';

create function private.feature_is_on(features jsonb, code text, by_default boolean default true) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce((features -> code ->> 'on')::boolean, by_default);
end;
$$;
comment on function private.feature_is_on(jsonb, text, boolean) is
  'Whether a feature is on, by features_of; without a row, what holds by default. Every switch is decided here: '
  'features, scenes, models.';

create function private.feature_period(
  wanted_workspace uuid, at timestamptz, out period_start timestamptz, out period_end timestamptz
)
language plpgsql stable set search_path = ''
as $$
declare
  seconds double precision;
  subscription public.user_subscriptions;
begin
  select s.* into subscription from public.user_subscriptions s
  where s.workspace_id = wanted_workspace and s.is_live
    and s.current_period_end > s.current_period_start and isfinite(s.current_period_end);
  period_start := subscription.current_period_start;
  period_end := subscription.current_period_end;
  if period_start > at then
    -- Back-dated, or late at a period's edge: to the period of then, which may be used up, and not to one that begins
    -- anew.
    select max(p.starts_at), max(p.cut_at) into period_start, period_end
    from private.periods_of(subscription.platform, subscription.subscription_id) p
    where p.starts_at <= feature_period.at and p.cut_at > feature_period.at;
  end if;
  if period_start is null then
    select w.started_at, w.ends_at into period_start, period_end from private.window_at('month', null, 0, at) w;
  elsif period_end <= at then
    -- A renewal is told of late. It begins where the last period ended: what is used meanwhile counts to it already.
    seconds := extract(epoch from period_end - period_start);
    period_start := period_end + make_interval(secs => floor(extract(epoch from at - period_end) / seconds) * seconds);
    period_end := period_start + make_interval(secs => seconds);
  end if;
end;
$$;
comment on function private.feature_period(uuid, timestamptz) is
  'The period that a use counts to: the live subscription''s, else the calendar month (UTC).';

create type private.feature_terms as (is_on boolean, most numeric, period_start timestamptz, period_end timestamptz);
comment on type private.feature_terms is
  'Whether a workspace has a feature, how much of it (null: no limit) and in which period.';

create function private.feature_terms_of(wanted_workspace uuid, code text, at timestamptz) returns private.feature_terms
language plpgsql stable set search_path = ''
as $$
declare
  features jsonb;
  period record;
begin
  if not exists (select from public.features f where f.feature_code = code) then
    perform private.raise_error('not_found', format('There is no feature %s.', coalesce(to_json(code)::text, 'null')));
  end if;
  features := private.features_of(wanted_workspace, (private.plan_of(wanted_workspace)).plan, at, code);
  period := private.feature_period(wanted_workspace, at);
  return row(private.feature_is_on(features, code), (features -> code ->> 'limit')::numeric,
    period.period_start, period.period_end)::private.feature_terms;
end;
$$;
comment on function private.feature_terms_of(uuid, text, timestamptz) is
  'A workspace''s terms for a feature; not_found for an unknown one.';

create function private.feature_used(wanted_workspace uuid, code text, in_period timestamptz) returns numeric
language plpgsql stable set search_path = ''
as $$
begin
  return coalesce((select u.used from public.feature_usage u
    where u.workspace_id = wanted_workspace and u.feature_code = code and u.period_start = in_period), 0);
end;
$$;
comment on function private.feature_used(uuid, text, timestamptz) is
  'What a workspace has used of a feature in the period that began then.';

create type public.feature_use as (
  allowed boolean, code text, id bigint, used numeric, "limit" numeric, remaining numeric, period_start timestamptz,
  period_end timestamptz
);
comment on type public.feature_use is
  'A use of a feature: whether it is allowed, else why not, its usage record where one was made, '
  'and what the period has seen.';
create type public.feature_release as (
  released numeric, used numeric, "limit" numeric, remaining numeric, period_start timestamptz, period_end timestamptz
);
comment on type public.feature_release is 'What a release of a feature''s use gave back.';

create function private.feature_answer(terms private.feature_terms, used numeric) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  most numeric := case when terms.is_on then terms.most else 0 end;
begin
  -- greatest passes over null.
  return jsonb_build_object('used', trim_scale(used), 'limit', most,
    'remaining', case when most is not null then trim_scale(greatest(most - used, 0))
      end, 'period_start', terms.period_start, 'period_end', terms.period_end);
end;
$$;
comment on function private.feature_answer(private.feature_terms, numeric) is
  'What is told of a feature: { used, limit, remaining, period_start, period_end }; limit and remaining null: '
  'no limit, 0 where it is off.';

create function private.refuse_feature(terms private.feature_terms) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case when terms.is_on then 'limit_reached' else 'feature_not_in_plan' end;
end;
$$;
comment on function private.refuse_feature(private.feature_terms) is
  'The error code for what is refused under these terms.';

create function private.require_quantity(quantity numeric) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  -- NaN compares as greater than every number.
  if quantity > 0 and quantity <= 1e15 then
    return;
  end if;
  perform private.raise_error('invalid_request',
    format('quantity must be a number above 0 and at most 1e15, not %s.', coalesce(quantity::text, 'null')));
end;
$$;
comment on function private.require_quantity(numeric) is
  'Refuses what is no quantity: null, NaN, zero, negative, above 1e15.';

create function private.require_usage_member(wanted_workspace uuid, account_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  if private.role_in(wanted_workspace, account_id) is null then
    if wanted_workspace = account_id then
      perform private.complete_account(account_id); -- a sign-up that could not finish
    end if;
    perform private.require_member(wanted_workspace, account_id);
  end if;
end;
$$;
comment on function private.require_usage_member(uuid, uuid) is
  'Refuses a use by someone who is no member of the workspace.';

-- Counting ------------------------------------------------------------------------------------------------------------

create function private.count_feature(
  wanted_workspace uuid, code text, in_period timestamptz, change numeric, most numeric
) returns numeric
language plpgsql set search_path = ''
as $$
declare
  used_now numeric;
begin
  if change > most then
    return null;
  end if;
  insert into public.feature_usage as u (workspace_id, feature_code, period_start, used)
  values (wanted_workspace, code, in_period, change)
  on conflict (workspace_id, feature_code, period_start) do update set used = u.used + excluded.used
    where most is null or u.used + excluded.used <= most
  returning u.used into used_now;
  return used_now;
end;
$$;
comment on function private.count_feature(uuid, text, timestamptz, numeric, numeric) is
  'Counts a use and says what is used now; null, and nothing counted, where that would pass the limit.';

create function private.earlier_use(wanted_workspace uuid, key text, request jsonb) returns jsonb
language plpgsql set search_path = ''
as $$
begin
  if key is not null then
    perform pg_advisory_xact_lock(hashtextextended(wanted_workspace || ' ' || key, 2700));
  end if;
  return private.earlier_answer(wanted_workspace, 'features', key, request);
end;
$$;
comment on function private.earlier_use(uuid, text, jsonb) is
  'The answer kept for a use or a release. Requests under one key wait here for each other: '
  'they take no wallet''s lock.';

create function public.consume_feature(
  feature_code text,
  quantity numeric,
  user_id uuid,
  workspace_id uuid default null,
  model text default null,
  cost numeric default null,
  reference_type text default null,
  reference_id text default null,
  metadata jsonb default '{}',
  idempotency_key text default null,
  at timestamptz default clock_timestamp()
) returns public.feature_use
language plpgsql security definer set search_path = ''
as $$
declare
  wallet_id uuid := coalesce(consume_feature.workspace_id, consume_feature.user_id);
  request jsonb;
  answer jsonb;
  terms private.feature_terms;
  used_now numeric;
  record_id bigint;
begin
  perform private.require_time(at);
  perform private.require_quantity(quantity);
  perform private.require_texts('use', metadata, idempotency_key);
  if cost < 0 or cost >= 'infinity' or length(concat(model, reference_type, reference_id)) > 1000 then
    perform private.raise_error('invalid_request', 'cost must be US dollars, and model and reference short texts.');
  end if;
  -- Workspace and user are locked in the order in which a deletion takes them, so that neither goes meanwhile.
  perform from public.workspaces w where w.id = wallet_id for key share;
  perform private.require_usage_member(wallet_id, consume_feature.user_id);
  perform private.require_user(consume_feature.user_id);
  at := private.time_under_lock(at);
  request := jsonb_build_object('consume', feature_code, 'quantity', quantity, 'user_id', consume_feature.user_id,
    'model', model, 'cost', cost, 'reference_type', reference_type, 'reference_id', reference_id, 'metadata', metadata);
  answer := private.earlier_use(wallet_id, idempotency_key, request);
  if answer is not null then
    return jsonb_populate_record(null::public.feature_use, answer);
  end if;
  terms := private.feature_terms_of(wallet_id, feature_code, at);
  if terms.is_on then
    used_now := private.count_feature(wallet_id, feature_code, terms.period_start, quantity, terms.most);
  end if;
  if used_now is null then
    return jsonb_populate_record(null::public.feature_use,
      jsonb_build_object('allowed', false, 'code', private.refuse_feature(terms))
      || private.feature_answer(terms, private.feature_used(wallet_id, feature_code, terms.period_start)));
  end if;
  insert into private.usage_records (workspace_id, user_id, feature_code, quantity, period_start, created_at, cost,
    model, reference_type, reference_id, idempotency_key, metadata)
  values (wallet_id, consume_feature.user_id, consume_feature.feature_code, consume_feature.quantity,
    terms.period_start, at, consume_feature.cost, consume_feature.model, consume_feature.reference_type,
    consume_feature.reference_id, consume_feature.idempotency_key, consume_feature.metadata)
  returning id into record_id;
  answer := jsonb_build_object('allowed', true, 'id', record_id) || private.feature_answer(terms, used_now);
  perform private.keep_answer(wallet_id, 'features', idempotency_key, request, answer);
  return jsonb_populate_record(null::public.feature_use, answer);
end;
$$;
comment on function public.consume_feature is
  'Checks and counts a use in one step: { allowed, id, used, limit, remaining, period_start, period_end }. '
  'Where it would pass the limit, or the feature is off, allowed is false with a code (limit_reached, '
  'feature_not_in_plan), and nothing is counted or kept: the same key may try again. '
  'The same key and request get the first answer again.';
grant execute on function public.consume_feature to service_role;

create function private.find_use(record_id bigint, key text, wanted_workspace uuid) returns private.usage_records
language plpgsql set search_path = ''
as $$
declare
  found_use private.usage_records;
begin
  if record_id is not null and key is not null then
    perform private.raise_error('invalid_request', 'Name a use by its id or by its key, not by both.',
      'The key of the release itself is release_idempotency_key.');
  end if;
  select * into found_use from private.usage_records r
  where r.released_id is null and r.id = coalesce(record_id, (
    select (i.answer ->> 'id')::bigint from private.idempotent_requests i
    where i.workspace_id = wanted_workspace and i.scope = 'features' and i.idempotency_key = key));
  if not found and record_id is not null then
    select r.* into found_use
    from private.ai_usage_logs l
    join public.usage_records r on r.workspace_id = l.workspace_id and r.created_at = l.created_at
    where l.usage_record_id in (record_id, record_id - 1) and r.id = record_id;
  end if;
  -- The order of a deletion, as when it was used.
  perform from public.workspaces w where w.id = found_use.workspace_id for key share;
  if not found then
    perform private.raise_error('not_found', 'There is no such usage record.',
      'Name its id, or its workspace and idempotency key.');
  end if;
  perform from public.users u where u.id = found_use.user_id for key share;
  found_use.user_id := case when found then found_use.user_id end;
  return found_use;
end;
$$;
comment on function private.find_use(bigint, text, uuid) is
  'The use that a release names, by its id or its workspace and key; keeps its workspace and person from going '
  'meanwhile.';

create function private.give_back(made private.usage_records, used numeric) returns numeric
language plpgsql set search_path = ''
as $$
declare
  given numeric;
begin
  -- The lock of the sum has releases of one record wait for each other.
  perform from public.feature_usage u
  where u.workspace_id = made.workspace_id and u.feature_code = made.feature_code and u.period_start = made.period_start
  for no key update;
  given := least(made.requested, give_back.used + coalesce((
    select sum(r.quantity) from private.usage_records r where r.released_id = made.released_id), 0));
  update public.feature_usage u set used = u.used - given
  where u.workspace_id = made.workspace_id and u.feature_code = made.feature_code
    and u.period_start = made.period_start;
  return given;
end;
$$;
comment on function private.give_back(private.usage_records, numeric) is
  'Takes what a release asks for out of the sum, as far as it is left of its use, and says how much that was.';

create function public.release_feature(
  usage_record_id bigint default null,
  quantity numeric default null,
  idempotency_key text default null,
  workspace_id uuid default null,
  at timestamptz default clock_timestamp(),
  release_idempotency_key text default null
) returns public.feature_release
language plpgsql security definer set search_path = ''
as $$
declare
  made private.usage_records;
  request jsonb;
  answer jsonb;
  terms private.feature_terms;
  given numeric;
begin
  perform private.require_time(at);
  if release_feature.quantity is not null then
    perform private.require_quantity(release_feature.quantity);
  end if;
  perform private.require_texts('release', '{}', release_idempotency_key);
  made := private.find_use(usage_record_id, release_feature.idempotency_key, release_feature.workspace_id);
  request := jsonb_build_object('release', made.id, 'quantity', release_feature.quantity);
  answer := private.earlier_use(made.workspace_id, release_idempotency_key, request);
  if answer is not null then
    return jsonb_populate_record(null::public.feature_release, answer);
  end if;
  made.released_id := made.id;
  made.requested := release_feature.quantity;
  given := private.give_back(made, made.quantity);
  terms := private.feature_terms_of(made.workspace_id, made.feature_code, at);
  answer := jsonb_build_object('released', trim_scale(given))
    || private.feature_answer(terms, private.feature_used(made.workspace_id, made.feature_code, terms.period_start));
  if given > 0 then
    insert into private.usage_records (workspace_id, user_id, feature_code, quantity, requested, period_start,
      created_at,
      released_id, model, reference_type, reference_id, idempotency_key)
    values (made.workspace_id, made.user_id, made.feature_code, -given, made.requested, made.period_start, at,
      made.released_id, made.model, made.reference_type, made.reference_id, release_idempotency_key);
    perform private.keep_answer(made.workspace_id, 'features', release_idempotency_key, request, answer);
  end if;
  return jsonb_populate_record(null::public.feature_release, answer);
end;
$$;
comment on function public.release_feature is
  'Gives back what a use counted (by its id, or workspace and idempotency key), all or a quantity, '
  'and never more than is left of it: { released, used, limit, remaining, period_start, period_end } of the period '
  'now. It counts to the period of the use. The same release_idempotency_key and request get the first answer again; '
  'where nothing was left, nothing is kept.';
grant execute on function public.release_feature to service_role;

create function private.check_feature_for(
  code text, wanted_quantity numeric, account_id uuid, wanted_workspace uuid, at timestamptz
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  terms private.feature_terms;
  used_now numeric;
  is_allowed boolean;
begin
  perform private.require_time(at);
  -- The service role asks for anyone, signed-in people for themselves.
  if auth.uid() is not null or current_setting('role') = 'authenticated' then
    if account_id <> auth.uid() then
      perform private.raise_error('forbidden', 'Ask for yourself: leave user_id out.');
    end if;
    account_id := private.my_account();
  end if;
  perform private.require_quantity(wanted_quantity);
  wanted_workspace := coalesce(wanted_workspace, account_id);
  perform private.require_usage_member(wanted_workspace, account_id);
  terms := private.feature_terms_of(wanted_workspace, code, at);
  used_now := private.feature_used(wanted_workspace, code, terms.period_start);
  is_allowed := terms.is_on and coalesce(used_now + wanted_quantity <= terms.most, true);
  return jsonb_build_object('allowed', is_allowed)
    || case when is_allowed then '{}' else jsonb_build_object('code', private.refuse_feature(terms)) end
    || private.feature_answer(terms, used_now);
end;
$$;
comment on function private.check_feature_for(text, numeric, uuid, uuid, timestamptz) is
  'Looks what consume_feature would answer; for the caller, or by the service role for anyone.';
grant execute on function private.check_feature_for(text, numeric, uuid, uuid, timestamptz) to authenticated,
  service_role;

create function public.check_feature(
  feature_code text, quantity numeric default 1, user_id uuid default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns public.feature_use
language sql set search_path = ''
as $$
  select jsonb_populate_record(null::public.feature_use,
    private.check_feature_for(feature_code, quantity, user_id, workspace_id, at))
$$;
comment on function public.check_feature is
  'Whether a use would be allowed now, as consume_feature would answer, counting nothing. Signed-in people ask for '
  'workspaces they are members of.';
grant execute on function public.check_feature to authenticated, service_role;

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

create trigger features_audit_changes after insert or update or delete on public.features
  for each row execute function private.audit_change('feature_code', '');
create trigger plan_features_audit_changes after insert or update or delete on public.plan_features
  for each row execute function private.audit_change('plan feature_code', '');
create trigger workspace_features_audit_changes after insert or update or delete on public.workspace_features
  for each row execute function private.audit_change('feature_code', 'workspace_id');
