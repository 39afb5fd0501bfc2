-- Answers in conversations: what a model is sent of a branch, and AI calls whose answers are messages.
-- Function `ai` sends a message by three rpcs: conversation_context reads; admit_message and finish_message are an AI
-- call's admission and end, with the messages written in the same transactions.

create index messages_sending_idx on public.messages (conversation_id) where status = 'sending';

create table private.sent_messages (
  key_id uuid primary key,
  message_id uuid references public.messages on delete cascade,
  answer_id uuid not null references public.messages on delete cascade,
  request_hash text not null
);
comment on table private.sent_messages is
  'Requests for answers under an id (key_id) that their client made, of the message or else of the answer: the same '
  'request gets the same answer, for as long as the messages exist.';
create index sent_messages_message_id_idx on private.sent_messages (message_id);
create index sent_messages_answer_id_idx on private.sent_messages (answer_id);

-- Titles and summaries ------------------------------------------------------------------------------------------------

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('conversation_title_model', '""', 'text', null, null, false,
    'The model that writes the title of a conversation after its first answer; empty: none does.'),
  ('conversation_summary_model', '""', 'text', null, null, false,
    'The model that sums up what a conversation said before its newest messages; empty: none does, and the oldest '
    'messages are left out.'),
  ('conversation_summary_share', '0.5', 'number', 0.01, 1, false,
    'The share of a model''s context window that a branch fills before it is summed up.');

create table private.conversation_summaries (
  message_id uuid primary key references public.messages on delete cascade,
  conversation_id uuid not null references public.conversations on delete cascade,
  summary text not null,
  created_at timestamptz not null default clock_timestamp()
);
comment on table private.conversation_summaries is
  'What a branch said up to a message and with it: for the branches that pass through this message and no others.';
create index conversation_summaries_conversation_id_idx on private.conversation_summaries (conversation_id);

create table private.failing_helpers (
  model text primary key,
  failures integer not null,
  asked_again_at timestamptz not null
);
comment on table private.failing_helpers is
  'Models for titles and summaries whose provider failed, how often in a row, and until when they are not asked again.';

-- What was said is gone from summaries when it is edited or deleted.
create function private.forget_summaries() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from private.conversation_summaries s where s.conversation_id = new.conversation_id;
  if found then
    update public.conversations c set summary = '' where c.id = new.conversation_id and c.summary <> '';
  end if;
  return null;
end;
$$;
-- A trigger's columns are those that a statement names: parts change the content too.
create trigger messages_forget_summaries after update of content, parts, deleted_at on public.messages
  for each row when (old.role = 'user' and old.content <> new.content or new.deleted_at is distinct from old.deleted_at)
  execute function private.forget_summaries();

-- The model that a setting names, and its context window, for a caller who may use it; null where it is none, or where
-- its provider failed three times in a row and less than ten minutes ago.
create function private.helper_model(setting text, caller private.ai_caller, at timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_build_object('model', m.model, 'context_window', m.context_window)
    from public.ai_models m
    where to_jsonb(m.model) = private.config(setting) and m.is_active
      and private.endpoint_of(m.scene) = 'text_chat' and private.may_use_model(caller, m)
      and not exists (select from private.failing_helpers f
        where f.model = m.model and f.failures >= 3 and f.asked_again_at > helper_model.at)
  );
end;
$$;

create function public.store_conversation_notes(
  conversation_id uuid, title text default null, summary text default null, message_id uuid default null,
  failed_model text default null, working_model text default null,
  at timestamptz default clock_timestamp()
) returns void language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_valid(at);
  insert into private.failing_helpers as f (model, failures, asked_again_at)
  select failed_model, 1, store_conversation_notes.at + interval '10 minutes' where failed_model is not null
  on conflict (model) do update set failures = f.failures + 1, asked_again_at = excluded.asked_again_at;
  delete from private.failing_helpers f where f.model = working_model;
  -- Before the messages, as every write and deletion takes them.
  perform private.lock_conversation(store_conversation_notes.conversation_id);
  if store_conversation_notes.title is not null then
    -- Unless its person named it meanwhile.
    update public.conversations c set title = left(store_conversation_notes.title, 200)
    where c.id = store_conversation_notes.conversation_id and c.title = '';
  end if;
  -- Not of what was edited or deleted while it was written.
  if store_conversation_notes.summary is not null and not exists (
    select from private.branch_of(store_conversation_notes.conversation_id, store_conversation_notes.message_id) b
    join public.messages m on m.id = b.message_id
    where m.updated_at > store_conversation_notes.at or m.deleted_at > store_conversation_notes.at
  ) then
    insert into private.conversation_summaries (message_id, conversation_id, summary)
    select m.id, m.conversation_id, store_conversation_notes.summary from public.messages m
    where m.id = store_conversation_notes.message_id
      and m.conversation_id = store_conversation_notes.conversation_id
    on conflict do nothing;
    update public.conversations c set summary = store_conversation_notes.summary
    where c.id = store_conversation_notes.conversation_id and store_conversation_notes.message_id
      in (select b.message_id from private.branch_of(c.id, null) b);
  end if;
end;
$$;
comment on function public.store_conversation_notes is
  'Stores what a helper model wrote of a conversation: its title where it has none, or the summary of what was said up '
  'to message_id, read at; or that the model failed or works.';

-- What a model is sent ------------------------------------------------------------------------------------------------

-- The conversation that a caller may have answers written in: their own; an error for everyone else's. To follow an
-- answer it may also be one that their team shares.
create function private.own_conversation(
  account_id uuid, key_hash text, wanted_workspace uuid, wanted_conversation uuid, at timestamptz,
  is_to_follow boolean default false
) returns public.conversations language plpgsql stable set search_path = '' as $$
declare
  conversation public.conversations;
  key public.api_keys;
begin
  perform private.require_valid(at);
  if key_hash is not null then
    key := private.api_key_of(key_hash, at);
    account_id := key.user_id;
  else
    perform private.require_session(account_id);
  end if;
  select * into conversation from public.conversations c
  where c.id = wanted_conversation and c.deleted_at is null
    and c.workspace_id = coalesce(wanted_workspace, c.workspace_id)
    and (c.user_id = account_id or c.is_shared) and private.role_in(c.workspace_id, account_id) is not null;
  if not found then
    perform private.raise_error('not_found', format('There is no conversation %s.', wanted_conversation));
  elsif conversation.user_id is distinct from account_id and not is_to_follow then
    perform private.raise_error('forbidden', 'Only its person writes in a conversation.');
  elsif key.workspace_id <> conversation.workspace_id then
    perform private.raise_error('forbidden', 'This API key is for another workspace.');
  end if;
  return conversation;
end;
$$;

-- A message of a conversation that was not deleted; an error where there is none.
create function private.message_of(wanted_conversation uuid, wanted_message uuid) returns public.messages
language plpgsql stable set search_path = '' as $$
declare
  message public.messages;
begin
  select * into message from public.messages m
  where m.id = wanted_message and m.conversation_id = wanted_conversation and m.deleted_at is null;
  if not found then
    perform private.raise_error('not_found', format('There is no message %s in this conversation.', wanted_message));
  end if;
  return message;
end;
$$;

-- Why an answer cannot be continued, if so, and where to have another one made.
create function private.require_continuable(answer public.messages) returns void
language plpgsql stable set search_path = '' as $$
declare
  instead text := format(' For another one: POST …/messages/%s/answers.', answer.parent_message_id);
begin
  if answer.role <> 'assistant' then
    perform private.raise_error('invalid_request', 'Only an answer can be continued.');
  elsif answer.content = '' then
    perform private.raise_error('invalid_state', 'This answer has no text that could be continued.' || instead);
  elsif answer.status = 'sent' and answer.metadata ->> 'finish_reason' is distinct from 'length' then
    perform private.raise_error('invalid_state', 'This answer was not cut off.' || instead);
  elsif exists (select from public.messages m where m.parent_message_id = answer.id and m.deleted_at is null) then
    perform private.raise_error('invalid_state', 'Messages follow this answer.' || instead);
  elsif exists (select from public.messages m where m.id = answer.parent_message_id
    and m.updated_at > answer.created_at) then -- a continuation counts no message, a new question does
    perform private.raise_error('invalid_state', 'The question was edited after this answer.' || instead);
  end if;
end;
$$;

-- The end of a branch that a model is sent, oldest message first: as much as may fit into so many tokens, counted or at
-- least, and what was said before, where that was summed up; is_leaf_whole: but for the last one.
create function private.context_of(leaf_id uuid, is_leaf_whole boolean, room integer) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    with recursive branch as (
      select m.id, m.parent_message_id, m.role, m.status, m.parts, m.content_tokens, 0 as place, 0::bigint as size,
        s.summary
      from public.messages m
      left join private.conversation_summaries s on s.message_id = m.id and not is_leaf_whole
      where m.id = leaf_id
      union all
      select m.id, m.parent_message_id, m.role, m.status, m.parts, m.content_tokens, b.place + 1,
        -- Uncounted text is taken to have few tokens: more than fits is sent to the function, which counts it.
        b.size + case when b.status <> 'deleted' then coalesce(b.content_tokens, length(b.parts::text) / 6) else 0 end,
        s.summary
      from branch b join public.messages m on m.id = b.parent_message_id
      left join private.conversation_summaries s on s.message_id = m.id
      where b.size <= room and b.summary is null
    )
    select jsonb_build_object(
      'messages', coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'role', b.role, 'tokens', b.content_tokens,
          'parts', jsonb_path_query_array(b.parts, -- what no model reads may be large
            '$[*] ? (@.type like_regex "^(text|refusal|image|file|tool_call|tool_result)$")')) order by b.place desc)
        filter (where b.status <> 'deleted' and b.parts <> '[]' and b.summary is null), '[]'),
      'summary', max(b.summary))
    from branch b
  );
end;
$$;

-- What was sent before with a request's id, if anything was; an error where that was another request.
create function private.sent_before(action text, message_id uuid, answer_id uuid, request_hash text)
returns private.sent_messages language plpgsql set search_path = '' as $$
declare
  -- In this order: the messages of a request that is admitted meanwhile come together with their key.
  is_taken boolean := exists (select from public.messages m
    where m.id = sent_before.answer_id or m.id = sent_before.message_id and action = 'send');
  earlier private.sent_messages;
begin
  select * into earlier from private.sent_messages s
  where s.key_id = coalesce(case when action = 'send' then sent_before.message_id end, sent_before.answer_id);
  if not found and is_taken or earlier.request_hash <> sent_before.request_hash then
    perform private.raise_error('idempotency_conflict', 'There is another message with this id: '
      'use a new id for a new message, and the same body for a retry.');
  end if;
  return earlier;
end;
$$;

-- Who writes the title and the summary of a branch, and when the summary is due.
create function private.note_makers(
  conversation public.conversations, leaf uuid, user_id uuid, api_key_hash text, at timestamptz
) returns jsonb language plpgsql set search_path = '' as $$
declare
  caller private.ai_caller;
begin
  if coalesce(private.config('conversation_title_model'), '""') <> '""'
    or coalesce(private.config('conversation_summary_model'), '""') <> '""'
  then
    caller := private.ai_caller_of(note_makers.user_id, note_makers.api_key_hash, at, conversation.workspace_id);
  end if;
  return jsonb_build_object(
    'title_model', case when leaf is null and conversation.title = ''
      then private.helper_model('conversation_title_model', caller, at) end,
    'summary_model', private.helper_model('conversation_summary_model', caller, at),
    'summary_share', private.config_numeric('conversation_summary_share', 0.5));
end;
$$;

create function public.conversation_context(
  conversation_id uuid, user_id uuid, action text, api_key_hash text default null, workspace_id uuid default null,
  message_id uuid default null, answer_id uuid default null, parent_message_id uuid default null,
  follows_leaf boolean default false, request_hash text default null, model text default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  conversation public.conversations := private.own_conversation(conversation_context.user_id, api_key_hash,
    conversation_context.workspace_id, conversation_context.conversation_id, at);
  earlier private.sent_messages;
  message public.messages;
  answer public.messages;
  leaf uuid;
  wanted public.ai_models;
  name text;
begin
  if action = 'continue' then
    answer := private.message_of(conversation.id, conversation_context.answer_id);
    if answer.status <> 'sending' then
      perform private.require_continuable(answer);
    end if;
    leaf := answer.id;
  else
    earlier := private.sent_before(action, conversation_context.message_id, conversation_context.answer_id,
      conversation_context.request_hash);
    if earlier.key_id is not null then
      select * into answer from public.messages m where m.id = earlier.answer_id;
      if answer.status <> 'failed' then
        answer := private.message_of(conversation.id, answer.id);
        return jsonb_build_object('earlier', jsonb_build_object('status', answer.status, 'answer', to_jsonb(answer),
          'message', (select to_jsonb(m) from public.messages m where m.id = answer.parent_message_id)));
      end if;
    end if;
    if action = 'answer' then
      message := private.message_of(conversation.id, conversation_context.message_id);
      if message.role <> 'user' then
        perform private.raise_error('invalid_request', 'Only a question has answers.');
      end if;
      leaf := message.id;
    elsif earlier.message_id is not null then -- it failed, and is tried again where it stands
      leaf := (private.message_of(conversation.id, earlier.message_id)).parent_message_id;
    elsif follows_leaf then
      leaf := conversation.current_leaf_id;
    elsif conversation_context.parent_message_id is not null then
      leaf := (private.message_of(conversation.id, conversation_context.parent_message_id)).id;
    end if;
  end if;
  name := coalesce(conversation_context.model, answer.model_used, conversation.model);
  select * into wanted from public.ai_models m where m.model = name and m.is_active;
  return jsonb_build_object('model', name, 'context_window', wanted.context_window,
      'max_output_tokens', wanted.max_output_tokens, 'content_parts', wanted.content_parts, 'read_at', at,
      'workspace_id', conversation.workspace_id, 'system_prompt', conversation.system_prompt,
      'parent_message_id', leaf, 'answer_id', earlier.answer_id, 'message_id',
      case action when 'continue' then answer.parent_message_id when 'send' then earlier.message_id end)
    || private.note_makers(conversation, leaf, conversation_context.user_id, api_key_hash, at)
    || private.context_of(leaf, action = 'continue', coalesce(wanted.context_window, 1000000));
end;
$$;
comment on function public.conversation_context is
  'What a model is to be sent of a branch: the system prompt and the newest messages with their token counts. action: '
  'send (a message below parent_message_id, or below the current leaf), answer (another one to the message message_id) '
  'or continue (the answer answer_id). Or, as earlier, what the same request was answered before.';

-- Parts with more behind them: text goes on where text ended.
create function private.joined_parts(parts jsonb, more jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if parts -> -1 ->> 'type' = 'text' and more -> 0 ->> 'type' = 'text' then
    return jsonb_set(parts, '{-1,text}', to_jsonb((parts -> -1 ->> 'text') || (more -> 0 ->> 'text'))) || (more - 0);
  end if;
  return parts || more;
end;
$$;

-- The answer that is being made on the branch that ends at a message, or in reply to it; null where there is none. A
-- call of which nobody heard for half a minute was lost and is finished.
create function private.running_answer(
  wanted_conversation uuid, leaf_id uuid, own_answer uuid, at timestamptz
) returns public.messages language plpgsql set search_path = '' as $$
declare
  running public.messages;
  hold private.credit_holds;
begin
  for running in
    select m.* from public.messages m
    where m.conversation_id = wanted_conversation and m.status = 'sending' and m.id is distinct from own_answer
  loop
    select h.* into hold from private.credit_holds h where h.id = running.hold_id and h.work is not null;
    if private.is_silent(hold, at) then
      perform private.finish_lost_ai_call(hold, at);
    elsif running.id in (select b.message_id from private.branch_of(wanted_conversation, leaf_id) b
        where leaf_id is not null)
      or running.parent_message_id = leaf_id and own_answer is not null
    then
      return running;
    end if;
  end loop;
  return null;
end;
$$;

-- Why an answer may not be begun now in its locked conversation, if so: what its request goes by was changed meanwhile
-- (is_stale), or another one is being made on the branch.
create function private.refuse_answer(
  conversation public.conversations, action text, answer_id uuid, answer public.messages, leaf uuid, message jsonb,
  request_id text, at timestamptz
) returns jsonb language plpgsql set search_path = '' as $$
declare
  is_known boolean := answer.id is not null;
  is_here_again boolean := exists (select from private.credit_holds h
    where h.id = answer.hold_id and h.metadata ->> 'request_id' = refuse_answer.request_id);
  running public.messages;
begin
  -- A known request failed before, or is here a second time because the answer to its first try was lost.
  if action <> 'continue' and (
    is_known and not is_here_again and not exists (select from private.sent_messages s
      where s.answer_id = answer.id and s.request_hash = message ->> 'request_hash' and answer.status = 'failed')
    or not is_known and (message -> 'follows_leaf')::boolean and conversation.current_leaf_id is distinct from leaf
    or not is_known and exists (select from public.messages m where m.id = (message ->> 'id')::uuid)
  ) then
    running := private.running_answer(conversation.id, conversation.current_leaf_id, null, at);
    if running.id is null then
      return jsonb_build_object('admitted', false, 'is_stale', true);
    end if;
  end if;
  if running.id is null then
    running := private.running_answer(conversation.id, leaf,
      case when action <> 'send' or is_known then refuse_answer.answer_id end, at);
  end if;
  if action = 'continue' and answer.status = 'sending' and not is_here_again then
    running := answer;
  end if;
  if running.id is null then
    return null;
  end if;
  return jsonb_build_object('admitted', false, 'code', 'generation_running',
    'status', private.error_status('generation_running'),
    'message', format('The answer %s is still being made on this branch.', running.id), 'param', null,
    'retry_after', null, 'message_id', running.parent_message_id, 'answer_id', running.id);
end;
$$;

-- Writes the person's message, where the request has one, and the answer that is to be made. Their ids are the client's
-- choice: one that it is writing elsewhere just now is not waited for, with the wallet locked, but taken.
create function private.write_exchange(
  conversation public.conversations, action text, question uuid, leaf uuid, answer_id uuid, model text, hold_id uuid,
  message jsonb
) returns void language plpgsql set search_path = '' set lock_timeout = '200ms' as $$
begin
  if action = 'send' then
    insert into public.messages (id, workspace_id, conversation_id, parent_message_id, parts, content_type,
      content_tokens, metadata)
    values (question, conversation.workspace_id, conversation.id, leaf, message -> 'parts',
      (message ->> 'content_type')::public.message_content_type, (message ->> 'content_tokens')::integer,
      coalesce(message -> 'metadata', '{}'));
  end if;
  insert into public.messages (id, workspace_id, conversation_id, parent_message_id, role, status, model_used, hold_id)
  values (write_exchange.answer_id, conversation.workspace_id, conversation.id, question, 'assistant', 'sending',
    write_exchange.model, write_exchange.hold_id);
  insert into private.sent_messages (key_id, message_id, answer_id, request_hash)
  select (message ->> 'key_id')::uuid, question, write_exchange.answer_id, message ->> 'request_hash'
  where message ->> 'key_id' is not null;
exception when unique_violation or lock_not_available then
  perform private.raise_error('idempotency_conflict', 'There is another message with this id: '
    'use a new id for a new message, and the same body for a retry.');
end;
$$;

create function public.admit_message(
  conversation_id uuid, user_id uuid, action text, answer_id uuid, message jsonb, model text, input_tokens integer,
  max_output_tokens integer default null, request_id text default null, details jsonb default '{}',
  api_key_hash text default null, workspace_id uuid default null, parts jsonb default '{}', fields jsonb default '{}',
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  conversation public.conversations := private.own_conversation(admit_message.user_id, api_key_hash,
    admit_message.workspace_id, admit_message.conversation_id, at);
  answer public.messages;
  leaf uuid := (message ->> 'parent_message_id')::uuid;
  admission jsonb;
begin
  perform private.lock_conversation(conversation.id); -- everything that is sent in it waits here
  conversation := private.own_conversation(admit_message.user_id, api_key_hash, admit_message.workspace_id,
    conversation.id, at);
  select * into answer from public.messages m where m.id = admit_message.answer_id;
  if action = 'continue' then
    leaf := answer.id;
    if answer.status <> 'sending' then
      perform private.require_continuable(private.message_of(conversation.id, answer.id));
    end if;
  end if;
  admission := private.refuse_answer(conversation, action, admit_message.answer_id, answer, leaf, message,
    admit_message.request_id, at);
  if admission is not null then
    return admission;
  elsif not private.is_json_within(message -> 'parts',
    private.config_numeric('max_message_parts_bytes', 1048576)::bigint) then
    perform private.raise_error('invalid_request', format('A message has at most %s bytes of parts.',
      private.config_numeric('max_message_parts_bytes', 1048576)));
  elsif not private.is_json_within(message -> 'metadata', 65536) then
    perform private.raise_error('invalid_request', 'A message has at most 65536 bytes of metadata.');
  end if;
  admission := public.admit_ai_call(admit_message.user_id, admit_message.model, admit_message.input_tokens,
    admit_message.max_output_tokens, 1, admit_message.request_id, details || jsonb_build_object('conversation_id',
      conversation.id, 'message_id', admit_message.answer_id), endpoint => 'text_chat', can_lower_output => true,
    api_key_hash => admit_message.api_key_hash, workspace_id => conversation.workspace_id, at => admit_message.at,
    parts => admit_message.parts, fields => admit_message.fields, counts_message => action <> 'continue');
  if not (admission -> 'admitted')::boolean then
    return admission;
  end if;
  update public.messages m set content_tokens = c.value::integer
  from jsonb_each_text(message -> 'counted') c
  where m.id = c.key::uuid and m.conversation_id = conversation.id and m.content_tokens is null;
  if answer.id is not null then
    update public.messages m set status = 'sending', hold_id = (admission ->> 'hold_id')::uuid, error_message = null,
      model_used = admit_message.model, parts = case when action = 'continue' then m.parts else '[]' end
    where m.id = answer.id;
  else
    -- A refusal takes back what admission counted: it is as if nothing had been sent.
    perform private.require_room_for_content(conversation.workspace_id, octet_length(message::text),
      is_by_client => false);
    perform private.write_exchange(conversation, action,
      case when action <> 'continue' then coalesce((message ->> 'id')::uuid, leaf) end, leaf, admit_message.answer_id,
      admit_message.model, (admission ->> 'hold_id')::uuid, message);
  end if;
  return admission;
end;
$$;
comment on function public.admit_message is
  'Admits the AI call of an answer as admit_ai_call does and, where it is admitted, writes the person''s message and '
  'the answer, which is still to be made. generation_running where one is being made on the branch; is_stale: ask '
  'conversation_context again. message: { id, parent_message_id, parts, content_type, content_tokens, metadata, '
  'follows_leaf, key_id, request_hash, counted }. To continue an answer counts no message.';

-- Ends the answer whose call was logged: what it cost and how it ended are the log row's. Who ends the call has locked
-- the conversation.
create function private.end_answer() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.messages m set
    status = case when m.deleted_at is not null then m.status
      -- What there was before it was to be continued is left as it was.
      when new.status in ('failed', 'refused') and m.completion_tokens = 0 then 'failed'
      when new.status <> 'success' or new.error_code = 'cut_off' then 'stopped'
      else 'sent' end::public.message_status,
    prompt_tokens = m.prompt_tokens + new.prompt_tokens,
    completion_tokens = m.completion_tokens + new.completion_tokens,
    cost = m.cost + new.estimated_cost,
    error_message = coalesce(m.error_message, new.error_message)
  where m.id = new.message_id and m.hold_id = new.hold_id;
  return null;
end;
$$;
create trigger ai_usage_logs_end_answer after insert on private.ai_usage_logs
  for each row when (new.message_id is not null) execute function private.end_answer();

create function public.finish_message(
  hold_id uuid, answer jsonb, ending public.ai_usage_status, prompt_tokens bigint default 0,
  cached_tokens bigint default 0, completion_tokens bigint default 0, details jsonb default '{}',
  usage_source public.ai_usage_source default 'reported', is_empty boolean default false,
  served_model text default null, written_tokens bigint default 0, may_be_cut_short boolean default false,
  pools jsonb default '{}', gives_messages boolean default false, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  hold private.credit_holds;
  written public.messages;
  settlement jsonb;
begin
  perform private.lock_conversation((h.work #>> '{details,conversation_id}')::uuid) from private.credit_holds h
  where h.id = finish_message.hold_id;
  hold := private.lock_hold(finish_message.hold_id, at);
  settlement := public.finish_ai_call(hold.id, ending, finish_message.prompt_tokens, finish_message.cached_tokens,
    finish_message.completion_tokens, finish_message.details, 0, finish_message.usage_source,
    finish_message.is_empty, finish_message.served_model, null, finish_message.written_tokens,
    finish_message.may_be_cut_short, finish_message.at, finish_message.pools);
  if hold.work is not null then -- after its status: a row whose status changes is indexed again, with its text
    update public.messages m set parts = private.joined_parts(m.parts, finish_message.answer -> 'parts'),
      content_tokens = coalesce(m.content_tokens, 0) + (finish_message.answer ->> 'content_tokens')::integer,
      metadata = m.metadata || jsonb_build_object('finish_reason', finish_message.answer -> 'finish_reason'),
      error_message = coalesce(finish_message.answer ->> 'error_message', m.error_message)
    where m.hold_id = hold.id and m.deleted_at is null;
  end if;
  if gives_messages then
    select * into written from public.messages m where m.hold_id = hold.id;
    settlement := settlement || jsonb_build_object('answer', to_jsonb(written),
      'message', (select to_jsonb(m) from public.messages m where m.id = written.parent_message_id));
  end if;
  return settlement;
end;
$$;
comment on function public.finish_message is
  'Ends the AI call of an answer as finish_ai_call does, and writes the answer: { parts, content_tokens, '
  'finish_reason, error_message }. What it cost and its status come from the log row.';

-- Finishes one answer whose function ended before it did, but none whose conversation or wallet somebody holds; false
-- when there is none.
create function private.finish_next_lost_answer(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  lost private.credit_holds;
  conversation uuid;
begin
  for lost in
    select h.* from private.credit_holds h
    where h.work is not null and h.work #> '{details,message_id}' is not null
      and h.expires_at <= finish_next_lost_answer.at + interval '570 seconds' -- as finish_next_lost_ai_call
  loop
    conversation := (lost.work #>> '{details,conversation_id}')::uuid;
    continue when not private.lock_conversation(conversation, waits => false)
      and exists (select from public.conversations c where c.id = conversation);
    perform from public.credit_wallets w where w.workspace_id = lost.workspace_id for no key update skip locked;
    continue when not found;
    perform private.finish_lost_ai_call(lost, at);
    return true;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('finish_next_lost_answer', 11);

-- The log and usage records keep the figures of what was for a message or conversation that was deleted.
create function private.forget_deleted_messages() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_table_name = 'conversations' then
    update private.ai_usage_logs l set conversation_id = null, message_id = null
    from old_rows o where l.conversation_id = o.id;
    update private.usage_records r set conversation_id = null, message_id = null
    from old_rows o where r.conversation_id = o.id;
  else
    update private.ai_usage_logs l set message_id = null
    from old_rows o where l.conversation_id = o.conversation_id and l.message_id = o.id;
    update private.usage_records r set message_id = null
    from old_rows o where r.conversation_id = o.conversation_id and r.message_id = o.id;
  end if;
  return null;
end;
$$;
create trigger messages_forget_deleted after delete on public.messages
  referencing old table as old_rows for each statement execute function private.forget_deleted_messages();
create trigger conversations_forget_deleted after delete on public.conversations
  referencing old table as old_rows for each statement execute function private.forget_deleted_messages();

grant execute on function public.conversation_context, public.admit_message, public.finish_message,
  public.store_conversation_notes to service_role, basemeter_functions;
