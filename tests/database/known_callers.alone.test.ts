/** A verified access token is not verified again until it expires; what it may do is for SQL to say, every time. */
import { beforeEach, expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const AUTH = new URL('../../supabase/functions/_shared/auth.ts', import.meta.url).pathname;
const NOW = Date.parse('2026-01-01T00:00:00Z');

const verify = vi.hoisted(() => vi.fn());
const rpc = vi.hoisted(() => vi.fn(async () => null));
vi.mock('@supabase/server/core', () => ({ verifyCredentials: verify }));
vi.mock('../../supabase/functions/_shared/database.ts', () => ({
  database: { rpc },
  run: (query: () => Promise<unknown>) => query(),
}));

const requireCaller = async (token: string) => {
  const { requireCaller } = await import(AUTH);
  return requireCaller(new Request('http://ai.test', { headers: { authorization: `Bearer ${token}` } }));
};

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  rpc.mockClear();
  verify.mockReset();
  verify.mockImplementation(async ({ token }: { token: string }) => ({
    data: { userClaims: { id: token, role: 'authenticated' }, jwtClaims: { exp: NOW / 1000 + 60 } },
    error: null,
  }));
});

test('a token is verified once, and again when it has expired', async () => {
  const person = { user_id: 'ana', api_key_hash: null };
  expect(await requireCaller('ana')).toEqual(person);
  vi.setSystemTime(NOW + 59_999);
  expect(await requireCaller('ana')).toEqual(person);
  expect(verify).toHaveBeenCalledTimes(1);
  vi.setSystemTime(NOW + 60_000);
  verify.mockImplementation(async () => ({ data: null, error: { status: 401 } }));
  await expect(requireCaller('ana')).rejects.toMatchObject({ status: 401, code: 'not_authenticated' });
});

test('what is kept of a caller is not what the request adds to it', async () => {
  Object.assign(await requireCaller('ben'), { workspace_id: 'a team' });
  expect(await requireCaller('ben')).toEqual({ user_id: 'ben', api_key_hash: null });
});

test('a token that is refused, and one that never expires, are looked at each time', async () => {
  verify.mockImplementation(async () => ({ data: null, error: { status: 401 } }));
  for (let tries = 0; tries < 2; tries += 1) await requireCaller('cid').catch(() => undefined);
  verify.mockImplementation(async () => ({ data: { userClaims: { id: 'cid', role: 'authenticated' } }, error: null }));
  for (let tries = 0; tries < 2; tries += 1) await requireCaller('cid');
  expect(verify).toHaveBeenCalledTimes(4);
});

test('of many the newest thousand are known', async () => {
  await requireCaller('first');
  for (let number = 0; number < 1_000; number += 1) await requireCaller(`many-${number}`);
  verify.mockClear();
  await requireCaller('many-999');
  expect(verify).not.toHaveBeenCalled();
  await requireCaller('first');
  expect(verify).toHaveBeenCalledTimes(1);
});

test('an API key is looked up again after a minute', async () => {
  for (const passed of [0, 59_999, 60_000]) {
    vi.setSystemTime(NOW + passed);
    await requireCaller('sk-1');
  }
  expect(rpc).toHaveBeenCalledTimes(2);
  expect(verify).not.toHaveBeenCalled();
});
