begin;
select plan(8);
select tests.create_user('owner'), tests.create_user('stranger');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ('test', 'Test', 'up', 100, 0);
select private.set_model_price('test', '{"input": 0, "output": 0}', '2020-01-01');
select is(public.admit_ai_call(tests.id('owner'), 'test', 1) ->> 'log_content', 'metadata', 'settings and counts, unless told');
select tests.sign_in('owner');
select lives_ok($$ update public.workspaces set ai_log_content = 'none' where id = tests.id('owner') $$, 'a person says what the own workspace keeps');
select throws_ok($$ update public.workspaces set personal_user_id = null $$, '42501', null, 'but not whose it is');
select tests.sign_in('stranger');
update public.workspaces set ai_log_content = 'full' where id = tests.id('owner');
select tests.be_anonymous();
select throws_ok($$ update public.workspaces set ai_log_content = 'full' $$, '42501', null, 'without an account nothing');
select tests.be_postgres();
select is(public.admit_ai_call(tests.id('owner'), 'test', 1) ->> 'log_content', 'none', 'and nobody says it for another');
select is(private.log_data('{"a": "short"}'), '{"a": "short"}'::jsonb, 'what is short is kept');
select is((select format('%s %s %s', d -> 'truncated', d -> 'characters', length(d ->> 'begins')) from private.log_data(to_jsonb(repeat('ü', 20000))) d),
  'true 20002 16384', 'what is long is cut, with a mark');
select is(private.log_data(null), null, 'nothing stays nothing');

select * from finish();
rollback;
