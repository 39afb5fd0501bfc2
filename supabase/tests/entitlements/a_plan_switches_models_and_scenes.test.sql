begin;
select plan(15);
select tests.create_user('owner'), tests.create_user('other');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request, scene, minimum_plan) values
  ('chat', 'Chat', 'up', 100, 0, 'text_chat', 'free'), ('embed', 'Embed', 'up', 0, 0, 'embedding', 'free'),
  ('better', 'Better', 'up', 100, 0, 'text_chat', 'creator');
select private.set_model_price(m, '{"input": 0, "output": 0}', '2020-01-01') from unnest(array['chat', 'embed', 'better']) m;
insert into public.ai_model_fallbacks (model, position, fallback_model) values ('chat', 1, 'better');
insert into public.features (feature_code, name, unit) values ('model:chat', 'Chat', 'call'), ('model:better', 'Better', 'call');
select tests.be_service();
create function pg_temp.call(model text, scene text default null, person text default 'owner') returns text
language sql as $$
  select coalesce(a ->> 'code', (select string_agg(c ->> 'model', ', ') from jsonb_array_elements(a -> 'candidates') c))
  from public.admit_ai_call(tests.id(person), model, 1, details => jsonb_strip_nulls(jsonb_build_object('scene', scene)), at => '2026-05-05') a
$$;
create function pg_temp.models() returns text
language sql as $$ select string_agg(m.model, ', ') from public.list_ai_models(tests.id('owner')) m $$;

select is(pg_temp.call('better'), 'model_not_allowed', 'without a row a model''s minimum_plan holds');
insert into public.workspace_features (workspace_id, feature_code, reason) values (tests.id('owner'), 'model:better', 'a trial');
select is(pg_temp.call('better'), 'better', 'a workspace may be given a model');
select is(pg_temp.call('better', person => 'other'), 'model_not_allowed', 'it alone');
select is(pg_temp.call('chat'), 'chat, better', 'then it is a fallback as well');
select is(pg_temp.models(), 'better, chat, embed', 'and is listed');
insert into public.plan_features (plan, feature_code) values ('free', 'model:better');
select is(pg_temp.call('better', person => 'other'), 'better', 'so may a plan');
update public.plan_features set is_enabled = false where feature_code = 'model:better';
update public.workspace_features set expires_at = '2026-05-05';
select is(pg_temp.call('better'), 'model_not_allowed', 'until that ends');
insert into public.plan_features (plan, feature_code, is_enabled) values ('free', 'model:chat', false);
select is(pg_temp.call('chat'), 'model_not_allowed', 'a plan may be without a model that others have');
select is(pg_temp.models(), 'embed', 'which is not listed then');
delete from public.plan_features where feature_code = 'model:chat';

insert into public.plan_features (plan, feature_code, is_enabled) values ('free', 'scene:embedding', false);
select is(pg_temp.call('embed'), 'model_not_allowed', 'a scene that is off takes its models along');
select is(pg_temp.call('chat', 'embedding'), 'feature_not_in_plan', 'and may not be named for another');
select is(pg_temp.call('chat', 'session_analysis'), 'chat', 'other scenes are as they were');
select tests.be_postgres(), tests.put_on_plan('owner', 'basic'), tests.be_service();
select is(pg_temp.call('embed'), 'embed', 'so is another plan');
update public.features set is_active = false where feature_code = 'scene:embedding';
select is(pg_temp.call('embed'), 'model_not_allowed', 'an inactive scene is off for everyone');
select throws_ok($$ insert into public.features (feature_code, name, unit) values ('Scene chat', 'x', 'x') $$, '23514', null, 'codes are of one form');
select * from finish();
rollback;
