-- A row for each way in which a job may go: what it shows, what was paid, what the ledger, the log and the statistics tell.
begin;
select plan(48);
select tests.offer_video('veo');

create function pg_temp.step(job uuid, step text, at timestamptz) returns text
language plpgsql as $$
declare
  task text := 'task of ' || job;
  result jsonb;
begin
  return case
    when step = 'start' then public.start_video_job(job, task, at => at) ->> 'started'
    when step = 'progress' then public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'processing', 'progress', 50), at => at) ->> 'changed'
    when step = 'complete' then public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'completed', 'result_url', 'https://x.test/v'), at => at) ->> 'changed'
    when step = 'complete without file' then public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'completed'), at => at) ->> 'changed'
    when step = 'provider fails' then public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'failed', 'error_code', 'generation_failed', 'error_message', 'no'), at => at) ->> 'changed'
    when step = 'provider cancels' then public.update_video_job(job, jsonb_build_object('job_id', task, 'status', 'canceled'), at => at) ->> 'changed'
    when step = 'missing' then public.note_video_task_missing(job, at) ->> 'failed'
    when step = 'cancel' then public.cancel_video_job(job, true, at => at) ->> 'canceled'
    when step = 'ask to cancel' then public.cancel_video_job(job, false, at => at) ->> 'canceled'
    when step = 'goes on' then public.cancel_video_job(job, false, true, at) ->> 'canceled'
    when step = 'sweep' then public.sync_video_jobs(at => at) ->> 'ended'
    when step = 'due work' then private.end_next_overdue_video_job(at)::text
    when step like 'answers %' then public.fail_video_job(job, split_part(step, ' ', 2), 'Words.', true, at) ->> 'failed'
    else public.fail_video_job(job, step, 'Words.', at => at) ->> 'failed' end;
end;
$$;

-- 'minutes step, minutes step, …' and what came of each step, the job, the wallet, the ledger, the log and the day's counts.
create function pg_temp.story(name text, steps text) returns text
language plpgsql as $$
declare
  job uuid;
  step text;
  answers text[] := '{}';
  begun timestamptz := now() - interval '10 hours';
begin
  perform tests.create_guest(name), public.credit_user_credits_transaction(tests.id(name), 25, 'purchase');
  job := tests.make_video(name, at => begun, request_id => name);
  foreach step in array string_to_array(steps, ', ') loop
    answers := answers || left(pg_temp.step(job, regexp_replace(step, '^\d+ ', ''), begun + make_interval(mins => split_part(step, ' ', 1)::integer)), 1);
  end loop;
  return concat_ws(' | ', array_to_string(answers, ''), (select concat_ws(' ', j.status, j.error_code) from public.video_jobs j where j.id = job),
    (select trim_scale(w.credits_balance) || ' left, spent ' || trim_scale(w.credits_spent) from public.credit_wallets w where w.workspace_id = tests.id(name)),
    tests.grants(name), replace(tests.ledger(name), 'credit 25 purchase, debit -20 generation', '…'), tests.video_log(job),
    (select concat_ws(' ', total_requests, success_requests, failed_requests, canceled_requests, refused_requests, trim_scale(credits))
      from public.ai_usage_statistics s where s.workspace_id = tests.id(name)));
end;
$$;

create temporary table endings (position serial, name text, steps text, outcome text);
insert into endings (name, steps, outcome) values
  ('completed', '1 start, 2 progress, 3 complete', 'ttt | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('completed before the answer', '1 complete, 2 start', 'tf | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('completed twice', '1 start, 2 complete, 2 complete', 'ttf | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('completed, then all else', '1 start, 2 complete, 3 provider fails, 3 cancel, 3 ask to cancel, 4 missing, 4 missing, 4 missing, 5 timed_out, 200 due work',
    'ttffffffff | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('completed in the last hour', '1 start, 80 complete', 'tt | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('completed without a file', '1 start, 2 complete without file', 'tt | failed upstream_error | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free upstream_error | 1 0 1 0 0 0'),
  ('refused by the provider', '1 invalid_request', 't | failed invalid_request | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free invalid_request | 1 0 1 0 0 0'),
  ('denied', '1 content_policy_violation', 't | failed content_policy_violation | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | refused 0 0 free content_policy_violation | 1 0 0 0 1 0'),
  ('denied by the provider as it was asked', '1 answers content_policy_violation', 't | failed content_policy_violation | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free content_policy_violation | 1 0 1 0 0 0'),
  ('denied by the provider', '1 start, 2 content_policy_violation', 'tt | failed content_policy_violation | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free content_policy_violation | 1 0 1 0 0 0'),
  ('failed at once', '1 provider fails, 2 start', 'tf | failed generation_failed | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free generation_failed | 1 0 1 0 0 0'),
  ('failed late', '1 start, 2 progress, 3 provider fails', 'ttt | failed generation_failed | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free generation_failed | 1 0 1 0 0 0'),
  ('failed twice', '1 start, 2 provider fails, 2 provider fails, 3 timed_out', 'ttff | failed generation_failed | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free generation_failed | 1 0 1 0 0 0'),
  ('completed after the refund', '1 start, 2 timed_out, 3 complete', 'ttf | failed timed_out | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free timed_out | 1 0 1 0 0 0'),
  ('lost', '1 start, 2 missing, 3 missing, 4 missing', 'tfft | failed task_lost | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free task_lost | 1 0 1 0 0 0'),
  ('finished while it is canceled', '1 start, 2 ask to cancel, 3 complete, 4 progress, 4 cancel, 5 complete', 'tffttf | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  ('failed while it is canceled', '1 start, 2 ask to cancel, 3 provider fails, 3 cancel', 'tftf | failed generation_failed | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free generation_failed | 1 0 1 0 0 0'),
  ('finished, not canceled', '1 start, 2 ask to cancel, 2 complete, 2 goes on, 2 complete', 'tffft | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('finished when nobody waits for the cancellation', '1 start, 2 ask to cancel, 5 complete', 'tft | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('never told of', '29 sweep, 30 sweep', '01 | failed submission_lost | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free submission_lost | 1 0 1 0 0 0'),
  ('never told of, with due work alone', '29 due work, 31 due work, 31 due work', 'ftf | failed submission_lost | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free submission_lost | 1 0 1 0 0 0'),
  ('never asked about', '1 start, 31 due work, 89 due work, 90 due work', 'tfft | failed timed_out | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | failed 0 0 free timed_out | 1 0 1 0 0 0'),
  ('canceled before it began', '1 cancel, 2 start', 'tf | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  ('canceled while it was submitted', '1 ask to cancel, 2 ask to cancel, 9 sweep, 10 sweep, 11 sweep', 'ff010 | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  ('asked to cancel and taken', '1 ask to cancel, 2 start, 11 sweep, 12 complete', 'ft0t | completed | 5 left, spent 20 | 5 of 25 purchase | … | success 20 0 free | 1 1 0 0 0 20'),
  ('canceled after it began', '1 start, 2 cancel, 2 cancel', 'ttf | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  ('canceled by the provider', '1 start, 2 provider cancels', 'tt | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  ('completed after the cancel', '1 start, 2 cancel, 3 complete', 'ttf | canceled | 25 left, spent 0 | 25 of 25 purchase | …, refund 20 refund | canceled 0 0 free | 1 0 0 1 0 0'),
  -- These two stay unfinished: before the others, due work could end them instead.
  ('not known for a moment', '1 start, 2 missing, 2 missing, 2 missing, 3 missing', 'tffff | processing | 5 left, spent 20 | 5 of 25 purchase | …'),
  ('found again', '1 start, 2 missing, 3 missing, 4 progress, 5 missing', 'tfftf | processing | 5 left, spent 20 | 5 of 25 purchase | …');
select is(pg_temp.story(e.name, e.steps), e.outcome, e.name) from (select * from endings order by position) e;

select is_empty('select * from public.verify_credits()', 'the ledger is right');
select is((select count(*) from public.video_jobs where finished_at is null), 2::bigint, 'all but two are at rest');

-- What was given back by hand is not given back again, and stops no ending.
select tests.create_guest('hand'), public.credit_user_credits_transaction(tests.id('hand'), 25, 'purchase');
select tests.remember('job', tests.make_video('hand'));
select public.refund_user_credits(tests.id('hand'), 15, 'sorry', transaction_id => tests.last_entry('hand'));
select is(public.fail_video_job(tests.recall('job')::uuid, 'upstream_error') -> 'credits_refunded', '5', 'the rest of a debit is given back');
select is(tests.wallet('hand'), 'balance 25, total 25, spent 0, expired 0, held 0', 'and no more than it took');
select tests.create_guest('free hand'), public.credit_user_credits_transaction(tests.id('free hand'), 25, 'purchase');
select tests.remember('job', tests.make_video('free hand'));
select public.refund_user_credits(tests.id('free hand'), 15, 'sorry');
select public.cancel_video_job(tests.recall('job')::uuid, false, at => '2026-01-01'), public.cancel_video_job(tests.recall('job')::uuid, false, at => '2026-01-02');
select is((select cancel_requested_at from public.video_jobs where id = tests.recall('job')::uuid), '2026-01-01'::timestamptz, 'when canceling was first asked for stays');
select is(public.fail_video_job(tests.recall('job')::uuid, 'upstream_error') -> 'credits_refunded', '5', 'nor more than was spent at all');
select is(tests.wallet('free hand'), 'balance 25, total 25, spent 0, expired 0, held 0', 'by whatever refunds');

-- A debit over two grants goes back to both; one that expired meanwhile leaves a fresh grant.
select tests.create_guest('grants'), public.credit_user_credits_transaction(tests.id('grants'), 15, 'gift', kind => 'promotion', expires_at => now() + interval '5 minutes'),
  public.credit_user_credits_transaction(tests.id('grants'), 10, 'purchase');
select tests.remember('job', tests.make_video('grants'));
select public.fail_video_job(tests.recall('job')::uuid, 'upstream_error', at => now() + interval '10 minutes');
select is(tests.grants('grants'), '0 of 15 promotion, 10 of 10 purchase, 15 of 15 refund', 'credits go back to their grants while these live');
select is_empty('select * from public.verify_credits()', 'and the ledger is right');

-- One that cannot be ended is passed over, and the work that time brings gets to the others.
select tests.create_guest('stuck'), public.credit_user_credits_transaction(tests.id('stuck'), 25, 'purchase'),
  tests.create_guest('due'), public.credit_user_credits_transaction(tests.id('due'), 25, 'purchase');
select tests.remember('stuck', tests.make_video('stuck', at => now() - interval '2 days'));
select tests.remember('due', tests.make_video('due', at => now() - interval '2 days'));
create function pg_temp.fail() returns trigger language plpgsql as $$ begin raise 'stuck'; end $$;
create trigger fail before update on public.video_jobs for each row when (old.workspace_id = md5('stuck')::uuid) execute function pg_temp.fail();
do $$ begin for piece in 1 .. 1000 loop exit when private.run_due_work() = 0; end loop; end $$;
select is(tests.video(tests.recall('due')::uuid), 'failed 0% submission_lost', 'work that time brings ends what is overdue');
select is(tests.wallet('due'), 'balance 25, total 25, spent 0, expired 0, held 0', 'and refunds it');
select is(tests.video(tests.recall('stuck')::uuid), 'pending 0%', 'one that cannot be ended stays');
select is(private.end_next_overdue_video_job(now()), false, 'and keeps nobody busy');

-- How often the provider was given a job.
create function pg_temp.attempts(steps text) returns text
language plpgsql as $$
declare
  job uuid := tests.make_video('attempts');
  step text;
  told text := '';
begin
  told := (select attempts from public.video_jobs where id = job);
  foreach step in array string_to_array(steps, ', ') loop
    perform pg_temp.step(job, step, now());
    told := told || (select attempts from public.video_jobs where id = job);
  end loop;
  return told;
end;
$$;
select tests.create_user('attempts'), tests.put_on_plan('attempts', 'enterprise'), public.credit_user_credits_transaction(tests.id('attempts'), 1000, 'purchase');
select is(pg_temp.attempts('start, progress, complete'), '0111', 'a job that the provider took was given to it once');
select is(pg_temp.attempts('complete, start'), '011', 'also where its webhook came first');
select is(pg_temp.attempts('answers invalid_request'), '01', 'and one that it refused');
select is(pg_temp.attempts('content_policy_violation'), '00', 'one that moderation denied never was');

-- Two who cancel at once: the second asks nobody, so that no refusal of his lifts the mark of the first.
select tests.create_guest('twice'), public.credit_user_credits_transaction(tests.id('twice'), 25, 'purchase');
select tests.remember('job', tests.make_video('twice'));
select public.start_video_job(tests.recall('job')::uuid, 'task twice'), public.cancel_video_job(tests.recall('job')::uuid, false);
select throws_ok($$ select public.cancel_video_job(tests.recall('job')::uuid, false) $$, 'PT409', 'invalid_state', 'a job is canceled by one at a time');

select * from finish();
rollback;
