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

create function private.require_time(at timestamptz) returns void
language plpgsql stable set search_path = ''
as $$
declare
  days_back integer;
  minutes_ahead integer;
begin
  -- Nearly every operation is about now; only the others read the settings.
  if at between clock_timestamp() - interval '24 hours' and clock_timestamp() + interval '1 minute' then
    return;
  end if;
  days_back := private.config_numeric('max_backdating_days', 366);
  minutes_ahead := private.config_numeric('max_clock_skew_minutes', 5);
  if at between clock_timestamp() - make_interval(hours => 24 * days_back)
    and clock_timestamp() + make_interval(mins => minutes_ahead) then
    return;
  end if;
  perform private.raise_error('invalid_request', format(
    'at must be a time at most %s days back and %s minutes ahead, not %s.', days_back, minutes_ahead,
      coalesce(at::text, 'null')));
end;
$$;
comment on function private.require_time(timestamptz) is
  'Refuses a time that no operation can have: null, infinite, long past or in the future, '
  'which would end or outrank what is to come.';

create function private.time_under_lock(at timestamptz) returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  -- A time within this statement is the default of a parameter, taken before there was a lock to wait for.
  return case when at > statement_timestamp() and at < clock_timestamp() then clock_timestamp() else at end;
end;
$$;
comment on function private.time_under_lock(timestamptz) is
  'The time of an operation, once it has the lock that it waited for: now, unless its caller gave another.';

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
  -- Keys of our own begin with basemeter: on the same wallets.
  if length(idempotency_key) not between 1 and 255 or starts_with(idempotency_key, 'basemeter:') then
    perform private.raise_error('invalid_request',
      'idempotency_key must have 1 to 255 characters and not begin with "basemeter:".');
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
  at := private.time_under_lock(at);
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
language plpgsql set search_path = ''
as $$
begin
  -- Locked, so that a deletion meanwhile is not found and no error of a foreign key.
  perform from public.users u where u.id = account_id for key share;
  if not found then
    perform private.raise_error('not_found', format('There is no user %s.', coalesce(account_id::text, 'null')));
  end if;
end;
$$;
comment on function private.require_user(uuid) is 'Refuses a user who does not exist. Called under the wallet''s lock.';

create function private.lots_to_burn(
  wallet_id uuid, wanted numeric, at timestamptz, spare_expired boolean, first_lot uuid
) returns public.credit_lot_change[]
language sql stable set search_path = ''
as $$
  select array(
    select (l.id, trim_scale(-least(l.remaining, wanted - l.before)))::public.credit_lot_change
    from (
      select g.id, g.remaining, sum(g.remaining) over (
        -- An expired lot is still here only because holds need it: what is no settlement takes it last.
        order by g.id is distinct from first_lot, spare_expired and g.expires_at <= at is true,
          g.priority, g.expires_at, g.is_paid, g.created_at, g.id
        rows unbounded preceding
      ) - g.remaining as before
      from public.credit_grants g
      where g.workspace_id = wallet_id and not g.is_spent
    ) l
    where l.before < wanted
    order by l.before
  )
$$;
comment on function private.lots_to_burn(uuid, numeric, timestamptz, boolean, uuid) is
  'Which lots an amount is taken from, as far as they last, in burn order: priority, soonest expiry, free before paid, '
  'oldest.';

create function private.change_lots(lots public.credit_lot_change[], is_expiry boolean) returns void
language sql set search_path = ''
as $$
  update public.credit_grants g set
    remaining = g.remaining + l.amount,
    is_spent = g.remaining + l.amount = 0,
    expired_amount = g.expired_amount - case when is_expiry then l.amount else 0 end
  from unnest(lots) l
  where g.id = l.grant_id
$$;
comment on function private.change_lots(public.credit_lot_change[], boolean) is
  'Puts credits into lots and takes them out.';

create function private.burn(
  wallet_id uuid, wanted numeric, at timestamptz, spare_expired boolean, first_lot uuid
) returns public.credit_lot_change[]
language plpgsql set search_path = ''
as $$
declare
  lot_id uuid;
  lots public.credit_lot_change[];
begin
  -- Nearly always the first lot is enough: one statement then, and no sort, for the index has this order.
  if first_lot is null then
    update public.credit_grants g set remaining = g.remaining - wanted, is_spent = g.remaining = wanted
    where g.id = (
      select n.id from public.credit_grants n
      where n.workspace_id = wallet_id and not n.is_spent
      order by n.priority, n.expires_at, n.is_paid, n.created_at, n.id
      limit 1
    ) and g.remaining >= wanted and (spare_expired and g.expires_at <= at) is not true
    returning g.id into lot_id;
    if found then
      return array[(lot_id, -wanted)::public.credit_lot_change];
    end if;
  end if;
  lots := private.lots_to_burn(wallet_id, wanted, at, spare_expired, first_lot);
  perform private.change_lots(lots, is_expiry => false);
  return lots;
end;
$$;
comment on function private.burn(uuid, numeric, timestamptz, boolean, uuid) is
  'Takes an amount from a locked wallet''s lots, as far as they last, and says from which.';

create function private.post_entry(
  wallet_id uuid,
  account_id uuid,
  entry_type public.credit_transaction_type,
  signed_amount numeric,
  entry_reason text,
  at timestamptz,
  entry_lots public.credit_lot_change[] default null,
  first_lot uuid default null,
  only_if_admitted boolean default false,
  entry_metadata jsonb default '{}',
  entry_description text default null,
  entry_feature text default null,
  key text default null,
  refunded_id bigint default null,
  for_hold uuid default null,
  held_change numeric default 0,
  new_grant uuid default null,
  spender uuid default null
) returns public.credit_result
language plpgsql set search_path = ''
as $$
declare
  total_change numeric := case when entry_type in ('credit', 'clawback') then signed_amount else 0 end;
  spent_change numeric := case when entry_type in ('debit', 'refund') then -signed_amount else 0 end;
  expired_change numeric := case when entry_type = 'expire' then -signed_amount else 0 end;
  answer public.credit_result;
begin
  -- A few of these leave what a column can hold; a sum of smaller ones takes too many operations to do so.
  if abs(signed_amount) > 1e9 and exists (
    select from public.credit_wallets w where w.workspace_id = wallet_id
      and greatest(abs(w.credits_balance), abs(w.credits_total), abs(w.credits_spent)) + abs(signed_amount) > 9e13
  ) then
    perform private.raise_error('invalid_request',
      format('amount: a wallet cannot hold %s more.', trim_scale(abs(signed_amount))));
  end if;
  -- The wallet first: its row lock makes the rest safe, and an admission in the same statement needs no lock before it.
  update public.credit_wallets w set
    credits_balance = w.credits_balance + signed_amount,
    credits_total = w.credits_total + total_change,
    credits_spent = w.credits_spent + spent_change,
    credits_expired = w.credits_expired + expired_change,
    credits_held = w.credits_held + held_change
  where w.workspace_id = wallet_id and (not only_if_admitted or (
    w.credits_balance - w.credits_held + signed_amount >= -w.overdraft_limit and w.next_expiry_at <= at is not true
    and w.frozen_at is null
  ))
  returning w.credits_balance, w.credits_total, w.credits_spent, w.credits_expired, w.credits_held
  into answer.credits_balance, answer.credits_total, answer.credits_spent, answer.credits_expired, answer.credits_held;
  if not found then
    return null;
  end if;
  if entry_lots is null then
    entry_lots := private.burn(wallet_id, -signed_amount, at, entry_type = 'debit' and for_hold is null, first_lot);
  elsif entry_lots <> '{}' then
    perform private.change_lots(entry_lots, entry_type = 'expire');
  end if;
  update public.users u
  set credits_balance = answer.credits_balance, credits_total = answer.credits_total,
    credits_spent = answer.credits_spent
  where u.id = wallet_id;
  if not found and account_id = wallet_id then
    perform private.raise_error('not_found', format('There is no user %s.', account_id));
  end if;
  if (account_id <> wallet_id or spender is not null) and entry_type in ('debit', 'refund') then
    perform private.count_spending(wallet_id, account_id, spender, -signed_amount, for_hold, refunded_id, at);
  end if;
  insert into public.credit_transactions (
    created_at, workspace_id, user_id, spender_id, hold_id, grant_id, refunded_transaction_id, transaction_type,
    is_overdraft, amount, balance_after, reason, feature_code, description, lots, metadata, idempotency_key
  )
  values (at, wallet_id, account_id, spender, for_hold, new_grant, refunded_id, entry_type,
    signed_amount < 0 and answer.credits_balance < 0, signed_amount, answer.credits_balance, entry_reason,
    entry_feature, entry_description, entry_lots, entry_metadata, key)
  returning id into answer.transaction_id;
  answer.credits_available := answer.credits_balance - answer.credits_held;
  answer.amount := abs(signed_amount);
  answer.grant_id := new_grant;
  answer.hold_id := for_hold;
  return answer;
end;
$$;
comment on function private.post_entry is
  'The one place that moves credits: wallet, lots, the user''s snapshot and the entry that tells of it, together. '
  'Without lots given it burns them. Null where an admission was asked for and not granted.';

create function private.add_lot(
  wallet public.credit_wallets,
  lot_amount numeric,
  lot_kind public.credit_grant_kind,
  paid boolean,
  lot_priority integer,
  lot_expires_at timestamptz
) returns uuid
language plpgsql set search_path = ''
as $$
declare
  lot_id uuid;
begin
  insert into public.credit_grants (workspace_id, amount, remaining, is_spent, kind, is_paid, priority, expires_at)
  values (wallet.workspace_id, lot_amount, 0, true, lot_kind, paid, lot_priority, lot_expires_at)
  returning id into lot_id;
  return lot_id;
end;
$$;
comment on function private.add_lot is 'Adds an empty lot; the entry that grants it fills it.';

create function private.lot_change(lot_id uuid, amount numeric) returns public.credit_lot_change[]
language sql immutable set search_path = ''
as $$
  select case when amount = 0 then '{}' else array[(lot_id, trim_scale(amount))::public.credit_lot_change] end
$$;
comment on function private.lot_change(uuid, numeric) is
  'The lots of an entry that changes one, or none where nothing changes.';

create function private.free_due_holds(wallet public.credit_wallets, amount numeric, at timestamptz)
returns public.credit_wallets
language plpgsql set search_path = ''
as $$
begin
  if wallet.credits_balance - wallet.credits_held - amount < -wallet.overdraft_limit and exists (
    select from private.credit_holds h
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
language plpgsql immutable set search_path = ''
as $$
begin
  if wallet.frozen_at is not null then
    return 0;
  end if;
  return wallet.credits_balance - wallet.credits_held + wallet.overdraft_limit;
end;
$$;
comment on function private.available(public.credit_wallets) is 'What an operation may be admitted for.';

create function private.require_available(wallet public.credit_wallets, amount numeric, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if wallet.frozen_at is not null then
    perform private.raise_error('account_disabled', 'This workspace is frozen: a payment of it is disputed.',
      'It can be used again once the dispute is resolved.');
  end if;
  wallet := private.free_due_holds(wallet, amount, at);
  if amount > greatest(private.available(wallet), 0) then -- nothing can be had in debt too
    perform private.raise_error('insufficient_credits',
      format('%s credits are needed and %s are available.', trim_scale(amount), trim_scale(private.available(wallet))),
      'Add credits, or ask for less.');
  end if;
end;
$$;
comment on function private.require_available(public.credit_wallets, numeric, timestamptz) is
  'Refuses what a locked wallet cannot pay (insufficient_credits) or may not (account_disabled).';

create function private.kind_of_reason(reason text) returns public.credit_grant_kind
language sql immutable set search_path = ''
as $$
  select case reason
    when 'purchase' then 'purchase' when 'subscription' then 'subscription' when 'refund' then 'refund'
    when 'promotion' then 'promotion' else 'free'
  end::public.credit_grant_kind
$$;
comment on function private.kind_of_reason(text) is
  'The kind of lot that a credit with this reason makes, unless told.';

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
  earlier jsonb;
  answer public.credit_result;
  lot_id uuid;
begin
  perform private.require_time(at);
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(credit_user_credits_transaction.user_id);
  request := jsonb_build_object('credit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', credit_user_credits_transaction.user_id, 'description', description, 'kind', lot_kind,
    'expires_at', extract(epoch from expires_at), 'priority', priority);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  if not isfinite(expires_at) or expires_at <= at then
    perform private.raise_error('invalid_request',
      'expires_at must be a time in the future; without it credits never expire.');
  end if;
  if not paid and reason <> 'signup' and wallet.credits_balance + amount > cap then
    perform private.raise_error('credits_cap_exceeded',
      format('A balance of %s and %s more would pass the cap of %s.',
        trim_scale(wallet.credits_balance), trim_scale(amount), trim_scale(cap)));
  end if;
  lot_id := private.add_lot(wallet, amount, lot_kind, paid, coalesce(priority, 0), expires_at);
  -- Debt is paid first: only what is left can be burned later.
  answer := private.post_entry(wallet_id, credit_user_credits_transaction.user_id, 'credit', amount, reason, at,
    private.lot_change(lot_id, least(amount, greatest(wallet.credits_balance + amount, 0))),
    entry_metadata => metadata, entry_description => description, key => idempotency_key, new_grant => lot_id);
  perform private.keep_answer(wallet_id, 'credits', idempotency_key, request, answer);
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
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_time(at);
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  if idempotency_key is null and wallet_id = debit_user_credits_transaction.user_id then
    -- Most debits: nothing to replay, nothing due, enough there. What this does not admit, the long way below decides.
    answer := private.post_entry(wallet_id, wallet_id, 'debit', -amount, reason, at,
      only_if_admitted => true, entry_metadata => metadata, entry_description => description,
        entry_feature => feature_code);
    if answer.credits_balance is not null then
      return answer;
    end if;
  end if;
  wallet := private.lock_wallet(wallet_id, at);
  at := private.time_under_lock(at);
  perform private.require_user(debit_user_credits_transaction.user_id);
  request := jsonb_build_object('debit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', debit_user_credits_transaction.user_id, 'description', description, 'feature_code', feature_code);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  if wallet_id <> debit_user_credits_transaction.user_id then
    perform private.require_spending_left(wallet_id, debit_user_credits_transaction.user_id, null, amount, at);
  end if;
  if wallet.frozen_at is not null or amount > wallet.credits_balance - wallet.credits_held + wallet.overdraft_limit then
    perform private.require_available(wallet, amount, at);
  end if;
  answer := private.post_entry(wallet_id, debit_user_credits_transaction.user_id, 'debit', -amount, reason, at,
    entry_metadata => metadata, entry_description => description, entry_feature => feature_code,
      key => idempotency_key);
  perform private.keep_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.debit_user_credits_transaction is
  'Takes credits, or raises insufficient_credits and takes none.';

create function private.lots_to_return(entry_id bigint, wanted numeric, at timestamptz)
returns public.credit_lot_change[]
language sql stable set search_path = ''
as $$
  with burned as (
    select l.grant_id, -l.amount as amount, l.ordinality
    from public.credit_transactions t, unnest(t.lots) with ordinality l
    where t.id = entry_id
  ), given_back as (
    select l.grant_id, sum(l.amount) as amount
    from public.credit_transactions t, unnest(t.lots) l
    where t.refunded_transaction_id = entry_id
    group by l.grant_id
  ), living as (
    -- What was clawed back of a lot or expired is not its to have again. The last burned comes first: it lives longest.
    select b.grant_id, b.ordinality, least(b.amount - coalesce(r.amount, 0),
      g.amount - g.remaining - g.clawed_back_amount - g.expired_amount) as room
    from burned b
    join public.credit_grants g on g.id = b.grant_id
    left join given_back r on r.grant_id = b.grant_id
    where (g.expires_at > at or g.expires_at is null) and g.expired_amount = 0 -- at may be before it expired
  ), filled as (
    select l.grant_id, l.ordinality, l.room,
      sum(l.room) over (order by l.ordinality desc rows unbounded preceding) - l.room as before
    from living l where l.room > 0
  )
  select array(
    select (f.grant_id, trim_scale(least(f.room, wanted - f.before)))::public.credit_lot_change
    from filled f where f.before < wanted
    order by f.ordinality desc
  )
$$;
comment on function private.lots_to_return(bigint, numeric, timestamptz) is
  'To which living lots an amount goes back: to those that an entry burned, '
  'what it took from them less what came back before.';

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

create function private.post_refund(
  wallet public.credit_wallets, account_id uuid, amount numeric, reason text, metadata jsonb, description text,
    key text,
  entry_id bigint, at timestamptz
) returns public.credit_result
language plpgsql set search_path = ''
as $$
declare
  lots public.credit_lot_change[] := array[]::public.credit_lot_change[];
  left_over numeric := least(amount, greatest(wallet.credits_balance + amount, 0)); -- after debt
  lot_id uuid;
  spender uuid;
begin
  if entry_id is not null then -- it is given back to who used it, whoever asks for that
    select t.user_id, t.spender_id into account_id, spender from public.credit_transactions t where t.id = entry_id;
  end if;
  if left_over > 0 and entry_id is not null then
    lots := private.lots_to_return(entry_id, left_over, at);
    left_over := left_over - coalesce((select sum(l.amount) from unnest(lots) l), 0);
  end if;
  if left_over > 0 then
    lot_id := private.add_refund_lot(wallet.workspace_id, left_over, entry_id, at);
    lots := lots || private.lot_change(lot_id, left_over);
  end if;
  return private.post_entry(wallet.workspace_id, account_id, 'refund', amount, reason, at, lots,
    entry_metadata => metadata, entry_description => description, key => post_refund.key,
    refunded_id => entry_id, new_grant => lot_id, spender => spender);
end;
$$;
comment on function private.post_refund is
  'Gives back to a locked wallet what may be: to debt, then to the lots its entry burned, then as a new lot.';

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
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_time(at);
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(refund_user_credits.user_id);
  request := jsonb_build_object('refund', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', refund_user_credits.user_id, 'description', description,
    'transaction_id', refund_user_credits.transaction_id);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  perform private.require_refundable(wallet, amount, refund_user_credits.transaction_id);
  answer := private.post_refund(wallet, refund_user_credits.user_id, amount, reason, metadata, description,
    idempotency_key,
    refund_user_credits.transaction_id, at);
  perform private.keep_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.refund_user_credits is
  'Gives credits back, of one debit (transaction_id) or free-standing: to debt, then to the lots it burned, '
  'then as a new lot.';

create function private.add_refund_lot(wallet_id uuid, amount numeric, entry_id bigint, at timestamptz) returns uuid
language plpgsql set search_path = ''
as $$
declare
  wallet public.credit_wallets;
  paid boolean;
begin
  select * into wallet from public.credit_wallets w where w.workspace_id = wallet_id;
  select coalesce(bool_or(g.is_paid), false) into paid
  from public.credit_transactions t, unnest(t.lots) l
  join public.credit_grants g on g.id = l.grant_id
  where t.id = entry_id;
  return private.add_lot(wallet, amount, 'refund', paid, 0,
    at + make_interval(hours => 24 * private.config_numeric('refund_expiry_days', 30)::integer));
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
  lot public.credit_grants;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
  taken numeric;
begin
  perform private.require_time(at);
  perform private.require_amount(amount);
  perform private.require_texts(reason, metadata, idempotency_key);
  select g.workspace_id into wallet_id from public.credit_grants g where g.id = clawback_credits.grant_id;
  if not found then
    perform private.raise_error('not_found', format('There is no lot %s.', clawback_credits.grant_id));
  end if;
  perform private.lock_wallet(wallet_id, at);
  request := jsonb_build_object('clawback', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'grant_id', clawback_credits.grant_id, 'description', description);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  select * into lot from public.credit_grants g where g.id = clawback_credits.grant_id;
  -- What expired is gone already and is not taken a second time.
  taken := least(amount, lot.amount - lot.clawed_back_amount - lot.expired_amount);
  if amount > lot.amount - lot.clawed_back_amount or taken <= 0 then
    perform private.raise_error('invalid_state',
      format('%s credits are to be taken back and %s can be.', trim_scale(amount), trim_scale(taken)));
  end if;
  answer := private.post_entry(wallet_id, null, 'clawback', -taken, reason, at, first_lot => lot.id,
    entry_metadata => metadata, entry_description => description, key => idempotency_key, new_grant => lot.id);
  update public.credit_grants g set clawed_back_amount = g.clawed_back_amount + taken where g.id = lot.id;
  perform private.keep_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.clawback_credits is
  'Takes a lot back (its payment was refunded or disputed): from the lot, then from others, then as debt.';

grant execute on function public.credit_user_credits_transaction to service_role;
grant execute on function public.debit_user_credits_transaction to service_role;
grant execute on function public.refund_user_credits to service_role;
grant execute on function public.clawback_credits to service_role;
