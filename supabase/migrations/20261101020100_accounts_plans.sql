-- Plans: what a workspace can be subscribed to. What each includes is in plan_features.

create table public.plans (
  plan text primary key constraint plan_is_snake_case check (plan ~ '^[a-z][a-z0-9_]{0,62}$'),
  name text not null,
  description text not null default '',
  rank integer not null constraint plans_rank_is_unique unique,
  messages_limit_paid boolean not null default false,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.plans is 'Plans a workspace can be on; free is the one without a subscription.';
comment on column public.plans.rank is 'Order from least to most: a move to a higher rank is an upgrade.';
comment on column public.plans.messages_limit_paid is
  'Whether its messages_per_month also stop a workspace that has paid credits left.';
comment on column public.plans.is_active is 'Whether it is offered; those who have it keep it.';

create trigger plans_set_updated_at before update on public.plans
  for each row execute function private.set_updated_at();
insert into public.plans (plan, name, rank) values
  ('free', 'Free', 0), ('basic', 'Basic', 1), ('creator', 'Creator', 2), ('pro', 'Pro', 3),
  ('enterprise', 'Enterprise', 4);

alter table public.plans enable row level security;
create policy "everyone can read the plans on offer" on public.plans
  for select to anon, authenticated using (is_active);

grant select on public.plans to anon, authenticated;
grant select, insert, update on public.plans to service_role;
