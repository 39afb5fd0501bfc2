/** JSON from outside, of a size and depth that everything after can walk. */
import { invalidRequest } from './errors.ts';

/** Bodies nested deeper are refused: no API has such, and everything that walks them would run out of stack. */
const DEEPEST_BODY = 100;
/** Values (and names) of a body; the largest honest one is a list of 300,000 token ids. */
const MOST_VALUES = 500_000;
/** Texts and names of a body: each is work to parse, a name (there may be as many different ones) most of all. */
const MOST_STRINGS = 100_000;
const [QUOTE, COMMA, OPENING_BRACKET, CLOSING_BRACKET, OPENING_BRACE, CLOSING_BRACE] = [
  0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d,
];

/**
 * Reads a body's JSON. Throws 400 `invalid_request` for what is no JSON, is nested deeper than 100 levels, or holds more
 * than 500,000 values or 100,000 texts and names.
 */
export function parseJson(text: string): unknown {
  checkSize(text);
  try {
    return JSON.parse(text);
  } catch {
    throw invalidRequest('The body must be JSON.');
  }
}

/** Counts without parsing, for parsing is what costs: a value begins after each of `[`, `{` and `,` outside of strings. */
function checkSize(text: string): void {
  let strings = 0;
  let values = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      strings += 1;
      if (strings > MOST_STRINGS) throw invalidRequest(`The body holds more than ${MOST_STRINGS} texts and names.`);
      at = endOfString(text, at);
      if (at === -1) return; // it is no JSON
      continue;
    }
    if (code === CLOSING_BRACKET || code === CLOSING_BRACE) depth -= 1;
    const isOpening = code === OPENING_BRACKET || code === OPENING_BRACE;
    if (isOpening) depth += 1;
    if (depth > DEEPEST_BODY) throw invalidRequest(`The body is nested deeper than ${DEEPEST_BODY} levels.`);
    if (isOpening || code === COMMA) values += 1;
    if (values > MOST_VALUES) throw invalidRequest(`The body holds more than ${MOST_VALUES} values.`);
  }
}

function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at - 1;
    while (text.charCodeAt(before) === 0x5c) before -= 1;
    if ((at - before) % 2 === 1) return at;
  }
  return -1;
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
