/** Token counts: what the provider reports, in one shape; and what to assume where it reports nothing. */
import { z } from 'zod';
import { countTokens, utf8Length } from './tokenizer.ts';

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
/** What an image part is assumed to cost at most, in tokens. */
const TOKENS_OF_AN_IMAGE = 4_000;
/** A message's role and separators, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;

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

/** All of a request that the model reads. */
export interface ModelInput {
  messages?: readonly object[];
  other?: unknown;
}

/** The most tokens an input can be: a token is a byte at least, but for images, which have a price of their own. */
export function mostInputTokens(input: ModelInput): number {
  const { texts, images, others } = weigh(input);
  const bytes = texts.reduce((sum, text) => sum + utf8Length(text), 0);
  return Math.min(
    bytes + others * 8 + images * TOKENS_OF_AN_IMAGE + (input.messages?.length ?? 0) * TOKENS_OF_A_MESSAGE,
    MOST_TOKENS,
  );
}

/** Tokens, and whether a tokenizer counted them or they are a guess. */
export interface Count {
  tokens: number;
  isCounted: boolean;
}

/** The tokens of an input whose provider reported none. */
export async function countInput(input: ModelInput): Promise<Count> {
  const { texts, images } = weigh(input);
  const { tokens, isCounted } = await countTokens(texts);
  return {
    tokens: Math.min(tokens + images * TOKENS_OF_AN_IMAGE, MOST_TOKENS),
    isCounted: isCounted && images === 0,
  };
}

/** Usage of a call whose provider reported none, by its input's count and what came. */
export async function countUsage(input: Count, output: string): Promise<Usage> {
  const completion = await countTokens([output]);
  const source = input.isCounted && completion.isCounted ? 'counted' : 'estimated';
  return { prompt: input.tokens, cached: 0, completion: completion.tokens, source };
}

/** An image part of a message, as OpenAI's API has it. Anything else by that name is text like all other. */
const imagePart = z.object({
  type: z.literal('image_url'),
  image_url: z.object({ url: z.string().regex(/^(data:image\/[a-z0-9.+-]{1,50};base64,|https?:)/i) }),
});

/**
 * The texts in an input, how many images its messages hold (the length of their URLs says nothing), and other values.
 * Only a part of a message's content is an image: the model reads tools and schemas word by word.
 */
function weigh({ messages = [], other }: ModelInput): { texts: string[]; images: number; others: number } {
  const found = { texts: [] as string[], images: 0, others: 0 };
  const visit = (item: unknown, isContent = false) => {
    if (typeof item === 'string') found.texts.push(item);
    else if (typeof item !== 'object' || item === null) found.others += 1;
    else if (Array.isArray(item)) for (const child of item) visitPart(child, isContent);
    else for (const [key, child] of Object.entries(item)) visitNamed(key, child);
  };
  const visitNamed = (key: string, child: unknown) => {
    found.texts.push(key);
    visit(child);
  };
  const visitPart = (part: unknown, isContent: boolean) => {
    const image = isContent ? imagePart.safeParse(part).data : undefined;
    if (!image) return visit(part);
    found.images += 1;
    if (!image.image_url.url.startsWith('data:')) found.texts.push(image.image_url.url);
  };
  for (const message of messages) {
    for (const [key, value] of Object.entries(message)) {
      found.texts.push(key);
      visit(value, key === 'content');
    }
  }
  if (other !== undefined) visit(other);
  return found;
}
