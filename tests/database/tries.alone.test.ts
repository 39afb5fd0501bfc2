/** How an rpc is tried again, and what callers are told where that does not help. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const DATABASE = new URL('../../supabase/functions/_shared/database.ts', import.meta.url).pathname;

vi.mock('@supabase/server/core', () => ({ createAdminClient: () => ({ storage: {} }) }));

type Answer = { data: unknown; error: object | null; status: number };
let run: (query: () => Promise<Answer>, patience?: number) => Promise<unknown>;
beforeAll(async () => {
  vi.stubGlobal('Deno', { env: { get: () => undefined } });
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  ({ run } = await import(DATABASE));
});
afterAll(() => vi.unstubAllGlobals());

/** Runs a query that takes `takes` ms for each of its answers, the last of which repeats, and tells how often it was tried. */
async function tried(answers: Partial<Answer>[], { takes = 0, patience }: { takes?: number; patience?: number } = {}) {
  vi.useFakeTimers();
  let tries = 0;
  const query = async () => {
    await new Promise((resolve) => setTimeout(resolve, takes));
    tries += 1;
    return { data: null, error: null, status: 200, ...answers[Math.min(tries, answers.length) - 1] } as Answer;
  };
  const outcome = run(query, patience).catch((error) => error);
  await vi.runAllTimersAsync();
  vi.useRealTimers();
  return { outcome: await outcome, tries };
}

const BROKEN = { error: { message: 'the connection broke' }, status: 0 };
const NOT_FREE = { error: { code: 'PGRST003', message: 'no connection is free' }, status: 504 };
const BUSY = { status: 503, code: 'unavailable', headers: { 'retry-after': '1' } };

test('a broken connection is tried again, at least once however long it took', async () => {
  expect(await tried([BROKEN, { data: 'done' }], { takes: 5_000 })).toEqual({ outcome: 'done', tries: 2 });
  expect(await tried([BROKEN], { takes: 5_000 })).toMatchObject({ outcome: BUSY, tries: 2 });
});

test('a call that waited for a connection for long enough is refused at once, for nothing was sent', async () => {
  expect(await tried([NOT_FREE], { takes: 3_000 })).toMatchObject({ outcome: BUSY, tries: 1 });
});

test('what must not be lost is tried for as long as is said', async () => {
  const answers = [...Array(20).fill(NOT_FREE), { data: 'settled' }];
  expect(await tried(answers, { takes: 3_000, patience: 400_000 })).toEqual({ outcome: 'settled', tries: 21 });
});

test.each([
  [
    { code: 'PT404', message: 'not_found', details: 'A sentence.' },
    500,
    { status: 404, code: 'not_found', headers: {} },
  ],
  [
    { code: 'limit_reached', message: 'limit_reached', details: 'A sentence.', headers: { 'Retry-After': '7' } },
    429,
    { status: 429, code: 'limit_reached', headers: { 'retry-after': '7' } },
  ],
  [{ code: 'limit_reached', message: 'limit_reached' }, 429, { status: 429, code: 'limit_reached', headers: {} }],
])('%j with status %i is for the caller', async (error, status, told) => {
  const { outcome, tries } = await tried([{ error, status }]);
  expect(outcome).toMatchObject(told);
  expect(tries).toBe(1);
});

test('any other error is ours', async () => {
  const { outcome } = await tried([{ error: { code: '23505', message: 'duplicate key' }, status: 409 }]);
  expect(outcome).toEqual(new Error('database error 23505: duplicate key'));
});
