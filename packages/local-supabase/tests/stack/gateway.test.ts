import { expect, test } from 'vitest';
import { env, newUser, sql } from '../support/stack.ts';

const rest = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${env.API_URL}/rest/v1/${path}`, { headers });

const ASKED = 'authorization, apikey, content-type, x-client-info, x-retry-count, traceparent, x-stainless-os, prefer';

function preflight(path: string): Promise<Response> {
  const headers = {
    origin: 'https://app.example.test',
    'access-control-request-method': 'POST',
    'access-control-request-headers': ASKED,
  };
  return fetch(`${env.API_URL}${path}`, { method: 'OPTIONS', headers });
}

test.each([
  '/rest/v1/people',
  '/rest/v1/rpc/anything',
  '/auth/v1/signup',
  '/functions/v1/hello/there',
  '/storage/v1/object/videos/a.mp4',
])('a page of any origin passes the preflight of %s with every header the clients send', async (path) => {
  const answer = await preflight(path);
  expect([200, 204]).toContain(answer.status);
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  expect(answer.headers.get('access-control-allow-methods')).toContain('POST');
  const allowed = answer.headers.get('access-control-allow-headers')?.toLowerCase().split(/, */) ?? [];
  expect(allowed).toEqual(
    expect.arrayContaining(['authorization', 'apikey', 'content-type', 'x-client-info', 'traceparent']),
  );
});

test('answers of REST and sign-in, refusals too, may be read by a page of any origin', async () => {
  for (const answer of [
    await rest('people'),
    await rest('people', { apikey: env.ANON_KEY }),
    await fetch(`${env.API_URL}/auth/v1/health`),
  ]) {
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  }
});

test('REST wants an API key, and a known one', async () => {
  expect([(await rest('people')).status, (await rest('people', { apikey: 'sb_secret_made_up' })).status]).toEqual([
    401, 401,
  ]);
});

test.each(['ANON_KEY', 'PUBLISHABLE_KEY', 'SERVICE_ROLE_KEY', 'SECRET_KEY'] as const)(
  'REST takes %s as apikey alone, in the query, and as Bearer besides',
  async (name) => {
    const key = env[name];
    const tries = [
      await rest('', { apikey: key }),
      await rest(`?apikey=${key}`),
      await rest('', { apikey: key, authorization: `Bearer ${key}` }),
    ];
    expect(tries.map(({ status }) => status)).toEqual([200, 200, 200]);
  },
);

test('REST sees the service role behind a secret key, and the user behind a user’s token', async () => {
  const user = await newUser();
  await sql('insert into public.people values ($1)', [user.id]);
  const asService = await rest(`people?select=id&id=eq.${user.id}`, { apikey: env.SECRET_KEY });
  expect(await asService.json()).toEqual([{ id: user.id }]);
  const asUser = await rest('people?select=id', {
    apikey: env.PUBLISHABLE_KEY,
    authorization: `Bearer ${user.accessToken}`,
  });
  expect(await asUser.json()).toEqual([{ id: user.id }]);
});

test('what is not there is a 404', async () => {
  expect((await fetch(`${env.API_URL}/realtime/v1/x`)).status).toBe(404);
  expect((await fetch(`${env.API_URL}/storage/v1/x`)).status).toBe(404);
});
