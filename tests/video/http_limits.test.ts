/** A limit of the month, over HTTP. */
import { expect, test } from 'vitest';
import { env, newUser, sql } from '../support/stack.ts';
import { newVideoModel } from './http_helpers.ts';

test('a video that a limit of the month refuses says so too', async () => {
  const user = await newUser();
  await sql(
    `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'api_call', 0, 'a test')`,
    [user.id],
  );
  const refused = await fetch(`${env.FUNCTIONS_URL}/video/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: await newVideoModel(), prompt: 'a cat' }),
  });
  expect(await refused.json()).toMatchObject({ error: { code: 'limit_reached' } });
  expect([refused.status, refused.headers.get('x-should-retry')]).toEqual([429, 'false']);
});
