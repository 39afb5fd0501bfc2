import { createRemoteJWKSet, jwtVerify } from 'jose';
import { expect, test } from 'vitest';
import { anonClient, env, sql } from '../support/stack.ts';
import { call, newEmail, PASSWORD, signUp } from './helpers.ts';

test('signs in at once, with the data given as user_metadata', async () => {
  const { session, user, email } = await signUp({ full_name: 'Ana', nested: { list: [1, 'é', null] } });
  expect(session.token_type).toBe('bearer');
  expect(session.expires_in).toBe(3600);
  expect(session.refresh_token).toHaveLength(12);
  expect(user).toMatchObject({ email, aud: 'authenticated', role: 'authenticated', is_anonymous: false });
  expect(user.user_metadata).toMatchObject({ full_name: 'Ana', nested: { list: [1, 'é', null] }, email, sub: user.id });
  expect(user.user_metadata.email_verified).toBe(true);
  expect(user.app_metadata).toEqual({ provider: 'email', providers: ['email'] });
  expect(user.identities?.[0]).toMatchObject({ id: user.id, user_id: user.id, provider: 'email', email });
});

test('writes the rows that Supabase Auth writes', async () => {
  const { user, email } = await signUp();
  const [row] = await sql(
    `select u.instance_id::text, u.email, u.encrypted_password, u.email_confirmed_at is not null as confirmed,
       u.confirmation_token, u.last_sign_in_at is not null as signed_in,
       (select count(*)::int from auth.identities i where i.user_id = u.id and i.provider_id = u.id::text) as identities,
       (select count(*)::int from auth.sessions s where s.user_id = u.id and s.aal = 'aal1') as sessions,
       (select count(*)::int from auth.refresh_tokens t where t.user_id = u.id::text and not t.revoked) as tokens
     from auth.users u where u.id = $1`,
    [user.id],
  );
  expect(row).toMatchObject({
    instance_id: '00000000-0000-0000-0000-000000000000',
    email,
    confirmed: true,
    confirmation_token: '',
    signed_in: true,
    identities: 1,
    sessions: 1,
    tokens: 1,
  });
  expect(row?.encrypted_password).toMatch(/^\$2a\$\d\d\$.{53}$/);
});

test('gives an ES256 token with the claims of Supabase Auth, which the JWKS verifies', async () => {
  const { session, user, email } = await signUp();
  const jwks = createRemoteJWKSet(new URL(`${env.API_URL}/auth/v1/.well-known/jwks.json`), {
    headers: { apikey: env.ANON_KEY },
  });
  const { payload, protectedHeader } = await jwtVerify(session.access_token, jwks, { audience: 'authenticated' });
  expect(protectedHeader.alg).toBe('ES256');
  expect(payload).toMatchObject({
    iss: `${env.API_URL}/auth/v1`,
    sub: user.id,
    email,
    phone: '',
    role: 'authenticated',
    aal: 'aal1',
    is_anonymous: false,
    app_metadata: { provider: 'email', providers: ['email'] },
  });
  expect(payload.exp).toBe((payload.iat ?? 0) + 3600);
  expect(payload.amr).toEqual([{ method: 'password', timestamp: expect.any(Number) }]);
  expect(payload.session_id).toMatch(/^[0-9a-f-]{36}$/);
});

test('stores the address in lower case and refuses it in another spelling of case', async () => {
  const email = newEmail();
  const client = anonClient();
  const first = await client.auth.signUp({ email: email.toUpperCase(), password: PASSWORD });
  expect(first.data.user?.email).toBe(email);
  const second = await anonClient().auth.signUp({ email, password: PASSWORD });
  expect(second.error).toMatchObject({ code: 'user_already_exists', status: 422 });
  expect(
    (await anonClient().auth.signInWithPassword({ email: email.toUpperCase(), password: PASSWORD })).error,
  ).toBeNull();
});

test('lets one of ten sign-ups with one address at once through', async () => {
  const email = newEmail();
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => anonClient().auth.signUp({ email, password: PASSWORD })),
  );
  expect(answers.filter((answer) => answer.error === null)).toHaveLength(1);
  for (const { error } of answers.filter((answer) => answer.error !== null)) {
    expect(error).toMatchObject({ code: 'user_already_exists', status: 422 });
  }
});

test.each([
  ['a short password', { password: '12345' }, 422, 'weak_password'],
  ['no password', { password: '' }, 400, 'validation_failed'],
  ['a password longer than bcrypt reads', { password: 'x'.repeat(73) }, 400, 'validation_failed'],
  ['an address without @', { email: 'nobody' }, 400, 'validation_failed'],
  ['an address with a space', { email: 'no body@example.test' }, 400, 'validation_failed'],
  ['an address of 300 letters', { email: `${'a'.repeat(300)}@example.test` }, 400, 'validation_failed'],
  ['a phone number', { email: undefined, phone: '123456' }, 400, 'phone_provider_disabled'],
])('refuses %s', async (_what, change, status, code) => {
  const answer = await call('POST', '/signup', { body: { email: newEmail(), password: PASSWORD, ...change } });
  expect(answer).toMatchObject({ status, body: { code } });
});

test('names the reasons of a weak password, as the client expects', async () => {
  const { error } = await anonClient().auth.signUp({ email: newEmail(), password: 'abc' });
  expect(error).toMatchObject({ name: 'AuthWeakPasswordError', reasons: ['length'] });
});
