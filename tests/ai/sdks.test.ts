/** The clients that applications use, unchanged but for their base URL: with a user's token and with an API key. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, experimental_generateImage as generateImage, generateText, jsonSchema, streamText, tool } from 'ai';
import { beforeAll, describe, expect, test } from 'vitest';
import { env } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newKey, newModel, openai, simulate, walletOf } from './helpers.ts';

let chat: string;
let embedding: string;
let image: string;
let user: Awaited<ReturnType<typeof newCaller>>;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  const cheap = { input: 1, output: 1 };
  chat = await newModel({}, cheap);
  embedding = await newModel(
    { scene: 'embedding', upstream_model: 'simulator-embedding', max_output_tokens: 0 },
    cheap,
  );
  image = await newModel(
    { scene: 'image_generation', upstream_model: 'simulator-image', max_output_tokens: 0 },
    { image: 0.001 },
  );
  user = await newCaller();
  tokens['a user token'] = user.accessToken;
  tokens['an API key'] = (await newKey(user)).key;
});

describe.each(['a user token', 'an API key'])('with %s', (kind) => {
  const client = () => openai({ key: tokens[kind] as string });
  const provider = () =>
    createOpenAICompatible({ name: 'basemeter', baseURL: AI_URL, apiKey: tokens[kind] as string, includeUsage: true });
  const weather = {
    type: 'function',
    function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
  } as const;

  test('openai: chat, stream, tools', async () => {
    const plain = await client().chat.completions.create({ model: chat, messages: simulate({ text: 'Good day' }) });
    expect(plain.choices[0]?.message.content).toBe('Good day');
    let text = '';
    for await (const chunk of await client().chat.completions.create({
      model: chat,
      messages: simulate({ text: 'a b c' }),
      stream: true,
    })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('a b c');
    const called = await client().chat.completions.create({
      model: chat,
      messages: [{ role: 'user', content: 'Oslo' }],
      tools: [weather],
      tool_choice: 'required',
    });
    expect(called.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { name: 'weather' } }] },
    });
  });

  test('openai: embeddings as base64 and floats, images, models', async () => {
    const implicit = await client().embeddings.create({ model: embedding, input: ['one', 'two'] });
    const floats = await client().embeddings.create({
      model: embedding,
      input: ['one', 'two'],
      encoding_format: 'float',
    });
    expect(implicit.data).toHaveLength(2);
    expect(implicit.data[0]?.embedding[0]).toBeCloseTo(floats.data[0]?.embedding[0] as number, 6);
    const base64 = await client().embeddings.create({ model: embedding, input: [1, 2, 3], encoding_format: 'base64' });
    expect(typeof base64.data[0]?.embedding).toBe('string');
    const images = await client().images.generate({ model: image, prompt: 'a tree', n: 2 });
    expect(images.data).toHaveLength(2);
    const { data, response } = await client().models.list().withResponse();
    expect(data.data.map(({ id }) => id)).toEqual(expect.arrayContaining([chat, embedding, image]));
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    expect(await client().models.retrieve(image)).toMatchObject({ id: image, object: 'model' });
  });

  test('@ai-sdk/openai-compatible: chat, stream, tools, embeddings, images', async () => {
    const saying = (text: string) => simulate({ text })[0]?.content as string;
    const plain = await generateText({ model: provider()(chat), prompt: saying('Good day'), maxRetries: 0 });
    expect(plain.text).toBe('Good day');
    const stream = streamText({ model: provider()(chat), prompt: saying('a b c') });
    let text = '';
    for await (const part of stream.textStream) text += part;
    expect(text).toBe('a b c');
    expect((await stream.usage).totalTokens).toBeGreaterThan(0);
    const called = await generateText({
      model: provider()(chat),
      prompt: 'Oslo',
      tools: { weather: tool({ inputSchema: jsonSchema({ type: 'object', properties: {} }) }) },
      toolChoice: 'required',
    });
    expect(called.toolCalls[0]?.toolName).toBe('weather');
    const vector = await embed({ model: provider().textEmbeddingModel(embedding), value: 'one' });
    expect(vector.embedding.length).toBeGreaterThan(100);
    const picture = await generateImage({ model: provider().imageModel(image), prompt: 'a tree' });
    expect(picture.image.uint8Array.length).toBeGreaterThan(0);
  });
});

test('all of it was charged, and is in the log with its key', async () => {
  const logs = await logsOf(user);
  expect(logs.length).toBe(24);
  expect(logs.filter((log) => log.api_key_id !== null)).toHaveLength(12);
  expect(new Set(logs.map((log) => log.scene))).toEqual(new Set(['text_chat', 'embedding', 'image_generation']));
  expect(logs.every((log) => log.status === 'success' && Number(log.credits_charged) > 0)).toBe(true);
  const sum = logs.reduce((total, log) => total + Number(log.credits_charged), 0);
  const wallet = await walletOf(user);
  expect(wallet).toMatchObject({ held: 0, drift: 0 });
  expect(wallet?.spent).toBeCloseTo(sum, 6);
});

test.each(['float', 'base64'] as const)(
  'embeddings come as asked for from a provider that knows only %s',
  async (encoding) => {
    const input = simulate({ encoding })[0]?.content as string;
    const create = (format: 'float' | 'base64') =>
      openai(user).embeddings.create({ model: embedding, input, encoding_format: format });
    const floats = (await create('float')).data[0]?.embedding as number[];
    const base64 = (await create('base64')).data[0]?.embedding as unknown as string;
    const decoded = new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
    expect(decoded).toHaveLength(1536);
    expect([...decoded]).toEqual(floats.map(Math.fround));
  },
);

describe('an API key', () => {
  test('that does not exist, or was revoked, gets 401 invalid_api_key', async () => {
    const made = await newKey(user);
    await user.client.rpc('revoke_api_key', { api_key_id: made.id });
    for (const key of ['sk-nothing', made.key]) {
      const error = await openai({ key })
        .chat.completions.create({ model: chat, messages: [{ role: 'user', content: 'x' }] })
        .catch((thrown) => thrown);
      expect(error).toMatchObject({ status: 401, code: 'invalid_api_key', type: 'authentication_error' });
      expect(
        await openai({ key })
          .models.list()
          .catch((thrown) => thrown),
      ).toMatchObject({ status: 401 });
    }
  });

  test('is nothing to PostgREST and to sign-in', async () => {
    const { key } = await newKey(user);
    for (const path of ['/rest/v1/credit_wallets', '/auth/v1/user']) {
      const answer = await fetch(`${env.API_URL}${path}`, {
        headers: { apikey: env.PUBLISHABLE_KEY, authorization: `Bearer ${key}` },
      });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
    }
  });
});
