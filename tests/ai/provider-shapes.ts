/**
 * What providers are known to send, a row for each shape. To add one, copy a row and change what it sends; prices are
 * 0.01 credits a token of input, 0.005 of it cached, 0.02 of output. `' the'` is a token.
 */
import type { Step } from './raw-provider.ts';

/** What ends at the provider and must not be seen by a client. */
export const PROVIDERS_OWN = 'acct_8c1f';

/** One shape: what the provider sends and what comes of it. */
export interface Shape {
  /** What it sends to a request for a stream; a whole answer's body where `whole` is given. */
  sends?: Step[];
  whole?: unknown;
  /** The content type; a stream's, or JSON. */
  type?: string;
  /** The words that the client gets; or the code of the error. */
  text?: string;
  error?: string;
  /** The status of the answer, where it is no 200. */
  http?: number;
  /** Input, cached and output tokens in the log; input that was counted is not known here. */
  pools?: [input: number | 'counted', cached: number, output: number];
  source?: 'reported' | 'counted' | 'estimated' | 'bounded' | 'none';
  /** What the request has besides. */
  asks?: object;
  /** Answered, and yet not charged: nothing was written. */
  isFree?: boolean;
  /** Clients that do not read it, whoever sends it. */
  unreadBy?: ('openai' | 'ai' | 'langchain')[];
}

const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const frame = {
  id: `gen-${PROVIDERS_OWN}`,
  object: 'chat.completion.chunk',
  created: 1_767_225_600,
  model: `upstream-${PROVIDERS_OWN}`,
};
const DONE = 'data: [DONE]\n\n';

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const chunk = (delta: unknown, choice: object = {}, rest: object = {}) =>
  event({ ...frame, choices: [{ index: 0, delta, finish_reason: null, ...choice }], ...rest });
const said = (content: unknown, rest: object = {}) => chunk({ content }, {}, rest);
const finished = (reason: unknown = 'stop', rest: object = {}) => chunk({}, { finish_reason: reason }, rest);
const used = (usage: unknown = USAGE) => event({ ...frame, choices: [], usage });
const opening = chunk({ role: 'assistant', content: '' });
const HELLO = [opening, said('Hel'), said('lo')];
const PLAIN = [...HELLO, finished(), used(), DONE].join('');
const THE_20 = ' the'.repeat(20);

const whole = (message: unknown, choice: object = {}, rest: object = {}) => ({
  ...frame,
  object: 'chat.completion',
  choices: [{ index: 0, message, finish_reason: 'stop', ...choice }],
  usage: USAGE,
  ...rest,
});

const answered = { text: 'Hello', pools: [10, 0, 5], source: 'reported' } satisfies Partial<Shape>;
const counted = { text: THE_20, pools: ['counted', 0, 20], source: 'counted' } satisfies Partial<Shape>;
const failed = { error: 'upstream_error', pools: [0, 0, 0], source: 'none' } satisfies Partial<Shape>;
const refused = { ...failed, http: 502 };

/** How lines and events are written. */
const lines: Record<string, Shape> = {
  'lines end in LF': { sends: [PLAIN], ...answered },
  'lines end in CRLF': { sends: [PLAIN.replaceAll('\n', '\r\n')], ...answered },
  'lines end in CR': { sends: [PLAIN.replaceAll('\n', '\r')], ...answered },
  'a CRLF in two pieces': {
    sends: PLAIN.replaceAll('\n', '\r\n')
      .split(/(?<=\r)/)
      .flatMap((piece) => [piece, { wait: 1 }]),
    ...answered,
  },
  'U+2028 and U+2029 as they are': {
    sends: [said('a\u2028b'), said('\u2029c'), finished(), used(), DONE],
    ...answered,
    text: 'a\u2028b\u2029c',
  },
  'an event of several data lines': {
    sends: [
      opening,
      `${JSON.stringify(JSON.parse(said('Hello').slice(6)), null, 1).replaceAll(/^/gm, 'data: ')}\n\n`,
      finished(),
      used(),
      DONE,
    ],
    ...answered,
  },
  'no space after data:': { sends: [PLAIN.replaceAll('data: ', 'data:')], ...answered },
  'a byte order mark': { sends: [`\uFEFF${PLAIN}`], ...answered },
  'other fields and comments': {
    sends: [`: ${PROVIDERS_OWN}\n\n`, 'retry: 10\n\n', PLAIN.replaceAll('data: {', 'id: 1\nevent: message\ndata: {')],
    ...answered,
  },
  'byte by byte': {
    sends: Array.from(new TextEncoder().encode([said('grüß 🙂'), finished(), used(), DONE].join('')), (byte) =>
      Uint8Array.of(byte),
    ),
    ...answered,
    text: 'grüß 🙂',
  },
  'events that are no chunks': {
    sends: [event({ type: 'ping' }), `data: ${PROVIDERS_OWN}\n\n`, 'data:\n\n', event([1]), event(7), PLAIN],
    ...answered,
  },
  'an event of 2 MB': {
    sends: [said('x'.repeat(2_000_000)), finished(), used(), DONE],
    ...answered,
    text: 'x'.repeat(2_000_000),
  },
};

/** How an answer ends. */
const ends: Record<string, Shape> = {
  '[DONE], then silence': { sends: [PLAIN, 'silence'], ...answered },
  '[DONE], then comments': {
    sends: [
      PLAIN,
      ...Array(60)
        .fill([{ wait: 100 }, ': ping\n\n'])
        .flat(),
    ],
    ...answered,
  },
  '[DONE], then a reset': { sends: [PLAIN, 'reset'], ...answered },
  '[DONE], then more': { sends: [PLAIN, said(' and more'), used({ prompt_tokens: 9_999 })], ...answered },
  '[DONE] with a space': { sends: [...HELLO, finished(), used(), 'data: [DONE] \n\n'], ...answered },
  '[DONE] without a finish reason': { sends: [...HELLO, used(), DONE], ...answered, unreadBy: ['ai'] },
  'finish reason and usage, then silence': { sends: [...HELLO, finished(), used(), 'silence'], ...answered },
  'finish reason and usage, then comments': {
    sends: [
      ...HELLO,
      finished(),
      used(),
      ...Array(60)
        .fill([{ wait: 100 }, ': ping\n\n'])
        .flat(),
    ],
    ...answered,
  },
  'finish reason and usage, then a reset': { sends: [...HELLO, finished(), used(), 'reset'], ...answered },
  'finish reason and usage in one, then the end': { sends: [...HELLO, finished('eos', { usage: USAGE })], ...answered },
  'finish reason, then a reset': { sends: [opening, said(THE_20), finished(), 'reset'], ...counted },
  'finish reason, then silence': { sends: [opening, said(THE_20), finished(), 'silence'], ...counted },
  'finish reason, then no blank line': { sends: [opening, said(THE_20), finished().trim()], ...counted },
  'finish_reason "" until the end': {
    sends: [
      chunk({ content: 'Hel' }, { finish_reason: '' }),
      chunk({ content: 'lo' }, { finish_reason: '' }),
      finished(),
      used(),
      DONE,
    ],
    ...answered,
  },
  'finish_reason "null", then the end of the connection': {
    sends: [chunk({ content: 'Hello' }, { finish_reason: 'null' }), used()],
    ...failed,
  },
  'the end half-way': { sends: HELLO, ...failed },
  'a reset half-way': { sends: [...HELLO, 'reset'], ...failed },
  'silence half-way': { sends: [...HELLO, 'silence'], ...failed, error: 'upstream_timeout' },
};

const withUsage = (usage: unknown) => [...HELLO, finished(), used(usage), DONE];
const CACHED = { ...answered, pools: [10, 4, 5] } satisfies Partial<Shape>;

/** Where usage is said, and how. */
const usages: Record<string, Shape> = {
  'usage in choices[0] (Moonshot)': {
    sends: [...HELLO, chunk({}, { finish_reason: 'stop', usage: USAGE }), DONE],
    ...answered,
  },
  'usage in x_groq (Groq)': {
    sends: [...HELLO, finished('stop', { x_groq: { id: 'r', usage: USAGE } }), DONE],
    ...answered,
  },
  'usage on the last chunk of choices, and {} after it': {
    sends: [...HELLO, finished('stop', { usage: USAGE }), event({ ...frame, choices: [], usage: {} }), DONE],
    ...answered,
  },
  'cached tokens in details': {
    sends: withUsage({ ...USAGE, prompt_tokens_details: { cached_tokens: 4 } }),
    ...CACHED,
  },
  'cached_tokens at the top (Moonshot)': { sends: withUsage({ ...USAGE, cached_tokens: 4 }), ...CACHED },
  'prompt_cache_hit_tokens (DeepSeek)': {
    sends: withUsage({ ...USAGE, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 6 }),
    ...CACHED,
  },
  'cache_read_input_tokens beside prompt_tokens': {
    sends: withUsage({ ...USAGE, cache_read_input_tokens: 4 }),
    ...CACHED,
  },
  "Anthropic's names, the cache apart": {
    sends: withUsage({ input_tokens: 4, cache_read_input_tokens: 4, cache_creation_input_tokens: 2, output_tokens: 5 }),
    ...CACHED,
  },
  'more cached than input (xAI)': {
    sends: withUsage({ prompt_tokens: 6, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 7 } }),
    ...answered,
    pools: [13, 7, 5],
  },
  'thoughts in the total alone (Gemini)': {
    sends: withUsage({ ...USAGE, total_tokens: 40, completion_tokens_details: null }),
    ...answered,
    pools: [10, 0, 30],
  },
  'counts as texts': {
    sends: withUsage({ prompt_tokens: '10', completion_tokens: '5', total_tokens: '15' }),
    ...answered,
  },
  'no prompt_tokens': { sends: withUsage({ completion_tokens: 5, total_tokens: 15 }), ...answered },
  'zeros at first, then the usage': {
    sends: [said('', { usage: { prompt_tokens: 0, completion_tokens: 0 } }), PLAIN],
    ...answered,
  },
  'zeros at first, then none': {
    sends: [
      said('', { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
      said(THE_20),
      finished(),
      DONE,
    ],
    ...counted,
  },
  'the prompt at first, then none': {
    sends: [
      said('', { usage: { prompt_tokens: 10, completion_tokens: 0, total_tokens: 10 } }),
      said(THE_20),
      finished(),
      DONE,
    ],
    ...counted,
    pools: [10, 0, 20],
  },
  'running usage on each chunk (vLLM)': {
    sends: [
      said('Hel', { usage: { prompt_tokens: 10, completion_tokens: 1 } }),
      said('lo', { usage: { prompt_tokens: 10, completion_tokens: 5 } }),
      finished('stop', { usage: USAGE }),
      DONE,
    ],
    ...answered,
  },
  'zeros at the end are zeros': {
    sends: withUsage({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }),
    ...answered,
    pools: [0, 0, 0],
  },
  'no usage': { sends: [said(THE_20), finished(), DONE], ...counted },
  'usage null, of odd types': {
    sends: [
      said(THE_20, { usage: null }),
      finished('stop', { usage: [1] }),
      used('many'),
      used({ prompt_tokens: {} }),
      DONE,
    ],
    ...counted,
    unreadBy: ['ai'],
  },
  'more than a call can use': {
    sends: withUsage({ prompt_tokens: 1_000_000, completion_tokens: 25_000_000, total_tokens: 26_000_000 }),
    ...answered,
    pools: [1_000, 0, 100],
    source: 'bounded',
  },
  'no number at all': {
    sends: [
      ...HELLO,
      finished(),
      `data: {"choices":[],"usage":{"prompt_tokens":1e999,"completion_tokens":-1}}\n\n`,
      DONE,
    ],
    ...answered,
    pools: [1_000, 0, 1],
    source: 'bounded',
    unreadBy: ['ai'],
  },
};

/** Where a model writes; no usage is said, so that what was read is what is counted. */
const writes = (delta: object) => [chunk(delta), finished(), DONE];
const silent = { ...counted, text: '' };
const places: Record<string, Shape> = {
  'content as a list of parts (Mistral)': {
    sends: writes({
      content: [
        { type: 'thinking', thinking: [{ type: 'text', text: ' the'.repeat(10) }] },
        { type: 'text', text: ' the'.repeat(10) },
      ],
    }),
    ...silent,
    unreadBy: ['ai', 'langchain', 'openai'],
  },
  reasoning: { sends: writes({ reasoning: THE_20 }), ...silent },
  'reasoning_content beside a null reasoning': {
    sends: writes({ reasoning: null, reasoning_content: THE_20 }),
    ...silent,
  },
  'reasoning under two names is one': { sends: writes({ reasoning: THE_20, reasoning_content: THE_20 }), ...silent },
  'reasoning_text (Copilot)': { sends: writes({ reasoning_text: THE_20 }), ...silent },
  'thinking (Ollama)': { sends: writes({ thinking: THE_20 }), ...silent },
  'reasoning_details (OpenRouter)': {
    sends: writes({
      reasoning_details: [
        { type: 'reasoning.summary', summary: ' the'.repeat(10) },
        { type: 'reasoning.text', text: ' the'.repeat(10), signature: null },
        { type: 'reasoning.encrypted', data: 'EgwKCkhlbGxv' },
      ],
    }),
    ...silent,
  },
  'text in the choice, as completions had it': {
    sends: [chunk(undefined, { text: THE_20 }), chunk({}, { text: '', finish_reason: 'stop' }), DONE],
    ...silent,
    unreadBy: ['ai', 'langchain', 'openai'],
  },
  refusal: { sends: writes({ refusal: THE_20 }), ...silent },
  function_call: { sends: writes({ function_call: { name: '', arguments: THE_20 } }), ...silent },
  tool_calls: {
    sends: writes({
      tool_calls: [{ index: 0, id: 'c', type: 'function', function: { name: 'the', arguments: ' the'.repeat(19) } }],
    }),
    ...silent,
    unreadBy: ['ai'],
  },
  'custom tools': {
    sends: writes({
      tool_calls: [{ index: 0, id: 'c', type: 'custom', custom: { name: 'the', input: ' the'.repeat(19) } }],
    }),
    ...silent,
    unreadBy: ['ai', 'langchain'],
  },
  'what is said in audio': {
    sends: writes({ audio: { id: 'a', data: 'UklGRg==', transcript: THE_20 } }),
    ...silent,
  },
  'a picture': {
    sends: [
      chunk({ images: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBOR' } }] }),
      finished(),
      used(),
      DONE,
    ],
    ...answered,
    text: '',
  },
  'nothing at all': {
    sends: [chunk({ content: null }), finished(), used({ prompt_tokens: 10 }), DONE],
    ...answered,
    text: '',
    pools: [10, 0, 0],
    isFree: true,
    unreadBy: ['langchain'],
  },
  'nothing at all, after its words of the end': {
    sends: [chunk({ content: null }), finished(), used({ prompt_tokens: 10 }), DONE],
    ...answered,
    asks: { stop: ['a'] },
    text: '',
    pools: [10, 0, 0],
    unreadBy: ['langchain'],
  },
  'nothing at all, with weighed tokens': {
    sends: [chunk({ content: null }), finished(), used({ prompt_tokens: 10 }), DONE],
    ...answered,
    asks: { logit_bias: { 1: -100 }, stop: null },
    text: '',
    pools: [10, 0, 0],
    unreadBy: ['langchain'],
  },
  'nothing at all, up to a limit': {
    sends: [chunk({ content: null }), finished('length'), used({ prompt_tokens: 10 }), DONE],
    ...answered,
    text: '',
    pools: [10, 0, 0],
    unreadBy: ['langchain', 'ai', 'openai'],
  },
  'nothing at all and nothing reported, up to a limit': {
    sends: [chunk({ content: null }), finished('length'), DONE],
    ...answered,
    asks: { stop: 'a' },
    text: '',
    pools: ['counted', 0, 0],
    source: 'counted',
    isFree: true,
    unreadBy: ['langchain', 'ai', 'openai'],
  },
  'nulls and odd types where objects and lists are promised': {
    sends: [
      event({ ...frame, choices: [null, 7] }),
      chunk(null),
      chunk({ content: null, tool_calls: null, function_call: null, audio: null }),
      chunk({ content: 7, tool_calls: [null, 'x', { function: null }], images: 'none', reasoning: {} }),
      event({ ...frame, choices: 'none', usage: null }),
      PLAIN,
    ],
    ...answered,
    unreadBy: ['ai', 'langchain', 'openai'],
  },
};

const ERROR = { message: `Out of credit: ${PROVIDERS_OWN}`, type: 'server_error', code: 'insufficient_quota' };

/** Errors that come as a success. */
const errors: Record<string, Shape> = {
  'an error as the first event': { sends: [event({ error: ERROR }), DONE], ...refused },
  'an error with no choices': { sends: [event({ ...frame, choices: [], error: ERROR }), DONE], ...refused },
  'an error in a choice': { sends: [chunk({ content: '' }, { error: ERROR }), DONE], ...refused },
  'finish_reason error (OpenRouter)': { sends: [opening, finished('error'), DONE], ...refused },
  'event: error with words': { sends: [`event: error\ndata: ${PROVIDERS_OWN}\n\n`, DONE], ...refused },
  'event: error with an object': { sends: [`event: error\ndata: ${JSON.stringify(ERROR)}\n\n`, DONE], ...refused },
  'an error that blames the request': {
    sends: [event({ error: { ...ERROR, message: 'too long', code: 400 } })],
    ...failed,
    error: 'invalid_request',
    http: 400,
  },
  'an error after words': { sends: [...HELLO, event({ error: ERROR }), DONE], ...failed },
  'an error in a choice after words': { sends: [...HELLO, chunk({}, { error: ERROR }), DONE], ...failed },
  'finish_reason error after words': { sends: [...HELLO, finished('error'), used(), DONE], ...failed },
  'event: error after words': { sends: [...HELLO, `event: error\ndata: ${PROVIDERS_OWN}\n\n`, DONE], ...failed },
  'an error before [DONE], after all words': {
    sends: [...HELLO, finished(), event({ error: ERROR }), DONE],
    ...failed,
  },
  'JSON with an error': { sends: [JSON.stringify({ error: ERROR })], type: 'application/json', ...refused },
  'JSON with an error, as a stream': { sends: [`\n${JSON.stringify({ error: ERROR })}\n\n`], ...refused },
  'JSON of another kind': {
    sends: [JSON.stringify({ code: 1, msg: PROVIDERS_OWN })],
    type: 'application/json',
    ...refused,
  },
  HTML: { sends: [`<html><body>${PROVIDERS_OWN}\n\n</body></html>`], type: 'text/html', ...refused },
  'HTML, as a stream': { sends: [`<html><body>${PROVIDERS_OWN}\n\n</body></html>`], ...refused },
  'a plain text': { sends: [`Forbidden: ${PROVIDERS_OWN}`], type: 'text/plain', ...refused },
  'nothing, not even a byte': { sends: [], ...refused },
  'a whole completion': {
    sends: [JSON.stringify(whole({ role: 'assistant', content: 'Hello' }))],
    type: 'application/json',
    ...answered,
  },
  'a whole completion with calls of tools': {
    sends: [
      JSON.stringify(
        whole({
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
        }),
      ),
    ],
    type: 'application/json',
    ...answered,
    text: '',
  },
};

/** Whole answers. */
const wholes: Record<string, Shape> = {
  'a completion': { whole: whole({ role: 'assistant', content: 'Hello' }), ...answered },
  'tool_calls null': {
    whole: whole({ role: 'assistant', content: 'Hello', tool_calls: null, refusal: null, audio: null }),
    ...answered,
  },
  'odd types in a message': {
    whole: whole({
      role: 'assistant',
      content: 'Hello',
      tool_calls: [null, { function: null }],
      reasoning: 7,
      annotations: null,
    }),
    ...answered,
    unreadBy: ['ai', 'langchain'],
  },
  'choices that are null': {
    whole: { ...whole(null), choices: [null], usage: null },
    ...answered,
    text: '',
    pools: ['counted', 0, 0],
    source: 'counted',
    isFree: true,
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'content null and thoughts': {
    whole: whole({ role: 'assistant', content: null, reasoning: null, reasoning_content: THE_20 }, {}, { usage: null }),
    ...silent,
  },
  'nothing at all, whole': {
    whole: whole({ content: '' }, {}, { usage: { prompt_tokens: 10 } }),
    ...answered,
    text: '',
    pools: [10, 0, 0],
    isFree: true,
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'nothing at all, up to a limit, whole': {
    whole: whole({ content: '' }, { finish_reason: 'max_tokens' }, { usage: { prompt_tokens: 10 } }),
    ...answered,
    text: '',
    pools: [10, 0, 0],
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'nothing at all, after its words of the end, whole': {
    whole: whole({ content: '' }, {}, { usage: { prompt_tokens: 10 } }),
    ...answered,
    asks: { stop: 'a' },
    text: '',
    pools: [10, 0, 0],
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'text in the choice, whole': {
    whole: { ...whole(undefined, { text: THE_20 }), usage: null },
    ...silent,
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'content as a list': {
    whole: whole({ role: 'assistant', content: [{ type: 'text', text: THE_20 }] }, {}, { usage: undefined }),
    ...silent,
    unreadBy: ['openai', 'ai', 'langchain'],
  },
  'a total alone': {
    whole: whole({ role: 'assistant', content: 'Hello' }, {}, { usage: { total_tokens: 2 } }),
    ...counted,
    text: 'Hello',
    pools: [2, 0, 1],
  },
  'usage in choices[0]': {
    whole: whole({ role: 'assistant', content: 'Hello' }, { usage: USAGE }, { usage: null }),
    ...answered,
  },
  'counts as texts, whole': {
    whole: whole(
      { role: 'assistant', content: 'Hello' },
      {},
      { usage: { prompt_tokens: '10', completion_tokens: '5' } },
    ),
    ...answered,
    unreadBy: ['ai'],
  },
  'more than a call can use, whole': {
    whole: whole(
      { role: 'assistant', content: 'Hello' },
      {},
      { usage: { prompt_tokens: 9e6, completion_tokens: 9e6 } },
    ),
    ...answered,
    pools: [1_000, 0, 100],
    source: 'bounded',
  },
  'an error, whole': { whole: { error: ERROR }, ...refused },
  'an error as a text, whole': { whole: { error: PROVIDERS_OWN }, ...refused },
  'an error in a choice, whole': { whole: whole({ content: '' }, { error: ERROR }), ...refused },
  'an error beside no choices, whole': { whole: { ...whole({}), choices: [], error: ERROR }, ...refused },
  'finish_reason error, whole': { whole: whole({ content: '' }, { finish_reason: 'error' }), ...refused },
  'an error that blames the request, whole': {
    whole: { error: { message: 'too long', code: 400 } },
    ...failed,
    error: 'invalid_request',
    http: 400,
  },
  'HTML, whole': { whole: `<html>${PROVIDERS_OWN}</html>`, type: 'text/html', ...refused },
  'a list, whole': { whole: [1, 2], ...refused },
  'null, whole': { whole: null, ...refused },
};

/** What gateways add to the protocol, which is between them and the operator. */
const OWN = Object.fromEntries(
  [
    ...['provider', 'provider_metadata', 'provider_specific_fields', 'native_finish_reason', 'cost', 'cost_details'],
    ...['response_cost', 'estimated_cost', 'request_id', 'generation_id', '_hidden_params'],
  ].map((name) => [name, { of: PROVIDERS_OWN }]),
);
const OWN_USAGE = {
  ...USAGE,
  cost: 0.5,
  is_byok: true,
  cost_details: { of: PROVIDERS_OWN },
  prompt_tokens_details: OWN,
};
const LARGE_USAGE = { ...USAGE, upstream: Array.from({ length: 2_000 }, () => PROVIDERS_OWN) };
const OWN_CALL = { index: 0, id: 'c', type: 'function', ...OWN, function: { name: 'f', arguments: '{}', ...OWN } };
const GROQ = { x_groq: { id: PROVIDERS_OWN, usage: USAGE } };
const owned: Record<string, Shape> = {
  'what gateways add, in a stream': {
    sends: [
      opening,
      chunk({ content: 'Hel', ...OWN }, OWN, OWN),
      said('lo', OWN),
      finished('stop', OWN),
      event({ ...frame, ...OWN, choices: [], usage: OWN_USAGE }),
      DONE,
    ],
    ...answered,
  },
  'what gateways add, whole': {
    whole: whole({ role: 'assistant', content: 'Hello', ...OWN }, OWN, { ...OWN, usage: OWN_USAGE }),
    ...answered,
  },
  'what gateways add to calls of tools and notes, in a stream': {
    sends: [
      opening,
      chunk({ content: 'Hello', tool_calls: [OWN_CALL], annotations: [{ type: 'url_citation', ...OWN }] }),
      finished('tool_calls'),
      used(),
      DONE,
    ],
    ...answered,
    unreadBy: ['ai', 'langchain'],
  },
  'what gateways add to calls of tools and notes, whole': {
    whole: whole({ content: 'Hello', tool_calls: [OWN_CALL], annotations: [{ type: 'url_citation', ...OWN }] }),
    ...answered,
    unreadBy: ['ai', 'langchain'],
  },
  'a large usage, in a stream': { sends: [...HELLO, finished('stop', { usage: LARGE_USAGE }), DONE], ...answered },
  'a large usage, whole': { whole: whole({ content: 'Hello' }, {}, { usage: LARGE_USAGE }), ...answered },
  'usage in x_groq alone, whole': {
    whole: whole({ content: 'Hello' }, {}, { ...GROQ, usage: undefined }),
    ...answered,
  },
};

/** What is no success, no end, and no count, though it looks like one. */
const lookalikes: Record<string, Shape> = {
  ...Object.fromEntries(
    ['Error', 'ERROR', 'abort', 'failed', 'server_error', 'insufficient_system_resource'].map((reason) => [
      `the finish reason ${reason}`,
      { sends: [...HELLO, finished(reason), used(), DONE], ...failed } satisfies Shape,
    ]),
  ),
  'an object that is an error, after words': {
    sends: [...HELLO, event({ object: 'error', message: PROVIDERS_OWN, code: 500 }), DONE],
    ...failed,
  },
  'a finish reason that nobody knows, and then a reset': {
    sends: [...HELLO, finished('in_progress'), used(), 'reset'],
    ...failed,
  },
  'a finish reason that nobody knows, and then the end': {
    sends: [...HELLO, finished('in_progress'), used()],
    ...answered,
  },
  'a known end in capitals, and then a reset': {
    sends: [...HELLO, finished('MAX_TOKENS'), used(), 'reset'],
    ...answered,
  },
  'a total that leaves nothing for the output': {
    sends: [opening, said(THE_20), finished(), used({ prompt_tokens: 10, total_tokens: 10 }), DONE],
    ...counted,
    pools: [10, 0, 20],
  },
  'nothing but a total that is too small': {
    sends: [opening, said(THE_20), finished(), used({ total_tokens: 5 }), DONE],
    ...counted,
    pools: [5, 0, 20],
  },
  'zeros after a report': {
    sends: [
      ...HELLO,
      finished('stop', { usage: USAGE }),
      used({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }),
      DONE,
    ],
    ...answered,
  },
  'a zero as the only report': {
    sends: [...HELLO, finished(), used({ prompt_tokens: 10, completion_tokens: 0, total_tokens: 10 }), DONE],
    ...answered,
    pools: [10, 0, 0],
  },
  'calls of tools that are no list': {
    sends: [
      chunk({
        role: 'assistant',
        tool_calls: { index: 0, id: 'c', function: { name: ' the', arguments: ' the'.repeat(19) } },
      }),
      finished('tool_calls'),
      DONE,
    ],
    ...counted,
    text: '',
  },
};

/** Shapes that a client sees for itself; how usage is said is nothing to it. */
export const shownToClients: Record<string, Shape> = { ...lines, ...ends, ...places, ...errors, ...wholes, ...owned };

/** All shapes by their names. */
export const shapes: Record<string, Shape> = { ...shownToClients, ...usages, ...lookalikes };
