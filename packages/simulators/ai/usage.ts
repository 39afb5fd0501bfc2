/** What counts as a token here: four bytes of UTF-8, rounded up for each text. Real providers count differently. */

const BYTES_PER_TOKEN = 4;

/** Tokens of one text: its UTF-8 bytes divided by four, rounded up. */
export function countTokens(text: string): number {
  return tokensOfBytes(Buffer.byteLength(text));
}

/** Tokens of a text of so many bytes. */
export function tokensOfBytes(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** Splits a text into pieces of one token each (a piece may be shorter, never inside a character). */
export function splitTokens(text: string): string[] {
  const pieces: string[] = [];
  let piece = '';
  let bytes = 0;
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > BYTES_PER_TOKEN) {
      pieces.push(piece);
      piece = '';
      bytes = 0;
    }
    piece += character;
    bytes += size;
  }
  return piece === '' ? pieces : [...pieces, piece];
}

/** The longest beginning of a text that is at most so many tokens. */
export function cutToTokens(text: string, tokens: number): string {
  let end = 0;
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > tokens * BYTES_PER_TOKEN) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** A text of exactly so many tokens. */
export function textOfTokens(tokens: number): string {
  return 'word '.repeat(Math.ceil((tokens * BYTES_PER_TOKEN) / 5)).slice(0, tokens * BYTES_PER_TOKEN);
}

/** The usage object of chat completions; `visible` and `reasoning` add up to the completion's tokens. */
export function chatUsage(prompt: number, visible: number, reasoning: number, cached: number) {
  return {
    prompt_tokens: prompt,
    completion_tokens: visible + reasoning,
    total_tokens: prompt + visible + reasoning,
    prompt_tokens_details: { cached_tokens: Math.min(cached, prompt), audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
