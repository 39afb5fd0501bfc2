/** Function `billing`: plans on offer, checkouts, the customer portal, and changes to a subscription. */
import type { z } from 'zod';
import { createApp } from '../_shared/app.ts';
import { requireServiceRole } from '../_shared/auth.ts';
import { readWorkspace } from '../_shared/call-facts.ts';
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

const app = createApp('billing', []);

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

export default { fetch: (request: Request) => app.fetch(request) };
