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
    // Set on the answer, where Hono's own middleware would make a second one of it and a stream of its body.
    const { headers } = c.res;
    headers.set('access-control-allow-origin', '*');
    headers.set('access-control-expose-headers', exposeHeaders.join());
    headers.set('x-request-id', c.get('requestId'));
  });
  app.notFound((c: Context<E>) => {
    const message = `There is no ${c.req.method} ${c.req.path}.${hint(c.req.path)}`;
    return errorResponse(new ApiError(404, 'not_found', message), c.get('requestId'));
  });
  app.onError((error, c: Context<E>) => errorResponse(error, c.get('requestId')));
  return app;
}
