/** Counts tokens where a provider reports none. */
import type { Count } from './usage.ts';

/** Texts beyond this are estimated: counting them would take the platform's CPU time (2 s). */
const MOST_COUNTED = 400_000;
/** Bytes of English text to a token, as OpenAI's help centre gives it (about 4 characters). */
export const BYTES_OF_A_TOKEN = 4;

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
  return { tokens: texts.reduce((sum, text) => sum + count(text, asText), 0), isCounted: true };
}

/** Bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
