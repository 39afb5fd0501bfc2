-- A person's figures in one row. Conversations have counters of their own, so that no message is read.
create view public.user_statistics with (security_invoker = true) as
select u.id, u.email, u.subscription_plan as subscription_tier, u.subscription_status, a.monthly_message_count,
  a.total_message_count, c.conversation_count, c.total_messages, c.total_cost, u.created_at, a.last_active_at
from public.users u
cross join lateral private.activity_of(u.id) a
cross join lateral (
  select count(*) as conversation_count, coalesce(sum(o.message_count), 0) as total_messages,
    coalesce(trim_scale(sum(o.total_cost)), 0) as total_cost
  from public.conversations o where o.user_id = u.id and o.deleted_at is null and not o.is_archived
) c;
comment on view public.user_statistics is
  'A person''s plan, messages and conversations; deleted and archived conversations do not count.';
comment on column public.user_statistics.subscription_tier is 'The personal workspace''s plan.';
comment on column public.user_statistics.monthly_message_count is
  'Messages to models of the personal workspace in its current month, as column monthly_message_count of users.';
comment on column public.user_statistics.total_message_count is 'Messages to models in all months.';
comment on column public.user_statistics.conversation_count is 'Their conversations, in any workspace.';
comment on column public.user_statistics.total_messages is
  'Messages in these conversations, answers and all branches included.';
comment on column public.user_statistics.total_cost is 'What these messages are worth to their caller, in US dollars.';
comment on column public.user_statistics.last_active_at is 'The newest sign-in or end of an AI call.';
grant select on public.user_statistics to authenticated, service_role;
create trigger user_statistics_refuse_write instead of insert or update or delete on public.user_statistics
  for each row execute function private.refuse_write();
