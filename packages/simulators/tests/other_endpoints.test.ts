import { afterAll, beforeAll, expect, test } from 'vitest';
import { directed, type RunningSimulator, startSimulator } from './helpers.ts';

let simulator: RunningSimulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.stop());

test('embeddings are the same in both encodings, of length 1, and equal for equal inputs', async () => {
  const client = simulator.client();
  const input = ['one', 'two', 'one'];
  // Without a format the client asks for base64 and decodes it.
  const decoded = await client.embeddings.create({ model: 'e', input });
  const plain = await client.embeddings.create({ model: 'e', input, encoding_format: 'float' });
  expect(decoded.data).toHaveLength(3);
  expect(decoded.data[0]?.embedding).toHaveLength(1536);
  expect([...(decoded.data[0]?.embedding ?? [])]).toEqual(plain.data[0]?.embedding);
  expect(plain.data[2]?.embedding).toEqual(plain.data[0]?.embedding);
  expect(plain.data[1]?.embedding).not.toEqual(plain.data[0]?.embedding);
  expect(Math.hypot(...(plain.data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  expect(plain.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
});

test('embeddings take token ids and dimensions', async () => {
  const { data, usage } = await simulator.client().embeddings.create({
    model: 'e',
    input: [
      [1, 2, 3],
      [4, 5],
    ],
    dimensions: 20,
    encoding_format: 'float',
  });
  expect(data.map((item) => item.embedding.length)).toEqual([20, 20]);
  expect(usage.prompt_tokens).toBe(5);
});

test('embeddings obey directives and refuse an empty input', async () => {
  const input = 'text [[simulate:{"error":429}]]';
  await expect(simulator.client().embeddings.create({ model: 'e', input })).rejects.toMatchObject({ status: 429 });
  await expect(simulator.client().embeddings.create({ model: 'e', input: [] })).rejects.toMatchObject({ status: 400 });
});

test('images come as base64 with input and output tokens', async () => {
  const { data, usage } = await simulator.client().images.generate({ model: 'i', prompt: 'four', n: 2 });
  expect(data).toHaveLength(2);
  expect(
    Buffer.from(data?.[0]?.b64_json ?? '', 'base64')
      .subarray(1, 4)
      .toString(),
  ).toBe('PNG');
  expect(usage).toMatchObject({ input_tokens: 1, output_tokens: 2112, total_tokens: 2113 });
});

test('models are listed, and an unknown one is 404', async () => {
  const client = simulator.client();
  const { data } = await client.models.list();
  expect(data.map((model) => model.id)).toContain('simulator-chat');
  expect(await client.models.retrieve('simulator-chat')).toMatchObject({ object: 'model' });
  await expect(client.models.retrieve('nope')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
});

test('the journal keeps bodies, adds up what was delivered, and forgets on demand', async () => {
  const client = simulator.client();
  const messages = [directed({ key: 'kept', output_tokens: 6 })];
  await client.chat.completions.create({ model: 'm', messages, temperature: 0.5 });
  const report = await (await fetch(`${simulator.url}/__simulator/requests?key=kept`)).json();
  expect(report).toMatchObject({
    count: 1,
    tokens_delivered: 6,
    requests: [{ model: 'm', path: '/v1/chat/completions', outcome: 'complete', body: { temperature: 0.5 } }],
  });
  await fetch(`${simulator.url}/__simulator/requests?key=kept`, { method: 'DELETE' });
  expect(await simulator.requests('kept')).toEqual([]);
});

test('the journal is bounded', async () => {
  const body = { model: 'm', messages: [directed({ key: 'many', empty: true })] };
  for (let batch = 0; batch < 11; batch += 1) {
    await Promise.all(
      Array.from({ length: 100 }, async () => (await simulator.post('/v1/chat/completions', body)).text()),
    );
  }
  expect(await simulator.requests('many')).toHaveLength(1000);
});
