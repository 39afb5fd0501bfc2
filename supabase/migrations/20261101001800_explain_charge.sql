-- Why a call cost what it cost, from the books themselves.

create function public.explain_charge(request_id text) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  call public.ai_usage_logs;
  hold public.credit_holds;
  entry public.credit_transactions;
  refund public.credit_transactions;
  pricing jsonb;
  answer jsonb;
begin
  select * into call from public.ai_usage_logs l
  where l.request_id = explain_charge.request_id order by l.created_at desc limit 1;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = format('There is no call with request id %s.', coalesce(to_json(explain_charge.request_id)::text, 'null'));
  end if;
  select * into hold from public.credit_holds h where h.id = call.hold_id;
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
  pricing := coalesce(hold.metadata -> 'pricings' -> coalesce(call.served_model, call.model), entry.metadata -> 'pricing');
  answer := jsonb_build_object(
    'request_id', call.request_id, 'model', call.model, 'served_model', call.served_model, 'scene', call.scene,
    'status', call.status, 'error_code', call.error_code, 'usage_source', call.usage_source,
    'tokens', jsonb_build_object('input', call.prompt_tokens - call.cached_tokens, 'cached_input', call.cached_tokens,
      'output', call.completion_tokens),
    'images', call.images, 'price', pricing -> 'price', 'credits_per_usd', pricing -> 'credits_per_usd',
    'credits_per_request', pricing -> 'credits_per_request', 'cost_usd', trim_scale(call.estimated_cost),
    'credits_charged', trim_scale(call.credits_charged),
    'free_credits', trim_scale(call.free_credits), 'paid_credits', trim_scale(call.paid_credits), 'attempts', call.attempts,
    'hold', case when hold.id is not null then jsonb_build_object('id', hold.id, 'credits', trim_scale(hold.amount),
      'state', hold.state) end,
    'settlement', case when entry.id is not null then jsonb_build_object('transaction_id', entry.id,
      'credits', trim_scale(-entry.amount), 'balance_after', trim_scale(entry.balance_after), 'at', entry.created_at) end,
    'video', case when pricing ? 'duration' then jsonb_build_object('seconds', pricing -> 'duration', 'resolution',
      pricing -> 'resolution') end,
    'refund', case when refund.id is not null then jsonb_build_object('transaction_id', refund.id,
      'credits', trim_scale(refund.amount), 'at', refund.created_at) end,
    'lots', (select coalesce(jsonb_agg(jsonb_build_object('grant_id', g.id, 'kind', g.kind, 'is_paid', g.is_paid,
        'credits', trim_scale(-c.amount))), '[]')
      from unnest(entry.lots) c join public.credit_grants g on g.id = c.grant_id));
  return answer || jsonb_build_object('sentence', concat_ws(' ',
    case when call.status in ('refused', 'failed') then format('The call of %s', coalesce(call.served_model, call.model))
      when pricing ? 'duration' then format('%s seconds of video of %s', pricing ->> 'duration', call.model)
      else format('%s input tokens (%s of them cached), %s output tokens and %s images of %s', call.prompt_tokens,
        call.cached_tokens, call.completion_tokens, call.images, coalesce(call.served_model, call.model)) end,
    case
      when call.status = 'refused' then format('was refused (%s) and cost nothing.', call.error_code)
      when call.status = 'failed' then format('failed (%s) and was not charged.', call.error_code)
      when call.status = 'canceled' and refund.id is not null then 'were canceled and not charged.'
      when pricing #>> '{price,credits_per_second}' is not null then
        format('were charged %s credits: %s a second%s.', answer ->> 'credits_charged',
          trim_scale((pricing #>> '{price,credits_per_second}')::numeric),
          ' and ' || trim_scale((pricing #>> '{price,credits_per_job}')::numeric) || ' for the video')
      when pricing #>> '{price,credits_per_job}' is not null then
        format('were charged the fixed price of %s credits.', answer ->> 'credits_charged')
      when call.credits_charged = 0 and call.estimated_cost > 0 and entry.id is null then 'were not charged.'
      when answer ->> 'credits_per_request' is not null then
        format('were charged the fixed price of %s credits a request.', answer ->> 'credits_charged')
      else format('cost %s US dollars, at %s credits a dollar %s credits.', answer ->> 'cost_usd',
        coalesce(trim_scale((answer ->> 'credits_per_usd')::numeric)::text, '?'), answer ->> 'credits_charged')
    end,
    case when hold.id is not null then format('%s credits had been held.', trim_scale(hold.amount)) end));
end;
$$;
comment on function public.explain_charge is
  'Why a call cost what it cost: model, price, token pools, hold, settlement, refund, lots, attempts and one sentence. For everyone who may see its log row.';
grant execute on function public.explain_charge to authenticated, service_role;
