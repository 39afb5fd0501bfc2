/**
 * Streams of random shapes: how lines end, where bytes are cut, where text and usage stand, how it ends, who leaves.
 * The generator knows what was delivered, and so what each has to cost. `SEED` repeats a run.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { sql, type TestUser } from '../support/stack.ts';
import { AI_URL, newCaller, newModel, newProvider, walletOf } from './helpers.ts';
import { RawProvider, type Step } from './raw-provider.ts';

const STREAMS = runs(70);
const SEED = Number(process.env.SEED ?? randomInt(2 ** 31));
const AT_ONCE = 10;
/** A stream that has not ended after so many ms never will: a provider may be silent for half as long. */
const LONGEST = 40_000;
/** A token to the tokenizer. */
const WORD = ' the';

/** What becomes of it. Of the client's two, one leaves a provider that is read to its end, one stops the provider. */
const ENDS = {
  success: ['[DONE]', '[DONE], silence', '[DONE], reset', '[DONE], more', 'closed', 'finished, reset'],
  failed: ['closed half-way', 'reset half-way', 'error half-way', 'error at the end', 'finish_reason error'],
  canceled: ['the client leaves', 'the client stops it'],
};
const ALL_ENDS = Object.values(ENDS).flat();

const shape = fc.record({
  lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
  space: fc.constantFrom('', ' '),
  comments: fc.boolean(),
  /** Words of each chunk. */
  chunks: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 6 }),
  place: fc.constantFrom(
    'content',
    'parts',
    'reasoning',
    'reasoning_content',
    'refusal',
    'function_call',
    'tool_calls',
  ),
  usage: fc.constantFrom(
    'none',
    'last',
    'on finish',
    'choices[0]',
    'x_groq',
    'running',
    'zeros first',
    'zeros, last',
    'texts',
  ),
  /** Tokens that the provider reports and does not show. */
  thoughts: fc.integer({ min: 0, max: 20 }),
  prompt: fc.integer({ min: 1, max: 60 }),
  end: fc.constantFrom(...ALL_ENDS),
  /** After how many chunks something happens half-way. */
  after: fc.integer({ min: 1, max: 5 }),
  /** Where its bytes are cut, in thousandths. */
  cuts: fc.array(fc.nat(1000), { maxLength: 8 }),
});
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never;

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
const isHalfWay = ({ end }: Shape) => end.endsWith('half-way') || end === 'the client stops it';
const sent = (one: Shape) => (isHalfWay(one) ? one.chunks.slice(0, one.after) : one.chunks);

function delta(place: Shape['place'], text: string): object {
  if (place === 'parts') return { content: [{ type: 'text', text }] };
  if (place === 'function_call') return { function_call: { arguments: text } };
  if (place === 'tool_calls') return { tool_calls: [{ index: 0, id: 'c', function: { arguments: text } }] };
  if (place === 'reasoning_content') return { reasoning: null, reasoning_content: text };
  return { [place]: text };
}

/** The steps by which the provider sends it. */
function script(one: Shape): Step[] {
  const { usage, end, thoughts, prompt, lineEnd } = one;
  const counts = (words: number) => ({ prompt_tokens: prompt, completion_tokens: words + thoughts });
  const zeros = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  const total = counts(sum(one.chunks));
  const events: string[] = [];
  const add = (choices: object[], rest: object = {}) => {
    events.push(`data:${one.space}${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices, ...rest })}`);
    if (one.comments) events.push(': ping');
  };
  const choice = (wrote: object, finish_reason: string | null, rest: object = {}) => [
    { index: 0, delta: wrote, finish_reason, ...rest },
  ];
  add(choice({ role: 'assistant', content: '' }, null), usage.startsWith('zeros') ? { usage: zeros } : {});
  let words = 0;
  for (const chunk of sent(one)) {
    words += chunk;
    const running = usage === 'running' ? { usage: counts(words) } : {};
    add(choice(delta(one.place, WORD.repeat(chunk)), null), running);
  }
  if (end === 'error half-way') events.push('event: error', `data: ${JSON.stringify({ message: 'no' })}`);
  if (!isHalfWay(one)) {
    const reason = end === 'finish_reason error' ? 'error' : 'stop';
    if (usage === 'choices[0]') add(choice({}, reason, { usage: total }));
    else if (usage === 'x_groq') add(choice({}, reason), { x_groq: { usage: total } });
    else add(choice({}, reason), usage === 'on finish' ? { usage: total } : {});
    if (usage === 'texts') {
      add([], { usage: { prompt_tokens: `${prompt}`, completion_tokens: `${total.completion_tokens}` } });
    } else if (usage.endsWith('last')) add([], { usage: total });
    if (end === 'error at the end') add([], { error: { message: 'no' } });
    if (end.startsWith('[DONE]') || end.startsWith('the client')) events.push('data: [DONE]');
    if (end === '[DONE], more') add(choice({ content: WORD }, null), { usage: counts(9_999) });
  }
  const joined = events.map((event) => event + lineEnd + (event.startsWith('event:') ? '' : lineEnd)).join('');
  const bytes = new TextEncoder().encode(joined);
  const at = [0, ...one.cuts.map((cut) => Math.floor((cut * bytes.length) / 1000)).sort((a, b) => a - b), bytes.length];
  const pieces: Step[] = at.slice(1).map((to, index) => bytes.slice(at[index], to));
  const steps = pieces.filter((piece) => (piece as Uint8Array).length > 0).flatMap((piece) => [piece, { wait: 1 }]);
  if (end.endsWith('silence') || end === 'the client stops it') return [...steps, 'silence'];
  return end.includes('reset') ? [...steps, 'reset'] : steps;
}

/** What it has to be charged, in tokens of output, and how it is logged. */
function expected(one: Shape) {
  const status = Object.entries(ENDS).find(([, ends]) => ends.includes(one.end))?.[0];
  const words = sum(sent(one));
  const isReported = one.usage === 'running' || (!isHalfWay(one) && !['none', 'zeros first'].includes(one.usage));
  const completion = status === 'failed' ? 0 : isReported ? words + one.thoughts : words;
  return { status, completion, prompt: status !== 'failed' && isReported ? one.prompt : undefined };
}

const provider = new RawProvider();
/** Of several, for a plan allows one 600 calls a minute. */
let users: TestUser[];
const models = { drain: '', cancel: '' };
beforeAll(async () => {
  const base_url = await provider.start();
  users = await Promise.all(Array.from({ length: 4 }, newCaller));
  for (const { id } of users) await sql(`select public.credit_user_credits_transaction($1, 40000, 'manual')`, [id]);
  for (const disconnect_policy of ['drain', 'cancel'] as const) {
    const row = { base_url, disconnect_policy, timeout_ms: LONGEST / 2, max_retries: 0 };
    const made = { provider: await newProvider(row), max_output_tokens: 500 };
    // 0.01 credits a token of output; input has no price, for what is counted of it is not the generator's.
    models[disconnect_policy] = await newModel(made, { output: 100 });
  }
});
afterAll(() => provider.stop());

/** Reads it as a client, which leaves where the shape says so; returns the words it saw. */
async function read(name: string, one: Shape, user: TestUser): Promise<string> {
  const leaving = new AbortController();
  const answer = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}`, 'x-ai-reference': name },
    body: JSON.stringify({
      model: one.end === 'the client stops it' ? models.cancel : models.drain,
      messages: [{ role: 'user', content: name }],
      stream: true,
    }),
    signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(LONGEST)]),
  });
  let text = '';
  const decoder = new TextDecoder();
  const leavesAfter =
    one.end === 'the client leaves' ? 1 : one.end === 'the client stops it' ? sum(sent(one)) : Infinity;
  try {
    for await (const bytes of answer.body ?? []) {
      text += decoder.decode(bytes, { stream: true });
      if (text.split(WORD).length - 1 >= leavesAfter) leaving.abort();
    }
  } catch (error) {
    if (!leaving.signal.aborted) throw new Error(`${name} has not ended, after ${text}`, { cause: error });
  }
  return text;
}

async function logOf(name: string) {
  for (let tries = 0; tries < 200; tries += 1) {
    const [log] = await sql('select * from public.ai_usage_logs where reference_id = $1', [name]);
    if (log) return log;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${name} was not logged`);
}

test(`${STREAMS} streams are charged what was delivered (SEED=${SEED})`, {
  timeout: 60_000 + STREAMS * 200,
}, async () => {
  const streams = fc.sample(shape, { seed: SEED, numRuns: STREAMS });
  let charged = 0;
  let next = 0;
  const work = async (_: unknown, worker: number) => {
    const user = users[worker % users.length] as TestUser;
    for (let index = next++; index < streams.length; index = next++) {
      const one = streams[index] as Shape;
      const name = `stream ${SEED} ${index}`;
      const about = `${name}: ${JSON.stringify(one)}`;
      provider.add(name, { steps: script(one) });
      const text = await read(name, one, user);
      const { status, completion, prompt } = expected(one);
      const log = await logOf(name);
      // A client may leave when all has come already.
      const ended = one.end === 'the client leaves' ? 'canceled' : log.status;
      expect({ status: ended, completion: log.completion_tokens }, about).toEqual({ status, completion });
      if (prompt !== undefined) expect(log.prompt_tokens, about).toBe(prompt);
      expect(Number(log.credits_charged), about).toBeCloseTo(completion / 100, 6);
      charged += completion;
      if (status === 'canceled') continue;
      expect(text.includes('data: [DONE]'), about).toBe(status === 'success');
      expect(text.includes('"code":"upstream_error"'), about).toBe(status === 'failed');
      if (status === 'success') expect(text.split(WORD).length - 1, about).toBe(sum(one.chunks));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const wallets = await Promise.all(users.map(walletOf));
  for (const wallet of wallets) expect(wallet).toMatchObject({ held: 0, drift: 0 });
  expect(sum(wallets.map((wallet) => wallet?.spent ?? 0))).toBeCloseTo(charged / 100, 4);
});
