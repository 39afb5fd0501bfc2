begin;
select plan(5);
select tests.create_user('ana');
select tests.put_on_plan('ana', 'enterprise');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('test', 'Test', 'up', 100);
select private.set_model_price('test', '{"input": 0, "output": 100}', '2020-01-01');
insert into public.conversations (id, workspace_id, user_id) values (tests.id('talk'), tests.id('ana'), tests.id('ana'));
select tests.remember('hold', public.admit_message(tests.id('talk'), tests.id('ana'), 'send', tests.id('answer'),
  jsonb_build_object('id', tests.id('question'), 'parts', '[{"type": "text", "text": "Hi"}]'::jsonb, 'content_type', 'text',
    'content_tokens', 1, 'request_hash', 'h', 'counted', '{}'::jsonb), 'test', 10, 50, 'req_1') ->> 'hold_id');
select public.write_message_events(tests.id('answer'), 1, 1, e'id: 1\ndata: {"choices": [{"delta": {"content": "Hel"}}]}\n\n');
select public.extend_ai_call(tests.recall('hold')::uuid, 10, 20);
select is(public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer'), at => clock_timestamp() + interval '29 seconds') ->> 'status',
  'sending', 'an answer of which its function told is for that to end');
select is(public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer'), at => clock_timestamp() + interval '31 seconds') ->> 'status',
  'stopped', 'one whose function was silent for half a minute is ended by the stop');
select results_eq($$ select content, completion_tokens from public.messages where id = tests.id('answer') $$, $$ values ('Hel', 20) $$,
  'with what was streamed');
select results_eq($$ select error_code, credits_charged::numeric from public.ai_usage_logs $$, $$ values ('call_lost', 0.2) $$,
  'charged what was told of');
select is(public.stop_message(tests.id('ana'), tests.id('talk'), tests.id('answer'), at => clock_timestamp() + interval '31 seconds') ->> 'status',
  'stopped', 'once');
select * from finish();
rollback;
