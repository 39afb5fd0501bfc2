/** 302.AI's unified video API: POST /302/v2/video/create, GET /302/v2/video/fetch/{id}. It has no cancellation. */
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { type Call, type Endpoint, jsonAnswer, parseWith, pause } from './protocol.ts';
import { standingOf, type VideoTask, type VideoTasks } from './video-tasks.ts';
import { announce, announceEnd } from './video-webhooks.ts';

const DEFAULT_SECONDS = 8;

const createSchema = z.looseObject({
  model: z.string().min(1),
  prompt: z.string().min(1),
  image: z.union([z.string(), z.array(z.string())]).nullish(),
  negative_prompt: z.string().nullish(),
  duration: z.union([z.number(), z.string()]).nullish(),
  resolution: z.string().nullish(),
  aspect_ratio: z.string().nullish(),
});

/** Submission. The task is made even where a directive then breaks the answer. */
export function createVideo(tasks: VideoTasks): Endpoint {
  return {
    promptOf(body) {
      return parseWith(createSchema, body).prompt;
    },

    async answer(call) {
      const body = parseWith(createSchema, call.body);
      const task = startTask(tasks, call, {
        seconds: Number(body.duration ?? DEFAULT_SECONDS),
        resolution: body.resolution ?? null,
        hasImage: body.image != null,
      });
      if (task.directive.webhook_early) await announce(task, taskObject, 1);
      announceEnd(task, taskObject).catch((error) => console.error('AI simulator:', error));
      await pause(task.directive.answer_delay_ms, call.signal);
      return jsonAnswer(call, taskObject(task), 0);
    },
  };
}

/** Begins the task of a call. */
export function startTask(
  tasks: VideoTasks,
  { url, directive, model, prompt, entry }: Call,
  { seconds, resolution, hasImage }: { seconds: number; resolution: string | null; hasImage: boolean },
): VideoTask {
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > 60) {
    throw new ApiError(400, 'A video has from 1 to 60 seconds.', { param: 'duration' });
  }
  const mode = hasImage ? 'i2v' : 't2v';
  const webhook = url.searchParams.get('webhook');
  return tasks.start(url.origin, { key: entry.key, model, prompt, mode, seconds, resolution, directive, webhook });
}

/** Finds a task for a fetch, with the delay and the failures that its directive asks for. Throws 404 where there is none. */
export async function fetchTask(tasks: VideoTasks, id: string, signal: AbortSignal): Promise<VideoTask> {
  const task = tasks.find(id);
  if (!task) throw new ApiError(404, `There is no task ${id}.`);
  task.fetches += 1;
  const { lost, fetch_error, fetch_errors = Infinity, fetch_delay_ms } = task.directive;
  await pause(fetch_delay_ms, signal);
  if (fetch_error !== undefined && task.fetches <= fetch_errors) {
    throw new ApiError(fetch_error, `Simulated error ${fetch_error}.`);
  }
  if (lost) throw new ApiError(404, `There is no task ${id}.`);
  return task;
}

/** A task as the API and its webhooks show it. */
export function taskObject(task: VideoTask): object {
  const { status, progress } = standingOf(task);
  const { directive } = task;
  const times = { created_at: new Date(task.createdAt).toISOString(), updated_at: new Date().toISOString() };
  return {
    task_id: directive.numeric_id ? Number(task.id) : task.id,
    status: directive.words?.[status] ?? status,
    model: task.model,
    mode: task.mode,
    progress,
    ...times,
    ...(status === 'completed' ? { video_url: urlOf(task), completed_at: times.updated_at, raw_response: {} } : {}),
    ...(status === 'failed' ? { error: failureOf(task) } : {}),
  };
}

function urlOf(task: VideoTask): string | null {
  return task.directive.file === 'none' ? null : task.fileUrl;
}

function failureOf({ directive }: VideoTask): object {
  const message = directive.fail_message ?? 'The simulated generation failed.';
  return { error: message, message, error_type: 'generation_failed', attempts: 3, is_network_error: false };
}
