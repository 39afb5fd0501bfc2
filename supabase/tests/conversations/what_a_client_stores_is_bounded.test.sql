begin;
select plan(31);
select tests.create_user('author'), tests.create_user('payer'), tests.create_user('stranger');
select tests.put_on_plan('payer', 'basic');
update public.system_config set config_value = '20000' where config_key = 'kept_content_per_day';
update public.system_config set config_value = '1000' where config_key = 'max_message_characters';
update public.system_config set config_value = '5000' where config_key = 'max_message_parts_bytes';
insert into public.conversations (id, workspace_id, user_id) select tests.id(name || '''s'), tests.id(name), tests.id(name) from unnest('{author,payer,stranger}'::text[]) name;
create function pg_temp.noise(characters integer) returns text language sql as $$
  select left(string_agg(md5(random()::text || n), ''), characters) from generate_series(1, characters / 32 + 1) n
$$;
create function pg_temp.long(numbers integer default 9000) returns jsonb language sql as $$
  select ('{"type": "x", "messages": [], "a": [' || string_agg('1e131071', ', ') || ']}')::jsonb from generate_series(1, numbers)
$$;
grant execute on function pg_temp.noise(integer), pg_temp.long(integer) to authenticated;
-- How often a person can do something until an error, and what that is.
create function pg_temp.times(person text, statement text, most integer default 30) returns text language plpgsql as $$
declare
  times integer := 0;
  error text;
begin
  perform tests.sign_in(person);
  while times < most and error is null loop
    begin
      execute statement;
      times := times + 1;
    exception when others then
      error := sqlstate || ' ' || sqlerrm;
    end;
  end loop;
  perform tests.be_postgres();
  return concat_ws(' ', times, error);
end;
$$;
create function pg_temp.used(person text default 'author') returns bigint language sql as $$
  select coalesce(sum(k.bytes), 0)::bigint from private.kept_content k where k.workspace_id = tests.id(person)
$$;

-- One message.
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, content) values (tests.id('payer''s'), repeat('語', 1000)) $$, 1), '1', 'a message has so many characters');
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, content) values (tests.id('payer''s'), repeat('語', 1001)) $$, 1), '0 PT400 invalid_request', 'and no more');
select is(pg_temp.times('payer', $$ update public.messages set content = repeat('a', 1001) $$, 1), '0 PT400 invalid_request', 'however it gets there');
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, parts) values (tests.id('payer''s'), jsonb_build_array(jsonb_build_object('type', 'x', 'y', repeat('a', 4970)))) $$, 1), '1',
  'its parts have so many bytes');
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, parts) values (tests.id('payer''s'), jsonb_build_array(jsonb_build_object('type', 'x', 'y', repeat('a', 5000)))) $$, 1),
  '0 PT400 invalid_request', 'and no more');
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, metadata) values (tests.id('payer''s'), jsonb_build_object('a', repeat('a', 70000))) $$, 1), '0 23514 new row for relation "messages" violates check constraint "message_metadata_is_bounded"', 'its metadata too');
-- JSON is measured before it is written as text: of these numbers that would be more than a gigabyte.
select is(pg_temp.times('payer', w.statement, 1), w.outcome, w.what || ' with numbers of many digits is refused') from (values
  ('a conversation', $$ insert into public.conversations (metadata) values (pg_temp.long()) $$, '0 23514 new row for relation "conversations" violates check constraint "metadata_is_bounded"'),
  ('a message', $$ insert into public.messages (conversation_id, metadata) values (tests.id('payer''s'), pg_temp.long()) $$, '0 23514 new row for relation "messages" violates check constraint "message_metadata_is_bounded"'),
  ('a part', $$ insert into public.messages (conversation_id, parts) values (tests.id('payer''s'), jsonb_build_array(pg_temp.long())) $$, '0 PT400 invalid_request'),
  ('an import', $$ select public.import_conversation('x', pg_temp.long()) $$, '0 PT400 invalid_request')) w (what, statement, outcome);
select tests.be_postgres();
select is(private.is_json_within(j.value, j.most), j.is_within, 'JSON is measured whole: ' || left(j.value::text, 20)) from (values
  ('{"a": [1, 22.5, "語"]}'::jsonb, 23, true), ('{"a": [1, 22.5, "語"]}', 22, false), ('[[0e-400]]', 406, true), ('[[0e-400]]', 405, false)) j (value, most, is_within);

-- A day.
select is(pg_temp.times('payer', $$ insert into public.messages (conversation_id, content) values (tests.id('payer''s'), pg_temp.noise(1000)) $$), '30', 'who pays stores as much as they like');
select is(pg_temp.used('payer'), 0::bigint, 'and is not counted');
select tests.remember('before', pg_temp.used());
select is(pg_temp.times('author', $$ insert into public.messages (conversation_id, content) values (tests.id('author''s'), pg_temp.noise(1000)) $$, 1), '1', 'a free account stores');
select cmp_ok(pg_temp.used(), '>=', (select pg_column_size(m)::bigint from public.messages m where workspace_id = tests.id('author')), 'at least the row is counted');
select tests.remember('used', pg_temp.used());
select is(pg_temp.times('stranger', $$ insert into public.messages (conversation_id, content) values (tests.id('author''s'), 'x') $$, 1), '0 42501 new row violates row-level security policy for table "messages"', 'a stranger');
select is(pg_temp.used(), tests.recall('used')::bigint, 'takes none of its room');
select is(pg_temp.times('author', $$ update public.messages set content = left(content, 10) $$, 3), '3', 'what is made shorter');
select is(pg_temp.used() > tests.recall('used')::bigint, true, 'is counted as it is then: indexes keep what it was');
select is(pg_temp.times('author', $$ update public.messages set content = pg_temp.noise(length(content) + 200) $$) ~ '^[1-9] PT400', true, 'what grows');
select cmp_ok(pg_temp.used(), '>', tests.recall('used')::bigint, 'is');
select is(pg_temp.times('author', $$ insert into public.conversations (title) values (pg_temp.noise(200)) $$) ~ '^[1-9]\d? PGRST .*limit_reached', true, 'conversations count, until the day''s room is used up');
select cmp_ok(pg_temp.used(), '<=', 20000::bigint, 'which is never passed');
select is(pg_temp.times('author', $$ update public.conversations set system_prompt = repeat('a', 20000) $$, 1) ~ '^0 PGRST .*limit_reached', true, 'nor by what a conversation says of itself');
select tests.sign_in('author');
select throws_ok($$ insert into public.messages (conversation_id, content) values (tests.id('author''s'), repeat('x', 1000)) $$, 'PGRST', null, 'it is a 429 with a header');
select tests.be_postgres();
insert into public.messages (conversation_id, role, content) values (tests.id('author''s'), 'assistant', pg_temp.noise(50000));
select is((select length(content) from public.messages where role = 'assistant' and workspace_id = tests.id('author')), 50000, 'an answer is never refused');
-- The next day, and the next month.
update private.kept_content set day_started_at = day_started_at - interval '1 day' where workspace_id = tests.id('author');
select is(pg_temp.times('author', $$ insert into public.messages (conversation_id, content) values (tests.id('author''s'), 'a new day') $$, 1), '1', 'the next day there is room again');
insert into private.kept_content (workspace_id, is_by_client, day_started_at, bytes) values (tests.id('author'), false, date_trunc('day', now(), 'UTC'), 20000);
select is(pg_temp.times('author', $$ insert into public.messages (conversation_id, content) values (tests.id('author''s'), 'a new day') $$, 1) ~ '^0 PGRST .*limit_reached', true, 'which AI calls use up as well');

select * from finish();
rollback;
