begin;
select plan(45);
select tests.create_user('author'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'author', 'owner'), tests.join_team('team', 'member');
insert into public.conversations (id, workspace_id, user_id, is_shared) values (tests.id('here'), tests.id('team'), tests.id('author'), true),
  (tests.id('elsewhere'), tests.id('team'), tests.id('author'), true), (tests.id('theirs'), tests.id('stranger'), tests.id('stranger'), false);
insert into public.messages (id, conversation_id, content) values (tests.id('q1'), tests.id('here'), 'a question'), (tests.id('other'), tests.id('elsewhere'), 'another'),
  (tests.id('secret'), tests.id('theirs'), 'a secret');
insert into public.messages (id, conversation_id, parent_message_id, role, content, prompt_tokens, completion_tokens, cost) values
  (tests.id('a1'), tests.id('here'), tests.id('q1'), 'assistant', 'an answer', 3, 4, 0.5);
-- What a statement of a person comes to: rows, or the error with all that it says.
create function pg_temp.told(person text, statement text) returns text language plpgsql as $$
declare
  changed bigint;
  error_code text;
  details text;
begin
  perform tests.sign_in(person);
  begin
    execute statement;
    get diagnostics changed = row_count;
  exception when others then
    get stacked diagnostics error_code = returned_sqlstate, details = pg_exception_detail;
    perform tests.be_postgres();
    return concat_ws(': ', error_code, sqlerrm, nullif(details, ''));
  end;
  perform tests.be_postgres();
  return changed::text;
end;
$$;

-- Roles, figures, state.
select matches(pg_temp.told('author', format('insert into public.messages (conversation_id, role) values (tests.id(''here''), %L)', role)), '^42501: new row violates',
  format('nobody writes as %s', role)) from unnest('{assistant,system,tool}'::public.message_role[]) role;
select matches(pg_temp.told('author', format('insert into public.messages (conversation_id, %s) values (tests.id(''here''), default)', name)), '^42501: permission denied',
  'or says its ' || name) from unnest('{workspace_id,status,model_used,prompt_tokens,completion_tokens,cost,content_tokens,hold_id,error_message,sequence_number,created_at,deleted_at}'::text[]) name;
select matches(pg_temp.told('author', format('update public.messages set %s = default', name)), '^42501: permission denied', 'nor changes its ' || name)
from unnest('{id,role,conversation_id,workspace_id,parent_message_id,status,prompt_tokens,completion_tokens,cost,deleted_at}'::text[]) name;
select is(pg_temp.told('author', $$ update public.messages set content = 'better' where conversation_id = tests.id('here') $$), '1', 'questions are edited, answers are not');
select is((select string_agg(content, ', ' order by sequence_number) from public.messages where conversation_id = tests.id('here')), 'better, an answer', 'they stand as they were given');
select is((select parts from public.messages where id = tests.id('q1')), '[{"type": "text", "text": "better"}]', 'the parts say the same');

-- Another's conversation, with ids that somebody knows.
select matches(pg_temp.told(person, format('insert into public.messages (conversation_id, parent_message_id) values (%L, %L)', conversation, parent)), '^42501: new row violates[^:]*$',
  format('a %s writes nothing elsewhere and hears the same of each conversation and parent', person))
from (values ('member', tests.id('here'), tests.id('q1')), ('member', tests.id('here'), tests.id('other')), ('member', gen_random_uuid(), null),
  ('author', tests.id('theirs'), tests.id('secret')), ('author', tests.id('theirs'), null), ('author', null, null)) x (person, conversation, parent);
select is(pg_temp.told('author', format('insert into public.messages (conversation_id, parent_message_id) values (tests.id(''here''), %L)', parent)),
  format('PT404: not_found: There is no message %s in this conversation to follow.', parent), 'a parent elsewhere is not there, whether it is or not')
from unnest(array[tests.id('other'), tests.id('secret'), tests.id('nothing')]) parent;
select is(pg_temp.told('author', format('update public.conversations set current_leaf_id = %L where id = tests.id(''here'')', leaf)),
  format('PT404: not_found: There is no message %s in this conversation.', leaf), 'nor is a leaf')
from unnest(array[tests.id('other'), tests.id('secret'), tests.id('nothing')]) leaf;
select is(pg_temp.told('author', $$ update public.conversations set current_leaf_id = tests.id('q1') where id = tests.id('here') $$), '1', 'a message of its own can be the leaf');
select unalike(pg_temp.told('author', $$ insert into public.messages (id, conversation_id, content) values (tests.id('secret'), tests.id('here'), 'x') $$), '%a secret%',
  'an id that is taken tells nothing of its message');
select is(pg_temp.told('author', $$ insert into public.messages (id, conversation_id, content) values (tests.id('secret'), tests.id('here'), 'x') on conflict do nothing $$), '0',
  'and a message that may be there already is not written');
select matches(pg_temp.told('author', $$ insert into public.messages (id, conversation_id, content) values (tests.id('secret'), tests.id('here'), 'x')
  on conflict (id) do update set content = excluded.content $$), '^42501', 'nor written over');
select is((select content from public.messages where id = tests.id('secret')), 'a secret', 'it is as it was');

select * from finish();
rollback;
