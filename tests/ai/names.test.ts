/** A model answers under the name that was asked for, in every shape in which an answer comes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { told, toldBytes } from '../../supabase/functions/ai/names.ts';
import { StreamReader } from '../../supabase/functions/ai/stream.ts';
import { serviceClient } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, newProvider, openai, simulate } from './helpers.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const NAMES = { model: 'asked', id: 'ours' };
const sentOf = (text: string) => {
  const answer = JSON.parse(text);
  const sent = new TextDecoder().decode(toldBytes(bytesOf(text), answer, told(answer, NAMES)));
  expect(JSON.parse(sent)).toEqual(told(answer, NAMES));
  return sent;
};

test.each([false, true])('whoever answers, the client reads the name it asked for (stream: %s)', async (stream) => {
  const user = await newCaller();
  const broken = await newProvider({ max_retries: 0 });
  const model = await newModel({ provider: broken, upstream_model: 'upstream-a [[simulate:{"error":500}]]' });
  const fallback = await newModel({ upstream_model: 'upstream-b' });
  await serviceClient().from('ai_model_fallbacks').insert({ model, position: 1, fallback_model: fallback });
  const answer = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ model, stream, max_tokens: 20, messages: simulate({ text: 'Good day' }) }),
  });
  const text = await answer.text();
  const seen = `${text} ${JSON.stringify([...answer.headers])}`;
  expect([...text.matchAll(/"model":"([^"]*)"/g)].map(([, name]) => name)).toEqual(expect.arrayContaining([model]));
  for (const name of ['upstream-a', 'upstream-b', fallback, broken]) expect(seen).not.toContain(name);
  const { data } = await user.client.from('ai_usage_logs').select();
  expect(JSON.stringify(data)).not.toMatch(new RegExp(`upstream-|${fallback}|${broken}`));
  expect(data?.[0]).toMatchObject({ model, status: 'success' });
});

test('embeddings too', async () => {
  const user = await newCaller();
  const model = await newModel({ scene: 'embedding', upstream_model: 'upstream-e', max_output_tokens: 0 });
  const answer = await openai(user).embeddings.create({ model, input: 'Good day' });
  expect(answer.model).toBe(model);
});

test.each([
  [
    'data: {"model":"up","choices":[{"delta":{"content":"a"}}]}\n\n',
    'data: {"model":"asked","choices":[{"delta":{"content":"a"}}]}\n\n',
  ],
  ['data: {"model":\ndata: "up","choices":[]}\n\n', 'data: {"model":"asked","choices":[]}\n\n'],
  ['data: {"model":"up","provider":"Hidden","choices":[]}\n\n', 'data: {"model":"asked","choices":[]}\n\n'],
  [
    'data: {"id":"gen-1","model":"up","cost":1,"x_groq":{"id":"r"},"system_fingerprint":"fp","choices":[{"native_finish_reason":"STOP","delta":{"provider_metadata":{},"content":"a"}}],"usage":null}\n\n',
    'data: {"id":"ours","model":"asked","system_fingerprint":"fp","choices":[{"delta":{"content":"a"}}],"usage":null}\n\n',
  ],
  [': x\nid: 1\nretry: 5\nevent: a\ndata: {"choices":[]}\n\n', 'event: a\ndata: {"choices":[]}\n\n'],
  [
    'data: {"choices":[{"usage":{"prompt_tokens":1,"cost":2}}],"usage":{"prompt_tokens":1,"is_byok":true,"cost_details":{"a":1}}}\n\n',
    'data: {"choices":[{"usage":{"prompt_tokens":1}}],"usage":{"prompt_tokens":1}}\n\n',
  ],
  [
    'data: {"choices":[{"delta":{"content":"\\"model\\":\\"up\\""}}]}\n\n',
    'data: {"choices":[{"delta":{"content":"\\"model\\":\\"up\\""}}]}\n\n',
  ],
])('the chunk %s', (sent, wanted) => {
  const reader = new StreamReader(true, 1, NAMES);
  expect(new TextDecoder().decode(reader.read(new TextEncoder().encode(sent)))).toBe(wanted);
});

test('of a whole answer nothing else is touched, byte by byte', () => {
  const usage =
    '{ "prompt_tokens": 1, "cost": 0.5, "cost_in_usd_ticks": 5, "completion_tokens_details": {"reasoning_tokens":2,"cost":3} }';
  const words = '"content":"\\"usage\\": {\\"cost\\": 1}, \\\\"';
  const rest = `${words}, "n": 1.0,\n "data" : [[-0.10, 2e0], {"a": [1, "]"]}, [1, [2]], {"usages": {"costs": 1}}]`;
  expect(sentOf(`{"model":"up", "pro\\u0076ider":"x", ${rest},"usage": ${usage}}`)).toBe(
    `{"model":"asked", ${rest},"usage":{ "prompt_tokens": 1,"completion_tokens_details":{"reasoning_tokens":2}}}`,
  );
  expect(sentOf('{ "cost": 1 }')).toBe('{}');
  expect(sentOf('{"id":"c1","created" : 1}')).toBe('{"id":"ours","created" : 1}');
  const plain = `{ ${rest} }`;
  expect(sentOf(plain)).toBe(plain);
});

test("what is the provider's own is told at no depth, and what stands beside it as it came", () => {
  const own = '"provider" : {"a": [1]}, "cost":1,';
  expect(
    sentOf(`{"data": [ {${own} "embedding":[-0.10, 2e0] , "index": 0}, 7, "b,]" ,[{${own}"a":1.0}]], "n" : 1.0}`),
  ).toBe('{"data":[{ "embedding":[-0.10, 2e0] , "index": 0}, 7, "b,]" ,[{"a":1.0}]], "n" : 1.0}');
  const call = (more: string) => `{${more}"id":"c","function":{${more}"name":"f","arguments":"{\\"cost\\":1}"}}`;
  const message = (more: string) =>
    `{"choices":[{"message":{"annotations":[{${more}"type":"url_citation"}],"tool_calls":[${call(more)}]}}]}`;
  expect(sentOf(message(own))).toBe(message(''));
  // A call's arguments are the model's, also where they come as an object.
  const asked = '{"tool_calls":[{"function":{"arguments":{"provider":"x","usage":1},"name":"f"}}],"input":{}}';
  expect(sentOf(asked)).toBe(asked);
  expect(sentOf('{"a":{"cost":1},"a":{"cost":2,"b":[]}}')).toBe('{"a":{"b":[]}}');
});

test('usage of any size is told as tokens alone, and usage that is none not at all', () => {
  const large = { prompt_tokens: 1, upstream: Array.from({ length: 5_000 }, () => 'account') };
  expect(JSON.stringify(large).length).toBeGreaterThan(10_000);
  expect(sentOf(JSON.stringify({ usage: large }))).toBe('{"usage":{"prompt_tokens":1}}');
  for (const usage of ['USD 0.5', [{ cost: 1 }], 5]) expect(sentOf(JSON.stringify({ usage }))).toBe('{"usage":null}');
  expect(sentOf('{"usage":{"prompt_tokens_details":[{"cost":1}]}}')).toBe('{"usage":{}}');
});

test('answers of any shape are told as they are read', () => {
  const names = fc.constantFrom(
    'model',
    'id',
    'usage',
    'cost',
    'provider',
    'choices',
    'message',
    'tool_calls',
    '"',
    'a\\',
  );
  const any = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>('a', ']', '}', ',"', '\\', '[1', null, true, 0.5, -1),
      fc.array(fc.integer()),
      fc.array(tie('any')),
      fc.dictionary(names, tie('any')),
    ),
  })).any;
  fc.assert(
    fc.property(fc.dictionary(names, any), fc.constantFrom(undefined, 2), (answer, space) => {
      sentOf(JSON.stringify(answer, null, space));
    }),
  );
});
