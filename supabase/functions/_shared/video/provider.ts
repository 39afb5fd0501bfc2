/** How providers of videos are called: with the key, in time, and with nothing of the key in what comes back. */
import { bounded } from '../body.ts';
import { readAiBaseUrl, readApiKey } from '../env.ts';
import { ApiError, invalidRequest } from '../errors.ts';
import { inTime } from '../in-time.ts';
import { cleanJson } from '../json.ts';
import type { Env } from '../platform-keys.ts';
import { hideSecrets, toStorable } from '../text.ts';
import { OutcomeUnknownError, type ProviderRefusal, type VideoTask } from './adapter.ts';

/** Which protocol a provider's video API speaks: the enum `video_api`. */
export type VideoApi = '302ai' | 'openai';

/** Whom to ask, as the rpcs give it. */
export interface Provider {
  provider: string;
  api: VideoApi;
  /** Of its video API. Null: made from that of its other APIs. */
  base_url: string | null;
  /** Of its other APIs. Null: AI_BASE_URL. */
  provider_base_url: string | null;
  api_key_env: string;
  timeout_ms: number;
  /** The job's token, which is in its webhook's address. */
  webhook_token: string;
}

/** Statuses by which a provider blames the request. */
const CALLERS_FAULT = new Set([400, 413, 422]);
/** Statuses by which something between us and the provider says that it does not know; 520 to 524 are Cloudflare's. */
const OUTCOME_UNKNOWN = new Set([408, 499, 502, 504, 520, 522, 524]);
/** Answers about tasks are some KiB. What is longer is not read, bytes: to parse it would keep other requests waiting. */
const LARGEST_ANSWER = 256 * 1024;
/** What is kept of an answer, characters. */
const LARGEST_KEPT = 12 * 1024;
/** How long a provider may take to answer, at most: a hosted function ends after 150 s, ms. */
const LONGEST_WAIT = 60_000;

/** Where a provider's API is, without a trailing slash. */
export function baseUrlOf(provider: Pick<Provider, 'api' | 'base_url' | 'provider_base_url'>, env: Env): string {
  const { api, base_url, provider_base_url } = provider;
  if (base_url) return base_url.replace(/\/+$/, '');
  const usual = provider_base_url?.replace(/\/+$/, '') || readAiBaseUrl(env);
  return api === '302ai' ? new URL(usual).origin : usual;
}

/** One call: `body` is JSON, or a form as it is. */
export interface ProviderCall {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  body?: unknown;
}

/** A provider's answer: its status and its JSON, in which no secret is left. */
export interface ProviderAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** Calls a provider of videos. */
export class ProviderClient {
  readonly #env: Env;

  constructor(
    private readonly provider: Provider,
    env: Env,
  ) {
    this.#env = env;
  }

  /**
   * Calls and reads the answer. Throws a ProviderRefusal: 400 `invalid_request` where it blames the request, 502
   * `upstream_error` for other refusals, OutcomeUnknownError where nobody knows. `accepted` are further statuses to give back.
   */
  async call({ method, path, body }: ProviderCall, accepted: number[] = []): Promise<ProviderAnswer> {
    const secrets = [this.#key(), this.provider.webhook_token];
    const wait = Math.min(this.provider.timeout_ms, LONGEST_WAIT);
    const { status, text } = await inTime(wait, async (signal) => {
      const isForm = body instanceof FormData;
      const response = await fetch(`${baseUrlOf(this.provider, this.#env)}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#key()}`,
          accept: 'application/json',
          ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? undefined : isForm ? body : JSON.stringify(body),
        // The key is for this origin alone.
        redirect: 'manual',
        signal,
      });
      return { status: response.status, text: await bounded(response, LARGEST_ANSWER).text() };
    }).catch((error: unknown) => {
      throw new OutcomeUnknownError(hideSecrets(String(error), secrets));
    });
    const answer = parseObject(text, (value) => hideSecrets(toStorable(value), secrets));
    const shown = answer ? JSON.stringify(answer) : hideSecrets(toStorable(text), secrets);
    if (OUTCOME_UNKNOWN.has(status)) throw new OutcomeUnknownError(`status ${status}: ${shown.slice(0, 500)}`);
    if ((status < 200 || status > 299) && !accepted.includes(status)) throw refusal(status, answer, shown);
    if (!answer && status < 300 && status !== 204) throw new OutcomeUnknownError(`not JSON: ${shown.slice(0, 500)}`);
    return { status, body: answer ?? {} };
  }

  #key(): string {
    try {
      return readApiKey(this.#env, this.provider.api_key_env);
    } catch (error) {
      console.error((error as Error).message); // for who runs the project
      throw upstreamError('its key is not set');
    }
  }
}

/** What callers are told where a provider refuses a request. Its own words may name it, its prices and its addresses. */
export const REFUSED = 'The video provider refused the request as invalid. Nothing was charged.';
export const AGAINST_POLICY = 'The request is against the content policy. Nothing was charged.';

/** 502; `cause` is for the log, `said` what the provider said. */
export function upstreamError(cause: string, said?: string): ProviderRefusal {
  const error = new ApiError(502, 'upstream_error', 'The video provider failed. Nothing was charged.');
  return Object.assign(error, { cause, said });
}

function refusal(status: number, answer: Record<string, unknown> | undefined, text: string): ProviderRefusal {
  const said = (answer && wordsOf(answer)) ?? beginningOf(text, 1000);
  if (!CALLERS_FAULT.has(status)) return upstreamError(`status ${status}: ${text.slice(0, 500)}`, said);
  return Object.assign(invalidRequest(REFUSED), { said });
}

/** A provider's sentence about what went wrong, from the places where providers have it. */
export function wordsOf(answer: Record<string, unknown>): string | undefined {
  const { error, message } = answer;
  const inner = isObject(error) ? (error.message ?? error.error) : error;
  const words = typeof inner === 'string' && inner.trim() ? inner : message;
  return typeof words === 'string' && words.trim() ? beginningOf(words.trim(), 1000) : undefined;
}

/** What a failed task is called, and what its provider said. */
export function failureOf(answer: Record<string, unknown>): Pick<VideoTask, 'error_code' | 'said'> {
  const error = isObject(answer.error) ? answer.error : answer;
  const names = [error.code, error.error_type, error.type, error.error].filter((name) => typeof name === 'string');
  const name = names.join(' ');
  const said = wordsOf(answer);
  if (/moderation|content_?policy|policy_?violation|safety|sensitive/i.test(name)) {
    return { error_code: 'content_policy_violation', said };
  }
  if (/\b(invalid|missing)_?(parameter|request|argument|image|prompt|input)/i.test(name)) {
    return { error_code: 'invalid_request', said };
  }
  return { error_code: 'upstream_error', said };
}

/** The words that providers and gateways are known to use for each state, in small letters with `_` between words. */
const WORDS: Record<VideoTask['status'], string[]> = {
  completed: ['completed', 'complete', 'succeeded', 'succeed', 'success', 'done', 'finished'],
  failed: ['failed', 'failure', 'fail', 'error', 'expired', 'rejected', 'incomplete', 'timeout', 'timed_out'],
  canceled: ['canceled', 'cancelled'],
  processing: [
    ...[
      'processing',
      'in_progress',
      'inprogress',
      'running',
      'generating',
      'rendering',
      'started',
      'created',
      'submitted',
    ],
    ...[
      'queued',
      'queueing',
      'queuing',
      'in_queue',
      'pending',
      'waiting',
      'starting',
      'preparing',
      'not_start',
      'not_started',
    ],
    ...['accepted', 'scheduled', 'throttled', 'cancelling', 'canceling'],
  ],
};
const STATUSES = new Map(
  Object.entries(WORDS).flatMap(([status, words]) =>
    words.map((word) => [word, status as VideoTask['status']] as const),
  ),
);

/** The state that a provider's word stands for. An unknown one counts as under way, and goes on to be shown to admins. */
export function readStatus(said: string): Pick<VideoTask, 'status' | 'unknown_status'> {
  const word = said
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, '_');
  const status = STATUSES.get(word);
  return status ? { status } : { status: 'processing', unknown_status: beginningOf(word, 40) };
}

/** An answer as it is kept: whole, or the beginning of its text. */
export function boundedAnswer(answer: unknown): unknown {
  const json = JSON.stringify(answer);
  if (json.length <= LARGEST_KEPT) return answer;
  return { truncated: true, characters: json.length, begins: beginningOf(json, LARGEST_KEPT) };
}

/** A task's id, which may be a number; undefined for what is none. Dots alone would be a path. */
export function readTaskId(value: unknown): string | undefined {
  const id = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  return typeof id === 'string' && /^(?!\.+$)[\w.:-]{1,200}$/.test(id) ? id : undefined;
}

/** A provider's progress as whole percents: 45, "45", "45%" or 0.45 only where the provider means percents. */
export function readProgress(value: unknown): number | undefined {
  const percents = typeof value === 'string' ? Number.parseFloat(value) : value;
  if (typeof percents !== 'number' || !Number.isFinite(percents)) return undefined;
  return Math.min(100, Math.max(0, Math.floor(percents)));
}

/** An address that a file may be fetched from; which ones may, the provider's row says. */
export function readFileUrl(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 4000 || !URL.canParse(value)) return undefined;
  // As the parser writes it, which is how everything after reads it.
  const { protocol, href } = new URL(value);
  return /^https?:$/.test(protocol) && href.length <= 8000 ? href : undefined;
}

/** Whether a value is an object with names. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A cut may go through the middle of a character, and half a one cannot be stored. */
function beginningOf(text: string, most: number): string {
  return text.slice(0, most).toWellFormed();
}

function parseObject(text: string, clean: (text: string) => string): Record<string, unknown> | undefined {
  try {
    const value = cleanJson(JSON.parse(text), clean);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
