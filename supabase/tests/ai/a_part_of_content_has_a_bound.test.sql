begin;
select plan(21);
select tests.create_user('owner');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, context_window, content_parts, extra_fields)
values
  ('seeing', 'Seeing', 'up', 0, 5000, '{"image_url": 1000, "file": null}', '{top_a}'),
  ('plain', 'Plain', 'up', 0, null, '{}', '{}'),
  ('sharper', 'Sharper', 'up', 0, null, '{"image_url": 2000}', '{}');
select private.set_model_price('seeing', '{"input": 10, "output": 0}', '2020-01-01'),
  private.set_model_price('plain', '{"input": 10, "output": 0}', '2020-01-01'),
  private.set_model_price('sharper', '{"input": 10, "output": 0}', '2020-01-01');
select tests.limit_plans('requests_per_minute', 1000), tests.limit_plans('messages_per_month', null);
update public.credit_wallets set overdraft_limit = 100 where workspace_id = tests.id('owner');
select tests.be_service();

-- A token costs 0.001 credits.
create function pg_temp.admit(model text, input integer, parts jsonb default '{}', fields jsonb default '{}') returns jsonb
language sql as $$
  select public.admit_ai_call(tests.id('owner'), model, input, parts => parts, fields => fields, endpoint => 'text_chat')
$$;
create function pg_temp.held(model text, input integer, parts jsonb) returns numeric
language sql as $$ select (pg_temp.admit(model, input, parts) ->> 'credits_held')::numeric $$;

select is(pg_temp.held('seeing', 10, '{"image_url": {"count": 2}}'), 2.010, 'a part is held at its bound, besides the text');
select is(pg_temp.held('sharper', 10, '{"image_url": {"count": 2}}'), 4.010, 'which is the model''s own');
select is(pg_temp.held('seeing', 10, '{"file": {"count": 1}}'), 5::numeric,
  'what has no bound is held at the context window');
select is(pg_temp.held('seeing', 10, '{"image_url": {"count": 90}}'), 5::numeric, 'and so is all that would be more');
select is(pg_temp.held('seeing', 9000, '{}'), 5::numeric, 'long texts as well');
select is(pg_temp.held('plain', 9000, '{}'), 9::numeric, 'a model without a known window has no such end');
select is(pg_temp.admit('seeing', 1, '{"image_url": {"count": 3}}') #>> '{candidates,0,part_tokens}', '3000',
  'the function is told what the parts count, for an answer without usage');
select results_eq($$
  select a ->> 'code', a ->> 'status', a ->> 'param', a ->> 'message'
  from pg_temp.admit('seeing', 1, '{"image_url": {"count": 1, "param": "messages.0.content.0.type"},
    "video_url": {"count": 1, "param": "messages.0.content.1.type"}}') a
$$, $$ values ('invalid_request', '400', 'messages.0.content.1.type',
  'The model "seeing" takes no content of type "video_url".') $$, 'a kind that is not on the row is refused by name');
select is(pg_temp.admit('plain', 1, '{"image_url": {"count": 1, "param": "x"}}') ->> 'code', 'invalid_request',
  'a row that names none takes text alone');
select is(pg_temp.admit('seeing', 1, fields => '{"top_a": "top_a"}') ->> 'admitted', 'true', 'a field of the row passes');
select results_eq($$ select a ->> 'code', a ->> 'param' from pg_temp.admit('seeing', 1, fields => '{"top_b": "messages.0.top_b"}') a $$,
  $$ values ('invalid_request', 'messages.0.top_b') $$, 'another is refused by its place');
select is((select count(*)::integer from public.ai_usage_logs where error_code = 'invalid_request'), 3,
  'each refusal is in the log');

-- A fallback answers what it takes.
insert into public.ai_model_fallbacks (model, position, fallback_model) values ('seeing', 1, 'plain'), ('seeing', 2, 'sharper');
select is(jsonb_path_query_array(pg_temp.admit('seeing', 10, '{"image_url": {"count": 1}}'), '$.candidates[*].model'),
  '["seeing", "sharper"]', 'a fallback that does not take a part is none');
select is(pg_temp.held('seeing', 10, '{"image_url": {"count": 1}}'), 2.010, 'and the hold covers the dearest that may answer');

-- What a row may say.
select throws_ok($$ update public.ai_models set content_parts = '{"image_url": "4000"}' $$, '23514', null, 'a bound is a number');
select throws_ok($$ update public.ai_models set content_parts = '{"image_url": -1}' $$, '23514', null, 'not below 0');
select throws_ok($$ update public.ai_models set content_parts = '{"text": 1}' $$, '23514', null, 'text is counted by its bytes');
select throws_ok($$ update public.ai_models set content_parts = '{"image_url": [5]}' $$, '23514', null, 'a list is no bound');
select throws_ok($$ update public.ai_models set content_parts = '["file"]' $$, '23514',
  'new row for relation "ai_models" violates check constraint "content_parts_are_token_bounds"', 'nor is a list a set of bounds');
select throws_ok($$ update public.ai_models set content_parts = '{"file": null}' where model = 'plain' $$, '23514', null,
  'without a bound there is a context window');
select throws_ok($$ update public.ai_models set extra_fields = '{web_search_options}' $$, '23514', null,
  'and no row lets a field through whose price has no bound');

select * from finish();
rollback;
