-- What was used of features, and whether there is more of it. Counting locks no wallet: one upsert of feature_usage
-- admits and counts, and an AI call counts under its wallet's lock.

create table private.usage_records (
  id bigint primary key default nextval('private.usage_record_ids'),
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
  conversation_id uuid,
  message_id uuid,
  constraint only_a_release_is_negative check ((quantity < 0) = (released_id is not null)),
  constraint only_a_release_is_requested check (requested is null or released_id is not null)
);
comment on table private.usage_records is
  'What was used and given back, one event each; append-only. Uses of AI calls are in the log instead.';
create index usage_records_workspace_id_created_at_idx on private.usage_records (workspace_id, created_at);
create index usage_records_user_id_created_at_idx on private.usage_records (user_id, created_at);
create index usage_records_conversation_id_idx on private.usage_records (conversation_id, message_id)
  where conversation_id is not null;
create index usage_records_released_id_idx on private.usage_records (released_id) where released_id is not null;

alter table private.usage_records enable row level security;
-- The first condition is what the index serves.
create policy "members can read their own use, owners and admins all of their workspace" on private.usage_records
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or workspace_id = any (array(select private.my_managed_workspace_ids()))));

-- The types are spelled out: only arms of the very same types are searched by their indexes.
create view public.usage_records with (security_invoker = true) as
select r.id, r.workspace_id, r.user_id, r.feature_code, r.quantity, r.period_start, r.created_at, r.released_id, r.cost,
  r.model, r.reference_type, r.reference_id, r.idempotency_key, r.requested, r.metadata, r.conversation_id, r.message_id
from private.usage_records r
union all
select l.usage_record_id, l.workspace_id, l.user_id, 'api_call'::text, 1::numeric, l.usage_period_start, l.created_at,
  null::bigint, l.estimated_cost, l.model, 'ai_usage_log'::text, l.id::text, null::text, null::numeric, '{}'::jsonb,
  l.conversation_id, l.message_id
from private.ai_usage_logs l where l.usage_record_id is not null
union all
-- The cost is the call's, so that a sum over all records has it once.
select l.usage_record_id + 1, l.workspace_id, l.user_id, 'token'::text, l.total_tokens::numeric, l.usage_period_start,
  l.created_at, null::bigint, null::numeric, l.model, 'ai_usage_log'::text, l.id::text, null::text, null::numeric,
  '{}'::jsonb, l.conversation_id, l.message_id
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
comment on column public.usage_records.conversation_id is
  'The conversation it was for. No foreign key: null once that is deleted, as message_id is.';
comment on column public.usage_records.message_id is 'The message it was for.';
comment on column public.usage_records.requested is 'What a release was to give back; null: all that was left.';
grant select on private.usage_records, public.usage_records to authenticated, service_role;
create trigger usage_records_refuse_write instead of insert or update or delete on public.usage_records
  for each row execute function private.refuse_write();

-- But that a conversation or message that was deleted is named no more.
create trigger usage_records_refuse_update before update on private.usage_records
  for each row when (coalesce(new.conversation_id, old.conversation_id) is distinct from old.conversation_id
    or coalesce(new.message_id, old.message_id) is distinct from old.message_id
    or to_jsonb(new) - '{conversation_id,message_id}'::text[] <> to_jsonb(old) - '{conversation_id,message_id}'::text[])
  execute function private.guard_append_only('Usage records', 'Give back with release_feature.');
create trigger usage_records_refuse_delete after delete on private.usage_records
  referencing old table as deleted_rows for each statement
  execute function private.guard_append_only('Usage records', 'Give back with release_feature.');
create trigger usage_records_refuse_truncate before truncate on private.usage_records
  for each statement execute function private.guard_append_only('Usage records', 'Give back with release_feature.');

-- Deciding ------------------------------------------------------------------------------------------------------------

create type private.feature_terms as (is_on boolean, most numeric, period_start timestamptz, period_end timestamptz);
comment on type private.feature_terms is
  'Whether a workspace has a feature, how much of it (null: no limit; 0 where it is off) and in which period (null: it '
  'is not counted).';

-- A workspace's terms for a feature; not_found for an unknown one.
create function private.feature_terms_of(wanted_workspace uuid, code text, at timestamptz) returns private.feature_terms
language plpgsql stable set search_path = '' as $$
declare
  features jsonb := private.features_of(wanted_workspace, at, code);
  feature public.features;
  terms private.feature_terms;
begin
  select f.* into feature from public.features f where f.feature_code = code;
  if not found then
    perform private.raise_error('not_found', format('There is no feature %s.', coalesce(to_json(code)::text, 'null')));
  end if;
  terms.is_on := private.feature_is_on(features, code);
  terms.most := private.limit_in(features, code);
  if feature.is_counted then
    select p.period_start, p.period_end into terms.period_start, terms.period_end
    from private.feature_period(wanted_workspace, at) p;
  end if;
  return terms;
end;
$$;

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

-- The part of an answer about a feature: { used, limit, remaining, period_start, period_end }, and allowed, with a code
-- where it is not; limit and remaining null: no limit, 0 where it is off; used, remaining and period null: it is not
-- counted.
create function private.feature_answer(
  terms private.feature_terms, used numeric, allowed boolean default true
) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_object('allowed', allowed, 'used', trim_scale(used), 'limit', terms.most,
    'remaining', case when used <= terms.most then trim_scale(terms.most - used) when used > terms.most then 0 end,
    'period_start', terms.period_start, 'period_end', terms.period_end)
    || case when allowed then '{}' else jsonb_build_object('code',
      case when terms.is_on then 'limit_reached' else 'feature_not_in_plan' end) end;
end;
$$;

-- Refuses what is no quantity: null, NaN, zero, negative, above 1e15.
create function private.require_quantity(quantity numeric) returns void
language plpgsql immutable set search_path = '' as $$
begin
  -- NaN compares as greater than every number.
  if quantity > 0 and quantity <= 1e15 then
    return;
  end if;
  perform private.raise_error('invalid_request',
    format('quantity must be a number above 0 and at most 1e15, not %s.', coalesce(quantity::text, 'null')));
end;
$$;

-- Refuses a use by someone who is no member of the workspace.
create function private.require_usage_member(wanted_workspace uuid, account_id uuid) returns void
language plpgsql set search_path = '' as $$
begin
  if private.role_in(wanted_workspace, account_id) is null then
    if wanted_workspace = account_id then
      perform private.complete_account(account_id); -- a sign-up that could not finish
    end if;
    perform private.require_member(wanted_workspace, account_id);
  end if;
end;
$$;

-- Counting ------------------------------------------------------------------------------------------------------------

-- Counts a use and says what is used now; null, and nothing counted, where that would pass the limit.
create function private.count_feature(
  wanted_workspace uuid, code text, in_period timestamptz, change numeric, most numeric
) returns numeric language plpgsql set search_path = '' as $$
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

-- The answer kept for a use or a release. Requests under one key wait here for each other: they take no wallet's
-- lock.
create function private.earlier_use(wanted_workspace uuid, key text, request jsonb) returns jsonb
language plpgsql set search_path = '' as $$
begin
  if key is not null then
    perform pg_advisory_xact_lock(hashtextextended(wanted_workspace || ' ' || key, 2700));
  end if;
  return private.earlier_answer(wanted_workspace, 'features', key, request);
end;
$$;

create function public.consume_feature(
  feature_code text, quantity numeric, user_id uuid, workspace_id uuid default null, model text default null,
  cost numeric default null, reference_type text default null, reference_id text default null,
  metadata jsonb default '{}', idempotency_key text default null, at timestamptz default clock_timestamp(),
  conversation_id uuid default null, message_id uuid default null
) returns public.feature_use language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(consume_feature.workspace_id, consume_feature.user_id);
  request jsonb;
  answer jsonb;
  terms private.feature_terms;
  used_now numeric;
  record_id bigint;
begin
  perform private.require_valid(at, metadata => metadata, idempotency_key => idempotency_key);
  perform private.require_quantity(quantity);
  if cost < 0 or cost >= 'infinity' or length(concat(model, reference_type, reference_id)) > 1000 then
    perform private.raise_error('invalid_request', 'cost must be US dollars, and model and reference short texts.');
  end if;
  -- Workspace and user are locked in the order in which a deletion takes them, so that neither goes meanwhile.
  perform from public.workspaces w where w.id = wallet_id for key share;
  perform private.require_usage_member(wallet_id, consume_feature.user_id);
  perform private.require_user(consume_feature.user_id);
  at := private.time_under_lock(at);
  request := jsonb_build_object('consume', feature_code, 'quantity', quantity, 'user_id', consume_feature.user_id,
    'model', model, 'cost', cost, 'reference_type', reference_type, 'reference_id', reference_id, 'metadata', metadata,
    'conversation_id', consume_feature.conversation_id, 'message_id', consume_feature.message_id);
  answer := private.earlier_use(wallet_id, idempotency_key, request);
  if answer is not null then
    return jsonb_populate_record(null::public.feature_use, answer);
  end if;
  terms := private.feature_terms_of(wallet_id, feature_code, at);
  if terms.period_start is null then
    perform private.raise_error('invalid_request', format('Feature %s is not counted by uses.', feature_code),
      'check_feature answers its limit.');
  elsif terms.is_on then
    used_now := private.count_feature(wallet_id, feature_code, terms.period_start, quantity, terms.most);
  end if;
  if used_now is null then
    return jsonb_populate_record(null::public.feature_use, private.feature_answer(terms,
      private.feature_used(wallet_id, feature_code, terms.period_start), allowed => false));
  end if;
  insert into private.usage_records (workspace_id, user_id, feature_code, quantity, period_start, created_at, cost,
    model, reference_type, reference_id, idempotency_key, metadata, conversation_id, message_id)
  values (wallet_id, consume_feature.user_id, consume_feature.feature_code, consume_feature.quantity,
    terms.period_start, at, consume_feature.cost, consume_feature.model, consume_feature.reference_type,
    consume_feature.reference_id, consume_feature.idempotency_key, consume_feature.metadata,
    consume_feature.conversation_id, consume_feature.message_id)
  returning id into record_id;
  answer := jsonb_build_object('id', record_id) || private.feature_answer(terms, used_now);
  perform private.store_answer(wallet_id, 'features', idempotency_key, request, answer);
  return jsonb_populate_record(null::public.feature_use, answer);
end;
$$;
comment on function public.consume_feature is
  'Checks and counts a use in one step: { allowed, id, used, limit, remaining, period_start, period_end }. '
  'Where it would pass the limit, or the feature is off, allowed is false with a code (limit_reached, '
  'feature_not_in_plan), and nothing is counted or kept: the same key may try again. '
  'conversation_id and message_id: what it was for, until that is deleted. '
  'The same key and request get the first answer again.';
grant execute on function public.consume_feature to service_role;

-- The use that a release names, by its id or its workspace and key; keeps its workspace and person from going
-- meanwhile.
create function private.find_use(record_id bigint, key text, wanted_workspace uuid) returns private.usage_records
language plpgsql set search_path = '' as $$
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

create function public.release_feature(
  usage_record_id bigint default null, quantity numeric default null, idempotency_key text default null,
  workspace_id uuid default null, at timestamptz default clock_timestamp(), release_idempotency_key text default null
) returns public.feature_release language plpgsql security definer set search_path = '' as $$
declare
  made private.usage_records;
  request jsonb;
  answer jsonb;
  terms private.feature_terms;
  given numeric;
begin
  perform private.require_valid(at, idempotency_key => release_idempotency_key);
  if release_feature.quantity is not null then
    perform private.require_quantity(release_feature.quantity);
  end if;
  made := private.find_use(usage_record_id, release_feature.idempotency_key, release_feature.workspace_id);
  request := jsonb_build_object('release', made.id, 'quantity', release_feature.quantity);
  answer := private.earlier_use(made.workspace_id, release_idempotency_key, request);
  if answer is not null then
    return jsonb_populate_record(null::public.feature_release, answer);
  end if;
  -- No more than is left of it. The lock of the sum has releases of one record wait for each other.
  perform from public.feature_usage u
  where u.workspace_id = made.workspace_id and u.feature_code = made.feature_code and u.period_start = made.period_start
  for no key update;
  given := least(release_feature.quantity, made.quantity + coalesce((
    select sum(r.quantity) from private.usage_records r where r.released_id = made.id), 0));
  update public.feature_usage u set used = u.used - given
  where u.workspace_id = made.workspace_id and u.feature_code = made.feature_code
    and u.period_start = made.period_start;
  terms := private.feature_terms_of(made.workspace_id, made.feature_code, at);
  answer := jsonb_build_object('released', trim_scale(given))
    || private.feature_answer(terms, private.feature_used(made.workspace_id, made.feature_code, terms.period_start));
  if given > 0 then
    insert into private.usage_records (workspace_id, user_id, feature_code, quantity, requested, period_start,
      created_at, released_id, model, reference_type, reference_id, idempotency_key, conversation_id, message_id)
    values (made.workspace_id, made.user_id, made.feature_code, -given, release_feature.quantity, made.period_start, at,
      made.id, made.model, made.reference_type, made.reference_id, release_idempotency_key, made.conversation_id,
      made.message_id);
    perform private.store_answer(made.workspace_id, 'features', release_idempotency_key, request, answer);
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

-- Looks what consume_feature would answer; for the caller, or by the service role for anyone.
create function private.check_feature_for(
  code text, wanted_quantity numeric, account_id uuid, wanted_workspace uuid, at timestamptz
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  terms private.feature_terms;
  used_now numeric;
begin
  perform private.require_valid(at);
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
  if terms.period_start is not null then
    used_now := private.feature_used(wanted_workspace, code, terms.period_start);
  end if;
  return private.feature_answer(terms, used_now,
    terms.is_on and coalesce(coalesce(used_now, 0) + wanted_quantity <= terms.most, true));
end;
$$;
grant execute on function private.check_feature_for(text, numeric, uuid, uuid, timestamptz) to authenticated,
  service_role;

create function public.check_feature(
  feature_code text, quantity numeric default 1, user_id uuid default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns public.feature_use language sql set search_path = '' as $$
  select jsonb_populate_record(null::public.feature_use,
    private.check_feature_for(feature_code, quantity, user_id, workspace_id, at))
$$;
comment on function public.check_feature is
  'Whether a use would be allowed now, as consume_feature would answer, counting nothing. Signed-in people ask for '
  'workspaces they are members of.';
grant execute on function public.check_feature to authenticated, service_role;
