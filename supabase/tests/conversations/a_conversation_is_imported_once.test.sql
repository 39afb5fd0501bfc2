-- import_conversation writes a conversation from elsewhere as one's own: once, whole or not at all, and never as if we had made it.
begin;
select plan(49);
select tests.create_user('owner'), tests.create_user('mate'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'mate'), tests.put_on_plan('owner', 'pro'), tests.put_on_plan('team', 'pro');
create function pg_temp.import(given jsonb, source text default 'elsewhere', workspace text default null) returns text language plpgsql as $$
declare
  answer jsonb;
begin
  answer := public.import_conversation(source, given, tests.id(workspace));
  if (answer ->> 'imported')::boolean then
    perform tests.remember('made', answer ->> 'conversation_id');
    return answer ->> 'messages';
  end if;
  return case answer ->> 'conversation_id' when tests.recall('made') then 'the same' else 'another' end;
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
select tests.remember('given', '{"id": "c1", "title": "Sorting", "system_prompt": "Be brief.", "model": "gpt-4o", "tags": ["code"], "is_archived": true,
  "created_at": "2025-06-15T15:06:40.25Z", "metadata": {"folder": "x"}, "current_message_id": "a2", "messages": [
  {"id": "s", "parent_message_id": null, "role": "system", "content": "You sort."},
  {"id": "q", "parent_message_id": "s", "role": "user", "parts": [{"type": "text", "text": "How?"}, {"type": "file", "name": "a.csv", "attachment_id": "gone"}],
    "created_at": "2025-06-15T15:06:41Z"},
  {"id": "a1", "parent_message_id": "q", "role": "assistant", "content": "Like this.", "model_used": "gpt-4o", "prompt_tokens": 5, "completion_tokens": 5, "cost": 9, "hold_id": "x",
    "created_at": "2025-06-15T15:06:42Z", "metadata": {"rating": 1, "imported": "no"}, "status": "stopped"},
  {"id": "a2", "parent_message_id": "q", "role": "assistant", "content": "Or that.", "created_at": "2999-01-01"},
  {"role": "tool", "parts": [{"type": "tool_result", "content": "3"}], "content": "not the text", "created_at": "-infinity", "status": "sending"}]}'::text);
create function pg_temp.given(changed jsonb default '{}') returns jsonb language sql as $$ select tests.recall('given')::jsonb || changed $$;
create function pg_temp.with_message(changed jsonb) returns jsonb language sql as $$
  select jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'x') || changed))
$$;
create function pg_temp.reason(given jsonb) returns text language plpgsql as $$
declare
  reason text;
begin
  perform public.import_conversation('elsewhere', given);
  return null;
exception when others then
  get stacked diagnostics reason = pg_exception_detail;
  return reason;
end;
$$;

create view pg_temp.written with (security_invoker) as
  select m.metadata #>> '{imported,id}' as name, p.metadata #>> '{imported,id}' as follows, m.* from public.messages m left join public.messages p on p.id = m.parent_message_id
  where m.conversation_id = nullif(current_setting('tests.made', true), '')::uuid;
grant select on pg_temp.written to public;
grant execute on function pg_temp.import, pg_temp.given, pg_temp.with_message, pg_temp.reason to public;
select tests.sign_in('owner');
select is(pg_temp.import(pg_temp.given()), '5', 'a conversation is imported');
select results_eq($$ select title::text, system_prompt, model, tags, is_archived, is_pinned, is_shared, message_count, total_tokens, total_cost, created_at, workspace_id, user_id
  from public.conversations $$, $$ values ('Sorting', 'Be brief.', 'gpt-4o', array['code'], true, false, false, 5, 0::bigint, 0::numeric, '2025-06-15 15:06:40.25+00'::timestamptz,
  tests.id('owner'), tests.id('owner')) $$, 'as it was, as one''s own, at no cost');
select is((select metadata from public.conversations), '{"folder": "x", "imported": {"from": "elsewhere", "id": "c1"}}', 'and says where it came from');
select results_eq($$ select coalesce(name, '-'), follows, role::text, content, status::text, model_used from pg_temp.written order by sequence_number $$, $$ values
  ('s', null, 'system', 'You sort.', 'sent', null), ('q', 's', 'user', 'How?', 'sent', null), ('a1', 'q', 'assistant', 'Like this.', 'stopped', 'gpt-4o'),
  ('a2', 'q', 'assistant', 'Or that.', 'sent', null), ('-', 'a2', 'tool', '', 'stopped', null) $$, 'its branches are kept; what names no parent follows the one before it');
select is((select count(*) from pg_temp.written where total_tokens <> 0 or cost <> 0 or hold_id is not null), 0::bigint, 'none of its messages is said to have cost anything');
select is((select count(*) from pg_temp.written where metadata #>> '{imported,from}' = 'elsewhere'), 5::bigint, 'and each is marked');
select is((select metadata from pg_temp.written where name = 'a1'), '{"rating": 1, "imported": {"from": "elsewhere", "id": "a1"}}', 'whatever it says of itself');
select is((select parts from pg_temp.written where name = 'q'), '[{"type": "text", "text": "How?"}, {"type": "file", "name": "a.csv"}]', 'files are named and not there');
select is((select parts from pg_temp.written where name is null), '[{"type": "tool_result", "content": "3"}]', 'parts are kept as they are');
select is((select name from pg_temp.written where id = (select current_leaf_id from public.conversations)), 'a2', 'the branch that was looked at is the current one');
select is((select count(*) from pg_temp.written where created_at not between '1970-01-01 00:00+00' and clock_timestamp()), 0::bigint, 'no time is in the future, or before time');
select is((select created_at from pg_temp.written where name = 'q'), '2025-06-15 15:06:41+00'::timestamptz, 'others are as they were');

select is(pg_temp.import(pg_temp.given()), 'the same', 'the same is imported once');
select is(pg_temp.import(pg_temp.given(), 'elsewhere', 'team'), '5', 'once a workspace');
select is(pg_temp.import(pg_temp.given('{"title": "Sorting more"}')), '5', 'what has changed is imported beside it');
select is((select count(*) from public.conversations), 3::bigint, 'so there are three');
select is(pg_temp.import(pg_temp.given(), 'other'), '5', 'and one from another source');
delete from public.conversations where id = tests.recall('made')::uuid;
select is(pg_temp.import(pg_temp.given(), 'other'), '5', 'what was deleted can be imported again');
select is(pg_temp.import('{"messages": []}'), '0', 'a conversation may be empty');
select is(pg_temp.import('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "parent_message_id": null, "content": "c"}]}'), '3', 'ids need not be given');
select is((select string_agg(m.content || coalesce(' after ' || p.content, ''), ', ' order by m.sequence_number) from public.messages m left join public.messages p on p.id = m.parent_message_id
  where m.conversation_id = tests.recall('made')::uuid), 'a, b after a, c', 'a list is a branch');

-- Who.
select tests.sign_in('mate');
select is(pg_temp.import(pg_temp.given(), 'elsewhere', 'team'), '5', 'another person imports the same for themselves');
select is((select count(*) from public.conversations), 1::bigint, 'which is theirs alone');
select tests.sign_in('stranger');
select is(pg_temp.import(pg_temp.given(), 'elsewhere', 'team'), 'PT404 not_found', 'nobody imports into a team that is not theirs');
select is(pg_temp.import(pg_temp.given(), 'elsewhere', 'owner'), 'PT404 not_found', 'or into another person''s workspace');
select tests.be_anonymous();
select throws_ok($$ select public.import_conversation('elsewhere', '{"messages": []}') $$, '42501', null, 'or without signing in');
select tests.be_postgres();
update public.users set is_active = false where id = tests.id('mate');
select tests.sign_in('mate');
select is(pg_temp.import('{"messages": []}'), 'PT403 account_disabled', 'or with a disabled account');

-- What cannot be read leaves nothing.
select tests.sign_in('owner');
select tests.remember('before', (select count(*) from public.conversations));
select is(pg_temp.import(g.given), 'PT400 invalid_request', g.given::text || ' is refused') from (values
  ('[]'::jsonb), ('"text"'), ('{}'), ('{"messages": {}}'), ('{"messages": [1]}'), ('null'),
  ('{"messages": [{"id": "a", "parent_message_id": "b", "role": "user"}, {"id": "b", "parent_message_id": "a", "role": "user"}]}'),
  ('{"messages": [{"id": "a", "role": "user"}, {"id": "a", "role": "user"}]}'),
  (pg_temp.with_message('{"role": "god"}')), (pg_temp.with_message('{"role": null}')), (pg_temp.with_message('{"created_at": "soon"}')),
  (pg_temp.with_message('{"parts": [{}]}')), (pg_temp.with_message('{"parts": "x"}')), (pg_temp.given('{"is_archived": "perhaps"}'))) g (given);
select is(pg_temp.reason(pg_temp.with_message(g.changed)), 'A message has the ' || g.reason || '.', 'with the reason') from (values
  ('{"role": "god"}'::jsonb, 'role "god", which is not one of: user, assistant, system, tool'), ('{"role": null}', 'role null, which is not one of: user, assistant, system, tool'),
  ('{"content_type": "song"}', 'content_type "song", which is not one of: text, image, file')) g (changed, reason);
select is(pg_temp.import(null), 'PT400 invalid_request', 'and nothing');
select is(pg_temp.import('{"messages": []}', 'No Source'), 'PT400 invalid_request', 'and a source that is no name');
select is(pg_temp.import(pg_temp.with_message(jsonb_build_object('metadata', jsonb_build_object('x', repeat('x', 70000))))), 'PT400 invalid_request', 'and endless metadata');
select is(pg_temp.import(jsonb_build_object('messages', (select jsonb_agg('{"role": "user"}'::jsonb) from generate_series(1, 2001)))), 'PT400 invalid_request', 'and too many messages');
select is((select count(*)::text from public.conversations), tests.recall('before'), 'nothing of it is left');

select * from finish();
rollback;
