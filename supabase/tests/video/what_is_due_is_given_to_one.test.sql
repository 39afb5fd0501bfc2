-- sync_video_jobs tells function video what to do, each piece once for a while.
begin;
select plan(37);
select tests.create_user('owner'), tests.put_on_plan('owner', 'enterprise'), public.credit_user_credits_transaction(tests.id('owner'), 1000, 'purchase');
select tests.offer_video('veo');
create function pg_temp.work(minutes numeric, most integer default 20) returns text
language sql as $$
  select concat_ws(' ', answer ->> 'ended', (select string_agg(concat_ws(' ', w ->> 'kind', coalesce(w #>> '{job,request_id}', 'a file'), case when (w ->> 'is_last')::boolean then 'last' end), ', '
    order by w #>> '{job,request_id}') from jsonb_array_elements(answer -> 'work') w))
  from public.sync_video_jobs(most, at => now() + make_interval(secs => (minutes * 60)::double precision)) answer
$$;

select tests.remember('a', tests.make_video('owner', request_id => 'a')), tests.remember('b', tests.make_video('owner', request_id => 'b'));
select is(pg_temp.work(1), '0', 'what the provider has not taken is not asked about');
select public.start_video_job(tests.recall('a')::uuid, 'a', at => now()), public.start_video_job(tests.recall('b')::uuid, 'b', at => now());
select is(pg_temp.work(0.1), '0', 'nor what it has just taken');
select is(pg_temp.work(1, 1) || ';' || pg_temp.work(1, 1), '0 fetch a;0 fetch b', 'what is due is asked about, so many at a time');
select is(pg_temp.work(1), '0', 'and by one caller at a time');
select is(pg_temp.work(2), '0 fetch a, fetch b', 'and again when nothing came of it');
select public.update_video_job(tests.recall('a')::uuid, '{"status": "processing"}', at => now() + interval '121 seconds');
select is(pg_temp.work(2.2), '0', 'what was just told is not asked about');
select is(pg_temp.work(29.9), '0 fetch a, fetch b', 'until the time limit');
select is(pg_temp.work(31), '0 fetch a last, fetch b last', 'and once more after it');
select is(pg_temp.work(90), '2', 'an hour later it is over');
select is((select string_agg(error_code, ', ') from public.video_jobs), 'timed_out, timed_out', 'whatever has become of it');
select is(tests.wallet('owner'), 'balance 1003, total 1003, spent 0, expired 0, held 0', 'and refunded');

-- In turns, and ever less often.
select tests.limit_plans('video_jobs_at_once', null);
insert into public.ai_providers (provider, api_key_env, video_api) values ('slow', 'AI_SLOW_KEY', '302ai');
select tests.offer_video('slow');
update public.ai_models set provider = 'slow' where model = 'slow';
select public.start_video_job(tests.make_video('owner', model => 'slow', request_id => 's' || n), 's' || n, at => now() - interval '1 second') from generate_series(1, 3) n;
select public.start_video_job(tests.make_video('owner', request_id => 'q' || n), 'q' || n, at => now()) from generate_series(1, 3) n;
select is(public.sync_video_jobs(10, '{copy,remove}', now() + interval '30 seconds') ->> 'work', '[]', 'only the kinds that are asked for are handed out');
select is(pg_temp.work(0.5, 1) || pg_temp.work(0.5, 1) || pg_temp.work(0.5, 1), '0 fetch s10 fetch q10 fetch s2', 'each provider has its turn, one that owes answers after others');
select is(pg_temp.work(0.5, 4), '0 fetch q2, fetch q3, fetch s3', 'and then the next');
select is((select string_agg(n::text, ' ' order by n) from generate_series(1, 29) n where pg_temp.work(n + 0.5) <> '0'), '1 3 7 15', 'of whom nothing is heard is asked ever less often');
select is(pg_temp.work(30.6), '0 fetch q1 last, fetch q2 last, fetch q3 last, fetch s1 last, fetch s2 last, fetch s3 last', 'but at the time limit');
select public.fail_video_job(id, 'upstream_error') from public.video_jobs where finished_at is null;

-- Files.
select tests.remember('early', tests.make_video('owner'));
select public.note_video_file(tests.recall('early')::uuid, format('%s/%s.mp4', tests.id('owner'), tests.recall('early')));
select is((select storage_path from public.video_jobs where id = tests.recall('early')::uuid), null, 'a job that is not completed has no file');
select public.fail_video_job(tests.recall('early')::uuid, 'upstream_error');
select public.finish_file_removal(bucket, path, next_try_at) from private.file_removals;
select tests.remember('c', tests.make_video('owner', request_id => 'c')), tests.remember('d', tests.make_video('owner', request_id => 'd')), tests.remember('e', tests.make_video('owner', request_id => 'e'));
select public.update_video_job(j.id, jsonb_build_object('job_id', j.request_id, 'status', 'completed', 'result_url', 'https://x.test/v'), at => now())
from public.video_jobs j where j.finished_at is null;
select is(pg_temp.work(0.5), '0', 'who brought the news copies the file');
select is(pg_temp.work(2.1), '0', 'for as long as one copy may take');
select is(pg_temp.work(3), '0 copy c, copy d, copy e', 'then whoever asks for work');
select is(pg_temp.work(5.1), '0', 'one at a time, for as long again');
select is(pg_temp.work(6), '0 copy c, copy d, copy e', 'and again');
select throws_ok($$ select public.note_video_file(tests.recall('c')::uuid, 'elsewhere.mp4') $$, 'PT400', 'invalid_request', 'a file belongs at its place');
select public.note_video_file(tests.recall('c')::uuid, format('%s/%s.mp4', tests.id('owner'), tests.recall('c')));
select is((select storage_path from public.video_jobs where id = tests.recall('c')::uuid), format('%s/%s.mp4', tests.id('owner'), tests.recall('c')), 'where it is noted');
select public.note_video_file(tests.recall('d')::uuid, is_kept => true, error => 'too large');
select public.note_video_file(tests.recall('e')::uuid, error => 'unreachable');
select is((select string_agg(file_error, ', ' order by file_error) from private.video_job_work), 'too large, unreachable', 'why it was not copied is kept');
select is(pg_temp.work(12), '0 copy e', 'what could not be copied is tried again');
select is(pg_temp.work(23), '0', 'ever less often');
select is((select count(*) from generate_series(1, 20) n where pg_temp.work(4 + n * 1000) <> '0'), 7::bigint, 'ten times at most');
select is((select concat_ws(' ', j.storage_path, w.result_url) from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id
  where j.id = tests.recall('e')::uuid), 'https://x.test/v', 'then it stays at the provider');

delete from public.video_jobs where id = tests.recall('c')::uuid;
select is(pg_temp.work(30000), '0 remove a file', 'a file whose job is gone is to be removed');
select is(pg_temp.work(30001), '0', 'by one caller at a time');
select is(pg_temp.work(30010), '0 remove a file', 'and again until it is');
select tests.remember('told', (select next_try_at::text from private.file_removals));
select private.remove_video_file(row(j.*)::public.video_jobs, true) from (select * from jsonb_populate_record(null::public.video_jobs,
  jsonb_build_object('id', tests.recall('c'), 'workspace_id', tests.id('owner')))) j;
select public.finish_file_removal(bucket, path, tests.recall('told')::timestamptz) from private.file_removals;
select is(pg_temp.work(30011), '0 remove a file', 'a file that came anew while it was removed is removed anew');
select public.finish_file_removal(bucket, path, next_try_at) from private.file_removals;
select is(pg_temp.work(40000), '0', 'and not after that');
delete from public.video_jobs where id = tests.recall('e')::uuid;
select is((select count(*) from private.file_removals where next_try_at <= clock_timestamp() + interval '3 minutes'), 0::bigint,
  'a file that may be on its way is waited for');
select is(pg_temp.work(50000), '0 remove a file', 'and then removed');
select is_empty('select * from public.verify_credits()', 'the ledger is right');

select * from finish();
rollback;
