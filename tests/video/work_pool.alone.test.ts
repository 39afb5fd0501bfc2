/** What is due is worked off kind by kind, and more is taken as soon as something is done. */
import { expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const MODULE = new URL('../../supabase/functions/video/work.ts', import.meta.url).pathname;

const callRpc = vi.hoisted(() => vi.fn());
const copyFile = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/video/database.ts', () => ({ callRpc }));
vi.mock('../../supabase/functions/_shared/video/files.ts', () => ({ copyFile, removeFile: vi.fn() }));
vi.mock('../../supabase/functions/_shared/video/sync.ts', () => ({
  syncJob: async () => ({ told: true }),
  syncLastTime: vi.fn(),
}));

test('one slow file keeps neither jobs nor other files waiting', async () => {
  const { doDueWork } = await import(MODULE);
  const left: Record<string, number> = { fetch: 20, copy: 20, remove: 0 };
  callRpc.mockImplementation(async (name: string, { max_jobs = 0, kinds = ['fetch', 'copy'] }) => {
    if (name !== 'sync_video_jobs') return {};
    const work = kinds.flatMap((kind: string) => {
      const taken = Math.min(max_jobs, left[kind] ?? 0);
      left[kind] = (left[kind] ?? 0) - taken;
      return Array.from({ length: taken }, () => ({ kind, job: { id: 'j' } }));
    });
    return { ended: 0, work };
  });
  let finishSlow: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    finishSlow = resolve;
  });
  copyFile.mockImplementationOnce(() => slow).mockImplementation(async () => undefined);
  const work = doDueWork();
  await vi.waitFor(() => {
    expect(left).toEqual({ fetch: 0, copy: 0, remove: 0 });
    expect(copyFile).toHaveBeenCalledTimes(20);
  });
  finishSlow();
  expect(await work).toEqual({ ended: 0, fetched: 20, copied: 20, removed: 0, failed: 0 });
});
