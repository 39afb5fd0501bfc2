/** Counts tokens where a provider reports none. */
import type { Count } from './input.ts';

/** Texts beyond this are estimated: counting them would take the platform's CPU time (2 s). */
const MOST_COUNTED = 400_000;
/** Bytes of English text to a token, as OpenAI's help centre gives it (about 4 characters). */
export const BYTES_OF_A_TOKEN = 4;

/** A tokenizer's time grows with the square of the longest stretch without a break, so longer ones are cut to pieces. */
const LONGEST_STRETCH = 400;
const PIECE_OF_A_STRETCH = 200;
/** Characters that are counted at a time; then other requests have their turn. */
const TURN = 16_384;

/** How many tokens texts are, and whether they were counted (with GPT-4o's encoding) or estimated. */
export async function countTokens(texts: string[]): Promise<Count> {
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  if (length > MOST_COUNTED) {
    return {
      tokens: texts.reduce((sum, text) => sum + Math.ceil(utf8Length(text) / BYTES_OF_A_TOKEN), 0),
      isCounted: false,
    };
  }
  // Loaded when it is first needed: its 2 MB are not for every start of the function.
  const { countTokens: count } = await import('gpt-tokenizer/encoding/o200k_base');
  // Special tokens in a text are text: it is the caller's, not the protocol's.
  const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };
  let tokens = 0;
  let sinceTurn = 0;
  for (const piece of texts.flatMap(piecesOf)) {
    if (sinceTurn + piece.length > TURN) {
      sinceTurn = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    sinceTurn += piece.length;
    tokens += count(piece, asText);
  }
  return { tokens, isCounted: true };
}

/** A text in pieces that are counted in a moment each. A cut costs a token at most. */
function piecesOf(text: string): string[] {
  const size = longestStretch(text) > LONGEST_STRETCH ? PIECE_OF_A_STRETCH : TURN;
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size));
  return pieces;
}

/** The most characters in a row that are all spaces, or none. */
function longestStretch(text: string): number {
  let longest = 0;
  let start = 0;
  for (let at = 1; at <= text.length; at += 1) {
    if (at < text.length && isSpace(text, at) === isSpace(text, start)) continue;
    longest = Math.max(longest, at - start);
    start = at;
  }
  return longest;
}

function isSpace(text: string, at: number): boolean {
  return /\s/.test(text.charAt(at));
}

/** Bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
