/** The provider's side of a call: who is asked, how often, for how long. */
import { type AiDefaults, readAiDefaults, readApiKey } from '../_shared/env.ts';
import { ApiError, invalidRequest } from '../_shared/errors.ts';
import { objectIn, parseObject } from './answer.ts';
import { AnswerBody, decodeText, TimeoutError } from './body.ts';
import { StoppedError } from './journal.ts';

/** A model that may answer, as admission names it. */
export interface Candidate {
  model: string;
  upstream_model: string;
  output_limit_field: 'max_tokens' | 'max_completion_tokens';
  /** Output tokens, over all choices, that the hold pays for when it answers. */
  output_tokens_covered: number;
  /** Input tokens that the hold counts for parts that are no text. */
  part_tokens: number;
  provider: string;
  /** Null: AI_BASE_URL. */
  base_url: string | null;
  api_key_env: string;
  disconnect_policy: 'drain' | 'cancel';
  /** The longest silence, ms. */
  timeout_ms: number;
  max_retries: number;
}

/** One try to get an answer, for the log. `duration` in ms, to the first byte; `error` in our words. */
export interface Attempt {
  model: string;
  provider: string;
  status?: number;
  error?: string;
  said?: Said;
  duration: number;
}

/** What a provider said where it failed: for the operator alone, and not before secrets are hidden in it. */
export interface Said {
  text: string;
  /** It is what came as an answer, not the words of an error. */
  isAnswer: boolean;
}

/** An answer that has begun. */
export interface Answer {
  candidate: Candidate;
  body: AnswerBody;
}

/** Statuses by which a provider blames the request: the same elsewhere, and not tried again. */
const CALLERS_FAULT = new Set([400, 413, 422]);
/** Codes of OpenAI's API by which it says what is wrong with a request. */
const BLAMES = new Map<unknown, string>([
  ['context_length_exceeded', "The request is longer than the model's context."],
  ['string_above_max_length', 'A text in the request is too long for the model.'],
  ['unsupported_parameter', 'The model does not support a field of the request.'],
  ['unsupported_value', 'The model does not support a value in the request.'],
  ['invalid_image_url', 'An image in the request could not be read.'],
  ['invalid_image_format', 'An image in the request could not be read.'],
  ['image_parse_error', 'An image in the request could not be read.'],
  ['content_policy_violation', "The request is against the provider's content policy."],
  ['content_filter', "The request is against the provider's content policy."],
]);
/** What is read of a provider's error, bytes: its code is in it, and the log keeps less. */
const LARGEST_ERROR = 64 * 1024;
/** Waits between tries, ms: doubled each time up to the longest, and longer waits a provider asks for are not waited. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8_000;

const defaults: AiDefaults = readAiDefaults(Deno.env);

/**
 * Asks the candidates in order until `open` finds that one answers, each as often as its provider's row allows. What
 * `open` throws has the next one asked: nothing was sent to the client yet. `attempts` is added to. Throws 400
 * `invalid_request` where the provider blames the request, StoppedError once `stop` is aborted, 504 `upstream_timeout`, and
 * 502 `upstream_error` for everything else; what happened is in `cause`, in our words and for the log, and in the provider's
 * words in its attempt.
 */
export async function callUpstream<T>(
  candidates: Candidate[],
  path: string,
  bodyFor: (candidate: Candidate) => unknown,
  deadline: number,
  attempts: Attempt[],
  open: (answer: Answer) => Promise<T>,
  stop?: AbortSignal,
): Promise<T> {
  let failure: ApiError | undefined;
  for (const candidate of candidates) {
    const request = JSON.stringify(bodyFor(candidate));
    for (let tries = 0; tries <= candidate.max_retries; tries += 1) {
      const startedAt = Date.now();
      const attempt: Attempt = { model: candidate.model, provider: candidate.provider, duration: 0 };
      attempts.push(attempt);
      try {
        const body = await ask(candidate, path, request, deadline, attempt, stop);
        attempt.duration = Date.now() - startedAt;
        return await open({ candidate, body }).catch((thrown) => {
          body.cancel();
          // Not asked again: it has begun to answer, and may charge for that.
          throw thrown instanceof TimeoutError ? thrown : upstreamFailure(thrown);
        });
      } catch (thrown) {
        failure = upstreamFailure(thrown);
        noteFailure(attempt, failure);
        if (failure.code === 'invalid_request' || failure instanceof StoppedError) throw failure;
        const wait = waitBeforeRetry(thrown, tries);
        if (wait === undefined || Date.now() + wait >= deadline) break;
        if (tries < candidate.max_retries) await pause(wait, stop);
      } finally {
        attempt.duration ||= Date.now() - startedAt;
      }
    }
    if (Date.now() >= deadline) break;
  }
  throw failure ?? upstreamError('no candidate');
}

/** Waits so many ms, or until `stop` is aborted. */
function pause(wait: number, stop: AbortSignal | undefined): Promise<unknown> {
  return new Promise((resolve) => {
    setTimeout(resolve, wait);
    stop?.addEventListener('abort', resolve);
  });
}

/** One try: until the first byte of a 2xx answer. */
async function ask(
  candidate: Candidate,
  path: string,
  body: string,
  deadline: number,
  attempt: Attempt,
  stop: AbortSignal | undefined,
): Promise<AnswerBody> {
  if (stop?.aborted) throw new StoppedError();
  const controller = new AbortController();
  let answer: AnswerBody | undefined;
  const end = () => {
    controller.abort(new StoppedError());
    answer?.cancel();
  };
  stop?.addEventListener('abort', end);
  const wait = Math.min(candidate.timeout_ms, deadline - Date.now());
  const timer = setTimeout(() => controller.abort(new TimeoutError()), wait);
  try {
    const response = await fetch(`${candidate.base_url?.replace(/\/+$/, '') ?? defaults.baseUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKeyOf(candidate)}` },
      body,
      // Where it leads, neither the key nor what was said is for.
      redirect: 'manual',
      signal: controller.signal,
    });
    attempt.status = response.status;
    answer = new AnswerBody(response, candidate.timeout_ms, deadline);
    if (!response.ok) throw refusedAnswer(response, await answer.bytes(LARGEST_ERROR).then(decodeText, () => ''));
    await answer.waitForFirst();
    if (stop?.aborted) throw new StoppedError();
    return answer;
  } finally {
    clearTimeout(timer);
    stop?.removeEventListener('abort', end);
  }
}

function apiKeyOf(candidate: Candidate): string {
  try {
    return readApiKey(Deno.env, candidate.api_key_env);
  } catch (error) {
    console.error((error as Error).message); // for who runs the project; the log row is for who called
    throw upstreamError('its key is not set');
  }
}

function refusedAnswer({ status, headers }: Response, text: string): ApiError {
  if (CALLERS_FAULT.has(status)) return blamedRequest(text, `status ${status}`);
  return Object.assign(upstreamError(`status ${status}`, text), {
    isRetryable: status === 429 || status >= 500,
    retryAfter: Number(headers.get('retry-after') ?? Number.NaN) * 1000,
  });
}

/** How long to wait before the same provider is asked again, ms; undefined where that is no use. */
function waitBeforeRetry(thrown: unknown, tries: number): number | undefined {
  const { isRetryable, retryAfter } = thrown as { isRetryable?: boolean; retryAfter?: number };
  const isBrokenConnection = !(thrown instanceof ApiError) && !(thrown instanceof TimeoutError);
  if (!isRetryable && !isBrokenConnection) return undefined;
  const backoff = Math.min(FIRST_WAIT * 2 ** tries, LONGEST_WAIT) * (0.5 + Math.random() / 2);
  const wait = Math.max(backoff, retryAfter || 0);
  return wait <= LONGEST_WAIT ? wait : undefined;
}

/** The error of a provider: `cause` is for the log, in our words; `said` is what it said itself. */
export function upstreamError(cause: string, said = '', isAnswer = false): ApiError {
  return withCause(
    new ApiError(502, 'upstream_error', 'The AI provider failed. Nothing was charged.'),
    cause,
    said,
    isAnswer,
  );
}

/** The error for one that came as a success: in a whole answer, or in a stream before its first words. */
export function refusalIn(error: unknown): ApiError {
  const text = JSON.stringify({ error });
  const { code, status } = objectIn(error) ?? {};
  const cause = 'an error instead of an answer';
  return [code, status].some((one) => CALLERS_FAULT.has(Number(one)))
    ? blamedRequest(text, cause)
    : upstreamError(cause, text);
}

/** The error for a request or stream that broke: a timeout of ours, or the connection's end. */
export function upstreamFailure(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof TimeoutError) {
    return new ApiError(504, 'upstream_timeout', 'The AI provider took too long. Nothing was charged.');
  }
  // Its words have the provider's address in them.
  return upstreamError('the connection broke', String(thrown));
}

/** Puts down in a try's log why it failed, unless that is there. */
export function noteFailure(attempt: Attempt | undefined, failure: ApiError & { said?: Said }): void {
  if (!attempt || attempt.error !== undefined) return;
  attempt.error = String(failure.cause ?? failure.message);
  attempt.said = failure.said;
}

/** Whether a provider refused a request because the model's context is too small for it. */
export function isTooLong({ said }: { said?: Said }): boolean {
  return /context[_ ](length|window)|maximum context|(prompt|input) is too long|too many (input )?tokens/i.test(
    said?.text ?? '',
  );
}

/** What a provider blames in a request, in our words: its own may hold anything. Who answers the client checks `param`. */
function blamedRequest(text: string, cause: string): ApiError {
  const { code, param } = objectIn(parseObject(text)?.error) ?? {};
  const message = BLAMES.get(code) ?? 'The AI provider refused the request as invalid.';
  const error = invalidRequest(message, typeof param === 'string' ? param : null);
  return withCause(error, cause, text, false);
}

function withCause(error: ApiError, cause: string, text: string, isAnswer: boolean): ApiError {
  error.cause = cause;
  return text === '' ? error : Object.assign(error, { said: { text, isAnswer } satisfies Said });
}
