import { expect, test } from 'vitest';
import { anonClient, env, serviceClient } from '../support/stack.ts';
import { call, newEmail, PASSWORD, signUp } from './helpers.ts';

test('gives a session of its own for each sign-in', async () => {
  const { email, session } = await signUp();
  const { data, error } = await anonClient().auth.signInWithPassword({ email, password: PASSWORD });
  expect(error).toBeNull();
  expect(data.user?.email).toBe(email);
  expect(data.session?.refresh_token).not.toBe(session.refresh_token);
});

test('answers a wrong password and an unknown address alike', async () => {
  const { email } = await signUp();
  const wrong = { code: 'invalid_credentials', status: 400, message: 'Invalid login credentials' };
  expect((await anonClient().auth.signInWithPassword({ email, password: 'not this one' })).error).toMatchObject(wrong);
  const unknown = await anonClient().auth.signInWithPassword({ email: newEmail(), password: PASSWORD });
  expect(unknown.error).toMatchObject(wrong);
});

test('refuses a banned user everywhere until the ban is lifted', async () => {
  const { client, email, user, session } = await signUp();
  const admin = serviceClient().auth.admin;
  await admin.updateUserById(user.id, { ban_duration: '1h30m' });
  const banned = { code: 'user_banned' };
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).toMatchObject(banned);
  expect((await client.auth.refreshSession()).error).toMatchObject(banned);
  expect(await call('GET', '/user', { bearer: session.access_token })).toMatchObject({ status: 403, body: banned });
  await admin.updateUserById(user.id, { ban_duration: 'none' });
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).toBeNull();
});

test('refuses an address that is not confirmed', async () => {
  const email = newEmail();
  await serviceClient().auth.admin.createUser({ email, password: PASSWORD });
  const { error } = await anonClient().auth.signInWithPassword({ email, password: PASSWORD });
  expect(error).toMatchObject({ code: 'email_not_confirmed', status: 400 });
});

test('reads the user of a token, and refuses a bad, a missing and a user-less one', async () => {
  const { client, user, session } = await signUp();
  expect((await client.auth.getUser()).data.user?.id).toBe(user.id);
  const [header, payload, signature] = session.access_token.split('.');
  const forged = `${header}.${payload}.${signature?.split('').reverse().join('')}`;
  const answers = {
    forged: await call('GET', '/user', { bearer: forged }),
    garbage: await call('GET', '/user', { bearer: 'garbage' }),
    anonKey: await call('GET', '/user', { bearer: env.ANON_KEY }),
    serviceKey: await call('GET', '/user', { bearer: env.SERVICE_ROLE_KEY }),
  };
  for (const answer of Object.values(answers)) {
    expect(answer).toMatchObject({ status: 403, body: { code: 'bad_jwt' } });
  }
});

test('refuses the token of a deleted user', async () => {
  const { user, session } = await signUp();
  await serviceClient().auth.admin.deleteUser(user.id);
  const answer = await call('GET', '/user', { bearer: session.access_token });
  expect(answer).toMatchObject({ status: 403, body: { code: 'user_not_found' } });
});
