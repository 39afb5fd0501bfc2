begin;
select plan(12);
select tests.create_user('owner');
select tests.limit_plans('requests_per_minute', 100);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, scene) values
  ('chat', 'Chat', 'up', 10, 'text_chat'), ('session', 'Session', 'up', 10, 'session_analysis'), ('image', 'Image', 'up', 0, 'image_generation'),
  ('video', 'Video', 'up', 0, 'video_generation'), ('unpriced', 'Unpriced', 'up', 10, 'text_chat');
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('session', '{"input": 0, "output": 0}', '2020-01-01'),
  private.set_model_price('image', '{"input": 0, "output": 0}', '2020-01-01');
create function pg_temp.call(model text, endpoint public.ai_usage_scene) returns text language sql as $$
  select coalesce(a ->> 'code', 'admitted') from public.admit_ai_call(tests.id('owner'), model, 1, endpoint => endpoint, details => '{"scene": "text_chat"}') a
$$;
select is(pg_temp.call('chat', 'text_chat'), 'admitted', 'a chat model chats');
select is(pg_temp.call('session', 'text_chat'), 'admitted', 'so does one for a purpose of its own');
select is(pg_temp.call('image', 'image_generation'), 'admitted', 'a model for images makes images');
select is(pg_temp.call('image', 'text_chat'), 'invalid_request', 'and does not chat: its price is for images');
select is(pg_temp.call('chat', 'embedding'), 'invalid_request', 'nor does a chat model embed');
select is(pg_temp.call('chat', null), 'admitted', 'a backend of one''s own says nothing of endpoints');
-- What is wrong is said, not that there is no such model.
create function pg_temp.words(model text) returns text language sql as $$
  select a ->> 'status' || ' ' || (a ->> 'message') from public.admit_ai_call(tests.id('owner'), model, 1, endpoint => 'text_chat') a
$$;
select is(pg_temp.words('video'), '400 The model "video" is for video_generation: call it by function video.',
  'a chat with a model for videos is told where it is called');
select is(pg_temp.words('unpriced'), '404 The model "unpriced" is not available.',
  'one without a price is not available');
select pg_temp.words('unpriced'), public.admit_ai_call(tests.id('owner'), 'unpriced', 1, at => now() - interval '1 day');
select results_eq($$ select subject, data ->> 'hint' ~ 'admin_set_model_price' from public.admin_notifications where kind = 'model_unpriced' order by created_at, id $$,
  $$ values (format('unpriced %s', (now() at time zone 'UTC')::date), true), (format('unpriced %s', ((now() - interval '1 day') at time zone 'UTC')::date), true) $$,
  'its operator is told what to do, once for each model and day');
select tests.sign_in('owner');
select is_empty('select * from public.admin_notifications', 'its caller is not');
select is_empty($$ select * from public.models where model = 'unpriced' $$, 'nor offered it');
select tests.be_postgres();
select is(pg_temp.words('none'), '404 The model "none" does not exist.', 'and only one that is not there does not exist');

select * from finish();
rollback;
