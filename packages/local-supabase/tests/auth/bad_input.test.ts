import { expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { call, newEmail, PASSWORD } from './helpers.ts';

const signUpWith = (data: unknown, email = newEmail()) =>
  call('POST', '/signup', { body: { email, password: PASSWORD, data } });

test.each([
  ['no JSON', '{"email":', 'bad_json'],
  ['a list', '[]', 'bad_json'],
  ['null', 'null', 'bad_json'],
  ['deep nesting', `{"data":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`, 'validation_failed'],
  ['a body over 1 MiB', JSON.stringify({ data: { a: 'x'.repeat(1_100_000) } }), 'validation_failed'],
  ['an address that is a number', '{"email":1}', 'validation_failed'],
  ['data that is a list', '{"email":"a@example.test","password":"password","data":[1]}', 'validation_failed'],
])('refuses %s', async (_what, raw, code) => {
  expect(await call('POST', '/signup', { raw })).toMatchObject({ status: 400, body: { code } });
});

test.each([
  ['a NUL in a value', { a: 'x\0y' }],
  ['a NUL in a key', { 'x\0y': 1 }],
  ['half a surrogate pair', { a: '\ud800' }],
])('refuses %s and leaves nothing', async (_what, data) => {
  const email = newEmail();
  expect(await signUpWith(data, email)).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
  expect(await sql('select id from auth.users where email = $1', [email])).toEqual([]);
});

test('stores a __proto__ key as data like any other', async () => {
  const email = newEmail();
  const raw = `{"email":"${email}","password":"${PASSWORD}","data":{"__proto__":{"admin":true},"emoji":"😀"}}`;
  expect((await call('POST', '/signup', { raw })).status).toBe(200);
});

test('errors have the old form without the version header', async () => {
  const answer = await call('POST', '/signup', { raw: '{', headers: { 'x-supabase-api-version': '' } });
  expect(answer.body).toEqual({ code: 400, error_code: 'bad_json', msg: expect.any(String) });
  expect(answer.headers.get('x-sb-error-code')).toBe('bad_json');
});

test.each([
  ['POST', '/otp'],
  ['POST', '/recover'],
  ['GET', '/authorize?provider=github'],
  ['POST', '/verify'],
  ['POST', '/factors'],
  ['POST', '/token?grant_type=pkce'],
])('%s %s says that the stand-in lacks it', async (method, path) => {
  const answer = await call(method, path, method === 'GET' ? {} : { body: {} });
  expect(answer).toMatchObject({ status: 422, body: { code: 'not_implemented' } });
});

test('an unknown path is not found, and an unknown grant type is refused', async () => {
  expect((await call('GET', '/nowhere')).status).toBe(404);
  expect((await call('POST', '/token?grant_type=magic', { body: {} })).status).toBe(400);
});

test('health says that this is a stand-in, and settings what it can do', async () => {
  expect((await call('GET', '/health')).body.description).toContain('not Supabase Auth');
  expect((await call('GET', '/settings')).body).toMatchObject({
    external: { email: true, anonymous_users: true },
    mailer_autoconfirm: true,
  });
});
