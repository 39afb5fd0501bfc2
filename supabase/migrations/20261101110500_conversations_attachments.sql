-- Attachments: files that messages show, in a private bucket. Their person registers each one and uploads it by
-- Storage's signed upload; who may read the conversation reads them, once a message names them; they go with it.

create table public.attachments (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  conversation_id uuid not null references public.conversations on delete cascade,
  name public.short_name not null,
  media_type text not null,
  size_bytes bigint not null constraint size_is_above_0 check (size_bytes > 0),
  storage_path text not null
    generated always as (workspace_id::text || '/' || conversation_id::text || '/' || id::text) stored,
  uploaded_at timestamptz,
  used_at timestamptz,
  created_at timestamptz not null default clock_timestamp()
);
comment on table public.attachments is
  'Files of conversations. A part of a message names one by attachment_id; one that none names goes after a day.';
comment on column public.attachments.workspace_id is 'Its conversation''s. No foreign key: they go together.';
comment on column public.attachments.size_bytes is 'The most that may be uploaded, as it was registered.';
comment on column public.attachments.storage_path is
  'Where to upload it to and read it in the bucket attachments: <workspace>/<conversation>/<id>.';
comment on column public.attachments.uploaded_at is 'When its file came; null: it has not.';
comment on column public.attachments.used_at is
  'When a message first named it; null: none has, and only its person sees it.';
create index attachments_conversation_id_id_idx on public.attachments (conversation_id, id);
create unique index attachments_storage_path_idx on public.attachments (storage_path);
create index attachments_unused_idx on public.attachments (created_at) where used_at is null;

insert into public.system_config (config_key, config_value, value_type, is_public, description) values
  ('attachment_types',
    to_jsonb('image/png image/jpeg image/webp image/gif application/pdf text/plain text/markdown text/csv'::text),
    'text', true, 'Media types that attachments may have, separated by spaces.');

-- Registering ---------------------------------------------------------------------------------------------------------

-- A media type without its parameters.
create function private.media_type_of(given text) returns text language sql immutable set search_path = '' as $$
  select lower(trim(split_part(given, ';', 1)))
$$;

-- Registers a file of one of the caller's conversations, unless its size, type or number is not allowed.
create function private.register_attachment(wanted public.attachments) returns public.attachments
language plpgsql security definer set search_path = '' as $$
declare
  person uuid := private.caller_id();
  most numeric;
begin
  select c.workspace_id into wanted.workspace_id from public.conversations c
  where c.id = wanted.conversation_id and c.user_id = person and c.deleted_at is null
    and private.role_in(c.workspace_id, person) is not null;
  if not found then
    perform private.raise_error('not_found', format('There is no conversation %s of yours.',
      coalesce(wanted.conversation_id::text, 'null')));
  elsif not private.is_account_active() then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  elsif to_regclass('storage.objects') is null then
    perform private.raise_error('invalid_state', 'This project has no Storage.');
  end if;
  wanted.media_type := private.media_type_of(wanted.media_type);
  most := private.limit_in(private.features_of(wanted.workspace_id, clock_timestamp(), 'attachment_bytes'),
    'attachment_bytes');
  if (wanted.size_bytes > 0 and length(wanted.name) between 1 and 200) is not true then
    perform private.raise_error('invalid_request', 'name must have 1 to 200 characters, and size_bytes be above 0.');
  elsif (wanted.media_type = any (string_to_array(private.config('attachment_types') #>> '{}', ' '))) is not true then
    perform private.raise_error('invalid_request', format('media_type %s is not allowed.',
      to_json(coalesce(wanted.media_type, ''))), 'The setting attachment_types lists those that are.');
  elsif wanted.size_bytes > least(most, 52428800) then
    perform private.raise_error('feature_not_in_plan', format('An attachment may have %s bytes here, not %s.',
      least(most, 52428800), wanted.size_bytes));
  end if;
  perform from public.credit_wallets w where w.workspace_id = wanted.workspace_id for key share; -- it stays
  insert into public.attachments (workspace_id, conversation_id, name, media_type, size_bytes)
  values (wanted.workspace_id, wanted.conversation_id, wanted.name, wanted.media_type, wanted.size_bytes)
  returning * into wanted;
  -- A row takes room too: however small the files, their number is bounded.
  perform private.require_room_for_content(wanted.workspace_id, wanted.size_bytes + 1024);
  return wanted;
end;
$$;
grant execute on function private.register_attachment to authenticated;

create function public.create_attachment(conversation_id uuid, name text, media_type text, size_bytes bigint)
returns public.attachments language plpgsql set search_path = '' as $$
declare
  wanted public.attachments;
begin
  wanted.conversation_id := create_attachment.conversation_id;
  if length(create_attachment.name) <= 200 then
    wanted.name := create_attachment.name;
  end if;
  wanted.media_type := create_attachment.media_type;
  wanted.size_bytes := create_attachment.size_bytes;
  return private.register_attachment(wanted);
end;
$$;
comment on function public.create_attachment is
  'Registers a file of one''s conversation. It is then uploaded to storage_path in the bucket attachments by a signed '
  'upload, of this type and at most this size, and shown by a part of a message that names its id as attachment_id.';
grant execute on function public.create_attachment to authenticated;

-- Use and deletion ----------------------------------------------------------------------------------------------------

-- The ids that the parts of a message name, as they are written there.
create function private.attachments_in(parts jsonb) returns text[] language sql immutable set search_path = '' as $$
  select coalesce(array_agg(distinct a.id #>> '{}'), '{}') from jsonb_path_query(parts, '$[*].attachment_id') a (id)
$$;

-- Notes which attachments a message shows; an error where it names what is not there. Those that no message names any
-- more go. The conversation's lock comes first: what one transaction lets go, another may be about to name.
create function private.keep_attachments() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  named text[] := array[]::text[];
  missing text;
begin
  if tg_op <> 'DELETE' and new.deleted_at is null then
    named := private.attachments_in(new.parts);
    perform from public.conversations c where c.id = new.conversation_id for no key update;
    with used as (
      update public.attachments a set used_at = coalesce(a.used_at, clock_timestamp())
      where a.conversation_id = new.conversation_id and a.id::text = any (named) and a.uploaded_at is not null
      returning a.id
    )
    select n into missing from unnest(named) n where n not in (select u.id::text from used u) limit 1;
    if missing is not null then
      perform private.raise_error('not_found',
        format('There is no attachment %s in this conversation, or its file has not come.', to_json(missing)));
    end if;
  end if;
  if tg_op <> 'INSERT' then
    perform from public.conversations c where c.id = old.conversation_id for no key update;
    delete from public.attachments a
    where a.conversation_id = old.conversation_id and a.id::text = any (private.attachments_in(old.parts))
      and a.id::text <> all (named) and not exists (
        select from public.messages m where m.conversation_id = a.conversation_id and m.deleted_at is null
          and m.parts @> jsonb_build_array(jsonb_build_object('attachment_id', a.id)));
  end if;
  return null;
end;
$$;
create trigger messages_use_attachments after insert on public.messages
  for each row when (new.parts @? '$[*].attachment_id') execute function private.keep_attachments();
create trigger messages_change_attachments after update of content, parts, deleted_at on public.messages
  for each row when (old.parts @? '$[*].attachment_id' or new.parts @? '$[*].attachment_id')
  execute function private.keep_attachments();
create trigger messages_drop_attachments after delete on public.messages
  for each row when (old.parts @? '$[*].attachment_id') execute function private.keep_attachments();

-- The files of a deleted conversation go at once, its rows after the retention.
create function private.drop_attachments() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.attachments a where a.conversation_id = new.id;
  return null;
end;
$$;
create trigger conversations_drop_attachments after update of deleted_at on public.conversations
  for each row when (new.deleted_at is not null) execute function private.drop_attachments();

-- Has the file go with its row, once no signed upload of it (two hours) can be under way any more.
create function private.remove_file_of_attachment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.remove_file('attachments', old.storage_path,
    greatest(clock_timestamp(), old.created_at + interval '3 hours'));
  return null;
end;
$$;
create trigger attachments_remove_file after delete on public.attachments
  for each row execute function private.remove_file_of_attachment();

-- Deletes one attachment that no message named within a day; false when there is none.
create function private.drop_next_unused_attachment(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from public.attachments a where a.id = (
    select n.id from public.attachments n where n.used_at is null and n.created_at < private.later(at, '-1 day')
    order by n.created_at limit 1 for update skip locked
  );
  return found;
end;
$$;
insert into private.due_work (piece, place) values ('drop_next_unused_attachment', 250);

-- Who reads and uploads -----------------------------------------------------------------------------------------------

alter table public.attachments enable row level security;
-- Conversations' own policy says which can be read.
create policy "who can read a conversation can read its attachments, its person unused ones too" on public.attachments
  for select to authenticated using (exists (select from public.conversations c where c.id = conversation_id
    and (used_at is not null or c.user_id = (select auth.uid()))));
grant select on public.attachments to authenticated, service_role;

-- Notes that the file of an attachment has come; refuses one that was not registered so. Storage then drops it.
create function private.receive_attachment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.attachments a set uploaded_at = coalesce(a.uploaded_at, clock_timestamp())
  where a.storage_path = new.name and private.media_type_of(new.metadata ->> 'mimetype') = a.media_type
    and (new.metadata ->> 'size')::numeric <= a.size_bytes;
  if not found then
    -- Storage knows this code: it answers 403 to it.
    raise exception using errcode = 'insufficient_privilege',
      message = 'The file is larger than it was registered, of another type, or not registered.';
  end if;
  return null;
end;
$$;

do $migration$
begin
  -- A project without Storage has no attachments.
  if to_regclass('storage.buckets') is null or to_regclass('storage.objects') is null then
    return;
  end if;
  execute format($sql$
    insert into %I.buckets (id, name, public, file_size_limit) values ('attachments', 'attachments', false, 52428800)
    on conflict (id) do nothing
  $sql$, 'storage');
  execute format($sql$
    create policy "people can read the files of attachments that they can read" on %I.objects
      for select to authenticated
      using (bucket_id = 'attachments' and exists (
        select from public.attachments a where a.storage_path = objects.name))
  $sql$, 'storage');
  execute format($sql$
    create policy "people can upload the attachments that they registered" on %I.objects
      for insert to authenticated
      with check (bucket_id = 'attachments' and (select private.is_account_active()) and exists (
        select from public.attachments a join public.conversations c on c.id = a.conversation_id
        where a.storage_path = objects.name and a.uploaded_at is null and c.user_id = (select auth.uid())))
  $sql$, 'storage');
  -- Without metadata it is only asked whether the policies would let it.
  execute format($sql$
    create or replace trigger objects_receive_attachment after insert or update of name, metadata on %I.objects
      for each row when (new.bucket_id = 'attachments' and new.metadata ? 'size')
      execute function private.receive_attachment()
  $sql$, 'storage');
end;
$migration$;
