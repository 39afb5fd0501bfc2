/** What an answer says was used: pools of tokens that exclude each other, whichever dialect it is in. */
import { type Loose, objectIn, objectsIn } from './answer.ts';

/** Counts above this are cut to it: no call has more, and the log and the rpc's parameters hold it. */
export const MOST_TOKENS = 1_000_000_000;

/** What is priced apart, by the log's columns: input tokens are part of `prompt`, output tokens of `completion`. */
export interface Pools {
  cache_write_5m_tokens?: number;
  cache_write_1h_tokens?: number;
  audio_input_tokens?: number;
  image_input_tokens?: number;
  reasoning_tokens?: number;
  audio_output_tokens?: number;
  image_output_tokens?: number;
  input_seconds?: number;
  web_searches?: number;
  /** As the answer has it; the usual one is left out. */
  service_tier?: string;
}

/** What a provider says was used; a count it does not give is undefined, which is not 0. */
export interface Reported {
  /** Input tokens, the cached ones included. */
  prompt?: number;
  cached: number;
  /** Output tokens, reasoning included. */
  completion?: number;
  /** Given only where it says nothing of how it splits. */
  total?: number;
  pools?: Pools;
}

/** Reads what an answer or chunk says was used, in each place a provider says it; its top level has the last word. */
export function readUsage(answer: Loose): Reported | undefined {
  const inChoices = objectsIn(answer.choices).map((choice) => choice.usage); // Moonshot
  const inEvents = [objectIn(answer.message)?.usage, objectIn(answer.response)?.usage]; // Anthropic, Responses
  let reported: Reported | undefined;
  for (const usage of [...inChoices, objectIn(answer.x_groq)?.usage, ...inEvents, answer.usage, fromGemini(answer)]) {
    reported = readCounts(usage) ?? reported;
  }
  if (!reported) return undefined;
  const searches = tokenCount(objectIn(objectIn(answer.tool_usage)?.web_search)?.num_requests);
  // The tokens of a made image are an image's, whatever their name.
  const areImages = objectsIn(answer.data).some(({ b64_json, url }) => b64_json || url);
  const pools = given({
    image_output_tokens: areImages ? reported.completion : undefined,
    web_searches: searches,
    ...reported.pools,
  });
  return { ...reported, pools };
}

/** The service tier that an answer or chunk names; '' for the usual one, undefined where it names none. */
export function readTier(answer: Loose): string | undefined {
  let tier: string | undefined;
  for (const place of [answer, objectIn(answer.message), objectIn(answer.response)]) {
    if (!place) continue;
    const usage = objectIn(place.usage);
    for (const word of [place.service_tier, usage?.service_tier, usage?.speed === 'fast' ? 'fast' : undefined]) {
      if (typeof word === 'string') tier = word;
    }
  }
  const ofGemini = objectIn(answer.usageMetadata)?.serviceTier;
  if (typeof ofGemini === 'string') tier = ofGemini;
  if (tier === undefined) return undefined;
  const word = tier.trim().toLowerCase();
  const isUsual =
    /^(default|standard|auto|on_demand|unspecified|)$/.test(word) || !/^[a-z][a-z0-9_-]{0,49}$/.test(word);
  return isUsual ? '' : word;
}

/** What is reported after an earlier report: its counts that are there. A zero takes nothing back. */
export function later(earlier: Reported | undefined, report: Reported): Reported {
  return {
    prompt: report.prompt || (earlier?.prompt ?? report.prompt),
    cached: report.prompt ? report.cached : Math.max(earlier?.cached ?? 0, report.cached),
    completion: report.completion || (earlier?.completion ?? report.completion),
    total: report.total || (earlier?.total ?? report.total),
    pools: given({ ...earlier?.pools, ...report.pools }),
  };
}

/**
 * Reads a usage object by any of its names. Cached tokens are part of the input, but for Anthropic's names, and for
 * providers that report more of them than input. What only the total counts is output: thoughts, at several providers.
 */
function readCounts(usage: unknown): Reported | undefined {
  const counts = objectIn(usage);
  if (!counts) return undefined;
  const input = objectIn(
    counts.prompt_tokens_details ??
      counts.prompt_token_details ??
      counts.input_tokens_details ??
      counts.input_token_details,
  );
  const output = objectIn(counts.completion_tokens_details ?? counts.output_tokens_details);
  const cacheRead = tokenCount(counts.cache_read_input_tokens) ?? 0;
  const cached = Math.max(
    cacheRead,
    ...[input?.cached_tokens, counts.cached_tokens, counts.prompt_cache_hit_tokens, counts.num_cached_tokens].map(
      (count) => tokenCount(count) ?? 0,
    ),
  );
  const total = tokenCount(counts.total_tokens);
  const written = tokenCount(counts.completion_tokens ?? counts.output_tokens);
  let prompt = tokenCount(counts.prompt_tokens);
  const uncached = tokenCount(counts.input_tokens);
  if (prompt === undefined && uncached !== undefined) {
    prompt = uncached + cacheRead + (tokenCount(counts.cache_creation_input_tokens) ?? 0);
  }
  if (prompt === undefined && total !== undefined && written !== undefined) prompt = Math.max(total - written, 0);
  const pools = readPools(counts, input, output);
  if (prompt === undefined && written === undefined) {
    if (total !== undefined) return { cached, total };
    return pools?.input_seconds === undefined ? undefined : { prompt: 0, cached, completion: 0, pools };
  }
  if (prompt !== undefined && cached > prompt) prompt += cached; // xAI
  const onlyInTotal = total === undefined || prompt === undefined ? 0 : total - prompt;
  const thoughts = Math.max(onlyInTotal - (written ?? 0), 0);
  return {
    prompt: prompt && Math.min(prompt, MOST_TOKENS),
    cached: Math.min(cached, prompt ?? cached),
    // A total of no more than the input says nothing of the output.
    completion: written === undefined && onlyInTotal <= 0 ? undefined : Math.max(written ?? 0, onlyInTotal),
    pools: given({ ...pools, reasoning_tokens: pools?.reasoning_tokens ?? (written === undefined ? 0 : thoughts) }),
  };
}

/** What of a usage object is priced apart. */
function readPools(counts: Loose, input: Loose | undefined, output: Loose | undefined): Pools | undefined {
  // Writes for a short time (5 minutes, OpenAI's 30) and a long one (an hour, OpenAI's 12).
  const split = objectIn(counts.cache_creation ?? input?.cache_creation ?? input?.cache_write_tokens_details);
  const long = tokenCount(split?.ephemeral_1h_input_tokens ?? split?.ttl_12h_tokens) ?? 0;
  const short = tokenCount(split?.ephemeral_5m_input_tokens ?? split?.ttl_30m_tokens) ?? 0;
  const writes = counts.cache_creation_input_tokens ?? input?.cache_write_tokens ?? input?.cache_creation_input_tokens;
  const tools = objectIn(counts.server_tool_use ?? counts.server_tool_use_details);
  return given({
    cache_write_5m_tokens: Math.max((tokenCount(writes) ?? 0) - long, short),
    cache_write_1h_tokens: long,
    audio_input_tokens: tokenCount(input?.audio_tokens),
    image_input_tokens: tokenCount(input?.image_tokens),
    reasoning_tokens: tokenCount(output?.reasoning_tokens ?? output?.thinking_tokens ?? counts.reasoning_tokens),
    audio_output_tokens: tokenCount(output?.audio_tokens),
    image_output_tokens: tokenCount(output?.image_tokens),
    input_seconds: tokenCount(counts.type === 'duration' ? counts.seconds : counts.prompt_audio_seconds),
    web_searches: tokenCount(tools?.web_search_requests),
  });
}

/** Gemini's own usage by the names above: thoughts and what tools read are counted apart there. */
function fromGemini(answer: Loose): Loose | undefined {
  const counts = objectIn(answer.usageMetadata);
  if (!counts) return undefined;
  const number = (name: string) => tokenCount(counts[name]) ?? 0;
  const modality = (list: unknown, wanted: string) =>
    objectsIn(list).find((item) => item.modality === wanted)?.tokenCount ?? 0;
  return {
    prompt_tokens: number('promptTokenCount') + number('toolUsePromptTokenCount'),
    completion_tokens: number('candidatesTokenCount') + number('thoughtsTokenCount'),
    prompt_tokens_details: {
      cached_tokens: counts.cachedContentTokenCount,
      audio_tokens: modality(counts.promptTokensDetails, 'AUDIO'),
      image_tokens: modality(counts.promptTokensDetails, 'IMAGE'),
    },
    completion_tokens_details: {
      reasoning_tokens: counts.thoughtsTokenCount,
      audio_tokens: modality(counts.candidatesTokensDetails, 'AUDIO'),
      image_tokens: modality(counts.candidatesTokensDetails, 'IMAGE'),
    },
  };
}

/** The pools that something is in; undefined where that is none. */
function given(pools: Pools): Pools | undefined {
  const entries = Object.entries(pools).filter(([, count]) => count);
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** A count, also one that is sent as text; undefined where it is none. */
function tokenCount(value: unknown): number | undefined {
  const isText = typeof value === 'string' && value.trim() !== '';
  const count = typeof value === 'number' || isText ? Number(value) : Number.NaN;
  return count >= 0 ? Math.min(Math.ceil(count), MOST_TOKENS) : undefined;
}
