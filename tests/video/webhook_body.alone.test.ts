/** A webhook's body is waited for only from who has the token, and not for long. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const MODULE = new URL('../../supabase/functions/video-webhook/index.ts', import.meta.url).pathname;

const callRpc = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/video/database.ts', () => ({ callRpc, isOver: () => true }));
vi.mock('../../supabase/functions/_shared/video/sync.ts', () => ({ syncJob: vi.fn() }));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Rings with a body that never ends. */
async function ring(): Promise<Response> {
  const { default: webhook } = await import(MODULE);
  const address = `http://x/video-webhook/${crypto.randomUUID()}/${'0'.repeat(64)}`;
  const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) });
  return webhook.fetch(new Request(address, { method: 'POST', body, duplex: 'half' } as RequestInit));
}

test('that of others is not', async () => {
  const { ApiError } = await import('../../supabase/functions/_shared/errors.ts');
  callRpc.mockRejectedValue(new ApiError(404, 'not_found', 'There is no such video job.'));
  expect((await ring()).status).toBe(404);
});

test('one that does not come is given up', async () => {
  callRpc.mockResolvedValue({ job: {} });
  const answer = ring();
  await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0));
  await vi.advanceTimersByTimeAsync(60_000);
  expect((await answer).status).toBe(408);
});
