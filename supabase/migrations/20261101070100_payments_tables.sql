-- What is sold, who buys it, what was paid. Platforms report it by webhook (later chapters); clients read.
-- A payment outlives the workspace it was for: bookkeeping keeps the row without the person.

create type public.payment_platform as enum ('creem', 'stripe');
comment on type public.payment_platform is 'A payment provider.';
create type public.billing_period as enum ('month', 'quarter', 'half_year', 'year');
comment on type public.billing_period is 'How often a plan is paid for.';
create type public.payment_kind as enum ('purchase', 'subscription');
comment on type public.payment_kind is 'purchase: paid once; subscription: for one of its periods.';
create type public.payment_status as enum (
  'pending', 'succeeded', 'failed', 'refunded', 'partially_refunded', 'disputed'
);
comment on type public.payment_status is 'State of a payment; disputed outranks refunded.';
create type public.payment_event_state as enum ('received', 'applied', 'failed', 'ignored');
comment on type public.payment_event_state is
  'applied: what it reports counts; failed: it could not be applied and is tried again when it is delivered or '
  'replayed; ignored: nothing here follows from it.';

create type public.payment_evidence as enum ('checkout', 'metadata', 'customer', 'email', 'reference', 'admin');
comment on type public.payment_evidence is
  'By what a payment''s workspace was found: a checkout of function billing, metadata like its own, '
  'the platform''s customer, a confirmed address, a reference in a payment link (which anyone may write), an admin.';

create domain public.currency_code as text constraint currency_is_three_capitals check (value ~ '^[A-Z]{3}$');
comment on domain public.currency_code is 'ISO 4217 code.';

create type public.credit_rollover as enum ('none', 'all', 'capped');
comment on type public.credit_rollover is
  'What becomes of a period''s unused credits when the next one is paid: lost, kept, or kept up to a cap.';

alter table public.plans
  add column credit_rollover public.credit_rollover not null default 'none',
  add column credit_rollover_cap public.unsigned_credit_amount,
  add constraint a_cap_is_there_where_rollover_is_capped
    check ((credit_rollover = 'capped') = (credit_rollover_cap is not null));
comment on column public.plans.credit_rollover is 'What becomes of unused credits of its subscriptions.';
comment on column public.plans.credit_rollover_cap is
  'Credits of earlier periods that live on at most; null unless capped.';

create table public.payment_products (
  id uuid primary key default gen_random_uuid(),
  platform public.payment_platform not null,
  product_id text not null constraint product_id_is_not_empty check (product_id ~ '\S'),
  price_id text,
  name public.short_name not null,
  plan text references public.plans,
  billing_period public.billing_period,
  credits public.unsigned_credit_amount not null,
  trial_credits public.unsigned_credit_amount not null default 0,
  trial_days integer not null default 0 constraint trial_days_not_negative check (trial_days >= 0),
  expires_after_days integer constraint expires_after_days_positive check (expires_after_days > 0),
  amount bigint not null constraint amount_not_negative check (amount >= 0),
  currency public.currency_code not null,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint a_product_of_a_platform_is_listed_once unique nulls not distinct (platform, product_id, price_id),
  constraint a_plan_has_a_period_and_a_pack_none check ((plan is null) = (billing_period is null)),
  constraint stripe_sells_by_price check (platform <> 'stripe' or price_id is not null),
  constraint only_packs_expire_by_days check (plan is null or expires_after_days is null)
);
comment on table public.payment_products is
  'What can be bought on which platform: a plan for a period, or (without plan) a pack of credits.';
comment on column public.payment_products.product_id is 'The product''s id at the platform.';
comment on column public.payment_products.price_id is 'The price''s id at Stripe; Creem has none.';
comment on column public.payment_products.credits is
  'Credits that a unit grants: each period for a plan, once for a pack.';
comment on column public.payment_products.trial_credits is 'Credits that a trial grants.';
comment on column public.payment_products.trial_days is
  'Days of trial that a checkout offers, where the platform takes that from us (Stripe).';
comment on column public.payment_products.expires_after_days is
  'Days that a pack''s credits live; null: they do not expire.';
comment on column public.payment_products.amount is
  'Price of a unit to show, in minor units of the currency, before tax. What is charged is the platform''s to say.';
create table private.payment_product_terms (
  payment_product_id uuid not null references public.payment_products on delete cascade,
  effective_from timestamptz not null,
  credits numeric(20, 6) not null,
  trial_credits numeric(20, 6) not null,
  amount bigint not null,
  primary key (payment_product_id, effective_from)
);
comment on table private.payment_product_terms is
  'What a product granted and cost at which time: a changed product changes nothing that was paid before.';

-- Keeps what a product grants from now on.
create function private.record_product_terms() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.payment_product_terms (payment_product_id, effective_from, credits, trial_credits, amount)
  values (new.id, clock_timestamp(), new.credits, new.trial_credits, new.amount);
  return null;
end;
$$;
create trigger payment_products_keep_terms after insert or update of credits, trial_credits, amount
  on public.payment_products
  for each row execute function private.record_product_terms();

create index payment_products_plan_idx on public.payment_products (plan);

create table public.payment_customers (
  platform public.payment_platform not null,
  customer_id text not null,
  workspace_id uuid references public.workspaces on delete set null,
  bound_by public.payment_evidence,
  email text,
  name text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (platform, customer_id)
);
comment on table public.payment_customers is 'Who pays, as the platform knows them, and for which workspace.';
comment on column public.payment_customers.workspace_id is
  'Null until it is known, and again when the workspace is gone.';
create index payment_customers_workspace_id_idx on public.payment_customers (workspace_id);

create table public.user_subscriptions (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid references public.workspaces on delete set null,
  user_id uuid references public.users on delete set null,
  platform public.payment_platform not null,
  subscription_id text not null,
  customer_id text,
  payment_product_id uuid references public.payment_products,
  plan_type text references public.plans,
  next_plan_type text references public.plans,
  plan_status public.subscription_status not null default 'inactive',
  units integer not null default 1,
  started_at timestamptz,
  ended_at timestamptz,
  current_period_start timestamptz,
  current_period_end timestamptz,
  trial_end timestamptz,
  canceled_at timestamptz,
  cancel_at_period_end boolean not null default false,
  past_due_since timestamptz,
  access_until timestamptz,
  is_live boolean not null default false,
  bound_at timestamptz,
  bound_by public.payment_evidence,
  state_occurred_at timestamptz not null,
  state_rank integer not null,
  state_event_id text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint a_subscription_is_there_once unique (platform, subscription_id)
);
comment on table public.user_subscriptions is
  'Subscriptions as their platform last reported them. One at most is live in a workspace.';
comment on column public.user_subscriptions.plan_type is
  'The plan of its product; null where the product is not one of ours.';
comment on column public.user_subscriptions.next_plan_type is
  'The lesser plan that holds from the next period on; null where none is to come.';
comment on column public.user_subscriptions.access_until is
  'Until when the plan holds if nothing more is reported; infinity: until something is; null: it does not hold.';
comment on column public.user_subscriptions.is_live is 'It is what gives its workspace the plan.';
comment on column public.user_subscriptions.bound_at is 'When its workspace was found. It never moves to another one.';
comment on column public.user_subscriptions.state_occurred_at is
  'The platform''s time of the newest event that reported it; with state_rank and state_event_id the order of events.';
create unique index user_subscriptions_live_workspace_id_idx on public.user_subscriptions (workspace_id) where is_live;
create index user_subscriptions_workspace_id_idx on public.user_subscriptions (workspace_id);
create index user_subscriptions_user_id_idx on public.user_subscriptions (user_id);
create index user_subscriptions_customer_id_idx on public.user_subscriptions (platform, customer_id);
create index user_subscriptions_payment_product_id_idx on public.user_subscriptions (payment_product_id);
create index user_subscriptions_plan_type_idx on public.user_subscriptions (plan_type);
create index user_subscriptions_next_plan_type_idx on public.user_subscriptions (next_plan_type);
create index user_subscriptions_access_until_idx on public.user_subscriptions (access_until) where is_live;

create table public.payments (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid references public.workspaces on delete set null,
  user_id uuid references public.users on delete set null,
  platform public.payment_platform not null,
  payment_id text not null,
  kind public.payment_kind,
  status public.payment_status not null default 'pending',
  amount bigint,
  refunded_amount bigint not null default 0,
  currency public.currency_code,
  customer_id text,
  subscription_id text,
  invoice_id text,
  checkout_id text,
  payment_product_id uuid references public.payment_products,
  units integer not null default 1,
  period_start timestamptz,
  period_end timestamptz,
  paid_at timestamptz,
  changed_at timestamptz,
  reversed_share numeric not null default 0,
  bound_at timestamptz,
  bound_by public.payment_evidence,
  state_occurred_at timestamptz not null default '-infinity',
  state_rank integer not null default 0,
  state_event_id text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint a_payment_is_there_once unique (platform, payment_id)
);
comment on table public.payments is 'Payments as their platform last reported them.';
comment on column public.payments.payment_id is
  'Creem: the transaction. Stripe: the invoice where there is one, else the payment intent.';
comment on column public.payments.amount is
  'Paid, in minor units of the currency, tax included; null where the platform has not reported it.';
comment on column public.payments.refunded_amount is 'Of it given back, by refunds and disputes that are not won.';
comment on column public.payments.changed_at is 'Of what was paid for a change within a period: when that began.';
comment on column public.payments.reversed_share is
  'Which part of it was given back, from 0 to 1: what its credits are reduced by.';
comment on column public.payments.bound_at is 'When its workspace was found. It never moves to another one.';
create index payments_workspace_id_created_at_idx on public.payments (workspace_id, created_at);
create index payments_user_id_idx on public.payments (user_id);
create index payments_customer_id_idx on public.payments (platform, customer_id);
create index payments_subscription_id_idx on public.payments (platform, subscription_id);
create index payments_payment_product_id_idx on public.payments (payment_product_id);

create table public.subscription_history (
  id bigint generated always as identity primary key,
  workspace_id uuid references public.workspaces on delete set null,
  platform public.payment_platform not null,
  subscription_id text not null,
  event_type text not null,
  event_id text not null,
  occurred_at timestamptz not null,
  plan text,
  status public.subscription_status,
  invoice_id text,
  amount bigint,
  currency public.currency_code,
  period_start timestamptz,
  period_end timestamptz,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  constraint an_event_is_in_the_history_once unique (platform, event_id, event_type)
);
comment on table public.subscription_history is
  'What happened to subscriptions, each thing once: subscription_created, subscription_updated, '
  'subscription_cancelled, payment_succeeded, payment_failed, trial_started, trial_ended and others.';
create index subscription_history_workspace_id_occurred_at_idx
  on public.subscription_history (workspace_id, occurred_at);
create index subscription_history_subscription_id_idx on public.subscription_history (platform, subscription_id);

create table public.payment_events (
  id bigint generated always as identity primary key,
  platform public.payment_platform not null,
  event_id text not null,
  event_type text not null,
  occurred_at timestamptz not null,
  state public.payment_event_state not null default 'received',
  attempts integer not null default 0,
  error_code text,
  error_message text,
  customer_id text,
  facts jsonb,
  subscription_id text generated always as (
    coalesce(facts #>> '{subscription,id}', facts #>> '{payment,subscription_id}')) stored,
  payment_id text generated always as (facts #>> '{payment,id}') stored,
  reversal_id text generated always as (facts #>> '{reversal,id}') stored,
  raw_body text,
  received_at timestamptz not null default clock_timestamp(),
  applied_at timestamptz,
  constraint an_event_is_kept_once unique (platform, event_id)
);
comment on table public.payment_events is 'The inbox: every event a platform delivered with a valid signature.';
comment on column public.payment_events.facts is
  'What the event reports, in one form for all platforms; null where nothing follows from it. '
  'What is known of a payment is folded from the facts of all its events.';
comment on column public.payment_events.reversal_id is 'The refund or dispute that it reports.';
comment on column public.payment_events.applied_at is 'When its facts began to count.';
comment on column public.payment_events.raw_body is
  'The body as it was delivered; null once the account of who paid is gone.';
create index payment_events_state_idx on public.payment_events (state, received_at)
  where state in ('received', 'failed');
create index payment_events_customer_id_idx on public.payment_events (platform, customer_id);
create index payment_events_subscription_id_idx on public.payment_events (platform, subscription_id)
  where subscription_id is not null;
create index payment_events_payment_id_idx on public.payment_events (platform, payment_id) where payment_id is not null;
create index payment_events_reversal_id_idx on public.payment_events (platform, reversal_id)
  where reversal_id is not null;
create index payment_events_reversals_occurred_at_idx on public.payment_events (occurred_at)
  where reversal_id is not null;

create table public.user_email_aliases (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users on delete cascade,
  email text not null constraint email_is_well_formed check (email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 320),
  confirmed_at timestamptz,
  created_at timestamptz not null default now(),
  constraint an_alias_is_there_once_each unique (user_id, email)
);
comment on table public.user_email_aliases is
  'Further addresses a person pays with. Only a confirmed one ever claims a payment.';
comment on column public.user_email_aliases.confirmed_at is
  'Set by the product''s server once the person has proven that the address is theirs.';
-- Keeps a person's further addresses to a number that a person has.
create function private.limit_email_aliases() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('addresses of ' || new.user_id, 0)); -- counts one after the other
  if (select count(*) from public.user_email_aliases e where e.user_id = new.user_id) >= 20 then
    perform private.raise_error('limit_reached', 'An account may have 20 further addresses.');
  end if;
  return new;
end;
$$;
create trigger user_email_aliases_limit before insert on public.user_email_aliases
  for each row execute function private.limit_email_aliases();
create unique index user_email_aliases_confirmed_email_idx on public.user_email_aliases (lower(email))
  where confirmed_at is not null;

create table public.unmatched_payment_emails (
  id uuid primary key default gen_random_uuid(),
  platform public.payment_platform not null,
  customer_id text not null,
  email text,
  event_id text not null,
  resolved_at timestamptz,
  workspace_id uuid references public.workspaces on delete set null,
  created_at timestamptz not null default now(),
  constraint a_customer_is_unmatched_once unique (platform, customer_id)
);
comment on table public.unmatched_payment_emails is
  'Customers who paid and whose workspace is not known: an admin resolves them, '
  'or the person by confirming the address.';
create index unmatched_payment_emails_email_idx on public.unmatched_payment_emails (lower(email))
  where resolved_at is null;
create index unmatched_payment_emails_workspace_id_idx on public.unmatched_payment_emails (workspace_id);

create type private.payment_task_state as enum ('requested', 'tried', 'voiding', 'done', 'voided');
comment on type private.payment_task_state is
  'requested: the platform was asked for nothing yet; tried: it was asked, and what it did is not known; voiding: a '
  'charge '
  'that was tried and is to be voided. Those are open. done and voided: it has ended.';

create table private.payment_tasks (
  id bigint generated always as identity primary key,
  platform public.payment_platform not null,
  task text not null constraint task_is_known check (task in ('cancel_subscription', 'charge_pack')),
  subscription_id text,
  workspace_id uuid,
  payment_product_id uuid references public.payment_products,
  requested_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  first_tried_at timestamptz,
  due_at timestamptz not null default now(),
  state private.payment_task_state not null default 'requested',
  error text,
  charge jsonb,
  payment_id text,
  constraint a_task_is_there_once unique (platform, task, subscription_id),
  constraint a_task_says_what_it_is_about check ((task = 'cancel_subscription') = (subscription_id is not null)
    and (task = 'charge_pack') = (workspace_id is not null and payment_product_id is not null))
);
comment on table private.payment_tasks is 'What has to be done at a platform, by function billing.';
comment on column private.payment_tasks.workspace_id is
  'For which workspace a pack is charged. No foreign key: a charge that was tried outlives it, to be voided.';
comment on column private.payment_tasks.first_tried_at is
  'When it was first tried: a day later Stripe may have forgotten that, and a charge is not requested again.';
comment on column private.payment_tasks.charge is 'What the platform is asked to charge: the same at every try.';
comment on column private.payment_tasks.state is 'Its moves are listed in the chapter of automatic top-ups.';
comment on column private.payment_tasks.payment_id is 'What it was charged by.';
create index payment_tasks_payment_id_idx on private.payment_tasks (payment_id) where payment_id is not null;
create index payment_tasks_due_at_idx on private.payment_tasks (due_at) where state < 'done';
create unique index payment_tasks_open_charge_idx on private.payment_tasks (workspace_id)
  where task = 'charge_pack' and state < 'done';
create index payment_tasks_payment_product_id_idx on private.payment_tasks (payment_product_id);

create trigger payment_products_set_updated_at before update on public.payment_products
  for each row execute function private.set_updated_at();
create trigger payment_customers_set_updated_at before update on public.payment_customers
  for each row execute function private.set_updated_at();
create trigger user_subscriptions_set_updated_at before update on public.user_subscriptions
  for each row execute function private.set_updated_at();
create trigger payments_set_updated_at before update on public.payments
  for each row execute function private.set_updated_at();

alter table public.payment_products enable row level security;
create policy "everyone can read what is sold" on public.payment_products
  for select to anon, authenticated using (is_active);
alter table public.payment_customers enable row level security;
create policy "owners and admins can read their workspace's customers" on public.payment_customers
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
alter table public.user_subscriptions enable row level security;
create policy "owners and admins can read their workspace's subscriptions" on public.user_subscriptions
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
alter table public.payments enable row level security;
create policy "owners and admins can read their workspace's payments" on public.payments
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
alter table public.subscription_history enable row level security;
create policy "owners and admins can read their workspace's subscription history" on public.subscription_history
  for select to authenticated using (workspace_id = any (array(select private.my_managed_workspace_ids())));
alter table public.payment_events enable row level security;
create policy "platform admins can read the inbox" on public.payment_events
  for select to authenticated using ((select private.is_platform_admin()));
alter table public.user_email_aliases enable row level security;
create policy "people can read their own further addresses" on public.user_email_aliases
  for select to authenticated using ((select auth.uid()) = user_id);
create policy "people can add further addresses" on public.user_email_aliases
  for insert to authenticated with check ((select auth.uid()) = user_id and (select private.is_account_active()));
create policy "people can remove their own further addresses" on public.user_email_aliases
  for delete to authenticated using ((select auth.uid()) = user_id and (select private.is_account_active()));
alter table public.unmatched_payment_emails enable row level security;
create policy "platform admins can read unmatched payers" on public.unmatched_payment_emails
  for select to authenticated using ((select private.is_platform_admin()));

grant select on public.payment_products to anon, authenticated;
grant select, insert, update on public.payment_products to service_role;
grant select on public.payment_customers, public.user_subscriptions, public.payments, public.subscription_history
  to authenticated, service_role;
grant select on public.payment_events, public.unmatched_payment_emails to authenticated, service_role;
grant select, delete on public.user_email_aliases to authenticated, service_role;
grant insert (user_id, email) on public.user_email_aliases to authenticated;
grant insert (user_id, email, confirmed_at), update (confirmed_at) on public.user_email_aliases to service_role;

create view public.current_subscriptions with (security_invoker = true) as
select w.id as workspace_id,
  coalesce(s.plan_type, 'free') as plan,
  coalesce(s.plan_status, 'inactive') as status,
  s.next_plan_type as next_plan, s.platform, s.subscription_id, s.units, s.current_period_start, s.current_period_end,
    s.trial_end,
  coalesce(s.cancel_at_period_end, false) as cancel_at_period_end
from public.workspaces w
left join public.user_subscriptions s on s.workspace_id = w.id and s.is_live;
comment on view public.current_subscriptions is
  'The plan each workspace is on; free and inactive without a subscription.';
grant select on public.current_subscriptions to authenticated, service_role;
create trigger current_subscriptions_refuse_write instead of insert or update or delete on public.current_subscriptions
  for each row execute function private.refuse_write();

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('match_payments_by_email', 'false', 'boolean', null, null, false,
    'Whether a payment that names no account of ours goes to the one that has confirmed its e-mail address. '
    'Leave it off where addresses are confirmed automatically: there it proves nothing.'),
  ('subscription_grace_days', '3', 'integer', 0, 90, false,
    'Days that a plan and its credits outlive a period, in which the next payment may arrive.'),
  ('past_due_grace_days', '7', 'integer', 0, 90, false,
    'Days that a plan holds after a charge has failed.'),
  ('payment_mode', '""', 'text', null, null, false,
    'live or test: events of the other mode are kept and ignored, and admins notified. Empty: both count. '
    'Set it to live where real money is taken.'),
  ('stripe_account', '""', 'text', null, null, false,
    'The connected account (acct_…) whose events count. Empty: an event that names an account is another''s, '
    'and is kept and ignored.'),
  ('checkout_return_urls', '""', 'text', null, null, false,
    'Origins that checkouts and portals may return to, separated by commas: https://app.example.com. None: '
    'checkouts are refused.');

create trigger payment_products_audit_changes after insert or update or delete on public.payment_products
  for each row execute function private.audit_change('id', '');
create trigger user_email_aliases_audit_changes after insert or update of confirmed_at or delete
  on public.user_email_aliases
  for each row execute function private.audit_change('id', 'user_id');
create trigger user_subscriptions_audit_start after insert on public.user_subscriptions
  for each row execute function private.audit_change('id', 'workspace_id',
    'platform subscription_id plan_type next_plan_type plan_status');
create trigger user_subscriptions_audit_changes
  after update of plan_type, next_plan_type, plan_status, workspace_id on public.user_subscriptions
  for each row when ((old.plan_type, old.next_plan_type, old.plan_status) is distinct from
      (new.plan_type, new.next_plan_type, new.plan_status) or old.workspace_id is null and new.workspace_id is not null)
  execute function private.audit_change('id', 'workspace_id', 'plan_type next_plan_type plan_status workspace_id');
