-- Credit, debit, refund, claw back.
-- Every operation takes the wallet's row lock first and so runs alone on its wallet: idempotency, admission and lots
-- are then plain reads and writes. Whatever else it locks comes after (holds, lots, snapshot), so no two can deadlock.

create type public.credit_result as (
  credits_balance numeric,
  credits_total numeric,
  credits_spent numeric,
  credits_expired numeric,
  credits_held numeric,
  credits_available numeric,
  amount numeric,
  transaction_id bigint,
  grant_id uuid,
  hold_id uuid
);
comment on type public.credit_result is
  'The wallet after a credit operation; amount is what the operation moved, the ids name what it made or closed.';

create function private.require_amount(amount numeric, field text default 'amount', zero_allowed boolean default false)
returns void
language plpgsql immutable set search_path = ''
as $$
begin
  -- NaN compares as greater than every number; infinities fail the upper bound.
  if amount > 0 and amount <= 1e12 and amount = round(amount, 6) or zero_allowed and amount = 0 then
    return;
  end if;
  perform private.raise_error('invalid_request',
    format('%s must be a number above 0 with at most six decimals, not %s.', field, coalesce(amount::text, 'null')));
end;
$$;
comment on function private.require_amount(numeric, text, boolean) is
  'Refuses what is no amount of credits: null, NaN, negative, above 1e12, finer than six decimals.';

create function private.require_texts(reason text, metadata jsonb, idempotency_key text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if reason is null or reason !~ '\S' or length(reason) > 100 then
    perform private.raise_error('invalid_request', 'reason must be a text of 1 to 100 characters.');
  end if;
  if metadata is null or jsonb_typeof(metadata) <> 'object' or pg_column_size(metadata) > 16384 then
    perform private.raise_error('invalid_request', 'metadata must be a JSON object of at most 16 KiB.');
  end if;
  if length(idempotency_key) not between 1 and 255 then
    perform private.raise_error('invalid_request', 'idempotency_key must have 1 to 255 characters.');
  end if;
end;
$$;
comment on function private.require_texts(text, jsonb, text) is 'Refuses an operation''s texts when they are off.';

create function private.lock_wallet(wallet_id uuid, at timestamptz) returns public.credit_wallets
language plpgsql set search_path = ''
as $$
declare
  wallet public.credit_wallets;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id for no key update;
  if not found then
    -- An account whose sign-up could not finish is finished by the first call that needs it.
    perform private.complete_account(wallet_id);
    select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id for no key update;
    if not found then
      perform private.raise_error('not_found', format('There is no workspace %s.', coalesce(wallet_id::text, 'null')));
    end if;
  end if;
  if wallet.next_expiry_at <= at then
    perform private.expire_wallet(wallet_id, at);
    select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id;
  end if;
  return wallet;
end;
$$;
comment on function private.lock_wallet(uuid, timestamptz) is
  'Locks a wallet for the rest of the transaction, with what is due to expire gone from it.';

create function private.require_user(account_id uuid) returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from public.users u where u.id = account_id) then
    perform private.raise_error('not_found', format('There is no user %s.', coalesce(account_id::text, 'null')));
  end if;
end;
$$;
comment on function private.require_user(uuid) is 'Refuses a user who does not exist.';

create function private.replay_request(wallet_id uuid, key text, request jsonb) returns public.credit_result
language plpgsql stable set search_path = ''
as $$
declare
  earlier private.credit_requests;
begin
  select * into earlier from private.credit_requests r where r.workspace_id = wallet_id and r.idempotency_key = key;
  if not found then
    return null;
  end if;
  if earlier.request <> request then
    perform private.raise_error('idempotency_conflict',
      format('The idempotency key %s was used on this wallet for another request.', to_json(key)),
      'Use a new key for a new request, and the same parameters for a retry.');
  end if;
  return jsonb_populate_record(null::public.credit_result, earlier.answer);
end;
$$;
comment on function private.replay_request(uuid, text, jsonb) is
  'The answer given before under this key, or null; the same key with another request is an error.';

create function private.remember_request(wallet_id uuid, key text, request jsonb, answer public.credit_result)
returns void
language sql set search_path = ''
as $$
  insert into private.credit_requests (workspace_id, idempotency_key, request, answer)
  select wallet_id, key, request, to_jsonb(answer) where key is not null
$$;
comment on function private.remember_request(uuid, text, jsonb, public.credit_result) is
  'Keeps an answer for its idempotency key, if there is one.';

create function private.burn_lots(
  wallet_id uuid, wanted numeric, at timestamptz, spare_expired boolean, first_lot uuid default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  lot record;
  taken numeric;
  lots jsonb := '[]';
begin
  for lot in
    select g.id, g.remaining from public.credit_grants g
    where g.workspace_id = wallet_id and not g.is_spent
    -- An expired lot is still here only because holds need it: what is no settlement takes it last.
    order by g.id is distinct from first_lot, spare_expired and g.expires_at <= at is true,
      g.priority, g.expires_at, g.is_paid, g.created_at, g.id
  loop
    exit when wanted <= 0;
    taken := least(wanted, lot.remaining);
    update public.credit_grants g set remaining = g.remaining - taken where g.id = lot.id;
    lots := lots || jsonb_build_object('grant_id', lot.id, 'amount', trim_scale(-taken));
    wanted := wanted - taken;
  end loop;
  return lots;
end;
$$;
comment on function private.burn_lots(uuid, numeric, timestamptz, boolean, uuid) is
  'Takes an amount from lots in burn order (priority, soonest expiry, free before paid, oldest), as far as they last.';

create function private.post_entry(
  wallet_id uuid,
  account_id uuid,
  entry_type public.credit_transaction_type,
  signed_amount numeric,
  entry_reason text,
  entry_lots jsonb,
  at timestamptz,
  entry_metadata jsonb default '{}',
  entry_description text default null,
  entry_feature text default null,
  key text default null,
  refunded_id bigint default null,
  for_hold uuid default null,
  held_change numeric default 0,
  new_grant uuid default null
) returns public.credit_result
language plpgsql set search_path = ''
as $$
declare
  answer public.credit_result;
begin
  with wallet as (
    update public.credit_wallets w set
      credits_balance = w.credits_balance + signed_amount,
      credits_total = w.credits_total + case when entry_type in ('credit', 'clawback') then signed_amount else 0 end,
      credits_spent = w.credits_spent - case when entry_type in ('debit', 'refund') then signed_amount else 0 end,
      credits_expired = w.credits_expired - case when entry_type = 'expire' then signed_amount else 0 end,
      credits_held = w.credits_held + held_change
    where w.workspace_id = wallet_id
    returning w.*
  ), entry as (
    insert into public.credit_transactions (
      created_at, workspace_id, user_id, hold_id, refunded_transaction_id, transaction_type, amount, balance_after,
      reason, feature_code, description, lots, metadata, idempotency_key
    )
    select at, wallet_id, account_id, for_hold, refunded_id, entry_type, signed_amount, wallet.credits_balance,
      entry_reason, entry_feature, entry_description, entry_lots, entry_metadata, key
    from wallet
    returning id
  )
  select w.credits_balance, w.credits_total, w.credits_spent, w.credits_expired, w.credits_held,
    w.credits_balance - w.credits_held, abs(signed_amount), entry.id, new_grant, for_hold
  into answer
  from wallet w, entry;
  return answer;
end;
$$;
comment on function private.post_entry is
  'The one place that writes entries and balances: adds an entry and moves its wallet with it. Lots are the caller''s.';

create function private.add_lot(
  wallet public.credit_wallets,
  lot_amount numeric,
  lot_kind public.credit_grant_kind,
  paid boolean,
  lot_priority integer,
  lot_expires_at timestamptz,
  unspent numeric
) returns uuid
language plpgsql set search_path = ''
as $$
declare
  lot_id uuid;
begin
  insert into public.credit_grants (workspace_id, amount, remaining, kind, is_paid, priority, expires_at)
  values (wallet.workspace_id, lot_amount, unspent, lot_kind, paid, lot_priority, lot_expires_at)
  returning id into lot_id;
  if lot_expires_at < coalesce(wallet.next_expiry_at, 'infinity') then
    update public.credit_wallets w set next_expiry_at = lot_expires_at where w.workspace_id = wallet.workspace_id;
  end if;
  return lot_id;
end;
$$;
comment on function private.add_lot is 'Adds a lot of which debt may have used a part already (unspent is what is left).';

create function private.free_due_holds(wallet public.credit_wallets, amount numeric, at timestamptz)
returns public.credit_wallets
language plpgsql set search_path = ''
as $$
begin
  if wallet.credits_balance - wallet.credits_held - amount < -wallet.overdraft_limit and exists (
    select from public.credit_holds h
    where h.workspace_id = wallet.workspace_id and h.state = 'open' and h.expires_at <= at
  ) then
    perform private.expire_wallet(wallet.workspace_id, at);
    select * into wallet from public.credit_wallets w where w.workspace_id = wallet.workspace_id;
  end if;
  return wallet;
end;
$$;
comment on function private.free_due_holds(public.credit_wallets, numeric, timestamptz) is
  'A locked wallet, less the holds that time has ended where an amount needs them gone: no sweep need have come by.';

create function private.available(wallet public.credit_wallets) returns numeric
language sql immutable set search_path = ''
as $$
  select wallet.credits_balance - wallet.credits_held + wallet.overdraft_limit
$$;
comment on function private.available(public.credit_wallets) is 'What an operation may be admitted for.';

create function private.require_available(wallet public.credit_wallets, amount numeric, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  wallet := private.free_due_holds(wallet, amount, at);
  if amount > private.available(wallet) then
    perform private.raise_error('insufficient_credits',
      format('%s credits are needed and %s are available.', trim_scale(amount), trim_scale(private.available(wallet))),
      'Add credits, or ask for less.');
  end if;
end;
$$;
comment on function private.require_available(public.credit_wallets, numeric, timestamptz) is
  'Refuses with insufficient_credits what a locked wallet cannot pay.';

create function private.kind_of_reason(reason text) returns public.credit_grant_kind
language sql immutable set search_path = ''
as $$
  select case reason
    when 'purchase' then 'purchase' when 'subscription' then 'subscription' when 'refund' then 'refund'
    when 'promotion' then 'promotion' else 'free'
  end::public.credit_grant_kind
$$;
comment on function private.kind_of_reason(text) is 'The kind of lot that a credit with this reason makes, unless told.';

create function public.credit_user_credits_transaction(
  user_id uuid,
  amount numeric,
  reason text,
  metadata jsonb default '{}',
  workspace_id uuid default null,
  idempotency_key text default null,
  description text default null,
  kind public.credit_grant_kind default null,
  expires_at timestamptz default null,
  priority integer default 0,
  at timestamptz default clock_timestamp()
) returns public.credit_result
language plpgsql security definer set search_path = ''
as $$
declare
  wallet_id uuid := coalesce(credit_user_credits_transaction.workspace_id, credit_user_credits_transaction.user_id);
  lot_kind public.credit_grant_kind := coalesce(kind, private.kind_of_reason(reason));
  paid boolean := lot_kind in ('purchase', 'subscription');
  cap numeric := private.config_numeric('max_credits_balance', 50000);
  wallet public.credit_wallets;
  request jsonb;
  answer public.credit_result;
  lot_id uuid;
begin
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(credit_user_credits_transaction.user_id);
  if idempotency_key is not null then
    request := jsonb_build_object('credit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
      'user_id', credit_user_credits_transaction.user_id, 'description', description, 'kind', lot_kind,
      'expires_at', expires_at, 'priority', priority);
    answer := private.replay_request(wallet_id, idempotency_key, request);
    if answer is distinct from null then
      return answer;
    end if;
  end if;
  if expires_at <= at then
    perform private.raise_error('invalid_request', 'expires_at must be in the future.');
  end if;
  if not paid and reason <> 'signup' and wallet.credits_balance + amount > cap then
    perform private.raise_error('credits_cap_exceeded',
      format('A balance of %s and %s more would pass the cap of %s.',
        trim_scale(wallet.credits_balance), trim_scale(amount), trim_scale(cap)));
  end if;
  -- Debt is paid first: only what is left of the lot can be burned later.
  lot_id := private.add_lot(wallet, amount, lot_kind, paid, coalesce(priority, 0), expires_at,
    least(amount, greatest(wallet.credits_balance + amount, 0)));
  answer := private.post_entry(wallet_id, credit_user_credits_transaction.user_id, 'credit', amount, reason,
    jsonb_build_array(jsonb_build_object('grant_id', lot_id, 'amount', trim_scale(amount))), at, metadata, description,
    key => idempotency_key, new_grant => lot_id);
  perform private.remember_request(wallet_id, idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.credit_user_credits_transaction is
  'Adds a lot of credits. Kinds purchase and subscription are money already paid, which the balance cap never refuses.';

create function public.debit_user_credits_transaction(
  user_id uuid,
  amount numeric,
  reason text,
  metadata jsonb default '{}',
  workspace_id uuid default null,
  idempotency_key text default null,
  description text default null,
  feature_code text default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result
language plpgsql security definer set search_path = ''
as $$
declare
  wallet_id uuid := coalesce(debit_user_credits_transaction.workspace_id, debit_user_credits_transaction.user_id);
  wallet public.credit_wallets;
  request jsonb;
  answer public.credit_result;
begin
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(debit_user_credits_transaction.user_id);
  if idempotency_key is not null then
    request := jsonb_build_object('debit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
      'user_id', debit_user_credits_transaction.user_id, 'description', description, 'feature_code', feature_code);
    answer := private.replay_request(wallet_id, idempotency_key, request);
    if answer is distinct from null then
      return answer;
    end if;
  end if;
  perform private.require_available(wallet, amount, at);
  answer := private.post_entry(wallet_id, debit_user_credits_transaction.user_id, 'debit', -amount, reason,
    private.burn_lots(wallet_id, amount, at, spare_expired => true), at, metadata, description, feature_code,
    idempotency_key);
  perform private.remember_request(wallet_id, idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.debit_user_credits_transaction is
  'Takes credits, or raises insufficient_credits and takes none.';

create function private.return_lots(wallet_id uuid, entry_id bigint, wanted numeric, at timestamptz) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  lot record;
  returned numeric;
  lots jsonb := '[]';
begin
  for lot in
    with burned as (
      select (l.value ->> 'grant_id')::uuid as grant_id, -(l.value ->> 'amount')::numeric as amount, l.ordinality
      from public.credit_transactions t, jsonb_array_elements(t.lots) with ordinality l
      where t.id = entry_id
    ), given_back as (
      select (l.value ->> 'grant_id')::uuid as grant_id, sum((l.value ->> 'amount')::numeric) as amount
      from public.credit_transactions t, jsonb_array_elements(t.lots) l
      where t.refunded_transaction_id = entry_id
      group by 1
    )
    -- What was clawed back of a lot or expired is not its to have again.
    select b.grant_id, least(b.amount - coalesce(r.amount, 0),
      g.amount - g.remaining - g.clawed_back_amount - g.expired_amount) as open_amount
    from burned b
    join public.credit_grants g on g.id = b.grant_id
    left join given_back r on r.grant_id = b.grant_id
    where g.expires_at > at or g.expires_at is null
    order by b.ordinality desc -- the last burned first: it lives longest
  loop
    returned := least(wanted, lot.open_amount);
    continue when returned <= 0;
    update public.credit_grants g set remaining = g.remaining + returned where g.id = lot.grant_id;
    lots := lots || jsonb_build_object('grant_id', lot.grant_id, 'amount', trim_scale(returned));
    wanted := wanted - returned;
  end loop;
  -- A lot that comes back to life may be the first to expire again.
  update public.credit_wallets w set next_expiry_at = due.at
  from (
    select min(g.expires_at) as at from public.credit_grants g
    where g.workspace_id = wallet_id and not g.is_spent and g.expires_at > return_lots.at
  ) due
  where w.workspace_id = wallet_id and due.at < coalesce(w.next_expiry_at, 'infinity');
  return lots;
end;
$$;
comment on function private.return_lots(uuid, bigint, numeric, timestamptz) is
  'Gives back to the living lots that an entry burned what it took from them, less what came back before.';

create function private.require_refundable(wallet public.credit_wallets, amount numeric, entry_id bigint) returns void
language plpgsql stable set search_path = ''
as $$
declare
  entry public.credit_transactions;
  open_amount numeric := greatest(wallet.credits_spent, 0);
begin
  if entry_id is not null then
    select * into entry from public.credit_transactions t
    where t.id = entry_id and t.workspace_id = wallet.workspace_id;
    if not found then
      perform private.raise_error('not_found', format('This wallet has no entry %s.', entry_id));
    end if;
    if entry.transaction_type <> 'debit' then
      perform private.raise_error('invalid_request', format('transaction_id: entry %s is no debit.', entry_id));
    end if;
    select least(open_amount, -entry.amount - coalesce(sum(t.amount), 0)) into open_amount
    from public.credit_transactions t where t.refunded_transaction_id = entry_id;
  end if;
  if amount > open_amount then
    perform private.raise_error('invalid_state',
      format('%s credits are to be refunded and %s can be.', trim_scale(amount), trim_scale(open_amount)),
      'A refund never gives back more than was taken.');
  end if;
end;
$$;
comment on function private.require_refundable(public.credit_wallets, numeric, bigint) is
  'Refuses a refund of more than its entry took, or than was spent at all.';

create function public.refund_user_credits(
  user_id uuid,
  amount numeric,
  reason text,
  metadata jsonb default '{}',
  workspace_id uuid default null,
  idempotency_key text default null,
  description text default null,
  transaction_id bigint default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result
language plpgsql security definer set search_path = ''
as $$
declare
  wallet_id uuid := coalesce(refund_user_credits.workspace_id, refund_user_credits.user_id);
  wallet public.credit_wallets;
  request jsonb;
  answer public.credit_result;
  lots jsonb := '[]';
  left_over numeric;
  lot_id uuid;
begin
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(refund_user_credits.user_id);
  if idempotency_key is not null then
    request := jsonb_build_object('refund', trim_scale(amount), 'reason', reason, 'metadata', metadata,
      'user_id', refund_user_credits.user_id, 'description', description,
      'transaction_id', refund_user_credits.transaction_id);
    answer := private.replay_request(wallet_id, idempotency_key, request);
    if answer is distinct from null then
      return answer;
    end if;
  end if;
  perform private.require_refundable(wallet, amount, refund_user_credits.transaction_id);
  left_over := least(amount, greatest(wallet.credits_balance + amount, 0)); -- after debt
  if left_over > 0 and refund_user_credits.transaction_id is not null then
    lots := private.return_lots(wallet_id, refund_user_credits.transaction_id, left_over, at);
    left_over := left_over - coalesce((select sum((l ->> 'amount')::numeric) from jsonb_array_elements(lots) l), 0);
  end if;
  if left_over > 0 then
    lot_id := private.add_refund_lot(wallet_id, left_over, refund_user_credits.transaction_id, at);
    lots := lots || jsonb_build_object('grant_id', lot_id, 'amount', trim_scale(left_over));
  end if;
  answer := private.post_entry(wallet_id, refund_user_credits.user_id, 'refund', amount, reason, lots, at, metadata,
    description, key => idempotency_key, refunded_id => refund_user_credits.transaction_id, new_grant => lot_id);
  perform private.remember_request(wallet_id, idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.refund_user_credits is
  'Gives credits back, of one debit (transaction_id) or free-standing: to debt, then to the lots it burned, then as a new lot.';

create function private.add_refund_lot(wallet_id uuid, amount numeric, entry_id bigint, at timestamptz) returns uuid
language plpgsql set search_path = ''
as $$
declare
  wallet public.credit_wallets;
  paid boolean;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id;
  select coalesce(bool_or(g.is_paid), false) into paid
  from public.credit_transactions t, jsonb_array_elements(t.lots) l
  join public.credit_grants g on g.id = (l ->> 'grant_id')::uuid
  where t.id = entry_id;
  return private.add_lot(wallet, amount, 'refund', paid, 0,
    at + make_interval(days => private.config_numeric('refund_expiry_days', 30)::integer), amount);
end;
$$;
comment on function private.add_refund_lot(uuid, numeric, bigint, timestamptz) is
  'A new lot for what no burned lot can take back; paid where the entry had burned paid credits.';

create function public.clawback_credits(
  grant_id uuid,
  amount numeric,
  reason text,
  metadata jsonb default '{}',
  idempotency_key text default null,
  description text default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result
language plpgsql security definer set search_path = ''
as $$
declare
  wallet_id uuid;
  wallet public.credit_wallets;
  lot public.credit_grants;
  request jsonb;
  answer public.credit_result;
  taken numeric;
begin
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  select g.workspace_id into wallet_id from public.credit_grants g where g.id = clawback_credits.grant_id;
  if not found then
    perform private.raise_error('not_found', format('There is no lot %s.', clawback_credits.grant_id));
  end if;
  wallet := private.lock_wallet(wallet_id, at);
  if idempotency_key is not null then
    request := jsonb_build_object('clawback', trim_scale(amount), 'reason', reason, 'metadata', metadata,
      'grant_id', clawback_credits.grant_id, 'description', description);
    answer := private.replay_request(wallet_id, idempotency_key, request);
    if answer is distinct from null then
      return answer;
    end if;
  end if;
  select * into lot from public.credit_grants g where g.id = clawback_credits.grant_id;
  -- What expired is gone already and is not taken a second time.
  taken := least(amount, lot.amount - lot.clawed_back_amount - lot.expired_amount);
  if amount > lot.amount - lot.clawed_back_amount or taken <= 0 then
    perform private.raise_error('invalid_state',
      format('%s credits are to be taken back and %s can be.', trim_scale(amount), trim_scale(taken)));
  end if;
  update public.credit_grants g set clawed_back_amount = g.clawed_back_amount + taken where g.id = lot.id;
  answer := private.post_entry(wallet_id, null, 'clawback', -taken, reason,
    private.burn_lots(wallet_id, taken, at, spare_expired => false, first_lot => lot.id), at, metadata, description,
    key => idempotency_key, new_grant => lot.id);
  perform private.remember_request(wallet_id, idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.clawback_credits is
  'Takes a lot back (its payment was refunded or disputed): from the lot, then from others, then as debt.';

grant execute on function public.credit_user_credits_transaction to service_role;
grant execute on function public.debit_user_credits_transaction to service_role;
grant execute on function public.refund_user_credits to service_role;
grant execute on function public.clawback_credits to service_role;
