/** What the video APIs share: a submission that begins a task, a fetch of one, why it failed. */
import type { z } from 'zod';
import { ApiError } from './errors.ts';
import { type Call, type Endpoint, jsonAnswer, parseWith, pause } from './protocol.ts';
import type { VideoTask, VideoTasks } from './video-tasks.ts';
import { announce, announceEnd } from './video-webhooks.ts';

type Asked = { seconds: number; resolution: string | null; hasImage: boolean };

/** One API: the body of its submission, what that asks for, and how it shows a task, also to the webhook that a call names. */
export interface VideoApi<Body> {
  schema: z.ZodType<Body & { prompt: string }>;
  asked(body: Body): Asked;
  shown(task: VideoTask): object;
}

/** The endpoint of a submission. The task is made even where a directive then breaks the answer. */
export function submission<Body>(tasks: VideoTasks, { schema, asked, shown }: VideoApi<Body>): Endpoint {
  return {
    promptOf(body) {
      return parseWith(schema, body).prompt;
    },

    async answer(call) {
      const task = start(tasks, call, asked(parseWith(schema, call.body)));
      if (task.directive.webhook_early) await announce(task, shown, 1);
      announceEnd(task, shown).catch((error) => console.error('AI simulator:', error));
      await pause(task.directive.answer_delay_ms, call.signal);
      return jsonAnswer(call, shown(task), 0);
    },
  };
}

function start(tasks: VideoTasks, { url, directive, model, prompt, entry }: Call, asked: Asked): VideoTask {
  if (!Number.isFinite(asked.seconds) || asked.seconds <= 0 || asked.seconds > 60) {
    throw new ApiError(400, 'A video has from 1 to 60 seconds.', { param: 'duration' });
  }
  const { hasImage, ...rest } = asked;
  const mode = hasImage ? 'i2v' : 't2v';
  const webhook = url.searchParams.get('webhook');
  return tasks.start(url.origin, { key: entry.key, model, prompt, mode, ...rest, directive, webhook });
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

/** What is said of a task that failed. */
export function failureOf({ directive }: VideoTask): string {
  return directive.fail_message ?? 'The simulated generation failed.';
}
