/** The parts of function `ai` that do no I/O. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../supabase/functions/_shared/json.ts';
import { outline, readUsage } from '../../supabase/functions/ai/answer.ts';
import { chatInput, mostInputTokens } from '../../supabase/functions/ai/input.ts';
import { toLogData } from '../../supabase/functions/ai/log-data.ts';
import { chatRequest, embeddingsRequest, imagesRequest, parseRequest } from '../../supabase/functions/ai/request.ts';
import { StreamReader } from '../../supabase/functions/ai/stream.ts';

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
        { maxDepth: 3 },
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
  const read = (content: unknown, others: object = {}) => {
    const fields = new Map<string, string>();
    const input = chatInput({ messages: [{ role: 'user', content }], ...others }, fields);
    return {
      tokens: mostInputTokens(input),
      parts: Object.fromEntries(input.parts),
      fields: Object.fromEntries(fields),
    };
  };
  const image = (url: string) => ({ type: 'image_url', image_url: { url } });

  test('are at least the bytes of its text, wherever it stands', () => {
    expect(read('\u00fc'.repeat(100)).tokens).toBeGreaterThanOrEqual(200);
    const long = 'A'.repeat(9_000);
    expect(read([{ type: 'text', text: `data:image/png;base64,${long}` }]).tokens).toBeGreaterThan(9_000);
    expect(read(`data:,${long}`).tokens).toBeGreaterThan(9_000);
    const tool = { type: 'function', function: { parameters: { image_url: { description: long } } } };
    expect(read('', { tools: [tool] }).tokens).toBeGreaterThan(10_000);
    expect(read('', { grammar: long }).tokens).toBeGreaterThan(9_000);
  });

  test('do not grow with a file: parts are counted by kind, and the model says what one can be', () => {
    const short = read([image('data:image/png;base64,A')]);
    expect(read([image(`data:image/png;base64,${'A'.repeat(100_000)}`)])).toEqual(short);
    expect(short.parts).toEqual({ image_url: { count: 1, param: 'messages.0.content.0.type' } });
    const parts = [
      { type: 'text', text: 'x' },
      image('https://example.test/a.png'),
      { type: 'video_url', video_url: { url: 'https://example.test/a.mp4' } },
      image('https://example.test/b.png'),
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
      { type: 'document', document: { pages: 'words' } },
      { type: '__proto__' },
    ];
    expect(Object.entries(read(parts).parts).sort()).toEqual([
      ['__proto__', { count: 1, param: 'messages.0.content.6.type' }],
      ['document', { count: 1, param: 'messages.0.content.5.type' }],
      ['image_url', { count: 2, param: 'messages.0.content.1.type' }],
      ['input_audio', { count: 1, param: 'messages.0.content.4.type' }],
      ['video_url', { count: 1, param: 'messages.0.content.2.type' }],
    ]);
  });

  test.each([
    [
      'a file that is none of its kind',
      [image(`data:text/plain,${'A'.repeat(9)}`)],
      'messages.0.content.0.image_url.url',
    ],
    [
      'an image that is no object',
      [{ type: 'image_url', image_url: 'https://x.test' }],
      'messages.0.content.0.image_url',
    ],
    ['a part without a kind', [{ text: 'x' }], 'messages.0.content.0.type'],
    ['a part that is no object', ['x'], 'messages.0.content.0'],
    ['a text that is none', [{ type: 'text', text: 7 }], 'messages.0.content.0.text'],
    ['content that is one part', image('https://x.test'), 'messages.0.content'],
    ['more parts than anybody sends', Array(10_001).fill({ type: 'text', text: '' }), 'messages.0.content'],
    ['a kind in other letters', [{ Type: 'text', type: 'text', text: '' }], 'messages.0.content.0.Type'],
    ['a part in other letters', [{ ...image('https://x.test'), Image_URL: {} }], 'messages.0.content.0.Image_URL'],
    [
      'an address in other letters',
      [{ type: 'image_url', image_url: { url: 'https://x.test', URL: 'y' } }],
      'messages.0.content.0.image_url.URL',
    ],
  ])('%s is refused by its place', (_name, content, param) => {
    expect(() => read(content)).toThrow(expect.objectContaining({ status: 400, param }));
  });

  test('what is around the text is a list of names too', () => {
    const others = { tools: [{ type: 'function', function: {}, cache_control: {} }] };
    const parts = [
      { type: 'text', text: 'x', cache_control: {} },
      { type: 'file', file: { file_id: 'f', file_data: '' } },
    ];
    expect(read(parts, others).fields).toEqual({
      cache_control: 'messages.0.content.0.cache_control',
      file_id: 'messages.0.content.1.file.file_id',
    });
    const hosted = { tools: [{ type: 'function' }, { type: 'web_search' }] };
    expect(() => read('', hosted)).toThrow(expect.objectContaining({ status: 400, param: 'tools.1.type' }));
  });
});

describe('the names in a request', () => {
  const parse = (body: object) => parseRequest({ model: 'm', messages: [{}], ...body }, chatRequest);

  test.each(['Model', 'N', 'Stream', 'Max_Tokens', 'mODEL', '\u017ftream', 'max_to\u212Aens', 'STREAM_OPTIONS'])(
    '%s is refused: some gateways read it as ours',
    (name) => {
      expect(() => parse({ [name]: 1 })).toThrow(expect.objectContaining({ status: 400, param: name }));
    },
  );

  test('are refused in stream_options too, and by every endpoint', () => {
    const options = { stream_options: { include_usage: true, Include_Usage: false } };
    expect(() => parse(options)).toThrow(expect.objectContaining({ param: 'stream_options.Include_Usage' }));
    expect(() => parseRequest({ Model: 'x' }, embeddingsRequest)).toThrow(expect.objectContaining({ param: 'Model' }));
    expect(() => parseRequest({ Model: 'x' }, imagesRequest)).toThrow(expect.objectContaining({ param: 'Model' }));
  });

  test('that nobody knows are for the model to say, and no trick with them is', () => {
    const body = JSON.parse('{"model":"m","messages":[{}],"service_tier":"flex","__proto__":{"a":1}}');
    expect(Object.keys(body)).toContain('__proto__');
    expect([...parseRequest(body, chatRequest).fields.keys()]).toEqual(['service_tier', '__proto__']);
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`f${index}`, 1]));
    expect(() => parse(many)).toThrow(expect.objectContaining({ status: 400, param: 'f50' }));
  });
});

describe('a body', () => {
  test('of more values than anything honest has is refused', () => {
    expect(() => parseJson(JSON.stringify({ input: Array(500_001).fill(1) }))).toThrow('more than 500000 values');
    expect(() => parseJson(JSON.stringify({ input: Array(499_000).fill(1) }))).not.toThrow();
  });

  test('with a long list is told how long it may be', () => {
    const messages = Array(10_001).fill({});
    expect(() => parseRequest({ model: 'm', messages }, chatRequest)).toThrow(
      'it must be a list of 1 to 10000 messages',
    );
    const embed = (input: unknown) => parseRequest({ model: 'm', input }, embeddingsRequest).request.input;
    for (const input of ['a', ['a', 'b'], [1, 2, 3], [[1], [2]], Array(3_000).fill(1)])
      expect(embed(input)).toEqual(input);
    for (const input of ['', [], [1, -2], [1.5], ['a', 1], [['a']], [[]]])
      expect(() => embed(input)).toThrow('input is not valid');
    for (const item of ['a', [1]]) expect(() => embed(Array(2_049).fill(item))).toThrow('a list of 1 to 2048 texts');
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
