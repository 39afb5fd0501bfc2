/** What a caller may send to chat completions, parsed once at the door. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { invalidRequest } from '../_shared/errors.ts';

/** Bodies above this are refused, bytes. */
const LARGEST_BODY = 20 * 1024 * 1024;

/** Bodies nested deeper are refused: no API has such, and everything that walks them would run out of stack. */
const DEEPEST_BODY = 100;

const count = z.int().min(1).max(1_000_000_000).nullish();

/** Only the fields we use; all others, known today or not, pass through untouched. */
const chatRequest = z.looseObject({
  model: z.string().min(1).max(200),
  messages: z.array(z.looseObject({ role: z.string() })).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: count,
  max_completion_tokens: count,
  n: z.int().min(1).max(128).nullish(),
});

/** A chat completion request whose used fields are valid. */
export type ChatRequest = z.infer<typeof chatRequest>;

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

/** Reads and validates a chat request. Throws 400 `invalid_request` that names the field. */
export async function readChatRequest(request: Request): Promise<ChatRequest> {
  const body = await readJson(request);
  if (isDeeperThan(DEEPEST_BODY, body)) throw invalidRequest(`The body is nested deeper than ${DEEPEST_BODY} levels.`);
  const parsed = chatRequest.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') || null;
  throw invalidRequest(`${param ?? 'The body'} is not valid: ${issue?.message ?? 'it does not fit'}.`, param);
}

async function readJson(request: Request): Promise<unknown> {
  if (Number(request.headers.get('content-length')) > LARGEST_BODY) throw tooLarge();
  const body = await request.text().catch(() => {
    throw invalidRequest('The body could not be read.');
  });
  if (body.length > LARGEST_BODY) throw tooLarge();
  try {
    return JSON.parse(body);
  } catch {
    throw invalidRequest('The body must be JSON.');
  }
}

function isDeeperThan(levels: number, value: unknown): boolean {
  let level = [value];
  for (let depth = 0; depth <= levels && level.length > 0; depth += 1) {
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return level.length > 0;
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

function isScene(text: string): text is (typeof SCENES)[number] {
  return (SCENES as readonly string[]).includes(text);
}

function shortHeader(headers: Headers, name: string): string | undefined {
  return headers.get(name)?.slice(0, 500).toWellFormed() || undefined;
}
