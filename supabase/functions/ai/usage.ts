/** What a call used: by its provider's word, and by what was sent and written. */
import type { Count } from './input.ts';
import type { Pools, Reported } from './pools.ts';
import { BYTES_OF_A_TOKEN, countTokens, utf8Length } from './tokenizer.ts';

/** What a call used. `prompt` includes `cached`, `completion` includes reasoning. */
export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
  /** What of these is priced apart, and at which service tier. */
  pools?: Pools;
  /** Where the counts are from: the enum `ai_usage_source`. */
  source: 'reported' | 'counted' | 'estimated' | 'none';
  /** Output that was seen to be written, in tokens: what a provider says is bounded, and this is not. */
  written?: number;
}

/** What a call used that came to nothing. */
export const NOTHING_USED: Usage = { prompt: 0, cached: 0, completion: 0, source: 'none' };

/**
 * What a call used: what the provider reported where that is its last word, else the greater of it and of what was
 * written. Counts it leaves out are counted. `tier` is the service tier that it named.
 */
export async function usageOf(
  reported: Reported | undefined,
  isLastWord: boolean,
  input: () => Promise<Count>,
  output: string,
  tier?: string,
): Promise<Usage> {
  let { prompt, completion } = reported ?? {};
  const counts: Count[] = [];
  if (prompt === undefined || (prompt === 0 && !isLastWord)) {
    const counted = await input();
    prompt = Math.min(counted.tokens, reported?.total ?? counted.tokens);
    // Only how the total splits is a guess.
    if (reported?.total === undefined) counts.push(counted);
    else completion = reported.total - prompt;
  }
  const isSplit = reported?.total !== undefined && reported.completion === undefined;
  // A token is a byte at least.
  if (completion === undefined || isSplit || (!isLastWord && completion < utf8Length(output))) {
    const counted = await countTokens([output]);
    if (output !== '' && counted.tokens > (completion ?? 0)) counts.push(counted);
    completion = Math.max(completion ?? 0, counted.tokens);
  }
  const source =
    counts.length === 0 && reported ? 'reported' : counts.every((one) => one.isCounted) ? 'counted' : 'estimated';
  const written = source === 'reported' ? Math.ceil(utf8Length(output) / BYTES_OF_A_TOKEN) : completion;
  const pools = { ...reported?.pools, ...(tier ? { service_tier: tier } : {}) };
  return { prompt, cached: Math.min(reported?.cached ?? 0, prompt), completion, pools, source, written };
}

/** What two tries of a call used together; no count is surer than the less sure of the two. */
export function sumOf(one: Usage, other: Usage): Usage {
  const surest: Usage['source'][] = ['none', 'reported', 'counted', 'estimated'];
  const pools: Record<string, unknown> = { ...one.pools };
  for (const [name, count] of Object.entries(other.pools ?? {})) {
    pools[name] = typeof count === 'number' ? Number(pools[name] ?? 0) + count : count;
  }
  return {
    prompt: one.prompt + other.prompt,
    cached: one.cached + other.cached,
    completion: one.completion + other.completion,
    written: (one.written ?? 0) + (other.written ?? 0),
    pools,
    source: surest[Math.max(surest.indexOf(one.source), surest.indexOf(other.source))] ?? 'estimated',
  };
}
