/** What video jobs need of a provider, whichever it is. */
import type { ApiError } from '../errors.ts';

/** The states of a job, and of a provider's task. */
export type VideoStatus = 'pending' | 'processing' | 'completed' | 'failed' | 'canceled';

/** A task as the provider tells of it. */
export interface VideoTask {
  job_id: string;
  status: Exclude<VideoStatus, 'pending'>;
  /** What the provider called its state, where nobody knows that word. */
  unknown_status?: string;
  /** 0 to 100; absent where the provider does not say. */
  progress?: number;
  /** Where the finished file is, at the provider. Completed without one counts as failed. */
  result_url?: string;
  error_code?: string;
  /** What the provider said of its failure, for the operator. */
  said?: string;
}

/** A task, and the provider's whole answer about it as JSON, without secrets and of bounded length. */
export interface VideoAnswer {
  task: VideoTask;
  answer: unknown;
}

/** What a provider is asked to make. */
export interface VideoRequest {
  model: string;
  prompt: string;
  /** A picture to begin with: an https URL or a data URL. */
  image?: string;
  duration?: number;
  resolution?: string;
  aspect_ratio?: string;
  negative_prompt?: string;
  /** Where the provider may tell that something happened. */
  webhookUrl: string;
}

/** One provider. All three calls throw an ApiError for a refusal, and OutcomeUnknownError where nothing is known. */
export interface VideoAdapter {
  /** Begins a task. */
  submit(request: VideoRequest): Promise<VideoAnswer>;
  /** Asks how a task is; `missing` where the provider knows of none. */
  fetch(jobId: string): Promise<VideoAnswer | 'missing'>;
  /** Stops a task; `too_late` where it is over or gone. */
  cancel(jobId: string): Promise<'canceled' | 'unsupported' | 'too_late'>;
}

/** Nobody knows what became of a request: the connection broke, or the answer cannot be read. */
export class OutcomeUnknownError extends Error {}

/** A provider's refusal, with its words for who runs the project. */
export type ProviderRefusal = ApiError & { said?: string };
