/** The journal of a stream: how often it writes, what it does while Postgres takes nothing, and that it hears of a stop. */
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';

// By their paths alone: their types are Deno's.
const AI = new URL('../../supabase/functions/ai/', import.meta.url).pathname;

const rpc = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/database.ts', () => ({
  database: { rpc },
  run: async (query: () => Promise<{ data: unknown; error: unknown }>) => {
    const { data, error } = await query();
    if (error) throw error;
    return data;
  },
}));

interface Journal {
  stop: AbortSignal;
  restart(): void;
  release(): void;
  number(event: Uint8Array): Uint8Array;
  close(patience: number): Promise<void>;
}
interface Batch {
  first_event?: number;
  last_event?: number;
  events?: string;
}

let journal: Journal;
const writes = () => rpc.mock.calls.map(([, batch]) => batch as Batch);
const bytes = (text: string) => new TextEncoder().encode(text);
const send = (text: string) => new TextDecoder().decode(journal.number(bytes(`data: ${text}\n\n`)));

beforeAll(() => {
  vi.stubGlobal('Deno', { env: { get: (name: string) => (name === 'AI_BASE_URL' ? 'http://default.test' : 'key') } });
  vi.stubGlobal('EdgeRuntime', { waitUntil: () => undefined });
});
beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(console, 'error').mockReturnValue(undefined);
  rpc.mockReset().mockResolvedValue({ data: false, error: null });
  const { Journal } = await import(`${AI}journal.ts`);
  journal = new Journal('m');
});
afterEach(async () => {
  await journal.close(0);
  vi.useRealTimers();
});

test('a silent stream asks more than once a second whether it is to stop, and no more once it is closed', async () => {
  await vi.advanceTimersByTimeAsync(10_000);
  expect(writes()).toEqual(Array(13).fill({ message_id: 'm' }));
  expect(journal.stop.aborted).toBe(false);
  rpc.mockResolvedValue({ data: true, error: null });
  await vi.advanceTimersByTimeAsync(750);
  expect(journal.stop.aborted).toBe(true);
  await journal.close(0);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(writes()).toHaveLength(14);
});

test('events are written in order, at most four times a second, and the rest when it is closed', async () => {
  journal.release();
  for (let event = 1; event <= 200; event += 1) {
    expect(send(`${event}`)).toBe(`id: ${event}\ndata: ${event}\n\n`);
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(writes().length).toBeLessThanOrEqual(8);
  await journal.close(0);
  expect(writes().length).toBeLessThanOrEqual(9);
  expect(
    writes()
      .map(({ events }) => events)
      .join(''),
  ).toBe(Array.from({ length: 200 }, (_, index) => `id: ${index + 1}\ndata: ${index + 1}\n\n`).join(''));
  let last = 0;
  for (const batch of writes()) {
    expect(batch.first_event).toBe(last + 1);
    last = batch.last_event ?? 0;
  }
});

test('what one provider sent before it failed is not written', async () => {
  send('of the first');
  await vi.advanceTimersByTimeAsync(2_000);
  journal.restart();
  send('of the second');
  journal.release();
  await journal.close(0);
  expect(writes().filter(({ events }) => events !== undefined)).toEqual([
    { message_id: 'm', first_event: 1, last_event: 1, events: 'id: 1\ndata: of the second\n\n' },
  ]);
});

test('what could not be written is written with what came after it', async () => {
  journal.release();
  rpc.mockResolvedValue({ data: null, error: { message: 'down' } });
  send('1');
  await vi.advanceTimersByTimeAsync(1_000);
  send('2');
  await vi.advanceTimersByTimeAsync(1_000);
  rpc.mockClear().mockResolvedValue({ data: false, error: null });
  await vi.advanceTimersByTimeAsync(250);
  send('3');
  await journal.close(0);
  expect(writes()).toEqual([
    { message_id: 'm', first_event: 1, last_event: 2, events: 'id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n' },
    { message_id: 'm', first_event: 3, last_event: 3, events: 'id: 3\ndata: 3\n\n' },
  ]);
});

test('while Postgres takes nothing it keeps no more than a few MiB, and says in the end that events are missing', async () => {
  journal.release();
  rpc.mockResolvedValue({ data: null, error: { message: 'down' } });
  for (let event = 1; event <= 100; event += 1) send('x'.repeat(64 * 1024));
  await vi.advanceTimersByTimeAsync(1_000);
  for (const { events } of writes()) expect(events?.length ?? 0).toBeLessThan(5 * 1024 * 1024);
  rpc.mockClear().mockResolvedValue({ data: false, error: null });
  expect(send('goes out')).toBe('id: 101\ndata: goes out\n\n');
  await journal.close(0);
  expect(writes().filter(({ events }) => events !== undefined)).toEqual([
    { message_id: 'm', first_event: 101, last_event: 101, events: '' },
  ]);
});

test('whatever ends its lines, an event is one', async () => {
  journal.release();
  journal.number(bytes('data: a\r\n\r'));
  journal.number(bytes('\ndata: b\r\r'));
  await journal.close(0);
  expect(writes().at(-1)?.events).toBe('id: 1\ndata: a\n\nid: 2\ndata: b\n\n');
});
