-- The ledger page by page, for frontends.

create type public.debit_status as enum ('succeeded', 'partially_refunded', 'refunded');
comment on type public.debit_status is
  'What became of a debit: succeeded: nothing of it was given back; refunded: all.';

create type public.credit_history_entry as (
  id bigint, created_at timestamptz, workspace_id uuid, user_id uuid, api_key_id uuid,
  transaction_type public.credit_transaction_type, amount numeric, status public.debit_status, refunded_amount numeric,
  balance_after numeric, reason text, feature_code text, description text, hold_id uuid, refunded_transaction_id bigint,
  metadata jsonb
);
comment on type public.credit_history_entry is
  'A ledger entry, with what became of it: status and refunded_amount (null but for debits). balance_after is null for '
  'plain members of a team. api_key_id: its spender_id.';

create view private.entries_and_refunds as
select t.*, became.status, case when t.transaction_type = 'debit' then refunds.amount end as refunded_amount
from public.credit_transactions t
cross join lateral (
  select coalesce(sum(r.amount), 0) as amount from public.credit_transactions r
  where r.refunded_transaction_id = t.id and t.transaction_type = 'debit'
) refunds
cross join lateral (
  select case when t.transaction_type <> 'debit' then null when refunds.amount = 0 then 'succeeded'
    when refunds.amount < -t.amount then 'partially_refunded' else 'refunded' end::public.debit_status as status
) became;
comment on view private.entries_and_refunds is 'Entries with what became of them: debits have refunds.';

-- As private.call_history.
create function private.credit_history(
  wanted_workspace uuid, before_id bigint, max_rows integer, wanted_type public.credit_transaction_type,
  wanted_reason text, wanted_scene text, wanted_model text, wanted_key uuid, wanted_user uuid,
  wanted_status public.debit_status, wanted_reference text, since timestamptz, until timestamptz
) returns setof public.credit_history_entry
language plpgsql stable security definer
set search_path = '' set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  is_member boolean := private.lists_own_alone(wanted_workspace, max_rows);
  before timestamptz := timestamptz 'infinity';
  entries bigint[];
begin
  if is_member then
    if wanted_user <> auth.uid() then
      return;
    end if;
    wanted_user := auth.uid();
  end if;
  if before_id is not null then
    select t.created_at into before from public.credit_transactions t
    where t.id = before_id and t.workspace_id = wanted_workspace and (wanted_user is null or t.user_id = wanted_user);
    if not found then
      perform private.raise_error('not_found', format('before_id: there is no entry %s in this list.', before_id));
    end if;
  end if;
  wanted_reference := left(wanted_reference, 500);
  since := coalesce(since, '-infinity');
  until := coalesce(until, 'infinity');
  if wanted_reference is not null then
    -- Entries of a call lie between its beginning and its end. They are few: the aggregate sorts them, which counts as
    -- so dear without enable_sort that Postgres would compile the plan.
    entries := array(
      select e.id from private.ai_usage_logs l cross join lateral (
        select t.id from public.credit_transactions t
        where t.workspace_id = wanted_workspace and t.metadata ->> 'request_id' = l.request_id
          and t.created_at between l.created_at - make_interval(secs => coalesce(l.duration, 0) / 1000.0 + 1)
            and l.created_at
        offset 0 -- call by call
      ) e
      where l.workspace_id = wanted_workspace and l.reference_id = wanted_reference
    );
    return query select t.id, t.created_at, t.workspace_id, t.user_id, t.spender_id, t.transaction_type,
      t.amount::numeric, t.status, t.refunded_amount, case when not is_member then t.balance_after::numeric end,
      t.reason, t.feature_code, t.description, t.hold_id, t.refunded_transaction_id, t.metadata
    from unnest((select (array_agg(t order by t.created_at desc, t.id desc))[1:max_rows]
      from private.entries_and_refunds t
      where t.id = any (entries)
        and (t.created_at, t.id) < (before, coalesce(before_id, 0)) and t.created_at >= since and t.created_at < until
        and (wanted_user is null or t.user_id = wanted_user)
        and (wanted_type is null or t.transaction_type = wanted_type)
        and (wanted_reason is null or t.reason = wanted_reason)
        and (wanted_scene is null or t.feature_code = wanted_scene)
        and (wanted_model is null or t.metadata ->> 'model' = wanted_model)
        and (wanted_key is null or t.spender_id = wanted_key)
        and (wanted_status is null or t.status = wanted_status))) t;
  elsif wanted_user is not null then
    return query select t.id, t.created_at, t.workspace_id, t.user_id, t.spender_id, t.transaction_type,
      t.amount::numeric, t.status, t.refunded_amount, case when not is_member then t.balance_after::numeric end,
      t.reason, t.feature_code, t.description, t.hold_id, t.refunded_transaction_id, t.metadata
    from private.entries_and_refunds t
    where t.user_id = wanted_user and t.workspace_id = wanted_workspace
      and (t.created_at, t.id) < (before, coalesce(before_id, 0)) and t.created_at >= since and t.created_at < until
      and (wanted_type is null or t.transaction_type = wanted_type)
      and (wanted_reason is null or t.reason = wanted_reason)
      and (wanted_scene is null or t.feature_code = wanted_scene)
      and (wanted_model is null or t.metadata ->> 'model' = wanted_model)
      and (wanted_key is null or t.spender_id = wanted_key)
      and (wanted_status is null or t.status = wanted_status)
    order by t.created_at desc, t.id desc limit max_rows;
  else
    return query select t.id, t.created_at, t.workspace_id, t.user_id, t.spender_id, t.transaction_type,
      t.amount::numeric, t.status, t.refunded_amount, case when not is_member then t.balance_after::numeric end,
      t.reason, t.feature_code, t.description, t.hold_id, t.refunded_transaction_id, t.metadata
    from private.entries_and_refunds t
    where t.workspace_id = wanted_workspace
      and (t.created_at, t.id) < (before, coalesce(before_id, 0)) and t.created_at >= since and t.created_at < until
      and (wanted_type is null or t.transaction_type = wanted_type)
      and (wanted_reason is null or t.reason = wanted_reason)
      and (wanted_scene is null or t.feature_code = wanted_scene)
      and (wanted_model is null or t.metadata ->> 'model' = wanted_model)
      and (wanted_key is null or t.spender_id = wanted_key)
      and (wanted_status is null or t.status = wanted_status)
    order by t.created_at desc, t.id desc limit max_rows;
  end if;
end;
$$;
grant execute on function private.credit_history to authenticated, service_role;

create function public.credit_history(
  workspace_id uuid default null, before_id bigint default null, max_rows integer default 50,
  transaction_type public.credit_transaction_type default null, reason text default null, scene text default null,
  model text default null, api_key_id uuid default null, user_id uuid default null,
  status public.debit_status default null, reference_id text default null, "from" timestamptz default null,
  "to" timestamptz default null
) returns setof public.credit_history_entry language sql stable set search_path = '' as $$
  select * from private.credit_history(coalesce(workspace_id, auth.uid()), before_id, max_rows,
    transaction_type, reason, scene, model, api_key_id, user_id, status, reference_id, "from", "to")
$$;
comment on function public.credit_history is
  'Ledger entries of a workspace (default: the caller''s own), newest first, at most 200 at once; before_id: the id of '
  'the last entry of the page before. Filters: type, reason, scene (feature_code), model (of the metadata), key, '
  'person, what became of a debit, the reference_id of the call, and a span of time (from included, to not). Plain '
  'members of a team get their own entries, without the balance.';
grant execute on function public.credit_history to authenticated, service_role;
