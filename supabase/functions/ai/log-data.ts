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
  ...['choices', 'stream_options'],
]);

/** How much of what is asked and answered a workspace has in its log: the enum `ai_log_content`. */
export type LogContent = 'none' | 'metadata' | 'full';

/** The part of a request or answer that the log keeps; undefined where it keeps none. Data URLs are cut to their type. */
export function toLogData(value: unknown, content: LogContent): unknown {
  if (content === 'none') return undefined;
  const stored = toStored(content === 'full' ? value : toMetadata(value), 0);
  const json = JSON.stringify(stored) ?? 'null';
  if (json.length <= LARGEST_SENT) return stored;
  return { truncated: true, characters: json.length, begins: json.slice(0, LARGEST_SENT).toWellFormed() };
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

function toStored(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return toStoredText(value);
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (depth >= DEEPEST_LOGGED) return '(nested deeper)';
  if (Array.isArray(value)) return value.map((item) => toStored(item, depth + 1));
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [toStoredText(key), toStored(item, depth + 1)]));
}

function toStoredText(text: string): string {
  const file = text.match(DATA_URL);
  return toStorable(file ? `data:${file[1]},… (${text.length} characters)` : text);
}
