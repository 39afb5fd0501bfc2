/** What of a request and an answer goes into the log: what jsonb can hold, and what the workspace wants kept. */
import { toStorable } from '../_shared/text.ts';

/** JSON beyond this is cut before it is sent to Postgres, which keeps less; characters. */
const LARGEST_SENT = 256 * 1024;
/** What is nested deeper is left out: Postgres and JSON.stringify have a limit each, and no answer needs it. */
const DEEPEST_LOGGED = 100;
/** Of bounded length: a longer head is no file's, and looking for its end would take a time that grows with its square. */
const DATA_URL = /^data:([^;,]{0,100})[^,]{0,100};base64,/;
/** Texts of requests and answers that are settings or ids, and not what somebody said. */
const SETTINGS = new Set([
  ...['model', 'id', 'object', 'reasoning_effort', 'service_tier', 'system_fingerprint', 'encoding_format'],
  ...['size', 'quality', 'background', 'output_format', 'response_format', 'moderation', 'finish_reason', 'type'],
]);
/** Objects and lists that hold nothing but counts and settings. */
const COUNTS = new Set([
  ...['usage', 'prompt_tokens_details', 'completion_tokens_details', 'input_tokens_details', 'output_tokens_details'],
  ...['prompt_token_details', 'input_token_details', 'cache_creation', 'cache_write_tokens_details'],
  ...['server_tool_use', 'server_tool_use_details', 'choices', 'stream_options'],
]);

/** How much of what is asked and answered a workspace has in its log: the enum `ai_log_content`. */
export type LogContent = 'none' | 'metadata' | 'full';

/** The part of a request or answer that the log keeps; undefined where it keeps none. Data URLs are cut to their type. */
export function toLogData(value: unknown, content: LogContent): unknown {
  if (content === 'none') return undefined;
  const kept = content === 'full' ? value : toMetadata(value);
  const room = { left: LARGEST_SENT };
  const stored = toStored(kept, 0, room);
  const json = JSON.stringify(stored) ?? 'null';
  if (room.left >= 0 && json.length <= LARGEST_SENT) return stored;
  const begins = json.slice(0, LARGEST_SENT).toWellFormed();
  return { truncated: true, characters: Math.max(json.length, lengthOf(kept)), begins };
}

/** Characters of JSON; 0 where it is nested too deep for that. */
function lengthOf(value: unknown): number {
  try {
    return JSON.stringify(value).length;
  } catch {
    return 0;
  }
}

/** The settings and counts of an object: numbers, flags, known words; of everything else how much there was. */
function toMetadata(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return null;
  if (Array.isArray(value)) return value.map(toMetadata);
  return Object.fromEntries(Object.entries(value).flatMap(([key, item]) => metadataOf(key, item)));
}

function metadataOf(key: string, item: unknown): [string, unknown][] {
  if (typeof item === 'number' || typeof item === 'boolean') return [[key, item]];
  if (typeof item === 'string') return SETTINGS.has(key) ? [[key, item.slice(0, 200)]] : [];
  if (COUNTS.has(key)) return [[key, toMetadata(item)]];
  return Array.isArray(item) ? [[key, { items: item.length }]] : [];
}

/** A value as jsonb can hold it, no further than there is room: what is not kept is not worked on. */
function toStored(value: unknown, depth: number, room: { left: number }): unknown {
  room.left -= 2;
  if (typeof value === 'string') return withinRoom(toStoredText(value, room.left), room);
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (depth >= DEEPEST_LOGGED) return '(nested deeper)';
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (const item of value) if (room.left >= 0) items.push(toStored(item, depth + 1, room));
    return items;
  }
  const entries: [string, unknown][] = [];
  for (const key in value) {
    if (room.left < 0) break;
    const item = (value as Record<string, unknown>)[key];
    if (item === undefined) continue;
    entries.push([withinRoom(toStoredText(key, room.left), room), toStored(item, depth + 1, room)]);
  }
  return Object.fromEntries(entries);
}

function withinRoom(text: string, room: { left: number }): string {
  room.left -= text.length;
  return text;
}

function toStoredText(text: string, room: number): string {
  const file = text.match(DATA_URL);
  if (file) return toStorable(`data:${file[1]},… (${text.length} characters)`);
  return toStorable(text.slice(0, Math.max(room, 0) + 1));
}
