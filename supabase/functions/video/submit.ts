/** From a paid job to a task at the provider, or back to the credits. Wherever this is killed, the sweep finishes it. */
import { ApiError } from '../_shared/errors.ts';
import { moderate } from '../_shared/moderation.ts';
import {
  OutcomeUnknownError,
  type ProviderRefusal,
  type VideoAnswer,
  type VideoTask,
} from '../_shared/video/adapter.ts';
import { adapterTo } from '../_shared/video/adapters.ts';
import { callRpc, isOver, type JobWork, type VideoJob } from '../_shared/video/database.ts';
import { copyLater } from '../_shared/video/files.ts';
import { AGAINST_POLICY, REFUSED, upstreamError } from '../_shared/video/provider.ts';
import { cancelAtProvider, stopTask } from '../_shared/video/sync.ts';
import type { JobRequest } from './request.ts';

/** Header with the id of a job that failed as it was made. */
export const JOB_ID_HEADER = 'x-video-job-id';

/**
 * Has the prompt checked and asks the provider. Gives the job as it is then: `pending` where nobody knows whether the
 * provider has it. Throws the ApiError of a job that failed (400, 502); its credits are back by then.
 */
export async function submit({ job, submission }: JobWork, request: JobRequest): Promise<VideoJob> {
  const { negative_prompt } = request;
  let found: VideoAnswer;
  let wasSubmitted = false;
  try {
    const words = negative_prompt ? `${request.prompt}\n${negative_prompt}` : request.prompt;
    await moderate(submission.moderation, words, job.request_id ?? job.id, Deno.env);
    wasSubmitted = true;
    found = await adapterTo(submission, Deno.env).submit({
      ...submission.parameters,
      negative_prompt,
      prompt: request.prompt,
      image: request.image,
      model: submission.upstream_model,
      webhookUrl: webhookUrlOf(job, submission.webhook_token),
    });
  } catch (error) {
    if (error instanceof ApiError) return fail(job, error, wasSubmitted);
    if (!(error instanceof OutcomeUnknownError)) throw error;
    console.error(`video job ${job.id}: ${submission.provider} may or may not have it: ${error.message}`);
    return job;
  }
  return noteAnswer({ job, submission }, found);
}

async function noteAnswer({ job, submission }: JobWork, { task, answer }: VideoAnswer): Promise<VideoJob> {
  const video_job_id = job.id;
  if (task.job_id === '') return fail(job, failureOf(task), true);
  if (task.status !== 'processing') {
    const { job: updated, changed } = await callRpc('update_video_job', { video_job_id, task, answer });
    if (updated.status === 'failed') throw withJob(updated, failureOf(task));
    if (changed && updated.status === 'completed') copyLater({ job: updated, submission });
    return updated;
  }
  const { job: started } = await callRpc('start_video_job', { video_job_id, job_id: task.job_id, answer });
  // It was canceled, or given up, while the provider was being asked: nobody pays for this task.
  if (isOver(started)) await stopTask({ job: started, submission }, task.job_id);
  else if (started.cancel_requested_at) return cancelStarted({ job: started, submission });
  return started;
}

/** A cancellation that came while the provider was being asked. */
async function cancelStarted({ job, submission }: JobWork): Promise<VideoJob> {
  const outcome = await cancelAtProvider({ job, submission }).catch((error) => {
    console.error(`video job ${job.id} could not be canceled:`, error.cause ?? error.message);
  });
  return typeof outcome === 'object' ? outcome : job;
}

/** Ends a job as failed, its credits given back, and throws the error for the client; unless it ended otherwise by now. */
async function fail({ id }: VideoJob, error: ProviderRefusal, was_submitted: boolean): Promise<VideoJob> {
  if (error.cause) console.error(`video job ${id} failed:`, error.cause);
  const failure = { video_job_id: id, error_code: error.code, said: error.said, was_submitted };
  const { job } = await callRpc('fail_video_job', failure);
  if (job.status === 'failed') throw withJob(job, error);
  return job;
}

function withJob({ id }: VideoJob, { status, code, message, param, headers }: ApiError): ApiError {
  return new ApiError(status, code, message, param, { ...headers, [JOB_ID_HEADER]: id });
}

/** The error for a task that failed as it was made, whatever the status of that answer. */
function failureOf({ error_code: code = 'upstream_error', said }: VideoTask): ProviderRefusal {
  if (code === 'upstream_error') return upstreamError('it failed at once', said);
  const message = code === 'content_policy_violation' ? AGAINST_POLICY : REFUSED;
  return Object.assign(new ApiError(400, code, message), { said });
}

/** `VIDEO_WEBHOOK_URL` takes the place of the project's own address, where the provider reaches it by another. */
function webhookUrlOf({ id }: VideoJob, token: string): string {
  const usual = `${Deno.env.get('SUPABASE_URL')}/functions/v1/video-webhook`;
  return `${(Deno.env.get('VIDEO_WEBHOOK_URL')?.trim() || usual).replace(/\/+$/, '')}/${id}/${token}`;
}
