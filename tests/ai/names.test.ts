/** A model answers under the name that was asked for, in every shape in which an answer comes. */
import { expect, test } from 'vitest';
import { named, renamed, underName } from '../../supabase/functions/ai/names.ts';
import { StreamReader } from '../../supabase/functions/ai/stream.ts';
import { serviceClient } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, newProvider, openai, simulate } from './helpers.ts';

const told = (text: string, from: unknown = 'up/one') =>
  new TextDecoder().decode(renamed(new TextEncoder().encode(text), 'model', from, 'näme "1"'));

test.each([
  ['{"id":"1","model":"up/one","choices":[]}', '{"id":"1","model":"näme \\"1\\"","choices":[]}'],
  ['{ "choices": [],\n "model" : "up\\/one" }', '{ "choices": [],\n "model" : "näme \\"1\\"" }'],
  [
    'data: {"model":"up/one"}\n\ndata: {"model":"up/one"}',
    'data: {"model":"näme \\"1\\""}\n\ndata: {"model":"näme \\"1\\""}',
  ],
])('the name in %s is the one that was asked for', (text, wanted) => {
  expect(told(text)).toBe(wanted);
});

test.each([
  '{"model":"another"}',
  '{"model":null,"content":"\\"model\\":\\"up/one\\""}',
  '{"kind":"model","name":"up/one"}',
  '{"model":"up/one',
  '{"model":"bad\\escape"}',
])('%s stays as it is', (text) => {
  expect(told(text)).toBe(text);
});

test('a name outside of Latin is found, and nothing is done where there is none', () => {
  expect(told('{"a":"ü","model":"模型 ü"}', '模型 ü')).toBe('{"a":"ü","model":"näme \\"1\\""}');
  expect(told('{"model":"up/one"}', null)).toBe('{"model":"up/one"}');
});

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
  [
    'data: {"model":"up","provider":"Hidden","choices":[]}\n\n',
    'data: {"model":"asked","provider":"basemeter","choices":[]}\n\n',
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
  const reader = new StreamReader(true, 1, 'asked');
  expect(new TextDecoder().decode(reader.read(new TextEncoder().encode(sent)))).toBe(wanted);
});

test('of usage a whole answer tells tokens alone, and nothing else of it is touched', () => {
  const usage =
    '{ "prompt_tokens": 1, "cost": 0.5, "cost_in_usd_ticks": 5, "completion_tokens_details": {"reasoning_tokens":2,"cost":3} }';
  const words = '"content":"\\"usage\\": {\\"cost\\": 1}"';
  const text = `{"model":"up", ${words}, "n": 1.0,"usage": ${usage}}`;
  const answer = JSON.parse(text);
  const sent = new TextDecoder().decode(underName(new TextEncoder().encode(text), answer, 'asked'));
  const told = '{"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}';
  expect(sent).toBe(`{"model":"asked", ${words}, "n": 1.0,"usage": ${told}}`);
  expect(named(answer, 'asked')).toEqual(JSON.parse(sent));
});
