/** 302.AI's unified video API: one form of request and task for the models of many vendors. Source: doc.302.ai. */
import { OutcomeUnknownError, type VideoAdapter, type VideoAnswer, type VideoTask } from './adapter.ts';
import {
  boundedAnswer,
  failureOf,
  isObject,
  type ProviderClient,
  readFileUrl,
  readProgress,
  readStatus,
  readTaskId,
} from './provider.ts';

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
  const state = readStatus(found.status);
  // A task that failed at once need not have an id.
  const id = jobId ?? named ?? (state.status === 'failed' ? '' : undefined);
  if (id === undefined || (jobId !== undefined && named !== undefined && named !== jobId)) return undefined;
  return { task: taskOf(found, { job_id: id, ...state }), answer: boundedAnswer(body) };
}

function taskOf(found: Record<string, unknown>, named: VideoTask): VideoTask {
  const task = { ...named, progress: readProgress(found.progress) };
  if (task.status === 'failed') return { ...task, ...failureOf(found) };
  return task.status === 'completed' ? { ...task, progress: 100, result_url: readFileUrl(found.video_url) } : task;
}
