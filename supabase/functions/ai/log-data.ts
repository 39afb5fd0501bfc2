/** What of a request and an answer goes into the log: what jsonb can hold, without embedded files, of bounded size. */

/** JSON beyond this is left out of the log, characters. */
const LARGEST_LOGGED = 256 * 1024;
const DATA_URL = /^data:([^;,]*)[^,]*;base64,/;
/** jsonb has no NUL character. */
const NUL = String.fromCharCode(0);

/** A copy of a JSON value that Postgres can store; data URLs are cut to their type. */
export function toLogData(value: unknown): unknown {
  const text = JSON.stringify(value, (_key, item) => (typeof item === 'string' ? toStoredText(item) : item));
  if (text === undefined) return null;
  return text.length <= LARGEST_LOGGED ? JSON.parse(text) : { omitted: `${text.length} characters of JSON` };
}

function toStoredText(text: string): string {
  const file = text.match(DATA_URL);
  if (file) return `data:${file[1]},… (${text.length} characters)`;
  return text.toWellFormed().replaceAll(NUL, '\uFFFD');
}
