/** Names in answers: a model answers under the name that the caller asked for, and nothing says what its provider took. */
import { Buffer } from 'node:buffer';
import { type Loose, objectIn, objectsIn } from './answer.ts';

/** Who gives answers, where a gateway names the provider that it asked. */
export const OWNER = 'basemeter';
/** The longest value that is looked at, bytes. A model's name has 200 characters at most. */
const LONGEST_VALUE = 10_000;
/** What a client is told of usage: tokens. The rest is between us and the provider: what it took, for whom, how. */
const USAGE_NAMES = new Set([
  ...['prompt_tokens', 'completion_tokens', 'total_tokens', 'input_tokens', 'output_tokens', 'cached_tokens'],
  ...['prompt_tokens_details', 'prompt_token_details', 'completion_tokens_details', 'input_tokens_details'],
  ...['output_tokens_details', 'reasoning_tokens', 'audio_tokens', 'text_tokens', 'image_tokens', 'video_tokens'],
  ...['accepted_prediction_tokens', 'rejected_prediction_tokens', 'cache_write_tokens', 'cache_creation_tokens'],
  ...['cache_read_input_tokens', 'cache_creation_input_tokens', 'prompt_cache_hit_tokens', 'num_cached_tokens'],
  'prompt_cache_miss_tokens',
]);

/**
 * Has each `"field": "from"` of a JSON text say `to` in its place. In bytes, and nothing else is touched, for an answer may
 * be large; within a text of the answer the quotes would be escaped.
 */
export function renamed(
  bytes: Uint8Array<ArrayBuffer>,
  field: string,
  from: unknown,
  to: string,
): Uint8Array<ArrayBuffer> {
  if (typeof from !== 'string' || from === to) return bytes;
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const key = JSON.stringify(field);
  const parts: Uint8Array[] = [];
  let end = 0;
  for (let at = source.indexOf(key); at !== -1; at = source.indexOf(key, at + key.length)) {
    const after = source.toString('latin1', at + key.length, at + key.length + LONGEST_VALUE);
    const [, colon, value] = after.match(/^(\s*:\s*)("(?:[^"\\]|\\.)*")/) ?? [];
    if (colon === undefined || value === undefined) continue;
    const start = at + key.length + colon.length;
    if (textOf(Buffer.from(value, 'latin1')) !== from) continue;
    parts.push(source.subarray(end, start), Buffer.from(JSON.stringify(to)));
    end = start + value.length;
  }
  if (parts.length === 0) return bytes;
  parts.push(source.subarray(end));
  return new Uint8Array(Buffer.concat(parts));
}

/** The same, of each `"usage": {…}`: what is told of it stays. */
function withUsage(bytes: Uint8Array<ArrayBuffer>, usage: Loose): Uint8Array<ArrayBuffer> {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const wanted = JSON.stringify(usage);
  const parts: Uint8Array[] = [];
  let end = 0;
  for (let at = source.indexOf('"usage"'); at !== -1; at = source.indexOf('"usage"', at + 7)) {
    const after = source.toString('latin1', at + 7, at + 7 + LONGEST_VALUE);
    const start = at + 7 + (after.match(/^\s*:\s*(?=\{)/)?.[0].length ?? Number.NaN);
    if (Number.isNaN(start)) continue;
    const value = objectAt(source.subarray(start, start + LONGEST_VALUE));
    if (!value || JSON.stringify(JSON.parse(value.toString())) !== wanted) continue;
    parts.push(source.subarray(end, start), Buffer.from(JSON.stringify(toldOf(usage))));
    end = start + value.length;
  }
  if (parts.length === 0) return bytes;
  parts.push(source.subarray(end));
  return new Uint8Array(Buffer.concat(parts));
}

/** The bytes of the JSON object that begins here; undefined where none does, or it has no end. */
function objectAt(source: Buffer): Buffer | undefined {
  for (let end = source.indexOf('}'); end !== -1; end = source.indexOf('}', end + 1)) {
    const value = source.subarray(0, end + 1);
    if (textOf(value) !== undefined) return value;
  }
  return undefined;
}

/** What a client, and the log, are told of a usage object. */
function toldOf(usage: Loose): Loose {
  const told = Object.entries(usage).filter(([name]) => USAGE_NAMES.has(name));
  return Object.fromEntries(
    told.map(([name, value]) => {
      const details = objectIn(value);
      return [name, details ? toldOf(details) : value];
    }),
  );
}

const isTold = (usage: Loose) => JSON.stringify(toldOf(usage)) === JSON.stringify(usage);

/** The usage objects of an answer, wherever a provider puts them. */
function usagesOf(answer: Loose): Loose[] {
  const holders = [answer, objectIn(answer.x_groq), ...objectsIn(answer.choices)];
  return holders.map((holder) => objectIn(holder?.usage)).filter((usage) => usage !== undefined);
}

/**
 * The bytes of an answer, or of an event of one, that names `model` where it named the provider's own, and of usage tells
 * tokens alone.
 */
export function underName(bytes: Uint8Array<ArrayBuffer>, answer: Loose, model?: string): Uint8Array<ArrayBuffer> {
  const usages = usagesOf(answer).filter((usage) => !isTold(usage));
  const own = renamed(bytes, 'provider', answer.provider, OWNER);
  return usages.reduce(withUsage, model === undefined ? own : renamed(own, 'model', answer.model, model));
}

/** Whether all that an answer says of usage is for the client. */
export function isToldWhole(answer: Loose): boolean {
  return usagesOf(answer).every(isTold);
}

/** What `underName` does, of an answer that was read. */
export function named(answer: Loose, model?: string): Loose {
  const told = (holder: Loose): Loose => {
    const usage = objectIn(holder.usage);
    return usage ? { ...holder, usage: toldOf(usage) } : holder;
  };
  const groq = objectIn(answer.x_groq);
  return told({
    ...answer,
    ...(answer.model === undefined || model === undefined ? {} : { model }),
    ...(answer.provider === undefined ? {} : { provider: OWNER }),
    ...(groq ? { x_groq: told(groq) } : {}),
    ...(Array.isArray(answer.choices)
      ? { choices: answer.choices.map((one) => (objectIn(one) ? told(one) : one)) }
      : {}),
  });
}

function textOf(json: Buffer): string | undefined {
  try {
    return JSON.parse(json.toString());
  } catch {
    return undefined;
  }
}
