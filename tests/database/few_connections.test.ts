/** More callers of the functions at once than they have connections, and what the audit log knows of their requests. */
import { randomUUID } from 'node:crypto';
import { creemSignature } from '@basemeter/simulators';
import { expect, test } from 'vitest';
import { AI_URL, newCaller, newModel, simulate, untilLogged } from '../ai/helpers.ts';
import { purchaseBy, sell, toldByCreem } from '../payments/shop.ts';
import { env, newUser, sql } from '../support/stack.ts';

test('200 calls at once are answered, or told to come again: none is lost, and none is charged twice', async () => {
  const [callers, model] = await Promise.all([Promise.all([1, 2, 3, 4].map(newCaller)), newModel()]);
  for (const { id } of callers) await sql(`select public.credit_user_credits_transaction($1, 100, 'manual')`, [id]);
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      const caller = callers[number % callers.length];
      const response = await fetch(`${AI_URL}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${caller?.accessToken}` },
        body: JSON.stringify({ model, max_tokens: 1, messages: simulate({ output_tokens: 1 }) }),
      });
      const body = (await response.json()) as { error?: { code: string } };
      return { caller, status: response.status, retryAfter: response.headers.get('retry-after'), body };
    }),
  );
  const refused = answers.filter(({ status }) => status !== 200);
  for (const { status, retryAfter, body } of refused) {
    expect({ status, retryAfter, code: body.error?.code }).toEqual({
      status: 503,
      retryAfter: '1',
      code: 'unavailable',
    });
  }
  expect(refused.length).toBeLessThan(answers.length);
  for (const caller of callers) {
    const answered = answers.filter((one) => one.caller === caller && one.status === 200).length;
    const logs = await untilLogged(caller, answered);
    expect(logs.filter(({ status }) => status === 'success')).toHaveLength(answered);
    const charged = logs.filter(({ credits_charged }) => Number(credits_charged) > 0);
    expect(charged).toHaveLength(answered);
  }
});

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
