/** A wallet that pays for a part of the output gets that part. */
import { randomUUID } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { newCaller, newModel, openai, seenBySimulator, simulate, walletOf } from './helpers.ts';

/** 0.01 credits a token of output: 3 credits are 300. */
const PRICE = { output: 100 };
let model: string;
beforeAll(async () => {
  model = await newModel({ max_output_tokens: 10_000 }, PRICE);
});

const limits: [string, object, object][] = [
  ['no limit', {}, { max_tokens: 300 }],
  ['max_tokens', { max_tokens: 5000 }, { max_tokens: 300 }],
  ['max_completion_tokens', { max_completion_tokens: 5000 }, { max_completion_tokens: 300 }],
  ['both', { max_tokens: 20, max_completion_tokens: 5000 }, { max_tokens: 20, max_completion_tokens: 300 }],
];
test.each(limits)(
  'the limit that goes upstream is lowered, and the answer says so: %s',
  async (_name, sent, upstream) => {
    const user = await newCaller();
    const key = randomUUID();
    const { data, response } = await openai(user)
      .chat.completions.create({ model, messages: simulate({ key, output_tokens: 1000 }), ...sent })
      .withResponse();
    expect(response.headers.get('x-output-limit')).toBe('300');
    expect((await seenBySimulator(key)).requests[0]?.body).toMatchObject(upstream);
    expect(data.choices[0]?.finish_reason).toBe('length');
    expect(await walletOf(user)).toMatchObject({ held: 0, drift: 0 });
  },
);

test('a model may take its limit by another field', async () => {
  const user = await newCaller();
  const key = randomUUID();
  const other = await newModel({ max_output_tokens: 10_000, output_limit_field: 'max_completion_tokens' }, PRICE);
  await openai(user).chat.completions.create({ model: other, messages: simulate({ key }) });
  expect((await seenBySimulator(key)).requests[0]?.body).toMatchObject({ max_completion_tokens: 300 });
});

test('what the wallet pays for goes upstream as it came', async () => {
  const user = await newCaller();
  const key = randomUUID();
  const { response } = await openai(user)
    .chat.completions.create({ model, messages: simulate({ key }), max_tokens: 50 })
    .withResponse();
  expect(response.headers.get('x-output-limit')).toBeNull();
  const body = (await seenBySimulator(key)).requests[0]?.body;
  expect(body).toMatchObject({ max_tokens: 50 });
  expect(body).not.toHaveProperty('max_completion_tokens');
});
