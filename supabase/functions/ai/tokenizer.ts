/**
 * Counts tokens where a provider reports none, as GPT-4o's encoding has them: from each place the longest text that is one
 * token. A text's characters are looked at a bounded number of times, whatever it is.
 */
import type { Count } from './input.ts';

/** Bytes of English text to a token, as OpenAI's help centre gives it (about 4 characters). */
export const BYTES_OF_A_TOKEN = 4;

/** Size of the table (token-table.ts): 21 bits for each token; of other texts one in ten thousand passes for one. */
export const TABLE_BITS = 2 ** 22;
const BITS_OF_A_TOKEN = 8;
/** Longer tokens are few, and most of them are rows of spaces; characters. */
export const LONGEST_TOKEN = 20;
const LONGEST_ROW = 80;

/** Of longer texts so much is counted, in stretches from all over them, and the rest is taken to be alike; characters. */
const MOST_COUNTED = 100_000;
const STRETCH = 4_000;
/** Characters that are counted at a time; then other requests have their turn. */
const TURN = 50_000;

let table: Promise<Uint8Array> | undefined;

/** How many tokens texts are, and whether they were counted or estimated from a part of them. */
export async function countTokens(texts: string[]): Promise<Count> {
  // Loaded when it is first needed: it is not for every start of the function.
  table ??= import('./token-table.ts').then(({ TOKEN_TABLE }) => bytesOf(TOKEN_TABLE));
  const bits = await table;
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  if (length > MOST_COUNTED) {
    const sample = sampleOf(texts, length);
    const { tokens } = await countTokens(sample);
    const share = sample.reduce((sum, text) => sum + text.length, 0) / length;
    return { tokens: Math.ceil(tokens / share), isCounted: false };
  }
  let tokens = 0;
  let sinceTurn = 0;
  for (const text of texts) {
    for (let at = 0; at < text.length; at += TURN) {
      const piece = text.slice(at, at + TURN);
      sinceTurn += piece.length;
      if (sinceTurn > TURN) {
        sinceTurn = piece.length;
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      tokens += tokensIn(piece, bits);
    }
  }
  return { tokens, isCounted: true };
}

/** Stretches from all over a long list of texts; they are not put together first, for that is work for each character. */
function sampleOf(texts: string[], length: number): string[] {
  const stretches = MOST_COUNTED / STRETCH;
  const step = (length - STRETCH) / (stretches - 1);
  const sample: string[] = [];
  let start = 0;
  let from = 0;
  let stretch = '';
  for (const text of texts) {
    // A text may be part of one stretch, or hold several.
    while (sample.length < stretches) {
      const at = Math.max(from - start, 0);
      if (at >= text.length) break;
      stretch += text.slice(at, at + STRETCH - stretch.length);
      if (stretch.length < STRETCH) break;
      sample.push(stretch);
      stretch = '';
      from = Math.floor(sample.length * step);
    }
    start += text.length;
  }
  return sample;
}

function tokensIn(text: string, bits: Uint8Array): number {
  let tokens = 0;
  for (let at = 0; at < text.length; ) {
    const length = longestToken(text, at, bits);
    tokens += length > 0 ? 1 : tokensOfCharacter(text.charCodeAt(at));
    at += length === LONGEST_TOKEN ? lengthOfRow(text, at) : Math.max(length, 1);
  }
  return tokens;
}

/** How long the longest token is that begins at a place of a text; 0 where even its first character is none. */
function longestToken(text: string, at: number, bits: Uint8Array): number {
  const most = Math.min(LONGEST_TOKEN, text.length - at);
  let [first, second] = START;
  let longest = 0;
  for (let length = 1; length <= most; length += 1) {
    const code = text.charCodeAt(at + length - 1);
    first = mixFirst(first, code);
    second = mixSecond(second, code);
    if (isInTable(first, second, bits)) longest = length;
  }
  return longest;
}

/** How far a row of one character goes that begins like a token, up to what is one token. */
function lengthOfRow(text: string, at: number): number {
  let length = LONGEST_TOKEN;
  if (text.slice(at, at + length) !== text.charAt(at).repeat(length)) return length;
  while (length < LONGEST_ROW && text.charCodeAt(at + length) === text.charCodeAt(at)) length += 1;
  return length;
}

/** Of a character that is no token: as many as it has bytes, but for emoji (whose second half counts nothing). */
function tokensOfCharacter(code: number): number {
  if (code >= 0xdc00 && code <= 0xdfff) return 0;
  if (code >= 0xd83c && code <= 0xd83e) return 2;
  return code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
}

/** The places in the table that stand for a text. */
export function bitsOf(text: string): number[] {
  let [first, second] = START;
  for (let at = 0; at < text.length; at += 1) {
    first = mixFirst(first, text.charCodeAt(at));
    second = mixSecond(second, text.charCodeAt(at));
  }
  return Array.from({ length: BITS_OF_A_TOKEN }, (_, index) => bitOf(spread(first), spread(second), index));
}

// Two hashes that grow with a text, so that all beginnings of a stretch are looked up in one go over it.
const START: readonly [number, number] = [0x2545f491, 0x1b873593];
const mixFirst = (hash: number, code: number) => Math.imul(hash ^ code, 0x01000193);
const mixSecond = (hash: number, code: number) => Math.imul(hash + code, 0x85ebca6b) ^ (hash >>> 13);
/** Spreads what a hash knows over all its bits (the last step of MurmurHash3). */
const spread = (hash: number) => {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
};
const bitOf = (first: number, second: number, index: number) => (first + Math.imul(index, second)) >>> 10;

function isInTable(firstHash: number, secondHash: number, bits: Uint8Array): boolean {
  const first = spread(firstHash);
  if (!isSet(bits, first >>> 10)) return false; // as most are
  const second = spread(secondHash);
  for (let index = 1; index < BITS_OF_A_TOKEN; index += 1) if (!isSet(bits, bitOf(first, second, index))) return false;
  return true;
}

function isSet(bits: Uint8Array, bit: number): boolean {
  return ((bits[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
}

function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** Bytes of a text in UTF-8. Short ones are counted here: encoding each of many would take longer. */
export function utf8Length(text: string): number {
  if (text.length > 200) return encoder.encode(text).length;
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x80) continue;
    // Each half of a pair is two of its four bytes; a half alone is encoded in three.
    const isPair = isHigh(code) ? isLow(text.charCodeAt(at + 1)) : isLow(code) && isHigh(text.charCodeAt(at - 1));
    bytes += code < 0x800 || isPair ? 1 : 2;
  }
  return bytes;
}

const encoder = new TextEncoder();
const isHigh = (code: number) => code >= 0xd800 && code < 0xdc00;
const isLow = (code: number) => code >= 0xdc00 && code < 0xe000;
