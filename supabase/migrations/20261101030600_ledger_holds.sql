-- Holds: credits set aside for work under way, then settled at what was really used.

-- Locks a hold's wallet and reads the hold under that lock.
create function private.lock_hold(wanted_hold uuid, at timestamptz) returns private.credit_holds
language plpgsql set search_path = '' as $$
declare
  hold private.credit_holds;
begin
  perform private.require_valid(at);
  select * into hold from private.credit_holds h where h.id = wanted_hold;
  if found then
    perform private.lock_wallet(hold.workspace_id, at);
    select * into hold from private.credit_holds h where h.id = wanted_hold; -- as it is under the wallet's lock
  end if;
  if not found then
    perform private.raise_error('not_found', format('There is no hold %s.', coalesce(wanted_hold::text, 'null')));
  end if;
  return hold;
end;
$$;

-- Sets credits of a locked wallet aside, for whoever was found to have them.
create function private.add_hold(hold private.credit_holds) returns public.credit_result
language plpgsql set search_path = '' as $$
declare
  answer public.credit_result;
begin
  insert into private.credit_holds (workspace_id, user_id, spender_id, amount, reason, feature_code, description,
    metadata, idempotency_key, work, expires_at, created_at)
  values (hold.workspace_id, hold.user_id, hold.spender_id, hold.amount, hold.reason, hold.feature_code,
    hold.description, hold.metadata, hold.idempotency_key, hold.work, hold.expires_at, hold.created_at)
  returning * into hold;
  answer := private.post_entry(hold.workspace_id, hold.user_id, 'debit', 0, hold.reason, hold.created_at,
    for_hold => hold.id, held_change => hold.amount);
  answer.amount := hold.amount;
  return answer;
end;
$$;

create function public.hold_credits(
  user_id uuid, amount numeric, reason text, metadata jsonb default '{}', workspace_id uuid default null,
  idempotency_key text default null, description text default null, feature_code text default null,
  expires_in interval default '15 minutes', at timestamptz default clock_timestamp(), spender_id uuid default null
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(hold_credits.workspace_id, hold_credits.user_id);
  wallet public.credit_wallets;
  hold private.credit_holds;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_valid(at, amount, reason, metadata, idempotency_key, zero_allowed => true);
  perform private.require_span(expires_in, '30 days');
  wallet := private.lock_wallet(wallet_id, at);
  at := private.time_under_lock(at);
  request := jsonb_build_object('hold', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', hold_credits.user_id, 'description', description, 'feature_code', feature_code,
    'expires_in', expires_in, 'spender_id', hold_credits.spender_id);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  perform private.require_spending_left(wallet_id, hold_credits.user_id, hold_credits.spender_id, amount, at);
  perform private.require_available(wallet, amount, at);
  hold.workspace_id := wallet_id;
  hold.user_id := hold_credits.user_id;
  hold.spender_id := hold_credits.spender_id;
  hold.amount := hold_credits.amount;
  hold.reason := hold_credits.reason;
  hold.feature_code := hold_credits.feature_code;
  hold.description := hold_credits.description;
  hold.metadata := hold_credits.metadata;
  hold.idempotency_key := hold_credits.idempotency_key;
  hold.expires_at := private.later(at, expires_in);
  hold.created_at := at;
  answer := private.add_hold(hold);
  perform private.store_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.hold_credits is
  'Sets credits aside, or raises insufficient_credits. They come back when the hold is settled, released or expires. '
  'spender_id: whose spending limit (spending_limits) counts it besides the user''s.';

-- Posts what was used under a hold, frees what of it is no longer set aside, and expires the grants that only it kept.
create function private.settle_part(
  hold private.credit_holds, used numeric, freed numeric, metadata jsonb, description text, key text, at timestamptz
) returns public.credit_result language plpgsql set search_path = '' as $$
declare
  answer public.credit_result;
  entry_id bigint;
begin
  -- What was used is recorded even past what was held or is there: the rest is debt.
  answer := private.post_entry(hold.workspace_id, hold.user_id, 'debit', -used, hold.reason, at,
    entry_metadata => metadata, entry_description => coalesce(description, hold.description),
    entry_feature => hold.feature_code, key => key, for_hold => hold.id, spender => hold.spender_id,
    held_change => -freed);
  if exists (
    select from public.credit_grants g
    where g.workspace_id = hold.workspace_id and not g.is_spent and g.expires_at <= settle_part.at
  ) then
    perform private.expire_wallet(hold.workspace_id, at);
    entry_id := answer.transaction_id;
    answer := private.post_entry(hold.workspace_id, hold.user_id, 'debit', 0, hold.reason, at, for_hold => hold.id);
    answer.amount := used;
    answer.transaction_id := entry_id;
  end if;
  return answer;
end;
$$;

-- Settles a locked hold that is not closed yet at what was used, or releases it (null), and frees the rest of it.
-- is_work_done: it was the ending of its work.
create function private.close_hold(
  hold private.credit_holds, used numeric, at timestamptz, metadata jsonb default '{}', description text default null,
  key text default null, is_work_done boolean default false
) returns public.credit_result language plpgsql set search_path = '' as $$
begin
  update private.credit_holds h set
    state = case when used is null then 'released' else 'settled' end::public.credit_hold_state,
    closed_at = at,
    settled_amount = h.settled_amount + coalesce(used, 0),
    final_amount = used,
    work = case when not is_work_done then h.work end
  where h.id = hold.id;
  -- One that expired is settled all the same, though nothing of it is set aside: nothing that was used is lost.
  return private.settle_part(hold, coalesce(used, 0), case when hold.state = 'open' then hold.amount else 0 end,
    metadata, description, key, at);
end;
$$;

create function public.settle_credit_hold(
  hold_id uuid, amount numeric, metadata jsonb default '{}', keep_open boolean default false,
  idempotency_key text default null, description text default null, at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds;
  freed numeric;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_valid(at, amount, metadata => metadata, idempotency_key => idempotency_key,
    zero_allowed => not keep_open);
  hold := private.lock_hold(settle_credit_hold.hold_id, at);
  request := jsonb_build_object('settle', trim_scale(amount), 'hold_id', hold.id, 'metadata', metadata,
    'keep_open', keep_open, 'description', description);
  earlier := private.earlier_answer(hold.workspace_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  if keep_open and idempotency_key is null then
    perform private.raise_error('invalid_request', 'idempotency_key is required with keep_open: parts look alike.');
  end if;
  if hold.state = 'settled' and not keep_open and hold.final_amount = amount then
    answer := private.settle_part(hold, 0, 0, '{}', null, null, at); -- a retry: it changes nothing
    answer.amount := amount;
    perform private.store_answer(hold.workspace_id, 'credits', idempotency_key, request, answer);
    return answer;
  end if;
  if hold.state in ('settled', 'released') then
    perform private.raise_error('invalid_state', format('Hold %s is %s already.', hold.id, hold.state),
      'This settlement changed nothing.');
  end if;
  if keep_open then
    freed := case when hold.state = 'open' then least(amount, hold.amount) else 0 end;
    update private.credit_holds h
    set amount = h.amount - freed, settled_amount = h.settled_amount + settle_credit_hold.amount
    where h.id = hold.id;
    answer := private.settle_part(hold, amount, freed, metadata, description, idempotency_key, at);
  else
    answer := private.close_hold(hold, amount, at, metadata, description, idempotency_key);
  end if;
  perform private.store_answer(hold.workspace_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.settle_credit_hold is
  'Charges what was used under a hold, even past it, and closes it; with keep_open (and a key) charges a part and '
  'leaves the rest set aside.';

create function public.release_credit_hold(
  hold_id uuid, at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds;
  answer public.credit_result;
begin
  hold := private.lock_hold(release_credit_hold.hold_id, at);
  if hold.state = 'settled' then
    perform private.raise_error('invalid_state', format('Hold %s is settled already.', hold.id));
  end if;
  if hold.state = 'released' then
    return private.settle_part(hold, 0, 0, '{}', null, null, at);
  end if;
  answer := private.close_hold(hold, null, at);
  answer.amount := case when hold.state = 'open' then hold.amount else 0 end;
  return answer;
end;
$$;
comment on function public.release_credit_hold is
  'Gives back what a hold still sets aside. Doing it again changes nothing.';

create function public.extend_credit_hold(
  hold_id uuid, amount numeric default 0, expires_in interval default null, idempotency_key text default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds;
  wallet public.credit_wallets;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_valid(at, amount, idempotency_key => idempotency_key, zero_allowed => true);
  if expires_in is not null then
    perform private.require_span(expires_in, '30 days');
  end if;
  hold := private.lock_hold(extend_credit_hold.hold_id, at);
  at := private.time_under_lock(at);
  request := jsonb_build_object('extend', trim_scale(amount), 'hold_id', hold.id, 'expires_in', expires_in);
  earlier := private.earlier_answer(hold.workspace_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  if hold.state <> 'open' or hold.expires_at <= at then
    perform private.raise_error('invalid_state', format('Hold %s is not open any more.', hold.id));
  end if;
  select * into wallet from public.credit_wallets w where w.workspace_id = hold.workspace_id;
  if amount > 0 then
    perform private.require_spending_left(hold.workspace_id, hold.user_id, hold.spender_id, amount, at);
    perform private.require_available(wallet, amount, at);
  end if;
  update private.credit_holds h
  set amount = h.amount + extend_credit_hold.amount,
    expires_at = greatest(h.expires_at, private.later(extend_credit_hold.at, extend_credit_hold.expires_in))
  where h.id = hold.id;
  answer := private.post_entry(hold.workspace_id, hold.user_id, 'debit', 0, hold.reason, at, for_hold => hold.id,
    held_change => amount);
  answer.amount := amount;
  perform private.store_answer(hold.workspace_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.extend_credit_hold is
  'Sets more aside under an open hold, for longer (never shorter), or raises insufficient_credits and changes nothing.';

grant execute on function public.hold_credits to service_role;
grant execute on function public.settle_credit_hold to service_role;
grant execute on function public.release_credit_hold to service_role;
grant execute on function public.extend_credit_hold to service_role;
