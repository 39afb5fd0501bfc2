begin;
select plan(21);
select tests.create_user('owner'), tests.create_user('member'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'member');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'gift', workspace_id => tests.id('team'), kind => 'promotion');
select tests.limit_plans('video_jobs_at_once', null);
select tests.offer_video('veo');
update public.workspaces set ai_log_content = 'full' where id = tests.id('team');
select tests.remember('job', tests.make_video('member', workspace => 'team', request_id => 'r1', at => now() - interval '10 minutes',
  details => '{"scene_description": "a trailer", "reference_id": "ref", "ip_address": "1.2.3.4", "user_agent": "curl"}')),
  tests.remember('other', tests.make_video('member', workspace => 'team', request_id => 'r2', at => now() - interval '10 minutes'));
select public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t1", "status": "completed", "result_url": "https://x.test/v"}',
  jsonb_build_object('hook', 'https://us.test/video-webhook/x/' || private.video_token(tests.recall('job'))), now());
select public.fail_video_job(tests.recall('other')::uuid, 'task_lost', at => now());
select is((select concat_ws(' ', scene_description, reference_id, host(ip_address), user_agent, duration, trim_scale(estimated_cost)) from public.ai_usage_logs where request_id = 'r1'),
  'a trailer ref 1.2.3.4 curl 600000 0.2', 'the log has what the request told');
select is((select request_data from public.ai_usage_logs where request_id = 'r1'),
  '{"prompt": "a cat", "duration": 8, "has_image": false, "image_url": null, "resolution": "720p", "aspect_ratio": "16:9"}'::jsonb, 'and what was said, as its workspace wants');
select is((select response_data from public.ai_usage_logs where request_id = 'r1'), null, 'and nothing of what the provider answered');
select is((select provider_answer ->> 'hook' from private.video_job_work where video_job_id = tests.recall('job')::uuid), 'https://us.test/video-webhook/x/…', 'which the operator has, without the webhook''s token');
update public.workspaces set ai_log_content = 'metadata' where id = tests.id('team');
select tests.remember('third', tests.make_video('member', workspace => 'team', request_id => 'r3', parameters => '{"negative_prompt": "dogs"}'));
select public.update_video_job(tests.recall('third')::uuid, '{"job_id": "t3", "status": "failed", "error_code": "invalid_request", "said": "acct_1 at gate.test: too dear"}', '{"echo": "a cat"}');
select is((select request_data from public.ai_usage_logs where request_id = 'r3'),
  '{"duration": 8, "has_image": false, "resolution": "720p", "aspect_ratio": "16:9"}'::jsonb, 'or all but what was said');
select results_eq($$ select j.error_message, l.error_message from public.ai_usage_logs l join public.video_jobs j using (request_id) where request_id = 'r3' $$,
  $$ values ('The video provider refused the request as invalid.', 'The video provider refused the request as invalid.') $$, 'people are told in our words why it failed');
update public.workspaces set ai_log_content = 'none' where id = tests.id('team');
select tests.remember('fourth', tests.make_video('member', workspace => 'team', request_id => 'r4'));
select public.fail_video_job(tests.recall('fourth')::uuid, 'upstream_error', 'words');
select is((select (request_data, response_data) is null from public.ai_usage_logs where request_id = 'r4'), true, 'or nothing');
select public.update_video_job(tests.make_video('member', workspace => 'team', request_id => 'r5'), '{"job_id": "t5", "status": "processing"}', jsonb_build_object('x', repeat('y', 20000)));
select is((select w.provider_answer ->> 'truncated' from private.video_job_work w join public.video_jobs j on j.id = w.video_job_id where j.request_id = 'r5'), 'true', 'a long answer is cut');

insert into public.ai_price_components (price_id, unit, resolution, credits_per_unit)
select p.id, u.unit, '1080p', u.credits
from public.ai_model_prices p, (values ('request'::public.price_unit, 0), ('video_second', 3)) u (unit, credits);
select private.set_model_price('veo', '[{"unit": "request", "credits_per_unit": 1}, {"unit": "video_second", "credits_per_unit": 2}]', '2026-01-01');
select public.update_video_job(tests.make_video('member', workspace => 'team', request_id => 'r6', at => '2025-06-01', parameters => '{"resolution": "1080p", "duration": 4}'),
  '{"job_id": "t6", "status": "completed", "result_url": "https://x.test/v"}', at => '2025-06-01 00:01:00Z');
select public.update_video_job(tests.make_video('member', workspace => 'team', request_id => 'r7', parameters => '{"resolution": "1080p", "duration": 4}'),
  '{"job_id": "t7", "status": "completed", "result_url": "https://x.test/v"}');

select tests.sign_in('owner');
select unalike((select string_agg(l::text, ' ') from public.ai_usage_logs l), '%gate.test%', 'an owner of the team reads no word of the provider''s');
select is((public.explain_charge('r3')).attempts, null, 'nor here');
select is(jsonb_strip_nulls(to_jsonb(public.explain_charge('r1')) - array['settlement', 'grants', 'sentence']),
  '{"request_id": "r1", "model": "veo", "scene": "video_generation", "status": "success", "usage_source": "none",
    "tokens": {"input": 0, "cached_input": 0, "output": 0}, "images": 0, "price": {"resolution": "720p", "credits_per_job": 20}, "rates": {"request": 20, "video_second": 0},
    "credits_charged": 20, "free_credits": 20, "paid_credits": 0, "video": {"seconds": 8, "resolution": "720p"}}'::jsonb, 'a charge is explained to who sees its log row');
select is((public.explain_charge('r1')).settlement.credits, 20.0, 'with its entry');
select is((public.explain_charge('r1')).sentence, '8 seconds of video of veo cost 20 credits, a fixed price.', 'in a sentence');
select is((public.explain_charge('r6')).sentence, '4 seconds of video of veo cost 12 credits: 3 a second.', 'a price by the second as well');
select is((public.explain_charge('r7')).sentence, '4 seconds of video of veo cost 9 credits: 2 a second and 1 for the video.', 'or by both');
select is((public.explain_charge('r2')).refund.credits, 20.0, 'a failure with its refund');
select is((public.explain_charge('r2')).sentence, 'The call of veo failed (task_lost) and was not charged.', 'in a sentence too');
select unalike((select string_agg(t::text, ' ') from public.credit_transactions t), '%usd%', 'the ledger tells no price of the provider''s');
select tests.be_service();
select is((select array[e.cost_usd, e.margin_usd] from public.explain_charge('r1') e), array[0.8, -0.6], 'the operator sees what it cost');
select is((public.explain_charge('r3')).attempts, '[{"provider": "default", "job_id": "t3", "error": "invalid_request", "said": "acct_1 at gate.test: too dear"}]'::jsonb, 'and the service role what the provider said');
select is((public.explain_charge('r4')).attempts, '[{"provider": "default", "error": "upstream_error"}]'::jsonb, 'unless its workspace keeps nothing that was said');

select * from finish();
rollback;
