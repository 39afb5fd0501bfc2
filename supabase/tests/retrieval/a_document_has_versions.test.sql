begin;
select plan(27);
select tests.create_user('ann');
create function pg_temp.load(title text, content text, source text default null, language text default null, metadata jsonb default '{}') returns text language plpgsql as $$
declare
  made public.loaded_document;
begin
  perform tests.sign_in('ann');
  made := public.load_document(title, content, source, language, metadata);
  perform tests.be_postgres();
  return concat_ws(' ', made.version, made.chunk_count, made.is_changed);
end;
$$;
create function pg_temp.document() returns text language sql as $$
  select string_agg(concat_ws(' ', title, source, language, version, chunk_count, metadata), ', ' order by source) from public.rag_documents
$$;
select is(pg_temp.load('River', 'The river is long.'), '1 1 t', 'a document is loaded');
select is(pg_temp.document(), 'River River 1 1 {}', 'its source is its title unless it has one');
select is((select user_id from public.rag_documents), tests.id('ann'), 'it says who loaded it');
select tests.remember('chunk', id), tests.remember('updated', (select updated_at from public.rag_documents)) from public.rag_chunks;
insert into private.rag_embeddings (document_id, content_hash, workspace_id, embedding_model, dimensions, embedding)
select document_id, content_hash, workspace_id, 'm', 1, '{1}' from public.rag_chunks;

select is(pg_temp.load('River', 'The river is long.'), '1 1 f', 'the same again changes nothing');
select results_eq($$ select c.id::text, d.updated_at::text from public.rag_chunks c join public.rag_documents d on d.id = c.document_id $$,
  $$ values (tests.recall('chunk'), tests.recall('updated')) $$, 'nothing at all');
select is(pg_temp.load('A river', 'The river is long.', 'River', 'en', '{"a": 1}'), '1 1 f', 'another title is no new version');
select is(pg_temp.document(), 'A river River en 1 1 {"a": 1}', 'but kept');
select is((select id::text from public.rag_chunks), tests.recall('chunk'), 'with the same passages');
select is(pg_temp.load('River', 'The river is short.'), '2 1 t', 'another content is a new version');
select results_eq($$ select id::text = tests.recall('chunk'), content from public.rag_chunks $$, $$ values (false, 'The river is short.') $$, 'which replaces the passages');
select is((select count(*)::integer from private.rag_embeddings), 0, 'and their embeddings');
select is(pg_temp.load('River', repeat('The river is long. ', 65) || 'It ends.'), '3 2 t', 'once more');
insert into private.rag_embeddings (document_id, content_hash, workspace_id, embedding_model, dimensions, embedding)
select document_id, content_hash, workspace_id, 'm', 1, '{1}' from public.rag_chunks;
select is(pg_temp.load('River', repeat('The river is long. ', 65) || 'It ends here.'), '4 2 t', 'and once more');
select is((select count(*)::integer from private.rag_embeddings e join public.rag_chunks c using (document_id, content_hash) where c.position = 1), 1,
  'a passage that stays the same keeps its embedding');
select is((select count(*)::integer from private.rag_embeddings), 1, 'the others go');
select is(pg_temp.load('River', 'The river is long.', 'elsewhere'), '1 1 t', 'another source is another document');
select is((select count(*)::integer from public.rag_documents), 2, 'beside it');
select tests.sign_in('ann');
select public.delete_document(id) from public.rag_documents;
select tests.be_postgres();
select is((select count(*)::integer from public.rag_chunks) + (select count(*)::integer from private.rag_embeddings), 0, 'a deletion leaves nothing');

-- What is no document.
select throws_ok($$ select pg_temp.load('River', e' \n\u3000') $$, 'PT400', 'invalid_request', 'an empty one is refused');
select throws_ok($$ select pg_temp.load('River', null) $$, 'PT400', 'invalid_request', 'and none');
select throws_ok($$ select pg_temp.load('River', repeat('a', 1000001)) $$, 'PT400', 'invalid_request', 'and a huge one');
select throws_ok($$ select pg_temp.load(repeat('t', 201), 'x') $$, 'PT400', 'invalid_request', 'and one with a long title');
select throws_ok($$ select pg_temp.load('River', 'x', repeat('s', 2001)) $$, 'PT400', 'invalid_request', 'or source');
select is(pg_temp.load('River', 'x', (select left(string_agg(md5(n::text), ''), 1001) from generate_series(1, 40) n) || repeat('河', 333)), '1 1 t', 'but not with one of 2,000 bytes');
select throws_ok($$ select pg_temp.load('River', 'x', language => repeat('s', 36)) $$, 'PT400', 'invalid_request', 'or language');
select throws_ok($$ select pg_temp.load('River', 'x', metadata => '[]') $$, 'PT400', 'invalid_request', 'or metadata that are no object');

-- What a free account stores a day.
update public.system_config set config_value = '10000' where config_key = 'kept_content_per_day';
select throws_like($$ select pg_temp.load('River', repeat('The river is long. ', 500)) $$, '%limit_reached%', 'what a free account stores a day is bounded');
select * from finish();
rollback;
