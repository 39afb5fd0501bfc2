-- An AI call: admitted once, finished once. In between the function talks to the provider.
-- A refusal is data, not an error: an error would take its log row back with it.

create function private.log_ai_call(
  call jsonb, hold public.credit_holds, ending public.ai_usage_status, cost numeric, charged numeric, at timestamptz
) returns void
language sql set search_path = ''
as $$
  insert into public.ai_usage_logs (
    workspace_id, user_id, hold_id, created_at, scene, status, prompt_tokens, cached_tokens, completion_tokens, duration,
    estimated_cost, credits_charged, model, scene_description, reference_id, request_id, error_code, error_message,
    ip_address, user_agent, request_data, response_data
  )
  select hold.workspace_id, hold.user_id, hold.id, at, c.scene, ending, coalesce(c.prompt_tokens, 0),
    coalesce(c.cached_tokens, 0), coalesce(c.completion_tokens, 0), c.duration, cost, charged, c.model,
    c.scene_description, c.reference_id, c.request_id, c.error_code, c.error_message, c.ip_address, c.user_agent,
    c.request_data, c.response_data
  from jsonb_populate_record(null::public.ai_usage_logs, call) c
$$;
comment on function private.log_ai_call is 'Writes a call''s log row: facts of the call by column name, the rest from its hold and its charge.';

create function private.refuse_ai_call(
  call jsonb, account_id uuid, wallet_id uuid, error_code text, message text, param text, at timestamptz
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  no_hold public.credit_holds;
begin
  no_hold.user_id := account_id;
  no_hold.workspace_id := wallet_id;
  perform private.log_ai_call(
    call || jsonb_build_object('error_code', refuse_ai_call.error_code, 'error_message', message, 'duration', 0),
    no_hold, 'refused', 0, 0, at);
  return jsonb_build_object('admitted', false, 'status', private.error_status(refuse_ai_call.error_code),
    'code', refuse_ai_call.error_code, 'message', message, 'param', param);
end;
$$;
comment on function private.refuse_ai_call is 'Logs a refused call and says why it was.';

create function private.require_account(account_id uuid) returns public.users
language plpgsql set search_path = ''
as $$
declare
  account public.users;
begin
  select * into account from public.users u where u.id = account_id;
  if not found then
    perform private.complete_account(account_id);
    select * into account from public.users u where u.id = account_id;
    if not found then
      perform private.raise_error('not_authenticated', 'The account of this token does not exist any more.', 'Sign in again.');
    end if;
  end if;
  return account;
end;
$$;
comment on function private.require_account(uuid) is
  'The account of a signed-in caller, completed where its sign-up could not be; an error where it is gone.';

create function public.admit_ai_call(
  user_id uuid,
  model text,
  input_tokens integer,
  max_output_tokens integer default null,
  choices integer default 1,
  request_id text default null,
  details jsonb default '{}',
  expires_in interval default '10 minutes',
  at timestamptz default clock_timestamp()
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  account public.users := private.require_account(admit_ai_call.user_id);
  wallet_id uuid := account.id;
  wallet public.credit_wallets := private.lock_wallet(wallet_id, at);
  wanted public.ai_models;
  pricing jsonb;
  output_tokens bigint;
  needed numeric;
  hold_id uuid;
  wanted_name text := left(coalesce(admit_ai_call.model, ''), 200);
  call jsonb;
begin
  -- What the log could not hold fails now, before anything runs that would have to be logged.
  perform jsonb_populate_record(null::public.ai_usage_logs, details);
  select * into wanted from public.ai_models m where m.model = wanted_name and m.is_active;
  pricing := private.pricing_of(wanted, at);
  call := details || jsonb_build_object('scene', coalesce(details ->> 'scene', wanted.scene::text, 'other'),
    'model', wanted_name, 'request_id', admit_ai_call.request_id);
  if private.config_boolean('maintenance_mode', false) then
    return private.refuse_ai_call(call, account.id, wallet_id, 'maintenance',
      'The service is under maintenance. Try again later.', null, at);
  end if;
  if not account.is_active then
    return private.refuse_ai_call(call, account.id, wallet_id, 'account_disabled', 'This account is disabled.', null, at);
  end if;
  if pricing is null then
    return private.refuse_ai_call(call, account.id, wallet_id, 'not_found',
      format('The model %s does not exist.', to_json(wanted_name)), 'model', at);
  end if;
  output_tokens := least(admit_ai_call.max_output_tokens, wanted.max_output_tokens)::bigint * greatest(choices, 1);
  needed := (private.charge_of(pricing, greatest(input_tokens, 0), 0, greatest(output_tokens, 0))).credits;
  wallet := private.free_due_holds(wallet, needed, at);
  if needed > private.available(wallet) then
    return private.refuse_ai_call(call, account.id, wallet_id, 'insufficient_credits',
      format('This call may cost up to %s credits and %s are available.', trim_scale(needed),
        trim_scale(private.available(wallet))), null, at);
  end if;
  hold_id := (public.hold_credits(account.id, needed, 'generation', feature_code => call ->> 'scene',
    expires_in => expires_in, at => at,
    metadata => jsonb_build_object('request_id', admit_ai_call.request_id, 'model', wanted.model, 'pricing', pricing,
      'scene', call -> 'scene', 'scene_description', call -> 'scene_description', 'reference_id', call -> 'reference_id'))
  ).hold_id;
  return jsonb_build_object('admitted', true, 'hold_id', hold_id, 'credits_held', needed,
    'upstream_model', wanted.upstream_model);
end;
$$;
comment on function public.admit_ai_call is
  'Whether a call may run: account, model, credits for the worst case. Holds them, or logs and returns the refusal. details are log columns (scene, scene_description, reference_id, ip_address, user_agent, request_data).';

create function public.finish_ai_call(
  hold_id uuid,
  ending public.ai_usage_status,
  prompt_tokens integer default 0,
  cached_tokens integer default 0,
  completion_tokens integer default 0,
  details jsonb default '{}',
  at timestamptz default clock_timestamp()
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  hold public.credit_holds := private.lock_hold(finish_ai_call.hold_id, at);
  -- Whatever is reported, a call that was answered is charged and logged: counts are bounded, not refused.
  prompt bigint := least(greatest(coalesce(prompt_tokens, 0), 0), 1000000000);
  cached bigint := least(greatest(coalesce(cached_tokens, 0), 0), prompt);
  completion bigint := least(greatest(coalesce(completion_tokens, 0), 0), 1000000000);
  cost numeric := 0;
  charged numeric := 0;
  wallet public.credit_wallets;
  is_first boolean := hold.state in ('open', 'expired');
begin
  if ending is null or ending = 'refused' then
    perform private.raise_error('invalid_request', 'ending must be success, failed or canceled.');
  end if;
  if is_first then
    if ending in ('success', 'canceled') then
      select c.cost_usd, c.credits into cost, charged
      from private.charge_of(hold.metadata -> 'pricing', prompt, cached, completion) c;
      perform public.settle_credit_hold(hold.id, charged, hold.metadata - 'pricing', at => at);
    else
      perform public.release_credit_hold(hold.id, at => at);
    end if;
    perform private.log_ai_call(
      details || hold.metadata || jsonb_build_object('prompt_tokens', prompt,
        'cached_tokens', cached, 'completion_tokens', completion,
        'duration', least(greatest(extract(epoch from at - hold.created_at) * 1000, 0), 2147483647)::integer),
      hold, ending, cost, charged, at);
  else
    charged := coalesce(hold.final_amount, 0);
  end if;
  select * into wallet from public.credit_wallets w where w.workspace_id = hold.workspace_id;
  return jsonb_build_object('finished', is_first, 'credits_charged', charged, 'credits_balance', wallet.credits_balance,
    'credits_available', wallet.credits_balance - wallet.credits_held);
end;
$$;
comment on function public.finish_ai_call is
  'Ends an admitted call once: charges its usage (success, canceled) or nothing (failed), frees the rest of its hold and logs it. Later endings of the same call change nothing.';

grant execute on function public.admit_ai_call to service_role;
grant execute on function public.finish_ai_call to service_role;
