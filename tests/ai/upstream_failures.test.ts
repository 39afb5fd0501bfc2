import { beforeAll, describe, expect, test } from 'vitest';
import { logsOf, newCaller, newModel, openai, simulate, walletOf } from './helpers.ts';

let model: string;
beforeAll(async () => {
  model = await newModel();
});

const UNTOUCHED = { balance: 3, spent: 0, held: 0, drift: 0 };

describe('a provider that fails before its answer', () => {
  const failures: [string, object, object][] = [
    ['with 500', { error: 500 }, { status: 502, code: 'upstream_error' }],
    ['with 429', { error: 429 }, { status: 502, code: 'upstream_error' }],
    ['by refusing our key', { error: 401 }, { status: 502, code: 'upstream_error' }],
    ['with what is no JSON', { malformed: true }, { status: 502, code: 'upstream_error' }],
    ['by blaming the request', { error: 400 }, { status: 400, code: 'invalid_request' }],
    ['half-way through', { cut_after: 1 }, { status: 502, code: 'upstream_error' }],
  ];
  test.each(failures)('%s: an error, nothing charged, one failed log row', async (_name, directive, expected) => {
    const user = await newCaller();
    const error = await openai(user)
      .chat.completions.create({ model, messages: simulate(directive) })
      .catch((thrown) => thrown);
    expect(error).toMatchObject(expected);
    expect(await walletOf(user)).toEqual(UNTOUCHED);
    expect(await logsOf(user)).toMatchObject([
      { status: 'failed', credits_charged: '0.000000', error_code: (expected as { code: string }).code },
    ]);
  });
});

describe('a provider that fails within a stream', () => {
  const failures: [string, object, string][] = [
    ['by cutting it off', { cut_after: 2, chunks: 5, text: 'a b c d e' }, 'the connection broke'],
    ['by telling of an error', { error_after: 2, chunks: 5, text: 'a b c d e' }, 'an error in the stream'],
    ['by ending it half-way', { end_after: 2, chunks: 5, text: 'a b c d e' }, 'the stream was cut off'],
  ];
  test.each(failures)(
    '%s: the client is told, nothing charged, one failed log row',
    async (_name, directive, cause) => {
      const user = await newCaller();
      const stream = await openai(user).chat.completions.create({ model, messages: simulate(directive), stream: true });
      let text = '';
      const read = async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      };
      await expect(read()).rejects.toThrow('The AI provider failed. Nothing was charged.');
      expect(text.length).toBeGreaterThan(0);
      expect(await walletOf(user)).toEqual(UNTOUCHED);
      const logs = await logsOf(user);
      expect(logs).toMatchObject([{ status: 'failed', credits_charged: '0.000000', error_code: 'upstream_error' }]);
      expect(logs[0]?.error_message).toContain(cause);
    },
  );
});
