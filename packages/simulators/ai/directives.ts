/** How a caller steers the simulator: `[[simulate:{…}]]` anywhere in the model name or the last user text. */
import { z } from 'zod';
import { ApiError } from './errors.ts';
import { structuredDirectives } from './structured.ts';
import { videoDirectives } from './video-directives.ts';

const OPENING = '[[simulate:';
const CLOSING = ']]';

const count = z.number().int().min(0).max(1_000_000);
const milliseconds = z.number().min(0).max(600_000);

const directiveSchema = z.strictObject({
  /** Names the call in the journal, and counts its tries for `times`. */
  key: z.string().max(200).optional(),
  /** Answers with this HTTP status and an OpenAI error body, before the first byte of an answer. */
  error: z.number().int().min(400).max(599).optional(),
  /** Seconds, sent as `Retry-After` with `error`. */
  retry_after: z.number().min(0).optional(),
  /** `error`, `malformed`, `off_schema` and the `…_after` options happen in the first so many tries of `key` only. */
  times: count.optional(),
  /** Waits before the first byte. */
  delay_ms: milliseconds.optional(),
  /** Waits before every chunk of content in a stream. */
  chunk_delay_ms: milliseconds.optional(),
  /** Into how many chunks a stream's text is split; one for each token without it. */
  chunks: z.number().int().min(1).max(100_000).optional(),
  /** Gives each chunk of a stream the time at which it was sent, in ms since 1970, as `sent_at`. */
  sent_at: z.boolean().optional(),
  /** Destroys the connection after so many chunks of a stream; an answer that is not streamed breaks half-way. */
  cut_after: count.optional(),
  /** Sends an error event after so many chunks of a stream, and ends it. */
  error_after: count.optional(),
  /** Ends a stream after so many chunks as if it were whole: no finish reason, no usage, no `[DONE]`. */
  end_after: count.optional(),
  /** The usage to report, word for word; null leaves it out. */
  usage: z.record(z.string(), z.unknown()).nullable().optional(),
  /** Answers without content. */
  empty: z.boolean().optional(),
  /** Reports so many reasoning tokens within the completion tokens. */
  reasoning_tokens: count.optional(),
  /** Reports so many of the prompt's tokens (at most all of them) as cached. */
  cached_tokens: count.optional(),
  /** The exact answer. */
  text: z.string().optional(),
  /** Makes the answer exactly so many tokens long; an image reports so many for each image. */
  output_tokens: count.optional(),
  /** Writes on past `max_tokens`, as no provider should. */
  ignore_limit: z.boolean().optional(),
  /** Answers embeddings in this encoding, whichever was asked for, as some providers do. */
  encoding: z.enum(['float', 'base64']).optional(),
  /** Sends what is not JSON: as the body, or as the second event of a stream. */
  malformed: z.boolean().optional(),
  /** Ends a stream without `[DONE]`. */
  no_done: z.boolean().optional(),
  ...structuredDirectives,
  ...videoDirectives,
});

/** What a caller asked for. */
export type Directive = z.infer<typeof directiveSchema>;

/**
 * Takes the directives out of `texts` (model name first, prompt last; a later one adds to and overrides an earlier one).
 * Gives them merged, and the texts without them. Throws 400 for one that is not valid, naming what is off.
 */
export function takeDirectives(texts: string[]): { directive: Directive; texts: string[] } {
  const found = texts.map(takeFrom);
  return {
    directive: Object.assign({}, ...found.map((part) => part.directive)),
    texts: found.map((part) => part.text),
  };
}

function takeFrom(text: string): { directive: Directive; text: string } {
  const start = text.indexOf(OPENING);
  if (start === -1) return { directive: {}, text };
  const from = start + OPENING.length;
  // The JSON itself may hold "]]", so every one of them is tried as the end.
  for (let end = text.indexOf(CLOSING, from); end !== -1; end = text.indexOf(CLOSING, end + 1)) {
    const json = parseJson(text.slice(from, end));
    if (json === undefined) continue;
    return { directive: checked(json), text: `${text.slice(0, start)}${text.slice(end + CLOSING.length)}`.trim() };
  }
  throw new ApiError(400, `The directive after "${OPENING}" is not JSON closed by "${CLOSING}".`);
}

function parseJson(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
}

function checked(json: unknown): Directive {
  const parsed = directiveSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ApiError(400, `Bad simulator directive: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}

/** The directive of a try after the first `times` ones: without its failures. */
export function withoutFailures(directive: Directive): Directive {
  const none = undefined;
  const whole = { malformed: none, off_schema: none, cut_after: none, error_after: none, end_after: none };
  return { ...directive, error: none, ...whole };
}
