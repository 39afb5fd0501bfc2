/** The provider's side of a call: who is asked, how often, for how long. */
import { type AiDefaults, readAiDefaults, readApiKey } from '../_shared/env.ts';
import { ApiError, invalidRequest } from '../_shared/errors.ts';
import { objectIn, parseObject } from './answer.ts';
import { Body, TimeoutError, textIn } from './body.ts';

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

/** One try to get an answer, for the log. `duration` in ms, to the first byte. */
export interface Attempt {
  model: string;
  provider: string;
  status?: number;
  error?: string;
  duration: number;
}

/** An answer that has begun. */
export interface Answer {
  candidate: Candidate;
  body: Body;
}

/** Statuses by which a provider blames the request: the same elsewhere, and not tried again. */
const CALLERS_FAULT = new Set([400, 413, 422]);
/** Waits between tries, ms: doubled each time up to the longest, and longer waits a provider asks for are not waited. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8_000;

const defaults: AiDefaults = readAiDefaults(Deno.env);

/**
 * Asks the candidates in order until `open` finds that one answers, each as often as its provider's row allows. What
 * `open` throws has the next one asked: nothing was sent to the client yet. `attempts` is added to. Throws 400 `invalid_request` with the provider's words where it blames the request, 504
 * `upstream_timeout`, and 502 `upstream_error` for everything else; what happened is in `cause`, for the log.
 */
export async function callUpstream<T>(
  candidates: Candidate[],
  path: string,
  bodyFor: (candidate: Candidate) => unknown,
  deadline: number,
  attempts: Attempt[],
  open: (answer: Answer) => Promise<T>,
): Promise<T> {
  let failure: ApiError = upstreamError('no candidate');
  for (const candidate of candidates) {
    for (let tries = 0; tries <= candidate.max_retries; tries += 1) {
      const startedAt = Date.now();
      const attempt: Attempt = { model: candidate.model, provider: candidate.provider, duration: 0 };
      attempts.push(attempt);
      try {
        const body = await ask(candidate, path, bodyFor(candidate), deadline, attempt);
        attempt.duration = Date.now() - startedAt;
        return await open({ candidate, body }).catch((thrown) => {
          body.cancel();
          // Not asked again: it has begun to answer, and may charge for that.
          throw thrown instanceof TimeoutError ? thrown : upstreamFailure(thrown);
        });
      } catch (thrown) {
        failure = upstreamFailure(thrown);
        attempt.error = String(failure.cause ?? failure.message).slice(0, 300);
        if (failure.code === 'invalid_request') throw failure;
        const wait = waitBeforeRetry(thrown, tries);
        if (wait === undefined || Date.now() + wait >= deadline) break;
        if (tries < candidate.max_retries) await new Promise((resolve) => setTimeout(resolve, wait));
      } finally {
        attempt.duration ||= Date.now() - startedAt;
      }
    }
    if (Date.now() >= deadline) break;
  }
  throw failure;
}

/** One try: until the first byte of a 2xx answer. */
async function ask(
  candidate: Candidate,
  path: string,
  body: unknown,
  deadline: number,
  attempt: Attempt,
): Promise<Body> {
  const controller = new AbortController();
  const wait = Math.min(candidate.timeout_ms, deadline - Date.now());
  const timer = setTimeout(() => controller.abort(new TimeoutError()), wait);
  try {
    const response = await fetch(`${candidate.base_url?.replace(/\/+$/, '') ?? defaults.baseUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKeyOf(candidate)}` },
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    attempt.status = response.status;
    const answer = new Body(response, candidate.timeout_ms, deadline);
    if (!response.ok) throw refusedAnswer(response, await answer.bytes().then(textIn, () => ''), candidate);
    await answer.waitForFirst();
    return answer;
  } finally {
    clearTimeout(timer);
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

function refusedAnswer(response: Response, text: string, candidate: Candidate): ApiError {
  if (CALLERS_FAULT.has(response.status)) return invalidRequest(providerMessage(text, apiKeyOf(candidate)));
  const error = upstreamError(`status ${response.status}: ${text.slice(0, 1000)}`);
  return Object.assign(error, {
    isRetryable: response.status === 429 || response.status >= 500,
    retryAfter: Number(response.headers.get('retry-after') ?? Number.NaN) * 1000,
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

/** The error for an answer that is not what the protocol promises; `cause` is for the log alone. */
export function upstreamError(cause: string): ApiError {
  const error = new ApiError(502, 'upstream_error', 'The AI provider failed. Nothing was charged.');
  error.cause = cause;
  return error;
}

/** The error for one that came as a success: in a whole answer, or in a stream before its first words. */
export function refusalIn(error: unknown, candidate: Candidate): ApiError {
  const text = JSON.stringify({ error });
  const { code, status } = objectIn(error) ?? {};
  if ([code, status].some((one) => CALLERS_FAULT.has(Number(one)))) {
    return invalidRequest(providerMessage(text, apiKeyOf(candidate)));
  }
  return upstreamError(`an error instead of an answer: ${text.slice(0, 1000)}`);
}

/** The error for a request or stream that broke: a timeout of ours, or the connection's end. */
export function upstreamFailure(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof TimeoutError) {
    return new ApiError(504, 'upstream_timeout', 'The AI provider took too long. Nothing was charged.');
  }
  return upstreamError(String(thrown));
}

function providerMessage(text: string, apiKey: string): string {
  const message = objectIn(parseObject(text)?.error)?.message;
  if (typeof message === 'string') return message.replaceAll(apiKey, '[key]').slice(0, 1000);
  // No JSON: its words are not meant for callers.
  return 'The AI provider refused the request as invalid.';
}
