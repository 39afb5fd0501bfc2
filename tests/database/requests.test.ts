/** What Postgres knows of the request that a function serves: whose it is, and over which it came. */
import { randomUUID } from 'node:crypto';
import { creemSignature } from '@basemeter/simulators';
import { expect, test } from 'vitest';
import { AI_URL, newCaller, newModel, simulate } from '../ai/helpers.ts';
import { purchaseBy, sell, toldByCreem } from '../payments/shop.ts';
import { env, newUser, sql } from '../support/stack.ts';

test('a change that a webhook brings about is logged with the address, the client and the id of its request', async () => {
  const user = await newUser();
  const { product } = await sell('creem', { plan: 'pro', credits: 10 });
  const body = JSON.stringify(toldByCreem('subscription.paid', purchaseBy(user, product, 'creem')));
  const delivery = await fetch(`${env.FUNCTIONS_URL}/creem-webhook`, {
    method: 'POST',
    headers: {
      'creem-signature': creemSignature(body, env.CREEM_WEBHOOK_SECRET),
      'user-agent': 'a platform',
      'x-forwarded-for': '203.0.113.20, 10.0.0.1',
    },
    body,
  });
  expect(delivery.status).toBe(200);
  const rows = await sql(
    `select actor_role, host(ip_address) as ip, user_agent, request_id from public.audit_logs
      where workspace_id = $1 and resource_type = 'user_subscriptions'`,
    [user.id],
  );
  expect(rows).toEqual([
    {
      actor_role: 'service_role',
      ip: '203.0.113.20',
      user_agent: 'a platform',
      request_id: delivery.headers.get('x-request-id'),
    },
  ]);
});

test('an account that is disabled is refused at once, although its token is known', async () => {
  const [caller, model] = await Promise.all([newCaller(), newModel()]);
  const call = async () => {
    const response = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${caller.accessToken}`, 'x-ai-reference': randomUUID() },
      body: JSON.stringify({ model, max_tokens: 1, messages: simulate({ output_tokens: 1 }) }),
    });
    return [response.status, ((await response.json()) as { error?: { code: string } }).error?.code];
  };
  expect(await call()).toEqual([200, undefined]);
  await sql('update public.users set is_active = false where id = $1', [caller.id]);
  expect(await call()).toEqual([403, 'account_disabled']);
});
