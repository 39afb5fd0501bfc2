-- create_attachment registers a file of one's own conversation, of a type and size that are allowed, while there is room.
begin;
select plan(16);
select tests.create_user('owner'), tests.create_user('stranger'), tests.put_on_plan('owner', 'pro');
select tests.sign_in('owner');
insert into public.conversations (id) values (tests.id('chat'));
select matches((public.create_attachment(tests.id('chat'), 'cat.png', 'image/png', 1000)).storage_path, format('^%s/%s/[0-9a-f-]{36}$', tests.id('owner'), tests.id('chat')), 'a file has its place: workspace, conversation, id');
select results_eq($$ select name, media_type, size_bytes, uploaded_at, used_at, workspace_id from public.attachments $$,
  $$ values ('cat.png'::public.short_name, 'image/png', 1000::bigint, null::timestamptz, null::timestamptz, tests.id('owner')) $$, 'and is as it was registered');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'text/html', 1) $$, 'PT400', 'invalid_request', 'only types of the setting are taken');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', null, 1) $$, 'PT400', 'invalid_request', 'and not none');
select lives_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'Text/Plain; charset=utf-8', 1) $$, 'parameters of a type do not matter');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', 0) $$, 'PT400', 'invalid_request', 'nor is a file empty');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', null) $$, 'PT400', 'invalid_request', 'or of no size');
select throws_ok($$ select public.create_attachment(tests.id('chat'), '', 'image/png', 1) $$, 'PT400', 'invalid_request', 'or without a name');
select throws_ok($$ select public.create_attachment(tests.id('chat'), repeat('x', 201), 'image/png', 1) $$, 'PT400', 'invalid_request', 'or with an endless one');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', 52428801) $$, 'PT403', 'feature_not_in_plan', 'a file is at most as large as the plan says');
select throws_ok($$ select public.create_attachment(tests.id('none'), 'x', 'image/png', 1) $$, 'PT404', 'not_found', 'a file is of a conversation');
select tests.sign_in('stranger');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', 1) $$, 'PT404', 'not_found', 'of one''s own');
select tests.be_anonymous();
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', 1) $$, '42501', null, 'who is not signed in registers none');

-- A free account stores so much a day, whatever it is.
select tests.be_postgres();
select tests.put_on_plan('owner', 'free');
select tests.limit_plans('attachment_bytes', null);
update public.system_config set config_value = '1000000' where config_key = 'kept_content_per_day';
select tests.sign_in('owner');
select throws_ok($$ select public.create_attachment(tests.id('chat'), 'x', 'image/png', 1000000) $$, 'PGRST', null, 'what is more than a day''s room is refused');
select throws_ok($$ select count(public.create_attachment(tests.id('chat'), 'x', 'image/png', 1)) from generate_series(1, 1000) $$, 'PGRST', null,
  'and so are very many small files');
select lives_ok($$ select count(public.create_attachment(tests.id('chat'), 'x', 'image/png', 1)) from generate_series(1, 500) $$, 'but not some');

select * from finish();
rollback;
