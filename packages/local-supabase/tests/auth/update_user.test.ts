import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { anonClient, sql } from '../support/stack.ts';
import { call, newEmail, PASSWORD, signUp, whileLocked } from './helpers.ts';

test('merges data, and null takes a key out', async () => {
  const { client } = await signUp({ keep: 1, drop: 2 });
  const { data, error } = await client.auth.updateUser({ data: { drop: null, added: [3] } });
  expect(error).toBeNull();
  expect(data.user?.user_metadata).toMatchObject({ keep: 1, added: [3] });
  expect(data.user?.user_metadata).not.toHaveProperty('drop');
});

test('a changed address counts at once, for the user and the identity', async () => {
  const { client, email } = await signUp();
  const changed = newEmail();
  const { data } = await client.auth.updateUser({ email: changed.toUpperCase() });
  expect(data.user?.email).toBe(changed);
  expect(data.user?.identities?.[0]?.identity_data?.email).toBe(changed);
  expect((await anonClient().auth.signInWithPassword({ email: changed, password: PASSWORD })).error).toBeNull();
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).not.toBeNull();
});

test("another's address is refused", async () => {
  const taken = await signUp();
  const { client } = await signUp();
  const { error } = await client.auth.updateUser({ email: taken.email });
  expect(error).toMatchObject({ code: 'email_exists', status: 422 });
});

test('a changed password ends the other sessions and keeps the calling one', async () => {
  const { client, email } = await signUp();
  const other = anonClient();
  await other.auth.signInWithPassword({ email, password: PASSWORD });
  expect((await client.auth.updateUser({ password: 'another password' })).error).toBeNull();
  expect((await other.auth.refreshSession()).error).not.toBeNull();
  expect((await client.auth.refreshSession()).error).toBeNull();
  const signIn = await anonClient().auth.signInWithPassword({ email, password: 'another password' });
  expect(signIn.error).toBeNull();
});

test('the same and a weak password are refused, and so is app_metadata', async () => {
  const { client, session } = await signUp();
  expect((await client.auth.updateUser({ password: PASSWORD })).error).toMatchObject({ code: 'same_password' });
  for (const password of ['abc', '']) {
    expect((await client.auth.updateUser({ password })).error).toMatchObject({ code: 'weak_password' });
  }
  const answer = await call('PUT', '/user', { bearer: session.access_token, body: { app_metadata: { role: 'x' } } });
  expect(answer).toMatchObject({ status: 403, body: { code: 'not_admin' } });
});

test('an anonymous user signs up by adding an address and a password', async () => {
  const client = anonClient();
  const { data, error } = await client.auth.signInAnonymously({ options: { data: { theme: 'dark' } } });
  expect(error).toBeNull();
  expect(data.user).toMatchObject({ is_anonymous: true, email: '', app_metadata: {}, identities: [] });
  expect(decodeJwt(data.session?.access_token ?? '')).toMatchObject({
    is_anonymous: true,
    role: 'authenticated',
    amr: [{ method: 'anonymous' }],
  });

  const alone = await client.auth.updateUser({ password: PASSWORD });
  expect(alone.error).toMatchObject({ code: 'validation_failed', status: 422 });

  const email = newEmail();
  const converted = await client.auth.updateUser({ email, password: PASSWORD });
  expect(converted.data.user).toMatchObject({
    id: data.user?.id,
    email,
    is_anonymous: false,
    app_metadata: { provider: 'email', providers: ['email'] },
  });
  expect(converted.data.user?.user_metadata).toMatchObject({ theme: 'dark', email_verified: true });
  const [row] = await sql('select email_confirmed_at is not null as confirmed from auth.users where id = $1', [
    data.user?.id,
  ]);
  expect(row).toEqual({ confirmed: true });
  const refreshed = await client.auth.refreshSession();
  expect(decodeJwt(refreshed.data.session?.access_token ?? '').is_anonymous).toBe(false);
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).data.user?.id).toBe(data.user?.id);
});

test('two conversions at once make one identity', async () => {
  const client = anonClient();
  const { data } = await client.auth.signInAnonymously();
  const bearer = data.session?.access_token ?? '';
  const email = newEmail();
  const answers = await whileLocked('select from auth.users where id = $1 for update', [data.user?.id], () =>
    Promise.all([1, 2, 3].map(() => call('PUT', '/user', { bearer, body: { email } }))),
  );
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
});
