-- Embeddings of passages, where the project sets a model for them and its Postgres has the extension vector (pgvector
-- 0.8 or later). They are kept as numbers, so that tables and functions are the same with the extension and without.

insert into public.system_config (config_key, config_value, value_type, minimum, maximum, is_public, description) values
  ('retrieval_embedding_model', '""', 'text', null, null, true,
    'Model that documents'' passages and what is looked for in them are embedded by. Empty: none.');

-- The schema of the extension vector; null where the project has none, or one before 0.8.
create function private.vector_schema() returns text language sql stable set search_path = '' as $$
  select n.nspname::text from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'vector' and string_to_array(substring(e.extversion from '^\d+\.\d+'), '.')::integer[] >= '{0,8}'
$$;

-- The model that embeds; null: none is set, or there is no extension to compare by.
create function private.embedding_model() returns text language sql stable set search_path = '' as $$
  select nullif(private.config('retrieval_embedding_model') #>> '{}', '') where private.vector_schema() is not null
$$;

-- Makes the index over a model's embeddings, if it is not there. Only one model's, of one length, are compared. Where
-- others' writes keep it waiting, the next call makes it: until then, searches compare one by one.
create function private.index_embeddings(model text, dimensions integer) returns void
language plpgsql set search_path = '' as $$
declare
  name text := format('rag_embeddings_%s_%s_idx', left(md5(index_embeddings.model), 8), index_embeddings.dimensions);
begin
  if to_regclass('private.' || name) is not null then
    return;
  end if;
  -- Callers hold their documents; whoever waits here waits for whoever makes the same index.
  perform pg_advisory_xact_lock(hashtextextended(name, 0));
  execute format('create index if not exists %I on private.rag_embeddings
    using hnsw ((embedding::%I.halfvec(%s)) %2$I.halfvec_ip_ops) where embedding_model = %4$L and dimensions = %3$s',
    name, private.vector_schema(), index_embeddings.dimensions, index_embeddings.model);
exception when lock_not_available then
  return;
end;
$$;

-- Makes the extension vector, where it is available, and the indexes that it takes. Whether there is one. Call it as
-- postgres once it has become available; what was loaded before is embedded from then on.
create function private.enable_vector_search() returns boolean language plpgsql set search_path = '' as $$
declare
  kind record;
begin
  if exists (select from pg_catalog.pg_available_extensions e
    where e.name = 'vector' and e.installed_version is null) then
    begin
      create extension vector with schema extensions;
    exception when insufficient_privilege or feature_not_supported then
      raise notice 'extension vector is available, and not made: %', sqlerrm;
    end;
  end if;
  if private.vector_schema() is null then
    return false;
  end if;
  for kind in select distinct e.embedding_model, e.dimensions from private.rag_embeddings e
    where e.embedding is not null
  loop
    perform private.index_embeddings(kind.embedding_model, kind.dimensions);
  end loop;
  return true;
end;
$$;
select private.enable_vector_search();

-- An embedding, of length 1; null for what is none: empty, above 4,000 numbers (an index takes no more), nothing but
-- zeros, or with something that is no number.
create function private.normal_embedding(given real[]) returns real[]
language plpgsql immutable set search_path = '' as $$
declare
  length float8 := (select sqrt(sum(n::float8 * n)) from unnest(given) n);
begin
  if array_ndims(given) = 1 and cardinality(given) <= 4000 and array_position(given, null) is null
    and length > 0 and length < 'Infinity' then
    return array(select case when abs(u.n) > length * 1e-30 then (u.n / length)::real else 0 end
      from unnest(given) with ordinality u (n, place) order by u.place);
  end if;
  return null;
end;
$$;

create function public.claim_passages(
  user_id uuid, api_key_hash text default null, workspace_id uuid default null, max_passages integer default 64,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  caller private.ai_caller := private.ai_caller_of(claim_passages.user_id, api_key_hash, at,
    claim_passages.workspace_id);
  model text := private.embedding_model();
  claimed jsonb;
  waiting bigint;
begin
  if not (caller.account).is_active then
    perform private.raise_error('account_disabled', 'This account is disabled.');
  end if;
  perform private.require_role(caller.workspace_id, (caller.account).id, 'admin');
  perform private.lock_documents(caller.workspace_id);
  with wanted as materialized ( -- what has no embedding by the model, and no call under way that makes one
    select distinct c.document_id, c.content_hash
    from public.rag_chunks c left join private.rag_embeddings e
      on e.document_id = c.document_id and e.content_hash = c.content_hash
    where c.workspace_id = caller.workspace_id and (e.document_id is null or e.embedding_model <> model
      or e.embedding is null and e.claimed_until < claim_passages.at)
  ), taken as (
    select t.document_id, t.content_hash, (select c.content from public.rag_chunks c
      where c.workspace_id = caller.workspace_id and c.document_id = t.document_id and c.content_hash = t.content_hash
      limit 1) as content
    from (select w.* from wanted w where model is not null order by w.document_id, w.content_hash
      limit least(greatest(max_passages, 1), 256)) t
  ), noted as (
    insert into private.rag_embeddings (document_id, content_hash, workspace_id, embedding_model, claimed_until)
    select t.document_id, t.content_hash, caller.workspace_id, model, private.later(at, '5 minutes') from taken t
    on conflict (document_id, content_hash) do update set embedding_model = excluded.embedding_model,
      dimensions = null, embedding = null, claimed_until = excluded.claimed_until
  )
  select coalesce(jsonb_agg(to_jsonb(t)), '[]'), (select count(*) from wanted) into claimed, waiting from taken t;
  return jsonb_build_object('workspace_id', caller.workspace_id, 'model', model, 'passages', claimed,
    'waiting', waiting - jsonb_array_length(claimed));
end;
$$;
comment on function public.claim_passages is
  'Passages of a workspace that its owner or admin has embedded next, for five minutes nobody else''s, and how many '
  'wait behind them. model null: none is set, or there is no extension vector. For function retrieval.';
grant execute on function public.claim_passages to service_role, basemeter_functions;

create function public.store_embeddings(workspace_id uuid, model text, embeddings jsonb) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  stored integer;
  size integer;
begin
  perform private.lock_documents(store_embeddings.workspace_id);
  if private.vector_schema() is not null then
    for size in select l.length from jsonb_array_elements(embeddings) e, lateral (values
        (case jsonb_typeof(e -> 'embedding') when 'array' then jsonb_array_length(e -> 'embedding') end)) l (length)
      where l.length between 1 and 4000 group by l.length
    loop
      perform private.index_embeddings(model, size);
    end loop;
  end if;
  with given as (
    select (e ->> 'document_id')::uuid as document_id, e ->> 'content_hash' as content_hash,
      case jsonb_typeof(e -> 'embedding') when 'array' then
        private.normal_embedding(array(select n::real from jsonb_array_elements_text(e -> 'embedding') n))
      end as embedding
    from jsonb_array_elements(embeddings) e
  ), freed as (
    delete from private.rag_embeddings e using given g where g.embedding is null and e.embedding is null
      and e.document_id = g.document_id and e.content_hash = g.content_hash
      and e.workspace_id = store_embeddings.workspace_id
  ), kept as (
    update private.rag_embeddings e
    set embedding = g.embedding, dimensions = cardinality(g.embedding), claimed_until = null
    from given g where g.embedding is not null and e.document_id = g.document_id and e.content_hash = g.content_hash
      and e.workspace_id = store_embeddings.workspace_id and e.embedding_model = model
    returning 1
  )
  select count(*) into stored from kept;
  return stored;
end;
$$;
comment on function public.store_embeddings is
  'Keeps embeddings of claimed passages, a list of { document_id, content_hash, embedding }; without embedding, '
  'another call may claim the passage at once. How many were kept: a document may be gone or have a '
  'new version meanwhile.';
grant execute on function public.store_embeddings to service_role, basemeter_functions;

create function public.query_embedding_model(workspace_id uuid) returns text
language sql stable security definer set search_path = '' as $$
  select m.model from private.embedding_model() m (model) where exists (select from private.rag_embeddings e
    where e.workspace_id = query_embedding_model.workspace_id and e.embedding_model = m.model and e.dimensions > 0)
$$;
comment on function public.query_embedding_model is
  'The model to embed by what is looked for in a workspace''s documents; null where no passage of it is embedded by '
  'the model that is set, or there is no extension vector.';
grant execute on function public.query_embedding_model to service_role, basemeter_functions;
