/** For tests: looking at the simulator's video tasks, and moving them by hand. */
import type { Context } from 'hono';
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { parseWith } from './protocol.ts';
import { standingOf, type VideoTask, type VideoTasks } from './video-tasks.ts';
import { announce } from './video-webhooks.ts';
import { taskObject } from './videos.ts';

const patchSchema = z.strictObject({
  status: z.enum(['pending', 'processing', 'completed', 'failed', 'canceled']).optional(),
  progress: z.number().int().min(0).max(100).optional(),
  /** How many webhooks to send then; the answer comes when they have been taken or given up. */
  webhooks: z.number().int().min(0).max(20).default(0),
});

/** GET /__simulator/videos?key=. */
export function listTasks(tasks: VideoTasks, c: Context): Response {
  return c.json({ videos: tasks.list(c.req.query('key')).map(controlObject) });
}

/** PATCH /__simulator/videos/{id}: sets where the task stands, from where the clock no longer moves it. */
export async function moveTask(tasks: VideoTasks, c: Context): Promise<Response> {
  const id = c.req.param('id') ?? '';
  const task = tasks.find(id);
  if (!task) throw new ApiError(404, `There is no task ${id}.`);
  const body = parseWith(patchSchema, await c.req.json().catch(() => undefined));
  const now = standingOf(task);
  const status = body.status ?? now.status;
  const progress = body.progress ?? (status === 'completed' ? 100 : now.progress);
  if (body.status !== undefined || body.progress !== undefined) task.set = { status, progress };
  await announce(task, taskObject, body.webhooks);
  return c.json(controlObject(task));
}

function controlObject(task: VideoTask): object {
  const { id, key, model, prompt, mode, seconds, resolution, webhook, fetches, deliveries } = task;
  return { id, key, model, prompt, mode, seconds, resolution, webhook, fetches, deliveries, ...standingOf(task) };
}
