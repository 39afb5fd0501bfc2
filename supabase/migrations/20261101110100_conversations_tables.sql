-- Conversations and their messages: a tree, so that an answer can be made again and a question edited without losing
-- the other branch. People write their own questions under RLS; answers, tokens and cost come from the server alone.
-- Whoever writes messages holds, in this order: a share of the wallet of their workspace, which only deletions wait
-- for; the conversation; for an AI call, the wallet; the messages. So a conversation's counters are exact, no write
-- meets another one or a deletion in a deadlock, and nobody holds a wallet while they wait for a conversation, which a
-- client can hold for as long as its statement runs.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('max_message_characters', '100000', 'integer', 1, 10000000, true,
    'Characters of a message that a client writes itself.'),
  ('max_message_parts_bytes', '1048576', 'integer', 1, 50000000, true,
    'Bytes of the parts (as JSON) of a message that a client writes itself.'),
  ('deleted_content_days', '30', 'integer', 0, 3650, true,
    'Days after which deleted conversations and messages are removed for good.');

-- Whether JSON has no more than so many bytes as text. Its numbers are looked at first, unless they are few: 1e131071
-- is stored in a few bytes and written with 131,072 digits, so that a small request would make a text of gigabytes.
-- Two statements, for the planner computes what is constant in one. As an array, for jsonb_path_query is quadratic.
create function private.is_json_within(value jsonb, most bigint) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  if pg_column_size(value) > 100 and (
    select sum(case when scale(n.number::numeric) > 400 or abs(n.number::numeric) >= 1e400 then most + 1
      else octet_length(n.number::text) end) > most
    from jsonb_array_elements(jsonb_path_query_array(value, 'strict $.** ? (@.type() == "number")')) n (number)
  ) then
    return false;
  end if;
  return octet_length(value::text) <= most;
end;
$$;
grant execute on function private.is_json_within to authenticated; -- who write conversations

alter table public.workspaces add column message_retention_days integer
  constraint message_retention_is_in_days check (message_retention_days between 1 and 36500);
comment on column public.workspaces.message_retention_days is
  'Days after which messages are removed for good, and conversations that have lost all of them; null: never.';
grant update (message_retention_days) on public.workspaces to authenticated, service_role;
create index workspaces_message_retention_days_idx on public.workspaces (message_retention_days)
  where message_retention_days is not null;
create trigger workspaces_audit_retention after update of message_retention_days on public.workspaces
  for each row execute function private.audit_change('id', 'id', 'message_retention_days');

create type public.message_role as enum ('user', 'assistant', 'system', 'tool');
comment on type public.message_role is 'Who speaks in a message.';
create type public.message_content_type as enum ('text', 'image', 'file');
comment on type public.message_content_type is 'What a message is mainly made of.';
create type public.message_status as enum ('sending', 'sent', 'failed', 'stopped', 'deleted');
comment on type public.message_status is
  'State of a message. sending: its answer is being made; stopped: its person ended it, or it was cut off.';

create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null default auth.uid() references public.workspaces on delete cascade,
  user_id uuid default auth.uid() references public.users on delete set null,
  title public.short_name not null default '',
  summary text not null default '',
  system_prompt text not null default ''
    constraint system_prompt_is_bounded check (length(system_prompt) <= 100000),
  model text constraint model_is_short check (length(model) between 1 and 200),
  tags text[] not null default '{}',
  is_archived boolean not null default false,
  is_pinned boolean not null default false,
  is_shared boolean not null default false,
  current_leaf_id uuid,
  message_count integer not null default 0,
  total_tokens bigint not null default 0,
  total_cost numeric not null default 0,
  last_message_at timestamptz,
  metadata jsonb not null default '{}'
    constraint metadata_is_bounded check (private.is_json_within(metadata, 65536)),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  deleted_at timestamptz,
  import_key text,
  constraint tags_are_few_and_short check (cardinality(tags) <= 50 and length(array_to_string(tags, ',')) <= 2000),
  constraint tags_are_texts check (array_position(tags, null) is null)
) with (fillfactor = 80); -- every message rewrites its counters
comment on table public.conversations is 'Conversations with models. Their messages are a tree.';
comment on column public.conversations.user_id is 'Whose it is; null when the person is gone and had shared it.';
comment on column public.conversations.title is 'What it is about: its person''s words or, while empty, a model''s.';
comment on column public.conversations.summary is
  'What the current branch said before its newest messages, where that has been summed up.';
comment on column public.conversations.system_prompt is 'What the model is told before the messages.';
comment on column public.conversations.model is 'The model of answers where a request names none.';
comment on column public.conversations.is_shared is
  'Whether everyone in the workspace may read it; for its person to decide.';
comment on column public.conversations.current_leaf_id is
  'The last message of the branch that was looked at last, never a deleted one. No foreign key: triggers keep it.';
comment on column public.conversations.message_count is 'Its messages on all branches, without deleted ones.';
comment on column public.conversations.total_tokens is 'The sum of its messages'' total_tokens, without deleted ones.';
comment on column public.conversations.total_cost is 'The sum of its messages'' cost, without deleted ones.';
comment on column public.conversations.last_message_at is 'When its newest message was written; it only moves forward.';
comment on column public.conversations.deleted_at is
  'When its person deleted it: nobody can read it any more, and after the retention it is gone.';
comment on column public.conversations.import_key is
  'What it was imported from, and a hash of it; null: it began here.';
create unique index conversations_import_key_idx on public.conversations (workspace_id, user_id, import_key)
  where deleted_at is null;
create index conversations_workspace_id_last_message_at_idx on public.conversations (workspace_id, last_message_at);
create index conversations_user_id_last_message_at_idx on public.conversations (user_id, last_message_at);
create index conversations_deleted_at_idx on public.conversations (deleted_at) where deleted_at is not null;

create table public.messages (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null default auth.uid(), -- a trigger writes it; without a default, types would ask for it
  conversation_id uuid not null references public.conversations on delete cascade,
  parent_message_id uuid references public.messages on delete set null,
  role public.message_role not null default 'user',
  content text not null default '',
  content_type public.message_content_type not null default 'text',
  parts jsonb not null default '[]',
  status public.message_status not null default 'sent',
  model_used text,
  prompt_tokens integer not null default 0,
  completion_tokens integer not null default 0,
  total_tokens integer not null generated always as (prompt_tokens + completion_tokens) stored,
  cost numeric not null default 0,
  content_tokens integer,
  hold_id uuid,
  error_message text,
  metadata jsonb not null default '{}'
    constraint message_metadata_is_bounded check (private.is_json_within(metadata, 65536)),
  sequence_number bigint not null generated always as identity,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  deleted_at timestamptz,
  constraint parts_are_a_list check (jsonb_typeof(parts) = 'array'),
  constraint a_deleted_message_has_its_time check ((deleted_at is not null) = (status = 'deleted'))
);
comment on table public.messages is
  'Messages of conversations: each names the one before it, and those after the same one are branches.';
comment on column public.messages.workspace_id is 'Its conversation''s. No foreign key: they go together.';
comment on column public.messages.parent_message_id is 'The message before it on its branch; null: the first.';
comment on column public.messages.content is 'Its text, for reading and search: that of its parts where it has any.';
comment on column public.messages.parts is
  'What it is made of, in order: objects with a type. text, image, file, tool_call, tool_result, reasoning, citation '
  'and refusal are known to models; others are kept as they are, such as the parts of an AI SDK UIMessage.';
comment on column public.messages.model_used is 'The model that was asked for this answer.';
comment on column public.messages.prompt_tokens is 'Input tokens of the call that made it; 0 where none did.';
comment on column public.messages.completion_tokens is 'Output tokens of the call that made it.';
comment on column public.messages.cost is
  'What the call that made it is worth to its caller, US dollars: as estimated_cost in ai_usage_logs.';
comment on column public.messages.content_tokens is
  'Tokens that it takes in a model''s context, once counted; null: not counted.';
comment on column public.messages.hold_id is 'The hold of the call that made it, as in ai_usage_logs.';
comment on column public.messages.sequence_number is 'Orders messages of the same instant.';
create index messages_workspace_id_created_at_idx on public.messages (workspace_id, created_at);
create index messages_conversation_id_created_at_idx on public.messages (conversation_id, created_at, sequence_number);
create index messages_parent_message_id_idx on public.messages (parent_message_id);
create index messages_hold_id_idx on public.messages (hold_id) where hold_id is not null;
create index messages_deleted_at_idx on public.messages (deleted_at) where deleted_at is not null;

-- Locks ---------------------------------------------------------------------------------------------------------------

-- Before a client's write: its caller's writes come one after the other, for a statement may be about several of their
-- conversations, in any order; and the workspaces stay. Their wallets are locked in id order, as a deletion does it.
create function private.lock_my_wallets() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('conversations of ' || auth.uid(), 0));
  perform from public.credit_wallets w where w.workspace_id = any (array(select private.my_workspace_ids()))
  order by w.workspace_id for key share;
  return null;
end;
$$;
create trigger conversations_lock_wallets before insert or update or delete on public.conversations
  for each statement when (current_user = 'authenticated') execute function private.lock_my_wallets();
create trigger messages_lock_wallets before insert or update or delete on public.messages
  for each statement when (current_user = 'authenticated') execute function private.lock_my_wallets();

-- Locks a conversation, and before it a share of its wallet: the clauses lock in their order. Comes before the wallet's
-- own lock. False where it is gone or, unless it waits, locked by somebody else.
create function private.lock_conversation(wanted_conversation uuid, waits boolean default true) returns boolean
language plpgsql set search_path = '' as $$
begin
  if waits then
    perform from public.conversations c join public.credit_wallets w on w.workspace_id = c.workspace_id
    where c.id = wanted_conversation for key share of w for no key update of c;
  else
    perform from public.conversations c join public.credit_wallets w on w.workspace_id = c.workspace_id
    where c.id = wanted_conversation for key share of w skip locked for no key update of c skip locked;
  end if;
  return found;
end;
$$;

-- Whether a conversation is the caller's own to write in; then it is locked.
create function private.lock_my_conversation(wanted_conversation uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.conversations c
  where c.id = wanted_conversation and c.user_id = auth.uid() and c.deleted_at is null
    and private.role_in(c.workspace_id, c.user_id) is not null
  for no key update;
  return found;
end;
$$;
grant execute on function private.lock_my_conversation to authenticated;

-- Text and parts ------------------------------------------------------------------------------------------------------

-- The text of a message's parts: what people read of it and search in.
create function private.text_of_parts(parts jsonb) returns text language sql immutable set search_path = '' as $$
  select coalesce(string_agg(p.part ->> 'text', e'\n\n' order by p.place), '')
  from jsonb_array_elements(parts) with ordinality p (part, place)
  where p.part ->> 'type' in ('text', 'refusal') and jsonb_typeof(p.part -> 'text') = 'string'
    and p.part ->> 'text' <> ''
$$;

-- Has content and parts of a message agree: a text that is written by itself takes the place of the parts' text.
create function private.agree_message(message public.messages, is_text_written boolean) returns public.messages
language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof(message.parts) is distinct from 'array' or exists (
    select from jsonb_array_elements(message.parts) p (part)
    where jsonb_typeof(p.part) <> 'object' or jsonb_typeof(p.part -> 'type') is distinct from 'string'
  ) then
    perform private.raise_error('invalid_request', 'parts must be a list of objects that each have a type.');
  end if;
  if is_text_written then
    message.parts := (
      select coalesce(jsonb_agg(n.part order by n.place), '[]') from (
        select jsonb_build_object('type', 'text', 'text', message.content) as part, 0 as place
        where message.content <> ''
        union all
        select p.part, p.place from jsonb_array_elements(message.parts) with ordinality p (part, place)
        where p.part ->> 'type' not in ('text', 'refusal')
      ) n
    );
  end if;
  message.content := private.text_of_parts(message.parts);
  return message;
end;
$$;

-- Completes a message by its conversation, which it locks; an error for a parent elsewhere.
create function private.prepare_message() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' then
    new := private.agree_message(new, new.parts = old.parts and new.content <> old.content);
    if (new.content, new.parts) is distinct from (old.content, old.parts)
      and new.content_tokens is not distinct from old.content_tokens then
      new.content_tokens := null; -- they were those of the old text
    end if;
    return new;
  elsif current_setting('role') = 'authenticated' and not private.lock_my_conversation(new.conversation_id) then
    return new; -- the policy refuses it, and nothing is told of what is not theirs
  end if;
  select c.workspace_id into new.workspace_id from public.conversations c where c.id = new.conversation_id
  for no key update;
  if new.parent_message_id is not null and not exists (select from public.messages m
    where m.id = new.parent_message_id and m.conversation_id = new.conversation_id) then
    perform private.raise_error('not_found', format('There is no message %s in this conversation to follow.',
      new.parent_message_id));
  end if;
  return private.agree_message(new, new.content <> '' and (jsonb_typeof(new.parts) is distinct from 'array'
    or private.text_of_parts(new.parts) = ''));
end;
$$;
create trigger messages_prepare before insert or update of content, parts on public.messages
  for each row execute function private.prepare_message();
create trigger messages_set_updated_at before update of content, content_type, parts, status, metadata
  on public.messages for each row execute function private.set_updated_at();

-- What a client stores -----------------------------------------------------------------------------------------------

-- Refuses content that a workspace has no room for today, and counts what it has.
create function private.require_room_for_content(
  wanted_workspace uuid, content bigint, is_by_client boolean default true, is_counted boolean default true
) returns void language plpgsql set search_path = '' as $$
declare
  at timestamptz := clock_timestamp();
begin
  if not private.has_room_for_content(wanted_workspace, content, at, is_by_client, is_counted) then
    perform private.raise_error('limit_reached',
      format('On this plan a workspace stores at most %s bytes of content a day.',
        private.config_numeric('kept_content_per_day', 5242880)), 'Wait for the next day (UTC), or upgrade the plan.',
      ceil(extract(epoch from (private.window_at('day', null, 0, at)).ends_at - at))::integer);
  end if;
end;
$$;

-- Bounds a message that a client itself writes.
create function private.bound_message() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if length(new.content) > private.config_numeric('max_message_characters', 100000)
    or not private.is_json_within(new.parts, private.config_numeric('max_message_parts_bytes', 1048576)::bigint) then
    perform private.raise_error('invalid_request', format('A message has at most %s characters and %s bytes of parts.',
      private.config_numeric('max_message_characters', 100000),
      private.config_numeric('max_message_parts_bytes', 1048576)));
  end if;
  return new;
end;
$$;
-- After messages_prepare: triggers of one table fire in the order of their names.
create trigger messages_require_bounds before insert or update of content, parts
  on public.messages for each row when (current_user = 'authenticated') execute function private.bound_message();

-- Bounds what clients store in a day: a row counts as the JSON that it makes, which is more than it takes. An update
-- counts the rows in which one of the columns that are its arguments changed, and counts them whole: what they replace
-- stays in indexes. It fires when all else of a statement is done, so that others of the workspace wait for none of it.
create function private.bound_content() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    perform private.require_room_for_content(x.workspace_id, x.bytes) from (
      select n.workspace_id, sum(octet_length(to_jsonb(n)::text)) as bytes from new_rows n
      group by n.workspace_id order by n.workspace_id
    ) x;
  else
    perform private.require_room_for_content(x.workspace_id, x.bytes) from (
      select n.workspace_id, sum(octet_length(to_jsonb(n)::text)) as bytes
      from new_rows n join old_rows o on o.id = n.id
      where exists (select from unnest(tg_argv) c where to_jsonb(n) -> c <> to_jsonb(o) -> c)
      group by n.workspace_id order by n.workspace_id
    ) x;
  end if;
  return null;
end;
$$;
create trigger conversations_store_inserted after insert on public.conversations
  referencing new table as new_rows
  for each statement when (current_user = 'authenticated') execute function private.bound_content();
create trigger conversations_store_updated after update on public.conversations
  referencing old table as old_rows new table as new_rows
  for each statement when (current_user = 'authenticated')
  execute function private.bound_content('title', 'system_prompt', 'model', 'tags', 'metadata');
create trigger messages_store_inserted after insert on public.messages
  referencing new table as new_rows
  for each statement when (current_user = 'authenticated') execute function private.bound_content();
create trigger messages_store_updated after update on public.messages
  referencing old table as old_rows new table as new_rows
  for each statement when (current_user = 'authenticated')
  execute function private.bound_content('content', 'parts', 'metadata');

-- Counters ------------------------------------------------------------------------------------------------------------

-- The leaf itself or the nearest message before it that is not deleted; else the newest of the conversation, if any.
create function private.living_leaf(wanted_conversation uuid, leaf_id uuid) returns uuid
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((
    with recursive back as (
      select m.id, m.parent_message_id, m.deleted_at from public.messages m where m.id = leaf_id
      union all
      select m.id, m.parent_message_id, m.deleted_at
      from back b join public.messages m on m.id = b.parent_message_id where b.deleted_at is not null
    )
    select b.id from back b where b.deleted_at is null
  ), (
    select m.id from public.messages m where m.conversation_id = wanted_conversation and m.deleted_at is null
    order by m.created_at desc, m.sequence_number desc limit 1
  ));
end;
$$;

-- Keeps the counters and the current leaf of the conversations whose messages were written.
create function private.count_messages() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    update public.conversations c set message_count = c.message_count + x.messages,
      total_tokens = c.total_tokens + x.tokens, total_cost = c.total_cost + x.cost,
      last_message_at = greatest(c.last_message_at, x.newest), current_leaf_id = coalesce(x.leaf, c.current_leaf_id)
    from (
      select n.conversation_id, count(*) as messages, sum(n.total_tokens) as tokens, sum(n.cost) as cost,
        max(n.created_at) as newest, (array_agg(n.id order by n.sequence_number desc))[1] as leaf
      from new_rows n where n.deleted_at is null group by n.conversation_id
    ) x where c.id = x.conversation_id;
  elsif tg_op = 'UPDATE' then
    update public.conversations c set message_count = c.message_count + x.messages,
      total_tokens = c.total_tokens + x.tokens, total_cost = c.total_cost + x.cost,
      current_leaf_id = private.living_leaf(c.id, c.current_leaf_id)
    from (
      select r.conversation_id, sum(r.sign) as messages, sum(r.sign * r.total_tokens) as tokens,
        sum(r.sign * r.cost) as cost
      from (
        select n.conversation_id, 1 as sign, n.total_tokens, n.cost from new_rows n where n.deleted_at is null
        union all
        select o.conversation_id, -1, o.total_tokens, o.cost from old_rows o where o.deleted_at is null
      ) r group by r.conversation_id
    ) x where c.id = x.conversation_id and (x.messages, x.tokens, x.cost) is distinct from (0, 0, 0);
  else
    update public.conversations c set message_count = c.message_count - x.messages,
      total_tokens = c.total_tokens - x.tokens, total_cost = c.total_cost - x.cost,
      current_leaf_id = private.living_leaf(c.id, c.current_leaf_id)
    from (
      select o.conversation_id, count(*) as messages, sum(o.total_tokens) as tokens, sum(o.cost) as cost
      from old_rows o where o.deleted_at is null group by o.conversation_id
    ) x where c.id = x.conversation_id;
  end if;
  return null;
end;
$$;

create trigger messages_count_inserted after insert on public.messages
  referencing new table as new_rows for each statement execute function private.count_messages();
create trigger messages_count_updated after update on public.messages
  referencing old table as old_rows new table as new_rows for each statement execute function private.count_messages();
create trigger messages_count_deleted after delete on public.messages
  referencing old table as old_rows for each statement execute function private.count_messages();

-- Deletion ------------------------------------------------------------------------------------------------------------

-- A client's delete hides at once and returns no row; a scheduled job removes for good. In a cascade current_user is
-- the owner of the table.
-- Hides a conversation that its person deletes.
create function private.hide_conversation() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.conversations c set deleted_at = clock_timestamp() where c.id = old.id;
  return null;
end;
$$;
create trigger conversations_hide_deleted before delete on public.conversations
  for each row when (current_user = 'authenticated') execute function private.hide_conversation();

-- Hides a message that its person deletes; those after it stay.
create function private.hide_message() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.messages m set status = 'deleted', deleted_at = clock_timestamp() where m.id = old.id;
  return null;
end;
$$;
create trigger messages_hide_deleted before delete on public.messages
  for each row when (current_user = 'authenticated') execute function private.hide_message();

-- Removes messages for good. Those after them follow the nearest before them that stays. The caller has locked their
-- conversation.
create function private.remove_messages(due uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with recursive gone as ( -- from the first of them downwards, so that each is looked at once
    select d.id, d.parent_message_id as stays from public.messages d
    where d.id = any (due) and (d.parent_message_id is null or d.parent_message_id <> all (due))
    union all
    select d.id, g.stays from gone g join public.messages d on d.parent_message_id = g.id where d.id = any (due)
  )
  update public.messages m set parent_message_id = g.stays from gone g
  where m.parent_message_id = g.id and m.id <> all (due);
  delete from public.messages m where m.id = any (due);
end;
$$;

-- Removes for good what is due of one conversation, 500 messages at most: what was deleted deleted_content_days ago,
-- and what is older than its workspace keeps messages. One that somebody holds is passed over. False where nothing is.
create function private.remove_next_old_content(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  hidden_before timestamptz := private.later(at,
    make_interval(days => -private.config_numeric('deleted_content_days', 30)::integer));
  written_before timestamptz;
  candidate record;
  due uuid[];
begin
  for candidate in
    select c.id, c.deleted_at < hidden_before as is_due, w.message_retention_days
    from (
      (select o.id from public.conversations o where o.deleted_at < hidden_before order by o.deleted_at limit 100)
      union
      (select m.conversation_id from public.messages m where m.deleted_at < hidden_before
        order by m.deleted_at limit 100)
      union
      (select o.conversation_id from public.workspaces w cross join lateral (
          select m.conversation_id from public.messages m
          where m.workspace_id = w.id and m.created_at < private.later(at,
            make_interval(days => -w.message_retention_days))
          order by m.created_at limit 1
        ) o where w.message_retention_days is not null limit 100)
    ) x join public.conversations c on c.id = x.id join public.workspaces w on w.id = c.workspace_id
  loop
    continue when not private.lock_conversation(candidate.id, waits => false);
    written_before := private.later(at, make_interval(days => -candidate.message_retention_days));
    due := array(
      select m.id from public.messages m
      where m.conversation_id = candidate.id
        and (candidate.is_due or m.deleted_at < hidden_before or m.created_at < written_before)
      order by m.created_at, m.sequence_number limit 500
    );
    perform private.remove_messages(due);
    delete from public.conversations c
    where c.id = candidate.id and (candidate.is_due or c.last_message_at < written_before)
      and not exists (select from public.messages m where m.conversation_id = c.id);
    return true;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('remove_next_old_content', 200);

-- Removes what a deleted person never shared.
create function private.forget_conversation_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.conversations c where c.id = new.id;
  return null;
end;
$$;
create trigger conversations_forget_person after update of user_id on public.conversations
  for each row when (old.user_id is not null and new.user_id is null and not new.is_shared)
  execute function private.forget_conversation_person();

-- Refuses a current leaf that is no message of the conversation.
create function private.guard_current_leaf() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.current_leaf_id is not null and not exists (select from public.messages m
    where m.id = new.current_leaf_id and m.conversation_id = new.id and m.deleted_at is null) then
    perform private.raise_error('not_found', format('There is no message %s in this conversation.',
      new.current_leaf_id));
  end if;
  return new;
end;
$$;
create trigger conversations_guard_leaf before update of current_leaf_id on public.conversations
  for each row when (current_user = 'authenticated') execute function private.guard_current_leaf();

create trigger conversations_set_updated_at before update of title, system_prompt, model, tags, is_archived, is_pinned,
  is_shared, metadata on public.conversations
  for each row execute function private.set_updated_at();

-- Who reads and writes ------------------------------------------------------------------------------------------------

alter table public.conversations enable row level security;
create policy "members can read their conversations, and shared ones of their workspace" on public.conversations
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and deleted_at is null and ((select auth.uid()) = user_id or is_shared));
create policy "members can begin conversations in their workspaces" on public.conversations
  for insert to authenticated with check (workspace_id = any (array(select private.my_workspace_ids()))
    and (select auth.uid()) = user_id and (select private.is_account_active()));
-- The lock is asked for last: it costs the most.
create policy "members can change their conversations" on public.conversations
  for update to authenticated using ((select auth.uid()) = user_id and deleted_at is null
    and (select private.is_account_active()) and (select private.lock_my_conversation(id)));
create policy "members can delete their conversations" on public.conversations
  for delete to authenticated using ((select auth.uid()) = user_id and deleted_at is null
    and (select private.is_account_active()) and (select private.lock_my_conversation(id)));

alter table public.messages enable row level security;
-- Conversations' own policy says which can be read.
create policy "members can read the messages of conversations that they can read" on public.messages
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and deleted_at is null and exists (select from public.conversations c where c.id = conversation_id));
create policy "members can write questions in their conversations" on public.messages
  for insert to authenticated with check (role = 'user' and (select private.is_account_active())
    and (select private.lock_my_conversation(conversation_id)));
create policy "members can edit questions in their conversations" on public.messages
  for update to authenticated using (workspace_id = any (array(select private.my_workspace_ids())) and role = 'user'
    and deleted_at is null and (select private.is_account_active())
    and (select private.lock_my_conversation(conversation_id)));
create policy "members can delete messages of their conversations" on public.messages
  for delete to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and deleted_at is null and (select private.is_account_active())
    and (select private.lock_my_conversation(conversation_id)));

grant select, delete on public.conversations, public.messages to authenticated;
grant insert (id, workspace_id, title, system_prompt, model, tags, is_archived, is_pinned, is_shared, metadata)
  on public.conversations to authenticated;
grant update (title, system_prompt, model, tags, is_archived, is_pinned, is_shared, current_leaf_id, metadata)
  on public.conversations to authenticated;
grant insert (id, conversation_id, parent_message_id, role, content, content_type, parts, metadata)
  on public.messages to authenticated;
grant update (content, content_type, parts, metadata) on public.messages to authenticated;
grant select on public.conversations, public.messages to service_role;

-- The branch of a conversation that ends at a message (null: its current leaf): ids and how far each is from the end.
create function private.branch_of(wanted_conversation uuid, leaf_id uuid)
returns table (message_id uuid, from_end integer) language plpgsql stable set search_path = '' as $$
begin
  return query
    with recursive branch as (
      select m.id, m.parent_message_id, 0 as place from public.messages m
      where m.conversation_id = wanted_conversation and m.id = coalesce(branch_of.leaf_id,
        (select c.current_leaf_id from public.conversations c where c.id = wanted_conversation))
      union all
      select m.id, m.parent_message_id, b.place + 1 from branch b join public.messages m on m.id = b.parent_message_id
    )
    select b.id, b.place from branch b;
end;
$$;

-- The messages of a branch, for a caller who was found to read the conversation. A definer: a branch passes through
-- deleted messages, which nobody reads, and the rights of each message need no look of their own.
create function private.messages_of_branch(wanted_conversation uuid, leaf_id uuid) returns setof public.messages
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select m.* from private.branch_of(wanted_conversation, leaf_id) b
    join public.messages m on m.id = b.message_id where m.deleted_at is null order by b.from_end desc;
end;
$$;
grant execute on function private.messages_of_branch to authenticated, service_role;

create function public.conversation_branch(conversation_id uuid, leaf_id uuid default null)
returns setof public.messages language plpgsql stable set search_path = '' as $$
begin
  perform private.caller_id(); -- refuses a session that has ended
  perform from public.conversations c where c.id = conversation_branch.conversation_id and c.deleted_at is null;
  if found then
    return query select m.* from private.messages_of_branch(conversation_branch.conversation_id,
      conversation_branch.leaf_id) m;
  end if;
end;
$$;
comment on function public.conversation_branch is
  'The messages of one branch in order, up to leaf_id (default: the current leaf), without deleted ones.';
grant execute on function public.conversation_branch to authenticated, service_role;

-- The last message is looked up in the list of columns, so that Postgres does it for the rows of a page alone.
create view public.conversation_summary with (security_invoker = true) as
select c.id, c.user_id, c.title, c.message_count, c.total_tokens, c.total_cost, c.created_at, c.last_message_at,
  c.is_archived, c.is_pinned,
  (select m.content from public.messages m where m.id = c.current_leaf_id) as last_message_content,
  (select m.role from public.messages m where m.id = c.current_leaf_id) as last_message_role,
  c.workspace_id, c.tags, c.model, c.is_shared
from public.conversations c where c.deleted_at is null;
comment on view public.conversation_summary is
  'Conversations as a list shows them, each with the last message of its current branch.';
comment on column public.conversation_summary.last_message_content is
  'The text of the last message of the current branch; null where there is none.';
comment on column public.conversation_summary.last_message_role is 'Who speaks in that message.';
grant select on public.conversation_summary to authenticated, service_role;
