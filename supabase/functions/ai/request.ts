/** What callers may send, parsed once at the door. Only the fields we use; all others pass through untouched. */
import { z } from 'zod';
import { readBody } from '../_shared/body.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { parseJson } from '../_shared/json.ts';

/** Bodies above this are refused, MiB. */
const LARGEST_BODY = 20;

const model = z.string().min(1).max(200);
const count = z.int().min(1).max(1_000_000_000).nullish();

/** A list whose length is checked before its items: each wrong one would cost an explanation of its own. */
const listOf = <T>(item: z.ZodType<T>, most: number) =>
  z
    .custom<unknown[]>((value) => Array.isArray(value) && value.length >= 1 && value.length <= most, {
      error: `it must be a list of 1 to ${most}`,
    })
    .pipe(z.array(item));

const isTokenId = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
const tokenIds = z.custom<number[]>((value) => Array.isArray(value) && value.length > 0 && value.every(isTokenId), {
  error: 'it must be a list of token ids',
});

/** A chat completion. */
export const chatRequest = z.looseObject({
  model,
  messages: listOf(z.looseObject({ role: z.string() }), 10_000),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: count,
  max_completion_tokens: count,
  n: z.int().min(1).max(128).nullish(),
});
export type ChatRequest = z.infer<typeof chatRequest>;

/** Embeddings of texts or of token ids. */
export const embeddingsRequest = z.looseObject({
  model,
  input: z.union([z.string().min(1), listOf(z.string().min(1), 2048), tokenIds, listOf(tokenIds, 2048)]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});
export type EmbeddingsRequest = z.infer<typeof embeddingsRequest>;

/** Images made from a prompt. */
export const imagesRequest = z.looseObject({
  model,
  prompt: z.string().min(1),
  n: z.int().min(1).max(10).nullish(),
  stream: z.literal(false, 'images come whole, not as a stream').nullish(),
});
export type ImagesRequest = z.infer<typeof imagesRequest>;

/** Reads a body's text and validates it. Throws 400 `invalid_request` that names the field. */
export async function readRequest<T>(http: Request, schema: z.ZodType<T>): Promise<{ request: T; text: string }> {
  const { text } = await readBody(http, LARGEST_BODY);
  const body = parseJson(text);
  // Passed on it would do nothing, and the personal workspace would pay.
  if (typeof body === 'object' && body !== null && 'workspace_id' in body) {
    throw invalidRequest('Name the workspace in the header x-workspace-id.', 'workspace_id');
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return { request: parsed.data, text };
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') || null;
  throw invalidRequest(`${param ?? 'The body'} is not valid: ${issue?.message ?? 'it does not fit'}.`, param);
}
