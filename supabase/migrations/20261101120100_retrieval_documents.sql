-- Documents of a workspace, and the passages (chunks) that they are cut into: what a search finds and an answer cites.
-- All members read them. Its owners and admins write them, and the project's own functions: by load_document and
-- delete_document alone, one after the other, so that no write meets another one or a deletion in a deadlock.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('max_document_characters', '1000000', 'integer', 1, 5000000, true, 'Characters of a document that is loaded.');

create table public.rag_documents (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  title public.short_name not null,
  source text not null,
  language text,
  content text not null,
  content_hash text not null,
  version integer not null default 1,
  chunk_count integer not null default 0,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint a_source_is_one_document unique (workspace_id, source)
);
comment on table public.rag_documents is 'Documents of a workspace that passages are retrieved from.';
comment on column public.rag_documents.user_id is 'Who loaded this version; null: a function, or a person who is gone.';
comment on column public.rag_documents.source is
  'Where it comes from, such as a URL: the same source in a workspace is the same document.';
comment on column public.rag_documents.language is 'As its loader stated it, such as en or zh-CN.';
comment on column public.rag_documents.content_hash is 'SHA-256 of content, in hex.';
comment on column public.rag_documents.version is '1, and one more each time that its content changes.';
create index rag_documents_user_id_id_idx on public.rag_documents (user_id, id);

create table public.rag_chunks (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  document_id uuid not null references public.rag_documents on delete cascade,
  position integer not null,
  start_character integer not null,
  end_character integer not null,
  content text not null,
  content_hash text not null,
  constraint a_position_has_one_chunk unique (document_id, position)
);
comment on table public.rag_chunks is
  'Passages of documents, in their order, each overlapping the one before it. A new version has new ones.';
comment on column public.rag_chunks.workspace_id is 'Its document''s. No foreign key: they go together.';
comment on column public.rag_chunks.position is 'From 1.';
comment on column public.rag_chunks.start_character is
  'Characters (code points) of the document''s content before its first one.';
comment on column public.rag_chunks.end_character is 'Characters of the document''s content up to its last one.';
create index rag_chunks_workspace_id_document_id_content_hash_idx
  on public.rag_chunks (workspace_id, document_id, content_hash);
create index rag_chunks_search_idx on public.rag_chunks
  using gin (private.search_terms(workspace_id, document_id, content))
  with (fastupdate = off); -- what is pending would be read by everybody's search
alter index public.rag_chunks_search_idx alter column 1 set statistics 0; -- they would take minutes and say nothing

-- By text and not by chunk: what stays the same in a new version need not be embedded, and paid for, again.
create table private.rag_embeddings (
  document_id uuid not null references public.rag_documents on delete cascade,
  content_hash text not null,
  workspace_id uuid not null,
  embedding_model text not null,
  dimensions integer,
  embedding real[],
  claimed_until timestamptz,
  primary key (document_id, content_hash),
  constraint dimensions_are_those_of_the_embedding
    check ((embedding is null) = (dimensions is null) and cardinality(embedding) = dimensions)
);
comment on table private.rag_embeddings is
  'Embeddings of passages, of length 1, each with its model; without embedding: a call that makes it is under way.';
alter table private.rag_embeddings alter column embedding set storage external; -- numbers don't compress
create index rag_embeddings_workspace_id_embedding_model_dimensions_idx
  on private.rag_embeddings (workspace_id, embedding_model, dimensions);

-- The passages of a text: at most 1,200 characters each, cut behind a paragraph, else a sentence, else a word; each
-- begins with the last sentence of the one before it, or as much of it as 200 characters hold.
create function private.cut_document(document text)
returns table (start_character integer, end_character integer, content text)
language plpgsql immutable set search_path = '' as $$
declare
  most constant integer := 1200;
  overlap constant integer := 200;
  blank constant text := e' \t\r\n\v\f\u00a0\u3000\ufeff';
  sentence constant text := '(?:[.!?…][])"''”’]*\s|[。！？；][」』”’）]*|\n)';
  total integer := coalesce(length(document), 0);
  place integer := 0; -- characters before the next passage
  block text := ''; -- of the document: a long text is walked from its beginning each time that it is read
  block_start integer := 0;
  piece text;
  tail text;
  pattern text;
  size integer;
begin
  loop
    if place + most > block_start + length(block) and block_start + length(block) < total then
      block := substr(document, place + 1, 50 * most);
      block_start := place;
    end if;
    piece := substr(block, place - block_start + 1, most);
    if place + length(piece) < total then
      foreach pattern in array array['^.*\n\s*\n', '^.*' || sentence, '^.*\s', '^.*'] loop
        size := length(substring(piece from pattern));
        exit when size >= most / 2;
      end loop;
      piece := left(piece, size);
    end if;
    content := btrim(piece, blank);
    if content <> '' then
      start_character := place + length(piece) - length(ltrim(piece, blank));
      end_character := start_character + length(content);
      return next;
    end if;
    place := place + length(piece);
    exit when place >= total;
    tail := right(piece, overlap);
    size := length(substring(tail from '^.*?' || sentence)); -- the beginning of a sentence in it
    if size is null or ltrim(substr(tail, size + 1), blank) = '' then
      size := coalesce(length(substring(tail from '^\S*\s')), 0);
    end if;
    place := place - length(tail) + size;
  end loop;
end;
$$;

-- Writing -------------------------------------------------------------------------------------------------------------

-- Before documents of a workspace, or their embeddings, are changed: the person who may do it, its owner or admin;
-- null: a function of the project's own. An error for anyone else. Changes come one after the other, and the workspace
-- stays; its wallet is only shared, for a large document takes seconds, and the workspace's calls don't wait for that.
create function private.lock_documents(wanted_workspace uuid) returns uuid
language plpgsql set search_path = '' as $$
declare
  person uuid;
begin
  if current_setting('role') in ('anon', 'authenticated') then
    person := private.my_account();
    perform private.require_role(wanted_workspace, person, 'admin'); -- nobody locks what is not theirs
  end if;
  perform pg_advisory_xact_lock(hashtextextended('documents of ' || wanted_workspace, 0));
  perform from public.credit_wallets w where w.workspace_id = wanted_workspace for key share;
  if not found then
    perform private.raise_error('not_found',
      format('There is no workspace %s.', coalesce(wanted_workspace::text, 'null')));
  elsif person is not null then
    perform private.require_role(wanted_workspace, person, 'admin'); -- they may have been removed while this waited
  end if;
  return person;
end;
$$;

create type public.loaded_document as (document_id uuid, version integer, chunk_count integer, is_changed boolean);
comment on type public.loaded_document is
  'A document as it was loaded. is_changed: whether its content is new; else its passages stay as they are.';

-- Loads a document, or its new version.
create function private.load_document(wanted public.rag_documents) returns public.loaded_document
language plpgsql security definer set search_path = '' as $$
declare
  most integer := private.config_numeric('max_document_characters', 1000000);
  before public.rag_documents;
  bytes bigint;
begin
  wanted.user_id := private.lock_documents(wanted.workspace_id);
  if length(wanted.content) > most then
    perform private.raise_error('invalid_request', format('A document has at most %s characters, and this one %s.',
      most, length(wanted.content)), 'Load it in parts, each with a source of its own.');
  elsif (wanted.content ~ '[^\s\u00a0\u3000\ufeff]') is not true then
    perform private.raise_error('invalid_request', 'content is empty.');
  elsif (length(wanted.title) between 1 and 200 and octet_length(wanted.source) between 1 and 2000) is not true then
    -- A key of an index takes no more bytes.
    perform private.raise_error('invalid_request', 'title must have 1 to 200 characters, and source 1 to 2,000 bytes.');
  elsif not coalesce(length(wanted.language) between 1 and 35, true) then
    perform private.raise_error('invalid_request', 'language must have 1 to 35 characters.');
  elsif (jsonb_typeof(wanted.metadata) = 'object' and length(wanted.metadata::text) <= 65536) is not true then
    perform private.raise_error('invalid_request', 'metadata must be an object of at most 65,536 characters.');
  end if;
  wanted.content_hash := encode(sha256(convert_to(wanted.content, 'UTF8')), 'hex');

  select * into before from public.rag_documents d
  where d.workspace_id = wanted.workspace_id and d.source = wanted.source;
  if before.content_hash = wanted.content_hash then
    if (before.title, before.language, before.metadata) is distinct from (wanted.title, wanted.language,
      wanted.metadata) then
      perform private.require_room_for_content(wanted.workspace_id,
        octet_length(concat(wanted.title, wanted.metadata)) + 1024);
      update public.rag_documents d
      set title = wanted.title, language = wanted.language, metadata = wanted.metadata where d.id = before.id;
    end if;
    return row(before.id, before.version, before.chunk_count, false)::public.loaded_document;
  end if;

  perform private.require_room_for_content(wanted.workspace_id, octet_length(wanted.content), is_counted => false);
  wanted.id := coalesce(before.id, gen_random_uuid());
  wanted.version := coalesce(before.version, 0) + 1;
  insert into public.rag_documents as d
    (id, workspace_id, user_id, title, source, language, content, content_hash, version, metadata)
  values (wanted.id, wanted.workspace_id, wanted.user_id, wanted.title, wanted.source, wanted.language, wanted.content,
    wanted.content_hash, wanted.version, wanted.metadata)
  on conflict (id) do update set user_id = excluded.user_id, title = excluded.title, language = excluded.language,
    content = excluded.content, content_hash = excluded.content_hash, version = excluded.version,
    metadata = excluded.metadata;
  delete from public.rag_chunks c where c.document_id = wanted.id;
  with cut as (
    insert into public.rag_chunks
      (workspace_id, document_id, position, start_character, end_character, content, content_hash)
    select wanted.workspace_id, wanted.id, row_number() over (order by p.start_character), p.start_character,
      p.end_character, p.content, encode(sha256(convert_to(p.content, 'UTF8')), 'hex')
    from private.cut_document(wanted.content) p
    returning octet_length(content) as size
  )
  select count(*), sum(c.size + 1024) into wanted.chunk_count, bytes from cut c; -- a row takes room too
  update public.rag_documents d set chunk_count = wanted.chunk_count where d.id = wanted.id;
  delete from private.rag_embeddings e where e.document_id = wanted.id and not exists (select from public.rag_chunks c
    where c.workspace_id = e.workspace_id and c.document_id = e.document_id and c.content_hash = e.content_hash);
  perform private.require_room_for_content(wanted.workspace_id, -- last: nobody waits while it is written
    bytes + octet_length(concat(wanted.content, wanted.metadata)));
  return row(wanted.id, wanted.version, wanted.chunk_count, true)::public.loaded_document;
end;
$$;
grant execute on function private.load_document to authenticated, service_role;

-- The largest ones take longer to be written and indexed than clients have otherwise; PostgREST heeds this setting.
create function public.load_document(
  title text, content text, source text default null, language text default null, metadata jsonb default '{}',
  workspace_id uuid default null
) returns public.loaded_document language plpgsql set search_path = '' set statement_timeout = '30s' as $$
declare
  wanted public.rag_documents;
begin
  wanted.workspace_id := coalesce(load_document.workspace_id, auth.uid());
  if length(load_document.title) <= 200 then
    wanted.title := load_document.title; -- a longer one stays null, which is refused
  end if;
  wanted.source := coalesce(load_document.source, load_document.title);
  wanted.language := load_document.language;
  wanted.content := load_document.content;
  wanted.metadata := load_document.metadata;
  return private.load_document(wanted);
end;
$$;
comment on function public.load_document is
  'Loads a text for retrieval, cut into passages. source (default: the title) says which document of the workspace it '
  'is: the same content again changes none of its passages, another one is its new version and replaces them. For '
  'owners and admins of the workspace (default: one''s own), and the service role.';
grant execute on function public.load_document to authenticated, service_role;

-- Deletes a document with its passages.
create function private.delete_document(wanted_document uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  owner_id uuid;
begin
  select d.workspace_id into owner_id from public.rag_documents d where d.id = wanted_document
    and (current_setting('role') not in ('anon', 'authenticated')
      or d.workspace_id = any (array(select private.my_workspace_ids())));
  if found then
    perform private.lock_documents(owner_id);
    delete from public.rag_documents d where d.id = wanted_document;
  end if;
  if not found then
    perform private.raise_error('not_found',
      format('There is no document %s.', coalesce(wanted_document::text, 'null')));
  end if;
end;
$$;
grant execute on function private.delete_document to authenticated, service_role;

create function public.delete_document(document_id uuid) returns void language sql set search_path = '' as $$
  select private.delete_document(document_id)
$$;
comment on function public.delete_document is
  'Deletes a document with its passages, at once. For owners and admins of its workspace, and the service role.';
grant execute on function public.delete_document to authenticated, service_role;

create trigger rag_documents_set_updated_at before update of title, language, content, metadata on public.rag_documents
  for each row execute function private.set_updated_at();

-- Who reads -----------------------------------------------------------------------------------------------------------

alter table public.rag_documents enable row level security;
create policy "members can read the documents of their workspaces" on public.rag_documents
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));
alter table public.rag_chunks enable row level security;
create policy "members can read the passages of their workspaces' documents" on public.rag_chunks
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids())));
grant select on public.rag_documents, public.rag_chunks to authenticated, service_role;
