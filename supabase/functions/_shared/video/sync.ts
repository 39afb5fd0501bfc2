/** Bringing a job up to what its provider says, whoever asks: a webhook, a reader, or the sweep. */
import { ApiError } from '../errors.ts';
import { OutcomeUnknownError } from './adapter.ts';
import { adapterTo } from './adapters.ts';
import { callRpc, isOver, type JobWork, type VideoJob } from './database.ts';
import { copyLater } from './files.ts';

/** What asking about a job came to; `told` is false where the provider could not be asked. */
export interface Sync {
  job: VideoJob;
  told: boolean;
}

/**
 * Asks the provider about a job and notes what it says. `jobId` is the task to ask for where the job does not know its own
 * yet; where there is no such task, that says nothing about the job. Throws what SQL raises.
 */
export async function syncJob({ job, submission }: JobWork, jobId?: string): Promise<Sync> {
  const id = job.task.job_id ?? jobId;
  if (id === undefined || isOver(job)) return { job, told: true };
  const found = await ask(() => adapterTo(submission, Deno.env).fetch(id), job);
  if (!found) return { job, told: false };
  if (found === 'missing') {
    if (job.task.job_id === null) return { job, told: false };
    return { job: (await callRpc('note_video_task_missing', { video_job_id: job.id })).job, told: true };
  }
  const updated = await callRpc('update_video_job', { video_job_id: job.id, ...found });
  if (updated.changed && updated.job.status === 'completed') copyLater({ job: updated.job, submission });
  return { job: updated.job, told: true };
}

/** The same for a job whose time is up: what is not done by now never is. */
export async function syncLastTime(work: JobWork): Promise<VideoJob> {
  const { job } = await syncJob(work).catch((error) => {
    // News that cannot be written keeps no job from its end.
    console.error(`video job ${work.job.id}: what its provider says could not be noted:`, error);
    return work;
  });
  if (isOver(job)) return job;
  const ended = await callRpc('fail_video_job', { video_job_id: job.id, error_code: 'timed_out' });
  await stopTask({ ...work, job });
  return ended.job;
}

/** Stops a task that nobody waits for any more, where the provider can; whether it could makes no difference. */
export async function stopTask({ job, submission }: JobWork, jobId = job.task.job_id): Promise<void> {
  if (jobId) await ask(() => adapterTo(submission, Deno.env).cancel(jobId), job);
}

/**
 * Has the provider cancel a task: the job, where it is over by then. SQL is told before, for the file of a video that is
 * finished meanwhile may be what the provider takes away. Throws 502 `upstream_error` where the provider failed, and what SQL
 * raises: 409 `invalid_state` while another cancellation is under way.
 */
export async function cancelAtProvider({ job, submission }: JobWork): Promise<VideoJob | 'unsupported' | 'too_late'> {
  const video_job_id = job.id;
  const goesOn = () => callRpc('cancel_video_job', { video_job_id, is_confirmed: false, is_refused: true });
  const { job: asked } = await callRpc('cancel_video_job', { video_job_id, is_confirmed: false });
  if (isOver(asked)) return asked;
  const outcome = await adapterTo(submission, Deno.env)
    .cancel(job.task.job_id ?? '')
    .catch(async (error) => {
      if (!(error instanceof OutcomeUnknownError) && !(error instanceof ApiError)) throw error;
      console.error(`video job ${job.id} could not be canceled:`, error.cause ?? error.message);
      if (error instanceof ApiError) await goesOn();
      throw new ApiError(502, 'upstream_error', 'The video provider failed. The job goes on as it was.');
    });
  if (outcome === 'canceled') return (await callRpc('cancel_video_job', { video_job_id, is_confirmed: true })).job;
  await goesOn();
  return outcome;
}

/** Undefined where the provider gave no answer that can be used; the log has why. */
async function ask<T>(call: () => Promise<T>, job: VideoJob): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof ApiError) && !(error instanceof OutcomeUnknownError)) throw error;
    console.error(`video job ${job.id}: ${job.task.provider} could not be asked:`, error.cause ?? error.message);
    return undefined;
  }
}
