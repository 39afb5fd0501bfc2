/** What a client is told of an answer: not who gave it, under which name and id, and at what cost. */

import { joined } from '../_shared/body.ts';
import { type Loose, membersOf, objectIn } from './answer.ts';

/** Who gives answers, where a list of models names an owner. */
export const OWNER = 'basemeter';

/** What is between us and the provider, in an answer, its choices and their messages: gateways add it to the protocol. */
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
  return changed(withoutOwn(answer), (name, value) => {
    if (name === 'model') return model ?? value;
    return name === 'id' ? id : value;
  });
}

/** The bytes of a whole answer as `told` has it. What is told as it came stays byte by byte: it may be large. */
export function toldBytes(bytes: Uint8Array<ArrayBuffer>, answer: Loose, shown: Loose): Uint8Array<ArrayBuffer> {
  if (shown === answer) return bytes;
  const encoder = new TextEncoder();
  const members = [...membersOf(bytes)].filter(({ name }) => Object.hasOwn(shown, name));
  const parts = members.flatMap(({ name, start, end }, index) => [
    encoder.encode(index === 0 ? '{' : ','),
    shown[name] === answer[name]
      ? bytes.subarray(start, end)
      : encoder.encode(`${JSON.stringify(name)}:${JSON.stringify(shown[name])}`),
  ]);
  return joined([...parts, encoder.encode(members.length === 0 ? '{}' : '}')]);
}

/** An answer, a choice or a message without what is the provider's own. */
function withoutOwn(holder: Loose): Loose {
  return changed(holder, (name, value) => {
    if (PROVIDERS_OWN.has(name)) return undefined;
    if (name === 'usage') return usageTold(value);
    if (name === 'message' || name === 'delta') return ownRemoved(value);
    return name === 'choices' && Array.isArray(value) ? same(value, value.map(ownRemoved)) : value;
  });
}

function ownRemoved(value: unknown): unknown {
  const holder = objectIn(value);
  return holder ? withoutOwn(holder) : value;
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
  const entries = Object.entries(holder);
  const kept = entries.map(([name, value]) => [name, change(name, value)] as const);
  if (kept.every(([, value], index) => value === entries[index]?.[1])) return holder;
  return Object.fromEntries(kept.filter(([, value]) => value !== undefined));
}

function same(list: unknown[], mapped: unknown[]): unknown[] {
  return mapped.every((item, index) => item === list[index]) ? list : mapped;
}
