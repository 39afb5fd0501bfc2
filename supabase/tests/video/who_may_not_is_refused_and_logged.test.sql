-- A refusal is data and a row of the log, and takes nothing.
begin;
select plan(35);
select tests.limit_plans('requests_per_minute', 100, 'free');
select tests.create_user('owner'), tests.create_team('team'), tests.create_user('member');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase'),
  public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase', workspace_id => tests.id('team'));
select tests.offer_video('veo'), tests.offer_video('pricey', 1000), tests.offer_video('picture', needs_image => true),
  tests.offer_video('words', takes_image => false), tests.offer_video('free', 0);
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('chat', 'Chat', 'up', 1);
select private.set_model_price('chat', '{"input": 0, "output": 0}', '2020-01-01');
insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, scene) values ('unpriced', 'X', 'up', 1, 'video_generation');
insert into public.video_models (model, durations) values ('unpriced', '{8}');
insert into public.ai_providers (provider) values ('mute');

create function pg_temp.refused(answer jsonb) returns text
language sql as $$ select concat_ws(' ', answer ->> 'created', answer ->> 'status', answer ->> 'code', answer ->> 'param', answer ->> 'retry_after') $$;

select is(pg_temp.refused(tests.ask_video('owner', 'pricey')), 'false 402 insufficient_credits', 'a balance that does not suffice');
select is(pg_temp.refused(tests.ask_video('owner', 'no-such')), 'false 404 not_found model', 'a model that does not exist');
select is(pg_temp.refused(tests.ask_video('owner', 'unpriced')), 'false 404 not_found model', 'or has no price');
select results_eq($$ select data ->> 'model', count(*) from public.admin_notifications where kind = 'model_unpriced' group by 1 $$,
  $$ values ('unpriced', 1::bigint) $$, 'which admins are told of');
select is(tests.ask_video('owner', 'unpriced') ->> 'message', 'The model "unpriced" is not available.', 'and nobody else');
select is(pg_temp.refused(tests.ask_video('owner', 'chat')), 'false 400 invalid_request model', 'or does something else');
update public.ai_models set provider = 'mute' where model = 'words';
select is(pg_temp.refused(tests.ask_video('owner', 'words')), 'false 404 not_found model', 'or whose provider makes no videos');
update public.ai_models set provider = 'default' where model = 'words';
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"duration": 7}')), 'false 400 invalid_request duration', 'a length it cannot have');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"duration": "8"}')), 'false 400 invalid_request duration', 'a length that is no number');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"resolution": "4k"}')), 'false 400 invalid_request resolution', 'a resolution');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"aspect_ratio": "1:1"}')), 'false 400 invalid_request aspect_ratio', 'an aspect ratio');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"aspect_ratio": ["16:9"]}')), 'false 400 invalid_request aspect_ratio', 'a list of them');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"fps": 24}')), 'false 400 invalid_request fps', 'a parameter that is none');
select is(pg_temp.refused(tests.ask_video('owner', parameters => '{"negative_prompt": 5}')), 'false 400 invalid_request negative_prompt', 'a negative prompt that is no text');
select is(pg_temp.refused(tests.ask_video('owner', parameters => jsonb_build_object('negative_prompt', repeat('x', 2001)))), 'false 400 invalid_request negative_prompt', 'or too long');
select is(pg_temp.refused(tests.ask_video('owner', prompt => ' ')), 'false 400 invalid_request prompt', 'no prompt');
select is(pg_temp.refused(tests.ask_video('owner', prompt => null)), 'false 400 invalid_request prompt', 'none at all');
select is(pg_temp.refused(tests.ask_video('owner', prompt => repeat('x', 2001))), 'false 400 invalid_request prompt', 'one too long');
select is(pg_temp.refused(tests.ask_video('owner', 'words', image_url => 'https://x.test/a')), 'false 400 invalid_request image', 'an image where none is taken');
select is(pg_temp.refused(tests.ask_video('owner', 'words', has_image => true)), 'false 400 invalid_request image', 'an uploaded one as well');
select is(pg_temp.refused(tests.ask_video('owner', 'picture')), 'false 400 invalid_request image', 'no image where one is needed');
select is(pg_temp.refused(tests.ask_video('owner', image_url => 'http://x.test/a')), 'false 400 invalid_request image', 'an image by http');
select is(pg_temp.refused(tests.ask_video('owner', image_url => 'https://x.test/' || repeat('x', 2048))), 'false 400 invalid_request image', 'or at an address too long');
select is((select string_agg(distinct concat_ws(' ', status, scene, credits_charged::integer), ', ') from public.ai_usage_logs
  where workspace_id = tests.id('owner')), 'refused video_generation 0', 'each is logged as refused');
select is((select count(*) from public.ai_usage_logs where workspace_id = tests.id('owner')), (select refused_requests::bigint from public.ai_usage_statistics
  where workspace_id = tests.id('owner')), 'and counted');
select is(tests.wallet('owner'), 'balance 103, total 103, spent 0, expired 0, held 0', 'and takes nothing');
select is((select count(*) from public.video_jobs), 0::bigint, 'nor makes a job');
select ok(tests.ask_video('owner', 'picture', has_image => true, at => now() + interval '2 minutes') @> '{"created": true, "job": {"has_image": true, "image_url": null}}', 'an upload is an image');
select is((select string_agg(concat_ws(' ', e.name, trim_scale(-t.amount)), ',') from (values ('picture')) e (name), public.credit_transactions t where t.id = tests.last_entry('owner')),
  'picture 20', 'and costs as much');

update public.ai_models set minimum_plan = 'pro' where model = 'veo';
select is(pg_temp.refused(tests.ask_video('owner', at => now() + interval '4 minutes')), 'false 403 model_not_allowed model', 'a model above the plan');
update public.ai_models set minimum_plan = 'free' where model = 'veo';
insert into public.plan_features (plan, feature_code, is_enabled) select 'free', 'scene:video_generation', false
where exists (select from public.features where feature_code = 'scene:video_generation');
select is(pg_temp.refused(tests.ask_video('owner', at => now() + interval '4 minutes')),
  'false 403 model_not_allowed model', 'a scene that the plan has not');
delete from public.plan_features where feature_code = 'scene:video_generation';
update public.users set is_active = false where id = tests.id('owner');
select is(pg_temp.refused(tests.ask_video('owner', at => now() + interval '4 minutes')), 'false 403 account_disabled', 'a disabled account');
update public.users set is_active = true where id = tests.id('owner');
select tests.limit_plans('requests_per_minute', 1, 'free');
select tests.ask_video('member', 'no-such', at => '2026-01-01 00:00:15Z');
select is(pg_temp.refused(tests.ask_video('member', at => '2026-01-01 00:00:15Z')), 'false 429 rate_limited 45', 'calls in a minute are counted');
select throws_ok($$ select tests.ask_video('member', workspace => 'owner') $$, 'PT404', 'not_found', 'a workspace of somebody else is not there');
select tests.limit_plans('video_jobs_at_once', null);
select throws_ok($$ select tests.ask_video('owner', at => now() + interval '9 minutes', details => '{"ip_address": "nonsense"}') $$, '22P02', null, 'what could not be logged is not run');

select * from finish();
rollback;
