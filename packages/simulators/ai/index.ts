/**
 * A simulator of an AI provider, for development and tests alone: it speaks the OpenAI protocol and 302.AI's unified video
 * API, answers from the request itself, and misbehaves on demand. It runs no model. Its texts, vectors, images and videos
 * mean nothing.
 *
 * A caller steers it with a directive in the model name or in the last user message (or the prompt, or the input):
 * `[[simulate:{"error":500}]]`. Every option is explained in directives.ts (and, of videos, in
 * video-directives.ts), and what counts as a token in usage.ts. `GET /__simulator/requests?key=`
 * shows what it served, `DELETE` forgets it; `GET /__simulator/videos?key=` shows the video tasks, and `PATCH
 * /__simulator/videos/{id}` moves one.
 */
import { type Context, Hono, type Next } from 'hono';
import { chatCompletions } from './chat.ts';
import { embeddings } from './embeddings.ts';
import { ApiError, errorResponse } from './errors.ts';
import { imageGenerations } from './images.ts';
import { Journal } from './journal.ts';
import { createOpenAiVideo, deleteOpenAiVideo, getOpenAiVideo, getOpenAiVideoFile } from './openai-videos.ts';
import { type Endpoint, serve } from './protocol.ts';
import { fetchTask } from './video-calls.ts';
import { listTasks, moveTask } from './video-controls.ts';
import { fileOf } from './video-files.ts';
import { VideoTasks } from './video-tasks.ts';
import { createVideo, taskObject } from './videos.ts';

/** What `GET /v1/models` lists. Calls may name any model: the project's own catalogue decides what exists. */
const MODELS = ['simulator-chat', 'simulator-chat-large', 'simulator-embedding', 'simulator-image', 'simulator-video'];

/** Epoch seconds; the models' `created`. */
const MODELS_CREATED = 1_767_225_600;

const ENDPOINTS: Record<string, Endpoint> = {
  '/v1/chat/completions': chatCompletions,
  '/v1/embeddings': embeddings,
  '/v1/images/generations': imageGenerations,
};

/** The simulator as a fetch handler, with a memory of its own. */
export function createAiSimulator(): { fetch(request: Request): Response | Promise<Response> } {
  const journal = new Journal();
  const tasks = new VideoTasks();
  const app = new Hono();

  app.get('/__simulator/requests', (c) => c.json(journal.report(c.req.query('key'))));
  app.delete('/__simulator/requests', (c) => {
    journal.forget(c.req.query('key'));
    return c.body(null, 204);
  });

  app.get('/__simulator/videos', (c) => listTasks(tasks, c));
  app.patch('/__simulator/videos/:id', (c) => moveTask(tasks, c));
  app.get('/files/:name{.+.mp4}', (c) => fileOf(tasks.find(c.req.param('name').slice(0, -4)), new URL(c.req.url)));

  app.use('/v1/*', requireKey);
  app.use('/302/*', requireKey);
  app.get('/v1/models', (c) => c.json({ object: 'list', data: MODELS.map(modelObject) }));
  app.get('/v1/models/:id', (c) => {
    const id = c.req.param('id');
    if (!MODELS.includes(id)) throw new ApiError(404, `The model "${id}" does not exist.`, { param: 'model' });
    return c.json(modelObject(id));
  });
  for (const [path, endpoint] of Object.entries(ENDPOINTS)) {
    app.post(path, (c) => serve(c.req.raw, path, endpoint, journal));
  }

  const videos = { '/302/v2/video/create': createVideo(tasks), '/v1/videos': createOpenAiVideo(tasks) };
  for (const [path, endpoint] of Object.entries(videos)) {
    app.post(path, (c) => serve(c.req.raw, path, endpoint, journal));
  }
  app.get('/302/v2/video/fetch/:id', async (c) => {
    return c.json(taskObject(await fetchTask(tasks, c.req.param('id'), c.req.raw.signal)));
  });
  app.get('/v1/videos/:id', (c) => getOpenAiVideo(tasks, c));
  app.get('/v1/videos/:id/content', (c) => getOpenAiVideoFile(tasks, c));
  app.delete('/v1/videos/:id', (c) => deleteOpenAiVideo(tasks, c));

  app.notFound((c) => errorResponse(new ApiError(404, `Unknown request URL: ${c.req.method} ${c.req.path}`)));
  app.onError((error) => errorResponse(error));
  return { fetch: (request) => app.fetch(request) };
}

function modelObject(id: string) {
  return { id, object: 'model', created: MODELS_CREATED, owned_by: 'simulator' };
}

async function requireKey(c: Context, next: Next): Promise<void> {
  if (!/^bearer \S+$/i.test(c.req.header('authorization') ?? '')) {
    throw new ApiError(401, 'No API key was given; send `Authorization: Bearer <any key>`.');
  }
  await next();
}
