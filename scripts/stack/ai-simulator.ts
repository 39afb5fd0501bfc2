/**
 * A simulator of an AI provider, for development and tests alone: it speaks the OpenAI protocol, answers from the
 * request itself, and misbehaves on demand. It runs no model. Its texts, vectors and images mean nothing.
 *
 * A caller steers it with a directive in the model name or in the last user message (or the prompt, or the input):
 * `[[simulate:{"error":500}]]`. Every option is explained in ai-simulator/directives.ts, and what counts as a token in
 * ai-simulator/usage.ts. `GET /__simulator/requests?key=` shows what it served, `DELETE` forgets it.
 */
import { Hono } from 'hono';
import { chatCompletions } from './ai-simulator/chat.ts';
import { embeddings } from './ai-simulator/embeddings.ts';
import { ApiError, errorResponse } from './ai-simulator/errors.ts';
import { imageGenerations } from './ai-simulator/images.ts';
import { Journal } from './ai-simulator/journal.ts';
import { type Endpoint, serve } from './ai-simulator/protocol.ts';

/** What `GET /v1/models` lists. Calls may name any model: the project's own catalogue decides what exists. */
const MODELS = ['simulator-chat', 'simulator-chat-large', 'simulator-embedding', 'simulator-image'];

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
  const app = new Hono();

  app.get('/__simulator/requests', (c) => c.json(journal.report(c.req.query('key'))));
  app.delete('/__simulator/requests', (c) => {
    journal.forget(c.req.query('key'));
    return c.body(null, 204);
  });

  app.use('/v1/*', async (c, next) => {
    if (!/^bearer \S+$/i.test(c.req.header('authorization') ?? '')) {
      throw new ApiError(401, 'No API key was given; send `Authorization: Bearer <any key>`.');
    }
    await next();
  });
  app.get('/v1/models', (c) => c.json({ object: 'list', data: MODELS.map(modelObject) }));
  app.get('/v1/models/:id', (c) => {
    const id = c.req.param('id');
    if (!MODELS.includes(id)) throw new ApiError(404, `The model "${id}" does not exist.`, { param: 'model' });
    return c.json(modelObject(id));
  });
  for (const [path, endpoint] of Object.entries(ENDPOINTS)) {
    app.post(path, (c) => serve(c.req.raw, path, endpoint, journal));
  }

  app.notFound((c) => errorResponse(new ApiError(404, `Unknown request URL: ${c.req.method} ${c.req.path}`)));
  app.onError((error) => errorResponse(error));
  return { fetch: (request) => app.fetch(request) };
}

function modelObject(id: string) {
  return { id, object: 'model', created: MODELS_CREATED, owned_by: 'simulator' };
}
