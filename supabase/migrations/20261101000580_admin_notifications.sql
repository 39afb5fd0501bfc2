-- What platform admins have to look at, whichever chapter reports it.

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
  'model_unpriced (an active model without a price was asked for; once for each model and day).';

create function private.notify_admins(about text, about_subject text, details jsonb default '{}') returns void
language plpgsql set search_path = ''
as $$
begin
  insert into public.admin_notifications (kind, subject, data) values (about, about_subject, details)
  on conflict (kind, subject) do nothing;
end;
$$;
comment on function private.notify_admins(text, text, jsonb) is 'Tells platform admins of a thing, once.';

alter table public.admin_notifications enable row level security;
create policy "platform admins can read their notifications" on public.admin_notifications
  for select to authenticated using ((select private.is_platform_admin()));
create policy "platform admins can mark it as read" on public.admin_notifications
  for update to authenticated
  using ((select private.is_platform_admin())) with check ((select private.is_platform_admin()));
grant select on public.admin_notifications to authenticated, service_role;
grant update (read_at) on public.admin_notifications to authenticated, service_role;
