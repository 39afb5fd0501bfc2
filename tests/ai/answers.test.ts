/** Answers beyond the table of shapes: bounds, stops, images that are none, and many embeddings. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AnswerBody, LengthError } from '../../supabase/functions/ai/body.ts';
import { StreamReader } from '../../supabase/functions/ai/stream.ts';
import { sql, type TestUser } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newModel, newProvider, untilLogged, walletOf } from './helpers.ts';
import { RawProvider, type Step } from './raw-provider.ts';

const provider = new RawProvider();
let row: { provider: string };
beforeAll(async () => {
  row = { provider: await newProvider({ base_url: await provider.start(), max_retries: 0 }) };
});
afterAll(() => provider.stop());

function post(user: TestUser, path: string, body: object, signal?: AbortSignal) {
  return fetch(`${AI_URL}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify(body),
    signal,
  });
}

const chunk = (content: string, finish_reason: string | null, rest: object = {}) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }], ...rest })}\n\n`;

describe('a bound on', () => {
  const piece = new Uint8Array(1024).fill(97);

  test('an event without an end; what comes is looked at once', () => {
    const reader = new StreamReader(false);
    for (let at = 0; at < 32 * 1024; at += 1) reader.read(piece);
    expect(() => reader.read(piece)).toThrow(LengthError);
  });

  test('an answer', async () => {
    const stream = new ReadableStream({
      type: 'bytes',
      pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
    });
    const body = new AnswerBody(new Response(stream), 60_000, Date.now() + 60_000);
    let received = 0;
    const readAll = async () => {
      for (;;) received += (await body.next()).length;
    };
    await expect(readAll()).rejects.toThrow(LengthError);
    expect(received).toBe(128 * 1024 * 1024);
  });
});

test('a stream that says "null" at each chunk and writes past what the wallet pays is cut off', async () => {
  const user = await newCaller();
  // 0.1 credits a token: the wallet pays for 30.
  const model = await newModel({ ...row, max_output_tokens: 20 }, { output: 1000 });
  for (const reason of ['null', '', 'in_progress']) {
    const steps: Step[] = Array.from({ length: 60 }, () => [chunk(' the the the the the', reason), { wait: 5 }]).flat();
    provider.add(`endless ${reason}`, { steps: [...steps, 'data: [DONE]\n\n'] });
  }
  const names = ['endless null', 'endless ', 'endless in_progress'];
  for (const [index, name] of names.entries()) {
    await sql(
      `select public.credit_user_credits_transaction($1, 3 - least(b.balance, 0), 'manual')
      from (select credits_balance as balance from public.credit_wallets where workspace_id = $1) b`,
      [user.id],
    );
    const answer = await post(user, '/chat/completions', {
      model,
      stream: true,
      messages: [{ role: 'user', content: name }],
    });
    const text = await answer.text();
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    const logs = await logsOf(user);
    expect(logs[index]).toMatchObject({ status: 'success', error_code: 'cut_off' });
    expect(Number(logs[index]?.completion_tokens)).toBeLessThan(150);
    // What was seen by the client is what was charged.
    expect(logs[index]?.completion_tokens).toBe(text.split(' the').length - 1);
  }
});

test('a stream that its client stops is charged the words that came, though zeros were reported at first', async () => {
  const user = await newCaller();
  const stops = await newProvider({
    base_url: (await sql('select base_url from public.ai_providers where provider = $1', [row.provider]))[0]?.base_url,
    disconnect_policy: 'cancel',
  });
  const model = await newModel({ provider: stops, max_output_tokens: 400 }, { output: 10 });
  const zeros = { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } };
  provider.add('357 words', { steps: [chunk('', null, zeros), chunk(' the'.repeat(357), null), 'silence'] });
  const leaving = new AbortController();
  const request = { model, stream: true, messages: [{ role: 'user', content: '357 words' }] };
  const answer = await post(user, '/chat/completions', request, leaving.signal);
  for await (const bytes of answer.body ?? []) if (new TextDecoder().decode(bytes).includes(' the')) break;
  leaving.abort();
  expect(await untilLogged(user, 1)).toMatchObject([
    { status: 'canceled', completion_tokens: 357, usage_source: 'counted' },
  ]);
  expect((await walletOf(user))?.spent).toBeCloseTo(0.357, 6);
});

test('an image that is null is none, and not more are paid for than were asked for', async () => {
  const user = await newCaller();
  const model = await newModel(
    { ...row, scene: 'image_generation', max_output_tokens: 0 },
    { input: 0, output: 0, image: 0.001 },
  );
  const image = { b64_json: 'A'.repeat(10_000) };
  const answers: [string, unknown[], images: number][] = [
    ['two and nulls', [image, null, { b64_json: null, url: null }, { url: 'https://files.test/1.png' }], 2],
    ['under another name', [{ b64: image.b64_json }], 1],
    ['nothing', [null, {}], 0],
    ['too many', Array(9).fill(image), 2],
  ];
  for (const [prompt, data, images] of answers) {
    provider.add(prompt, { steps: [JSON.stringify({ created: 1, data })], type: 'application/json' });
    const answer = await post(user, '/images/generations', { model, prompt, n: 2 });
    expect(((await answer.json()) as { data: unknown[] }).data, prompt).toEqual(data);
    expect((await logsOf(user)).at(-1), prompt).toMatchObject({ status: 'success', images });
  }
  expect((await walletOf(user))?.spent).toBeCloseTo(0.5, 6);
});

test('2,048 embeddings pass on byte by byte, and are counted and logged without their numbers', async () => {
  const user = await newCaller();
  const model = await newModel({ ...row, scene: 'embedding', max_output_tokens: 0 });
  // As only a parser that keeps every digit would give them back.
  const embedding = `[${Array.from({ length: 128 }, (_, index) => `-0.0${index}10000000000000000e-02`).join(', ')}]`;
  const items = Array.from({ length: 2_048 }, (_, index) => `{"index": ${index}, "embedding": ${embedding}}`);
  const body = `{"object": "list", "data": [${items.join(',\n')}], "usage": {"prompt_tokens": 40, "total_tokens": 40}}`;
  provider.add('many', { steps: [body], type: 'application/json' });
  const answer = await post(user, '/embeddings', { model, input: 'many', encoding_format: 'float' });
  expect((await answer.text()) === body).toBe(true);
  const [log] = await logsOf(user);
  expect(log).toMatchObject({ status: 'success', prompt_tokens: 40, credits_charged: '0.400000' });
  expect(JSON.stringify(log?.response_data)).not.toContain('0.01');
});

test.each(['/images/generations', '/embeddings'])(
  'what gateways add to the items of %s is not passed on',
  async (path) => {
    const user = await newCaller();
    const scene = path === '/embeddings' ? 'embedding' : 'image_generation';
    const model = await newModel({ ...row, scene, max_output_tokens: 0 });
    const item = (own: string) =>
      `{ ${own}"index": 0, "embedding": [-0.10, 2e0], "b64_json": "${'A'.repeat(5_000)}", "seed": 1.0}`;
    provider.add('items', {
      steps: [`{"data": [${item('"provider": "hidden", "provider_metadata": {"of": ["hidden"]}, ')}], "created": 1}`],
      type: 'application/json',
    });
    const input = path === '/embeddings' ? { input: 'items' } : { prompt: 'items', response_format: 'b64_json' };
    const text = await (await post(user, path, { model, ...input })).text();
    expect(text.replaceAll(/ +/g, ' ')).toBe(`{"data":[${item('')}], "created": 1}`);
  },
);

test('of a long error the beginning is read, and the connection ended', async () => {
  const user = await newCaller();
  const model = await newModel(row);
  const steps: Step[] = ['Overloaded: ', 'x'.repeat(100_000), 'silence'];
  provider.add('a long error', { status: 500, steps, type: 'text/plain' });
  const answer = await post(user, '/chat/completions', {
    model,
    messages: [{ role: 'user', content: 'a long error' }],
  });
  expect(answer.status).toBe(502);
  const [costs] = await sql('select attempts from private.ai_usage_logs where workspace_id = $1', [user.id]);
  expect(costs?.attempts).toMatchObject([{ status: 500, said: expect.stringMatching(/^Overloaded: x+$/) }]);
  await expect.poll(() => provider.left.has('a long error')).toBe(true);
});

test.each([
  ['messages.0.content', 'messages.0.content'],
  ['messages[0].content', 'messages[0].content'],
  ['temperature', 'temperature'],
  ['messages.secretprov.upstream', null],
  ['messages.length.x', null],
  ['messages[0].role.secretprov', null],
  ['max_tokens', null],
  ['model..', null],
  ['..', null],
  ['', null],
])('the place %j that a provider blames is told as %j', async (param, wanted) => {
  const user = await newCaller();
  const model = await newModel(row);
  const request = { model, temperature: 9, messages: [{ role: 'user', content: `blames ${param}` }] };
  provider.add(`blames ${param}`, {
    status: 400,
    steps: [JSON.stringify({ error: { code: 'unsupported_value', param } })],
    type: 'application/json',
  });
  const answer = await post(user, '/chat/completions', request);
  expect(await answer.json()).toMatchObject({ error: { code: 'invalid_request', param: wanted } });
});
