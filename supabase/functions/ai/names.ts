/** What a client is told of an answer: not who gave it, under which name and id, and at what cost. */

import { joined } from '../_shared/body.ts';
import { type Loose, objectIn, partsOf } from './answer.ts';

const encoder = new TextEncoder();

/** Who gives answers, where a list of models names an owner. */
export const OWNER = 'basemeter';

/** What is between us and the provider, wherever in an answer: gateways add it to the protocol. */
const PROVIDERS_OWN = new Set([
  ...['provider', 'provider_name', 'provider_metadata', 'provider_specific_fields', 'native_finish_reason', 'x_groq'],
  ...['cost', 'cost_details', 'total_cost', 'estimated_cost', 'response_cost', 'is_byok', 'request_id'],
  ...['generation_id', 'openrouter_metadata', '_hidden_params', '_response_ms', '_response_headers'],
]);
/** What a client is told of usage: tokens. */
const USAGE_NAMES = new Set([
  ...['prompt_tokens', 'completion_tokens', 'total_tokens', 'input_tokens', 'output_tokens', 'cached_tokens'],
  ...['prompt_tokens_details', 'prompt_token_details', 'completion_tokens_details', 'input_tokens_details'],
  ...['output_tokens_details', 'reasoning_tokens', 'audio_tokens', 'text_tokens', 'image_tokens', 'video_tokens'],
  ...['accepted_prediction_tokens', 'rejected_prediction_tokens', 'cache_write_tokens', 'cache_creation_tokens'],
  ...['cache_read_input_tokens', 'cache_creation_input_tokens', 'prompt_cache_hit_tokens', 'num_cached_tokens'],
  'prompt_cache_miss_tokens',
]);

/** What an answer goes out as: the model that was asked for, and an id of ours; without one it has none. */
export interface Names {
  model?: string;
  id?: string;
}

/** The id of a chat's answer. */
export const chatId = (requestId: string) => `chatcmpl-${requestId}`;

/** An answer, or a chunk of one, as the client and the log are told it. What is told as it came is the same object. */
export function told(answer: Loose, { model, id }: Names): Loose {
  return changed(answer, (name, value) => {
    if (name === 'id') return id;
    return (name === 'model' ? model : undefined) ?? memberTold(name, value, false);
  });
}

/**
 * The bytes of a whole answer as `told` has it. What is told as it came stays byte by byte: it may be large, and
 * `answer` and `shown` only outlines of it.
 */
export function toldBytes(bytes: Uint8Array<ArrayBuffer>, answer: Loose, shown: Loose): Uint8Array<ArrayBuffer> {
  return shown === answer ? bytes : joined(rewritten(bytes, answer, shown));
}

function rewritten(json: Uint8Array<ArrayBuffer>, came: Loose, shown: Loose): Uint8Array<ArrayBuffer>[] {
  // Of members with one name the last one counts, as where it is parsed.
  const last = new Map([...partsOf(json)].map((part) => [part.name, part]));
  const parts = [...last.values()].filter(({ name }) => Object.hasOwn(shown, name));
  const [opening, closing] = Array.isArray(shown) ? ['[', ']'] : ['{', '}'];
  const pieces = parts.flatMap(({ name, start, value, end }, index) => {
    const [before, after] = [came[name], shown[name]];
    const separator = index === 0 ? [] : [encoder.encode(',')];
    if (before === after) return [...separator, json.subarray(start, end)];
    const label = Array.isArray(shown) ? [] : [encoder.encode(`${JSON.stringify(name)}:`)];
    const isHolder = typeof before === 'object' && typeof after === 'object' && before && after;
    const inner = isHolder ? rewritten(json.subarray(value, end), before as Loose, after as Loose) : undefined;
    return [...separator, ...label, ...(inner ?? [encoder.encode(JSON.stringify(after))])];
  });
  return [encoder.encode(opening), ...pieces, encoder.encode(closing)];
}

/** Without what is the provider's own, at any depth; never within what a model calls a tool with. */
function withoutOwn(value: unknown, isCall: boolean): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (!Array.isArray(value)) return changed(value as Loose, (name, inner) => memberTold(name, inner, isCall));
  const mapped = value.map((item) => withoutOwn(item, isCall));
  return mapped.every((item, index) => item === value[index]) ? value : mapped;
}

/** A member as it is told; undefined where it is not. */
function memberTold(name: string, value: unknown, isCall: boolean): unknown {
  if (PROVIDERS_OWN.has(name)) return undefined;
  if (name === 'usage') return usageTold(value);
  if (isCall && (name === 'arguments' || name === 'input')) return value;
  return withoutOwn(value, isCall || name === 'tool_calls' || name === 'function_call');
}

/** Usage that is no object says nothing that a client could read. */
function usageTold(usage: unknown): unknown {
  const counts = objectIn(usage);
  if (!counts) return null;
  return changed(counts, (name, value) => {
    if (!USAGE_NAMES.has(name) || Array.isArray(value)) return undefined;
    return objectIn(value) ? usageTold(value) : value;
  });
}

/** An object with its values changed, or left out where they become undefined; the same one where nothing changes. */
function changed(holder: Loose, change: (name: string, value: unknown) => unknown): Loose {
  const names = Object.keys(holder);
  let entries: [string, unknown][] | undefined;
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index] as string;
    const after = change(name, holder[name]);
    if (after !== holder[name]) entries ??= names.slice(0, index).map((same) => [same, holder[same]]);
    if (after !== undefined) entries?.push([name, after]);
  }
  return entries ? Object.fromEntries(entries) : holder;
}
