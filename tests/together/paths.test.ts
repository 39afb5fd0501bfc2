/** Paths of the functions besides `ai`, whose tests have their own. */
import { expect, test } from 'vitest';
import { env, newUser } from '../support/stack.ts';

test('a slash at the end is the same path', async () => {
  const headers = { authorization: `Bearer ${(await newUser()).accessToken}` };
  expect((await fetch(`${env.FUNCTIONS_URL}/billing/plans/`)).status).toBe(200);
  const job = await fetch(`${env.FUNCTIONS_URL}/video/jobs/`, { method: 'POST', headers, body: '{}' });
  expect(await job.json()).toMatchObject({ error: { code: 'invalid_request', param: 'model' } });
});
