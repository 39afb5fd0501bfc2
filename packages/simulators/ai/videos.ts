/** 302.AI's unified video API: POST /302/v2/video/create, GET /302/v2/video/fetch/{id}. It has no cancellation. */
import { z } from 'zod';
import type { Endpoint } from './protocol.ts';
import { failureOf, submission } from './video-calls.ts';
import { standingOf, type VideoTask, type VideoTasks } from './video-tasks.ts';

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

/** Submission. */
export function createVideo(tasks: VideoTasks): Endpoint {
  return submission(tasks, {
    schema: createSchema,
    asked: ({ duration, resolution, image }) => ({
      seconds: Number(duration ?? DEFAULT_SECONDS),
      resolution: resolution ?? null,
      hasImage: image != null,
    }),
    shown: taskObject,
  });
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
    ...(status === 'failed' ? { error: errorOf(task) } : {}),
  };
}

function urlOf(task: VideoTask): string | null {
  return task.directive.file === 'none' ? null : task.fileUrl;
}

function errorOf(task: VideoTask): object {
  const message = failureOf(task);
  return { error: message, message, error_type: 'generation_failed', attempts: 3, is_network_error: false };
}
