begin;
select plan(5);
select tests.create_user('owner'), tests.create_user('colleague'), tests.create_team('team');
insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, prompt_tokens, credits_charged,
  ip_address, user_agent, request_data, response_data, reference_id, created_at)
select tests.id('team'), tests.id(person), 'text_chat', 'success', person, 7, 1.5, '192.0.2.1', 'tests', '{"q": 1}',
  '{"a": 1}', 'ref', now() + age
from (values ('owner', interval '0'), ('owner', '20 years'), ('colleague', '0')) c (person, age);
select public.admit_ai_call(tests.id('owner'), 'none', 1);

delete from auth.users where id = tests.id('owner');
select is((select count(*) from public.ai_usage_logs where workspace_id = tests.id('owner')), 0::bigint,
  'their own log goes');
select results_eq($$ select distinct ip_address, user_agent, request_data, response_data, user_id
  from public.ai_usage_logs where workspace_id = tests.id('team') and model = 'owner' $$,
  $$ values (null::inet, null::text, null::jsonb, null::jsonb, null::uuid) $$,
    'what they said, from where and with what goes from the team''s');
select results_eq($$ select prompt_tokens, credits_charged::numeric, status::text, reference_id
  from public.ai_usage_logs where workspace_id = tests.id('team') and model = 'owner' $$,
  $$ values (7, 1.5, 'success', 'ref'), (7, 1.5, 'success', 'ref') $$, 'the figures stay, in every partition');
select results_eq($$ select host(ip_address), user_agent, request_data, response_data from public.ai_usage_logs
  where model = 'colleague' and workspace_id = tests.id('team') $$,
  $$ values ('192.0.2.1', 'tests', '{"q": 1}'::jsonb, '{"a": 1}'::jsonb) $$, 'a colleague''s rows keep everything');
select is((select count(*) from public.ai_usage_logs where user_id = tests.id('owner')), 0::bigint,
  'no row names them');

select * from finish();
rollback;
