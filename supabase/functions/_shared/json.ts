/** JSON from outside, of a size and depth that everything after can walk. */
import { invalidRequest } from './errors.ts';

/** Bodies nested deeper are refused: no API has such, and everything that walks them would run out of stack. */
const DEEPEST_BODY = 100;
/** Values (and names) of a body; the largest honest one is a list of 300,000 token ids. */
const MOST_VALUES = 500_000;

/**
 * Reads a body's JSON. Throws 400 `invalid_request` for what is no JSON, is nested deeper than 100 levels, or holds more
 * than 500,000 values.
 */
export function parseJson(text: string): unknown {
  const body = parse(text);
  checkShape(body);
  return body;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidRequest('The body must be JSON.');
  }
}

/** Level by level, and no further than the limits: what a body costs before it is refused is bounded as well. */
function checkShape(body: unknown): void {
  let values = 0;
  let level = [body];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEEPEST_BODY) throw invalidRequest(`The body is nested deeper than ${DEEPEST_BODY} levels.`);
    const below: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      const children = Array.isArray(item) ? item : Object.values(item);
      values += children.length;
      if (values > MOST_VALUES) throw invalidRequest(`The body holds more than ${MOST_VALUES} values.`);
      for (const child of children) below.push(child);
    }
    level = below;
  }
}

/** JSON with each of its texts and names as `clean` makes them, after parsing: escapes hide nothing. Cut where it is too deep. */
export function cleanJson(value: unknown, clean: (text: string) => string, depth = 0): unknown {
  if (typeof value === 'string') return clean(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === DEEPEST_BODY) return { truncated: true };
  if (Array.isArray(value)) return value.map((item) => cleanJson(item, clean, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [clean(name), cleanJson(item, clean, depth + 1)]),
  );
}
