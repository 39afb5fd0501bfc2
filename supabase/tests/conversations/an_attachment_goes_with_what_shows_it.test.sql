-- A file is read by who reads its conversation, once a message shows it, and goes with the last such message.
begin;
select plan(29);
select tests.create_user('owner'), tests.create_user('mate'), tests.create_user('stranger'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'mate'), tests.put_on_plan('team', 'pro');
create function pg_temp.attach(file text) returns void language plpgsql as $$
declare
  made public.attachments;
begin
  made := public.create_attachment(tests.id('chat'), file, 'image/png', 1000);
  perform tests.remember(file, made.id), tests.remember(file || '_path', made.storage_path);
end;
$$;
create function pg_temp.upload(path text, size integer, media_type text default 'image/png') returns void language sql as $$
  insert into storage.objects (bucket_id, name, metadata) values ('attachments', path, jsonb_build_object('size', size, 'mimetype', media_type))
$$;
create function pg_temp.parts(variadic files text[]) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('type', 'image', 'attachment_id', tests.recall(f))) from unnest(files) f
$$;
create function pg_temp.seen(person text) returns text language plpgsql as $$
declare
  seen text;
begin
  perform tests.sign_in(person);
  seen := (select string_agg(a.name || case when exists (select from storage.objects o where o.name = a.storage_path) then ' with file' else '' end, ', ' order by a.name)
    from public.attachments a);
  perform tests.be_postgres();
  return seen;
end;
$$;
grant execute on function pg_temp.attach, pg_temp.upload, pg_temp.parts, pg_temp.seen to public;

select tests.sign_in('owner');
insert into public.conversations (id, workspace_id, is_shared) values (tests.id('chat'), tests.id('team'), true);
select pg_temp.attach('a'), pg_temp.attach('b'), pg_temp.attach('late');

-- Uploads.
select throws_ok($$ insert into storage.objects (bucket_id, name) values ('attachments', tests.id('team') || '/' || tests.id('chat') || '/x') $$, '42501', null,
  'what is not registered cannot be uploaded');
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1001) $$, '42501', null, 'nor what is larger than it was registered');
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000, 'text/html') $$, '42501', null, 'nor what is of another type');
select throws_ok($$ insert into public.messages (conversation_id, parts) values (tests.id('chat'), pg_temp.parts('a')) $$, 'PT404', 'not_found', 'a message shows no file that has not come');
select tests.sign_in('mate');
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000) $$, '42501', null, 'only its person uploads a file');
select tests.sign_in('stranger');
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000) $$, '42501', null, 'no stranger');
select tests.be_anonymous();
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000) $$, '42501', null, 'nobody who is not signed in');
select tests.sign_in('owner');
select lives_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000, 'image/png;x=y'), pg_temp.upload(tests.recall('b_path'), 1) $$, 'its person does, up to its size');
select throws_ok($$ select pg_temp.upload(tests.recall('a_path'), 1000) $$, '42501', null, 'once');
update storage.objects set metadata = '{"size": 1, "mimetype": "image/png"}' where name = tests.recall('a_path');
select is((select metadata ->> 'size' from storage.objects where name = tests.recall('a_path')), '1000', 'and does not change it');

-- Use.
select tests.be_postgres();
select is(pg_temp.seen('mate'), null, 'what no message shows its person alone sees');
select is(pg_temp.seen('owner'), 'a with file, b with file, late', 'who does');
select tests.sign_in('owner');
insert into public.messages (id, conversation_id, parts) values (tests.id('first'), tests.id('chat'), pg_temp.parts('a', 'b'));
insert into public.messages (id, conversation_id, parts) values (tests.id('edited'), tests.id('chat'), pg_temp.parts('a'));
select is(pg_temp.seen('mate'), 'a with file, b with file', 'then the team reads it, where the conversation is shared');
select is(pg_temp.seen('stranger'), null, 'and no stranger');
select tests.sign_in('owner');
insert into public.conversations (id) values (tests.id('other'));
select throws_ok($$ insert into public.messages (conversation_id, parts) values (tests.id('other'), pg_temp.parts('a')) $$, 'PT404', 'not_found', 'a file is of one conversation');
select throws_ok($$ insert into public.messages (conversation_id, parts) values (tests.id('chat'), '[{"type": "image", "attachment_id": {"x": "not an id"}}]') $$, 'PT404', 'not_found',
  'what is no id is no file');
update public.conversations set is_shared = false where id = tests.id('chat');
select is(pg_temp.seen('mate'), null, 'nobody else reads it where it is not');

-- Deletion.
select tests.sign_in('owner');
delete from public.messages where id = tests.id('first');
select is(pg_temp.seen('owner'), 'a with file, late', 'a file goes with the last message that shows it');
select is((select string_agg(path, ',') from private.file_removals where bucket = 'attachments'), tests.recall('b_path'), 'and is removed from Storage');
select cmp_ok((select next_try_at from private.file_removals), '>', clock_timestamp() + interval '2 hours 30 minutes', 'once no signed upload can bring it back');
select tests.sign_in('owner');
select lives_ok($$ update public.messages set content = 'no picture', parts = '[]' where id = tests.id('edited') $$, 'an edit may let a file go');
select is(pg_temp.seen('owner'), 'late', 'which goes');
select pg_temp.upload(tests.recall('late_path'), 1);
select tests.sign_in('owner');
insert into public.messages (id, conversation_id, parts) values (tests.id('third'), tests.id('chat'), pg_temp.parts('late'));
delete from public.conversations where id = tests.id('chat');
select is(pg_temp.seen('owner'), null, 'a conversation takes its files with it');
select is((select count(*) from public.attachments), 0::bigint, 'at once');
select is((select count(*) from private.file_removals where bucket = 'attachments'), 3::bigint, 'from Storage too');

-- What no message shows within a day.
select tests.sign_in('owner');
insert into public.conversations (id, workspace_id) values (tests.id('next'), tests.id('team'));
select tests.be_postgres();
insert into public.attachments (workspace_id, conversation_id, name, media_type, size_bytes, used_at, created_at)
select tests.id('team'), tests.id('next'), n, 'image/png', 1, case when n = 'used' then now() end, now() - h * interval '1 hour'
from (values ('used', 30), ('new', 23), ('old', 25)) x (n, h);
select ok(private.drop_next_unused_attachment(now()), 'is dropped by the sweep');
select is((select string_agg(name, ', ' order by name) from public.attachments), 'new, used', 'and nothing else');
select ok(not private.drop_next_unused_attachment(now()), 'which then has nothing to do');
delete from public.conversations;
select is((select count(*) from private.file_removals where bucket = 'attachments'), 6::bigint, 'files whose conversation is gone for good are removed');

select * from finish();
rollback;
