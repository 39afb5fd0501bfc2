/** Function `billing`: plans on offer, checkouts, the customer portal, and changes to a subscription. */
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import type { z } from 'zod';
import { requireServiceRole } from '../_shared/auth.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
import { ApiError, errorResponse } from '../_shared/errors.ts';
import { requirePerson } from './access.ts';
import { cancelSubscription, changePlan, doTasks, openCheckout, openPortal, resumeSubscription } from './actions.ts';
import { callRpc } from './database.ts';
import {
  cancelRequest,
  changePlanRequest,
  checkoutRequest,
  oneWorkspace,
  portalRequest,
  readRequest,
  resumeRequest,
} from './request.ts';

type Env = { Variables: { requestId: string } };

const app = new Hono<Env>().basePath('/billing');

// No allowHeaders: preflights are granted what they ask for, or each client's telemetry header would have to be known.
app.use(cors({ origin: '*', exposeHeaders: ['x-request-id', 'x-should-retry', 'retry-after'] }));
app.use(async (c, next) => {
  c.set('requestId', `req_${crypto.randomUUID().replaceAll('-', '')}`);
  await next();
  c.res.headers.set('x-request-id', c.get('requestId'));
});

app.get('/plans', async (c) => c.json(await callRpc('list_payment_products', {})));
app.post('/tasks', async (c) => {
  await requireServiceRole(c.req.raw);
  return c.json(await doTasks());
});
forPeople('/checkout', checkoutRequest, openCheckout);
forPeople('/portal', portalRequest, openPortal);
forPeople('/cancel', cancelRequest, cancelSubscription);
forPeople('/resume', resumeRequest, resumeSubscription);
forPeople('/change-plan', changePlanRequest, changePlan);

/** A route for signed-in people: their id and the parsed body go to `action`, its answer back as JSON. */
function forPeople<T extends { workspace_id?: string }>(
  path: string,
  schema: z.ZodType<T>,
  action: (userId: string, request: T) => Promise<object>,
) {
  app.post(path, async (c) => {
    const userId = await requirePerson(c.req.raw);
    const named = readWorkspace(c.req.raw.headers);
    const request = await readRequest(c.req.raw, schema);
    return c.json(await action(userId, { ...request, workspace_id: oneWorkspace(named, request.workspace_id) }));
  });
}

app.notFound((c: Context<Env>) =>
  errorResponse(new ApiError(404, 'not_found', `There is no ${c.req.method} ${c.req.path}.`), c.get('requestId')),
);
app.onError((error, c: Context<Env>) => errorResponse(error, c.get('requestId')));

export default { fetch: (request: Request) => app.fetch(request) };
