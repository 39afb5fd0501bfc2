begin;
select plan(20);
select tests.create_user('author');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('c'), tests.id('author'), tests.id('author'));
-- Writes a message as its author, edits it, and says what became of it: its content, its parts.
create function pg_temp.write(written jsonb, edited jsonb default null) returns text language plpgsql as $$
declare
  made uuid := gen_random_uuid();
begin
  perform tests.sign_in('author');
  insert into public.messages (id, conversation_id, content, parts)
  values (made, tests.id('c'), coalesce(written ->> 'content', ''), coalesce(written -> 'parts', '[]'));
  update public.messages m set content = coalesce(edited ->> 'content', m.content), parts = coalesce(edited -> 'parts', m.parts)
  where m.id = made and edited is not null;
  perform tests.be_postgres();
  return (select m.content || ' | ' || m.parts from public.messages m where m.id = made);
exception when others then
  perform tests.be_postgres();
  return sqlstate;
end;
$$;

select is(pg_temp.write('{}'), ' | []', 'a message may say nothing yet');
select is(pg_temp.write('{"content": "hi"}'), 'hi | [{"text": "hi", "type": "text"}]', 'a text is a part');
select is(pg_temp.write('{"parts": [{"type": "text", "text": "a"}, {"type": "image", "url": "u"}, {"type": "refusal", "text": "b"}]}'),
  e'a\n\nb | [{"text": "a", "type": "text"}, {"url": "u", "type": "image"}, {"text": "b", "type": "refusal"}]', 'the text of parts is the content');
select is(pg_temp.write('{"content": "c", "parts": [{"type": "text", "text": "a"}]}'), 'a | [{"text": "a", "type": "text"}]', 'where both are given the parts hold');
select is(pg_temp.write('{"content": "look", "parts": [{"type": "image", "url": "u"}]}'), 'look | [{"text": "look", "type": "text"}, {"url": "u", "type": "image"}]',
  'a text beside parts that have none is one of them');
select is(pg_temp.write('{"content": "look", "parts": [{"type": "image", "url": "u"}]}', '{"content": "see"}'), 'see | [{"text": "see", "type": "text"}, {"url": "u", "type": "image"}]',
  'an edited text leaves the pictures');
select is(pg_temp.write('{"content": "a"}', '{"parts": [{"type": "text", "text": "b"}]}'), 'b | [{"text": "b", "type": "text"}]', 'edited parts are the text');
select is(pg_temp.write('{"content": "a"}', '{"content": ""}'), ' | []', 'a text can be taken away');
select is(pg_temp.write('{"parts": [{"type": "data-weather", "data": {"a": [1, null]}, "id": "x"}]}'), ' | [{"id": "x", "data": {"a": [1, null]}, "type": "data-weather"}]',
  'parts of other kinds are kept as they are');
select is(pg_temp.write('{"parts": [{"type": "text", "text": {"a": 1}}]}'), ' | [{"text": {"a": 1}, "type": "text"}]', 'a text that is none is not read');
select is(pg_temp.write(jsonb_build_object('parts', parts)), 'PT400', 'refused: ' || parts::text)
from unnest(array['"x"', '{}', '1', 'null', '["x"]', '[[]]', '[{}]', '[{"type": 1}]', '[{"type": null}]']::jsonb[]) parts;
update public.messages set content_tokens = 5 where content = 'hi';
update public.messages set content = 'hi there' where content = 'hi';
select is((select content_tokens from public.messages where content = 'hi there'), null, 'tokens that were counted are those of the text');

select * from finish();
rollback;
