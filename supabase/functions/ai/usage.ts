/** Token counts: what the provider reports, in one shape; and what to assume where it reports nothing. */

/** Tokens of a call. `prompt` includes `cached`, `completion` includes reasoning. */
export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
}

/** Counts above this are nonsense and would not fit the log's integer columns. */
const MOST_TOKENS = 1_000_000_000;
/** What an image part is assumed to cost at most, in tokens: its bytes say nothing about it. */
const TOKENS_OF_AN_IMAGE = 4_000;
/** A message's role and separators, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;
const DATA_URL = /^data:[^,]*,/;

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

/** The most tokens a request's input can be: a token is a byte at least; embedded files count as images do. */
export function mostInputTokens(request: { messages: unknown[] } & Record<string, unknown>): number {
  const { messages, tools, functions, response_format } = request;
  const { bytes, files } = weigh([messages, tools, functions, response_format]);
  return bytes + files * TOKENS_OF_AN_IMAGE + messages.length * TOKENS_OF_A_MESSAGE;
}

/** Usage of a call whose provider reported none: four bytes to a token, as English text has. */
export function estimateUsage(input: unknown, output: string): Usage {
  const { bytes, files } = weigh(input);
  return {
    prompt: Math.ceil(bytes / 4) + files * TOKENS_OF_AN_IMAGE,
    cached: 0,
    completion: Math.ceil(utf8Length(output) / 4),
  };
}

/** Bytes of all text in a value, and how many files (image parts, data URLs) it holds. */
function weigh(value: unknown): { bytes: number; files: number } {
  if (typeof value === 'string')
    return DATA_URL.test(value) ? { bytes: 0, files: 1 } : { bytes: utf8Length(value), files: 0 };
  if (typeof value !== 'object' || value === null) return { bytes: value === undefined ? 0 : 8, files: 0 };
  const sum = { bytes: 0, files: 'image_url' in value && !hasDataUrl(value.image_url) ? 1 : 0 };
  for (const [key, item] of Object.entries(value)) {
    const weight = weigh(item);
    sum.bytes += weight.bytes + (Array.isArray(value) ? 0 : key.length);
    sum.files += weight.files;
  }
  return sum;
}

function hasDataUrl(image: unknown): boolean {
  const url = typeof image === 'object' && image !== null && 'url' in image ? image.url : image;
  return typeof url === 'string' && DATA_URL.test(url);
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
