/** Which names a request may have. What is not known is not passed on unless the model's row lists it. */
import { invalidRequest } from '../_shared/errors.ts';
import { toStorable } from '../_shared/text.ts';

/** Names that no endpoint knows, each with the place of its first use: admission asks the model's row. */
export type Fields = Map<string, string>;

/** Different names in one request that are not known; each is a thing to look up. */
const MOST_UNKNOWN = 50;
const LONGEST_NAME = 200;

/** The names of one kind of object. */
export interface Names {
  /**
   * Adds an object's unknown names to `fields`; of those, what is null is taken out of the object, for clients write so
   * what they do not ask for. Throws 400 `invalid_request` for a name that no database can hold, and for one that differs
   * from a known one in its case alone: some gateways take it for that one.
   */
  check(object: object, at: string, fields: Fields): void;
}

/** The names that an object may have. */
export function names(...known: string[]): Names {
  const set = new Set(known);
  const byFolded = new Map(known.map((name) => [folded(name), name]));
  return {
    check(object: Record<string, unknown>, at: string, fields: Fields) {
      for (const name of Object.keys(object)) {
        if (set.has(name)) continue;
        const place = `${at && `${at}.`}${toStorable(name.slice(0, LONGEST_NAME))}`;
        const meant = byFolded.get(folded(name));
        if (meant) throw invalidRequest(`${place} is not valid: write it ${JSON.stringify(meant)}.`, place);
        if (object[name] === null) {
          delete object[name];
          continue;
        }
        if (name.length > LONGEST_NAME || name !== toStorable(name) || fields.size >= MOST_UNKNOWN) {
          throw invalidRequest(`The field ${JSON.stringify(place)} is not supported.`, place);
        }
        if (!fields.has(name)) fields.set(name, place);
      }
    },
  };
}

/** As Go's JSON folds names: first up, for the long s and the Kelvin sign are letters of ours only there. */
function folded(name: string): string {
  return name.toUpperCase().toLowerCase();
}

/** Of a chat what is no input of its model, as OpenAI's API and those like it have it; none changes what a token costs. */
export const CHAT_SETTINGS = new Set([
  ...['model', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'n', 'tool_choice'],
  ...['parallel_tool_calls', 'function_call', 'temperature', 'top_p', 'top_k', 'min_p', 'frequency_penalty'],
  ...['presence_penalty', 'repetition_penalty', 'stop', 'seed', 'logprobs', 'top_logprobs', 'logit_bias', 'verbosity'],
  ...[
    'reasoning_effort',
    'reasoning',
    'include_reasoning',
    'user',
    'metadata',
    'store',
    'safety_identifier',
    'prompt_cache_key',
  ],
]);

const CHAT_NAMES = ['messages', 'tools', 'functions', 'response_format', ...CHAT_SETTINGS];
const CHAT = names(...CHAT_NAMES);
const CHAT_OF_TEXT = names('modalities', ...CHAT_NAMES);

/** Of a chat completion. Some names change the price by other values than the usual one alone. */
export const CHAT_FIELDS: Names = {
  check(object: { modalities?: unknown; service_tier?: unknown }, at: string, fields: Fields) {
    const { modalities, service_tier } = object;
    if (service_tier === 'auto' || service_tier === 'default') delete object.service_tier;
    const isText = Array.isArray(modalities) && modalities.length === 1 && modalities[0] === 'text';
    (isText ? CHAT_OF_TEXT : CHAT).check(object, at, fields);
  },
};

/** Of a chat's `stream_options`. */
export const STREAM_OPTIONS_FIELDS = names('include_usage', 'include_obfuscation');

/** Of embeddings. */
export const EMBEDDINGS_FIELDS = names('model', 'input', 'encoding_format', 'dimensions', 'user');

/** Of images. `size` and `quality` change the price: a model's row lists them where its price covers every value. */
export const IMAGES_FIELDS = names(
  ...['model', 'prompt', 'n', 'stream', 'response_format', 'output_format', 'output_compression'],
  ...['background', 'moderation', 'style', 'seed', 'negative_prompt', 'user'],
);
