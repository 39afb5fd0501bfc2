/** What providers send (provider-shapes.ts): what the client gets, how the call is logged, and what it is charged. */
import { randomUUID } from 'node:crypto';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, streamText } from 'ai';
import { createParser } from 'eventsource-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serviceClient, sql, type TestUser } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, newProvider, openai, walletOf } from './helpers.ts';
import { PROVIDERS_OWN, shapes, shownToClients } from './provider-shapes.ts';
import { RawProvider } from './raw-provider.ts';

const provider = new RawProvider();
let user: TestUser;
/** Silence is over sooner at the second one's provider. */
let patient: string;
let impatient: string;
let baseUrl: string;
beforeAll(async () => {
  baseUrl = await provider.start();
  user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
  const of = async (timeout_ms: number) =>
    newModel({ provider: await newProvider({ base_url: baseUrl, timeout_ms, max_retries: 0 }) });
  [patient, impatient] = await Promise.all([of(60_000), of(3_000)]);
  for (const [name, { sends, whole, type }] of Object.entries(shapes)) {
    const body = typeof whole === 'string' ? whole : JSON.stringify(whole);
    provider.add(name, sends ? { steps: sends, type } : { steps: [body], type: type ?? 'application/json' });
  }
});
afterAll(() => provider.stop());

const modelFor = (name: string) => (shapes[name]?.sends?.includes('silence') ? impatient : patient);
const all = Object.entries(shapes).map(([name, shape]) => ({ name, shape }));

function ask(name: string, stream: boolean, headers: Record<string, string>, wanted = modelFor(name)) {
  return fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}`, ...headers },
    body: JSON.stringify({ model: wanted, messages: [{ role: 'user', content: name }], stream, ...shapes[name]?.asks }),
  });
}

async function logOf(reference: string) {
  return (await sql('select * from private.ai_usage_logs where reference_id = $1', [reference]))[0];
}

/** What a client reads in a stream: its words, its error's code, and whether it had an end. */
function readStream(text: string) {
  const read = { text: '', error: undefined as string | undefined, isDone: false };
  const parser = createParser({
    onEvent({ data }) {
      if (data === '[DONE]') read.isDone = true;
      else {
        const { choices, error } = JSON.parse(data);
        read.error ??= error?.code;
        const content = choices?.[0]?.delta?.content;
        if (typeof content === 'string') read.text += content;
      }
    },
  });
  // A CR at the very end might be half of a line's end.
  parser.feed(`${text}\n`);
  return read;
}

test.concurrent.each(all)('$name: the client, the log and the charge', async ({ name, shape }) => {
  const reference = randomUUID();
  const answer = await ask(name, shape.sends !== undefined, { 'x-ai-reference': reference });
  const text = await answer.text();
  expect(answer.status, text.slice(0, 300)).toBe(shape.http ?? 200);
  expect(text).not.toContain(PROVIDERS_OWN);
  const id = `chatcmpl-${answer.headers.get('x-request-id')}`;
  for (const [, told] of text.matchAll(/"id":"(chatcmpl-[^"]*)"/g)) expect(told).toBe(id);
  if (shape.text === 'Hello') expect(text).toContain(id);
  if (shape.http) expect(JSON.parse(text).error.code).toBe(shape.error);
  else if (shape.sends) {
    const { text: expected, error } = shape;
    const read = readStream(text);
    expect(read).toEqual(
      error ? { text: expect.any(String), error, isDone: false } : { text: expected, error: undefined, isDone: true },
    );
  } else if (shape.text) expect(JSON.parse(text).choices[0].message.content).toBe(shape.text);

  const log = await logOf(reference);
  const [input, cached, output] = shape.pools ?? [0, 0, 0];
  expect(log).toMatchObject({
    status: shape.error ? 'failed' : 'success',
    error_code: shape.error ?? null,
    usage_source: shape.source,
    cached_tokens: cached,
    completion_tokens: output,
  });
  if (input === 'counted') expect(log?.prompt_tokens).toBeGreaterThan(3);
  else expect(log?.prompt_tokens).toBe(input);
  const credits = (Number(log?.prompt_tokens) - cached) * 0.01 + cached * 0.005 + output * 0.02;
  expect(Number(log?.credits_charged)).toBeCloseTo(shape.error || shape.isFree ? 0 : credits, 6);
});

/** The clients that applications use: the words they get, or the error that they throw. */
const clients = {
  async openai(name: string, stream: boolean) {
    const request = { model: modelFor(name), messages: [{ role: 'user' as const, content: name }] };
    if (!stream) return (await openai(user).chat.completions.create(request)).choices[0]?.message.content ?? '';
    let text = '';
    for await (const chunk of await openai(user).chat.completions.create({ ...request, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? '';
    }
    return text;
  },
  async ai(name: string, stream: boolean) {
    const compatible = createOpenAICompatible({ name: 'basemeter', baseURL: AI_URL, apiKey: user.accessToken });
    const options = { model: compatible(modelFor(name)), prompt: name, maxRetries: 0 };
    if (!stream) return (await generateText(options)).text;
    let text = '';
    for await (const part of streamText({ ...options, onError: () => undefined }).fullStream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'text-delta') text += part.text;
    }
    return text;
  },
  async langchain(name: string, stream: boolean) {
    const configuration = { baseURL: AI_URL };
    const chat = new ChatOpenAI({ model: modelFor(name), apiKey: user.accessToken, maxRetries: 0, configuration });
    if (!stream) return (await chat.invoke(name)).text;
    let text = '';
    for await (const chunk of await chat.stream(name)) text += chunk.text;
    return text;
  },
};

describe.each(Object.keys(clients) as (keyof typeof clients)[])('the client %s', (client) => {
  // Silence is nothing that a client sees.
  const read = all.filter(
    ({ name, shape }) =>
      name in shownToClients && !shape.unreadBy?.includes(client) && !shape.sends?.includes('silence'),
  );
  test.concurrent.each(read)('reads: $name', async ({ name, shape }) => {
    const text = await clients[client](name, shape.sends !== undefined).catch((error) => ({ error: String(error) }));
    if (shape.error) expect(text).toHaveProperty('error');
    else expect(text).toBe(shape.text);
    expect(JSON.stringify(text)).not.toContain(PROVIDERS_OWN);
  });
});

test('after all of it the wallet adds up, and admins are told of the bounded model once', async () => {
  expect(await walletOf(user)).toMatchObject({ held: 0, drift: 0 });
  const told = await sql(
    `select data from public.admin_notifications where kind = 'usage_bounded' and subject like $1 || ' %'`,
    [patient],
  );
  expect(told).toMatchObject([
    { data: { reported: { prompt_tokens: expect.any(Number) }, charged: { prompt_tokens: 1_000 } } },
  ]);
});

test('a fallback answers instead of each error that came before anything was sent', async () => {
  const [wanted, fallback] = await Promise.all([
    newModel({ provider: await newProvider({ base_url: baseUrl, max_retries: 0 }) }),
    newModel(),
  ]);
  await serviceClient().from('ai_model_fallbacks').insert({ model: wanted, position: 1, fallback_model: fallback });
  const failing = all.filter(({ shape }) => shape.http === 502);
  for (const { name, shape } of failing) {
    const reference = randomUUID();
    const answer = await ask(name, shape.sends !== undefined, { 'x-ai-reference': reference }, wanted);
    const text = await answer.text();
    const words = shape.sends ? readStream(text).text : JSON.parse(text).choices[0].message.content;
    expect(words, name).toContain('Simulated answer');
    expect(await logOf(reference)).toMatchObject({
      status: 'success',
      served_model: fallback,
      attempts: [{ model: wanted }, { model: fallback }],
    });
  }
});
