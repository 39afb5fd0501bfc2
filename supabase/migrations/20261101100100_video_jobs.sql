-- Video jobs: charged when they are made, finished once, refunded once.
-- Function, webhook, poll, cancel and sweep may all bring news of one job, late and twice. Each takes the wallet's lock
-- and then reads the job; the first that ends it has the only say.

create type public.video_job_status as enum ('pending', 'processing', 'completed', 'failed', 'canceled');
comment on type public.video_job_status is
  'State of a video job: pending until the provider has taken it. It only moves forward; the last three are final.';

create table public.video_jobs (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces on delete cascade,
  user_id uuid references public.users on delete set null,
  status public.video_job_status not null default 'pending',
  model text not null,
  prompt text not null,
  image_url public.web_address,
  has_image boolean not null default false,
  parameters jsonb not null default '{}',
  cost_credits public.unsigned_credit_amount not null,
  progress smallint not null default 0 constraint progress_is_a_percentage check (progress between 0 and 100),
  storage_path text,
  is_shared boolean not null default false,
  error_code text,
  error_message text,
  attempts integer not null default 0,
  cancel_requested_at timestamptz,
  request_id text,
  created_at timestamptz not null default clock_timestamp(),
  submitted_at timestamptz,
  finished_at timestamptz,
  expires_at timestamptz not null,
  updated_at timestamptz not null default clock_timestamp(),
  constraint a_final_job_has_its_time
    check ((finished_at is not null) = (status in ('completed', 'failed', 'canceled')))
);
comment on table public.video_jobs is 'Videos that were asked for, and what became of them.';
comment on column public.video_jobs.user_id is 'Who asked for it; null when the person is gone.';
comment on column public.video_jobs.prompt is 'What was asked for; empty when its person is gone and never shared it.';
comment on column public.video_jobs.image_url is 'The picture it begins with, where one was given by address.';
comment on column public.video_jobs.has_image is 'Whether it begins with a picture.';
comment on column public.video_jobs.parameters is
  'duration (seconds), resolution, aspect_ratio, negative_prompt; defaults filled in.';
comment on column public.video_jobs.cost_credits is
  'What was charged when it was made; given back unless it is completed.';
comment on column public.video_jobs.storage_path is
  'Its copy in the bucket videos: <workspace>/<job>.mp4; null while there is none.';
comment on column public.video_jobs.is_shared is
  'Whether everyone in the workspace may see it; for its person to decide.';
comment on column public.video_jobs.error_code is
  'Why it failed: a code of this API, submission_lost, task_lost or timed_out.';
comment on column public.video_jobs.error_message is 'The same in a sentence of this API.';
comment on column public.video_jobs.attempts is
  'How often the provider is known to have been given it: 0 where it never answered, or was not asked.';
comment on column public.video_jobs.cancel_requested_at is
  'When canceling was asked for before the provider had the job.';
comment on column public.video_jobs.request_id is
  'The id that the answer carried as x-request-id; its log row has it too.';
comment on column public.video_jobs.expires_at is 'When it is given up and refunded, if nothing is heard.';
create index video_jobs_workspace_id_created_at_idx on public.video_jobs (workspace_id, created_at);
create index video_jobs_user_id_idx on public.video_jobs (user_id);
create index video_jobs_unfinished_idx on public.video_jobs (workspace_id, expires_at)
  where status in ('pending', 'processing');
create unique index video_jobs_storage_path_idx on public.video_jobs (storage_path) where storage_path is not null;

create table private.video_job_work (
  video_job_id uuid primary key references public.video_jobs on delete cascade,
  provider text not null references public.ai_providers,
  job_id text,
  result_url text,
  api_key_id uuid,
  debit_id bigint,
  next_sync_at timestamptz not null,
  fetches_in_vain integer not null default 0,
  canceling_at timestamptz,
  misses integer not null default 0,
  missed_at timestamptz,
  copy_attempts integer not null default 0,
  is_file_due boolean not null default false,
  file_error text,
  terms jsonb not null,
  details jsonb not null,
  provider_answer jsonb,
  constraint a_task_of_a_provider_is_one_job unique (provider, job_id)
);
comment on table private.video_job_work is 'What the work on a video job needs and its readers are not to see.';
comment on column private.video_job_work.job_id is
  'The provider''s id of the task; null until it is known, and never changed.';
comment on column private.video_job_work.result_url is 'Where the provider keeps the file, for as long as it does.';
comment on column private.video_job_work.debit_id is 'The entry that charged it; null where it costs nothing.';
comment on column private.video_job_work.next_sync_at is 'When to ask the provider, or copy the file, again.';
comment on column private.video_job_work.fetches_in_vain is
  'How often in a row it was handed out to be asked about and nothing was heard.';
comment on column private.video_job_work.canceling_at is
  'When the provider was asked to cancel it, while the answer is awaited.';
comment on column private.video_job_work.misses is 'How often in a row the provider did not know the task.';
comment on column private.video_job_work.missed_at is 'When that was last counted.';
comment on column private.video_job_work.is_file_due is 'Whether its file is still to be copied to Storage.';
comment on column private.video_job_work.terms is 'Price and model as they were when it was made.';
comment on column private.video_job_work.details is 'Columns of its log row that were known when it was made.';
comment on column private.video_job_work.provider_answer is
  'What the provider last said: 16 KiB of it, without our webhook''s token.';
create index video_job_work_file_due_idx on private.video_job_work (next_sync_at) where is_file_due;

create table private.file_removals (
  bucket text not null,
  path text not null,
  next_try_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (bucket, path)
);
comment on table private.file_removals is
  'Files in buckets whose row is gone, or its person: function video removes them.';
create index file_removals_next_try_at_idx on private.file_removals (next_try_at);

-- Has function video remove a file, not before it is due; asking again puts that off.
create function private.remove_file(bucket text, path text, due timestamptz) returns void
language sql set search_path = '' as $$
  insert into private.file_removals (bucket, path, next_try_at) values (bucket, path, due)
  -- Whoever removes it by now may have been too early.
  on conflict on constraint file_removals_pkey do update set next_try_at = excluded.next_try_at
$$;

insert into private.secrets (name, value) values ('video_webhook_key', extensions.gen_random_bytes(32));

-- A token that only this project can make.
create function private.video_token(about text) returns text language plpgsql stable set search_path = '' as $$
begin
  return (select encode(extensions.hmac(convert_to(about, 'UTF8'), s.value, 'sha256'), 'hex')
    from private.secrets s where s.name = 'video_webhook_key');
end;
$$;

-- Whether a token is the one that video_token makes.
create function private.is_video_token(about text, token text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  -- Of both the hash, so that how long a comparison takes tells nothing.
  return sha256(convert_to(coalesce(token, ''), 'UTF8')) = sha256(convert_to(private.video_token(about), 'UTF8'));
end;
$$;

-- Where the copy of a job's file is, or would be.
create function private.video_path_of(job public.video_jobs) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return job.workspace_id::text || '/' || job.id::text || '.mp4';
end;
$$;

-- Whether a job's person is gone and nobody else may see it: figures alone are kept.
create function private.is_forgotten(job public.video_jobs) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return job.user_id is null and not job.is_shared;
end;
$$;

-- Has the copy of a job's file removed, if there is one: at once where it is_here, else when none can be under way
-- any more.
create function private.remove_video_file(job public.video_jobs, is_here boolean) returns void
language sql set search_path = '' as $$
  -- A copy that is under way may still come, and its function may be killed before it can say so: that is waited for.
  select private.remove_file('videos', private.video_path_of(job),
    clock_timestamp() + interval '5 minutes' * (not is_here)::integer)
$$;

-- What may change of a job --------------------------------------------------------------------------------------------

-- Has the state of a job move forward only, whoever writes it, and what it is and costs stay.
create function private.guard_video_job() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if (new.workspace_id, new.model, new.cost_credits, new.created_at)
      is distinct from (old.workspace_id, old.model, old.cost_credits, old.created_at)
    or old.user_id is distinct from new.user_id and new.user_id is not null
    or old.finished_at is distinct from new.finished_at and old.finished_at is not null
    or old.status <> new.status and (old.status, new.status) not in (
      ('pending', 'processing'), ('pending', 'completed'), ('pending', 'failed'), ('pending', 'canceled'),
      ('processing', 'completed'), ('processing', 'failed'), ('processing', 'canceled')
    ) then
    perform private.raise_error('invalid_state',
      format('Video job %s is %s; a job only moves forward.', old.id, old.status));
  end if;
  return new;
end;
$$;
create trigger video_jobs_keep before update on public.video_jobs
  for each row execute function private.guard_video_job();

-- When a person is deleted, a team keeps what they shared, and of the rest the figures.
create function private.forget_video_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update private.video_job_work w set details = w.details - array['ip_address', 'user_agent'],
    provider_answer = case when new.is_shared then w.provider_answer end,
    result_url = case when new.is_shared then w.result_url end,
    is_file_due = w.is_file_due and new.is_shared
  where w.video_job_id = new.id;
  if not new.is_shared then
    if new.status = 'completed' then
      perform private.remove_video_file(new, new.storage_path is not null);
    end if;
    new.prompt := '';
    new.image_url := null;
    new.storage_path := null;
    new.parameters := '{}';
  end if;
  return new;
end;
$$;
create trigger video_jobs_forget_person before update of user_id on public.video_jobs
  for each row when (old.user_id is not null and new.user_id is null)
  execute function private.forget_video_person();

-- Has the file go with its job, as when a workspace is deleted.
create function private.remove_file_of_video_job() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform private.remove_video_file(old, old.storage_path is not null);
  return null;
end;
$$;
create trigger video_jobs_remove_file after delete on public.video_jobs
  for each row when (old.status = 'completed')
  execute function private.remove_file_of_video_job();
create trigger video_jobs_set_updated_at before update on public.video_jobs
  for each row execute function private.set_updated_at();

-- A job that has not ended counts to the calls that its plan allows.
create function private.sync_job_under_way() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into private.jobs_under_way (job_id, workspace_id) values (new.id, new.workspace_id);
  elsif tg_op = 'DELETE' or new.finished_at is not null then
    delete from private.jobs_under_way j where j.job_id = old.id;
  end if;
  return null;
end;
$$;
create trigger video_jobs_keep_under_way after insert or update of finished_at or delete on public.video_jobs
  for each row execute function private.sync_job_under_way();

-- What the function is told -------------------------------------------------------------------------------------------

-- A job as the function video is told it: its row, and in task what is not for its readers. file_link: where below
-- /video/files its file can be read for an hour, by whoever has the link: job, end (Unix time) and token.
create function private.video_job_json(job public.video_jobs) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  link text := format('%s/%s', job.id, ceil(extract(epoch from clock_timestamp()))::bigint + 3600);
begin
  return (
    select to_jsonb(job) || jsonb_build_object('cost_credits', trim_scale(job.cost_credits), 'task', jsonb_build_object(
      'provider', w.provider, 'job_id', w.job_id, 'result_url', w.result_url,
      'file_link', case when job.storage_path is null and w.result_url is not null
        then link || '/' || private.video_token(link) end))
    from private.video_job_work w where w.video_job_id = job.id
  );
end;
$$;

-- How a job's provider is spoken to, and where its file may come from and go.
create function private.video_submission(job public.video_jobs) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_build_object('provider', p.provider, 'api', p.video_api, 'base_url', p.video_base_url,
      'provider_base_url', p.base_url, 'api_key_env', p.api_key_env, 'timeout_ms', p.timeout_ms,
      'result_hosts', p.result_hosts, 'upstream_model', w.terms -> 'upstream_model', 'parameters', job.parameters,
      -- The provider is told it, and nobody else can make it up.
      'webhook_token', private.video_token(job.id::text), 'storage_path', private.video_path_of(job),
      'max_video_bytes', private.config_numeric('max_video_bytes', 52428800))
    from public.ai_providers p, private.video_job_work w
    where p.provider = w.provider and w.video_job_id = job.id
  );
end;
$$;

-- A job, under the lock of the wallet that paid for it.
create function private.lock_video_job(wanted_job uuid, at timestamptz) returns public.video_jobs
language plpgsql set search_path = '' as $$
declare
  job public.video_jobs;
begin
  perform private.require_valid(at);
  select * into job from public.video_jobs j where j.id = wanted_job;
  if found then
    perform private.lock_wallet(job.workspace_id, at);
    select * into job from public.video_jobs j where j.id = wanted_job for no key update;
  end if;
  if not found then
    perform private.raise_error('not_found', format('There is no video job %s.', coalesce(wanted_job::text, 'null')));
  end if;
  return job;
end;
$$;

-- The end -------------------------------------------------------------------------------------------------------------

-- Gives back what a job cost, to its grants and its key.
create function private.refund_video_job(
  job public.video_jobs, work private.video_job_work, code text, at timestamptz
) returns numeric language plpgsql set search_path = '' as $$
declare
  wallet public.credit_wallets;
  returned numeric;
begin
  if work.debit_id is null then
    return 0;
  end if;
  select * into wallet from public.credit_wallets w where w.workspace_id = job.workspace_id;
  -- Less what was given back of it by hand: a job ends whatever else was done to its entry.
  select least(greatest(wallet.credits_spent, 0), job.cost_credits - coalesce(sum(t.amount), 0)) into returned
  from public.credit_transactions t where t.refunded_transaction_id = work.debit_id;
  if returned <= 0 then
    return 0;
  end if;
  perform private.post_refund(wallet, job.user_id, returned, 'refund', jsonb_build_object('video_job_id', job.id,
    'model', job.model, 'request_id', job.request_id, 'error_code', code), null, null, work.debit_id, at);
  return trim_scale(returned);
end;
$$;

-- What the log keeps of a job, as its workspace wants it: what was asked for and, for the service role alone, who
-- was asked and what they said of its failure.
create function private.video_log_facts(job public.video_jobs, work private.video_job_work, said text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  content public.ai_log_content;
begin
  select w.ai_log_content into content from public.workspaces w where w.id = job.workspace_id;
  return work.details || jsonb_build_object('request_data', case content
      when 'metadata' then job.parameters - 'negative_prompt' || jsonb_build_object('has_image', job.has_image)
      when 'full' then job.parameters
        || jsonb_build_object('prompt', job.prompt, 'image_url', job.image_url, 'has_image', job.has_image) end,
    'attempts', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('provider', work.provider, 'job_id', work.job_id,
      'error', job.error_code,
      'said', case when content <> 'none' and not private.is_forgotten(job) then left(said, 1000) end))));
end;
$$;

-- Ends a locked job that has not ended: refunds it unless it is completed, logs it. Called once a job; said: the
-- provider's words.
create function private.end_video_job(
  job public.video_jobs, ending public.video_job_status, code text, said text, at timestamptz
) returns jsonb language plpgsql set search_path = '' as $$
declare
  work private.video_job_work;
  refunded numeric := 0;
begin
  update private.video_job_work w set
    is_file_due = ending = 'completed' and not private.is_forgotten(job),
    next_sync_at = at + interval '3 minutes' -- who brings the news copies the file, in 120 s; after that the sweep does
  where w.video_job_id = job.id
  returning * into work;
  if ending <> 'completed' then
    refunded := private.refund_video_job(job, work, code, at);
  end if;
  update public.video_jobs j set status = ending, finished_at = end_video_job.at,
    submitted_at = job.submitted_at, attempts = job.attempts,
    progress = case when ending = 'completed' then 100 else job.progress end,
    -- A provider's own words may name it, its prices and its addresses.
    error_code = left(code, 100), error_message = case when ending = 'failed' then case code
      when 'content_policy_violation' then 'The request is against the content policy.'
      when 'invalid_request' then 'The video provider refused the request as invalid.'
      when 'submission_lost' then 'The video provider never confirmed that it took this job.'
      when 'task_lost' then 'The video provider does not know this job any more.'
      when 'timed_out' then 'The video was not made in time.'
      else 'The video provider failed to make the video.' end end
  where j.id = job.id
  returning * into job;
  perform private.log_ai_call(private.video_log_facts(job, work, said) || jsonb_build_object(
    'status', case
      when ending = 'completed' then 'success'
      when ending = 'canceled' then 'canceled'
      when code = 'content_policy_violation' and job.attempts = 0 then 'refused' -- it never reached the provider
      else 'failed' end,
    'scene', 'video_generation', 'model', job.model, 'served_model', case when ending = 'completed' then job.model end,
    'request_id', job.request_id, 'api_key_id', work.api_key_id, 'error_code', job.error_code,
    'error_message', job.error_message),
    job.workspace_id, job.user_id, at, job.created_at, pricing => work.terms,
    charge => case when ending = 'completed'
      then private.charge_of(work.terms, null, job.created_at, job.created_at) end,
    entry_id => case when ending = 'completed' then work.debit_id end, is_use => ending = 'completed');
  return jsonb_build_object('job', private.video_job_json(job), 'credits_refunded', refunded);
end;
$$;

create function public.fail_video_job(
  video_job_id uuid, error_code text, said text default null, was_submitted boolean default false,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(fail_video_job.video_job_id, at);
begin
  if job.finished_at is not null then
    return jsonb_build_object('job', private.video_job_json(job), 'failed', false, 'credits_refunded', 0);
  end if;
  job.attempts := greatest(job.attempts, was_submitted::integer);
  return private.end_video_job(job, 'failed', coalesce(fail_video_job.error_code, 'upstream_error'),
    fail_video_job.said, at) || '{"failed": true}';
end;
$$;
comment on function public.fail_video_job is
  'Ends a job that came to nothing and gives its credits back to the grants they came from, once: { job, failed, '
  'credits_refunded }. said: the provider''s words, for the operator; was_submitted: it is the provider that refused '
  'it. A job that has ended stays as it is.';

-- Whether a provider is canceling a job now. It may be deleting the file, so that the job's being completed does
-- not count yet.
create function private.is_being_canceled(job public.video_jobs, at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  -- Longer than a function lives: after that nobody waits for the answer any more.
  return exists (
    select from private.video_job_work w where w.video_job_id = job.id and w.canceling_at > at - interval '3 minutes'
  );
end;
$$;

create function public.cancel_video_job(
  video_job_id uuid, is_confirmed boolean, is_refused boolean default false, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(cancel_video_job.video_job_id, at);
begin
  if job.finished_at is null and is_confirmed then
    return private.end_video_job(job, 'canceled', null, null, at) || '{"canceled": true}';
  elsif job.status = 'processing' then
    -- One at a time: what the second is told says nothing of what the first brings about.
    if not is_refused and private.is_being_canceled(job, at) then
      perform private.raise_error('invalid_state', 'The provider is being asked to cancel this job already.',
        'Look at the job in a moment.');
    end if;
    update private.video_job_work w set canceling_at = case when not is_refused then at end
      where w.video_job_id = job.id;
  elsif job.finished_at is null then
    update public.video_jobs j set cancel_requested_at = coalesce(j.cancel_requested_at, cancel_video_job.at)
    where j.id = job.id returning * into job;
  end if;
  return jsonb_build_object('job', private.video_job_json(job), 'canceled', false, 'credits_refunded', 0);
end;
$$;
comment on function public.cancel_video_job is
  'Cancels a job that the provider will not finish (is_confirmed) and gives its credits back; else notes that the '
  'provider is being asked, or was and goes on (is_refused), or, where it has no task yet, that canceling was asked '
  'for: { job, canceled, credits_refunded }. A job that has ended stays as it is.';

-- News of a job -------------------------------------------------------------------------------------------------------

-- Notes what is known of a job's task, and gives the job as it is then; the caller writes that.
create function private.bind_video_task(
  job public.video_jobs, task_id text, new_progress numeric, answer jsonb, at timestamptz
) returns public.video_jobs language plpgsql set search_path = '' as $$
begin
  update private.video_job_work w set job_id = coalesce(w.job_id, task_id), misses = 0, fetches_in_vain = 0,
    next_sync_at = at + make_interval(secs => private.config_numeric('video_poll_seconds', 20)::integer),
    provider_answer = case when private.is_forgotten(job) then null
      -- Providers echo the webhook's address; a path is enough to be believed, so its token is kept nowhere.
      else coalesce(private.log_data(replace(answer::text, private.video_token(job.id::text), '…')::jsonb),
        w.provider_answer) end
  where w.video_job_id = job.id;
  job.submitted_at := coalesce(job.submitted_at, at);
  job.attempts := greatest(job.attempts, 1);
  job.status := 'processing';
  -- Some percent of providers go back; a job doesn't.
  job.progress := greatest(job.progress, least(greatest(new_progress, 0), 100));
  return job;
end;
$$;

create function public.start_video_job(
  video_job_id uuid, job_id text, answer jsonb default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(start_video_job.video_job_id, at);
  known text := (select w.job_id from private.video_job_work w where w.video_job_id = job.id);
begin
  if start_video_job.job_id is null or length(start_video_job.job_id) not between 1 and 200 then
    perform private.raise_error('invalid_request', 'job_id must have 1 to 200 characters.');
  end if;
  if job.finished_at is not null or known <> start_video_job.job_id then
    return jsonb_build_object('job', private.video_job_json(job), 'started', false);
  end if;
  begin
    job := private.bind_video_task(job, start_video_job.job_id, 0, answer, at);
    update public.video_jobs j set status = job.status, submitted_at = job.submitted_at, attempts = job.attempts
    where j.id = job.id returning * into job;
  exception when unique_violation then -- it is another job's
    return jsonb_build_object('job', private.video_job_json(job), 'started', false);
  end;
  return jsonb_build_object('job', private.video_job_json(job), 'started', true);
end;
$$;
comment on function public.start_video_job is
  'The provider has taken a job as its task job_id: { job, started }. Nothing changes (started is false) where the job '
  'has ended or has another task.';

-- Writes what the provider says of a job that has not ended.
create function private.apply_video_task(job public.video_jobs, task jsonb, at timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  told text := task ->> 'status';
begin
  if told = 'processing' then
    if task ->> 'unknown_status' is not null then
      -- Not once a word: a provider could have ever new ones.
      perform private.notify_admins('video_status_unknown', format('%s %s', (
          select w.provider from private.video_job_work w where w.video_job_id = job.id
        ), (at at time zone 'UTC')::date),
        jsonb_build_object('video_job_id', job.id, 'status', left(task ->> 'unknown_status', 40)));
    end if;
    update public.video_jobs j set status = job.status, submitted_at = job.submitted_at, attempts = job.attempts,
      progress = job.progress
    where j.id = job.id returning * into job;
    return jsonb_build_object('job', private.video_job_json(job), 'credits_refunded', 0);
  elsif told = 'completed' and task ->> 'result_url' ~ '^https?://' and length(task ->> 'result_url') <= 8192 then
    update private.video_job_work w set result_url = task ->> 'result_url'
    where w.video_job_id = job.id and not private.is_forgotten(job);
    return private.end_video_job(job, 'completed', null, null, at);
  elsif told = 'completed' then
    return private.end_video_job(job, 'failed', 'upstream_error', 'completed without a file', at);
  elsif told = 'canceled' then
    return private.end_video_job(job, 'canceled', null, null, at);
  end if;
  return private.end_video_job(job, 'failed', coalesce(task ->> 'error_code', 'upstream_error'), task ->> 'said', at);
end;
$$;

create function public.update_video_job(
  video_job_id uuid, task jsonb, answer jsonb default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(update_video_job.video_job_id, at);
  known text := (select w.job_id from private.video_job_work w where w.video_job_id = job.id);
  task_id text := task ->> 'job_id';
  result jsonb;
begin
  if task ->> 'status' in ('processing', 'completed', 'failed', 'canceled') is not true
    or length(coalesce(task_id, known)) between 1 and 200 is not true
    or jsonb_typeof(coalesce(task -> 'progress', 'null')) not in ('number', 'null') then
    perform private.raise_error('invalid_request',
      'task must be { job_id, status: processing, completed, failed or canceled, progress, result_url, error_code, '
      'said }.');
  end if;
  if job.finished_at is null and task ->> 'status' = 'completed' and private.is_being_canceled(job, at) then
    result := null; -- the provider is asked again
  elsif job.finished_at is null and (task_id <> known) is not true then
    begin
      result := private.apply_video_task(
        private.bind_video_task(job, task_id, (task ->> 'progress')::numeric, answer, at), task, at);
    exception when unique_violation then
      result := null; -- the task is another job's
    end;
  end if;
  if result is null then
    return jsonb_build_object('job', private.video_job_json(job), 'changed', false, 'credits_refunded', 0);
  end if;
  return result || jsonb_build_object('changed',
    (result #>> '{job,status}', (result #>> '{job,progress}')::smallint) is distinct
      from (job.status::text, job.progress));
end;
$$;
comment on function public.update_video_job is
  'Applies what the provider says of a job''s task: { job, changed, credits_refunded }. Completed without a result is '
  'a failure; a job that has ended, has another task, or is completed while the provider cancels it, stays as it is.';

create function public.note_video_task_missing(
  video_job_id uuid, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(note_video_task_missing.video_job_id, at);
  missed integer;
  pause interval := make_interval(secs => private.config_numeric('video_poll_seconds', 20)::integer);
begin
  if job.finished_at is null then
    update private.video_job_work w set next_sync_at = at + pause, fetches_in_vain = 0
    where w.video_job_id = job.id;
    -- Webhooks that ring at once are one look, not several.
    update private.video_job_work w set misses = w.misses + 1, missed_at = at
    where w.video_job_id = job.id and (w.misses = 0 or w.missed_at <= at - pause)
    returning w.misses into missed;
    if missed >= 3 then
      return private.end_video_job(job, 'failed', 'task_lost', null, at)
        || '{"failed": true}';
    end if;
  end if;
  return jsonb_build_object('job', private.video_job_json(job), 'failed', false, 'credits_refunded', 0);
end;
$$;
comment on function public.note_video_task_missing is
  'The provider does not know a job''s task; the third time in a row, each a poll''s time after the one before, '
  'the job fails: { job, failed, credits_refunded }.';

create function public.note_video_file(
  video_job_id uuid, storage_path text default null, is_kept boolean default false, error text default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(note_video_file.video_job_id, at);
begin
  if note_video_file.storage_path <> private.video_path_of(job) then
    perform private.raise_error('invalid_request',
      format('The file of this job belongs at %s.', private.video_path_of(job)));
  elsif note_video_file.storage_path is not null and (private.is_forgotten(job) or job.status <> 'completed') then
    perform private.remove_video_file(job, true); -- its person went while it was copied
  elsif note_video_file.storage_path is not null then
    update public.video_jobs j set storage_path = note_video_file.storage_path where j.id = job.id returning * into job;
  end if;
  update private.video_job_work w set file_error = left(error, 1000),
    is_file_due = w.is_file_due and not is_kept and note_video_file.storage_path is null
  where w.video_job_id = job.id;
  return jsonb_build_object('job', private.video_job_json(job));
end;
$$;
comment on function public.note_video_file is
  'A completed job''s file was copied (storage_path), stays at the provider (is_kept), '
  'or could not be copied now (error alone): { job }.';

create function public.finish_file_removal(bucket text, path text, next_try_at timestamptz) returns void
language sql security definer set search_path = '' as $$
  delete from private.file_removals r
  where (r.bucket, r.path, r.next_try_at)
    = (finish_file_removal.bucket, finish_file_removal.path, finish_file_removal.next_try_at)
$$;
comment on function public.finish_file_removal is
  'A file that sync_video_jobs told to remove is gone; next_try_at as it was told: where the file came anew meanwhile, '
  'it is removed anew.';

-- A new job -----------------------------------------------------------------------------------------------------------

-- Why a model cannot be asked for this, if so.
create function private.refuse_video_parameters(
  asked public.video_models, job public.video_jobs, image_url text
) returns private.ai_refusal language plpgsql stable set search_path = '' as $$
declare
  wrong record;
  unknown text := (
    select k from jsonb_object_keys(job.parameters) k
    where k not in ('duration', 'resolution', 'aspect_ratio', 'negative_prompt') order by k limit 1);
begin
  if image_url !~ '^https://' or length(image_url) > 2048 then
    return row('invalid_request', 'image must be an https URL of at most 2048 characters, or a data URL.', 'image',
      null)::private.ai_refusal;
  elsif unknown is not null then
    return row('invalid_request', format('There is no parameter %s.', to_json(unknown)), left(unknown, 100),
      null)::private.ai_refusal;
  elsif job.prompt !~ '\S' or job.prompt is null or length(job.prompt) > asked.max_prompt_characters then
    return row('invalid_request', format('prompt must have 1 to %s characters.', asked.max_prompt_characters), 'prompt',
      null)::private.ai_refusal;
  elsif job.has_image and not asked.takes_image then
    return row('invalid_request', 'This model takes no image.', 'image', null)::private.ai_refusal;
  elsif asked.needs_image and not job.has_image then
    return row('invalid_request', 'This model needs an image.', 'image', null)::private.ai_refusal;
  elsif jsonb_typeof(job.parameters -> 'negative_prompt') <> 'string'
    or length(job.parameters ->> 'negative_prompt') > asked.max_prompt_characters then
    return row('invalid_request', format('negative_prompt must be a text of at most %s characters.',
      asked.max_prompt_characters),
      'negative_prompt', null)::private.ai_refusal;
  end if;
  select c.param, c.choices into wrong
  from (values (1, 'duration', to_jsonb(asked.durations)), (2, 'resolution', to_jsonb(asked.resolutions)),
    (3, 'aspect_ratio', to_jsonb(asked.aspect_ratios))) c (place, param, choices)
  where job.parameters ? c.param and not c.choices @> jsonb_build_array(job.parameters -> c.param)
  order by c.place limit 1;
  if found then
    return row('invalid_request', case when wrong.choices = '[]' then format('This model takes no %s.', wrong.param)
      else format('%s must be one of %s.', wrong.param, wrong.choices) end, wrong.param, null)::private.ai_refusal;
  end if;
  return null;
end;
$$;

-- Why a job may not begin by its price and how many run, if so. Called under the wallet's lock.
create function private.refuse_video_start(
  asked private.admission, job public.video_jobs, pricing jsonb
) returns private.ai_refusal language plpgsql set search_path = '' as $$
declare
  most numeric := private.limit_in((asked.caller).features, 'video_jobs_at_once');
begin
  if pricing is null then
    perform private.notify_unpriced(job.model, job.parameters ->> 'resolution', asked.at);
    return row('invalid_request', format('This model is not available in %s.',
      coalesce(job.parameters ->> 'resolution', 'any resolution')), 'resolution', null)::private.ai_refusal;
  elsif most <= (
    select count(*) from public.video_jobs j where j.workspace_id = job.workspace_id
      and j.status in ('pending', 'processing')
  ) then
    return row('limit_reached',
      format('The plan %s allows %s at the same time. Wait until one ends, or take a larger plan.',
        ((asked.caller).plan).plan, case most when 0 then 'no video jobs' when 1 then 'one video job'
          else most || ' video jobs' end), null, 30)::private.ai_refusal;
  elsif job.cost_credits > least((asked.wallet).credits_spendable,
    private.credits_left_to(job.workspace_id, job.user_id, ((asked.caller).api_key).id, asked.at)) then
    return private.refuse_credits(asked, job.cost_credits, 'This video costs'); -- unlike a call's, its price is known
  end if;
  return null;
end;
$$;

-- Counts and charges an admitted job and puts it down as pending.
create function private.begin_video_job(
  asked private.admission, job public.video_jobs, pricing jsonb, details jsonb
) returns public.video_jobs language plpgsql set search_path = '' as $$
declare
  key_id uuid := ((asked.caller).api_key).id;
  debit_id bigint;
begin
  perform private.count_request(asked.caller, asked.counts, false, asked.at);
  insert into public.video_jobs (workspace_id, user_id, model, prompt, image_url, has_image, parameters, cost_credits,
    request_id, created_at, expires_at)
  values (job.workspace_id, job.user_id, job.model, job.prompt, job.image_url, job.has_image, job.parameters,
    job.cost_credits, job.request_id, asked.at, job.expires_at)
  returning * into job;
  if job.cost_credits > 0 then
    debit_id := (private.post_entry(job.workspace_id, job.user_id, 'debit', -job.cost_credits, 'generation', asked.at,
      entry_feature => 'video_generation', entry_metadata => jsonb_build_object('video_job_id', job.id, 'model',
        job.model, 'request_id', job.request_id), spender => key_id)).transaction_id;
  end if;
  insert into private.video_job_work (video_job_id, provider, api_key_id, debit_id, next_sync_at, terms, details)
  values (job.id, (asked.wanted).provider, key_id, debit_id, asked.at,
    pricing || jsonb_build_object('upstream_model', (asked.wanted).upstream_model), begin_video_job.details);
  return job;
end;
$$;

create function public.create_video_job(
  user_id uuid, model text, prompt text, image_url text default null, has_image boolean default false,
  parameters jsonb default '{}', request_id text default null, details jsonb default '{}',
  api_key_hash text default null, idempotency_key text default null, request_hash text default null,
  workspace_id uuid default null, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  asked private.admission := private.begin_admission('video_jobs', create_video_job.user_id, api_key_hash,
    create_video_job.workspace_id, create_video_job.model, create_video_job.request_id,
    create_video_job.idempotency_key, request_hash, details || '{"scene": "video_generation"}', at);
  offered public.video_models;
  job public.video_jobs;
  pricing jsonb;
begin
  perform private.require_valid(metadata => details, idempotency_key => create_video_job.idempotency_key);
  if asked.earlier is not null then
    -- A key goes with its job.
    delete from private.idempotent_requests r
    where r.workspace_id = (asked.caller).workspace_id and r.scope = 'video_jobs'
      and r.idempotency_key = create_video_job.idempotency_key
      and not exists (select from public.video_jobs j where j.id = (r.answer ->> 'video_job_id')::uuid);
    if not found then
      select * into job from public.video_jobs j where j.id = (asked.earlier ->> 'video_job_id')::uuid;
      return '{"created": false}'
        || case when found then jsonb_build_object('job', private.video_job_json(job)) else asked.earlier end;
    end if;
  end if;
  select * into offered from public.video_models v where v.model = (asked.wanted).model;
  job.workspace_id := (asked.caller).workspace_id;
  job.user_id := ((asked.caller).account).id;
  job.model := asked.call ->> 'model';
  job.prompt := create_video_job.prompt;
  job.has_image := coalesce(create_video_job.has_image, false) or create_video_job.image_url is not null;
  job.parameters := jsonb_strip_nulls(jsonb_build_object('duration', offered.durations[1],
    'resolution', offered.resolutions[1], 'aspect_ratio', offered.aspect_ratios[1]))
    || jsonb_strip_nulls(create_video_job.parameters);
  job.request_id := create_video_job.request_id;
  job.expires_at := asked.at + make_interval(secs => offered.time_limit_seconds);

  asked.refusal := private.refuse_request(asked,
    case when private.is_video_model(asked.wanted, asked.at) then '{}'
      when (asked.wanted).scene <> 'video_generation' then private.pricing_of(asked.wanted, asked.at) end,
    'video_generation');
  if (asked.refusal).code is null then
    asked.refusal := private.refuse_video_parameters(offered, job, create_video_job.image_url);
  end if;
  if (asked.refusal).code is null then
    job.image_url := create_video_job.image_url;
    pricing := private.pricing_of(asked.wanted, asked.at, job.parameters);
    job.cost_credits := (private.charge_of(pricing, null, asked.at, asked.at)).credits;
    asked.refusal := private.refuse_video_start(asked, job, pricing);
  end if;
  if (asked.refusal).code is not null then
    return private.refuse_ai_call(asked) - 'admitted' || '{"created": false}';
  end if;
  job := private.begin_video_job(asked, job, pricing, details);
  perform private.store_answer(job.workspace_id, 'video_jobs', create_video_job.idempotency_key,
    to_jsonb(coalesce(request_hash, '')), jsonb_build_object('video_job_id', job.id), job.user_id,
    ((asked.caller).api_key).id, job.request_id);
  return jsonb_build_object('created', true, 'job', private.video_job_json(job),
    'submission', private.video_submission(job) || jsonb_build_object('moderation', private.moderation_terms()))
    || jsonb_strip_nulls(jsonb_build_object('credits_available',
      private.spendable(job.workspace_id, job.user_id, ((asked.caller).api_key).id, asked.at)));
end;
$$;
comment on function public.create_video_job is
  'Whether a video may be made: caller, account, rate, model, parameters, jobs at once, credits. '
  'Charges it and says how to submit it; or logs and returns the refusal; or returns the job of an earlier request '
  'with the same idempotency_key. parameters: duration, resolution, aspect_ratio, negative_prompt; '
  'details are log columns (scene_description, reference_id, ip_address, user_agent).';

-- Reading and syncing -------------------------------------------------------------------------------------------------

create function public.get_video_job(
  user_id uuid, video_job_id uuid, api_key_hash text default null, workspace_id uuid default null,
  at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  caller private.ai_caller := private.ai_caller_of(get_video_job.user_id, api_key_hash, at, get_video_job.workspace_id);
  account_id uuid := (caller.account).id;
  job public.video_jobs;
  is_stale boolean;
begin
  if 'video_generation' <> all ((caller.api_key).allowed_scenes) then
    perform private.raise_error('forbidden', 'This API key is not for scene video_generation.');
  end if;
  select * into job from public.video_jobs j
  where j.id = get_video_job.video_job_id and (j.user_id = account_id or j.is_shared)
    and (j.workspace_id = caller.workspace_id or api_key_hash is null and get_video_job.workspace_id is null)
    and private.role_in(j.workspace_id, account_id) is not null;
  if not found then
    perform private.raise_error('not_found', format('There is no video job %s.', coalesce(video_job_id::text, 'null')));
  end if;
  -- The caller asks the provider how it is doing: it is time, and nobody else does.
  update private.video_job_work w
  set next_sync_at = at + make_interval(secs => private.config_numeric('video_poll_seconds', 20)::integer)
  where w.video_job_id = (
    select n.video_job_id from private.video_job_work n join public.video_jobs j on j.id = n.video_job_id
    where n.video_job_id = job.id and n.next_sync_at <= at and j.status = 'processing'
    for no key update of n skip locked
  );
  is_stale := found;
  return jsonb_build_object('job', private.video_job_json(job), 'submission', private.video_submission(job),
    'is_author', job.user_id is not distinct from account_id, 'is_stale', is_stale, 'is_last', job.expires_at <= at);
end;
$$;
comment on function public.get_video_job is
  'A job for who may read it: { job, submission, is_author, is_stale, is_last }. Where is_stale the caller is to ask '
  'the provider; where is_last too and it is still under way, to give it up.';

create function public.video_job_of_webhook(
  video_job_id uuid, token text, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs;
begin
  perform private.require_valid(at);
  select * into job from public.video_jobs j
  where j.id = video_job_of_webhook.video_job_id and private.is_video_token(j.id::text, token);
  if not found then
    perform private.raise_error('not_found', 'There is no such video job.');
  end if;
  -- Due until whoever was called has asked the provider: should that fail, the sweep does it.
  update private.video_job_work w set next_sync_at = at
  where w.video_job_id = job.id and job.finished_at is null and w.next_sync_at > at;
  return jsonb_build_object('job', private.video_job_json(job), 'submission', private.video_submission(job),
    'is_author', false, 'is_stale', job.finished_at is null, 'is_last', job.expires_at <= at);
end;
$$;
comment on function public.video_job_of_webhook is
  'The job that a webhook''s address names, as get_video_job tells it; not_found for a wrong token.';

create function public.video_job_of_file(
  video_job_id uuid, until bigint, token text, at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  job public.video_jobs;
begin
  perform private.require_valid(at);
  select * into job from public.video_jobs j
  where j.id = video_job_of_file.video_job_id and until > extract(epoch from at)
    and private.is_video_token(format('%s/%s', j.id, until), token);
  if not found then
    perform private.raise_error('not_found', 'There is no such file, or its link has expired.');
  end if;
  return jsonb_build_object('job', private.video_job_json(job), 'submission', private.video_submission(job));
end;
$$;
comment on function public.video_job_of_file is
  'The job whose file a link of task.file_link is for: { job, submission }; not_found for a wrong token, '
  'or once it has expired.';

-- How a job ends now that the provider need not be asked about: canceled, submission_lost or timed_out; null where
-- it does not.
create function private.overdue_ending(job public.video_jobs, at timestamptz) returns text
language plpgsql stable set search_path = '' as $$
begin
  if job.finished_at is not null then
    return null;
  elsif job.status = 'pending'
    and job.created_at <= at - make_interval(secs => private.config_numeric('video_submission_seconds', 600)::integer)
      then
    return case when job.cancel_requested_at is not null then 'canceled' when job.expires_at <= at
      then 'submission_lost' end;
  elsif job.expires_at <= at - interval '1 hour' then
    return 'timed_out'; -- nobody asks the provider
  end if;
  return null;
end;
$$;

-- Ends a job that is overdue; false where it is not, as it is under the lock.
create function private.end_overdue_video_job(wanted_job uuid, at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  job public.video_jobs := private.lock_video_job(wanted_job, at);
  ending text := private.overdue_ending(job, at);
begin
  if ending = 'canceled' then
    perform private.end_video_job(job, 'canceled', null, null, at);
  elsif ending is not null then
    perform private.end_video_job(job, 'failed', ending, null, at);
  end if;
  return ending is not null;
end;
$$;

-- Ends one job that nothing more is to be hoped for, and refunds it; false when there is none.
create function private.end_next_overdue_video_job(at timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  next_job uuid;
  passed_over uuid[] := array[]::uuid[];
begin
  while cardinality(passed_over) < 100 loop
    select j.id into next_job
    from public.video_jobs j join public.credit_wallets w on w.workspace_id = j.workspace_id
    where j.status in ('pending', 'processing') and (j.expires_at <= at or j.cancel_requested_at is not null)
      and private.overdue_ending(j, at) is not null and j.id <> all (passed_over)
    limit 1 for no key update of w skip locked;
    exit when not found;
    begin
      if private.end_overdue_video_job(next_job, at) then
        return true;
      end if;
    exception when others then
      raise warning 'video job % could not be ended: % (%)', next_job, sqlerrm, sqlstate;
    end;
    passed_over := passed_over || next_job;
  end loop;
  return false;
end;
$$;
insert into private.due_work (piece, place) values ('end_next_overdue_video_job', 20);

-- Jobs to ask the provider about (fetch) or whose file to copy (copy), each for one caller at a time.
create function private.lease_due_videos(kind text, most integer, at timestamptz) returns setof public.video_jobs
language plpgsql set search_path = '' as $$
begin
  return query
  with owing as (
    select n.provider, count(*) as answers
    from private.video_job_work n join public.video_jobs j on j.id = n.video_job_id
    where n.next_sync_at > at and case kind
      when 'fetch' then j.status in ('pending', 'processing') and n.fetches_in_vain > 0
      else n.is_file_due and n.copy_attempts > 0 end
    group by n.provider
  ), ranked as (
    -- In turns: a provider with many jobs, or slow ones, does not keep the others waiting.
    select n.video_job_id,
      row_number() over (partition by n.provider order by n.next_sync_at) + coalesce(o.answers, 0) as turn
    from private.video_job_work n join public.video_jobs j on j.id = n.video_job_id
      left join owing o on o.provider = n.provider
    where n.next_sync_at <= at and case kind
      when 'fetch' then j.status = 'processing'
      else j.status = 'completed' and n.is_file_due end
  ), due as (
    select n.video_job_id, j.expires_at
    from ranked r join private.video_job_work n on n.video_job_id = r.video_job_id join public.video_jobs j
      on j.id = r.video_job_id
    where n.next_sync_at <= at
    order by r.turn, n.next_sync_at limit most
    for no key update of n skip locked
  ), leased as (
    update private.video_job_work w set
      copy_attempts = w.copy_attempts + (kind = 'copy')::integer,
      -- The tenth try is the last: what cannot be copied stays where it is.
      is_file_due = w.is_file_due and w.copy_attempts < 9,
      fetches_in_vain = w.fetches_in_vain + (kind = 'fetch')::integer,
      -- What does not come is asked for ever less often, but in any case at its time limit.
      -- one may take 120 s
      next_sync_at = case kind when 'copy' then at + interval '3 minutes' * power(2, w.copy_attempts)
        else least(at + interval '1 minute' * power(2, least(w.fetches_in_vain, 4)),
          greatest(d.expires_at, at + interval '1 minute')) end
    from due d where w.video_job_id = d.video_job_id
    returning w.video_job_id
  )
  select j.* from leased l join public.video_jobs j on j.id = l.video_job_id;
end;
$$;

create function public.sync_video_jobs(
  max_jobs integer default 20, kinds text[] default '{fetch,copy,remove}', at timestamptz default clock_timestamp()
) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  most integer := least(greatest(max_jobs, 1), 100);
  ended integer := 0;
  work jsonb;
  removals jsonb;
begin
  perform private.require_valid(at);
  perform private.share_settings(); -- the jobs that it ends may be of several keys
  while ended < most and private.end_next_overdue_video_job(at) loop
    ended := ended + 1;
  end loop;
  select coalesce(jsonb_agg(jsonb_build_object('kind', k.kind, 'job', private.video_job_json(j),
    'submission', private.video_submission(j), 'is_last', j.expires_at <= at)), '[]') into work
  from (values ('fetch'), ('copy')) k (kind), private.lease_due_videos(k.kind, most, at) j
  where k.kind = any (kinds);
  with due as (
    select r.bucket, r.path from private.file_removals r where r.next_try_at <= at and 'remove' = any (kinds)
    order by r.next_try_at limit most for update skip locked
  ), leased as (
    update private.file_removals r set next_try_at = at + interval '10 minutes'
    from due d where (r.bucket, r.path) = (d.bucket, d.path) returning r.bucket, r.path, r.next_try_at
  )
  select coalesce(jsonb_agg(to_jsonb(l) || '{"kind": "remove"}'), '[]') into removals from leased l;
  return jsonb_build_object('ended', ended, 'work', work || removals);
end;
$$;
comment on function public.sync_video_jobs is
  'Ends jobs that nothing more is to be hoped for, and says what of these kinds function video is to do, '
  'each piece for one caller at a time: { ended, work: [{ kind: fetch or copy, job, submission, is_last } or { kind: '
  'remove, bucket, path, next_try_at }] }.';

grant execute on function public.create_video_job, public.start_video_job, public.update_video_job,
  public.fail_video_job,
  public.cancel_video_job, public.get_video_job, public.video_job_of_webhook, public.video_job_of_file,
    public.sync_video_jobs,
  public.note_video_task_missing, public.note_video_file, public.finish_file_removal
  to service_role, basemeter_functions;

alter table public.video_jobs enable row level security;
create policy "people can read their own video jobs, members what is shared with them" on public.video_jobs
  for select to authenticated using (workspace_id = any (array(select private.my_workspace_ids()))
    and ((select auth.uid()) = user_id or is_shared));
create policy "people can share their own video jobs" on public.video_jobs
  for update to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) and (select auth.uid()) = user_id
    and (select private.is_account_active()))
  with check ((select auth.uid()) = user_id);
grant select on public.video_jobs to authenticated, service_role;
grant update (is_shared) on public.video_jobs to authenticated;

do $$
begin
  -- As for notifications.
  if exists (
    select from pg_catalog.pg_publication p
    where p.pubname = 'supabase_realtime' and not p.puballtables and pg_has_role(p.pubowner, 'usage')
  ) then
    alter publication supabase_realtime add table public.video_jobs;
  end if;
end;
$$;
