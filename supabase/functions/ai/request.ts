/** What callers may send, parsed once at the door. Names are allow-lists (fields.ts), content is read in one walk (input.ts). */
import { z } from 'zod';
import { readBody } from '../_shared/body.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { parseJson } from '../_shared/json.ts';
import { toStorable } from '../_shared/text.ts';
import {
  CHAT_FIELDS,
  EMBEDDINGS_FIELDS,
  type Fields,
  IMAGES_FIELDS,
  type Names,
  STREAM_OPTIONS_FIELDS,
} from './fields.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 20;
const MOST_MESSAGES = 10_000;
const MOST_INPUTS = 2_048;
/** As OpenAI's API has it. */
const MOST_METADATA = 16;
const MOST_CHOSEN = 128;
/** What an error repeats of a request, characters. */
const LONGEST_REPEATED = 200;

const model = z.string().min(1).max(200);
const count = z.int().min(1).max(1_000_000_000).nullish();

// By hand, for a schema costs much for each of many items.
const messages = z.custom<unknown[]>((value) => hasLength(value, MOST_MESSAGES), {
  error: `it must be a list of 1 to ${MOST_MESSAGES} messages`,
});
const input = z.custom<string | string[] | number[] | number[][]>(isInput, {
  error: `it must be a text, a list of 1 to ${MOST_INPUTS} texts or lists of token ids, or a list of token ids`,
});

/** How an endpoint's requests are read. */
export interface RequestShape<T> {
  fields: Names;
  schema: z.ZodType<T>;
}

const text = z.string().nullish();
const number = z.number().nullish();
const flag = z.boolean().nullish();
const named = z.strictObject({ name: z.string() }).nullish();
const chosenTool = { type: z.string(), function: named, custom: named };
const chosenTools = z.custom((value) => hasLength(value, MOST_CHOSEN)).pipe(z.array(z.strictObject(chosenTool)));

/** Settings of a chat: what they may hold, so that nothing else is passed on in them. */
const settings = {
  tool_choice: z
    .union([
      z.string(),
      z.strictObject({
        ...chosenTool,
        allowed_tools: z.strictObject({ mode: z.string(), tools: chosenTools }).nullish(),
      }),
    ])
    .nullish(),
  function_call: z.union([z.string(), z.strictObject({ name: z.string() })]).nullish(),
  stop: z
    .custom((value) => typeof value === 'string' || isTexts(value), 'it must be a text or a list of texts')
    .nullish(),
  logit_bias: z.custom((value) => isRecordOf(value, 'number'), 'it must be an object of numbers').nullish(),
  metadata: z
    .custom(
      (value) => isRecordOf(value, 'string') && Object.entries(value).length <= MOST_METADATA,
      `it must be an object of at most ${MOST_METADATA} texts`,
    )
    .nullish(),
  // The limit of thoughts is one within the output limit, which the call is held for.
  reasoning: z
    .strictObject({
      effort: text,
      summary: text,
      generate_summary: text,
      exclude: flag,
      enabled: flag,
      max_tokens: count,
    })
    .nullish(),
  ...{ parallel_tool_calls: flag, logprobs: flag, include_reasoning: flag, store: flag },
  ...{ temperature: number, top_p: number, top_k: number, min_p: number, seed: number, top_logprobs: number },
  ...{ frequency_penalty: number, presence_penalty: number, repetition_penalty: number },
  ...{ verbosity: text, reasoning_effort: text, user: text, safety_identifier: text, prompt_cache_key: text },
};

const chat = z
  .looseObject({
    ...settings,
    model,
    messages,
    stream: z.boolean().nullish(),
    stream_options: z.looseObject({ include_usage: flag, include_obfuscation: flag }).nullish(),
    max_tokens: count,
    max_completion_tokens: count,
    n: z.int().min(1).max(128).nullish(),
  })
  .refine(
    ({ reasoning, max_tokens, max_completion_tokens }) =>
      (reasoning?.max_tokens ?? 0) <= Math.max(max_tokens ?? 0, max_completion_tokens ?? 0),
    { path: ['reasoning', 'max_tokens'], error: 'it must not be above max_completion_tokens' },
  );
export type ChatRequest = z.infer<typeof chat>;

/** Whether a request may be the reason that nothing is written: it names words that end the answer, or weighs tokens. */
export function mayWriteNothing({ stop, logit_bias }: ChatRequest): boolean {
  return (Array.isArray(stop) ? stop.length > 0 : stop != null) || Object.keys(logit_bias ?? {}).length > 0;
}

const embeddings = z.looseObject({
  model,
  input,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: count,
  user: text,
});
export type EmbeddingsRequest = z.infer<typeof embeddings>;

const images = z.looseObject({
  model,
  prompt: z.string().min(1),
  ...{ response_format: text, output_format: text, background: text, moderation: text, style: text },
  ...{ negative_prompt: text, user: text, output_compression: number, seed: number },
  n: z.int().min(1).max(10).nullish(),
  stream: z.literal(false, 'images come whole, not as a stream').nullish(),
});
export type ImagesRequest = z.infer<typeof images>;

/** A chat completion. */
export const chatRequest: RequestShape<ChatRequest> = { fields: CHAT_FIELDS, schema: chat };
/** Embeddings of texts or of token ids. */
export const embeddingsRequest: RequestShape<EmbeddingsRequest> = { fields: EMBEDDINGS_FIELDS, schema: embeddings };
/** Images made from a prompt. */
export const imagesRequest: RequestShape<ImagesRequest> = { fields: IMAGES_FIELDS, schema: images };

/** A request, its text, and the names in it that no endpoint knows. */
export interface ParsedRequest<T> {
  request: T;
  text: string;
  fields: Fields;
}

/** Reads a body's text and validates it. Throws 400 `invalid_request` that names the field. */
export async function readRequest<T>(http: Request, shape: RequestShape<T>): Promise<ParsedRequest<T>> {
  const { text } = await readBody(http, LARGEST_BODY);
  return { text, ...parseRequest(parseJson(text), shape) };
}

/** Validates a body. Throws as readRequest does. */
export function parseRequest<T>(body: unknown, { fields, schema }: RequestShape<T>): { request: T; fields: Fields } {
  const unknown: Fields = new Map();
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    // Passed on it would do nothing, and the personal workspace would pay.
    if ('workspace_id' in body) {
      throw invalidRequest('Name the workspace in the header x-workspace-id.', 'workspace_id');
    }
    fields.check(body, '', unknown);
    const { stream_options } = body as { stream_options?: unknown };
    if (typeof stream_options === 'object' && stream_options !== null) {
      STREAM_OPTIONS_FIELDS.check(stream_options, 'stream_options', unknown);
    }
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return { request: parsed.data, fields: unknown };
  const issue = parsed.error.issues[0];
  const param = issue ? toStorable(placeOf(issue).slice(0, LONGEST_REPEATED)) || null : null;
  const why = toStorable((issue?.message ?? 'it does not fit').slice(0, LONGEST_REPEATED));
  throw invalidRequest(`${param ?? 'The body'} is not valid: ${why}.`, param);
}

/** Where an issue is; of names that are not known the first. */
function placeOf({ path, ...issue }: z.core.$ZodIssue): string {
  const inner =
    issue.code === 'invalid_union' ? issue.errors.flat().find(({ code }) => code === 'unrecognized_keys') : undefined;
  if (inner) return [...path, placeOf(inner)].join('.');
  return [...path, ...(issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [])].join('.');
}

function isRecordOf(value: unknown, type: 'string' | 'number'): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === type);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isInput(value: unknown): boolean {
  if (typeof value === 'string') return value !== '';
  if (isTokenIds(value)) return true;
  if (!hasLength(value, MOST_INPUTS)) return false;
  return value.every((item) => typeof item === 'string' && item !== '') || value.every(isTokenIds);
}

function isTokenIds(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isInteger(id) && id >= 0);
}

function hasLength(value: unknown, most: number): value is unknown[] {
  return Array.isArray(value) && value.length >= 1 && value.length <= most;
}
