/** Token counts: what the provider reports, in one shape; and what to assume where it reports nothing. */
import { z } from 'zod';
import type { Reported } from './answer.ts';
import { BYTES_OF_A_TOKEN, countTokens, utf8Length } from './tokenizer.ts';

/** What a call used. `prompt` includes `cached`, `completion` includes reasoning. */
export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
  /** Where the counts are from: the enum `ai_usage_source`. */
  source: 'reported' | 'counted' | 'estimated' | 'none';
  /** Output that was seen to be written, in tokens: what a provider says is bounded, and this is not. */
  written?: number;
}

/** What a call used that came to nothing. */
export const NOTHING_USED: Usage = { prompt: 0, cached: 0, completion: 0, source: 'none' };

/** Counts above this are nonsense, as good as none; nor would they fit the log's integer columns. */
const MOST_TOKENS = 1_000_000_000;
/** What an image part is assumed to cost at most, in tokens. */
const TOKENS_OF_AN_IMAGE = 4_000;
/** A message's role and separators, in tokens. */
const TOKENS_OF_A_MESSAGE = 8;

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

/**
 * What a call used: what the provider reported where that is its last word, else the greater of it and of what was
 * written. Counts it leaves out are counted.
 */
export async function usageOf(
  reported: Reported | undefined,
  isLastWord: boolean,
  input: () => Promise<Count>,
  output: string,
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
  // A token is a byte at least.
  if (completion === undefined || (!isLastWord && completion < utf8Length(output))) {
    const counted = await countTokens([output]);
    if (output !== '' && counted.tokens > (completion ?? 0)) counts.push(counted);
    completion = Math.max(completion ?? 0, counted.tokens);
  }
  const source =
    counts.length === 0 && reported ? 'reported' : counts.every((one) => one.isCounted) ? 'counted' : 'estimated';
  const written = source === 'reported' ? Math.ceil(utf8Length(output) / BYTES_OF_A_TOKEN) : completion;
  return { prompt, cached: Math.min(reported?.cached ?? 0, prompt), completion, source, written };
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
