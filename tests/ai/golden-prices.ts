/**
 * Usages as providers report them, with what they cost in US dollars: worked out by hand from the price lists above
 * them, never by the code under test. A sum that is not plain stands beside its row.
 */

/** A provider's price list: `admin_set_model_price` takes it as it is, the short form in dollars for a million tokens. */
export type PriceList = Record<string, number> | object[];

/** One usage: a whole answer, the events of a stream, or counts that a server reports itself. */
export interface Golden {
  name: string;
  price: PriceList;
  usd: number;
  answer?: Record<string, unknown>;
  events?: Record<string, unknown>[];
  counts?: Record<string, unknown>;
  images?: number;
  /** Of a video. */
  video?: { duration: number; resolution?: string };
  began?: string;
  ended?: string;
}

/** A unit's price in dollars a million, without the noise of a binary fraction. */
const million = (unit: string, usd: number, others: object = {}) => ({
  unit,
  usd_per_unit: Number((usd / 1e6).toPrecision(12)),
  ...others,
});
const each = (unit: string, usd: number, others: object = {}) => ({ unit, usd_per_unit: usd, ...others });
const tokens = (input: number, cached: number, write: number, output: number, others: object = {}) => [
  million('input', input, others),
  million('cached_input', cached, others),
  million('cache_write_5m', write, others),
  million('output', output, others),
];

/** Like OpenAI's of 2026: above 272,000 tokens of input everything is dearer; flex and batch half, priority double. */
const SOL = [
  ...tokens(2, 0.2, 2.5, 10),
  ...tokens(4, 0.4, 5, 15, { above_input_tokens: 272_000 }),
  ...tokens(1, 0.1, 1.25, 5, { service_tier: 'flex' }),
  ...tokens(1, 0.1, 1.25, 5, { service_tier: 'batch' }),
  ...tokens(4, 0.4, 5, 20, { service_tier: 'priority' }),
  each('web_search', 0.01),
];
/** Like Anthropic's: no long-context tier, writes for five minutes and for an hour. */
const OPUS = [
  ...tokens(5, 0.5, 6.25, 25),
  million('cache_write_1h', 10),
  million('input', 2.5, { service_tier: 'batch' }),
  million('output', 12.5, { service_tier: 'batch' }),
  million('input', 10, { service_tier: 'fast' }),
  million('output', 50, { service_tier: 'fast' }),
  each('web_search', 0.01),
];
/** Like Gemini's Pro: 200,000 tokens are the lower tier still. */
const GEMINI = [
  ...[million('input', 2), million('cached_input', 0.2), million('output', 12)],
  million('input', 4, { above_input_tokens: 200_000 }),
  million('cached_input', 0.4, { above_input_tokens: 200_000 }),
  million('output', 18, { above_input_tokens: 200_000 }),
  million('input', 3.6, { service_tier: 'priority' }),
  million('output', 21.6, { service_tier: 'priority' }),
  million('input', 1, { service_tier: 'flex' }),
  million('output', 6, { service_tier: 'flex' }),
];
const GEMINI_FLASH = { input: 0.3, cached_input: 0.03, audio_input: 1, output: 2.5 };
const GEMINI_IMAGE = { input: 2, output: 12, image_output: 120 };
/** Like xAI's: 200,000 tokens are the upper tier already. */
const GROK = [
  ...[million('input', 2), million('cached_input', 0.5), million('output', 6)],
  million('input', 4, { above_input_tokens: 200_000, bound_included: true }),
  million('cached_input', 1, { above_input_tokens: 200_000, bound_included: true }),
  million('output', 12, { above_input_tokens: 200_000, bound_included: true }),
];
/** Like DeepSeek's: double from 01:00 to 04:00 and from 06:00 to 10:00 UTC on weekdays. */
const DEEPSEEK = [
  ...[million('input', 0.15), million('cached_input', 0.003), million('output', 0.6)],
  ...[
    ['01:00', '04:00'],
    ['06:00', '10:00'],
  ].flatMap(([from, to]) => {
    const clock = { weekdays: [1, 2, 3, 4, 5], from, to };
    return [
      million('input', 0.3, { clock }),
      million('cached_input', 0.006, { clock }),
      million('output', 1.2, { clock }),
    ];
  }),
];
/** Hours that run past midnight, of days that begin on a Friday. */
const NIGHT = [
  ...[million('input', 1), million('output', 1)],
  million('input', 3, { clock: { weekdays: [5], from: '22:00', to: '02:00' } }),
];
const QWEN = [
  ...tokens(1.2, 0.12, 1.5, 6),
  million('input', 2.4, { above_input_tokens: 32_000 }),
  million('input', 3, { above_input_tokens: 128_000 }),
];
const SONAR = [million('input', 2), million('output', 8), million('reasoning', 3), each('request', 0.005)];
/** What is above 100,000 tokens of input is dearer, and no more than that. */
const EXCESS = [
  million('input', 1),
  million('input', 2, { above_input_tokens: 100_000, reprices: 'excess' }),
  million('input', 4, { above_input_tokens: 200_000, reprices: 'excess' }),
  million('cached_input', 0.5),
  million('output', 5),
];
const AUDIO = { input: 0.6, audio_input: 10, output: 2.4, audio_output: 20 };
const IMAGE = { input: 5, image_input: 8, cached_input: 1.25, image_output: 30 };
const VIDEO = [
  ...[each('request', 0.05), each('video_second', 0.1)],
  each('video_second', 0.15, { resolution: '1080p' }),
];

/** A chat's usage as OpenAI words it. */
const chat = (prompt: number, completion: number, details: object = {}, output: object = {}) => ({
  usage: {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: details,
    completion_tokens_details: output,
  },
});
const response = (input: number, output: number, inputs: object = {}, outputs: object = {}) => ({
  usage: {
    input_tokens: input,
    input_tokens_details: inputs,
    output_tokens: output,
    output_tokens_details: outputs,
    total_tokens: input + output,
  },
});
const gemini = (prompt: number, candidates: number, others: object = {}) => ({
  usageMetadata: { promptTokenCount: prompt, candidatesTokenCount: candidates, ...others },
});
const deepseek = (hit: number, miss: number, completion: number) => ({
  usage: {
    prompt_tokens: hit + miss,
    completion_tokens: completion,
    total_tokens: hit + miss + completion,
    prompt_cache_hit_tokens: hit,
    prompt_cache_miss_tokens: miss,
  },
});

const OPENAI_CHAT: Golden[] = [
  { name: 'text', price: SOL, answer: chat(1000, 100), usd: 0.003 },
  { name: 'cached', price: SOL, answer: chat(1000, 100, { cached_tokens: 400 }), usd: 0.00228 },
  {
    name: 'cached and written', // 300 × 2 + 400 × 0.2 + 300 × 2.5 + 100 × 10
    price: SOL,
    answer: chat(1000, 100, { cached_tokens: 400, cache_write_tokens: 300 }),
    usd: 0.00243,
  },
  { name: 'reasoning is output', price: SOL, answer: chat(1000, 100, {}, { reasoning_tokens: 80 }), usd: 0.003 },
  { name: '271,999 tokens', price: SOL, answer: chat(271_999, 0), usd: 0.543998 },
  { name: '272,000 tokens are short', price: SOL, answer: chat(272_000, 0), usd: 0.544 },
  { name: '272,001 tokens are long', price: SOL, answer: chat(272_001, 0), usd: 1.088004 },
  { name: 'and their output too', price: SOL, answer: chat(272_001, 1000), usd: 1.103004 },
  {
    name: 'a long context of which most is cached', // 50,000 × 4 + 250,000 × 0.4 + 1,000 × 15
    price: SOL,
    answer: chat(300_000, 1000, { cached_tokens: 250_000 }),
    usd: 0.315,
  },
  {
    name: 'a long context of which most is written', // 100,000 × 4 + 200,000 × 5
    price: SOL,
    answer: chat(300_000, 0, { cache_write_tokens: 200_000 }),
    usd: 1.4,
  },
  { name: 'flex', price: SOL, answer: { ...chat(1000, 100), service_tier: 'flex' }, usd: 0.0015 },
  { name: 'batch', price: SOL, answer: { ...chat(1000, 100), service_tier: 'batch' }, usd: 0.0015 },
  {
    name: 'priority', // 500 × 4 + 500 × 0.4 + 100 × 20
    price: SOL,
    answer: { ...chat(1000, 100, { cached_tokens: 500 }), service_tier: 'priority' },
    usd: 0.0042,
  },
  { name: 'the default tier', price: SOL, answer: { ...chat(1000, 100), service_tier: 'default' }, usd: 0.003 },
  { name: 'a tier without a price', price: SOL, answer: { ...chat(1000, 100), service_tier: 'scale' }, usd: 0.003 },
  {
    name: 'streamed, with its tier on each chunk',
    price: SOL,
    events: [
      { choices: [{ delta: { content: 'a' } }], service_tier: 'flex', usage: null },
      { choices: [], service_tier: 'flex', ...chat(1000, 100) },
    ],
    usd: 0.0015,
  },
  {
    name: 'streamed, with its tier on the first chunk alone',
    price: SOL,
    events: [
      { choices: [{ delta: { content: 'a' } }], service_tier: 'priority' },
      { choices: [], ...chat(1000, 100) },
    ],
    usd: 0.006,
  },
  {
    name: 'streamed with running usage, as of vLLM',
    price: SOL,
    events: [10, 50, 100].map((completion) => ({ choices: [{ delta: {} }], ...chat(1000, completion) })),
    usd: 0.003,
  },
  {
    name: 'rejected predictions are output',
    price: SOL,
    answer: chat(1000, 150, {}, { rejected_prediction_tokens: 50 }),
    usd: 0.0035,
  },
  {
    name: 'searches, as of OpenRouter',
    price: SOL,
    answer: { usage: { ...chat(1000, 100).usage, server_tool_use_details: { web_search_requests: 2 } } },
    usd: 0.023,
  },
];

const OPENAI_RESPONSES: Golden[] = [
  {
    name: 'cached and reasoning', // 176 × 2 + 1,024 × 0.2 + 90 × 10
    price: SOL,
    answer: response(1200, 90, { cached_tokens: 1024, cache_write_tokens: 0 }, { reasoning_tokens: 64 }),
    usd: 0.0014568,
  },
  {
    name: 'a long write has no price of its own: input', // 500 × 2 + 200 × 2.5 + 300 × 2
    price: SOL,
    answer: response(1000, 0, {
      cache_write_tokens: 500,
      cache_write_tokens_details: { ttl_30m_tokens: 200, ttl_12h_tokens: 300 },
    }),
    usd: 0.0021,
  },
  {
    name: 'searches',
    price: SOL,
    answer: { ...response(1000, 100), tool_usage: { web_search: { num_requests: 3 } } },
    usd: 0.033,
  },
  {
    name: 'streamed: the last event has usage and tier',
    price: SOL,
    events: [
      { type: 'response.created', response: { usage: null, service_tier: 'auto' } },
      { type: 'response.completed', response: { ...response(1000, 100), service_tier: 'priority' } },
    ],
    usd: 0.006,
  },
  {
    name: 'a long context, all but one of it cached',
    price: SOL,
    answer: response(272_001, 0, { cached_tokens: 272_000 }),
    usd: 0.108804,
  },
];

const ANTHROPIC: Golden[] = [
  { name: 'text', price: OPUS, answer: { usage: { input_tokens: 1000, output_tokens: 100 } }, usd: 0.0075 },
  {
    name: 'read and written besides the input', // 5 × 5 + 100 × 0.5 + 20 × 6.25 + 12 × 25
    price: OPUS,
    answer: {
      usage: { input_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20, output_tokens: 12 },
    },
    usd: 0.0005,
  },
  {
    name: 'written for an hour', // 400 × 6.25 + 600 × 10
    price: OPUS,
    answer: {
      usage: {
        input_tokens: 0,
        cache_creation_input_tokens: 1000,
        cache_creation: { ephemeral_5m_input_tokens: 400, ephemeral_1h_input_tokens: 600 },
        output_tokens: 0,
      },
    },
    usd: 0.0085,
  },
  {
    name: 'written, and no word for how long',
    price: OPUS,
    answer: { usage: { input_tokens: 0, cache_creation_input_tokens: 1000, output_tokens: 0 } },
    usd: 0.00625,
  },
  {
    name: 'thinking is output',
    price: OPUS,
    answer: { usage: { input_tokens: 100, output_tokens: 500, output_tokens_details: { thinking_tokens: 400 } } },
    usd: 0.013,
  },
  {
    name: 'searches',
    price: OPUS,
    answer: { usage: { input_tokens: 1000, output_tokens: 100, server_tool_use: { web_search_requests: 2 } } },
    usd: 0.0275,
  },
  {
    name: 'batch',
    price: OPUS,
    answer: { usage: { input_tokens: 1000, output_tokens: 100, service_tier: 'batch' } },
    usd: 0.00375,
  },
  {
    name: 'fast',
    price: OPUS,
    answer: { usage: { input_tokens: 1000, output_tokens: 100, service_tier: 'standard', speed: 'fast' } },
    usd: 0.015,
  },
  {
    name: 'streamed: input first, output last',
    price: OPUS,
    events: [
      {
        type: 'message_start',
        message: {
          usage: { input_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20, output_tokens: 1 },
        },
      },
      { type: 'message_delta', usage: { output_tokens: 12 } },
    ],
    usd: 0.0005,
  },
  {
    name: 'streamed: each report is of the whole message', // 1,500 × 5 + 100 × 25
    price: OPUS,
    events: [
      { type: 'message_start', message: { usage: { input_tokens: 1000, output_tokens: 1 } } },
      { type: 'message_delta', usage: { output_tokens: 50 } },
      { type: 'message_delta', usage: { input_tokens: 1500, output_tokens: 100 } },
    ],
    usd: 0.01,
  },
  {
    name: 'a long context costs no more', // 200,000 × 5 + 250,000 × 0.5
    price: OPUS,
    answer: { usage: { input_tokens: 200_000, cache_read_input_tokens: 250_000, output_tokens: 0 } },
    usd: 1.125,
  },
];

const GOOGLE: Golden[] = [
  {
    name: 'thoughts are counted besides the answer', // 1,000 × 2 + 150 × 12
    price: GEMINI,
    answer: gemini(1000, 100, { thoughtsTokenCount: 50, totalTokenCount: 1150 }),
    usd: 0.0038,
  },
  { name: 'cached', price: GEMINI, answer: gemini(1000, 100, { cachedContentTokenCount: 600 }), usd: 0.00212 },
  { name: '199,999 tokens', price: GEMINI, answer: gemini(199_999, 0), usd: 0.399998 },
  { name: '200,000 tokens are short', price: GEMINI, answer: gemini(200_000, 0), usd: 0.4 },
  { name: '200,001 tokens are long', price: GEMINI, answer: gemini(200_001, 0), usd: 0.800004 },
  {
    name: 'a long context of which most is cached', // 50,000 × 4 + 200,000 × 0.4
    price: GEMINI,
    answer: gemini(250_000, 0, { cachedContentTokenCount: 200_000 }),
    usd: 0.28,
  },
  {
    name: 'what tools read is input',
    price: GEMINI,
    answer: gemini(1000, 0, { toolUsePromptTokenCount: 500 }),
    usd: 0.003,
  },
  { name: 'priority', price: GEMINI, answer: gemini(1000, 100, { serviceTier: 'PRIORITY' }), usd: 0.00576 },
  { name: 'flex', price: GEMINI, answer: gemini(1000, 100, { serviceTier: 'flex' }), usd: 0.0016 },
  {
    name: 'streamed: each report is of the whole answer',
    price: GEMINI,
    events: [gemini(1000, 10), gemini(1000, 60), gemini(1000, 100, { thoughtsTokenCount: 50 })],
    usd: 0.0038,
  },
  {
    name: 'sound', // 200 × 0.3 + 800 × 1 + 100 × 2.5
    price: GEMINI_FLASH,
    answer: gemini(1000, 100, { promptTokensDetails: [{ modality: 'AUDIO', tokenCount: 800 }] }),
    usd: 0.00111,
  },
  {
    name: 'a picture in the answer', // 10 × 2 + 180 × 12 + 1,120 × 120
    price: GEMINI_IMAGE,
    answer: gemini(10, 1300, { candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 1120 }] }),
    usd: 0.13658,
  },
  {
    name: "in OpenAI's words, with thoughts in the total alone", // 20 × 2 + 533 × 12
    price: GEMINI,
    answer: { usage: { prompt_tokens: 20, completion_tokens: 151, total_tokens: 553 } },
    usd: 0.006436,
  },
];

// 2026-11-28 is a Saturday. Off-peak: 400 × 0.15 + 600 × 0.003 + 100 × 0.6.
const CLOCK: [string, string, string, number][] = [
  ['off-peak', '2026-11-27T05:00:00Z', '2026-11-27T05:00:09Z', 0.0001218],
  ['at its peak', '2026-11-27T02:00:00Z', '2026-11-27T02:00:09Z', 0.0002436],
  ['the second peak of the day', '2026-11-27T09:59:50Z', '2026-11-27T09:59:59Z', 0.0002436],
  ['on a Saturday', '2026-11-28T02:00:00Z', '2026-11-28T02:00:09Z', 0.0001218],
  ['until the second before the peak', '2026-11-27T00:59:50Z', '2026-11-27T00:59:59Z', 0.0001218],
  ['into the peak', '2026-11-27T00:59:59Z', '2026-11-27T01:00:00Z', 0.0002436],
  ['out of the peak', '2026-11-27T03:59:59Z', '2026-11-27T04:00:05Z', 0.0002436],
  ["from the peak's end", '2026-11-27T04:00:00Z', '2026-11-27T04:00:05Z', 0.0001218],
];
const DEEPSEEK_ROWS: Golden[] = [
  ...CLOCK.map(([name, began, ended, usd]) => ({
    name,
    began,
    ended,
    usd,
    price: DEEPSEEK,
    answer: deepseek(600, 400, 100),
  })),
  {
    name: 'past midnight of a Friday',
    price: NIGHT,
    answer: chat(1000, 0),
    began: '2026-11-28T01:59:00Z',
    ended: '2026-11-28T01:59:09Z',
    usd: 0.003,
  },
  {
    name: 'after the night',
    price: NIGHT,
    answer: chat(1000, 0),
    began: '2026-11-28T02:00:00Z',
    ended: '2026-11-28T02:00:09Z',
    usd: 0.001,
  },
  {
    name: "the night after, which is a Saturday's",
    price: NIGHT,
    answer: chat(1000, 0),
    began: '2026-11-28T23:00:00Z',
    ended: '2026-11-28T23:00:09Z',
    usd: 0.001,
  },
];

const XAI: Golden[] = [
  {
    name: "a chat's reasoning is outside its completion", // 100 × 2 + 250 × 6
    price: GROK,
    answer: {
      usage: {
        prompt_tokens: 100,
        completion_tokens: 50,
        total_tokens: 350,
        completion_tokens_details: { reasoning_tokens: 200 },
      },
    },
    usd: 0.0017,
  },
  {
    name: "a response's is inside",
    price: GROK,
    answer: response(100, 250, {}, { reasoning_tokens: 200 }),
    usd: 0.0017,
  },
  { name: '199,999 tokens', price: GROK, answer: chat(199_999, 0), usd: 0.399998 },
  { name: '200,000 tokens are long', price: GROK, answer: chat(200_000, 0), usd: 0.8 },
  { name: '200,001 tokens', price: GROK, answer: chat(200_001, 0), usd: 0.800004 },
  {
    name: 'more cached than input: besides it', // 100 × 2 + 300 × 0.5
    price: GROK,
    answer: { usage: { prompt_tokens: 100, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 300 } } },
    usd: 0.00035,
  },
];

const OTHERS: Golden[] = [
  {
    name: 'Kimi, streamed: usage in a choice', // 600 × 0.6 + 400 × 0.1 + 100 × 2.5
    price: { input: 0.6, cached_input: 0.1, output: 2.5 },
    events: [{ choices: [{ usage: { prompt_tokens: 1000, completion_tokens: 100, cached_tokens: 400 } }] }],
    usd: 0.00065,
  },
  {
    name: 'Groq, streamed: usage in x_groq, its usual tier by another name',
    price: [million('input', 0.1), million('output', 0.5), million('input', 9, { service_tier: 'on_demand' })],
    events: [
      { choices: [{}], service_tier: 'on_demand', x_groq: { usage: { prompt_tokens: 1000, completion_tokens: 100 } } },
    ],
    usd: 0.00015,
  },
  {
    name: 'Qwen: read and written within the input', // 200 × 1.2 + 300 × 0.12 + 500 × 1.5 + 100 × 6
    price: QWEN,
    answer: chat(1000, 100, {
      cached_tokens: 300,
      cache_creation_input_tokens: 500,
      cache_creation: { ephemeral_5m_input_tokens: 500 },
    }),
    usd: 0.001626,
  },
  { name: 'Qwen: 32,000 tokens', price: QWEN, answer: chat(32_000, 0), usd: 0.0384 },
  { name: 'Qwen: 32,001 tokens', price: QWEN, answer: chat(32_001, 0), usd: 0.0768024 },
  { name: 'Qwen: 128,001 tokens', price: QWEN, answer: chat(128_001, 0), usd: 0.384003 },
  {
    name: 'reasoning with a price of its own, and a fee', // 10 × 2 + 100 × 8 + 900 × 3 and 0.005
    price: SONAR,
    answer: chat(10, 1000, {}, { reasoning_tokens: 900 }),
    usd: 0.00852,
  },
  { name: 'no excess at the bound', price: EXCESS, answer: chat(100_000, 0), usd: 0.1 },
  { name: 'an excess', price: EXCESS, answer: chat(150_000, 100), usd: 0.2005 }, // 100,000 × 1 + 50,000 × 2 + 100 × 5
  { name: 'two excesses', price: EXCESS, answer: chat(250_000, 0), usd: 0.5 }, // 100,000 × 1 + 100,000 × 2 + 50,000 × 4
  {
    name: 'an excess is the same share of each pool', // a third of 90,000 × 2, the rest × 1, and 60,000 × 0.5
    price: EXCESS,
    answer: chat(150_000, 0, { cached_tokens: 60_000 }),
    usd: 0.15,
  },
  {
    name: 'searches and calls of other tools', // 2 × 0.03 + 0.01
    price: { input: 1, output: 1, tool_call: 0.03, web_search: 0.01 },
    counts: { tool_calls: 2, web_searches: 1 },
    usd: 0.07,
  },
];

const MEDIA: Golden[] = [
  {
    name: 'a picture by its tokens', // 50 × 5 + 4,160 × 30
    price: IMAGE,
    answer: {
      data: [{ b64_json: 'x' }],
      usage: { input_tokens: 50, output_tokens: 4160, input_tokens_details: { text_tokens: 50, image_tokens: 0 } },
    },
    images: 1,
    usd: 0.12505,
  },
  {
    name: 'an edited picture', // 50 × 5 + 350 × 8 + 1,056 × 30
    price: IMAGE,
    answer: {
      data: [{ url: 'x' }],
      usage: { input_tokens: 400, output_tokens: 1056, input_tokens_details: { text_tokens: 50, image_tokens: 350 } },
    },
    images: 1,
    usd: 0.03473,
  },
  {
    name: 'pictures by their number',
    price: { image: 0.04 },
    answer: { data: [{ url: 'a' }, { url: 'b' }] },
    images: 2,
    usd: 0.08,
  },
  { name: 'small pictures', price: { input: 0, output: 0, image: 0.003 }, counts: {}, images: 4, usd: 0.012 },
  {
    name: 'sound in a chat', // 100 × 0.6 + 400 × 10 + 100 × 2.4 + 200 × 20
    price: AUDIO,
    answer: chat(500, 300, { audio_tokens: 400 }, { audio_tokens: 200 }),
    usd: 0.0083,
  },
  {
    name: 'sound in a chat, streamed',
    price: AUDIO,
    events: [{ choices: [{}] }, { choices: [], ...chat(500, 300, { audio_tokens: 400 }, { audio_tokens: 200 }) }],
    usd: 0.0083,
  },
  {
    name: 'a transcript by the second',
    price: { second_input: 0.0001 },
    answer: { text: 'a', usage: { type: 'duration', seconds: 90 } },
    usd: 0.009,
  },
  {
    name: 'a transcript by its tokens', // 100 × 2.5 + 900 × 6 + 100 × 10
    price: { input: 2.5, audio_input: 6, output: 10 },
    answer: {
      usage: {
        type: 'tokens',
        input_tokens: 1000,
        output_tokens: 100,
        input_token_details: { audio_tokens: 900, text_tokens: 100 },
      },
    },
    usd: 0.00665,
  },
  {
    name: "Mistral's sound: seconds besides tokens", // 60 × 0.00003 and 100 × 0.1 + 50 × 0.3
    price: { input: 0.1, output: 0.3, second_input: 0.00003 },
    answer: { usage: { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150, prompt_audio_seconds: 60 } },
    usd: 0.001825,
  },
  { name: 'speech by the character', price: { character: 0.000015 }, counts: { characters: 1000 }, usd: 0.015 },
  {
    name: 'speech by the second',
    price: { second_input: 0.1, second_output: 0.25 },
    counts: { output_seconds: 8 },
    usd: 2,
  },
  {
    name: 'speech by its tokens, which are sound', // 100 × 0.6 + 500 × 12
    price: { input: 0.6, audio_output: 12 },
    counts: { prompt_tokens: 100, completion_tokens: 500, audio_output_tokens: 500 },
    usd: 0.00606,
  },
  { name: 'a video', price: VIDEO, video: { duration: 8, resolution: '720p' }, usd: 0.85 },
  { name: 'a video in a dearer resolution', price: VIDEO, video: { duration: 8, resolution: '1080p' }, usd: 1.25 },
  { name: 'a short video', price: VIDEO, video: { duration: 4 }, usd: 0.45 },
];

/** The table, by provider. */
export const GOLDEN: Record<string, Golden[]> = {
  'OpenAI chat': OPENAI_CHAT,
  'OpenAI responses': OPENAI_RESPONSES,
  Anthropic: ANTHROPIC,
  Gemini: GOOGLE,
  'hours (DeepSeek)': DEEPSEEK_ROWS,
  xAI: XAI,
  others: OTHERS,
  'pictures, sound, video': MEDIA,
};
