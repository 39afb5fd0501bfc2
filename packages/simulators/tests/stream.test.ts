import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { directed, type RunningSimulator, startSimulator } from './helpers.ts';

let simulator: RunningSimulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.stop());

type Chunk = OpenAI.ChatCompletionChunk;

async function collect(directive: object, more: object = {}): Promise<{ chunks: Chunk[]; error: unknown }> {
  const chunks: Chunk[] = [];
  try {
    const messages = [directed(directive)];
    const stream = await simulator.client().chat.completions.create({ model: 'm', messages, stream: true, ...more });
    for await (const chunk of stream) chunks.push(chunk);
    return { chunks, error: null };
  } catch (error) {
    return { chunks, error };
  }
}

async function readRaw(directive: object, more: object = {}): Promise<string> {
  const body = { model: 'm', messages: [directed(directive)], stream: true, ...more };
  return (await simulator.post('/v1/chat/completions', body)).text();
}

const textOf = (chunks: Chunk[]) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

test('streams the same text and usage as the whole answer', async () => {
  const { chunks, error } = await collect({}, { stream_options: { include_usage: true } });
  expect(error).toBeNull();
  expect(textOf(chunks)).toBe('Simulated answer to: Hello');
  expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
  expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  const last = chunks.at(-1);
  expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 7 } });
  expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
});

test('reports no usage unless asked', async () => {
  const { chunks } = await collect({});
  expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
});

test('usage of null is left out although asked for, another is sent to the letter', async () => {
  const asked = { stream_options: { include_usage: true } };
  expect((await collect({ usage: null }, asked)).chunks.at(-1)?.choices).toHaveLength(1);
  expect((await collect({ usage: { prompt_tokens: 1 } }, asked)).chunks.at(-1)?.usage).toEqual({ prompt_tokens: 1 });
});

test('chunks are as many as asked, choices take turns, and a limit ends with length', async () => {
  const { chunks } = await collect({ output_tokens: 10, chunks: 4 });
  expect(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length).toBe(4);
  const two = await collect({ output_tokens: 1 }, { n: 2 });
  expect(two.chunks.map((chunk) => chunk.choices[0]?.index)).toEqual([0, 1, 0, 1, 0, 1]);
  const limited = await collect({ output_tokens: 10 }, { max_tokens: 3 });
  expect(limited.chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
  expect(textOf(limited.chunks)).toHaveLength(12);
});

test('a required tool is called piece by piece', async () => {
  const tools = [{ type: 'function', function: { name: 'look_up', parameters: {} } }];
  const { chunks } = await collect({}, { tools, tool_choice: { type: 'function', function: { name: 'look_up' } } });
  const calls = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
  expect(calls[0]?.function?.name).toBe('look_up');
  expect(JSON.parse(calls.map((part) => part.function?.arguments).join(''))).toEqual({ echo: 'Hello' });
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('tool_calls');
});

test('each chunk arrives when it is sent, not later', async () => {
  const response = await simulator.post('/v1/chat/completions', {
    model: 'm',
    messages: [directed({ output_tokens: 4, chunks: 4, chunk_delay_ms: 120 })],
    stream: true,
  });
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  const decoder = new TextDecoder();
  const pieces: number[] = [];
  for await (const bytes of response.body ?? []) {
    pieces.push(decoder.decode(bytes).split(/"content":"[^"]/).length - 1);
  }
  // Held back, several would have come in one piece.
  expect(pieces.filter((count) => count > 0)).toEqual([1, 1, 1, 1]);
});

test('cut_after breaks the connection after so many chunks', async () => {
  const { chunks, error } = await collect({ output_tokens: 10, chunks: 5, cut_after: 2, key: 'cut' });
  expect(error).toBeInstanceOf(Error);
  expect(textOf(chunks)).toHaveLength(16);
  expect(await simulator.requests('cut')).toMatchObject([{ outcome: 'cut', tokens_delivered: 4 }]);
});

test('error_after sends an error event', async () => {
  const { chunks, error } = await collect({ output_tokens: 10, chunks: 5, error_after: 2, key: 'event' });
  expect(error).toMatchObject({ message: expect.stringContaining('Simulated error') });
  expect(textOf(chunks)).toHaveLength(16);
  expect(await simulator.requests('event')).toMatchObject([{ outcome: 'error', tokens_delivered: 4 }]);
});

test('empty streams no content, no_done leaves out the end, malformed is no JSON', async () => {
  expect(textOf((await collect({ empty: true })).chunks)).toBe('');
  expect(await readRaw({})).toMatch(/data: \[DONE\]\n\n$/);
  expect(await readRaw({ no_done: true })).not.toContain('[DONE]');
  expect((await collect({ malformed: true })).error).toBeInstanceOf(SyntaxError);
});

test('characters of any width stay whole, and what is delivered adds up to what is reported', async () => {
  const text = 'é漢字😀 mixed 文字 — ß'.repeat(20);
  const { chunks } = await collect({ text, key: 'wide' }, { stream_options: { include_usage: true } });
  expect(textOf(chunks)).toBe(text);
  const reported = chunks.at(-1)?.usage?.completion_tokens;
  expect(reported).toBe(Math.ceil(Buffer.byteLength(text) / 4));
  expect(await simulator.requests('wide')).toMatchObject([{ outcome: 'complete', tokens_delivered: reported }]);
});

test('a client that leaves before the first byte ends the wait', async () => {
  const body = { model: 'm', messages: [directed({ delay_ms: 60_000, key: 'impatient' })] };
  const init = { method: 'POST', headers: { authorization: 'Bearer any' }, body: JSON.stringify(body) };
  const signal = AbortSignal.timeout(100);
  await expect(fetch(`${simulator.url}/v1/chat/completions`, { ...init, signal })).rejects.toThrow();
  await sleep(200);
  expect(await simulator.requests('impatient')).toMatchObject([{ outcome: 'canceled', tokens_delivered: 0 }]);
});

test('a client that leaves ends the work, and what it got is counted', async () => {
  const leave = new AbortController();
  const body = {
    model: 'm',
    messages: [directed({ output_tokens: 100, chunk_delay_ms: 30, key: 'left' })],
    stream: true,
  };
  const init = { method: 'POST', headers: { authorization: 'Bearer any' }, body: JSON.stringify(body) };
  const response = await fetch(`${simulator.url}/v1/chat/completions`, { ...init, signal: leave.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  await reader?.read();
  leave.abort();
  await sleep(200);
  const [request] = await simulator.requests('left');
  expect(request).toMatchObject({ outcome: 'canceled', status: 200 });
  expect(request?.tokens_delivered).toBeLessThan(10);
});
