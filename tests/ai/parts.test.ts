/** The parts of function `ai` that do no I/O. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { parseJson } from '../../supabase/functions/_shared/json.ts';
import { toStorable } from '../../supabase/functions/_shared/text.ts';
import { outline } from '../../supabase/functions/ai/answer.ts';
import { chatInput, mostInputTokens } from '../../supabase/functions/ai/input.ts';
import { toLogData } from '../../supabase/functions/ai/log-data.ts';
import { readUsage } from '../../supabase/functions/ai/pools.ts';
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
        const { pools, ...totals } = read;
        for (const tokens of Object.values({ ...totals, ...pools })) {
          expect(
            tokens === undefined || (Number.isInteger(tokens) && Number(tokens) >= 0 && Number(tokens) <= 2e9),
          ).toBe(true);
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
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}', cache_control: {} } };
    const around = {
      messages: [{ role: 'assistant', content: null, tool_calls: [{ ...call, call_cache: {} }] }],
      tools: [
        { type: 'function', function: { name: 'f', parameters: {}, strict: true, tool_cache: {} } },
        { type: 'custom', custom: { name: 'c', format: { type: 'text' }, custom_cache: {} } },
      ],
      functions: [{ name: 'f', function_cache: {} }],
    };
    expect(read('', around).fields).toEqual({
      call_cache: 'messages.0.tool_calls.0.call_cache',
      cache_control: 'messages.0.tool_calls.0.function.cache_control',
      tool_cache: 'tools.0.function.tool_cache',
      custom_cache: 'tools.1.custom.custom_cache',
      function_cache: 'functions.0.function_cache',
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

describe('what a client writes though it asks for nothing by it', () => {
  test('is left out where it is null', () => {
    const body =
      JSON.parse(`{"model":"m","audio":null,"web_search_options":null,"top_p":null,"stream_options":{"x":null},
      "messages":[{"role":"assistant","content":[{"type":"text","text":"a","cache_control":null}],"audio":null,"refusal":null,
      "function_call":null,"tool_calls":null}],"tools":[{"type":"function","function":{"name":"f","cache_control":null}}]}`);
    const { request, fields } = parseRequest(body, chatRequest);
    chatInput(request, fields);
    expect([...fields]).toEqual([]);
    expect(request).toEqual({
      model: 'm',
      top_p: null,
      stream_options: {},
      messages: [
        {
          role: 'assistant',
          content: [{ type: 'text', text: 'a' }],
          refusal: null,
          function_call: null,
          tool_calls: null,
        },
      ],
      tools: [{ type: 'function', function: { name: 'f' } }],
    });
  });

  test.each([
    [{ service_tier: 'auto' }, {}, []],
    [{ service_tier: 'default' }, {}, []],
    [{ service_tier: 'flex' }, { service_tier: 'flex' }, ['service_tier']],
    [{ modalities: ['text'] }, { modalities: ['text'] }, []],
    [{ modalities: ['text', 'audio'] }, { modalities: ['text', 'audio'] }, ['modalities']],
    [{ prompt_cache_retention: '24h' }, { prompt_cache_retention: '24h' }, ['prompt_cache_retention']],
    [{ thinking: {} }, { thinking: {} }, ['thinking']],
    [{ enable_thinking: true }, { enable_thinking: true }, ['enable_thinking']],
    [{ thinking_budget: 1 }, { thinking_budget: 1 }, ['thinking_budget']],
  ])('is passed on and asked about as its value says: %j', (sent, passed, asked) => {
    const { request, fields } = parseRequest({ model: 'm', messages: [{}], ...structuredClone(sent) }, chatRequest);
    expect(request).toEqual({ model: 'm', messages: [{}], ...passed });
    expect([...fields.keys()]).toEqual(asked);
  });
});

describe('a setting', () => {
  const parse = (body: object) => parseRequest({ model: 'm', messages: [{}], ...body }, chatRequest).request;

  test.each([
    ['temperature', 'hot', 'temperature'],
    ['user', { a: 1 }, 'user'],
    ['stop', [1], 'stop'],
    ['stop', { a: 'x' }, 'stop'],
    ['seed', 'x', 'seed'],
    ['logit_bias', { 5: 'x' }, 'logit_bias'],
    ['store', 'x', 'store'],
    ['metadata', { a: 1 }, 'metadata'],
    ['metadata', Object.fromEntries(Array.from({ length: 17 }, (_, index) => [index, ''])), 'metadata'],
    ['tool_choice', 7, 'tool_choice'],
    ['tool_choice', { type: 'function', function: { name: 'f' }, cache_control: {} }, 'tool_choice.cache_control'],
    ['tool_choice', { type: 'function', function: { name: 'f', prompt: 'x' } }, 'tool_choice.function.prompt'],
    ['function_call', { name: 'f', prompt: 'x' }, 'function_call.prompt'],
    ['reasoning', { effort: 'low', prompt: 'x' }, 'reasoning.prompt'],
    ['reasoning', { max_tokens: 9 }, 'reasoning.max_tokens'],
    ['reasoning', { '\ud800': 9 }, 'reasoning.\ufffd'],
    ['stream_options', { include_obfuscation: 'x' }, 'stream_options.include_obfuscation'],
  ])('(%s) of another shape is refused: %j', (name, value, param) => {
    expect(() => parse({ [name]: value })).toThrow(expect.objectContaining({ status: 400, param }));
  });

  test('does not fill an error with its names', () => {
    const names = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`name${index}`, 1]));
    for (const body of [{ reasoning: names }, { tool_choice: names }, { reasoning: { ['x'.repeat(1_000)]: 1 } }]) {
      expect(() => parse(body)).toThrow(
        expect.objectContaining({ status: 400, message: expect.stringMatching(/^.{1,450}$/) }),
      );
    }
  });

  test('as OpenAI has it is passed on, and its words count for the hold', () => {
    const settings = {
      ...{ temperature: 1, top_p: 0.5, stop: ['a'], seed: 7, logit_bias: { 5: -1 }, user: 'u', metadata: { a: 'b' } },
      ...{ reasoning: { effort: 'low', max_tokens: 9 }, max_completion_tokens: 9, store: false, logprobs: true },
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'custom' }] } },
    };
    expect(parse(settings)).toMatchObject(settings);
    expect(parse({ tool_choice: 'auto', stop: 'x' })).toMatchObject({ tool_choice: 'auto', stop: 'x' });
    const long = 'x'.repeat(1_000);
    const tokens = (others: object) =>
      mostInputTokens(chatInput({ messages: [{ role: 'user', content: '' }], ...others }, new Map()));
    for (const setting of [
      { user: long },
      { stop: [long] },
      { metadata: { a: long } },
      { reasoning: { effort: long } },
    ])
      expect(tokens(setting)).toBeGreaterThan(tokens({}) + 999);
  });
});

describe('what no database can hold', () => {
  const odd = ['\u0000', 'a\u0000', '\ud800', 'x\udc00y'];

  test.each(odd)('is no name and no kind of content: %j', (name) => {
    const messages = (message: object) => ({ model: 'm', messages: [{ role: 'user', content: 'x', ...message }] });
    const place = toStorable(name);
    for (const [body, param] of [
      [{ ...messages({}), [name]: 1 }, place],
      [messages({ [name]: 1 }), `messages.0.${place}`],
      [{ ...messages({}), stream_options: { [name]: 1 } }, `stream_options.${place}`],
      [{ ...messages({}), tools: [{ type: 'function', [name]: 1 }] }, `tools.0.${place}`],
      [messages({ content: [{ type: name }] }), 'messages.0.content.0.type'],
      [messages({ content: [{ type: 'other', [name]: 1 }] }), `messages.0.content.0.${place}`],
      [
        messages({ content: [{ type: 'image_url', image_url: { url: 'https://x.test', [name]: 1 } }] }),
        `messages.0.content.0.image_url.${place}`,
      ],
    ] as const) {
      const read = () => {
        const { request, fields } = parseRequest(body, chatRequest);
        chatInput(request, fields);
      };
      expect(read).toThrow(expect.objectContaining({ status: 400, param }));
    }
    const embedding = { model: 'm', input: 'x', [name]: 1 };
    expect(() => parseRequest(embedding, embeddingsRequest)).toThrow(expect.objectContaining({ param: place }));
    const image = { model: 'm', prompt: 'x', [name]: 1 };
    expect(() => parseRequest(image, imagesRequest)).toThrow(expect.objectContaining({ param: place }));
  });

  test('is in nothing that admission is asked about, whatever a body holds', () => {
    const name = fc.oneof(
      fc.constantFrom('a', ...odd, 'type', 'function'),
      fc.string({ unit: 'binary', maxLength: 3 }),
    );
    const others = fc.dictionary(name, fc.oneof(fc.constant(1), fc.constant(null), fc.dictionary(name, name)));
    const around = (known: object) => others.map((more) => ({ ...more, ...known }));
    const part = fc.oneof(
      name.chain((type) => around({ type })),
      fc.constantFrom('image_url', 'file').chain((type) => around({ type, [type]: { url: 'https:', file_data: '' } })),
    );
    const message = fc.array(part, { maxLength: 3 }).chain((content) => around({ role: 'user', content }));
    const body = fc
      .tuple(fc.array(message, { minLength: 1, maxLength: 3 }), others)
      .chain(([messages, options]) => around({ model: 'm', messages, stream_options: options }));
    fc.assert(
      fc.property(body, (sent) => {
        let asked: string;
        try {
          const { request, fields } = parseRequest(sent, chatRequest);
          const { parts } = chatInput(request, fields);
          asked = [...fields, ...[...parts].map(([kind, { param }]) => [kind, param])].flat().join();
        } catch (error) {
          expect(error).toMatchObject({ status: 400 });
          return;
        }
        expect(asked).toBe(toStorable(asked));
      }),
    );
  });
});

describe('a body', () => {
  test.each([
    ['lists in lists', '['.repeat(10_000_000), 'nested deeper than 100 levels'],
    ['objects in objects', '{"":'.repeat(101), 'nested deeper than 100 levels'],
    ['empty lists', `[${'[],'.repeat(6_900_000)}[]]`, 'more than 500000 values'],
    ['numbers', `[${'1,'.repeat(600_000)}`, 'more than 500000 values'],
    ['texts', '"",'.repeat(100_001), 'more than 100000 texts and names'],
  ])('of too many %s is refused before it is parsed', (_name, text, message) => {
    const parse = vi.spyOn(JSON, 'parse');
    try {
      expect(() => parseJson(text)).toThrow(message);
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });

  test('may have in its texts what it may not be', () => {
    const body = { text: `${'['.repeat(200)}\\"${'{,'.repeat(600_000)}\\` };
    expect(parseJson(JSON.stringify(body))).toEqual(body);
    const deep = '['.repeat(100) + ']'.repeat(100);
    expect(JSON.stringify(parseJson(deep))).toBe(deep);
  });

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
