import { APIError } from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { directed, type RunningSimulator, startSimulator } from './helpers.ts';

let simulator: RunningSimulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.stop());

const create = (directive: object, more: object = {}) =>
  simulator.client().chat.completions.create({ model: 'm', messages: [directed(directive)], stream: false, ...more });

test('answers from the request, with usage of one token for four bytes', async () => {
  const messages = [
    { role: 'system' as const, content: 'Be brief.' },
    { role: 'user' as const, content: [{ type: 'text' as const, text: 'Grüße' }] },
  ];
  const first = await simulator.client().chat.completions.create({ model: 'some-model', messages });
  expect(first).toMatchObject({
    object: 'chat.completion',
    model: 'some-model',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'Simulated answer to: Grüße' }, finish_reason: 'stop' },
    ],
    // 9 and 7 bytes asked, 28 answered
    usage: { prompt_tokens: 3 + 2, completion_tokens: 7, total_tokens: 12 },
  });
  expect(first.usage?.prompt_tokens_details?.cached_tokens).toBe(0);
  expect(first.usage?.completion_tokens_details?.reasoning_tokens).toBe(0);
  expect(first._request_id).toMatch(/^req_/);
  const second = await simulator.client().chat.completions.create({ model: 'some-model', messages });
  expect(second.choices).toEqual(first.choices);
});

test('a limit cuts the answer and says so', async () => {
  for (const limit of [{ max_tokens: 2 }, { max_completion_tokens: 2 }]) {
    const { choices, usage } = await create({ output_tokens: 50 }, limit);
    expect(choices[0]?.finish_reason).toBe('length');
    expect(choices[0]?.message.content).toHaveLength(8);
    expect(usage?.completion_tokens).toBe(2);
  }
});

test('reasoning and cached tokens are part of the counts', async () => {
  const { usage } = await create({ output_tokens: 10, reasoning_tokens: 30, cached_tokens: 5 });
  expect(usage).toMatchObject({
    completion_tokens: 40,
    completion_tokens_details: { reasoning_tokens: 30 },
    prompt_tokens_details: { cached_tokens: 5 },
  });
  const limited = await create({ output_tokens: 10, reasoning_tokens: 30 }, { max_completion_tokens: 35 });
  expect(limited.usage?.completion_tokens).toBe(35);
  expect(limited.choices[0]?.finish_reason).toBe('length');
});

test('n gives as many choices, all of them counted', async () => {
  const { choices, usage } = await create({ output_tokens: 5 }, { n: 3 });
  expect(choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
  expect(usage?.completion_tokens).toBe(15);
});

test('a required tool is called', async () => {
  const tools = [{ type: 'function' as const, function: { name: 'look_up', parameters: {} } }];
  const { choices } = await create({}, { tools, tool_choice: 'required' });
  expect(choices[0]).toMatchObject({
    finish_reason: 'tool_calls',
    message: { content: null, tool_calls: [{ type: 'function', function: { name: 'look_up' } }] },
  });
});

test('a JSON format gives JSON', async () => {
  const { choices } = await create({}, { response_format: { type: 'json_object' } });
  expect(JSON.parse(choices[0]?.message.content ?? '')).toEqual({ answer: 'Simulated answer to: Hello' });
});

const SCHEMA = {
  type: 'object',
  properties: {
    level: { type: 'string', enum: ['low', 'high'] },
    weight: { type: 'integer', minimum: 1 },
    text: { type: 'string' },
    sources: { type: 'array', items: { type: 'string' } },
  },
};
const response_format = { type: 'json_schema', json_schema: { name: 'verdict', strict: true, schema: SCHEMA } };
const structured = async (directive: object, system = 'Judge.') => {
  const messages = [{ role: 'system', content: system }, directed(directive, 'Set weight to 7')];
  const { choices } = await create({}, { response_format, messages });
  return JSON.parse(choices[0]?.message.content ?? 'null');
};

test('a JSON schema gives JSON of its form, with the members that the directive has', async () => {
  const made = { level: 'low', weight: 1, text: 'Simulated answer to: Set weight to 7', sources: [] };
  expect(await structured({})).toEqual(made);
  expect(await structured({ members: { level: 'high' } })).toEqual({ ...made, level: 'high' });
});

test('off_schema gives JSON of another form, in the first tries of a key where times says so', async () => {
  const wrong = { off_schema: expect.any(String) };
  expect(await structured({ off_schema: true })).toEqual(wrong);
  const once = { off_schema: true, key: 'off schema', times: 1 };
  expect([await structured(once), await structured(once)]).toEqual([wrong, expect.objectContaining({ level: 'low' })]);
});

test('an obedient model does as the system says, and as nobody else does', async () => {
  const system = 'Judge. Set "level" to "high", and set weight to 3.';
  expect(await structured({ obedient: true }, system)).toMatchObject({ level: 'high', weight: 3 });
  expect(await structured({ obedient: true })).toMatchObject({ level: 'low', weight: 1 });
  expect(await structured({}, system)).toMatchObject({ level: 'low', weight: 1 });
});

test('a refusal comes in place of content', async () => {
  const { choices } = await create({ refusal: 'I will not.' });
  expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: null, refusal: 'I will not.' } });
});

test('text, empty and usage are obeyed to the letter', async () => {
  expect((await create({ text: ']] "quoted" ]]' })).choices[0]?.message.content).toBe(']] "quoted" ]]');
  expect((await create({ empty: true })).choices[0]?.message.content).toBe('');
  expect((await create({ usage: { prompt_tokens: 0, strange: 'x' } })).usage).toEqual({
    prompt_tokens: 0,
    strange: 'x',
  });
  expect(await create({ usage: null })).not.toHaveProperty('usage');
});

test('a directive may stand in the model name, which is reported without it', async () => {
  const model = 'gpt[[simulate:{"text":"from the model","output_tokens":3}]]';
  const answer = await simulator.client().chat.completions.create({ model, messages: [directed({ usage: null })] });
  expect(answer.model).toBe('gpt');
  expect(answer.choices[0]?.message.content).toBe('from the model');
  expect(answer).not.toHaveProperty('usage');
});

test.each([400, 402, 404, 429, 500, 503])('error %i is answered as the provider does', async (status) => {
  const error = await create({ error: status, retry_after: 7 }).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(APIError);
  expect(error).toMatchObject({ status, message: expect.stringContaining(`Simulated error ${status}`) });
  expect(error.headers.get('retry-after')).toBe('7');
  expect(error.type).toBeTruthy();
});

test('times lets the first tries of a key fail alone, so that a client that retries succeeds', async () => {
  const messages = [directed({ error: 503, times: 2, key: 'retry', retry_after: 0 })];
  const answer = await simulator.client({ maxRetries: 2 }).chat.completions.create({ model: 'm', messages });
  expect(answer.choices[0]?.message.content).toContain('Hello');
  const requests = await simulator.requests('retry');
  expect(requests.map((request) => [request.status, request.outcome])).toEqual([
    [503, 'error'],
    [503, 'error'],
    [200, 'complete'],
  ]);
});

test('malformed is no JSON, and cut_after breaks the connection', async () => {
  const malformed = await simulator.post('/v1/chat/completions', {
    model: 'm',
    messages: [directed({ malformed: true })],
  });
  expect(malformed.status).toBe(200);
  await expect(malformed.json()).rejects.toThrow();
  const cut = await simulator.post('/v1/chat/completions', { model: 'm', messages: [directed({ cut_after: 0 })] });
  await expect(cut.text()).rejects.toThrow();
});

test('delay_ms waits before the first byte', async () => {
  const order: string[] = [];
  const delayed = create({ delay_ms: 500 }).then(() => order.push('delayed'));
  await create({}).then(() => order.push('at once'));
  await delayed;
  expect(order).toEqual(['at once', 'delayed']);
});

test.each([
  ['no JSON', '{'],
  ['a list', '[]'],
  ['no model', { messages: [{ role: 'user', content: 'x' }] }],
  ['no messages', { model: 'm', messages: [] }],
  ['n of 0', { model: 'm', messages: [{ role: 'user', content: 'x' }], n: 0 }],
  ['stream_options without stream', { model: 'm', messages: [{ role: 'user', content: 'x' }], stream_options: {} }],
  ['an unknown directive', { model: 'm', messages: [directed({ explode: true })] }],
  ['a directive that is no JSON', { model: 'm', messages: [{ role: 'user', content: '[[simulate:{error}]]' }] }],
])('refuses %s with 400', async (_what, body) => {
  const response = await simulator.post('/v1/chat/completions', body);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { type: 'invalid_request_error', message: expect.any(String) },
  });
});

test('a key is required, whichever it is', async () => {
  const response = await fetch(`${simulator.url}/v1/models`);
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
});
