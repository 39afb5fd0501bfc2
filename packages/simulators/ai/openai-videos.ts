/** OpenAI's video API, which other gateways copied: /v1/videos, /v1/videos/{id}, /v1/videos/{id}/content. */
import type { Context } from 'hono';
import { z } from 'zod';
import { ApiError } from './errors.ts';
import type { Endpoint } from './protocol.ts';
import { failureOf, fetchTask, submission } from './video-calls.ts';
import { fileOf } from './video-files.ts';
import { isOver, standingOf, type VideoTask, type VideoTasks } from './video-tasks.ts';

const DEFAULT_SECONDS = 4;
const WORDS = { pending: 'queued', processing: 'in_progress', completed: 'completed', failed: 'failed', canceled: '' };

const createSchema = z.looseObject({
  prompt: z.string().min(1),
  seconds: z.union([z.number(), z.string()]).nullish(),
  size: z
    .string()
    .regex(/^\d+x\d+$/)
    .nullish(),
  input_reference: z.unknown().optional(),
});

/** POST /v1/videos, as a form or as JSON. */
export function createOpenAiVideo(tasks: VideoTasks): Endpoint {
  return submission(tasks, {
    schema: createSchema,
    asked: ({ seconds, size, input_reference }) => ({
      seconds: Number(seconds ?? DEFAULT_SECONDS),
      resolution: size ?? '720x1280',
      hasImage: input_reference != null,
    }),
    shown: videoObject,
  });
}

/** GET /v1/videos/{id}. */
export async function getOpenAiVideo(tasks: VideoTasks, c: Context): Promise<Response> {
  return c.json(videoObject(await fetchTask(tasks, c.req.param('id') ?? '', c.req.raw.signal)));
}

/** GET /v1/videos/{id}/content. */
export function getOpenAiVideoFile(tasks: VideoTasks, c: Context): Response {
  return fileOf(tasks.find(c.req.param('id') ?? ''), new URL(c.req.url));
}

/** DELETE /v1/videos/{id}: ends a task under way; of one that is over, deletes the file. Either way it is gone. */
export function deleteOpenAiVideo(tasks: VideoTasks, c: Context): Response {
  const id = c.req.param('id') ?? '';
  const task = tasks.find(id);
  if (!task || task.directive.lost) throw new ApiError(404, `There is no video ${id}.`);
  const status = task.directive.cancel_error;
  if (status !== undefined) throw new ApiError(status, `Simulated error ${status}.`);
  if (!isOver(standingOf(task))) task.set = { status: 'canceled', progress: 0 };
  tasks.forget(id);
  return c.json({ id, object: 'video.deleted', deleted: true });
}

function videoObject(task: VideoTask): object {
  const { status, progress } = standingOf(task);
  const now = Math.floor(Date.now() / 1000);
  return {
    id: task.id,
    object: 'video',
    model: task.model,
    status: task.directive.words?.[status] ?? WORDS[status],
    progress,
    created_at: Math.floor(task.createdAt / 1000),
    completed_at: status === 'completed' ? now : null,
    expires_at: null,
    error: status === 'failed' ? { code: 'generation_failed', message: failureOf(task) } : null,
    prompt: task.prompt,
    seconds: String(task.seconds),
    size: task.resolution,
    remixed_from_video_id: null,
  };
}
