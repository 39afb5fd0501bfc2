-- Credit, debit, refund, claw back.

create function public.credit_user_credits_transaction(
  user_id uuid, amount numeric, reason text, metadata jsonb default '{}', workspace_id uuid default null,
  idempotency_key text default null, description text default null, kind public.credit_grant_kind default null,
  expires_at timestamptz default null, priority integer default 0, at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(credit_user_credits_transaction.workspace_id, credit_user_credits_transaction.user_id);
  grant_kind public.credit_grant_kind := coalesce(kind, (case
    when reason in ('purchase', 'subscription', 'refund', 'promotion') then reason else 'free'
  end)::public.credit_grant_kind);
  paid boolean := grant_kind in ('purchase', 'subscription');
  cap numeric := private.config_numeric('max_credits_balance', 50000);
  wallet public.credit_wallets;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
  grant_id uuid;
begin
  perform private.require_valid(at, amount, reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(credit_user_credits_transaction.user_id);
  request := jsonb_build_object('credit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', credit_user_credits_transaction.user_id, 'description', description, 'kind', grant_kind,
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
  grant_id := private.add_grant(wallet_id, amount, grant_kind, paid, coalesce(priority, 0), expires_at);
  -- Debt is paid first: only what is left can be burned later.
  answer := private.post_entry(wallet_id, credit_user_credits_transaction.user_id, 'credit', amount, reason, at,
    private.grant_change(grant_id, least(amount, greatest(wallet.credits_balance + amount, 0))),
    entry_metadata => metadata, entry_description => description, key => idempotency_key, new_grant => grant_id);
  perform private.store_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.credit_user_credits_transaction is
  'Grants credits. Kinds purchase and subscription are money already paid, which the balance cap never refuses.';

create function public.debit_user_credits_transaction(
  user_id uuid, amount numeric, reason text, metadata jsonb default '{}', workspace_id uuid default null,
  idempotency_key text default null, description text default null, feature_code text default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(debit_user_credits_transaction.workspace_id, debit_user_credits_transaction.user_id);
  wallet public.credit_wallets;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_valid(at, amount, reason, metadata, idempotency_key);
  if idempotency_key is null and wallet_id = debit_user_credits_transaction.user_id then
    -- Most debits: nothing to replay, nothing due, enough there. What this does not admit, the long way below decides.
    answer := private.post_entry(wallet_id, wallet_id, 'debit', -amount, reason, at, only_if_admitted => true,
      entry_metadata => metadata, entry_description => description, entry_feature => feature_code);
    if answer.credits_balance is not null then
      return answer;
    end if;
  end if;
  wallet := private.lock_wallet(wallet_id, at);
  at := private.time_under_lock(at);
  request := jsonb_build_object('debit', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', debit_user_credits_transaction.user_id, 'description', description, 'feature_code', feature_code);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  perform private.require_spending_left(wallet_id, debit_user_credits_transaction.user_id, null, amount, at);
  perform private.require_available(wallet, amount, at);
  answer := private.post_entry(wallet_id, debit_user_credits_transaction.user_id, 'debit', -amount, reason, at,
    entry_metadata => metadata, entry_description => description, entry_feature => feature_code,
      key => idempotency_key);
  perform private.store_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.debit_user_credits_transaction is
  'Takes credits, or raises insufficient_credits and takes none.';

-- To which living grants an amount goes back: to those that an entry burned, what it took from them less what came
-- back before.
create function private.grants_to_return(
  entry_id bigint, wanted numeric, at timestamptz
) returns public.credit_grant_change[] language plpgsql stable set search_path = '' as $$
begin
  return (with burned as (
    select l.grant_id, -l.amount as amount, l.ordinality
    from public.credit_transactions t, unnest(t.grant_changes) with ordinality l
    where t.id = entry_id
  ), given_back as (
    select l.grant_id, sum(l.amount) as amount
    from public.credit_transactions t, unnest(t.grant_changes) l
    where t.refunded_transaction_id = entry_id
    group by l.grant_id
  ), living as (
    -- What was clawed back of a grant or expired does not come back. The last burned comes first: it lives longest.
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
    select (f.grant_id, trim_scale(least(f.room, wanted - f.before)))::public.credit_grant_change
    from filled f where f.before < wanted
    order by f.ordinality desc
  ));
end;
$$;

-- Gives back to a locked wallet what may be: to debt, then to the grants its entry burned, then as a new grant.
create function private.post_refund(
  wallet public.credit_wallets, account_id uuid, amount numeric, reason text, metadata jsonb, description text,
  key text, entry_id bigint, at timestamptz
) returns public.credit_result language plpgsql set search_path = '' as $$
declare
  changes public.credit_grant_change[] := array[]::public.credit_grant_change[];
  left_over numeric := least(amount, greatest(wallet.credits_balance + amount, 0)); -- after debt
  grant_id uuid;
  spender uuid;
begin
  if entry_id is not null then -- it is given back to who used it, whoever asks for that
    select t.user_id, t.spender_id into account_id, spender from public.credit_transactions t where t.id = entry_id;
  end if;
  if left_over > 0 and entry_id is not null then
    changes := private.grants_to_return(entry_id, left_over, at);
    left_over := left_over - coalesce((select sum(l.amount) from unnest(changes) l), 0);
  end if;
  if left_over > 0 then
    -- Paid where the entry had burned paid credits.
    grant_id := private.add_grant(wallet.workspace_id, left_over, 'refund', exists (
        select from public.credit_transactions t, unnest(t.grant_changes) l
        join public.credit_grants g on g.id = l.grant_id
        where t.id = entry_id and g.is_paid),
      0, at + make_interval(hours => 24 * private.config_numeric('refund_expiry_days', 30)::integer));
    changes := changes || private.grant_change(grant_id, left_over);
  end if;
  return private.post_entry(wallet.workspace_id, account_id, 'refund', amount, reason, at, changes,
    entry_metadata => metadata, entry_description => description, key => post_refund.key,
    refunded_id => entry_id, new_grant => grant_id, spender => spender);
end;
$$;

create function public.refund_user_credits(
  user_id uuid, amount numeric, reason text, metadata jsonb default '{}', workspace_id uuid default null,
  idempotency_key text default null, description text default null, transaction_id bigint default null,
  at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid := coalesce(refund_user_credits.workspace_id, refund_user_credits.user_id);
  wallet public.credit_wallets;
  entry public.credit_transactions;
  refundable numeric;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
begin
  perform private.require_valid(at, amount, reason, metadata, idempotency_key);
  wallet := private.lock_wallet(wallet_id, at);
  perform private.require_user(refund_user_credits.user_id);
  request := jsonb_build_object('refund', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'user_id', refund_user_credits.user_id, 'description', description,
    'transaction_id', refund_user_credits.transaction_id);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  -- Never more than its entry took, or than was spent at all.
  refundable := greatest(wallet.credits_spent, 0);
  if refund_user_credits.transaction_id is not null then
    select * into entry from public.credit_transactions t
    where t.id = refund_user_credits.transaction_id and t.workspace_id = wallet_id;
    if not found then
      perform private.raise_error('not_found', format('This wallet has no entry %s.',
        refund_user_credits.transaction_id));
    elsif entry.transaction_type <> 'debit' then
      perform private.raise_error('invalid_request', format('transaction_id: entry %s is no debit.', entry.id));
    end if;
    select least(refundable, -entry.amount - coalesce(sum(t.amount), 0)) into refundable
    from public.credit_transactions t where t.refunded_transaction_id = entry.id;
  end if;
  if amount > refundable then
    perform private.raise_error('invalid_state',
      format('%s credits are to be refunded and %s can be.', trim_scale(amount), trim_scale(refundable)),
      'A refund never gives back more than was taken.');
  end if;
  answer := private.post_refund(wallet, refund_user_credits.user_id, amount, reason, metadata, description,
    idempotency_key,
    refund_user_credits.transaction_id, at);
  perform private.store_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.refund_user_credits is
  'Gives credits back, of one debit (transaction_id) or free-standing: to debt, then to the grants it burned, '
  'then as a new grant.';

create function public.clawback_credits(
  grant_id uuid, amount numeric, reason text, metadata jsonb default '{}', idempotency_key text default null,
  description text default null, at timestamptz default clock_timestamp()
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  wallet_id uuid;
  credit_grant public.credit_grants;
  request jsonb;
  earlier jsonb;
  answer public.credit_result;
  taken numeric;
begin
  perform private.require_valid(at, amount, reason, metadata, idempotency_key);
  select g.workspace_id into wallet_id from public.credit_grants g where g.id = clawback_credits.grant_id;
  if not found then
    perform private.raise_error('not_found', format('There is no grant %s.', clawback_credits.grant_id));
  end if;
  perform private.lock_wallet(wallet_id, at);
  request := jsonb_build_object('clawback', trim_scale(amount), 'reason', reason, 'metadata', metadata,
    'grant_id', clawback_credits.grant_id, 'description', description);
  earlier := private.earlier_answer(wallet_id, 'credits', idempotency_key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  select * into credit_grant from public.credit_grants g where g.id = clawback_credits.grant_id;
  -- What expired is gone already and is not taken a second time.
  taken := least(amount, credit_grant.amount - credit_grant.clawed_back_amount - credit_grant.expired_amount);
  if amount > credit_grant.amount - credit_grant.clawed_back_amount or taken <= 0 then
    perform private.raise_error('invalid_state',
      format('%s credits are to be taken back and %s can be.', trim_scale(amount), trim_scale(taken)));
  end if;
  answer := private.post_entry(wallet_id, null, 'clawback', -taken, reason, at, first_grant => credit_grant.id,
    entry_metadata => metadata, entry_description => description, key => idempotency_key, new_grant => credit_grant.id);
  update public.credit_grants g set clawed_back_amount = g.clawed_back_amount + taken where g.id = credit_grant.id;
  perform private.store_answer(wallet_id, 'credits', idempotency_key, request, answer);
  return answer;
end;
$$;
comment on function public.clawback_credits is
  'Takes a grant back (its payment was refunded or disputed): from the grant, then from others, then as debt.';

grant execute on function public.credit_user_credits_transaction to service_role;
grant execute on function public.debit_user_credits_transaction to service_role;
grant execute on function public.refund_user_credits to service_role;
grant execute on function public.clawback_credits to service_role;
