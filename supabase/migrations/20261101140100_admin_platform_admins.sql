-- What people who run the platform do by hand. Callable by platform admins and the service role; every call is audited
-- with who did it and why. The role itself is given by the service role alone.

-- Refuses who is no platform admin, and an admin who does not say why.
create function private.require_admin_reason(reason text) returns void language plpgsql set search_path = '' as $$
begin
  perform private.require_platform_admin();
  if coalesce(reason, '') !~ '\S' or length(reason) > 1000 then
    perform private.raise_error('invalid_request', 'reason must be a text of 1 to 1000 characters.');
  end if;
end;
$$;

-- A pattern for ilike that finds a text as it is; refuses who is no platform admin, and a search for nothing.
create function private.search_pattern(search_for text, max_rows integer) returns text
language plpgsql set search_path = '' as $$
begin
  perform private.require_platform_admin();
  if coalesce(search_for, '') !~ '\S' or length(search_for) > 320 then
    perform private.raise_error('invalid_request', 'query must be a text of 1 to 320 characters.');
  elsif max_rows between 1 and 100 is not true then
    perform private.raise_error('invalid_request', 'max_rows must be between 1 and 100.');
  end if;
  return '%' || regexp_replace(trim(search_for), '([\\%_])', '\\\1', 'g') || '%';
end;
$$;

-- Audits who was shown to an admin.
create function private.audit_search(action text, resource_type text, matches jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  -- Whom they saw. Not what they typed, which may be an address and would outlive it.
  perform private.audit(audit_search.action, audit_search.resource_type, null, details => jsonb_build_object('found',
    (select coalesce(jsonb_agg(f.value -> 'id'), '[]') from jsonb_array_elements(matches) f)));
end;
$$;

-- Accounts by id, address or name.
create function private.admin_find_users(search_for text, max_rows integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  pattern text := private.search_pattern(search_for, max_rows);
  matches jsonb;
begin
  select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc), '[]') into matches
  from (
    select u.id, u.email, u.full_name, u.subscription_plan as plan, trim_scale(u.credits_balance) as credits_balance,
      u.is_active, u.role, u.created_at
    from public.users u
    where u.id::text = lower(trim(search_for)) or u.email ilike pattern or u.full_name ilike pattern
    order by u.id::text = lower(trim(search_for)) desc, lower(u.email) = lower(trim(search_for)) desc nulls last,
      u.created_at desc
    limit max_rows
  ) f;
  perform private.audit_search('admin_find_users', 'users', matches);
  return matches;
end;
$$;
grant execute on function private.admin_find_users to authenticated, service_role;

-- Workspaces by id, slug or name.
create function private.admin_find_workspaces(search_for text, max_rows integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  pattern text := private.search_pattern(search_for, max_rows);
  matches jsonb;
begin
  select coalesce(jsonb_agg(to_jsonb(f) order by f.created_at desc), '[]') into matches
  from (
    select w.id, w.name, w.slug, w.personal_user_id is not null as is_personal, w.plan,
      (select count(*) from public.workspace_members m where m.workspace_id = w.id) as members,
      trim_scale(c.credits_balance) as credits_balance, trim_scale(c.overdraft_limit) as overdraft_limit, c.frozen_at,
      w.created_at
    from public.workspaces w
    join public.credit_wallets c on c.workspace_id = w.id
    where w.id::text = lower(trim(search_for)) or w.slug ilike pattern
      or w.personal_user_id is null and w.name ilike pattern -- the personal ones are all called the same
    order by w.id::text = lower(trim(search_for)) desc, w.slug = lower(trim(search_for)) desc nulls last,
      w.created_at desc
    limit max_rows
  ) f;
  perform private.audit_search('admin_find_workspaces', 'workspaces', matches);
  return matches;
end;
$$;
grant execute on function private.admin_find_workspaces to authenticated, service_role;

-- Gives a workspace credits, or takes some that it has.
create function private.admin_adjust_credits(
  wanted_workspace uuid, amount numeric, reason text, idempotency_key text, of_kind public.credit_grant_kind,
  at timestamptz
) returns public.credit_result language plpgsql security definer set search_path = '' as $$
declare
  key text := 'basemeter:admin:' || idempotency_key; -- apart from the keys that the product itself uses on this wallet
  wallet public.credit_wallets;
  answer public.credit_result;
  request jsonb;
  earlier jsonb;
begin
  perform private.require_admin_reason(reason);
  if coalesce(idempotency_key, '') = '' or length(key) > 255 then
    perform private.raise_error('invalid_request', 'idempotency_key must have 1 to 239 characters.');
  elsif of_kind in ('free', 'promotion') is not true then
    perform private.raise_error('invalid_request',
      'kind must be free or promotion: what is paid for comes by a payment.');
  end if;
  perform private.require_valid(amount => abs(amount));
  wallet := private.lock_wallet(wanted_workspace, at);
  request := jsonb_build_object('adjust', trim_scale(amount), 'reason', reason, 'kind', of_kind);
  earlier := private.earlier_answer(wanted_workspace, 'credits', key, request);
  if earlier is not null then
    return jsonb_populate_record(answer, earlier);
  end if;
  if amount > 0 then
    answer := public.credit_user_credits_transaction(
      -- Grants are given to somebody; in a team to its first owner.
      (select m.user_id from public.workspace_members m where m.workspace_id = wanted_workspace
        order by m.role, m.created_at, m.user_id limit 1),
      amount, 'admin_adjustment', workspace_id => wanted_workspace, description => reason, kind => of_kind, at => at);
  else
    perform private.require_available(wallet, -amount, at);
    -- Neither an overdraft nor what is set aside is an admin's to take.
    select * into wallet from public.credit_wallets w where w.workspace_id = wanted_workspace;
    if wallet.credits_spendable - wallet.overdraft_limit < -amount then
      perform private.raise_error('insufficient_credits', format('%s credits are to be taken and %s are there.',
        trim_scale(-amount), trim_scale(greatest(wallet.credits_spendable - wallet.overdraft_limit, 0))),
        'Take less.');
    end if;
    -- Nobody's: it is no use of a member's that their limit should count.
    answer := private.post_entry(wanted_workspace, null, 'debit', amount, 'admin_adjustment', at,
      entry_description => reason, key => key);
  end if;
  perform private.store_answer(wanted_workspace, 'credits', key, request, answer);
  perform private.audit('admin_adjust_credits', 'workspaces', wanted_workspace::text, details => jsonb_build_object(
    'amount', trim_scale(amount), 'kind', of_kind, 'reason', reason, 'transaction_id', answer.transaction_id));
  return answer;
end;
$$;
grant execute on function private.admin_adjust_credits to authenticated, service_role;

-- Disables an account, or enables it again.
create function private.admin_set_account_active(account_id uuid, to_active boolean, reason text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_admin_reason(reason);
  if to_active is null then
    perform private.raise_error('invalid_request', 'is_active must be true or false.');
  end if;
  -- One after the other, and as it is then: two admins may be disabling each other.
  perform pg_advisory_xact_lock(hashtextextended('platform admins', 0));
  perform private.require_platform_admin();
  perform from public.credit_wallets w where w.workspace_id = account_id for no key update;
  if not exists (select from public.users u where u.id = account_id) then
    perform private.raise_error('not_found', format('There is no user %s.', coalesce(account_id::text, 'null')));
  elsif not to_active and account_id = auth.uid() then
    perform private.raise_error('invalid_state', 'You cannot disable your own account.');
  elsif not to_active and exists (select from public.users u where u.id = account_id and u.role = 'admin'
    and u.is_active)
    and not exists (select from public.users u where u.id <> account_id and u.role = 'admin' and u.is_active) then
    perform private.raise_error('invalid_state', 'This is the last platform admin.');
  end if;
  update public.users u set is_active = to_active where u.id = account_id and u.is_active <> to_active;
  perform private.audit('admin_set_account_active', 'users', account_id::text,
    details => jsonb_build_object('is_active', to_active, 'reason', reason));
end;
$$;
grant execute on function private.admin_set_account_active to authenticated, service_role;

-- Sets how far below zero a workspace may go.
create function private.admin_set_overdraft(wanted_workspace uuid, new_limit numeric, reason text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_admin_reason(reason);
  perform private.require_valid(amount => new_limit, field => 'overdraft_limit', zero_allowed => true);
  perform private.lock_wallet(wanted_workspace, clock_timestamp());
  update public.credit_wallets w set overdraft_limit = new_limit where w.workspace_id = wanted_workspace;
  perform private.audit('admin_set_overdraft', 'workspaces', wanted_workspace::text,
    details => jsonb_build_object('overdraft_limit', trim_scale(new_limit), 'reason', reason));
end;
$$;
grant execute on function private.admin_set_overdraft to authenticated, service_role;

-- Sets a setting, which is in force from then on.
create function private.admin_set_config(wanted_key text, new_value jsonb, reason text) returns void
language plpgsql security definer set search_path = '' as $$
declare
  setting public.system_config;
begin
  perform private.require_admin_reason(reason);
  select * into setting from public.system_config c where c.config_key = wanted_key for no key update;
  if not found then
    perform private.raise_error('not_found',
      format('There is no setting %s.', coalesce(to_json(wanted_key)::text, 'null')));
  elsif not private.is_config_value(setting.value_type, new_value, setting.minimum, setting.maximum) then
    perform private.raise_error('invalid_request', concat_ws(', ', format('config_value must be JSON of type %s',
      setting.value_type), 'at least ' || setting.minimum, 'at most ' || setting.maximum) || '.');
  end if;
  update public.system_config c set config_value = new_value, is_active = true where c.config_key = wanted_key;
  perform private.audit('admin_set_config', 'system_config', wanted_key,
    details => jsonb_build_object('reason', reason));
end;
$$;
grant execute on function private.admin_set_config to authenticated, service_role;

create type public.made_model_price as (id uuid, model text, effective_from timestamptz);
comment on type public.made_model_price is 'A price that an admin has set.';

-- Gives a model a price from a time on; it never changes one that is or was in force.
create function private.admin_set_model_price(
  model text, reason text, components jsonb, effective_from timestamptz, effective_to timestamptz, source text,
  at timestamptz
) returns public.made_model_price language plpgsql security definer set search_path = '' as $$
declare
  made public.made_model_price;
begin
  perform private.require_admin_reason(reason);
  made.model := model;
  made.effective_from := coalesce(effective_from, at);
  if made.effective_from < at then
    perform private.raise_error('invalid_request',
      'effective_from must not be in the past: calls were charged by then.');
  end if;
  if components is null then
    delete from public.ai_model_prices p where p.model = made.model and p.effective_from = made.effective_from
      and p.effective_from > at returning p.id into made.id;
    if not found then
      perform private.raise_error('not_found', format('There is no price of %s that is yet to begin at %s.',
        to_json(made.model), made.effective_from), 'To set a price, give its components.');
    end if;
  else
    made.id := private.set_model_price(model, components, made.effective_from, effective_to, source);
  end if;
  perform private.audit('admin_set_model_price', 'ai_model_prices', made.id::text, details => jsonb_build_object(
    'model', model, 'reason', reason, 'components', components));
  return made;
end;
$$;
grant execute on function private.admin_set_model_price to authenticated, service_role;

-- The API -------------------------------------------------------------------------------------------------------------

create type public.found_user as (
  id uuid, email text, full_name text, plan text, credits_balance numeric, is_active boolean, role public.user_role,
  created_at timestamptz
);
comment on type public.found_user is 'An account that an admin looked for.';
create type public.found_workspace as (
  id uuid, name text, slug text, is_personal boolean, plan text, members bigint, credits_balance numeric,
  overdraft_limit numeric, frozen_at timestamptz, created_at timestamptz
);
comment on type public.found_workspace is 'A workspace that an admin looked for.';

create function public.admin_find_users(query text, max_rows integer default 20) returns setof public.found_user
language sql set search_path = ''
as $$ select * from jsonb_populate_recordset(null::public.found_user, private.admin_find_users(query, max_rows)) $$;
comment on function public.admin_find_users is
  'Accounts by id, or part of an address or name: [{ id, email, full_name, plan, credits_balance, is_active, role, '
  'created_at }]. For platform admins.';
create function public.admin_find_workspaces(
  query text, max_rows integer default 20
) returns setof public.found_workspace language sql set search_path = '' as $$
  select * from jsonb_populate_recordset(null::public.found_workspace, private.admin_find_workspaces(query, max_rows))
$$;
comment on function public.admin_find_workspaces is
  'Workspaces by id, or part of a slug or a team''s name: [{ id, name, slug, is_personal, plan, members, '
  'credits_balance, overdraft_limit, frozen_at, created_at }]. For platform admins.';
create function public.admin_adjust_credits(
  workspace_id uuid, amount numeric, reason text, idempotency_key text, kind public.credit_grant_kind default 'free'
) returns public.credit_result
language sql set search_path = ''
as $$ select private.admin_adjust_credits(workspace_id, amount, reason, idempotency_key, kind, clock_timestamp()) $$;
comment on function public.admin_adjust_credits is
  'Gives a workspace credits (amount above 0, up to max_credits_balance) or takes some that it has (below 0; '
  'never into debt). For platform admins.';
create function public.admin_set_account_active(user_id uuid, is_active boolean, reason text) returns void
language sql set search_path = '' as $$ select private.admin_set_account_active(user_id, is_active, reason) $$;
comment on function public.admin_set_account_active is
  'Disables an account or enables it again: a disabled one reads what is its own, and calls, pays and changes nothing. '
  'For platform admins.';
create function public.admin_set_overdraft(workspace_id uuid, overdraft_limit numeric, reason text) returns void
language sql set search_path = '' as $$ select private.admin_set_overdraft(workspace_id, overdraft_limit, reason) $$;
comment on function public.admin_set_overdraft is 'Sets how far below zero a workspace may go. For platform admins.';
create function public.admin_set_config(config_key text, config_value jsonb, reason text) returns void
language sql set search_path = '' as $$ select private.admin_set_config(config_key, config_value, reason) $$;
comment on function public.admin_set_config is 'Sets a setting of system_config. For platform admins.';
create function public.admin_set_model_price(
  model text, reason text, components jsonb, effective_from timestamptz default null,
  effective_to timestamptz default null, source text default 'manual'
) returns public.made_model_price language sql set search_path = '' as $$
  select private.admin_set_model_price(model, reason, components, effective_from, effective_to, source,
    clock_timestamp())
$$;
comment on function public.admin_set_model_price is
  'Gives a model a price from a time on (default: now), until another begins or effective_to: { id, model, '
  'effective_from }. components: [{ unit, usd_per_unit or credits_per_unit, above_input_tokens, bound_included, '
  'reprices, service_tier, clock: { weekdays, from, to }, resolution }], or in short { unit: US dollars }, of tokens '
  'for a million. A price that is there stays: of the same time is refused. components null withdraws the price of '
  'effective_from, if it is yet to begin. For platform admins.';
grant execute on function public.admin_find_users, public.admin_find_workspaces, public.admin_adjust_credits,
  public.admin_set_account_active, public.admin_set_overdraft, public.admin_set_config, public.admin_set_model_price
  to authenticated, service_role;
