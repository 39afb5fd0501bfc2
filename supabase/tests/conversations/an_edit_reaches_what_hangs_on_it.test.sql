-- What was made of a question goes when the question is edited, by its text or by its parts.
begin;
select plan(8);
select tests.create_user('owner');
insert into public.conversations (id, workspace_id, user_id, summary)
  values (tests.id('talk'), tests.id('owner'), tests.id('owner'), 'the secret is 42');
insert into public.messages (id, conversation_id, parent_message_id, role, status, content) values
  (tests.id('question'), tests.id('talk'), null, 'user', 'sent', 'The secret is 42. What is it?'),
  (tests.id('answer'), tests.id('talk'), tests.id('question'), 'assistant', 'stopped', 'It is');

-- Stores a summary and has the owner edit the question.
create function pg_temp.edited(parts jsonb, content text) returns text language plpgsql as $$
begin
  perform tests.be_postgres();
  delete from private.conversation_summaries;
  insert into private.conversation_summaries (message_id, conversation_id, summary)
    values (tests.id('answer'), tests.id('talk'), 'the secret is 42');
  update public.conversations c set summary = 'the secret is 42';
  perform tests.sign_in('owner');
  if parts is not null then
    update public.messages m set parts = edited.parts where m.id = tests.id('question');
  else
    update public.messages m set content = edited.content where m.id = tests.id('question');
  end if;
  perform tests.be_postgres();
  return format('%s summaries, "%s"', (select count(*) from private.conversation_summaries),
    (select c.summary from public.conversations c));
end $$;

select lives_ok(format('select private.require_continuable(m) from public.messages m where m.id = %L', tests.id('answer')),
  'an answer that was stopped can be continued');
select is(pg_temp.edited(null, 'Nothing here.'), '0 summaries, ""', 'an edited text leaves no summary');
select is(pg_temp.edited('[{"type": "text", "text": "Nothing there."}]', null), '0 summaries, ""', 'nor do edited parts');
select is((select m.content from public.messages m where m.id = tests.id('question')), 'Nothing there.', 'which are what it says');
select throws_ok(format('select private.require_continuable(m) from public.messages m where m.id = %L', tests.id('answer')),
  'PT409', 'invalid_state', 'the answer to what the question was is not continued');

-- A file that only the edited part named.
insert into public.attachments (id, workspace_id, conversation_id, name, media_type, size_bytes, uploaded_at)
  values (tests.id('file'), tests.id('owner'), tests.id('talk'), 'a.txt', 'text/plain', 1, now());
select tests.sign_in('owner');
update public.messages m set parts = jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'hi', 'attachment_id', tests.id('file')))
where m.id = tests.id('question');
select tests.be_postgres();
select is((select count(*) from public.attachments a where a.used_at is not null), 1::bigint, 'a part names a file');
select tests.sign_in('owner');
update public.messages m set content = 'bye' where m.id = tests.id('question');
select tests.be_postgres();
select is((select m.parts from public.messages m where m.id = tests.id('question')), '[{"type": "text", "text": "bye"}]', 'another text does not');
select is((select count(*) from public.attachments a where a.id = tests.id('file')), 0::bigint, 'and the file is gone');

select * from finish();
rollback;
