/**
 * The rpcs of video jobs, with their types written by hand: the one place that knows what they take and give.
 * Each throws the ApiError that SQL raised.
 */
import type { Caller } from '../auth.ts';
import { database, run } from '../database.ts';
import type { Refusal } from '../errors.ts';
import type { Moderation } from '../moderation.ts';
import type { VideoStatus, VideoTask } from './adapter.ts';
import type { Provider } from './provider.ts';

/** A row of `video_jobs`, and what is not for its readers. */
export interface VideoJob {
  id: string;
  workspace_id: string;
  user_id: string | null;
  task: ProviderTask;
  status: VideoStatus;
  model: string;
  prompt: string;
  image_url: string | null;
  has_image: boolean;
  parameters: VideoParameters;
  cost_credits: number;
  progress: number;
  storage_path: string | null;
  is_shared: boolean;
  error_code: string | null;
  error_message: string | null;
  attempts: number;
  cancel_requested_at: string | null;
  request_id: string | null;
  created_at: string;
  submitted_at: string | null;
  finished_at: string | null;
  expires_at: string;
  updated_at: string;
}

/** What of a job is between us and its provider. */
export interface ProviderTask {
  provider: string;
  /** The provider's id of it; null until it is known. */
  job_id: string | null;
  /** Where the provider keeps the file. */
  result_url: string | null;
  /** Where below `/video/files` that file can be read, while there is no copy. */
  file_link: string | null;
}

/** What of a video may be chosen. */
export interface VideoParameters {
  duration?: number;
  resolution?: string;
  aspect_ratio?: string;
  negative_prompt?: string;
}

/** Whom to ask for a job, and as what. */
export interface Submission extends Provider {
  upstream_model: string;
  /** Where in the bucket the file belongs. */
  storage_path: string;
  /** Where the provider's files may be: names, `*.name`, each with `:port` if need be, or `AI_BASE_URL` for its host. */
  result_hosts: string[];
  /** Larger files are not copied. */
  max_video_bytes: number;
  parameters: VideoParameters;
  moderation?: Moderation;
}

/** A job and whom to ask for it. */
export interface JobWork {
  job: VideoJob;
  submission: Submission;
}

/** What `create_video_job` says. */
export type Creation =
  | (JobWork & { created: true; credits_available?: number })
  | { created: false; job: VideoJob; code?: undefined }
  | (Refusal & { created: false; job?: undefined });

/** One piece of work, as `sync_video_jobs` hands it out. */
export type SyncWork =
  | (JobWork & { kind: 'fetch'; is_last?: boolean })
  | (JobWork & { kind: 'copy' })
  | { kind: 'remove'; bucket: string; path: string; next_try_at: string };

type JobId = { video_job_id: string };

interface Rpcs {
  create_video_job: [
    args: Caller & {
      model: string;
      prompt: string;
      image_url?: string;
      has_image: boolean;
      parameters: VideoParameters;
      request_id: string;
      details: object;
      idempotency_key?: string;
      request_hash?: string;
    },
    answer: Creation,
  ];
  start_video_job: [args: JobId & { job_id: string; answer: unknown }, answer: { job: VideoJob; started: boolean }];
  update_video_job: [args: JobId & { task: VideoTask; answer: unknown }, answer: { job: VideoJob; changed: boolean }];
  fail_video_job: [
    args: JobId & { error_code: string; said?: string; was_submitted?: boolean },
    answer: { job: VideoJob; failed: boolean; credits_refunded: number },
  ];
  cancel_video_job: [args: JobId & { is_confirmed: boolean; is_refused?: boolean }, answer: { job: VideoJob }];
  get_video_job: [args: Caller & JobId, answer: JobWork & { is_stale: boolean; is_last: boolean; is_author: boolean }];
  video_job_of_webhook: [args: JobId & { token: string }, answer: JobWork];
  video_job_of_file: [args: JobId & { until: number; token: string }, answer: JobWork];
  sync_video_jobs: [args: { max_jobs: number; kinds: SyncWork['kind'][] }, answer: { ended: number; work: SyncWork[] }];
  note_video_task_missing: [args: JobId, answer: { job: VideoJob }];
  note_video_file: [args: JobId & { storage_path?: string; is_kept?: boolean; error?: string }, answer: unknown];
  finish_file_removal: [args: { bucket: string; path: string; next_try_at: string }, answer: unknown];
}

// The generated types know of their answers only that they are JSON; the cast ends here.
type Answer<T> = Awaited<ReturnType<Parameters<typeof run<T>>[0]>>;
type Client = { rpc(name: string, args: object): PromiseLike<Answer<unknown>> };
const client = database as unknown as Client;

/** What the provider has done already is noted for as long as the function lives, ms: lost, it would be done for nothing. */
const AFTER_THE_FACT = 100_000;
const NOTES = new Set<keyof Rpcs>(['start_video_job', 'update_video_job', 'fail_video_job', 'note_video_file']);

/** Calls an rpc with the service role's rights. */
export async function callRpc<Name extends keyof Rpcs>(name: Name, args: Rpcs[Name][0]): Promise<Rpcs[Name][1]> {
  const patience = NOTES.has(name) ? AFTER_THE_FACT : undefined;
  return (await run(() => client.rpc(name, args), patience)) as Rpcs[Name][1];
}

/** Whether a job has come to rest. */
export function isOver({ status }: Pick<VideoJob, 'status'>): boolean {
  return status !== 'pending' && status !== 'processing';
}
