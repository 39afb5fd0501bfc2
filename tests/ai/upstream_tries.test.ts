/** Tries and fallbacks: before the first byte only, inside one hold and one log row. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { serviceClient } from '../support/stack.ts';
import { logsOf, newCaller, newModel, newProvider, openai, seenBySimulator, simulate, walletOf } from './helpers.ts';

const USAGE = { prompt_tokens: 0, completion_tokens: 10, total_tokens: 10 };

async function addFallback(model: string, fallback: string, position = 1) {
  const { error } = await serviceClient()
    .from('ai_model_fallbacks')
    .insert({ model, position, fallback_model: fallback });
  if (error) throw error;
}

test.each([500, 429, 503])('a provider that answers %i is asked again, and the call succeeds', async (status) => {
  const user = await newCaller();
  const key = randomUUID();
  const messages = simulate({ key, error: status, times: 2, usage: USAGE });
  await openai(user).chat.completions.create({ model: await newModel(), messages });
  expect((await seenBySimulator(key)).count).toBe(3);
  expect(await logsOf(user)).toMatchObject([
    { status: 'success', attempts: [{ status }, { status }, { status: 200 }], credits_charged: '0.200000' },
  ]);
  expect((await walletOf(user))?.held).toBe(0);
});

test('one that asks for more time than we wait is not asked again', async () => {
  const user = await newCaller();
  const key = randomUUID();
  const error = await openai(user)
    .chat.completions.create({
      model: await newModel(),
      messages: simulate({ key, error: 429, retry_after: 3600 }),
    })
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
  expect((await seenBySimulator(key)).count).toBe(1);
});

test('one that blames the request is not asked again, and no other is', async () => {
  const user = await newCaller();
  const key = randomUUID();
  const model = await newModel();
  await addFallback(model, await newModel());
  const error = await openai(user)
    .chat.completions.create({ model, messages: simulate({ key, error: 422 }) })
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 400, code: 'invalid_request' });
  expect((await seenBySimulator(key)).count).toBe(1);
});

test('a broken connection before the first byte is tried again', async () => {
  const user = await newCaller();
  const provider = await newProvider({ base_url: 'http://127.0.0.1:9/v1', max_retries: 1 });
  const error = await openai(user)
    .chat.completions.create({ model: await newModel({ provider }), messages: simulate({}) })
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
  expect((await logsOf(user))[0]?.attempts).toHaveLength(2);
});

test.each([false, true])('when tries are used up a fallback answers, at its own price (stream: %s)', async (stream) => {
  const user = await newCaller();
  const provider = await newProvider({ max_retries: 1 });
  const model = await newModel({ provider, upstream_model: 'broken [[simulate:{"error":500}]]' });
  const broken = await newModel({ provider, upstream_model: 'broken [[simulate:{"error":401}]]' });
  const fallback = await newModel({}, { output: 400 });
  await addFallback(model, broken, 1);
  await addFallback(model, fallback, 2);
  const client = openai(user).chat.completions;
  const messages = simulate({ usage: USAGE, text: 'from the fallback' });
  if (stream) for await (const _ of await client.create({ model, messages, stream, max_tokens: 20 }));
  else await client.create({ model, messages, max_tokens: 20 });
  expect(await logsOf(user)).toMatchObject([
    {
      status: 'success',
      model,
      served_model: fallback,
      credits_charged: '0.400000',
      attempts: [
        { model, status: 500 },
        { model, status: 500 },
        { model: broken, status: 401 },
        { model: fallback, status: 200 },
      ],
    },
  ]);
  expect(await walletOf(user)).toMatchObject({ balance: 2.6, held: 0, drift: 0 });
});

test('a provider whose key is not set fails like one that is down', async () => {
  const user = await newCaller();
  const provider = await newProvider({ api_key_env: 'AI_NO_SUCH_KEY' });
  const error = await openai(user)
    .chat.completions.create({ model: await newModel({ provider }), messages: simulate({}) })
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
  expect((await logsOf(user))[0]?.error_message).toContain('its key is not set');
});
