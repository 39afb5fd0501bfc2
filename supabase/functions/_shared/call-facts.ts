/** What the headers of a paid call say of it: for the log, for which team, and whether it is a repeated one. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { invalidRequest } from './errors.ts';
import { sha256 } from './hash.ts';

/** Scenes that `x-ai-scene` may name: the enum `ai_usage_scene`. */
const SCENES = ['text_chat', 'embedding', 'image_generation', 'video_generation', 'session_analysis', 'other'] as const;

/** Facts of a call for its log row, named as the columns are. */
export interface CallDetails {
  scene?: (typeof SCENES)[number];
  scene_description?: string;
  reference_id?: string;
  conversation_id?: string;
  ip_address?: string;
  user_agent?: string;
}

/** What a request says about itself besides its body; the hash tells a repeated request from another one. */
export interface Repeatable {
  idempotency_key?: string;
  request_hash?: string;
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

/** Reads `x-workspace-id`, for which team a call is; nothing without it. Throws 400 `invalid_request` for what is no UUID. */
export function readWorkspace(headers: Headers): string | undefined {
  const id = headers.get('x-workspace-id') || undefined;
  if (id !== undefined && !z.guid().safeParse(id).success) {
    throw invalidRequest('x-workspace-id must be a UUID.', 'x-workspace-id');
  }
  return id;
}

/**
 * Reads `Idempotency-Key`; nothing without it. `text` is what makes a request the same as another one. Throws 400
 * `invalid_request` for a key above 255 characters.
 */
export function readIdempotencyKey(http: Request, text: string): Repeatable {
  const key = http.headers.get('idempotency-key');
  if (!key) return {};
  if (key.length > 255) throw invalidRequest('Idempotency-Key has more than 255 characters.', 'idempotency-key');
  return { idempotency_key: key, request_hash: sha256(`${new URL(http.url).pathname}\n${text}`) };
}

function isScene(text: string): text is (typeof SCENES)[number] {
  return (SCENES as readonly string[]).includes(text);
}

function shortHeader(headers: Headers, name: string): string | undefined {
  return headers.get(name)?.slice(0, 500).toWellFormed() || undefined;
}
