begin;
select plan(39);
select tests.create_user('owner'), tests.create_user('admin'), tests.create_user('member'), tests.create_user('stranger');
select tests.create_team('team'), tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'admin', 'admin'), tests.join_team('team', 'member');
grant select on public.rag_documents to anon; -- their policy alone decides
create function pg_temp.load(person text, workspace text default 'team', content text default 'The harbour is deep.', source text default 'a source') returns text language plpgsql as $$
declare
  made public.loaded_document;
begin
  if person = 'service' then perform tests.be_service(); elsif person = 'anonymous' then perform tests.be_anonymous(); else perform tests.sign_in(person); end if;
  made := public.load_document('A title', content, source, workspace_id => tests.id(workspace));
  perform tests.be_postgres();
  return concat_ws(' ', made.version, made.chunk_count, made.is_changed);
exception when others then
  perform tests.be_postgres();
  return sqlerrm;
end;
$$;
select is(pg_temp.load('member'), 'forbidden', 'a member loads nothing');
select is(pg_temp.load('stranger'), 'not_found', 'nor a stranger, who is not told that there is a team');
select is(pg_temp.load('anonymous'), 'permission denied for function load_document', 'nor who is not signed in');
select is(pg_temp.load('owner'), '1 1 t', 'an owner does');
select is(pg_temp.load('admin', content => 'The harbour is deep and wide.'), '2 1 t', 'an admin does');
select is(pg_temp.load('service', content => 'The harbour is deep, wide and cold.'), '3 1 t', 'and the service');
select is(pg_temp.load('service', 'nowhere'), 'not_found', 'where there is such a workspace');
select is(pg_temp.load('stranger', 'stranger'), '1 1 t', 'everybody does in their own');
select is((select count(*)::integer from public.rag_documents), 2, 'of the same source each workspace has its own');
select is((select user_id from public.rag_documents where workspace_id = tests.id('team')), null, 'a version of the service is nobody''s');
update public.users set is_active = false where id = tests.id('owner');
select is(pg_temp.load('owner'), 'account_disabled', 'a disabled account loads nothing');
update public.users set is_active = true where id = tests.id('owner');
select tests.sign_in('owner');
select tests.be_postgres();
select tests.remember('document', id) from public.rag_documents where workspace_id = tests.id('team');
select tests.remember('chunk', id) from public.rag_chunks where workspace_id = tests.id('team');

-- What each of them sees: documents, passages, and what a search finds.
create function pg_temp.seen() returns text language plpgsql as $$
begin
  return concat_ws(' ',
    (select count(*) from public.rag_documents where workspace_id = tests.id('team')),
    (select count(*) from public.rag_chunks where id = tests.recall('chunk')::uuid),
    (select count(*) from public.rag_documents d join public.rag_chunks c on c.document_id = d.id and c.workspace_id = tests.id('team')));
end;
$$;
create function pg_temp.found(more text default '') returns text language plpgsql as $$
declare
  number integer;
begin
  execute format('select count(*) from public.search_passages(tests.id(''team''), ''harbour''%s)', more) into number;
  return number::text;
exception when others then
  return sqlerrm;
end;
$$;
grant execute on function pg_temp.seen, pg_temp.found to public;
select tests.sign_in('member');
select is(pg_temp.seen() || ' ' || pg_temp.found(), '1 1 1 1', 'a member reads and finds them');
select tests.sign_in('admin');
select is(pg_temp.seen() || ' ' || pg_temp.found(), '1 1 1 1', 'and an admin');
select tests.sign_in('owner');
select is(pg_temp.seen() || ' ' || pg_temp.found(), '1 1 1 1', 'and an owner');
select tests.be_service();
select is(pg_temp.seen() || ' ' || pg_temp.found(), '1 1 1 1', 'and the service');
select is(jsonb_array_length(public.find_passages(tests.id('team'), 'harbour')), 1, 'also for a caller that it admitted');
select tests.sign_in('stranger');
select is(pg_temp.seen(), '0 0 0', 'a stranger sees nothing, not by its id, not through a joined table');
select is(pg_temp.found(), 'not_found', 'and cannot search');
select is((select count(*)::integer from public.search_passages(tests.id('stranger'), 'harbour')), 1, 'but in their own');
select throws_ok($$ select public.find_passages(tests.id('team'), 'harbour') $$, '42501', null, 'nor as a function does');
select throws_ok($$ select public.check_citations(tests.id('team'), '[]') $$, '42501', null, 'nor check citations');
select throws_ok($$ select public.query_embedding_model(tests.id('team')) $$, '42501', null, 'nor ask for the model');
select throws_ok($$ select public.claim_passages(tests.id('stranger')) $$, '42501', null, 'nor claim passages');
select throws_ok($$ select public.store_embeddings(tests.id('stranger'), 'm', '[]') $$, '42501', null, 'nor store embeddings');
select throws_ok($$ select * from private.rag_embeddings $$, '42501', null, 'nor read them');
select throws_ok($$ select public.delete_document(tests.recall('document')::uuid) $$, 'PT404', 'not_found', 'nor delete a document');
select tests.be_anonymous();
select throws_ok($$ select public.search_passages(tests.id('team'), 'harbour') $$, '42501', null, 'nobody searches who is not signed in');
select throws_ok($$ select public.delete_document(tests.recall('document')::uuid) $$, '42501', null, 'nor deletes');
select throws_ok($$ select * from public.rag_chunks $$, '42501', null, 'nor reads');
select is((select count(*)::integer from public.rag_documents), 0, 'whatever rights they had');

-- Nobody writes past the functions.
select tests.sign_in('owner');
select throws_ok($$ insert into public.rag_documents (workspace_id, title, source, content, content_hash) values (tests.id('team'), 'x', 'x', 'x', 'x') $$, '42501', null, 'an owner inserts nothing');
select throws_ok($$ update public.rag_documents set title = 'x' $$, '42501', null, 'changes nothing');
select throws_ok($$ delete from public.rag_chunks $$, '42501', null, 'and deletes nothing');
select tests.sign_in('member');
select throws_ok($$ select public.delete_document(tests.recall('document')::uuid) $$, 'PT403', 'forbidden', 'a member deletes no document');
select tests.sign_in('admin');
select lives_ok($$ select public.delete_document(tests.recall('document')::uuid) $$, 'an admin does');
select throws_ok($$ select public.delete_document(tests.recall('document')::uuid) $$, 'PT404', 'not_found', 'once');
select is(pg_temp.seen() || ' ' || pg_temp.found(), '0 0 0 0', 'and nothing of it is left');

-- Who goes.
select tests.be_postgres();
select pg_temp.load('admin'), pg_temp.load('admin', 'admin');
delete from auth.users where id = tests.id('admin');
select set_eq($$ select workspace_id, user_id from public.rag_documents $$, $$ values (tests.id('team'), null::uuid), (tests.id('stranger'), tests.id('stranger')) $$,
  'a person who goes takes their own documents along, and leaves a team''s');
delete from public.workspaces where id = tests.id('team');
select is((select count(*)::integer from public.rag_chunks), 1, 'a team that goes takes them all');
select * from finish();
rollback;
