-- The story of a job that is made: 103 credits, 20 of them for a video.
begin;
select plan(25);
select tests.create_user('owner');
select public.credit_user_credits_transaction(tests.id('owner'), 100, 'purchase');
select tests.offer_video('veo');

select tests.remember('answer', tests.ask_video('owner', request_id => 'r1', parameters => '{"resolution": "1080p"}', at => now()));
select tests.remember('job', tests.recall('answer')::jsonb #>> '{job,id}');
select is(tests.wallet('owner'), 'balance 83, total 103, spent 20, expired 0, held 0', 'a job is charged when it is made');
select is(tests.ledger('owner'), 'credit 3 signup, credit 100 purchase, debit -20 generation', 'as an entry with the reason generation');
select is((select concat_ws(' ', t.feature_code, t.metadata ->> 'video_job_id', t.metadata ->> 'model', t.metadata ->> 'request_id')
  from public.credit_transactions t where t.id = tests.last_entry('owner')),
  'video_generation ' || tests.recall('job') || ' veo r1', 'that names job, model and request');
select is(tests.video(tests.recall('job')::uuid), 'pending 0%', 'the job is pending');
select is((select concat_ws(' ', j.cost_credits, j.parameters, j.attempts, j.expires_at - j.created_at)
    from public.video_jobs j where j.id = tests.recall('job')::uuid),
  '20.000000 {"duration": 8, "resolution": "1080p", "aspect_ratio": "16:9"} 0 00:30:00', 'with its price, parameters and time limit');
select is((tests.recall('answer')::jsonb -> 'submission') - array['webhook_token', 'result_hosts', 'storage_path'],
  '{"provider": "default", "api": "302ai", "base_url": null, "provider_base_url": null, "api_key_env": "AI_API_KEY",
    "timeout_ms": 120000, "upstream_model": "up-veo", "parameters": {"duration": 8, "resolution": "1080p", "aspect_ratio": "16:9"},
    "max_video_bytes": 52428800, "moderation": {"provider": "none", "flagged": "block", "failed": "block"}}'::jsonb,
  'the function is told how to submit it');
select matches(tests.recall('answer')::jsonb #>> '{submission,webhook_token}', '^[0-9a-f]{64}$', 'with a token for its webhook');
select is(tests.recall('answer')::jsonb ->> 'credits_available', '83', 'and what is left');
select is(tests.video_log(tests.recall('job')::uuid), null, 'nothing is logged before it ends');

select is(public.start_video_job(tests.recall('job')::uuid, 't1', '{"task": "t1"}', now()) ->> 'started', 'true', 'the provider takes it');
select is(tests.video(tests.recall('job')::uuid), 'processing t1 0%', 'it is processing');
select is(public.start_video_job(tests.recall('job')::uuid, 't1') ->> 'started', 'true', 'being told so twice is fine');
select is(public.start_video_job(tests.recall('job')::uuid, 't2') ->> 'started', 'false', 'another task is not taken');
select is(public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t1", "status": "processing", "progress": 40}') ->> 'changed', 'true', 'progress is told');
select is(public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t1", "status": "processing", "progress": 30}') ->> 'changed', 'false', 'and never goes back');
select is(tests.video(tests.recall('job')::uuid), 'processing t1 40%', 'as the job shows');
select public.update_video_job(tests.recall('job')::uuid,
  format('{"job_id": "t1", "status": "processing", "unknown_status": "dreaming %s"}', n)::jsonb, at => now()) from generate_series(1, 2) n;
select is(tests.video(tests.recall('job')::uuid), 'processing t1 40%', 'a word that nobody knows ends nothing');
select results_eq($$ select n.subject, n.data from public.admin_notifications n where n.kind = 'video_status_unknown' $$,
  format($$ values ('default %s', '{"video_job_id": "%s", "status": "dreaming 1"}'::jsonb) $$, (now() at time zone 'UTC')::date, tests.recall('job')),
  'and admins are told of it, once a day, whatever the word');
select is(public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t2", "status": "completed", "result_url": "https://x.test/v"}') ->> 'changed', 'false',
  'another task completes nothing');
select is(public.update_video_job(tests.recall('job')::uuid, '{"job_id": "t1", "status": "completed", "result_url": "https://x.test/v"}',
  at => now() + interval '1 minute') ->> 'changed', 'true', 'the task is completed');
select is(tests.video(tests.recall('job')::uuid), 'completed t1 100% https://x.test/v', 'it has its result');
select is(tests.wallet('owner'), 'balance 83, total 103, spent 20, expired 0, held 0', 'it costs what was charged');
select is(tests.video_log(tests.recall('job')::uuid), 'success 20 3 free', 'it is logged with its cost, free credits first');
select results_eq($$ select success_requests, credits::numeric, free_credits::numeric, total_cost, scene_stats ? 'video_generation'
  from public.ai_usage_statistics where workspace_id = tests.id('owner') $$, $$ values (1, 20.0, 3.0, 0.2, true) $$, 'and counted, as what it is worth');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
