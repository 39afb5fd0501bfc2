/** A session whose row somebody else deletes, as a project's own SQL may do it. */
import { expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { call, signUp } from './helpers.ts';

test('cannot be refreshed, and its access token reads no user', async () => {
  const { session } = await signUp();
  await sql('delete from auth.sessions where user_id = $1', [session.user.id]);
  const refreshed = await call('POST', '/token?grant_type=refresh_token', {
    body: { refresh_token: session.refresh_token },
  });
  expect(refreshed).toMatchObject({ status: 400, body: { code: 'refresh_token_not_found' } });
  const answer = await call('GET', '/user', { bearer: session.access_token });
  expect(answer).toMatchObject({ status: 403, body: { code: 'session_not_found' } });
});
