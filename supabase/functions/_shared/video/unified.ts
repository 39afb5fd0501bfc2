/** 302.AI's unified video API: one form of request and task for the models of many vendors. Source: doc.302.ai. */
import { OutcomeUnknownError, type VideoAdapter, type VideoAnswer, type VideoTask } from './adapter.ts';
import {
  boundedAnswer,
  failureOf,
  isObject,
  type ProviderClient,
  readFileUrl,
  readProgress,
  readTaskId,
} from './provider.ts';

/** The words that clients have seen for each state; others count as under way, and time ends what never ends. */
const STATUSES: Record<string, VideoTask['status']> = {
  ...{
    completed: 'completed',
    complete: 'completed',
    succeeded: 'completed',
    succeed: 'completed',
    success: 'completed',
  },
  ...{ failed: 'failed', failure: 'failed', fail: 'failed', error: 'failed', expired: 'failed' },
  ...{ canceled: 'canceled', cancelled: 'canceled' },
};

/** 302.AI's unified API. It cannot cancel. */
export function createUnified(client: ProviderClient): VideoAdapter {
  return {
    async submit({ webhookUrl, ...request }) {
      const path = `/302/v2/video/create?webhook=${encodeURIComponent(webhookUrl)}`;
      const { body } = await client.call({ method: 'POST', path, body: request });
      const read = readUnifiedTask(body);
      if (!read) throw new OutcomeUnknownError('an answer that names no task');
      return read;
    },
    async fetch(jobId) {
      const path = `/302/v2/video/fetch/${encodeURIComponent(jobId)}`;
      const { status, body } = await client.call({ method: 'GET', path }, [404]);
      if (status === 404) return 'missing';
      const read = readUnifiedTask(body, jobId);
      if (!read) throw new OutcomeUnknownError('an answer that is no task');
      return read;
    },
    cancel: () => Promise.resolve('unsupported'),
  };
}

/** Reads a task; undefined for what is none. `jobId` stands in for an id that is left out. */
export function readUnifiedTask(body: Record<string, unknown>, jobId?: string): VideoAnswer | undefined {
  // Some of its answers have the task within `data`.
  const found = isObject(body.data) && body.status === undefined ? body.data : body;
  if (typeof found.status !== 'string') return undefined;
  const named = readTaskId(found.task_id ?? found.id);
  const status = STATUSES[found.status.toLowerCase()] ?? 'processing';
  // A task that failed at once need not have an id.
  const id = jobId ?? named ?? (status === 'failed' ? '' : undefined);
  if (id === undefined || (jobId !== undefined && named !== undefined && named !== jobId)) return undefined;
  return { task: taskOf(found, id, status), answer: boundedAnswer(body) };
}

function taskOf(found: Record<string, unknown>, job_id: string, status: VideoTask['status']): VideoTask {
  const progress = readProgress(found.progress);
  if (status === 'failed') return { job_id, status, progress, ...failureOf(found) };
  if (status !== 'completed') return { job_id, status, progress };
  return { job_id, status, progress: 100, result_url: readFileUrl(found.video_url) };
}
