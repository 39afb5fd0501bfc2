/** What the functions with several paths have in common: names, browsers, request ids, and errors in one shape. */
import { type Context, type Env, Hono } from 'hono';
import { cors } from 'hono/cors';
import { ApiError, errorResponse } from './errors.ts';
import { serve } from './origin.ts';

/** What every app knows of a request. */
export interface AppEnv extends Env {
  Variables: { requestId: string };
}

/**
 * An app whose paths begin with the function's name; a trailing slash is the same path. `exposed` are headers of ours that
 * a browser may read; `hint` says what to use instead of a path that is not served.
 */
export function createApp<E extends AppEnv>(name: string, exposed: string[], hint = (_path: string) => ''): Hono<E> {
  const app = new Hono<E>({ strict: false }).basePath(`/${name}`) as Hono<E>;
  const exposeHeaders = ['x-request-id', 'x-should-retry', 'retry-after', ...exposed];
  // No allowHeaders: preflights are granted what they ask for, or each client's telemetry header would have to be known.
  const preflight = cors({ origin: '*', exposeHeaders });
  app.use(async (c, next) => {
    if (c.req.method === 'OPTIONS') return preflight(c, next);
    c.set('requestId', `req_${crypto.randomUUID().replaceAll('-', '')}`);
    await serve(c.req.raw, c.get('requestId'), next);
    const answer = withHeaders(c.res, {
      'access-control-allow-origin': '*',
      'access-control-expose-headers': exposeHeaders.join(),
      'x-request-id': c.get('requestId'),
    });
    if (answer !== c.res) c.res = answer;
  });
  app.notFound((c: Context<E>) => {
    const message = `There is no ${c.req.method} ${c.req.path}.${hint(c.req.path)}`;
    return errorResponse(new ApiError(404, 'not_found', message), c.get('requestId'));
  });
  app.onError((error, c: Context<E>) => errorResponse(error, c.get('requestId')));
  return app;
}

/** An answer with more headers. Not a second one, as Hono's own middleware makes: its body would be a stream. */
function withHeaders(answer: Response, more: Record<string, string>): Response {
  try {
    for (const [name, value] of Object.entries(more)) answer.headers.set(name, value);
    return answer;
  } catch {
    // A redirect, and what fetch returned, cannot be changed.
    return withHeaders(new Response(answer.body, answer), more);
  }
}
