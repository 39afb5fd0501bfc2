-- Conversations in and out: as JSON, the whole tree, which can be imported again; as Markdown, the current branch.

-- The messages of a conversation that are not deleted, each with the nearest one before it that is not.
create function private.tree_of(wanted_conversation uuid) returns table (message_id uuid, parent_id uuid)
language plpgsql stable set search_path = '' as $$
begin
  return query
    with recursive hidden as ( -- from the first deleted message downwards, so that each is looked at once
      select d.id, d.parent_message_id as living
      from public.messages d left join public.messages p on p.id = d.parent_message_id
      where d.conversation_id = wanted_conversation and d.deleted_at is not null and p.deleted_at is null
      union all
      select d.id, h.living
      from hidden h join public.messages d on d.parent_message_id = h.id where d.deleted_at is not null
    )
    select m.id, case when h.id is null then m.parent_message_id else h.living end
    from public.messages m left join hidden h on h.id = m.parent_message_id
    where m.conversation_id = wanted_conversation and m.deleted_at is null;
end;
$$;

-- Markdown ------------------------------------------------------------------------------------------------------------

-- A text as one line of Markdown that means nothing but itself.
create function private.markdown_line(said text) returns text language sql immutable set search_path = '' as $$
  select regexp_replace(trim(regexp_replace(said, '[\s\u0085\u2028\u2029]+', ' ', 'g')), '([!-/:-@\[-`{-~])',
    '\\\1', 'g')
$$;

-- A text as a quote of Markdown, which nothing in it can end: each of its lines is quoted, nothing outside code is
-- HTML, and its code stands between fences of ours, longer than any run of the same sign in it. Runs are cut at 20: the
-- fences of a long one, at each line of its own, would make a text a thousand times as long.
create function private.markdown_quote(said text) returns text language plpgsql immutable set search_path = '' as $$
declare
  shown text := regexp_replace(said, '(`{20})`+', '\1', 'g');
  fence text := repeat('`', greatest(3, 1 + (
    select coalesce(max(length(r.run[1])), 0) from regexp_matches(shown, '(`+)', 'g') r (run))));
  opened text;
  line text;
  lines text[] := array[]::text[];
begin
  foreach line in array regexp_split_to_array(shown, '\r\n|[\n\r\v\f\u0085\u2028\u2029]') loop
    if opened is not null then
      if line ~ format('^ {0,3}%s{%s,}[ \t]*$', left(opened, 1), least(length(opened), 200)) then
        opened := null;
        line := fence;
      end if;
    elsif line ~ '^ {0,3}(`{3,}|~{3,})[^`]*$' then
      opened := substring(line from '^ *(`+|~+)');
      line := fence || substring(line from '^ *[`~]+[ \t]*([A-Za-z0-9_+#.-]{0,40})');
    else
      line := replace(regexp_replace(line, '(`{3,}|~{3,})', '\\\1', 'g'), '<', '&lt;');
    end if;
    lines := array_append(lines, '> ' || line);
  end loop;
  return array_to_string(case when opened is null then lines else array_append(lines, '> ' || fence) end, e'\n');
end;
$$;

-- A message as Markdown: who speaks, then what was said, and by name what is no text.
create function private.markdown_of(message public.messages) returns text
language sql immutable set search_path = '' as $$
  select concat_ws(e'\n\n', '## ' || initcap(message.role::text)
      || coalesce(' – ' || private.markdown_line(message.model_used), ''),
    private.markdown_quote(nullif(message.content, '')),
    string_agg(format('> *%s*', private.markdown_line(concat_ws(': ', p.part ->> 'type', coalesce(p.part ->> 'name',
      p.part ->> 'filename', p.part ->> 'title', left(p.part ->> 'url', 500))))), e'\n>\n' order by p.place))
  from jsonb_array_elements(message.parts) with ordinality p (part, place)
  where p.part ->> 'type' not in ('text', 'refusal', 'reasoning', 'step-start')
$$;

-- A conversation as export_conversation gives it; null: none that the caller reads.
create function private.read_out(wanted_conversation uuid, format text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  wanted public.conversations;
begin
  perform private.caller_id(); -- refuses a session that has ended
  select * into wanted from public.conversations c where c.id = wanted_conversation and c.deleted_at is null;
  if not found then
    perform private.raise_error('not_found', 'There is no such conversation.');
  elsif format = 'markdown' then
    return to_jsonb(concat_ws(e'\n\n',
      '# ' || coalesce(nullif(private.markdown_line(wanted.title), ''), 'Conversation'),
      (select string_agg(private.markdown_of(m), e'\n\n' order by b.from_end desc)
        from private.branch_of(wanted.id, null) b join public.messages m on m.id = b.message_id
        where m.deleted_at is null)) || e'\n');
  elsif format is distinct from 'json' then
    perform private.raise_error('invalid_request', 'format must be json or markdown.');
  end if;
  return jsonb_build_object('format', 'basemeter.conversation', 'version', 1, 'id', wanted.id, 'title', wanted.title,
    'system_prompt', wanted.system_prompt, 'model', wanted.model, 'tags', wanted.tags, 'is_archived',
    wanted.is_archived, 'is_pinned', wanted.is_pinned, 'metadata', wanted.metadata, 'created_at', wanted.created_at,
    'current_message_id', wanted.current_leaf_id, 'messages', (
      -- What follows a message was written after it.
      select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'parent_message_id', t.parent_id, 'role', m.role,
        'content_type', m.content_type, 'parts', m.parts, 'status', m.status, 'error_message', m.error_message,
        'model_used', m.model_used, 'prompt_tokens', m.prompt_tokens, 'completion_tokens', m.completion_tokens,
        'cost', m.cost, 'metadata', m.metadata, 'created_at', m.created_at) order by m.sequence_number), '[]')
      from private.tree_of(wanted.id) t join public.messages m on m.id = t.message_id));
end;
$$;
grant execute on function private.read_out to authenticated, service_role;

create function public.export_conversation(conversation_id uuid, format text default 'json') returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  -- The policy says which the caller reads.
  return private.read_out((select c.id from public.conversations c where c.id = export_conversation.conversation_id),
    export_conversation.format);
end;
$$;
comment on function public.export_conversation is
  'A conversation that one can read, format json: the whole tree and its current leaf, as import_conversation takes '
  'it; format markdown: the current branch, as one text. Files are named, and not in it.';
grant execute on function public.export_conversation to authenticated, service_role;

-- Import --------------------------------------------------------------------------------------------------------------

-- The time that an import states, neither before 1970 nor in the future.
create function private.imported_time(stated text, otherwise timestamptz) returns timestamptz
language sql stable set search_path = '' as $$
  select least(greatest(coalesce(stated::timestamptz, otherwise), 'epoch'), otherwise)
$$;

-- What an import states as metadata, with where it came from.
create function private.imported_metadata(given jsonb, source text) returns jsonb
language sql immutable set search_path = '' as $$
  select case jsonb_typeof(given -> 'metadata') when 'object' then given -> 'metadata' else '{}' end
    || jsonb_build_object('imported', jsonb_strip_nulls(jsonb_build_object('from', source, 'id', given ->> 'id')))
$$;

-- The parts that an import states, without the ids of attachments: files are not imported.
create function private.imported_parts(given jsonb) returns jsonb language sql immutable set search_path = '' as $$
  select case when given @? '$[*].attachment_id' then (
    select jsonb_agg(case jsonb_typeof(p.part) when 'object' then p.part - 'attachment_id' else p.part end
      order by p.place)
    from jsonb_array_elements(given) with ordinality p (part, place)) else coalesce(given, '[]') end
$$;

-- Why the messages of an import are no tree, if so.
create function private.refuse_import(given jsonb) returns text language plpgsql stable set search_path = '' as $$
declare
  listed jsonb := case when jsonb_typeof(given) = 'object' then given -> 'messages' end;
  wrong text;
begin
  if jsonb_typeof(listed) is distinct from 'array' or exists (
    select from jsonb_array_elements(listed) m (message) where jsonb_typeof(m.message) <> 'object') then
    return 'A conversation is an object with a list of messages, which are objects.';
  elsif jsonb_array_length(listed) > 2000 or not private.is_json_within(given, 4194304) then
    return 'A conversation can be imported up to 2000 messages and 4194304 bytes.';
  end if;
  select format('A message has the %s %s, which is not one of: %s.', v.field, coalesce(to_json(v.given)::text, 'null'),
    array_to_string(v.known, ', ')) into wrong
  from jsonb_array_elements(listed) m (message) cross join lateral (values
    ('role', m.message ->> 'role', enum_range(null::public.message_role)::text[]),
    ('content_type', coalesce(m.message ->> 'content_type', 'text'),
      enum_range(null::public.message_content_type)::text[])) v (field, given, known)
  where (v.given = any (v.known)) is not true limit 1;
  if wrong is not null then
    return wrong;
  end if;
  with named as (select m.message ->> 'id' as id, m.message ->> 'parent_message_id' as parent_id, m.place
    from jsonb_array_elements(listed) with ordinality m (message, place))
  select case when n.parent_id is null then format('Two messages have the id %s.', to_json(n.id))
    else format('There is no message %s before the one that follows it.', to_json(n.parent_id)) end into wrong
  from (
    select min(n.id) as id, null as parent_id from named n group by n.id having count(n.id) > 1
    union all
    select n.id, n.parent_id from named n left join named p on p.id = n.parent_id
    where n.parent_id is not null and (p.place < n.place) is not true
  ) n limit 1;
  return wrong;
end;
$$;

-- Writes an imported conversation for the caller, once.
create function private.write_import(source text, given jsonb, home uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  person uuid := private.caller_id();
  now_at timestamptz := clock_timestamp();
  wrong text := private.refuse_import(given);
  made public.conversations;
  written integer;
  content bigint;
begin
  made.workspace_id := coalesce(home, person);
  if private.role_in(made.workspace_id, person) is null then
    perform private.raise_error('not_found', pg_catalog.format('There is no workspace %s.',
      coalesce(made.workspace_id::text, 'null')));
  elsif not private.is_account_active() then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  elsif (source ~ '^[a-z0-9_.-]{1,40}$') is not true then
    perform private.raise_error('invalid_request', 'source must name where it comes from: 1 to 40 of a-z 0-9 _ . -');
  elsif wrong is not null then
    perform private.raise_error('invalid_request', wrong);
  end if;
  -- One after the other: the same one is written once, and those that have no room together are not all written first.
  perform pg_advisory_xact_lock(hashtextextended('imports of ' || person, 0));
  perform from public.credit_wallets w where w.workspace_id = made.workspace_id for key share; -- it stays
  if private.role_in(made.workspace_id, person) is null then -- the workspace or the person was deleted meanwhile
    perform private.raise_error('not_found', pg_catalog.format('There is no workspace %s.', made.workspace_id));
  end if;
  made.import_key := source || ' ' || encode(sha256(convert_to(given::text, 'UTF8')), 'hex');
  select c.id into made.id from public.conversations c where c.workspace_id = made.workspace_id
    and c.user_id = person and c.import_key = made.import_key and c.deleted_at is null;
  if found then
    return jsonb_build_object('conversation_id', made.id, 'imported', false);
  end if;
  -- What a row takes besides what was given: about 700 bytes.
  content := octet_length(given::text) + 700 * (1 + jsonb_array_length(given -> 'messages'));
  perform private.require_room_for_content(made.workspace_id, content, is_counted => false);
  insert into public.conversations (workspace_id, user_id, title, system_prompt, model, tags, is_archived, is_pinned,
    metadata, created_at, import_key)
  values (made.workspace_id, person, left(coalesce(given ->> 'title', ''), 200),
    left(coalesce(given ->> 'system_prompt', ''), 100000), nullif(left(given ->> 'model', 200), ''),
    case jsonb_typeof(given -> 'tags') when 'array' then array(select jsonb_array_elements_text(given -> 'tags'))
      else '{}' end,
    coalesce((given ->> 'is_archived')::boolean, false), coalesce((given ->> 'is_pinned')::boolean, false),
    private.imported_metadata(given, source), private.imported_time(given ->> 'created_at', now_at), made.import_key)
  returning * into made;
  with listed as materialized (
    select m.message, m.place, gen_random_uuid() as id, m.message ->> 'id' as source_id,
      m.message ->> 'parent_message_id' as follows
    from jsonb_array_elements(given -> 'messages') with ordinality m (message, place)
  ), linked as (
    select l.*, case when l.message ? 'parent_message_id' then p.id else lag(l.id) over (order by l.place) end
      as parent_id
    from listed l left join listed p on p.source_id = l.follows
  )
  insert into public.messages (id, conversation_id, parent_message_id, role, content, content_type, parts, status,
    error_message, model_used, metadata, created_at)
  select l.id, made.id, l.parent_id, (l.message ->> 'role')::public.message_role,
    case when l.message ? 'parts' then '' else coalesce(l.message ->> 'content', '') end,
    coalesce(l.message ->> 'content_type', 'text')::public.message_content_type,
    private.imported_parts(l.message -> 'parts'),
    case when l.message ->> 'status' in ('failed', 'stopped') then l.message ->> 'status'
      when l.message ->> 'status' = 'sending' then 'stopped' else 'sent' end::public.message_status,
    left(l.message ->> 'error_message', 1000), left(l.message ->> 'model_used', 200),
    private.imported_metadata(l.message, source), private.imported_time(l.message ->> 'created_at', now_at)
  from linked l order by l.place; -- what a message follows is there before it
  get diagnostics written = row_count;
  update public.conversations c set current_leaf_id = m.id from public.messages m
  where c.id = made.id and m.conversation_id = made.id
    and m.metadata #>> '{imported,id}' = given ->> 'current_message_id';
  perform private.require_room_for_content(made.workspace_id, content); -- last: nobody waits while it is written
  return jsonb_build_object('conversation_id', made.id, 'imported', true, 'messages', written);
exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
  perform private.raise_error('invalid_request', 'This conversation cannot be read: ' || sqlerrm);
  return null;
when lock_not_available then -- sooner than the project ends the wait of a client, which would be a 500
  perform private.raise_error('rate_limited', 'Another import of yours is still being written.',
    'Import one conversation after the other.', 5);
  return null;
end;
$$;
grant execute on function private.write_import to authenticated;

-- The largest ones take longer to be written and indexed than clients have otherwise; PostgREST heeds this setting.
create function public.import_conversation(source text, data jsonb, workspace_id uuid default null) returns jsonb
language plpgsql set search_path = '' set statement_timeout = '30s' as $$
begin
  return private.write_import(import_conversation.source, import_conversation.data, import_conversation.workspace_id);
end;
$$;
comment on function public.import_conversation is
  'Writes a conversation from elsewhere as one of the caller''s own (workspace_id: default their personal one), as '
  'export_conversation gives it: { conversation_id, imported, messages }. The same data is imported once. A message '
  'without parent_message_id follows the one before it in the list. Messages cost nothing, and metadata.imported marks '
  'them.';
grant execute on function public.import_conversation to authenticated;
