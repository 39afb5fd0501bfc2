-- Search in passages: by words and stems, by pairs of characters, and by embeddings where there are some, fused by the
-- ranks that each of these finds. A question need not be answered word by word: what it asks for counts by its rarity.

create type public.passage as (
  chunk_id uuid, document_id uuid, title text, source text, version integer, position integer, start_character integer,
  end_character integer, content text, score float8, word_rank integer, pair_rank integer, vector_rank integer
);
comment on type public.passage is
  'A passage that a search found. score: the sum of 1 / (60 + rank) over its ranks by words, by pairs of characters '
  '(of scripts without spaces) and by its embedding; null: not found so.';

-- What a query looks for, the first 64 of each kind: words with their stems, pairs of characters. entries: as a
-- tsquery, "§" where the scope goes.
create function private.query_terms(query text) returns table (is_pair boolean, term text, entries text)
language plpgsql immutable set search_path = '' as $$
declare
  words text[] := string_to_array(btrim(private.search_text(query), ' '), ' ');
begin
  return query
    select false, w.word, (select string_agg('''§' || e || '''', ' | ')
      from unnest(w.word || array_remove(private.stems_of(array[w.word], private.stemmed_languages()), null)) e)
    from (
      select x.word, min(x.place) as place,
        ts_lexize('english_stem', x.word) = '{}' as is_common, -- "the" counts where there is nothing else
        bool_and(ts_lexize('english_stem', x.word) = '{}') over () as all_common
      from unnest(words) with ordinality x (word, place)
      where x.word not like '=%' and octet_length(x.word) between 1 and 100 group by x.word
    ) w where w.all_common or not w.is_common order by w.place limit 64;
  return query
    select true, rtrim(p.pair, '='), case when p.pair like '%=' then format('''§%s'':*', rtrim(p.pair, '='))
      else format('''§%s''', p.pair) end
    from (
      select x.pair, min(w.place * 100000 + x.place) as place
      from unnest(words) with ordinality w (word, place)
      cross join lateral unnest(private.pairs_of(w.word)) with ordinality x (pair, place)
      where w.word like '=%' and (x.pair not like '%=' or length(w.word) = 2) group by x.pair
    ) p order by p.place limit 64;
end;
$$;

-- The best passages of a workspace by a query's words, and by its pairs. Each term counts by how rare it is there; one
-- that stands in 20,000 passages or more says little, and counts only where all do. That bounds what is read.
create function private.passages_by_text(
  wanted_workspace uuid, query text, most integer, most_of_a_term integer default 20000
) returns table (chunk_id uuid, is_pair boolean, place integer)
language plpgsql stable set search_path = '' set work_mem = '32MB' set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  scope text := private.search_scope(wanted_workspace);
  total float8 := (select sum(d.chunk_count) from public.rag_documents d where d.workspace_id = wanted_workspace);
begin
  return query
    with terms as materialized (
      select t.*, replace(t.entries, '§', scope)::tsquery as wanted from private.query_terms(query) t
    ), hits as materialized (
      select t.is_pair, c.ids, ln(1 + total / cardinality(c.ids)) as weight,
        cardinality(c.ids) = most_of_a_term as is_common,
        bool_and(cardinality(c.ids) = most_of_a_term) over (partition by t.is_pair) as all_common
      from terms t cross join lateral (
        select array_agg(x.id) as ids from (
          select x.id from ( -- no filter here, lest the planner takes its index and computes entries
            select c.id, c.workspace_id from public.rag_chunks c
            where private.search_terms(c.workspace_id, c.document_id, c.content) @@ t.wanted offset 0
          ) x where x.workspace_id = wanted_workspace limit most_of_a_term
        ) x
      ) c where c.ids is not null
    ), best as (
      select s.* from (
        select h.is_pair, u.id, sum(h.weight) as weight,
          row_number() over (partition by h.is_pair order by sum(h.weight) desc, u.id) as place
        from hits h cross join lateral unnest(h.ids) u (id) where h.all_common or not h.is_common
        group by h.is_pair, u.id
      ) s where s.place <= 2 * most
    ), ranked as (
      select b.id, b.is_pair, (row_number() over (partition by b.is_pair order by b.weight desc,
        private.rank_of(c.content, query, array(select t.term from terms t where t.is_pair = b.is_pair), '{}', '{}')
          desc, b.id))::integer as place
      from best b join public.rag_chunks c on c.id = b.id
    )
    select r.id, r.is_pair, r.place from ranked r where r.place <= most;
end;
$$;

create type private.ranked_passage as (document_id uuid, content_hash text, place integer);

-- The nearest passages of a workspace by an embedding of length 1, among those of the same model and length; none where
-- there is no extension. In a workspace of up to 5,000 all are compared. Beyond that an index finds candidates, which
-- goes on until it has enough of this workspace's; and if it gives up before, all are compared after all.
create function private.passages_by_vector(
  wanted_workspace uuid, model text, wanted real[], most integer, exact_up_to integer default 5000
) returns setof private.ranked_passage language plpgsql stable set search_path = '' set jit = off as $$
declare
  home text := private.vector_schema();
  size integer := cardinality(wanted);
  total integer;
  iterative text := current_setting('hnsw.iterative_scan', true);
  breadth text := current_setting('hnsw.ef_search', true);
  -- 1: the workspace, 2: the embedding, 3: how many, 4: the model, 5: its length
  exact constant text := 'select e.document_id, e.content_hash,
    (row_number() over (order by e.embedding::%1$I.vector operator(%1$I.<#>) $2::%1$I.vector, e.content_hash))::integer
    from %2$s e where e.workspace_id = $1 and e.embedding_model = $4 and e.dimensions = $5 order by 3 limit $3';
begin
  if home is null or wanted is null then
    return;
  end if;
  select count(*) into total from (select from private.rag_embeddings e where e.workspace_id = wanted_workspace
    and e.embedding_model = passages_by_vector.model and e.dimensions = size limit exact_up_to + 1) x;
  if total > exact_up_to then
    perform set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '200', true);
    return query execute format(exact, home, format('(select n.* from private.rag_embeddings n
        where n.workspace_id = $1 and n.embedding_model = %L and n.dimensions = %s
        order by (n.embedding::%I.halfvec(%2$s)) operator(%3$I.<#>) $2::%3$I.halfvec(%2$s) limit 4 * $3)',
      passages_by_vector.model, size, home)) using wanted_workspace, wanted, most, passages_by_vector.model, size;
    get diagnostics total = row_count;
    perform set_config('hnsw.iterative_scan', coalesce(iterative, 'off'), true),
      set_config('hnsw.ef_search', coalesce(breadth, '40'), true);
    if total = most then
      return;
    end if;
  end if;
  return query execute format(exact, home, 'private.rag_embeddings')
    using wanted_workspace, wanted, most, passages_by_vector.model, size;
end;
$$;

-- Passages of a workspace whose caller may read them.
create function private.find_passages(wanted_workspace uuid, query text, embedding real[], model text, k integer)
returns setof public.passage language plpgsql stable set search_path = '' as $$
declare
  most integer := greatest(2 * k, 50); -- of each kind
begin
  if k between 1 and 50 is not true then
    perform private.raise_error('invalid_request', 'k must be between 1 and 50.');
  elsif length(query) > 10000 then
    perform private.raise_error('invalid_request', 'query must have at most 10,000 characters.');
  elsif embedding is not null and private.normal_embedding(embedding) is null then
    perform private.raise_error('invalid_request', 'embedding must be 1 to 4,000 numbers that are not all 0.');
  end if;
  return query
    with ranks as (
      select t.chunk_id, case when not t.is_pair then t.place end as words,
        case when t.is_pair then t.place end as pairs, null::integer as vectors
      from private.passages_by_text(wanted_workspace, query, most) t
      union all
      select c.id, null, null, v.place
      from private.passages_by_vector(wanted_workspace, coalesce(find_passages.model, private.embedding_model()),
        private.normal_embedding(embedding), most) v
      join public.rag_chunks c on c.workspace_id = wanted_workspace and c.document_id = v.document_id
        and c.content_hash = v.content_hash
    ), fused as (
      select r.chunk_id, sum(1.0::float8 / (60 + coalesce(r.words, r.pairs, r.vectors))) as score,
        min(r.words) as words, min(r.pairs) as pairs, min(r.vectors) as vectors
      from ranks r group by r.chunk_id
    )
    select c.id, d.id, d.title::text, d.source, d.version, c.position, c.start_character, c.end_character, c.content,
      f.score, f.words, f.pairs, f.vectors
    from fused f join public.rag_chunks c on c.id = f.chunk_id join public.rag_documents d on d.id = c.document_id
    order by f.score desc, c.document_id, c.position limit k;
end;
$$;

-- For who asks over the API: members of the workspace, looked at once, and the service role.
create function private.search_passages(wanted_workspace uuid, query text, embedding real[], model text, k integer)
returns setof public.passage language plpgsql stable security definer set search_path = '' as $$
begin
  if current_setting('role') in ('anon', 'authenticated') then
    perform private.require_role(wanted_workspace, private.caller_id(), 'member');
  end if;
  return query select * from private.find_passages(wanted_workspace, query, embedding, model, k);
end;
$$;
grant execute on function private.search_passages to authenticated, service_role;

create function public.search_passages(
  workspace_id uuid, query text, embedding real[] default null, k integer default 8, embedding_model text default null
) returns setof public.passage language sql stable set search_path = '' as $$
  select * from private.search_passages(workspace_id, query, embedding, embedding_model, k)
$$;
comment on function public.search_passages is
  'The k best passages (at most 50) of a workspace''s documents for a question, or an embedding of it by '
  'embedding_model (default: the setting retrieval_embedding_model). What has no index here is left out: without the '
  'extension vector, and for passages that are not embedded, the words alone decide. For members of the workspace, '
  'and the service role.';
grant execute on function public.search_passages to authenticated, service_role;

create function public.find_passages(
  workspace_id uuid, query text, embedding real[] default null, embedding_model text default null, k integer default 8
) returns jsonb language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(p)), '[]')
  from private.find_passages(find_passages.workspace_id, find_passages.query, embedding, embedding_model, k) p
$$;
comment on function public.find_passages is
  'As search_passages, a JSON list: for functions, which have admitted their caller to the workspace.';
grant execute on function public.find_passages to service_role, basemeter_functions;

-- Citations -----------------------------------------------------------------------------------------------------------

-- Citations ({ chunk_id, quote }) that stand word by word in their passage of this workspace, but for the spaces and
-- line breaks between the words: with their document, its version, and where in its content they stand. The others are
-- refused, and so is what comes after the first 50.
create function private.check_citations(wanted_workspace uuid, citations jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  blank constant text := '[\s\u00a0\u3000]+';
  citation jsonb;
  chunk record;
  quote text;
  starts integer;
  range integer[]; -- its first and its last character in the passage
  place integer := 0;
  kept jsonb := jsonb_build_array();
  refused jsonb := jsonb_build_array();
begin
  for citation in select c
    from jsonb_array_elements(case jsonb_typeof(citations) when 'array' then citations else '[]' end) c
  loop
    place := place + 1;
    starts := 0;
    quote := btrim(regexp_replace(citation ->> 'quote', blank, ' ', 'g'));
    if place <= 50 and length(quote) between 1 and 2000
      and citation ->> 'chunk_id' ~* '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then
      select c.id, c.start_character, c.content, regexp_replace(c.content, blank, ' ', 'g') as words,
        d.id as document_id, d.title, d.source, d.version into chunk
      from public.rag_chunks c join public.rag_documents d on d.id = c.document_id
      where c.id = (citation ->> 'chunk_id')::uuid and c.workspace_id = wanted_workspace;
      starts := coalesce(strpos(chunk.words, quote), 0);
    end if;
    if starts > 0 then
      -- A character of the words is as far behind the same blank of the passage.
      range := array(select coalesce(regexp_instr(chunk.content, blank, 1, nullif(b.blanks, 0), 1), 1)
          + coalesce(nullif(strpos(reverse(b.before), ' '), 0) - 1, length(b.before))
        from unnest(array[starts, starts + length(quote) - 1]) with ordinality u (place, n)
        cross join lateral (select left(chunk.words, u.place - 1) as before,
          regexp_count(left(chunk.words, u.place - 1), ' ') as blanks) b order by u.n);
      kept := kept || jsonb_build_object('chunk_id', chunk.id, 'document_id', chunk.document_id, 'title', chunk.title,
        'source', chunk.source, 'version', chunk.version, 'start_character', chunk.start_character + range[1] - 1,
        'end_character', chunk.start_character + range[2],
        'quote', substr(chunk.content, range[1], range[2] - range[1] + 1));
    else
      refused := refused || jsonb_build_array(citation);
    end if;
  end loop;
  return jsonb_build_object('citations', kept, 'refused', refused);
end;
$$;

create function public.check_citations(workspace_id uuid, citations jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select private.check_citations(check_citations.workspace_id, check_citations.citations)
$$;
comment on function public.check_citations is
  'Which of these citations ({ chunk_id, quote }) stand in a passage of the workspace: { citations: with document_id, '
  'title, source, version, start_character, end_character and the quote as it stands there; refused: the others }. For '
  'functions.';
grant execute on function public.check_citations to service_role, basemeter_functions;
