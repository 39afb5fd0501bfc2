import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { call, signUp, whileLocked } from './helpers.ts';

const refresh = (token: unknown) => call('POST', '/token?grant_type=refresh_token', { body: { refresh_token: token } });
const makeOlder = (token: unknown) =>
  sql(`update auth.refresh_tokens set updated_at = updated_at - interval '11 seconds' where token = $1`, [token]);

test('gives a new pair of the same session and revokes the used token', async () => {
  const { client, session } = await signUp();
  const { data, error } = await client.auth.refreshSession();
  expect(error).toBeNull();
  expect(data.session?.refresh_token).not.toBe(session.refresh_token);
  const before = decodeJwt(session.access_token);
  const after = decodeJwt(data.session?.access_token ?? '');
  expect(after.session_id).toBe(before.session_id);
  expect(after.amr).toEqual(before.amr);
  const tokens = await sql('select token, revoked, parent from auth.refresh_tokens where session_id = $1 order by id', [
    before.session_id,
  ]);
  expect(tokens).toEqual([
    { token: session.refresh_token, revoked: true, parent: null },
    { token: data.session?.refresh_token, revoked: false, parent: session.refresh_token },
  ]);
});

test('gives the live token again to a client that lost the answer', async () => {
  const { session } = await signUp();
  const first = await refresh(session.refresh_token);
  await makeOlder(session.refresh_token);
  const again = await refresh(session.refresh_token);
  expect(again.status).toBe(200);
  expect(again.body.refresh_token).toBe(first.body.refresh_token);
});

test('within the grace an older token still works', async () => {
  const { session } = await signUp();
  await refresh((await refresh(session.refresh_token)).body.refresh_token);
  expect((await refresh(session.refresh_token)).status).toBe(200);
});

test('beyond the grace reuse of an older token ends the session', async () => {
  const { session } = await signUp();
  const second = await refresh(session.refresh_token);
  const third = await refresh(second.body.refresh_token);
  await makeOlder(session.refresh_token);
  const reused = await refresh(session.refresh_token);
  expect(reused).toMatchObject({ status: 400, body: { code: 'refresh_token_already_used' } });
  await makeOlder(third.body.refresh_token);
  expect(await refresh(third.body.refresh_token)).toMatchObject({ body: { code: 'refresh_token_already_used' } });
});

test('ten refreshes at once with one token agree on its successor', async () => {
  const { session } = await signUp();
  const lock = 'select from auth.refresh_tokens where token = $1 for update';
  const answers = await whileLocked(lock, [session.refresh_token], () =>
    Promise.all(Array.from({ length: 10 }, () => refresh(session.refresh_token))),
  );
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
  expect(new Set(answers.map((answer) => answer.body.refresh_token)).size).toBe(1);
});

test.each([
  ['an unknown token', 'aaaaaaaaaaaa', 'refresh_token_not_found'],
  ['no token', undefined, 'validation_failed'],
  ['a token that is a number', 12, 'validation_failed'],
  ['a token with a NUL', 'a\0b', 'validation_failed'],
])('refuses %s', async (_what, token, code) => {
  expect(await refresh(token)).toMatchObject({ status: 400, body: { code } });
});
