-- Whoever writes it: the trigger stands below all rpcs.
begin;
select plan(25);
select tests.create_user('owner'), tests.put_on_plan('owner', 'enterprise'), public.credit_user_credits_transaction(tests.id('owner'), 1000, 'purchase');
select tests.offer_video('veo');
select tests.remember('job', tests.make_video('owner')), tests.remember('done', tests.make_video('owner')), tests.remember('other', tests.make_video('owner'));
select public.start_video_job(tests.recall('job')::uuid, 't1');
select public.update_video_job(tests.recall('done')::uuid, '{"job_id": "t2", "status": "completed", "result_url": "https://x.test/v"}');
create function pg_temp.set(job text, change text) returns text
language plpgsql as $$
begin
  execute format('update public.video_jobs set %s where id = %L', change, tests.recall(job));
  return 'done';
exception when others then
  return sqlerrm;
end;
$$;
select is(pg_temp.set('job', $$ status = 'pending' $$), 'invalid_state', 'not back to pending');
select is(pg_temp.set('done', $$ status = 'failed' $$), 'invalid_state', 'not from completed to failed');
select is(pg_temp.set('done', $$ status = 'processing', finished_at = null $$), 'invalid_state', 'nor to processing');
select is(pg_temp.set('done', $$ finished_at = now() + interval '1 day' $$), 'invalid_state', 'when it ended stays');
select is(pg_temp.set('job', $$ cost_credits = 1 $$), 'invalid_state', 'what it costs stays');
select is(public.start_video_job(tests.recall('job')::uuid, 't9') ->> 'started', 'false', 'its task stays');
select is(tests.video(tests.recall('job')::uuid), 'processing t1 0%', 'as it was');
select is(pg_temp.set('job', $$ model = 'x' $$), 'invalid_state', 'its model stays');
select is(pg_temp.set('job', format('workspace_id = %L', tests.create_team('team'))), 'invalid_state', 'its workspace stays');
select is(pg_temp.set('job', format('user_id = %L', tests.create_user('thief'))), 'invalid_state', 'its person stays');
select matches(pg_temp.set('job', $$ status = 'failed' $$), 'a_final_job_has_its_time', 'one that ends has its time');
select is(pg_temp.set('other', $$ status = 'processing' $$), 'done', 'forward is fine');

-- A task is one job's.
select tests.remember('next', tests.make_video('owner'));
select is(public.start_video_job(tests.recall('next')::uuid, 't1') ->> 'started', 'false', 'a task of another job starts none');
select is(public.update_video_job(tests.recall('next')::uuid, '{"job_id": "t2", "status": "completed", "result_url": "https://x.test/v"}', '{"of": "another"}') ->> 'changed', 'false', 'nor completes it');
select is((select provider_answer from private.video_job_work where video_job_id = tests.recall('next')::uuid), null, 'nor is what is said of it kept');
select is(tests.video(tests.recall('next')::uuid), 'pending 0%', 'nothing came of it');
select throws_ok($$ select public.start_video_job(tests.recall('next')::uuid, '') $$, 'PT400', 'invalid_request', 'a task has an id');
select throws_ok($$ select public.update_video_job(tests.recall('next')::uuid, '{"status": "completed", "result_url": "https://x.test/v"}') $$, 'PT400', 'invalid_request', 'which is named as long as it is not known');
select throws_ok($$ select public.update_video_job(tests.recall('job')::uuid, '{"status": "done"}') $$, 'PT400', 'invalid_request', 'a state is one of ours');
select throws_ok($$ select public.update_video_job(tests.recall('job')::uuid, null) $$, 'PT400', 'invalid_request', 'and told');
select throws_ok($$ select public.update_video_job(tests.recall('job')::uuid, '{"status": "processing", "progress": "x"}') $$, 'PT400', 'invalid_request', 'progress is a number');
select is(public.update_video_job(tests.recall('job')::uuid, '{"status": "processing", "progress": 180}') #>> '{job,progress}', '100', 'or what is nearest to a percentage');
select is(public.update_video_job(tests.recall('next')::uuid, '{"job_id": "t4", "status": "processing", "progress": -5}') #>> '{job,progress}', '0', 'on both ends');
select is(public.update_video_job(tests.recall('job')::uuid, '{"status": "completed", "result_url": "file:///etc/passwd"}') #>> '{job,error_code}', 'upstream_error', 'a result has a web address');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
