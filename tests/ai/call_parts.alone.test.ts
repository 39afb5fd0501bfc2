/** What a call does beside its rpcs: it says that it is alive, and it reads no more of an answer than it needs. */
import { afterEach, beforeAll, expect, test, vi } from 'vitest';

// By their paths alone: their types are Deno's.
const AI = new URL('../../supabase/functions/ai/', import.meta.url).pathname;

const rpc = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/database.ts', () => ({
  database: { rpc },
  run: async (query: () => PromiseLike<{ data: unknown }>) => (await query()).data,
}));

const candidate = {
  ...{ model: 'm', upstream_model: 'up', provider: 'p', base_url: 'http://provider.test/v1', api_key_env: 'AI_KEY' },
  ...{ output_tokens_covered: 0, part_tokens: 0, timeout_ms: 60_000, max_retries: 0, disconnect_policy: 'drain' },
};

beforeAll(() => {
  vi.stubGlobal('Deno', { env: { get: (name: string) => (name === 'AI_BASE_URL' ? 'http://default.test' : 'key') } });
  vi.stubGlobal('EdgeRuntime', { waitUntil: () => undefined });
  rpc.mockImplementation(async (name: string) => ({
    data:
      name === 'admit_ai_call'
        ? { admitted: true, hold_id: 'h', candidates: [candidate], timeout_seconds: 140, log_content: 'none' }
        : { credits_charged: 0 },
  }));
});
afterEach(() => {
  vi.useRealTimers();
  rpc.mockClear();
});

const told = (name: string) => rpc.mock.calls.filter(([called]) => called === name);

test('a call under an Idempotency-Key says every ten seconds that it runs, until it is finished; others say nothing', async () => {
  const { admit, finish } = await import(`${AI}call.ts`);
  const begin = (repeatable: object) =>
    admit({ caller: {}, requestId: 'r', model: 'm', request: {}, details: {}, repeatable }, {});
  vi.useFakeTimers();
  await begin({});
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told('extend_ai_call')).toEqual([]);

  const call = await begin({ idempotency_key: 'k', request_hash: 'h' });
  await vi.advanceTimersByTimeAsync(25_000);
  // Without counts: it holds no more for that.
  expect(told('extend_ai_call')).toEqual(Array(2).fill(['extend_ai_call', { hold_id: 'h' }]));
  await finish(call, { status: 'success', usage: { prompt: 0, cached: 0, completion: 0, source: 'none' } });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told('extend_ai_call')).toHaveLength(2);
});

test('an answer of many embeddings passes on without being parsed whole', async () => {
  const { answerCall } = await import(`${AI}endpoint.ts`);
  const { embeddings } = await import(`${AI}embeddings.ts`);
  const data = Array.from({ length: 64 }, (_, index) => ({ index, embedding: Array(1536).fill(0.0123) }));
  const answer = JSON.stringify({ object: 'list', data, model: 'm', usage: { prompt_tokens: 64, total_tokens: 64 } });
  vi.stubGlobal('fetch', async () => new Response(answer));
  const parse = vi.spyOn(JSON, 'parse');
  const request = new Request('http://ai.test', { method: 'POST', body: '{"model": "m", "input": "x"}' });
  const sent = await answerCall(embeddings, request, {}, 'r');
  const longest = Math.max(...parse.mock.calls.map(([text]) => text.length));
  parse.mockRestore();
  expect(await sent.text()).toBe(answer);
  expect(told('finish_ai_call')).toMatchObject([['finish_ai_call', { prompt_tokens: 64 }]]);
  expect(longest).toBeLessThan(answer.length / 20);
});

test('a provider may be silent for its timeout after each piece, and no longer; pieces share a timer', async () => {
  const { AnswerBody, TimeoutError } = await import(`${AI}body.ts`);
  vi.useFakeTimers();
  const setTimer = vi.spyOn(globalThis, 'setTimeout');
  let source: ReadableByteStreamController | undefined;
  const stream = new ReadableStream({
    type: 'bytes',
    start(controller) {
      source = controller;
    },
  });
  const body = new AnswerBody(new Response(stream), 1_000, Date.now() + 140_000);
  for (let piece = 0; piece < 200; piece += 1) {
    const next = body.next();
    await vi.advanceTimersByTimeAsync(20);
    source?.enqueue(new Uint8Array([piece]));
    expect(await next).toEqual(new Uint8Array([piece]));
  }
  expect(setTimer.mock.calls.length).toBeLessThan(10);

  await vi.advanceTimersByTimeAsync(5_000); // nobody waits
  const late = body.next(300);
  await vi.advanceTimersByTimeAsync(300);
  expect(await late).toBe('late');
  const silent = body.next().catch((error: unknown) => error);
  const isOver = vi.fn();
  silent.then(isOver);
  await vi.advanceTimersByTimeAsync(999);
  expect(isOver).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(await silent).toBeInstanceOf(TimeoutError);
  expect(vi.getTimerCount()).toBe(0);
  setTimer.mockRestore();
});
