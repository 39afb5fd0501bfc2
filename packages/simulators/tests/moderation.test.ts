import { expect, test } from 'vitest';
import { createPaymentSimulator } from '../payments/index.ts';

const simulator = createPaymentSimulator({ findProduct: async () => undefined, deliver: async () => undefined });

function moderate(body: object, key = 'creem_test_simulator', signal?: AbortSignal): Promise<Response> {
  const headers = { 'x-api-key': key, 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body), signal };
  return Promise.resolve(simulator.fetch(new Request('http://localhost/creem/v1/moderation/prompt', init)));
}

test.each([
  ['A cat.', 'allow'],
  ['A [[moderate:flag]] cat.', 'flag'],
  ['[[moderate:deny]]', 'deny'],
  ['[[moderate:review]]', 'review'],
])('the prompt %j is decided by its word: %s', async (prompt, decision) => {
  const answer = await moderate({ prompt, external_id: 'req_1' });
  expect([answer.status, await answer.json()]).toEqual([
    200,
    {
      id: expect.stringMatching(/^mod_/),
      object: 'moderation_result',
      prompt,
      external_id: 'req_1',
      decision,
      usage: { units: 1 },
    },
  ]);
});

test('moderation fails, is slow, and wants its key and a prompt', async () => {
  expect((await moderate({ prompt: '[[moderate:error]]' })).status).toBe(500);
  expect((await moderate({ prompt: 'x' }, '')).status).toBe(401);
  expect((await moderate({})).status).toBe(400);
  const leaving = new AbortController();
  const slow = moderate({ prompt: '[[moderate:slow]]' }, undefined, leaving.signal);
  const first = await Promise.race([slow, moderate({ prompt: 'x' })]);
  expect(await first.json()).toMatchObject({ prompt: 'x' });
  leaving.abort();
  await slow;
});
