begin;
select plan(16);
select tests.create_user('ann'), tests.create_user('bob');
select tests.be_service();
select public.load_document('Doses', repeat('Nothing of note stands here. ', 50) || e'The dose is\n  40 mg/kg (max.*).\n每公斤体重四十毫克。', 'https://example.test/doses', workspace_id => tests.id('ann'));
select public.load_document('Theirs', 'A secret of theirs.', workspace_id => tests.id('bob'));
select tests.remember('chunk', id) from public.rag_chunks where workspace_id = tests.id('ann') and position = 2;
select tests.remember('theirs', id) from public.rag_chunks where workspace_id = tests.id('bob');
create function pg_temp.check(quote text, chunk text default 'chunk', workspace text default 'ann') returns jsonb language sql as $$
  select public.check_citations(tests.id(workspace), jsonb_build_array(jsonb_build_object('chunk_id', tests.recall(chunk), 'quote', quote)))
$$;
create function pg_temp.quoted(quote text, chunk text default 'chunk', workspace text default 'ann') returns text language sql as $$
  select pg_temp.check(quote, chunk, workspace) #>> '{citations,0,quote}'
$$;

select is(pg_temp.quoted('40 mg/kg'), '40 mg/kg', 'a quote that stands there is kept');
select is(pg_temp.quoted('dose is 40'), e'dose is\n  40', 'spaces and line breaks do not count, and it is quoted as it stands there');
select is(pg_temp.quoted(e' \n40  mg/kg\u3000'), '40 mg/kg', 'on either side');
select is(pg_temp.quoted('每公斤体重'), '每公斤体重', 'in every script');
select is(pg_temp.quoted('(max.*)'), '(max.*)', 'signs mean themselves');
select is(pg_temp.quoted('d.se is'), null, 'and nothing else');
select is(pg_temp.quoted('the Dose'), null, 'letter by letter');
select is(pg_temp.quoted('40 mg per kg'), null, 'what does not stand there is refused');
select is(pg_temp.quoted('  '), null, 'and nothing');
select is(pg_temp.quoted('A secret', 'theirs'), null, 'and what stands in another workspace');
select is(pg_temp.quoted('A secret', 'theirs', 'bob'), 'A secret', 'which is kept there');
select is((select substr(d.content, 1 + (c ->> 'start_character')::integer, (c ->> 'end_character')::integer - (c ->> 'start_character')::integer)
  from pg_temp.check('mg/kg (max') x, lateral (select x #> '{citations,0}') c (c), public.rag_documents d where d.id = (c ->> 'document_id')::uuid), 'mg/kg (max', 'it says where in its document it stands');
select is((pg_temp.check('40') #> '{citations,0}') - '{document_id,start_character,end_character}'::text[],
  jsonb_build_object('chunk_id', tests.recall('chunk'), 'title', 'Doses', 'source', 'https://example.test/doses', 'version', 1, 'quote', '40'), 'and what document that is');
select is(public.check_citations(tests.id('ann'), '[1, null, {}, {"chunk_id": "x", "quote": "x"}, {"chunk_id": 5, "quote": {}}]'),
  '{"citations": [], "refused": [1, null, {}, {"chunk_id": "x", "quote": "x"}, {"chunk_id": 5, "quote": {}}]}', 'what is no citation is refused, whatever it is');
select is(public.check_citations(tests.id('ann'), '{"a": 1}'), '{"citations": [], "refused": []}', 'or no list');
select is((select concat_ws(' ', jsonb_array_length(c -> 'citations'), jsonb_array_length(c -> 'refused')) from public.check_citations(tests.id('ann'),
  (select jsonb_agg(jsonb_build_object('chunk_id', tests.recall('chunk'), 'quote', '40')) from generate_series(1, 52))) c), '50 2', 'fifty are looked at');
select * from finish();
rollback;
