/** What a call may hold: kinds of content and fields are allow-lists, and what it can cost is set aside before it runs. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import type { TestUser } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newModel, openai, seenBySimulator, simulate, walletOf } from './helpers.ts';

const IMAGE = { type: 'image_url' as const, image_url: { url: 'https://example.test/a.png' } };
const VIDEO = { type: 'video_url', video_url: { url: 'https://example.test/a.mp4' } };

let user: TestUser;
let model: string;
beforeAll(async () => {
  [user, model] = await Promise.all([newCaller(), newModel({ credits_per_request: 0 })]);
});

async function post(path: string, body: object | string, caller = user) {
  const response = await fetch(`${AI_URL}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${caller.accessToken}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  type Answer = { error: { code: string; param: string; message: string } };
  return { status: response.status, body: (await response.json()) as Answer };
}

describe('content', () => {
  test('that is no text is held at the bound of the model that may answer', async () => {
    const seeing = await newModel({ content_parts: { image_url: 20_000 }, max_output_tokens: 0 });
    const caller = await newCaller();
    const ask = (parts: object[]) =>
      post('/chat/completions', { model: seeing, messages: [{ role: 'user', content: parts }] }, caller);
    const { status, body } = await ask([{ type: 'text', text: 'x' }, IMAGE]);
    expect([status, body.error.code]).toEqual([402, 'insufficient_credits']);
    expect(body.error.message).toMatch(/may cost up to 200\.\d+ credits/);
    expect(await walletOf(caller)).toEqual({ balance: 3, spent: 0, held: 0, drift: 0 });
  });

  test('of a kind that the model does not take is refused by its place', async () => {
    const seeing = await newModel({ content_parts: { image_url: 1 } });
    const messages = [
      { role: 'user', content: [IMAGE, { type: 'text', text: 'x' }] },
      { role: 'user', content: [{ type: 'text', text: 'x' }, VIDEO] },
    ];
    const { status, body } = await post('/chat/completions', { model: seeing, messages });
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', 'messages.1.content.1.type']);
    expect(body.error.message).toContain('takes no content of type "video_url"');
  });

  test('reaches the provider as it was sent, and counts its bound where no usage is reported', async () => {
    const seeing = await newModel({ credits_per_request: 0, content_parts: { image_url: 777 } });
    const caller = await newCaller();
    const key = randomUUID();
    const content = [IMAGE, { type: 'text' as const, text: simulate({ key, usage: null })[0]?.content ?? '' }];
    await openai(caller).chat.completions.create({ model: seeing, messages: [{ role: 'user', content }] });
    expect((await seenBySimulator(key)).requests[0]?.body.messages).toEqual([{ role: 'user', content }]);
    const [log] = await logsOf(caller);
    expect(log?.usage_source).toBe('estimated');
    expect(log?.prompt_tokens).toBeGreaterThan(777);
    expect(log?.prompt_tokens).toBeLessThan(900);
  });
});

describe('a field', () => {
  test.each([
    ...[
      'service_tier',
      'web_search_options',
      'plugins',
      'models',
      'modalities',
      'audio',
      'prediction',
      'no_such_field',
    ],
    ...['Model', 'N', 'Stream', 'Max_Tokens', 'Messages'],
  ])('%s of a chat is refused by its name', async (name) => {
    const { status, body } = await post('/chat/completions', { model, messages: simulate({}), [name]: 'x' });
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', name]);
  });

  test.each(['/embeddings', '/images/generations'])('is refused by %s too', async (path) => {
    const scene = path === '/embeddings' ? 'embedding' : 'image_generation';
    const other = await newModel({ scene, credits_per_request: 0 });
    const body = {
      model: other,
      input: path === '/embeddings' ? 'x' : undefined,
      prompt: scene === 'embedding' ? undefined : 'x',
    };
    expect((await post(path, body)).status).toBe(200);
    for (const name of ['service_tier', 'quality', 'N', 'Model']) {
      const refused = await post(path, { ...body, [name]: 'x' });
      expect([refused.status, refused.body.error.code, refused.body.error.param]).toEqual([
        400,
        'invalid_request',
        name,
      ]);
    }
  });

  test.each([
    ['/chat/completions', `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"\\u0000":1}`, '\ufffd'],
    [
      '/chat/completions',
      `{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":"\\ud800"}]}]}`,
      'messages.0.content.0.type',
    ],
    ['/embeddings', `{"model":"text-embedding-3-small","input":"hi","\\ud800":1}`, '\ufffd'],
    ['/images/generations', `{"model":"flux-schnell","prompt":"hi","\\u0000":1}`, '\ufffd'],
  ])('or a kind that no database can hold is a 400 of %s too', async (path, text, param) => {
    const { status, body } = await post(path, text);
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', param]);
  });

  test('that is null reaches no provider, nor does a tier that is the usual one', async () => {
    const key = randomUUID();
    const nulls = { audio: null, web_search_options: null, service_tier: 'auto' };
    const request = { model, messages: simulate({ key }), modalities: ['text'], ...nulls };
    expect((await post('/chat/completions', request)).status).toBe(200);
    const sent = (await seenBySimulator(key)).requests[0]?.body;
    expect(sent).toEqual({ model: 'simulator-chat', messages: request.messages, modalities: ['text'] });
  });

  test('of a name that the model lists is passed on', async () => {
    const listing = await newModel({ credits_per_request: 0, extra_fields: ['top_a', 'thought'] });
    const key = randomUUID();
    const messages = [{ role: 'assistant', content: 'a', thought: 'b' }, ...simulate({ key })];
    const request = { model: listing, messages, top_a: 0.5, temperature: 1 };
    expect((await post('/chat/completions', request)).status).toBe(200);
    expect((await seenBySimulator(key)).requests[0]?.body).toMatchObject({ messages, top_a: 0.5, temperature: 1 });
    const image = await newModel({ scene: 'image_generation', credits_per_request: 0, extra_fields: ['size'] });
    expect((await post('/images/generations', { model: image, prompt: 'x', size: '256x256' })).status).toBe(200);
  });

  test('that is sent twice counts once for us and for the provider alike: its last value', async () => {
    const key = randomUUID();
    const [message] = simulate({ key, output_tokens: 3 });
    const text = `{"model":"none","n":100,"messages":[],"n":1,"model":"${model}","messages":[${JSON.stringify(message)}]}`;
    expect((await post('/chat/completions', text)).status).toBe(200);
    expect((await seenBySimulator(key)).requests[0]?.body).toMatchObject({
      model: 'simulator-chat',
      n: 1,
      messages: [message],
    });
  });
});
