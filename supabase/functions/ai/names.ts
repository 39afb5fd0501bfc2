/** Names in answers: a model answers under the name that the caller asked for, not under its provider's. */
import { Buffer } from 'node:buffer';
import type { Loose } from './answer.ts';

/** Who gives answers, where a gateway names the provider that it asked. */
export const OWNER = 'basemeter';
/** The longest value that is looked at, bytes. A model's name has 200 characters at most. */
const LONGEST_VALUE = 1_000;

/**
 * Has each `"field": "from"` of a JSON text say `to` in its place. In bytes, and nothing else is touched, for an answer may
 * be large; within a text of the answer the quotes would be escaped.
 */
export function renamed(
  bytes: Uint8Array<ArrayBuffer>,
  field: string,
  from: unknown,
  to: string,
): Uint8Array<ArrayBuffer> {
  if (typeof from !== 'string' || from === to) return bytes;
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const key = JSON.stringify(field);
  const parts: Uint8Array[] = [];
  let end = 0;
  for (let at = source.indexOf(key); at !== -1; at = source.indexOf(key, at + key.length)) {
    const after = source.toString('latin1', at + key.length, at + key.length + LONGEST_VALUE);
    const [, colon, value] = after.match(/^(\s*:\s*)("(?:[^"\\]|\\.)*")/) ?? [];
    if (colon === undefined || value === undefined) continue;
    const start = at + key.length + colon.length;
    if (textOf(Buffer.from(value, 'latin1')) !== from) continue;
    parts.push(source.subarray(end, start), Buffer.from(JSON.stringify(to)));
    end = start + value.length;
  }
  if (parts.length === 0) return bytes;
  parts.push(source.subarray(end));
  return new Uint8Array(Buffer.concat(parts));
}

/** The bytes of an answer, or of an event of one, that names `model` where it named the provider's own. */
export function underName(bytes: Uint8Array<ArrayBuffer>, answer: Loose, model: string): Uint8Array<ArrayBuffer> {
  return renamed(renamed(bytes, 'model', answer.model, model), 'provider', answer.provider, OWNER);
}

/** What `underName` does, of an answer that was read. */
export function named(answer: Loose, model: string): Loose {
  return {
    ...answer,
    ...(answer.model === undefined ? {} : { model }),
    ...(answer.provider === undefined ? {} : { provider: OWNER }),
  };
}

function textOf(json: Buffer): string | undefined {
  try {
    return JSON.parse(json.toString());
  } catch {
    return undefined;
  }
}
