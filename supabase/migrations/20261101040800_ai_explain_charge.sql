-- Why a call cost what it cost: from the log, the ledger and what only the operator knows.

create type public.charge_tokens as (
  input bigint, cached_input bigint, output bigint, cache_write_5m bigint, cache_write_1h bigint, audio_input bigint,
  image_input bigint, reasoning bigint, audio_output bigint, image_output bigint
);
create type public.charge_hold as (id uuid, credits numeric, state public.credit_hold_state);
create type public.charge_entry as (transaction_id bigint, credits numeric, balance_after numeric, at timestamptz);
create type public.charge_grant as (grant_id uuid, kind public.credit_grant_kind, is_paid boolean, credits numeric);
create type public.charge_video as (seconds numeric, resolution text);
create type public.charge_explanation as (
  request_id text, model text, scene public.ai_usage_scene, status public.ai_usage_status, error_code text,
  usage_source public.ai_usage_source, tokens public.charge_tokens, images integer, video public.charge_video,
  price public.model_price, rates jsonb, credits_charged numeric, free_credits numeric, paid_credits numeric,
    hold public.charge_hold,
  settlement public.charge_entry, refund public.charge_entry, grants public.charge_grant[], sentence text,
  cost_usd numeric, margin_usd numeric, served_model text, provider_price jsonb, credits_per_usd numeric,
    markup numeric,
  attempts jsonb
);
comment on type public.charge_tokens is
  'Tokens of a call, each in one pool; null: none of a kind that not every call has.';
comment on type public.charge_hold is 'What was held for a call.';
comment on type public.charge_entry is 'A ledger entry of a call.';
comment on type public.charge_grant is 'What a call took from a grant of credits.';
comment on type public.charge_video is 'What was asked for.';
comment on type public.charge_explanation is
  'A call''s charge. rates: credits for one of each unit that was used, by the tier, time and context that counted; '
  'null for a fixed price. From cost_usd on: for platform admins and the service role, null for anyone else; attempts, '
  'which have providers'' words, for the service role alone.';

-- A number of things, in English.
create function private.amount_of(amount numeric, unit text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return trim_scale(amount)::text || ' ' || unit || case when amount = 1 then '' else 's' end;
end;
$$;

-- A charge in one or two sentences, in credits.
create function private.charge_sentence(
  call private.ai_usage_logs, pricing jsonb, hold private.credit_holds, is_debited boolean, is_refunded boolean
) returns text language plpgsql stable set search_path = '' as $$
declare
  price public.model_price := private.model_price_of(pricing);
  used text[] := array_remove(array[
    case when call.prompt_tokens > 0 then private.amount_of(call.prompt_tokens, 'input token')
      || coalesce(' (' || nullif(concat_ws(', ', nullif(call.cached_tokens, 0) || ' of them cached',
        nullif(coalesce(call.cache_write_5m_tokens, 0) + coalesce(call.cache_write_1h_tokens, 0), 0)
          || ' written to the cache',
        call.audio_input_tokens || ' of sound', call.image_input_tokens || ' of pictures'), '') || ')', '') end,
    case when call.completion_tokens > 0 then private.amount_of(call.completion_tokens, 'output token')
      || coalesce(' (' || nullif(concat_ws(', ', call.reasoning_tokens || ' of them reasoning',
        call.audio_output_tokens || ' of sound', call.image_output_tokens || ' of pictures'), '') || ')', '') end,
    case when call.images > 0 then private.amount_of(call.images, 'image') end,
    private.amount_of(call.input_seconds, 'second') || ' of sound sent',
    private.amount_of(call.output_seconds, 'second') || ' of sound made',
    private.amount_of(call.characters, 'character'),
    private.amount_of(call.web_searches, 'web search'), private.amount_of(call.tool_calls, 'tool call'),
    case when pricing ? 'duration' then private.amount_of((pricing ->> 'duration')::numeric, 'second') || ' of video'
      end], null);
  what text := case cardinality(used) when 0 then 'The call of ' || call.model when 1
    then used[1] || ' of ' || call.model
    else array_to_string(used[:cardinality(used) - 1],
      ', ') || ' and ' || used[cardinality(used)] || ' of ' || call.model end;
  charged text := private.amount_of(call.credits_charged, 'credit');
begin
  return concat_ws(' ',
    case
      when call.status = 'refused'
        then format('The call of %s was refused (%s) and cost nothing.', call.model, call.error_code)
      when call.status = 'failed'
        then format('The call of %s failed (%s) and was not charged.', call.model, call.error_code)
      when is_refunded then format('The call of %s was canceled and not charged.', call.model)
      when call.credits_charged = 0 and call.estimated_cost > 0 and not is_debited
        then what || ' cost nothing: it was not charged.'
      when price.credits_per_second <> 0 and call.scene = 'video_generation'
        then format('%s cost %s: %s a second%s.', what, charged,
        price.credits_per_second, case when price.credits_per_job <> 0
          then format(' and %s for the video', price.credits_per_job) else '' end)
      when pricing ->> 'credits_per_request' is not null or price.credits_per_job <> 0
        then format('%s cost %s, a fixed price.', what, charged)
      else format('%s cost %s.', what, charged)
    end,
    'Its service tier was ' || call.service_tier || '.',
    case when hold.id is not null then format('%s had been held.', private.amount_of(hold.amount, 'credit')) end);
end;
$$;

-- A call's charge, for who may see its log row. What a plain member of a team gets says nothing of its wallet.
create function private.explain_charge(wanted_request text) returns public.charge_explanation
language plpgsql stable security definer set search_path = '' as $$
declare
  is_operator boolean := private.is_operator();
  call private.ai_usage_logs;
  hold private.credit_holds;
  entry public.credit_transactions;
  refund public.credit_transactions;
  answer public.charge_explanation;
  usage private.ai_usage;
  pools private.price_units;
  sees_wallet boolean;
begin
  select * into call from private.ai_usage_logs l
  where l.request_id = wanted_request
    and (is_operator or l.workspace_id = any (array(select private.my_workspace_ids()))
    and (l.user_id = (select private.caller_id())
      or l.workspace_id = any (array(select private.my_managed_workspace_ids()))))
  order by l.created_at desc limit 1;
  if not found then
    perform private.raise_error('not_found', format('There is no call with request id %s.',
      coalesce(to_json(wanted_request)::text, 'null')));
  end if;
  sees_wallet := is_operator or call.workspace_id = any (array(select private.my_managed_workspace_ids()));
  select * into hold from private.credit_holds h where h.id = call.hold_id;
  -- The entry was made in the instant in which the call ended; that of a video job when it began.
  select * into entry from public.credit_transactions t
  where t.workspace_id = call.workspace_id and t.transaction_type = 'debit'
    and case when call.scene = 'video_generation' and call.hold_id is null then t.created_at between
        call.created_at - make_interval(secs => (coalesce(call.duration, 0) + 1) / 1000.0) and call.created_at
      else t.created_at = call.created_at end
    and (t.hold_id = call.hold_id or t.metadata ->> 'request_id' = call.request_id)
  order by t.created_at limit 1;
  select * into refund from public.credit_transactions t
  where t.refunded_transaction_id = entry.id order by t.id limit 1;
  answer := jsonb_populate_record(null::public.charge_explanation,
    to_jsonb(call) - array['cost_usd', 'served_model', 'attempts']);
  usage := private.usage_of_call(call.prompt_tokens, call.cached_tokens, call.completion_tokens, call.images,
    jsonb_strip_nulls(to_jsonb(call)));
  pools := private.pools_of(usage, call.pricing);
  answer.tokens := row(pools.input, pools.cached_input, pools.output, pools.cache_write_5m, pools.cache_write_1h,
    pools.audio_input, pools.image_input, pools.reasoning, pools.audio_output,
    pools.image_output)::public.charge_tokens;
  answer.video := case when call.pricing ? 'duration' then
    row(call.pricing -> 'duration', call.pricing ->> 'resolution')::public.charge_video end;
  answer.price := case when call.pricing is not null then private.model_price_of(call.pricing) end;
  if call.pricing ->> 'credits_per_request' is null or call.pricing @? '$.price.components[*].credits_per_unit' then
    answer.rates := (
      select jsonb_object_agg(r.key, trim_scale(round(r.value::numeric, 12)))
      from jsonb_each_text(jsonb_strip_nulls(to_jsonb(private.default_rates(private.price_rows(call.pricing, usage,
        call.created_at - make_interval(secs => coalesce(call.duration, 0) / 1000.0), call.created_at,
        in_credits => true))))) r
      join jsonb_each_text(to_jsonb(pools)) p on p.key = r.key and p.value::numeric > 0);
  end if;
  answer.credits_charged := trim_scale(call.credits_charged);
  answer.free_credits := trim_scale(call.free_credits);
  answer.paid_credits := trim_scale(call.paid_credits);
  answer.hold := case when hold.id is not null
    then row(hold.id, trim_scale(hold.amount), hold.state)::public.charge_hold end;
  answer.settlement := case when entry.id is not null then row(entry.id, trim_scale(-entry.amount),
    case when sees_wallet then trim_scale(entry.balance_after) end, entry.created_at)::public.charge_entry end;
  answer.refund := case when refund.id is not null then row(refund.id, trim_scale(refund.amount),
    case when sees_wallet then trim_scale(refund.balance_after) end, refund.created_at)::public.charge_entry end;
  answer.grants := case when sees_wallet then array(
    select row(g.id, g.kind, g.is_paid, trim_scale(-c.amount))::public.charge_grant
    from unnest(entry.grant_changes) with ordinality c (grant_id, amount, position) join public.credit_grants g
      on g.id = c.grant_id
    order by c.position) end;
  answer.sentence := private.charge_sentence(call, call.pricing, hold, entry.id is not null, refund.id is not null);
  if is_operator then
    answer.cost_usd := trim_scale(call.cost_usd);
    answer.margin_usd := trim_scale(call.charged_usd - call.cost_usd);
    answer.served_model := call.served_model;
    answer.provider_price := call.pricing -> 'price';
    answer.credits_per_usd := (call.pricing ->> 'credits_per_usd')::numeric;
    answer.markup := (call.pricing ->> 'markup')::numeric;
    answer.attempts := case when current_setting('role') not in ('anon', 'authenticated') then call.attempts end;
    answer.sentence := answer.sentence || format(' The provider''s cost was %s.',
      private.amount_of(answer.cost_usd, 'US dollar'))
      || coalesce(' Not priced: ' || (
        select string_agg(u, ', ') from jsonb_array_elements_text(call.pricing -> 'unpriced') u) || '.', '');
  end if;
  return answer;
end;
$$;
grant execute on function private.explain_charge to authenticated, service_role;

create function public.explain_charge(request_id text) returns public.charge_explanation
language sql stable set search_path = '' as $$ select private.explain_charge(request_id) $$;
comment on function public.explain_charge is
  'Why a call cost what it cost, in credits: price, token pools, hold, settlement, refund, grants, a sentence or two. '
  'For everyone who may see its log row; balance and grants for owners and admins of its workspace; '
  'the provider''s cost and margin for platform admins and the service role; attempts for the service role.';
grant execute on function public.explain_charge to authenticated, service_role;
