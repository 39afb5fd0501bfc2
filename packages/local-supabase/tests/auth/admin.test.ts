import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { anonClient, env, serviceClient, sql } from '../support/stack.ts';
import { call, newEmail, PASSWORD, signUp } from './helpers.ts';

const admin = serviceClient().auth.admin;

async function created(attributes: Parameters<typeof admin.createUser>[0] = {}) {
  const email = newEmail();
  const { data, error } = await admin.createUser({ email, password: PASSWORD, email_confirm: true, ...attributes });
  if (error) throw error;
  return { email, user: data.user };
}

test('creates a confirmed user who can sign in', async () => {
  const id = randomUUID();
  const { email, user } = await created({ id, user_metadata: { a: 1 }, app_metadata: { tier: 'x' } });
  expect(user).toMatchObject({ id, email, role: 'authenticated' });
  expect(user.user_metadata).toEqual({ a: 1, email_verified: true });
  expect(user.app_metadata).toEqual({ provider: 'email', providers: ['email'], tier: 'x' });
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).toBeNull();
});

test('takes a bcrypt hash in place of a password', async () => {
  const known = await signUp();
  const [row] = await sql('select encrypted_password as hash from auth.users where id = $1', [known.user.id]);
  const hash = String(row?.hash).replace('$2a$', '$2b$');
  const { email } = await created({ password: undefined, password_hash: hash });
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).toBeNull();
});

test.each([
  ['no address', { email: undefined }, 400, 'validation_failed'],
  ['an id that is no UUID', { id: 'x' }, 400, 'validation_failed'],
  ['a ban that is no duration', { ban_duration: 'soon' }, 400, 'validation_failed'],
  ['a hash that is no bcrypt', { password: undefined, password_hash: 'md5' }, 400, 'validation_failed'],
])('refuses to create a user with %s', async (_what, change, status, code) => {
  const { error } = await admin.createUser({ email: newEmail(), password: PASSWORD, ...change });
  expect(error).toMatchObject({ status, code });
});

test('refuses a taken address and a taken id', async () => {
  const { email, user } = await created();
  expect((await admin.createUser({ email })).error).toMatchObject({ status: 422, code: 'email_exists' });
  const sameId = await admin.createUser({ email: newEmail(), id: user.id });
  expect(sameId.error).toMatchObject({ status: 422, code: 'user_already_exists' });
});

test('pages through the users, newest first', async () => {
  const { user: older } = await created();
  const { user: newer } = await created();
  const { data, error } = await admin.listUsers({ page: 1, perPage: 1 });
  if (error) throw error;
  expect(data.users).toHaveLength(1);
  expect(data.total).toBeGreaterThanOrEqual(2);
  expect(data.nextPage).toBe(2);
  // Other tests make users meanwhile, and many of them.
  const ids: string[] = [];
  for (let page: number | null = 1; page !== null && !ids.includes(older.id); ) {
    const next = await admin.listUsers({ page, perPage: 1000 });
    if (next.error) throw next.error;
    ids.push(...next.data.users.map((user) => user.id));
    page = next.data.nextPage;
  }
  expect(ids.indexOf(newer.id)).toBeLessThan(ids.indexOf(older.id));
});

test.each(['page=0', 'page=-1', 'per_page=0', 'page=x', 'page=99999999999999999999', 'per_page=1e9'])(
  'refuses the page %s',
  async (query) => {
    const answer = await call('GET', `/admin/users?${query}`, { bearer: env.SERVICE_ROLE_KEY });
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
  },
);

test('reads, and updates every attribute', async () => {
  const { user } = await created();
  const email = newEmail();
  const changed = await admin.updateUserById(user.id, {
    email,
    email_confirm: true,
    password: 'another password',
    user_metadata: { name: 'B' },
    app_metadata: { tier: 'pro' },
    role: 'authenticated',
    ban_duration: '24h',
  });
  expect(changed.error).toBeNull();
  const { data } = await admin.getUserById(user.id);
  expect(data.user).toMatchObject({ email, user_metadata: { name: 'B' }, app_metadata: { tier: 'pro' } });
  const hours = (Date.parse(data.user?.banned_until ?? '') - Date.now()) / 3_600_000;
  expect(hours).toBeGreaterThan(23.9);
  expect(hours).toBeLessThanOrEqual(24);
});

test('a new password ends all sessions', async () => {
  const { client, user } = await signUp();
  await admin.updateUserById(user.id, { password: 'another password' });
  expect((await client.auth.refreshSession()).error).not.toBeNull();
});

test('deletes for good, and the address is free again', async () => {
  const { email, user } = await created();
  expect((await admin.deleteUser(user.id)).error).toBeNull();
  expect((await admin.getUserById(user.id)).error).toMatchObject({ status: 404, code: 'user_not_found' });
  expect((await admin.deleteUser(user.id)).error).toMatchObject({ status: 404, code: 'user_not_found' });
  expect((await admin.createUser({ email })).error).toBeNull();
});

test('a soft deletion keeps the row without the person', async () => {
  const { client, email, user } = await signUp({ full_name: 'Ana' });
  expect((await admin.deleteUser(user.id, true)).error).toBeNull();
  expect((await admin.deleteUser(user.id, true)).error).toBeNull();
  const { data } = await admin.getUserById(user.id);
  expect(data.user?.deleted_at).toBeTruthy();
  expect(JSON.stringify(data.user)).not.toContain(email);
  expect(data.user?.user_metadata).toEqual({});
  expect((await client.auth.refreshSession()).error).not.toBeNull();
  expect((await anonClient().auth.signInWithPassword({ email, password: PASSWORD })).error).not.toBeNull();
  expect((await anonClient().auth.signUp({ email, password: PASSWORD })).error).toBeNull();
});

test('nobody but the service role may', async () => {
  const { session, user } = await signUp();
  for (const bearer of [env.ANON_KEY, session.access_token]) {
    for (const [method, path] of [
      ['GET', '/admin/users'],
      ['POST', '/admin/users'],
      ['GET', `/admin/users/${user.id}`],
      ['PUT', `/admin/users/${user.id}`],
      ['DELETE', `/admin/users/${user.id}`],
    ] as const) {
      const answer = await call(method, path, { bearer, ...(method === 'GET' ? {} : { body: {} }) });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 403, body: { code: 'not_admin' } });
    }
  }
  expect(await call('GET', '/admin/users', { bearer: 'x.y.z' })).toMatchObject({
    status: 403,
    body: { code: 'bad_jwt' },
  });
});

test('an id that is no UUID is not found', async () => {
  const answer = await call('GET', '/admin/users/1', { bearer: env.SERVICE_ROLE_KEY });
  expect(answer).toMatchObject({ status: 404, body: { code: 'validation_failed' } });
});
