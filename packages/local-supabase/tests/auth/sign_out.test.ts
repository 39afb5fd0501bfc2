import { expect, test } from 'vitest';
import { anonClient } from '../support/stack.ts';
import { call, PASSWORD, signUp } from './helpers.ts';

async function signedInTwice() {
  const { client: here, email, session } = await signUp();
  const there = anonClient();
  await there.auth.signInWithPassword({ email, password: PASSWORD });
  return { here, there, token: session.access_token };
}

const isSignedIn = async (client: Awaited<ReturnType<typeof signedInTwice>>['here']) =>
  (await client.auth.refreshSession()).error === null;

test('global ends every session', async () => {
  const { here, there, token } = await signedInTwice();
  expect((await here.auth.signOut({ scope: 'global' })).error).toBeNull();
  expect(await isSignedIn(there)).toBe(false);
  const answer = await call('GET', '/user', { bearer: token });
  expect(answer).toMatchObject({ status: 403, body: { code: 'session_not_found' } });
});

test('local ends the calling session alone', async () => {
  const { here, there, token } = await signedInTwice();
  expect((await here.auth.signOut({ scope: 'local' })).error).toBeNull();
  expect(await isSignedIn(there)).toBe(true);
  expect((await call('GET', '/user', { bearer: token })).status).toBe(403);
});

test('others ends all but the calling session', async () => {
  const { here, there } = await signedInTwice();
  expect((await here.auth.signOut({ scope: 'others' })).error).toBeNull();
  expect(await isSignedIn(there)).toBe(false);
  expect(await isSignedIn(here)).toBe(true);
});

test('an unknown scope is refused and ends nothing', async () => {
  const { here, token } = await signedInTwice();
  const answer = await call('POST', '/logout?scope=mine', { bearer: token });
  expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
  expect(await isSignedIn(here)).toBe(true);
});
