-- user_statistics: one row a person, whatever there is of anything; and what was used names its message while that is there.
begin;
select plan(22);
select tests.create_user('owner'), tests.create_user('member'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
create function pg_temp.figures(person text default 'owner') returns text
language sql as $$
  select concat_ws(' ', s.subscription_tier, s.subscription_status, s.monthly_message_count, s.total_message_count, s.conversation_count,
    s.total_messages, s.total_cost) from public.user_statistics s where s.id = tests.id(person)
$$;
grant execute on function pg_temp.figures to public;

select is(pg_temp.figures(), 'free inactive 0 0 0 0 0', 'without anything all is 0');
insert into public.conversations (id, workspace_id, user_id, is_shared) values
  (tests.id('a'), tests.id('owner'), tests.id('owner'), false), (tests.id('b'), tests.id('team'), tests.id('owner'), true),
  (tests.id('c'), tests.id('owner'), tests.id('owner'), false), (tests.id('theirs'), tests.id('team'), tests.id('member'), true);
insert into public.messages (id, conversation_id, content, cost)
select tests.id(c || n), tests.id(c), 'a message', 0.5 from unnest('{a,b,c,theirs}'::text[]) c, generate_series(1, 3) n;
select public.update_user_usage(tests.id('owner'), 2, 10, 0.1), public.update_user_usage(tests.id('owner'), 5, 0, 0, now() - interval '40 days');
select is(pg_temp.figures(), 'free inactive 2 7 3 9 4.5', 'conversations, messages and calls do not multiply each other');
update public.conversations set is_archived = true where id = tests.id('c');
select is(pg_temp.figures(), 'free inactive 2 7 2 6 3', 'archived conversations do not count');
update public.messages set status = 'deleted', deleted_at = now() where id = tests.id('a1');
select is(pg_temp.figures(), 'free inactive 2 7 2 5 2.5', 'nor do deleted messages');
update public.conversations set deleted_at = now() where id = tests.id('b');
select is(pg_temp.figures(), 'free inactive 2 7 1 2 1', 'or conversations');
update public.conversations set deleted_at = null, is_archived = false;
select tests.put_on_plan('owner', 'pro');
select is((select concat_ws(' ', s.subscription_tier, s.email, s.created_at = u.created_at, s.last_active_at = public.last_active_at(u))
  from public.user_statistics s join public.users u using (id) where id = tests.id('owner')), 'pro owner@example.test t t', 'the rest is the account''s');

select tests.sign_in('owner');
select is(pg_temp.figures(), 'pro inactive 2 7 3 8 4', 'people read their own');
select is((select count(*) from public.user_statistics), 1::bigint, 'and nobody else''s');
select throws_ok($$ update public.user_statistics set total_cost = 0 $$, '42501', null, 'and write nothing');
select tests.sign_in('stranger');
select is((select array_agg(s.id) from public.user_statistics s), array[tests.id('stranger')], 'so does everyone');
select tests.be_anonymous();
select throws_ok('select * from public.user_statistics', '42501', null, 'but who is not signed in');
select tests.be_service();
select is(pg_temp.figures('member') || ', ' || pg_temp.figures(), 'free inactive 0 0 1 3 1.5, pro inactive 2 7 3 8 4', 'the service role reads everyone''s');
select tests.be_postgres();

-- What was used for a message.
create function pg_temp.named() returns text
language sql as $$
  select string_agg(concat_ws(' ', r.feature_code, case r.conversation_id when tests.id('a') then 'a' else r.conversation_id::text end,
    case r.message_id when tests.id('a2') then 'a2' else r.message_id::text end), ', ' order by r.id)
  from public.usage_records r where r.metadata ? 'n' or r.reference_type = 'ai_usage_log' and r.model = 'a model'
$$;
insert into public.features (feature_code, name, unit) values ('export', 'Exports', 'file');
select public.consume_feature('export', 2, tests.id('owner'), metadata => '{"n": 1}', conversation_id => tests.id('a'), message_id => tests.id('a2'));
insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, prompt_tokens, usage_record_id, usage_period_start, conversation_id, message_id)
values (tests.id('owner'), tests.id('owner'), 'text_chat', 'success', 'a model', 5, nextval('private.usage_record_ids'), now(), tests.id('a'), tests.id('a2'));
select is(pg_temp.named(), 'export a a2, api_call a a2, token a a2', 'a use names its conversation and message, of an AI call as well');
select public.release_feature((select r.id from public.usage_records r where r.metadata ? 'n'), 1);
select is((select r.message_id from public.usage_records r where r.quantity = -1), tests.id('a2'), 'and so does what is given back');
select throws_ok($$ update private.usage_records set message_id = tests.id('a3') $$, 'PT403', 'forbidden', 'nobody names another message');
select throws_ok($$ update private.usage_records set conversation_id = tests.id('b') $$, 'PT403', 'forbidden', 'or conversation');
select throws_ok($$ update private.usage_records set conversation_id = null, quantity = 5 $$, 'PT403', 'forbidden', 'or changes anything else');
delete from public.messages where id = tests.id('a2');
select is(pg_temp.named(), 'export a, api_call a, token a', 'a message that is gone is named no more');
select throws_ok($$ update private.usage_records set message_id = tests.id('a2') $$, 'PT403', 'forbidden', 'and never again');
delete from public.conversations where id = tests.id('a');
select is(pg_temp.named(), 'export, api_call, token', 'nor is a conversation');
select is((select sum(r.quantity) from public.usage_records r where r.feature_code = 'export'), 1::numeric, 'while what was used stays');

-- Conversations have counters: a large account is read by an index, and without its messages.
create function pg_temp.plan_of(statement text) returns text
language plpgsql as $$
declare
  line text;
  lines text := '';
begin
  for line in execute 'explain (costs off) ' || statement loop
    lines := lines || line;
  end loop;
  return lines;
end;
$$;
select unalike(pg_temp.plan_of(format('select * from public.user_statistics where id = %L', tests.id('owner'))), '%messages%', 'no message is read for them');
select * from finish();
rollback;
