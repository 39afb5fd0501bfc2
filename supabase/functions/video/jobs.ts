/** What callers do with jobs: make, look at, cancel. SQL says whether, the provider does it. */
import { z } from 'zod';
import type { Caller } from '../_shared/auth.ts';
import { readCallDetails, readIdempotencyKey } from '../_shared/call-facts.ts';
import { keepAlive } from '../_shared/edge-runtime.ts';
import { ApiError, refusalError } from '../_shared/errors.ts';
import { type Creation, callRpc, isOver, type JobWork, type VideoJob } from '../_shared/video/database.ts';
import { passFile, signedUrlOf } from '../_shared/video/files.ts';
import { cancelAtProvider, syncJob, syncLastTime } from '../_shared/video/sync.ts';
import { type JobRequest, readJobRequest } from './request.ts';
import { submit } from './submit.ts';

/** Makes a job: 201; 202 while nobody knows whether the provider has it; 200 for a repeated request. */
export async function createJob(http: Request, caller: Caller, requestId: string): Promise<Response> {
  const { request, identity } = await readJobRequest(http);
  const repeatable = readIdempotencyKey(http, identity);
  const { prompt, model, image, negative_prompt, duration, resolution, aspect_ratio } = request;
  const isFile = image?.startsWith('data:') ?? false;
  const creation = await callRpc('create_video_job', {
    ...caller,
    ...repeatable,
    model,
    prompt,
    image_url: isFile ? undefined : image,
    has_image: image !== undefined,
    parameters: { duration, resolution, aspect_ratio, negative_prompt },
    request_id: requestId,
    details: readCallDetails(http.headers),
  });
  if (!creation.created) return answerFor(jobOrRefusal(creation), 200);
  const work = finishCreation(creation, request);
  // A client that leaves does not stop it: the job is paid for.
  keepAlive(work);
  return work;
}

async function finishCreation(creation: Extract<Creation, { created: true }>, request: JobRequest): Promise<Response> {
  const job = await submit(creation, request);
  const response = await answerFor(job, job.status === 'pending' ? 202 : 201);
  const charged = creditsOf(job);
  const refunded = Number(job.cost_credits) - charged;
  response.headers.set('x-credits-charged', String(charged));
  if (creation.credits_available !== undefined) {
    response.headers.set('x-credits-available', String(creation.credits_available + refunded));
  }
  return response;
}

/** The job that the same request made before. Throws what SQL refused. */
function jobOrRefusal(creation: Extract<Creation, { created: false }>): VideoJob {
  if (creation.job) return creation.job;
  throw refusalError(creation);
}

/** Gives a job, as new as can be. */
export async function getJob(caller: Caller, id: string): Promise<Response> {
  const { is_stale, is_last, ...work } = await callRpc('get_video_job', { ...caller, video_job_id: readId(id) });
  if (!is_stale) return answerFor(work.job, 200);
  return answerFor(is_last ? await syncLastTime(work) : (await syncJob(work)).job, 200);
}

/**
 * Cancels a job: 200 once it is, 202 where it is still being handed to the provider and may yet be. Throws 409
 * `invalid_state` where it is over, or the provider cannot.
 */
export async function cancelJob(caller: Caller, id: string): Promise<Response> {
  const { job, submission, is_author } = await callRpc('get_video_job', { ...caller, video_job_id: readId(id) });
  if (!is_author) throw new ApiError(403, 'forbidden', 'Only who made a video job may cancel it.');
  if (isOver(job)) return answerForOver(job);
  if (job.status !== 'pending') return cancelTask({ job, submission });
  const { job: asked } = await callRpc('cancel_video_job', { video_job_id: job.id, is_confirmed: false });
  if (isOver(asked)) return answerForOver(asked);
  return asked.status === 'pending' ? answerFor(asked, 202) : cancelTask({ job: asked, submission });
}

async function cancelTask(work: JobWork): Promise<Response> {
  const outcome = await cancelAtProvider(work);
  if (outcome === 'unsupported') {
    throw new ApiError(409, 'invalid_state', 'The provider of this model cannot cancel. The job goes on.');
  }
  if (outcome !== 'too_late') return answerForOver(outcome);
  const { job: synced } = await syncJob(work);
  if (isOver(synced)) return answerForOver(synced);
  throw new ApiError(409, 'invalid_state', 'It is too late to cancel this job.');
}

function answerForOver(job: VideoJob): Promise<Response> {
  if (job.status === 'canceled') return answerFor(job, 200);
  throw new ApiError(409, 'invalid_state', `The job is ${job.status} already.`);
}

/** Gives a file for its link, as long as that lasts: as a copy, or what the provider sends, passed on. */
export async function getFile(http: Request, id: string, until: string, token: string): Promise<Response> {
  if (!/^\d{1,12}$/.test(until) || !/^[0-9a-f]{64}$/.test(token)) {
    throw new ApiError(404, 'not_found', 'There is no such file.');
  }
  const work = await callRpc('video_job_of_file', { video_job_id: readId(id), until: Number(until), token });
  const left = Math.max(1, Math.floor(Number(until) - Date.now() / 1000));
  const copy = await signedUrlOf(work.job, left);
  return copy ? Response.redirect(copy, 302) : passFile(work, http);
}

/** A job as the API shows it: the row, the address of its file, what it was charged. */
async function answerFor({ task, ...job }: VideoJob, status: number): Promise<Response> {
  const passed = task.file_link && `${Deno.env.get('SUPABASE_URL')}/functions/v1/video/files/${task.file_link}`;
  const result_url = (await signedUrlOf(job)) ?? passed;
  return Response.json({ object: 'video.job', ...job, result_url, credits: creditsOf(job) }, { status });
}

function creditsOf({ status, cost_credits }: Pick<VideoJob, 'status' | 'cost_credits'>): number {
  return status === 'failed' || status === 'canceled' ? 0 : Number(cost_credits);
}

function readId(id: string): string {
  if (z.guid().safeParse(id).success) return id;
  throw new ApiError(404, 'not_found', 'There is no such video job.');
}
