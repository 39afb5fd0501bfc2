-- What function billing asks before it talks to a platform.

-- The workspace (default: the caller's own) whose payments a caller may see to; an error otherwise.
create function private.require_billing_rights(account_id uuid, wanted_workspace uuid) returns uuid
language plpgsql set search_path = '' as $$
declare
  account public.users := private.require_account(account_id);
  workspace public.workspaces;
begin
  if not account.is_active then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  end if;
  select * into workspace from public.workspaces w where w.id = coalesce(wanted_workspace, account_id);
  if private.role_in(workspace.id, account_id) in ('owner', 'admin') is not true then
    perform private.raise_error('forbidden', 'Only owners and admins of a workspace may see to its payments.');
  end if;
  return workspace.id;
end;
$$;

-- Origins that checkouts may return to.
create function private.return_urls() returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(trim(u)) filter (where trim(u) <> ''), '[]')
  from string_to_table(private.config('checkout_return_urls') #>> '{}', ',') u
$$;

-- A product that is sold; an error where it is not.
create function private.product_on_sale(wanted_product uuid) returns public.payment_products
language plpgsql stable set search_path = '' as $$
declare
  product public.payment_products;
begin
  select * into product from public.payment_products p where p.id = wanted_product and p.is_active;
  if not found then
    perform private.raise_error('not_found', format('There is no product %s.', coalesce(wanted_product::text, 'null')));
  end if;
  return product;
end;
$$;

-- The subscription of a workspace that its platform still holds: the live one, else one that is paused or unpaid.
create function private.standing_subscription(wanted_workspace uuid) returns public.user_subscriptions
language plpgsql stable set search_path = '' as $$
declare
  subscription public.user_subscriptions;
begin
  select s.* into subscription from public.user_subscriptions s
  where s.workspace_id = wanted_workspace and s.plan_status not in ('canceled', 'expired', 'inactive')
    and s.bound_by <> 'reference' -- a link that anyone may write names nobody's business
  order by s.is_live desc, s.state_occurred_at desc, s.platform, s.subscription_id
  limit 1;
  return subscription;
end;
$$;

-- Customers of a workspace at the platforms, newest first; but not those that a link named.
create function private.own_customers(wanted_workspace uuid) returns setof public.payment_customers
language plpgsql stable set search_path = '' as $$
begin
  return query
    select c.* from public.payment_customers c
    where c.workspace_id = wanted_workspace and not private.is_guest(c.customer_id)
      and c.bound_by in ('checkout', 'metadata', 'admin', 'email')
    order by c.bound_by = 'checkout' desc, c.created_at desc;
end;
$$;

-- Whether all who bought as this customer are members of its workspace still: the platform keeps their cards with
-- it.
create function private.is_paid_by_members(customer public.payment_customers) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(bool_or(a.is_here), false)
      and not bool_or(not a.is_here and (a.user_id is not null or a.bound_by = 'checkout'))
    from (
      select s.user_id, s.bound_by from public.user_subscriptions s
      where s.platform = customer.platform and s.customer_id = customer.customer_id
      union all
      select p.user_id, p.bound_by from public.payments p
      where p.platform = customer.platform and p.customer_id = customer.customer_id and p.subscription_id is null
        -- For what was charged automatically nobody gave a card.
        and not exists (select from private.payment_tasks t where t.payment_id = p.payment_id
          and t.workspace_id = p.workspace_id)
    ) b
    cross join lateral (
      select b.user_id, b.bound_by, exists (
        select from public.workspace_members m join public.users u on u.id = m.user_id
        where m.workspace_id = customer.workspace_id and m.user_id = b.user_id and private.is_admitted(u)
      ) as is_here
    ) a
  );
end;
$$;

-- As which customer a workspace pays: null before its first purchase, and where whose card it is has left.
create function private.customer_to_charge(wanted_workspace uuid, of_platform public.payment_platform) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select c.customer_id from private.own_customers(wanted_workspace) c
    -- Not one that somebody made by typing an address.
    where c.platform = of_platform and c.bound_by in ('checkout', 'admin') and private.is_paid_by_members(c)
    limit 1
  );
end;
$$;

create function public.begin_checkout(
  user_id uuid, payment_product_id uuid, units integer default 1, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  buyer uuid;
  product public.payment_products;
  wallet public.credit_wallets;
  cap numeric := private.config_numeric('max_credits_balance', 50000);
  had_trial boolean;
begin
  perform private.require_valid(at);
  buyer := private.require_billing_rights(begin_checkout.user_id, begin_checkout.workspace_id);
  product := private.product_on_sale(begin_checkout.payment_product_id);
  wallet := private.lock_wallet(buyer, at);
  if begin_checkout.units between 1 and 1000 is not true then
    perform private.raise_error('invalid_request', 'units must be between 1 and 1000.');
  end if;
  if wallet.credits_balance + product.credits * begin_checkout.units > cap then
    perform private.raise_error('credits_cap_exceeded', format('A balance of %s and %s more would pass the cap of %s.',
      trim_scale(wallet.credits_balance), trim_scale(product.credits * begin_checkout.units), trim_scale(cap)));
  end if;
  if product.plan is not null and (private.standing_subscription(buyer)).id is not null then
    perform private.raise_error('invalid_state', 'This workspace has a subscription.', 'Change its plan instead.');
  end if;
  if wallet.frozen_at is not null then
    perform private.raise_error('account_disabled', 'This workspace is frozen: a payment of it is disputed.');
  end if;
  -- One a workspace, and one a person in whichever workspace; also in a team that is gone: teams are free to make.
  had_trial := exists (
    select from public.user_subscriptions s
    where s.workspace_id = buyer or s.user_id = begin_checkout.user_id and (s.trial_end is not null
      or s.plan_status = 'trialing' or exists (
        select from private.periods_of(s.platform, s.subscription_id) p where p.is_trial))
  );
  perform private.audit_for(begin_checkout.user_id, 'begin_checkout', 'payment_products', product.id::text, buyer,
    jsonb_build_object('units', begin_checkout.units));
  return jsonb_build_object('workspace_id', buyer, 'user_id', begin_checkout.user_id,
    'email', (select u.email from public.users u where u.id = begin_checkout.user_id),
    'platform', product.platform, 'product_id', product.product_id, 'price_id', product.price_id,
    'kind', case when product.plan is null then 'pack' else 'plan' end,
    'trial_days', case when had_trial then 0 else product.trial_days end,
    'customer_id', private.customer_to_charge(buyer, product.platform),
    'proof', private.checkout_proof(buyer, begin_checkout.user_id),
    'return_urls', private.return_urls());
end;
$$;
comment on function public.begin_checkout is
  'Whether a product may be bought for a workspace, and what its platform has to be asked. Refuses what would pass '
  'max_credits_balance, and a second subscription.';
grant execute on function public.begin_checkout to service_role, basemeter_functions;

create function public.get_billing_account(user_id uuid, workspace_id uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  payer uuid := private.require_billing_rights(get_billing_account.user_id, get_billing_account.workspace_id);
  standing public.user_subscriptions := private.standing_subscription(payer);
begin
  return jsonb_build_object('workspace_id', payer,
    'customers', coalesce((
      select jsonb_agg(jsonb_build_object('platform', c.platform, 'customer_id', c.customer_id))
      from private.own_customers(payer) c), '[]'),
    'subscription', case when standing.id is not null then jsonb_build_object('platform', standing.platform,
      'subscription_id', standing.subscription_id, 'plan', standing.plan_type, 'status', standing.plan_status,
      'cancel_at_period_end', standing.cancel_at_period_end, 'period_end', standing.current_period_end) end,
    'return_urls', private.return_urls());
end;
$$;
comment on function public.get_billing_account is
  'Customers and standing subscription of a workspace, for who may see to its payments.';
grant execute on function public.get_billing_account to service_role, basemeter_functions;

create function public.begin_plan_change(
  user_id uuid, payment_product_id uuid, workspace_id uuid default null
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  payer uuid := private.require_billing_rights(begin_plan_change.user_id, begin_plan_change.workspace_id);
  product public.payment_products := private.product_on_sale(begin_plan_change.payment_product_id);
  subscription public.user_subscriptions := private.standing_subscription(payer);
begin
  if subscription.id is null then
    perform private.raise_error('invalid_state', 'This workspace has no subscription.', 'Begin a checkout instead.');
  elsif product.plan is null or product.platform <> subscription.platform then
    perform private.raise_error('invalid_request',
      format('payment_product_id must be a plan on %s, where the subscription is.', subscription.platform));
  elsif product.id = subscription.payment_product_id then
    perform private.raise_error('invalid_state', 'The subscription is for this product already.');
  end if;
  perform private.audit_for(begin_plan_change.user_id, 'begin_plan_change', 'user_subscriptions', subscription.id::text,
    payer,
    jsonb_build_object('payment_product_id', product.id, 'plan', product.plan));
  return jsonb_build_object('platform', product.platform, 'subscription_id', subscription.subscription_id,
    'product_id', product.product_id, 'price_id', product.price_id, 'units', subscription.units,
    -- Also the same plan for longer: both are charged at once.
    'is_upgrade', ((select p.rank from public.plans p where p.plan = product.plan),
      private.months_of(product.billing_period))
      > ((select p.rank from public.plans p where p.plan = subscription.plan_type), (
        select private.months_of(o.billing_period) from public.payment_products o
          where o.id = subscription.payment_product_id)))
    || jsonb_strip_nulls(jsonb_build_object('from_price_id',
      (select o.price_id from public.payment_products o where o.id = subscription.payment_product_id)));
end;
$$;
comment on function public.begin_plan_change is
  'Whether a workspace''s subscription may change to a product, and what its platform has to be asked.';
grant execute on function public.begin_plan_change to service_role, basemeter_functions;

create function public.begin_subscription_change(
  user_id uuid, change text, workspace_id uuid default null
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  payer uuid := private.require_billing_rights(begin_subscription_change.user_id,
    begin_subscription_change.workspace_id);
  subscription public.user_subscriptions := private.standing_subscription(payer);
begin
  if change in ('cancel_at_period_end', 'cancel_now', 'resume') is not true then
    perform private.raise_error('invalid_request', 'change must be cancel_at_period_end, cancel_now or resume.');
  elsif subscription.id is null then
    perform private.raise_error('not_found', 'There is no subscription.');
  end if;
  perform private.audit_for(begin_subscription_change.user_id, 'begin_subscription_change', 'user_subscriptions',
    subscription.id::text, payer, jsonb_build_object('change', change));
  return jsonb_build_object('platform', subscription.platform, 'subscription_id', subscription.subscription_id);
end;
$$;
comment on function public.begin_subscription_change is
  'Whether a workspace''s subscription may be cancelled (cancel_at_period_end, cancel_now) or resumed, '
  'and which it is.';
grant execute on function public.begin_subscription_change to service_role, basemeter_functions;

create type public.product_on_sale as (
  id uuid, name text, platform public.payment_platform, period public.billing_period, credits numeric,
    trial_credits numeric,
  trial_days integer, amount bigint, currency text
);
comment on type public.product_on_sale is
  'A plan for a period, as it is sold. amount is in minor units of the currency.';
create type public.plan_on_sale as (
  plan text, name text, description text, requests_per_minute numeric, messages_per_month numeric,
  products public.product_on_sale[]
);
comment on type public.plan_on_sale is 'A plan, and what it is sold as. A limit that is null is none.';
create type public.pack_on_sale as (
  id uuid, name text, platform public.payment_platform, credits numeric, amount bigint, currency text,
  expires_after_days integer
);
comment on type public.pack_on_sale is 'A pack of credits, as it is sold.';
create type public.payment_products_on_sale as (plans public.plan_on_sale[], packs public.pack_on_sale[]);
comment on type public.payment_products_on_sale is 'All that is on sale.';

create function public.list_payment_products() returns public.payment_products_on_sale
language sql stable set search_path = '' as $$
  select jsonb_populate_record(null::public.payment_products_on_sale, jsonb_build_object(
    'plans', (
      select coalesce(jsonb_agg(jsonb_build_object('plan', p.plan, 'name', p.name, 'description', p.description,
        'requests_per_minute', l.limits -> 'requests_per_minute',
        'messages_per_month', l.limits -> 'messages_per_month',
        'products', coalesce((
          select jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'platform', o.platform, 'period',
            o.billing_period,
            'credits', trim_scale(o.credits), 'trial_credits', trim_scale(o.trial_credits), 'trial_days', o.trial_days,
            'amount', o.amount, 'currency', o.currency) order by o.platform, o.amount)
          from public.payment_products o where o.plan = p.plan and o.is_active), '[]')) order by p.rank), '[]')
      from public.plans p
      cross join lateral (
        select jsonb_object_agg(f.feature_code, case when f.is_enabled then f.feature_limit else 0 end) as limits
        from public.plan_features f where f.plan = p.plan
      ) l
      where p.is_active),
    'packs', (
      select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'platform', o.platform,
        'credits', trim_scale(o.credits), 'amount', o.amount, 'currency', o.currency,
        'expires_after_days', o.expires_after_days) order by o.platform, o.amount), '[]')
      from public.payment_products o where o.plan is null and o.is_active)))
$$;
comment on function public.list_payment_products is 'Plans and packs on sale, with what they grant and cost.';
grant execute on function public.list_payment_products to anon, authenticated, service_role;
