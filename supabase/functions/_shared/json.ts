/** JSON from outside, of a depth that everything after can walk. */
import { invalidRequest } from './errors.ts';

/** Bodies nested deeper are refused: no API has such, and everything that walks them would run out of stack. */
const DEEPEST_BODY = 100;

/** Reads a body's JSON. Throws 400 `invalid_request` for what is no JSON or nested deeper than 100 levels. */
export function parseJson(text: string): unknown {
  const body = parse(text);
  if (isDeeperThan(DEEPEST_BODY, body)) throw invalidRequest(`The body is nested deeper than ${DEEPEST_BODY} levels.`);
  return body;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
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
