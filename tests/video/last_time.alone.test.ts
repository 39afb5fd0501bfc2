/** A job whose time is up ends, whatever its provider says and wherever that cannot be written. */
import { expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const MODULE = new URL('../../supabase/functions/_shared/video/sync.ts', import.meta.url).pathname;

const callRpc = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/video/database.ts', () => ({
  callRpc,
  isOver: ({ status }: { status: string }) => status !== 'pending' && status !== 'processing',
}));
vi.mock('../../supabase/functions/_shared/video/files.ts', () => ({ copyLater: () => undefined }));
vi.mock('../../supabase/functions/_shared/video/adapters.ts', () => ({
  adapterTo: () => ({
    fetch: async (job_id: string) => ({ task: { job_id, status: 'processing' }, answer: {} }),
    cancel: async () => 'unsupported',
  }),
}));

test('news that cannot be noted keeps no job from its end', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  vi.stubGlobal('Deno', { env: { get: () => undefined } });
  const { syncLastTime } = await import(MODULE);
  const job = { id: 'j1', task: { job_id: 't1' }, status: 'processing' };
  callRpc.mockImplementation(async (name: string) => {
    if (name === 'update_video_job') throw new Error('unsupported Unicode escape sequence');
    return { job: { ...job, status: 'failed' } };
  });
  const ended = await syncLastTime({ job, submission: {} } as never);
  expect(ended.status).toBe('failed');
  expect(callRpc).toHaveBeenCalledWith('fail_video_job', expect.objectContaining({ error_code: 'timed_out' }));
});
