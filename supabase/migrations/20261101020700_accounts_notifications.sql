-- What people are told, and what platform admins have to look at; other chapters say what.

create table public.notifications (
  id bigint generated always as identity primary key,
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete cascade,
  kind text not null constraint kind_is_snake_case check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  data jsonb not null default '{}',
  read_at timestamptz constraint read_at_is_a_time check (isfinite(read_at)),
  created_at timestamptz not null default clock_timestamp()
);
comment on table public.notifications is
  'What a person, or the owners and admins of a workspace, are told: low_balance, limit_share, overdraft, debt, '
  'top_up_ended.';
comment on column public.notifications.user_id is
  'Whose it is; null: all owners'' and admins'' of the workspace. It goes with its person, or it would become theirs.';
comment on column public.notifications.data is 'What it is about, by kind; no texts to show.';
create index notifications_workspace_id_created_at_idx on public.notifications (workspace_id, created_at);
create index notifications_user_id_idx on public.notifications (user_id);

-- Tells the owners and admins of a workspace, and the member whom it concerns: a hundred times a day of one kind,
-- at most.
create function private.notify(
  wanted_workspace uuid, about text, details jsonb, at timestamptz, person uuid default null
) returns void language plpgsql set search_path = '' as $$
begin
  if (select count(*) from (
    select from public.notifications n
    where n.workspace_id = wanted_workspace and n.user_id is null and n.kind = about
      and n.created_at > at - interval '24 hours'
    limit 100) told) = 100 then
    return; -- whoever has not looked by now is not helped by more, and they would have no end
  end if;
  insert into public.notifications (workspace_id, user_id, kind, data, created_at)
  values (wanted_workspace, null, about, details, at);
  -- Who manages the workspace has it already.
  insert into public.notifications (workspace_id, user_id, kind, data, created_at)
  select wanted_workspace, m.user_id, about, details, at from public.workspace_members m
  where m.workspace_id = wanted_workspace and m.user_id = person and m.role = 'member';
end;
$$;

alter table public.notifications enable row level security;
create policy "people can read what they are told, owners and admins what their workspace is" on public.notifications
  for select to authenticated
  using ((select auth.uid()) = user_id
    or user_id is null and workspace_id = any (array(select private.my_managed_workspace_ids())));
create policy "people can mark what they are told as read" on public.notifications
  for update to authenticated
  using (((select auth.uid()) = user_id
    or user_id is null and workspace_id = any (array(select private.my_managed_workspace_ids())))
    and (select private.is_account_active()))
  with check ((select auth.uid()) = user_id
    or user_id is null and workspace_id = any (array(select private.my_managed_workspace_ids())));
grant select on public.notifications to authenticated, service_role;
grant update (read_at) on public.notifications to authenticated, service_role;

do $$
begin
  -- One for all tables has it already, and one of somebody else's is theirs to change.
  if exists (
    select from pg_catalog.pg_publication p
    where p.pubname = 'supabase_realtime' and not p.puballtables and pg_has_role(p.pubowner, 'usage')
  ) then
    alter publication supabase_realtime add table public.notifications;
  end if;
end;
$$;

create table public.admin_notifications (
  id bigint generated always as identity primary key,
  kind text not null,
  subject text not null,
  data jsonb not null default '{}',
  read_at timestamptz constraint read_at_is_a_time check (isfinite(read_at)),
  created_at timestamptz not null default clock_timestamp(),
  constraint a_thing_is_told_once unique (kind, subject)
);
comment on table public.admin_notifications is
  'What platform admins have to look at: payment_event_failed, payment_event_foreign, payment_unmatched, '
  'product_unknown, dispute_opened, reversal_without_payment, second_subscription, '
  'cancellation_failed, video_status_unknown (a provider has a word of its own for a job''s state; once a day), '
  'usage_bounded (a provider reported more than a call could use; once for each model and day), '
  'usage_unpriced (a call used what its model has no price for; once for each model and day), '
  'model_unpriced (an active model without a price was asked for; once for each model and day).';

-- Tells platform admins of a thing, once.
create function private.notify_admins(about text, about_subject text, details jsonb default '{}') returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.admin_notifications (kind, subject, data) values (about, about_subject, details)
  on conflict (kind, subject) do nothing;
end;
$$;

alter table public.admin_notifications enable row level security;
create policy "platform admins can read their notifications" on public.admin_notifications
  for select to authenticated using ((select private.is_platform_admin()));
create policy "platform admins can mark it as read" on public.admin_notifications
  for update to authenticated
  using ((select private.is_platform_admin())) with check ((select private.is_platform_admin()));
grant select on public.admin_notifications to authenticated, service_role;
grant update (read_at) on public.admin_notifications to authenticated, service_role;
