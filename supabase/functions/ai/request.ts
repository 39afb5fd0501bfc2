/** What callers may send, parsed once at the door. Only the fields we use; all others pass through untouched. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { sha256 } from '../_shared/auth.ts';
import { invalidRequest } from '../_shared/errors.ts';
import { parseJson } from '../_shared/json.ts';

/** Bodies above this are refused, bytes. */
const LARGEST_BODY = 20 * 1024 * 1024;

const model = z.string().min(1).max(200);
const count = z.int().min(1).max(1_000_000_000).nullish();
const tokenIds = z.array(z.int().min(0)).min(1);

/** A chat completion. */
export const chatRequest = z.looseObject({
  model,
  messages: z.array(z.looseObject({ role: z.string() })).min(1),
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
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(2048),
    tokenIds,
    z.array(tokenIds).min(1).max(2048),
  ]),
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

/** Scenes that `x-ai-scene` may name: the enum `ai_usage_scene`. */
const SCENES = ['text_chat', 'embedding', 'image_generation', 'video_generation', 'session_analysis', 'other'] as const;

/** Facts of a call for its log row, named as the columns are. */
export interface CallDetails {
  scene?: (typeof SCENES)[number];
  scene_description?: string;
  reference_id?: string;
  ip_address?: string;
  user_agent?: string;
}

/** What a request says about itself besides its body; the hash tells a repeated request from another one. */
export interface Repeatable {
  idempotency_key?: string;
  request_hash?: string;
}

/** Reads a body's text and validates it. Throws 400 `invalid_request` that names the field. */
export async function readRequest<T>(http: Request, schema: z.ZodType<T>): Promise<{ request: T; text: string }> {
  const text = await readText(http);
  const body = parseJson(text);
  const parsed = schema.safeParse(body);
  if (parsed.success) return { request: parsed.data, text };
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') || null;
  throw invalidRequest(`${param ?? 'The body'} is not valid: ${issue?.message ?? 'it does not fit'}.`, param);
}

async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get('content-length')) > LARGEST_BODY) throw tooLarge();
  const body = await request.text().catch(() => {
    throw invalidRequest('The body could not be read.');
  });
  if (body.length > LARGEST_BODY) throw tooLarge();
  return body;
}

function tooLarge() {
  return invalidRequest(`The body is larger than ${LARGEST_BODY / 1024 / 1024} MiB.`);
}

/** Reads the headers that describe a call. Throws 400 `invalid_request` for a scene that does not exist. */
export function readCallDetails(headers: Headers): CallDetails {
  const scene = headers.get('x-ai-scene');
  if (scene !== null && !isScene(scene))
    throw invalidRequest(`x-ai-scene must be one of ${SCENES.join(', ')}.`, 'x-ai-scene');
  const address = headers.get('x-forwarded-for')?.split(',')[0]?.trim() ?? '';
  return {
    scene: scene ?? undefined,
    scene_description: shortHeader(headers, 'x-ai-scene-description'),
    reference_id: shortHeader(headers, 'x-ai-reference'),
    // Postgres' inet knows no zone (fe80::1%eth0).
    ip_address: isIP(address) && !address.includes('%') ? address : undefined,
    user_agent: shortHeader(headers, 'user-agent'),
  };
}

/** Reads `Idempotency-Key`; nothing without it. Throws 400 `invalid_request` for one above 255 characters. */
export async function readIdempotencyKey(http: Request, text: string): Promise<Repeatable> {
  const key = http.headers.get('idempotency-key');
  if (!key) return {};
  if (key.length > 255) throw invalidRequest('Idempotency-Key has more than 255 characters.', 'idempotency-key');
  return { idempotency_key: key, request_hash: await sha256(`${new URL(http.url).pathname}\n${text}`) };
}

function isScene(text: string): text is (typeof SCENES)[number] {
  return (SCENES as readonly string[]).includes(text);
}

function shortHeader(headers: Headers, name: string): string | undefined {
  return headers.get(name)?.slice(0, 500).toWellFormed() || undefined;
}
