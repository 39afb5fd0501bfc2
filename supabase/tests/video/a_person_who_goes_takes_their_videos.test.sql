begin;
select plan(20);
select tests.create_user('author'), tests.create_user('owner'), tests.create_team('team');
select tests.join_team('team', 'owner', 'owner'), tests.join_team('team', 'author');
select public.credit_user_credits_transaction(tests.id('owner'), 200, 'purchase', workspace_id => tests.id('team')),
  public.credit_user_credits_transaction(tests.id('author'), 100, 'purchase');
select tests.limit_plans('video_jobs_at_once', null);
select tests.offer_video('veo');
update public.workspaces set ai_log_content = 'full' where id = tests.id('team');
create function pg_temp.make(name text, workspace text, steps integer, shared boolean) returns void
language plpgsql as $$
declare
  job uuid := tests.make_video('author', workspace => make.workspace, prompt => 'secret', parameters => '{"negative_prompt": "secret"}', request_id => name,
    details => '{"ip_address": "1.2.3.4", "user_agent": "secret"}');
begin
  perform tests.remember(name, job);
  update public.video_jobs set is_shared = shared where id = job;
  if steps > 0 then
    perform public.start_video_job(job, name, '{"echo": "secret"}');
  end if;
  if steps < 0 then
    perform public.fail_video_job(job, 'upstream_error', 'some words');
  elsif steps > 1 then
    perform public.update_video_job(job, '{"status": "completed", "result_url": "https://x.test/secret"}', '{"echo": "secret"}');
  end if;
  if steps = 2 then
    perform public.note_video_file(job, format('%s/%s.mp4', tests.id(workspace), job));
  end if;
end;
$$;
select pg_temp.make('own', 'author', 2, true), pg_temp.make('unshared', 'team', 2, false), pg_temp.make('shared', 'team', 2, true), pg_temp.make('running', 'team', 1, false),
  pg_temp.make('completing', 'team', 1, false), pg_temp.make('running_shared', 'team', 1, true), pg_temp.make('pending', 'team', 0, false),
  pg_temp.make('failed', 'team', -1, false), pg_temp.make('uncopied', 'team', 3, false);
select lives_ok($$ delete from auth.users where id = md5('author')::uuid $$, 'an account with jobs of all kinds can be deleted');

select is((select count(*) from public.video_jobs where id = tests.recall('own')::uuid), 0::bigint, 'their own jobs are gone');
select results_eq($$ select path from private.file_removals order by path $$,
  $$ select unnest(array[format('%s/%s.mp4', tests.id('author'), tests.recall('own')), format('%s/%s.mp4', tests.id('team'), tests.recall('unshared')),
    format('%s/%s.mp4', tests.id('team'), tests.recall('uncopied'))]) order by 1 $$,
  'files of those, and of what was not shared, are to be removed');
select is((select concat_ws(' ', user_id, quote_literal(prompt), storage_path, parameters, cost_credits::integer, status) from public.video_jobs where id = tests.recall('unshared')::uuid),
  $$'' {} 20 completed$$, 'what was not shared is figures');
select is((select prompt from public.video_jobs where id = tests.recall('shared')::uuid), 'secret', 'what was shared stays');
select is((select count(*) from private.ai_usage_logs c where c.attempts::text like '%some words%'), 0::bigint, 'what the provider said of a failure goes');
select is((select is_file_due from private.video_job_work where video_job_id = tests.recall('uncopied')::uuid), false, 'and no file is copied any more');
select is((select count(*) from private.video_job_work w join public.video_jobs j on j.id = w.video_job_id where not j.is_shared and (w.*::text like '%secret%' or w.*::text like '%1.2.3.4%')), 0::bigint,
  'nothing of the rest is kept elsewhere');
select is((select count(*) from private.video_job_work where details ?| array['ip_address', 'user_agent']), 0::bigint, 'nor from where it was asked');
select is(public.fail_video_job(tests.recall('running')::uuid, 'upstream_error', 'secret') #>> '{credits_refunded}', '20', 'a job that ran is refunded to the team');
select is((select count(*) from private.ai_usage_logs c where c.attempts::text like '%secret%'), 0::bigint, 'without words');
select is(public.cancel_video_job(tests.recall('pending')::uuid, true) #>> '{credits_refunded}', '20', 'one that was pending too');
select public.update_video_job(tests.recall('completing')::uuid, '{"status": "completed", "result_url": "https://x.test/secret"}', '{"echo": "secret"}');
select is((select concat_ws(' ', j.status, w.result_url, w.is_file_due, w.provider_answer) from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id where j.id = tests.recall('completing')::uuid),
  'completed f', 'one that is completed later has no result for anyone');
select public.update_video_job(tests.recall('running_shared')::uuid, '{"status": "completed", "result_url": "https://x.test/v"}', '{"echo": "x"}');
select is((select concat_ws(' ', j.status, w.result_url, w.is_file_due) from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id where j.id = tests.recall('running_shared')::uuid),
  'completed https://x.test/v t', 'one that is shared has');
select is((select count(*) from public.ai_usage_logs l where l.workspace_id = tests.id('team') and l.user_id is null and l.scene = 'video_generation'), 8::bigint, 'all are logged, without the person');
select is((select count(*) from public.ai_usage_logs l where l.workspace_id = tests.id('team') and (l::text like '%secret%' or l.ip_address is not null)), 0::bigint, 'or their words');

-- A file that was being copied while its person went.
select public.finish_file_removal(bucket, path, next_try_at) from private.file_removals;
select public.note_video_file(tests.recall('completing')::uuid, format('%s/%s.mp4', tests.id('team'), tests.recall('completing')));
select is((select storage_path from public.video_jobs where id = tests.recall('completing')::uuid), null, 'a copy that comes too late is no job''s');
select is((select path from private.file_removals), format('%s/%s.mp4', tests.id('team'), tests.recall('completing')), 'and removed');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

delete from public.workspaces where id = tests.id('team');
select is((select count(*) from private.file_removals), 5::bigint, 'a workspace that is deleted leaves its files to be removed');

select * from finish();
rollback;
