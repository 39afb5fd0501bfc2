-- What a plan still allows, as a frontend asks it, and the use of what ran elsewhere. Both are faces of the admission
-- of AI calls and of counted features: they decide and count nothing in a way of their own.

create type public.subscription_limit as (
  action text, allowed boolean, code text, message text, retry_after integer, plan text, used numeric, "limit" numeric,
  remaining numeric, period_start timestamptz, period_end timestamptz
);
comment on type public.subscription_limit is
  'Whether an action is allowed now, else why not (code, message, seconds after which to try again), by which plan, '
  'and what the period has seen. limit and remaining null: no limit. allowed where nothing remains: credits that were '
  'bought go beyond the plan.';

-- What an admission of a message, or consume_feature of another action, would say now; for the caller, or by the
-- service role for anyone.
create function private.check_limit_for(
  action text, account_id uuid, wanted_workspace uuid, at timestamptz
) returns public.subscription_limit language plpgsql security definer set search_path = '' as $$
declare
  asked private.admission;
  terms private.feature_terms;
  used numeric;
begin
  if (auth.uid() is not null or current_setting('role') = 'authenticated') and account_id is distinct from auth.uid()
  then
    perform private.raise_error('forbidden', 'Ask for yourself: p_user_id must be your own id.');
  end if;
  perform private.require_valid(at);
  wanted_workspace := coalesce(wanted_workspace, account_id);
  perform private.require_usage_member(wanted_workspace, account_id);
  asked.at := at;
  asked.caller := private.ai_caller_of(account_id, null, at, wanted_workspace);
  if action = 'message' then
    asked.is_message := true;
    asked.counts := private.request_counts_of(wanted_workspace, at);
    select w into asked.wallet from public.credit_wallets w where w.workspace_id = wanted_workspace;
    asked.refusal := private.refuse_request(asked, null, null);
    used := (asked.counts).messages;
    select true, private.limit_in((asked.caller).features, 'messages_per_month'), p.* into terms
    from private.feature_period(wanted_workspace, at, by_month => true) p;
  elsif exists (select from public.features f
    where f.feature_code = action and f.is_counted and f.feature_code not like '%:%')
  then
    terms := private.feature_terms_of(wanted_workspace, action, at);
    used := private.feature_used(wanted_workspace, action, terms.period_start);
    asked.refusal := private.refuse_feature(((asked.caller).plan).plan, action, terms.is_on, terms.most, used,
      terms.period_end, at);
  else
    perform private.raise_error('invalid_request', format('p_action must be one of %s, not %s.', (
      select string_agg(f.feature_code, ', ' order by f.feature_code <> 'message', f.feature_code)
      from public.features f where f.is_counted and f.is_active and f.feature_code not like '%:%'
    ), coalesce(to_json(action)::text, 'null')));
  end if;
  return jsonb_populate_record(null::public.subscription_limit,
    private.feature_answer(terms, used, (asked.refusal).code is null) || coalesce(to_jsonb(asked.refusal), '{}')
    || jsonb_build_object('action', action, 'plan', ((asked.caller).plan).plan));
end;
$$;
grant execute on function private.check_limit_for to authenticated, service_role;

create function public.check_subscription_limit(
  p_user_id uuid, p_action text default 'message', p_workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns public.subscription_limit language sql set search_path = '' as $$
  select * from private.check_limit_for(p_action, p_user_id, p_workspace_id, at)
$$;
comment on function public.check_subscription_limit is
  'What an admission would answer now, counting nothing. message: a message to a model, by account, rate, messages '
  '(feature messages_per_month) and paid credits; what depends on the model, its price among it, is for the call '
  'itself to find out. Else a counted feature (api_call, token, yours), as check_feature. '
  'Signed-in people ask for themselves, in workspaces they are members of.';
grant execute on function public.check_subscription_limit to authenticated, service_role;

create function public.update_user_usage(
  p_user_id uuid, p_message_count integer, p_tokens bigint, p_cost numeric, at timestamptz default clock_timestamp()
) returns public.subscription_limit language plpgsql security definer set search_path = '' as $$
declare
  problem text := case -- NaN compares as greater than every number
    when (p_message_count between 0 and 1000000) is not true
      then format('p_message_count must be 0 to 1000000, not %s.', coalesce(p_message_count::text, 'null'))
    when (p_tokens between 0 and 1000000000) is not true
      then format('p_tokens must be 0 to 1000000000, not %s.', coalesce(p_tokens::text, 'null'))
    when (p_cost between 0 and 1000000) is not true
      then format('p_cost must be 0 to 1000000 US dollars, not %s.', coalesce(p_cost::text, 'null'))
    end;
begin
  perform private.require_valid(at);
  if problem is not null then
    perform private.raise_error('invalid_request', problem);
  end if;
  if (p_message_count, p_tokens, p_cost) <> (0, 0, 0) then
    perform public.record_ai_usage(p_user_id, 'elsewhere', gen_random_uuid()::text, prompt_tokens => p_tokens,
      cost_usd => p_cost, messages => p_message_count, at => update_user_usage.at);
  end if;
  return private.check_limit_for('message', p_user_id, null, update_user_usage.at);
end;
$$;
comment on function public.update_user_usage is
  'Counts what somebody used elsewhere, in their personal workspace, as record_ai_usage does: messages to the period '
  'of that time even past its limit, one api_call with its tokens to their features, and a log row of model '
  '"elsewhere". p_cost: what it cost you in US dollars; with the markup it is the row''s estimated_cost, and it takes '
  'no credits. '
  'Answers check_subscription_limit. Each call counts: what may be sent twice is for record_ai_usage, by request_id.';
grant execute on function public.update_user_usage to service_role;

-- Columns of users ----------------------------------------------------------------------------------------------------

-- What a person did, for themselves and the operator: messages of their personal workspace, the newest sign-in or AI
-- call anywhere. Read and not stored: it is right when a period has turned over, and costs a call no further write.
create function private.activity_of(
  account_id uuid, out monthly_message_count bigint, out monthly_reset_date timestamptz,
  out total_message_count bigint, out last_active_at timestamptz
) language plpgsql stable security definer set search_path = '' as $$
declare
  period record;
begin
  if account_id is distinct from auth.uid() and not private.is_operator() then
    return;
  end if;
  period := private.feature_period(account_id, clock_timestamp(), by_month => true);
  monthly_reset_date := period.period_end;
  select coalesce(sum(c.messages), 0), coalesce(sum(c.messages) filter (where c.period_start = period.period_start), 0)
  into total_message_count, monthly_message_count
  from private.ai_request_counts c where c.workspace_id = account_id;
  select greatest(a.last_sign_in_at, (
    select max(u.last_call_at) from private.usage_by_day u
    where u.user_id = account_id
      and u.day = (select max(n.day) from private.usage_by_day n where n.user_id = account_id)
  )) into last_active_at from auth.users a where a.id = account_id;
end;
$$;
grant execute on function private.activity_of to authenticated, service_role;

create function public.monthly_message_count(public.users) returns bigint
language sql stable set search_path = '' as $$ select a.monthly_message_count from private.activity_of($1.id) a $$;
comment on function public.monthly_message_count(public.users) is
  'Column monthly_message_count of users: messages of the personal workspace in the current month of its subscription, '
  'else in the calendar month (UTC).';
create function public.monthly_reset_date(public.users) returns timestamptz
language sql stable set search_path = '' as $$ select a.monthly_reset_date from private.activity_of($1.id) a $$;
comment on function public.monthly_reset_date(public.users) is
  'Column monthly_reset_date of users: when monthly_message_count is 0 again.';
create function public.total_message_count(public.users) returns bigint
language sql stable set search_path = '' as $$ select a.total_message_count from private.activity_of($1.id) a $$;
comment on function public.total_message_count(public.users) is
  'Column total_message_count of users: messages of the personal workspace in all months.';
create function public.last_active_at(public.users) returns timestamptz
language sql stable set search_path = '' as $$ select a.last_active_at from private.activity_of($1.id) a $$;
comment on function public.last_active_at(public.users) is
  'Column last_active_at of users: the newest sign-in or end of an AI call, in any workspace; null: none yet.';
grant execute on function public.monthly_message_count(public.users), public.monthly_reset_date(public.users),
  public.total_message_count(public.users), public.last_active_at(public.users) to authenticated, service_role;
