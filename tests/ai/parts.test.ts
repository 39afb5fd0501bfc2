/** The parts of function `ai` that do no I/O. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../supabase/functions/_shared/json.ts';
import { outline, readUsage } from '../../supabase/functions/ai/answer.ts';
import { toLogData } from '../../supabase/functions/ai/log-data.ts';
import { chatRequest, embeddingsRequest } from '../../supabase/functions/ai/request.ts';
import { StreamReader } from '../../supabase/functions/ai/stream.ts';
import { countTokens } from '../../supabase/functions/ai/tokenizer.ts';
import { mostInputTokens } from '../../supabase/functions/ai/usage.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function readAll(reader: StreamReader, pieces: Uint8Array[]): string {
  return [...pieces.map((piece) => reader.read(piece)), reader.flush()].map((bytes) => decoder.decode(bytes)).join('');
}

describe('usage', () => {
  test('that is missing, null or of another shape is none', () => {
    for (const usage of [
      undefined,
      null,
      7,
      'x',
      {},
      [],
      { tokens: 1 },
      { prompt_tokens: -1 },
      { prompt_tokens: '' },
    ]) {
      expect(readUsage({ usage })).toBeUndefined();
    }
  });

  test('of any content gives whole counts within bounds', () => {
    const count = fc.oneof(fc.double(), fc.integer(), fc.string(), fc.constant(null));
    const usage = fc.record(
      {
        prompt_tokens: count,
        input_tokens: count,
        cache_read_input_tokens: count,
        completion_tokens: count,
        total_tokens: count,
        cached_tokens: count,
        prompt_tokens_details: fc.option(fc.record({ cached_tokens: count })),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(usage, (reported) => {
        const read = readUsage({ usage: reported });
        if (!read) return;
        for (const tokens of Object.values(read)) {
          expect(tokens === undefined || (Number.isInteger(tokens) && tokens >= 0 && tokens <= 2e9)).toBe(true);
        }
        expect(read.cached).toBeLessThanOrEqual(read.prompt ?? read.cached);
      }),
    );
  });
});

describe('the outline of an answer', () => {
  test('is the answer without long texts and lists of numbers, whatever is in it', () => {
    const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\\', '"', '\\"]', '[1', 'x'.repeat(5_000)));
    const numbers = fc.array(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer()));
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        texts,
        numbers,
        fc.constant(null),
        fc.dictionary(texts, tie('any')),
        fc.array(tie('any')),
      ),
    })).any;
    const bare = (item: unknown): unknown => {
      if (typeof item === 'string') {
        return encoder.encode(JSON.stringify(item)).length - 1 > 4_096 ? '(left out)' : item;
      }
      if (Array.isArray(item)) return typeof item[0] === 'number' ? [] : item.map(bare);
      if (typeof item !== 'object' || item === null) return item;
      return Object.fromEntries(Object.entries(item).map(([key, child]) => [bare(key), bare(child)]));
    };
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (answer, space) => {
        const read = JSON.parse(decoder.decode(outline(encoder.encode(JSON.stringify(answer, null, space)))));
        expect(read).toEqual(bare(answer));
      }),
    );
  });
});

describe('the most input tokens of a request', () => {
  test('are at least the bytes of its text, and do not grow with an embedded file', () => {
    const text = (content: unknown) => mostInputTokens({ messages: [{ role: 'user', content }] });
    expect(text('ü'.repeat(100))).toBeGreaterThanOrEqual(200);
    const image = (data: string) => text([{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }]);
    expect(image('A'.repeat(100_000))).toBe(image('A'));
    expect(image('A')).toBeGreaterThan(4_000);
    expect(text([{ type: 'image_url', image_url: { url: 'https://example.test/a.png' } }])).toBeGreaterThan(4_000);
    // What is no part of a message is read word by word, whatever it is called.
    const tool = { properties: { image_url: { description: 'A'.repeat(9_000) } } };
    expect(mostInputTokens({ messages: [], other: [tool] })).toBeGreaterThan(9_000);
    expect(text([{ type: 'image_url', image_url: { url: `data:text/plain,${'A'.repeat(9_000)}` } }])).toBeGreaterThan(
      9_000,
    );
    expect(text(`data:,${'A'.repeat(9_000)}`)).toBeGreaterThan(9_000); // text that looks like a file is text
    expect(text([{ type: 'text', text: `data:image/png;base64,${'A'.repeat(9_000)}` }])).toBeGreaterThan(9_000);
  });
});

describe('a text without breaks', () => {
  test('is counted in pieces, and comes to as many tokens', async () => {
    const { tokens, isCounted } = await countTokens(['abc'.repeat(100)]);
    expect(isCounted).toBe(true);
    const whole = await countTokens(['abc'.repeat(20_000)]);
    expect(whole.isCounted).toBe(true);
    expect(Math.abs(whole.tokens / (tokens * 200) - 1)).toBeLessThan(0.05);
  });
});

describe('a body', () => {
  test('of more values than anything honest has is refused', () => {
    expect(() => parseJson(JSON.stringify({ input: Array(500_001).fill(1) }))).toThrow('more than 500000 values');
    expect(() => parseJson(JSON.stringify({ input: Array(499_000).fill(1) }))).not.toThrow();
  });

  test('with a long list is told so once, not for each wrong item', () => {
    const messages = Array(10_001).fill({});
    const { error } = chatRequest.safeParse({ model: 'm', messages });
    expect(error?.issues).toMatchObject([{ path: ['messages'], message: 'it must be a list of 1 to 10000' }]);
    expect(embeddingsRequest.safeParse({ model: 'm', input: [1, 2, 3] }).success).toBe(true);
    expect(embeddingsRequest.safeParse({ model: 'm', input: [[1], [2]] }).success).toBe(true);
    expect(embeddingsRequest.safeParse({ model: 'm', input: [1, -2] }).success).toBe(false);
    expect(embeddingsRequest.safeParse({ model: 'm', input: Array(2_049).fill('a') }).success).toBe(false);
  });
});

describe('what goes into the log', () => {
  test('leaves files out, and looks for them in the head of a text alone', () => {
    expect(toLogData(`data:image/png;base64,${'A'.repeat(50)}`, 'full')).toBe('data:image/png,… (72 characters)');
    const long = `data:${'a'.repeat(300)};base64,AAAA`;
    expect(toLogData(long, 'full')).toBe(long);
  });

  test('is storable and bounded, whatever comes', () => {
    let deep: unknown = 'x';
    for (let level = 0; level < 2_000; level += 1) deep = [deep];
    expect(JSON.stringify(toLogData(deep, 'full'))).toContain('(nested deeper)');
    expect(toLogData({ text: 'x'.repeat(300_000) }, 'full')).toMatchObject({ truncated: true, characters: 300_011 });
    fc.assert(
      fc.property(fc.object({ key: fc.string({ unit: 'binary' }) }), (value) => {
        const text = JSON.stringify(toLogData(value, 'full'));
        expect(text).toBe(text.toWellFormed());
        expect(text).not.toContain('\\u0000');
      }),
    );
  });
});

describe('a stream in pieces', () => {
  const events = [
    'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"grüß "},"finish_reason":null}]}\n\n',
    ':\n\n',
    'data: {"choices":[{"index":1,"delta":{"content":"B"},"finish_reason":"stop"}]}\r\n\r\n',
    'data: {"choices":[{"index":0,"delta":{"content":"dich 🙂"},"finish_reason":"stop"}],"usage":null}\n\n',
  ];
  const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n';
  const done = 'data: [DONE]\n\n';
  const whole = encoder.encode([...events, usage, done].join(''));

  test('is the same however it is cut: passed on unchanged but for hidden usage and [DONE]', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length)), fc.boolean(), (cuts, hidesUsage) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.length];
        const pieces = at.slice(1).map((end, i) => whole.slice(at[i], end));
        const reader = new StreamReader(hidesUsage);
        expect(readAll(reader, pieces)).toBe(events.join('') + (hidesUsage ? '' : usage));
        expect(reader).toMatchObject({
          isDone: true,
          isComplete: true,
          reported: { prompt: 3, cached: 0, completion: 2 },
        });
        expect(reader.answer.choices.map(({ message }) => message.content)).toEqual(['grüß dich 🙂', 'B']);
      }),
    );
  });

  test('is incomplete until each choice has finished', () => {
    const reader = new StreamReader(true);
    readAll(reader, [encoder.encode(events.slice(0, 3).join(''))]);
    expect(reader.isComplete).toBe(false);
  });

  test('puts tool calls together, also where their index is missing', () => {
    const reader = new StreamReader(true);
    const call = (delta: object) => `data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`;
    readAll(reader, [
      encoder.encode(call({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'f', arguments: '{"a"' } }] })),
      encoder.encode(call({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] })),
      encoder.encode(call({ tool_calls: [{ id: 'c2', function: { name: 'g', arguments: '{}' } }] })),
    ]);
    expect(reader.answer.choices[0]?.message.tool_calls).toEqual([
      { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
      { id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } },
    ]);
  });

  test('survives chunks that are no chunks', () => {
    const odd = fc.oneof(fc.json(), fc.string()).map((data) => `data: ${data.replaceAll(/[\r\n]/g, '')}\n\n`);
    fc.assert(
      fc.property(fc.array(odd), (list) => void readAll(new StreamReader(true), [encoder.encode(list.join(''))])),
    );
  });
});
