-- Plans: what a workspace can be subscribed to.

create table public.plans (
  plan text primary key constraint plan_is_snake_case check (plan ~ '^[a-z][a-z0-9_]{0,62}$'),
  name text not null,
  description text not null default '',
  rank integer not null constraint plans_rank_is_unique unique,
  requests_per_minute integer not null constraint requests_per_minute_positive check (requests_per_minute > 0),
  messages_per_month integer not null constraint messages_per_month_not_below_unlimited
    check (messages_per_month >= -1),
  video_jobs_at_once integer not null default 1
    constraint video_jobs_at_once_not_below_unlimited check (video_jobs_at_once >= -1),
  messages_limit_paid boolean not null default false,
  requests_per_day integer not null default -1 constraint requests_per_day_not_below_unlimited
    check (requests_per_day >= -1),
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.plans is 'Plans a workspace can be on; free is the one without a subscription.';
comment on column public.plans.rank is 'Order from least to most: a move to a higher rank is an upgrade.';
comment on column public.plans.requests_per_minute is 'AI calls that a workspace may begin in a minute.';
comment on column public.plans.messages_per_month is
  'Chat and image calls that a workspace may make in a calendar month (UTC); -1: as many as it likes.';
comment on column public.plans.messages_limit_paid is
  'Whether messages_per_month also stops a workspace that has paid credits left.';
comment on column public.plans.requests_per_day is
  'AI calls that a workspace without paid credits may begin in a day (UTC), those refused for their rate aside; -1: '
  'as many as it likes. It bounds what their log can grow to.';
comment on column public.plans.video_jobs_at_once is
  'Video jobs of a workspace that may run at the same time; -1: as many as it likes.';
comment on column public.plans.is_active is 'Whether it is offered; those who have it keep it.';

create trigger plans_set_updated_at before update on public.plans
  for each row execute function private.set_updated_at();

insert into public.plans (plan, name, rank, requests_per_minute, requests_per_day, messages_per_month,
  video_jobs_at_once) values
  ('free', 'Free', 0, 10, 500, 10, 1),
  ('basic', 'Basic', 1, 60, -1, 100, 2),
  ('creator', 'Creator', 2, 120, -1, 1000, 3),
  ('pro', 'Pro', 3, 300, -1, -1, 5),
  ('enterprise', 'Enterprise', 4, 600, -1, -1, 20);

alter table public.plans enable row level security;
create policy "everyone can read the plans on offer" on public.plans
  for select to anon, authenticated using (is_active);

grant select on public.plans to anon, authenticated;
grant select, insert, update on public.plans to service_role;
