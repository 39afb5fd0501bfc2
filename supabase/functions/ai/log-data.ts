/** What of a request and an answer goes into the log: what jsonb can hold, without embedded files, of bounded size. */

/** JSON beyond this is left out of the log, characters. */
const LARGEST_LOGGED = 256 * 1024;
/** What is nested deeper is left out: Postgres and JSON.stringify have a limit each, and no answer needs it. */
const DEEPEST_LOGGED = 100;
const DATA_URL = /^data:([^;,]*)[^,]*;base64,/;
/** jsonb has no NUL character. */
const NUL = String.fromCharCode(0);

/** A copy of a JSON value that Postgres can store; data URLs are cut to their type. */
export function toLogData(value: unknown): unknown {
  const stored = toStored(value, 0);
  const size = JSON.stringify(stored)?.length ?? 0;
  return size <= LARGEST_LOGGED ? stored : { omitted: `${size} characters of JSON` };
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
  const kept = file ? `data:${file[1]},… (${text.length} characters)` : text;
  return kept.toWellFormed().replaceAll(NUL, '\uFFFD');
}
