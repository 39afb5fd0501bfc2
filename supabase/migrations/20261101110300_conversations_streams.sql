-- Streams of answers: what a stream sends is kept for a while, so that a client that was cut off goes on where it was,
-- another one follows, and an answer can be stopped from anywhere. The function that runs a stream writes; all others
-- read. Its writes are answered by whether to stop, so it needs no other way to hear of that.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('message_events_minutes', '15', 'integer', 5, 1440, false,
    'Minutes for which the events of an answer''s stream are kept.');

alter table public.messages add column stop_requested_at timestamptz;
comment on column public.messages.stop_requested_at is
  'When its person asked to stop this answer, while it was being made.';

create table private.message_events (
  message_id uuid not null references public.messages on delete cascade,
  first_event integer not null constraint events_count_from_one check (first_event > 0),
  last_event integer not null constraint last_event_not_before_first check (last_event >= first_event),
  events text not null,
  written_at timestamptz not null default clock_timestamp(),
  primary key (message_id, first_event)
);
comment on table private.message_events is
  'What a stream sent, in batches: events as they went out, each with its number as id. A batch without text says that '
  'events before it were not kept.';
create index message_events_written_at_idx on private.message_events (written_at);

create function public.write_message_events(
  message_id uuid, first_event integer default null, last_event integer default null, events text default null
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  message public.messages;
begin
  select * into message from public.messages m where m.id = write_message_events.message_id;
  if message.status is distinct from 'sending' then
    return to_jsonb(true);
  end if;
  if write_message_events.events is not null then
    -- A try whose answer was lost is made again, with what came since.
    insert into private.message_events as e (message_id, first_event, last_event, events)
    values (message.id, write_message_events.first_event, write_message_events.last_event,
      write_message_events.events)
    on conflict on constraint message_events_pkey do update
    set last_event = excluded.last_event, events = excluded.events where e.last_event < excluded.last_event;
  end if;
  return to_jsonb(message.stop_requested_at is not null);
end;
$$;
comment on function public.write_message_events is
  'Keeps a batch of the events that an answer''s stream sent (none: only asks), and says whether it is to stop: '
  'its person asked for that, or the message is gone or has ended.';
grant execute on function public.write_message_events to service_role, basemeter_functions;

-- What a stream sent, as parts of a message.
create function private.parts_of_events(message_id uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  event text;
  delta jsonb;
  reasoning text := '';
  answer text := '';
begin
  for event in
    select x.event from private.message_events e
    cross join lateral regexp_split_to_table(e.events, e'\n\n') with ordinality x (event, place)
    where e.message_id = parts_of_events.message_id and x.event like '%data: {%' order by e.first_event, x.place
  loop
    begin
      delta := substring(event from 'data: (.*)')::jsonb #> '{choices,0,delta}';
      reasoning := concat(reasoning, coalesce(delta ->> 'reasoning_content', delta ->> 'reasoning'));
      answer := concat(answer, delta ->> 'content');
    exception when data_exception then
      null; -- what is no JSON, or holds what jsonb cannot, is left out: a message has to end
    end;
  end loop;
  return to_jsonb(array_remove(array[
    case when reasoning <> '' then jsonb_build_object('type', 'reasoning', 'text', reasoning) end,
    case when answer <> '' then jsonb_build_object('type', 'text', 'text', answer) end], null));
end;
$$;

-- Gives an answer whose function was lost, so that nobody wrote it, what its stream had sent.
create function private.keep_streamed_answer() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.messages m set parts = private.joined_parts(m.parts, private.parts_of_events(m.id)),
    content_tokens = null
  where m.id = new.message_id and m.hold_id = new.hold_id and m.deleted_at is null;
  return null;
end;
$$;
create trigger ai_usage_logs_keep_streamed after insert on private.ai_usage_logs
  for each row when (new.message_id is not null and new.error_code = 'call_lost')
  execute function private.keep_streamed_answer();

-- A message whose answer is made again or continued has a new stream.
create function private.begin_new_stream() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.message_events e where e.message_id = new.id;
  new.stop_requested_at := null;
  return new;
end;
$$;
create trigger messages_begin_new_stream before update of status on public.messages for each row
  when (new.status = 'sending' and old.status <> 'sending') execute function private.begin_new_stream();

-- Removes the events of a thousand batches that are old enough, of answers that have ended; false when there are none.
create function private.forget_next_message_events(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from private.message_events e where (e.message_id, e.first_event) in (
    select o.message_id, o.first_event from private.message_events o join public.messages m on m.id = o.message_id
    where o.written_at < at - make_interval(mins => private.config_numeric('message_events_minutes', 15)::integer)
      and m.status <> 'sending'
    limit 1000);
  return found;
end;
$$;
insert into private.due_work (piece, place) values ('forget_next_message_events', 230);

-- Following and stopping ----------------------------------------------------------------------------------------------

-- Refuses a message that is no answer: it has no stream.
create function private.require_answer(message public.messages) returns void
language plpgsql stable set search_path = '' as $$
begin
  if message.role <> 'assistant' then
    perform private.raise_error('not_found', format('The message %s is no answer.', message.id));
  end if;
end;
$$;

create function public.read_message_events(
  user_id uuid, conversation_id uuid, message_id uuid, after integer default 0, api_key_hash text default null,
  workspace_id uuid default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  conversation public.conversations := private.own_conversation(read_message_events.user_id, api_key_hash,
    read_message_events.workspace_id, read_message_events.conversation_id, at, is_to_follow => true);
  message public.messages := private.message_of(conversation.id, read_message_events.message_id);
  batches jsonb;
  hold private.credit_holds;
  logged private.ai_usage_logs;
  ending jsonb;
begin
  perform private.require_answer(message);
  -- Read after the message: its events are all there once it has ended.
  select coalesce(jsonb_agg(jsonb_build_object('first_event', e.first_event, 'last_event', e.last_event,
    'events', e.events) order by e.first_event), '[]') into batches
  from (select * from private.message_events e where e.message_id = message.id and e.last_event > after
    order by e.first_event limit 100) e;
  if message.status <> 'sending' and jsonb_array_length(batches) < 100 then
    select * into hold from private.credit_holds h where h.id = message.hold_id;
    select * into logged from private.ai_usage_logs l
    where l.request_id = hold.metadata ->> 'request_id' and l.hold_id = hold.id;
    ending := jsonb_build_object('status', message.status,
      'is_kept', exists (select from private.message_events e where e.message_id = message.id)
        or message.status in ('failed', 'stopped') and message.created_at
          > at - make_interval(mins => private.config_numeric('message_events_minutes', 15)::integer));
    if message.status = 'failed' or logged.error_code = 'call_lost' then
      ending := ending || jsonb_build_object('error', jsonb_build_object('code', coalesce(logged.error_code,
          'upstream_error'),
        'message', coalesce(message.error_message, logged.error_message, 'The answer failed.'),
        'status', coalesce(private.error_status(logged.error_code), 502), 'request_id', logged.request_id));
    elsif hold.user_id = coalesce(read_message_events.user_id, (private.api_key_of(api_key_hash, at)).user_id) then
      ending := ending || jsonb_build_object('settlement', jsonb_strip_nulls(jsonb_build_object(
        'credits_charged', coalesce(hold.final_amount, 0),
        'credits_available', private.spendable(hold.workspace_id, hold.user_id, hold.spender_id, at))));
    end if;
  end if;
  return jsonb_strip_nulls(jsonb_build_object('batches', batches, 'ending', ending));
end;
$$;
comment on function public.read_message_events is
  'The events of an answer''s stream after so many, for who may read its conversation: { batches: [{ first_event, '
  'last_event, events }], ending } with at most 100 batches; ending where the answer has ended and these are the last: '
  '{ status, is_kept: its events are still there, error or settlement }.';
grant execute on function public.read_message_events to service_role, basemeter_functions;

create function public.stop_message(
  user_id uuid, conversation_id uuid, message_id uuid, api_key_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  conversation public.conversations := private.own_conversation(stop_message.user_id, api_key_hash,
    stop_message.workspace_id, stop_message.conversation_id, at);
  message public.messages;
  silent private.credit_holds;
begin
  select h.* into silent from public.messages m join private.credit_holds h on h.id = m.hold_id
  where m.id = stop_message.message_id and m.conversation_id = conversation.id and m.status = 'sending'
    and private.is_silent(h, at);
  if found then -- its function is lost: nobody is there to hear of a stop
    perform private.lock_conversation(conversation.id);
    perform private.finish_lost_ai_call(silent, at);
  end if;
  update public.messages m set stop_requested_at = at
  where m.id = stop_message.message_id and m.conversation_id = conversation.id and m.status = 'sending'
    and m.stop_requested_at is null;
  message := private.message_of(conversation.id, stop_message.message_id);
  perform private.require_answer(message);
  return jsonb_build_object('id', message.id, 'status', message.status, 'stop_requested_at', message.stop_requested_at);
end;
$$;
comment on function public.stop_message is
  'Has the stream of an answer end, for its person: { id, status, stop_requested_at }. The function that runs it hears '
  'of that by its next write, within a second; a call of which nobody heard for half a minute is ended here. Of an '
  'answer that has ended it changes nothing.';
grant execute on function public.stop_message to service_role, basemeter_functions;
