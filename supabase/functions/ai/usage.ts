/** Token counts: what the provider reports, in one shape; and what to assume where it reports nothing. */
import type { Count } from './input.ts';
import { countTokens } from './tokenizer.ts';

/** What a call used. `prompt` includes `cached`, `completion` includes reasoning. */
export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
  /** Where the counts are from: the enum `ai_usage_source`. */
  source: 'reported' | 'counted' | 'estimated' | 'none';
}

/** What a call used that came to nothing. */
export const NOTHING_USED: Usage = { prompt: 0, cached: 0, completion: 0, source: 'none' };

/** Counts above this are nonsense, as good as none; nor would they fit the log's integer columns. */
const MOST_TOKENS = 1_000_000_000;

/**
 * Reads a `usage` object, with the names of chat and embeddings (`prompt_tokens`) or of images (`input_tokens`);
 * undefined where there is none that can be true.
 * Some providers leave thinking tokens out of `completion_tokens` and only in the total (Gemini), so output is the
 * greater of `completion_tokens` and `total_tokens - prompt_tokens`.
 */
export function readUsage(usage: unknown): Usage | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const counts = usage as Record<string, unknown>;
  const input = counts.prompt_tokens ?? counts.input_tokens;
  const output = counts.completion_tokens ?? counts.output_tokens;
  if (typeof input !== 'number' && typeof output !== 'number') return undefined;
  if ([input, output, counts.total_tokens].some((count) => Number(count) > MOST_TOKENS)) return undefined;
  const details = (counts.prompt_tokens_details ?? counts.input_tokens_details ?? {}) as Record<string, unknown>;
  const prompt = tokenCount(input);
  return {
    prompt,
    cached: Math.min(tokenCount(details.cached_tokens), prompt),
    completion: Math.max(tokenCount(output), tokenCount(counts.total_tokens) - prompt),
    source: 'reported',
  };
}

function tokenCount(value: unknown): number {
  return typeof value === 'number' && value > 0 ? Math.min(Math.ceil(value), MOST_TOKENS) : 0;
}

/** Usage of a call whose provider reported none, by its input's count and what came. */
export async function countUsage(input: Count, output: string): Promise<Usage> {
  const completion = await countTokens([output]);
  const source = input.isCounted && completion.isCounted ? 'counted' : 'estimated';
  return { prompt: input.tokens, cached: 0, completion: completion.tokens, source };
}
