import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { adminPool, anonClient, env, serviceClient, sql } from '../support/stack.ts';
import { call, newEmail, PASSWORD, signUp } from './helpers.ts';

const oddValue = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    '😀',
    'a@example.test',
    'NaN',
    `'; drop table x; --`,
    '$2a$10$short',
  ),
  fc.constantFrom(null, true, 0, -1, 1e308, [], {}, [null], { a: { b: ['\0'] } }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.jsonValue(),
);
const names = [
  'id',
  'email',
  'phone',
  'password',
  'password_hash',
  'role',
  'data',
  'user_metadata',
  'app_metadata',
].concat(['email_confirm', 'ban_duration', 'refresh_token', 'should_soft_delete']);
const metadata = fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.jsonValue(), { maxKeys: 3 });
/** A body that is in order, with at most two members replaced by something odd. */
const body = fc
  .tuple(
    fc.record({
      email: fc.uuid().map((id) => `${id}@example.test`),
      password: fc.string({ unit: 'grapheme', minLength: 6, maxLength: 10 }),
      data: metadata,
      user_metadata: metadata,
      email_confirm: fc.boolean(),
      ban_duration: fc.constantFrom('none', '1h', '99999999h'),
    }),
    fc.dictionary(fc.constantFrom(...names), oddValue, { maxKeys: 2 }),
  )
  .map(([ordinary, odd]) => ({ ...ordinary, ...odd }));

test('no body, id or query makes a 5xx', async () => {
  const { session } = await signUp();
  const others = await Promise.all([signUp(), signUp(), signUp(), signUp()]);
  const request = fc.tuple(
    fc.constantFrom(
      'POST /signup',
      'POST /token?grant_type=password',
      'POST /token?grant_type=refresh_token',
      'POST /token?grant_type=:id',
      'PUT /user',
      'POST /logout?scope=:id',
      'POST /admin/users',
      'PUT /admin/users/:id',
      'DELETE /admin/users/:id',
    ),
    fc.constantFrom(...others.map(({ user }) => user.id), '1', '%00', '%ff', randomUUID(), '..', 'é'),
    body,
    fc.constantFrom('fitting', 'fitting', 'fitting', env.ANON_KEY, 'x', `${session.access_token}x`),
    fc.constantFrom('', 'fe80::1%eth0', '::1', '1.2.3.4, 5.6.7.8', 'nowhere'),
  );
  await fc.assert(
    fc.asyncProperty(request, async ([target, id, sent, token, from]) => {
      const [method = '', path = ''] = target.replace(':id', id).split(' ');
      const fitting = path.startsWith('/admin') ? env.SERVICE_ROLE_KEY : session.access_token;
      const bearer = token === 'fitting' ? fitting : token;
      const answer = await call(method, path, { body: sent, bearer, headers: { 'x-forwarded-for': from } });
      expect(answer.status, `${method} ${path} ${JSON.stringify(sent)}`).toBeLessThan(500);
    }),
    { numRuns: 400 },
  );
});

test('sign-ins, refreshes and changes of an account that is being deleted are refused, not broken', async () => {
  const accounts = await Promise.all(Array.from({ length: 8 }, () => signUp()));
  const answers = await Promise.all(
    accounts.flatMap(({ email, user, session }) => [
      call('POST', '/token?grant_type=password', { body: { email, password: PASSWORD } }),
      call('POST', '/token?grant_type=refresh_token', { body: { refresh_token: session.refresh_token } }),
      call('PUT', '/user', { bearer: session.access_token, body: { email: newEmail(), data: { a: 1 } } }),
      call('DELETE', `/admin/users/${user.id}`, { bearer: env.SERVICE_ROLE_KEY }),
      call('POST', '/logout', { bearer: session.access_token }),
    ]),
  );
  expect(answers.filter((answer) => answer.status >= 500)).toEqual([]);
  const ids = accounts.map((account) => account.user.id);
  expect(await sql('select id from auth.users where id = any($1)', [ids])).toEqual([]);
  expect(await sql('select id from auth.refresh_tokens where user_id = any($1)', [ids])).toEqual([]);
});

test('a sign-up that fails half-way leaves nothing', async () => {
  const email = newEmail();
  await adminPool.query(`
    create function auth.refuse_one_identity() returns trigger language plpgsql as
      $$ begin raise exception 'refused by a test'; end $$;
    create trigger refuse_one_identity after insert on auth.identities for each row
      when (new.identity_data ->> 'email' = '${email}') execute function auth.refuse_one_identity();`);
  try {
    const { error } = await anonClient().auth.signUp({ email, password: PASSWORD });
    expect(error).toMatchObject({ status: 500 });
    expect(await sql('select id from auth.users where email = $1', [email])).toEqual([]);
  } finally {
    await adminPool.query('drop function auth.refuse_one_identity cascade');
  }
  expect((await anonClient().auth.signUp({ email, password: PASSWORD })).error).toBeNull();
});

test('the client can check claims by itself, and sees a changed role in the next token', async () => {
  const { client, user } = await signUp();
  const { data, error } = await client.auth.getClaims();
  expect(error).toBeNull();
  expect(data?.claims).toMatchObject({ sub: user.id, role: 'authenticated' });
  await serviceClient().auth.admin.updateUserById(user.id, { app_metadata: { tier: 'pro' } });
  await client.auth.refreshSession();
  expect((await client.auth.getClaims()).data?.claims.app_metadata).toMatchObject({ tier: 'pro' });
});
