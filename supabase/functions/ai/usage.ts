/** Token counts: what the provider reports, in one shape; and what to assume where it reports nothing. */

/** Tokens of a call. `prompt` includes `cached`, `completion` includes reasoning. */
export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
}

/** Counts above this are nonsense and would not fit the log's integer columns. */
const MOST_TOKENS = 1_000_000_000;
/** What an image part is assumed to cost at most, in tokens. */
const TOKENS_OF_AN_IMAGE = 4_000;
/** A message's role and separators, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;

/**
 * Reads a `usage` object; undefined where there is none.
 * Some providers leave thinking tokens out of `completion_tokens` and only in the total (Gemini), so output is the
 * greater of `completion_tokens` and `total_tokens - prompt_tokens`.
 */
export function readUsage(usage: unknown): Usage | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const counts = usage as Record<string, unknown>;
  if (typeof counts.prompt_tokens !== 'number' && typeof counts.completion_tokens !== 'number') return undefined;
  const details = (counts.prompt_tokens_details ?? {}) as Record<string, unknown>;
  const prompt = tokenCount(counts.prompt_tokens);
  return {
    prompt,
    cached: Math.min(tokenCount(details.cached_tokens), prompt),
    completion: Math.max(tokenCount(counts.completion_tokens), tokenCount(counts.total_tokens) - prompt),
  };
}

function tokenCount(value: unknown): number {
  return typeof value === 'number' && value > 0 ? Math.min(Math.ceil(value), MOST_TOKENS) : 0;
}

/** The most tokens a request's input can be: a token is a byte at least, but for images, which have a price of their own. */
export function mostInputTokens(request: { messages: unknown[] } & Record<string, unknown>): number {
  const { messages, tools, functions, response_format } = request;
  const { bytes, images } = weigh([messages, tools, functions, response_format]);
  return Math.min(bytes + images * TOKENS_OF_AN_IMAGE + messages.length * TOKENS_OF_A_MESSAGE, MOST_TOKENS);
}

/** Usage of a call whose provider reported none: four bytes to a token, as English text has. */
export function estimateUsage(input: unknown, output: string): Usage {
  const { bytes, images } = weigh(input);
  return {
    prompt: Math.ceil(bytes / 4) + images * TOKENS_OF_AN_IMAGE,
    cached: 0,
    completion: Math.ceil(utf8Length(output) / 4),
  };
}

/** Bytes of all text in a value, and how many image parts it holds (`image_url`, whose own length says nothing). */
function weigh(value: unknown): { bytes: number; images: number } {
  if (typeof value === 'string') return { bytes: utf8Length(value), images: 0 };
  if (typeof value !== 'object' || value === null) return { bytes: 8, images: 0 };
  const sum = { bytes: 0, images: 0 };
  for (const [key, item] of Object.entries(value)) {
    const weight = key === 'image_url' ? { bytes: 0, images: 1 } : weigh(item);
    sum.bytes += weight.bytes + (Array.isArray(value) ? 0 : key.length);
    sum.images += weight.images;
  }
  return sum;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
