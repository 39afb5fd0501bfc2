-- export_conversation gives who may read a conversation all of it: as JSON the tree, as Markdown the current branch.
begin;
select plan(26);
select tests.create_user('owner'), tests.create_user('mate'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'mate');
insert into public.conversations (id, workspace_id, user_id, title, model) values (tests.id('chat'), tests.id('team'), tests.id('owner'), 'My *title* #1', 'm');
create function pg_temp.say(name text, follows text, role public.message_role, parts jsonb) returns void language sql as $$
  insert into public.messages (id, conversation_id, parent_message_id, role, parts, model_used, completion_tokens) values (tests.id(name), tests.id('chat'), tests.id(follows), role, parts,
    case role when 'assistant' then 'openai/gpt-4o' end, case role when 'assistant' then 7 else 0 end)
$$;
create function pg_temp.text(said text) returns jsonb language sql as $$ select jsonb_build_array(jsonb_build_object('type', 'text', 'text', said)) $$;
select pg_temp.say('q', null, 'user', pg_temp.text('How?') || '[{"type": "image", "name": "a_b.png"}, {"type": "reasoning", "text": "hidden"}]');
select pg_temp.say('a1', 'q', 'assistant', pg_temp.text(e'First.\n\n## Assistant\nSecond.'));
select pg_temp.say('gone', 'a1', 'user', pg_temp.text('gone')), pg_temp.say('gone too', 'gone', 'assistant', pg_temp.text('gone too'));
select pg_temp.say('last', 'gone too', 'user', pg_temp.text('And then?'));
select pg_temp.say('a2', 'q', 'assistant', pg_temp.text('Another.'));
update public.conversations set current_leaf_id = tests.id('last');
create function pg_temp.exported(format text default 'json') returns jsonb language sql as $$ select public.export_conversation(tests.id('chat'), format) $$;
create function pg_temp.tree() returns text language sql as $$
  select string_agg(concat_ws(' ', n.name, 'after ' || p.name), ', ' order by m.place) from jsonb_array_elements(pg_temp.exported() -> 'messages') with ordinality m (message, place)
  join unnest(array['q', 'a1', 'gone', 'gone too', 'last', 'a2']) n (name) on tests.id(n.name)::text = m.message ->> 'id'
  left join unnest(array['q', 'a1', 'gone', 'gone too', 'last', 'a2']) p (name) on tests.id(p.name)::text = m.message ->> 'parent_message_id'
$$;
grant execute on function pg_temp.exported, pg_temp.tree to public;
select tests.sign_in('owner');
select is(pg_temp.tree(), 'q, a1 after q, gone after a1, gone too after gone, last after gone too, a2 after q', 'all branches are in it, in their order');
delete from public.messages where id in (tests.id('gone'), tests.id('gone too'));
select is(pg_temp.tree(), 'q, a1 after q, last after a1, a2 after q', 'what is deleted is not; what followed it follows what is left');
select is(pg_temp.exported() ->> 'current_message_id', tests.id('last')::text, 'and the branch that is looked at');
select is(pg_temp.exported() - 'messages' - 'id' - 'created_at' - 'current_message_id', '{"format": "basemeter.conversation", "version": 1, "title": "My *title* #1", "system_prompt": "",
  "model": "m", "tags": [], "is_archived": false, "is_pinned": false, "metadata": {}}', 'with what is said of it');
select is((pg_temp.exported() #> '{messages,1}') - 'id' - 'created_at' - 'parent_message_id', '{"role": "assistant", "content_type": "text", "status": "sent", "error_message": null,
  "model_used": "openai/gpt-4o", "prompt_tokens": 0, "completion_tokens": 7, "cost": 0, "metadata": {}, "parts": [{"type": "text", "text": "First.\n\n## Assistant\nSecond."}]}', 'and of each message');
select is(pg_temp.exported('markdown') #>> '{}', e'# My \\*title\\* \\#1\n\n## User\n\n> How?\n\n> *image\\: a\\_b\\.png*\n\n## Assistant – openai\\/gpt\\-4o\n\n> First.\n> \n> ## Assistant\n> Second.\n\n'
  '## User\n\n> And then?\n', 'Markdown is the current branch: who speaks above, and each line of theirs quoted');
select throws_ok($$ select pg_temp.exported('pdf') $$, 'PT400', 'invalid_request', 'there is no other format');
select throws_ok($$ select pg_temp.exported(null) $$, 'PT400', 'invalid_request', 'and not none');

-- Quotes.
select tests.be_postgres();
select is(private.markdown_quote(q.said), q.quoted, 'nothing ends quote ' || q.n) from (values
  (1, '', '> '), (2, e'a\nb', e'> a\n> b'), (3, e'a\r\nb\rc', e'> a\n> b\n> c'), (4, e'a\u2028b\u0085c\fd\x0be', e'> a\n> b\n> c\n> d\n> e'),
  (5, '</blockquote><h2>', '> &lt;/blockquote>&lt;h2>'), (6, '\<b>', '> \&lt;b>'),
  (7, e'```js\na < b\n```\nx < y', e'> ````js\n> a < b\n> ````\n> x &lt; y'),
  (8, e'```\na < b', e'> ````\n> a < b\n> ````'),
  (9, e'~~~\n<b>\n```\n~~~~\n<i>', e'> ````\n> <b>\n> ```\n> ````\n> &lt;i>'),
  (10, e'- ```\n  ```\n<b>', e'> - \\```\n> ````\n> <b>\n> ````'),
  (11, e'    ```\n<b>', e'>     \\```\n> &lt;b>')) q (n, said, quoted);
select cmp_ok(length(private.markdown_quote('a' || repeat('`', 5000) || repeat(e'\n```', 1000))), '<', 40000, 'fences are no longer than 21 signs, however long a run of them is');

-- Who.
select tests.sign_in('mate');
select throws_ok($$ select pg_temp.exported() $$, 'PT404', 'not_found', 'nobody else in the team exports it');
select tests.be_postgres();
update public.conversations set is_shared = true where id = tests.id('chat');
select tests.sign_in('mate');
select is(pg_temp.tree(), 'q, a1 after q, last after a1, a2 after q', 'where it is shared they do');
select tests.sign_in('stranger');
select throws_ok($$ select pg_temp.exported() $$, 'PT404', 'not_found', 'strangers do not');
select tests.be_service();
select is(pg_temp.tree(), 'q, a1 after q, last after a1, a2 after q', 'a backend does');
select tests.be_anonymous();
select throws_ok($$ select pg_temp.exported() $$, '42501', null, 'nobody who is not signed in');
select tests.sign_in('owner');
delete from public.conversations where id = tests.id('chat');
select throws_ok($$ select pg_temp.exported() $$, 'PT404', 'not_found', 'a deleted conversation is gone');

select * from finish();
rollback;
