/** A model answers under the name that was asked for, in every shape in which an answer comes. */
import { expect, test } from 'vitest';
import { renamed } from '../../supabase/functions/ai/names.ts';

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
