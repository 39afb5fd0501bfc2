/** A call: admitted in Postgres before the provider is asked, finished there once, however it ends. */
import type { Caller } from '../_shared/auth.ts';
import type { CallDetails, Repeatable } from '../_shared/call-facts.ts';
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import { keepAlive } from '../_shared/edge-runtime.ts';
import { ApiError, type Refusal, refusalError } from '../_shared/errors.ts';
import { cleanJson } from '../_shared/json.ts';
import { type Moderation, PromptDeniedError } from '../_shared/moderation.ts';
import { hideSecrets, toStorable } from '../_shared/text.ts';
import { finishReasonOf, type Loose, objectIn, objectsIn } from './answer.ts';
import { countParts, type Part, partsOf } from './context.ts';
import { Journal, StoppedError } from './journal.ts';
import { type LogContent, toLogData } from './log-data.ts';
import { type Attempt, type Candidate, noteFailure, upstreamFailure } from './upstream.ts';
import { NOTHING_USED, type Usage } from './usage.ts';

/** Longer answers are not kept for a repeated request, characters. */
export const LARGEST_KEPT = 256 * 1024;
/** The longest that a function lives, ms (hosted: 400 s): a settlement is tried again for so long after the call began. */
const LONGEST_LIFE = 400_000;
/** A client whose call failed waits so long for its settlement, ms; then that goes on without it. */
const FAILURE_WAITS = 2_000;
/** A call under an Idempotency-Key says so often that it is under way, ms: one that is silent for long may be made again. */
const HEARTBEAT = 10_000;

/** What is kept of a provider's words, characters. */
const LARGEST_SAID = 1_000;

/** The most of a call, for its admission. Counts of output are for one choice. */
export interface WorstCase {
  /** Where it is called: models for another endpoint are refused. */
  endpoint: 'text_chat' | 'embedding' | 'image_generation';
  /** Of its text. */
  input_tokens: number;
  /** What else is in it, by kind. */
  parts: Record<string, { count: number; param: string }>;
  /** Names that no endpoint knows, and where they are. */
  fields: Record<string, string>;
  max_output_tokens?: number;
  choices?: number;
  images?: number;
  /** Whether the output may be limited further where the wallet cannot pay for all of it. */
  can_lower_output?: boolean;
}

/** An admitted call. */
export interface Call {
  holdId: string;
  requestId: string;
  /** Who may answer, in order. */
  candidates: Candidate[];
  /** The lower output limit, in tokens a choice, under which it runs because the wallet pays for no more. */
  outputLimit: number | null;
  creditsHeld: number;
  /** When it must have ended, in milliseconds since 1970. */
  deadline: number;
  /** When its function may be gone: no use to settle it after that. */
  lostAt: number;
  /** Says that it is under way, while it has an Idempotency-Key. */
  heartbeat: ReturnType<typeof setInterval> | undefined;
  logContent: LogContent;
  moderation: Moderation | undefined;
  /** Whether its answer is kept for a repeated request. */
  isRepeatable: boolean;
  details: CallDetails;
  request: unknown;
  attempts: Attempt[];
  /** The message that its answer is, where it is one of a conversation. */
  message: AnswerMessage | undefined;
  /** The analysis that its answer is, where it is one of a session. */
  analysis: SessionAnalysis | undefined;
  /** What was used by tries that came to nothing, where their provider told. */
  used: Usage;
  /** What to do once it was answered. */
  afterwards?: (answer: Part[]) => Promise<void>;
  /** Headers of ours that its answer has, or the error instead of it. */
  headers: Record<string, string>;
  /** Of an answer in a conversation. */
  journal: Journal | undefined;
}

/** An answer in a conversation, and what it answers: as `admit_message` takes them. */
export interface AnswerMessage {
  conversation_id: string;
  action: 'send' | 'answer' | 'continue';
  answer_id: string;
  message: {
    id?: string;
    parent_message_id: string | null;
    parts?: Json;
    content_type?: string;
    content_tokens?: number;
    metadata?: Json;
    follows_leaf?: boolean;
    key_id?: string;
    request_hash: string;
    counted: Record<string, number>;
  };
}

/** An analysis in a session, as `admit_session_analysis` takes it. */
export interface SessionAnalysis {
  session_id: string;
  sequence_number: number;
  request_hash: string;
  segment: { characters: number; duration_seconds: number; started_at?: string };
}

/** The conversation went on meanwhile: what is to be sent has to be read again. */
export class StaleError extends Error {}

/** An answer that was kept under an Idempotency-Key. */
export interface KeptAnswer {
  body: string;
  contentType: string;
}

/** What a finished call was charged, and what the caller can spend now where that is theirs to know, in credits. */
export interface Settlement {
  credits_charged: number;
  credits_available?: number;
  /** Of a conversation: the answer, and what it answers. */
  answer?: Loose;
  message?: Loose;
  /** Of a session: the analysis, and how the session stands. */
  analysis?: Loose;
  meter?: Loose;
}

/** How a call ended. */
export interface Ending {
  status: 'success' | 'failed' | 'canceled' | 'refused';
  usage: Usage;
  images?: number;
  /** The answer has nothing in it: it is free, as a rule. */
  isEmpty?: boolean;
  /** The request's own settings may be why it ended where it did. */
  mayBeCutShort?: boolean;
  /** Who answered. */
  candidate?: Candidate;
  answer?: Loose;
  /** `shown`: to who asked, where that is another sentence. */
  error?: { code: string; message: string; shown?: string };
  /** Kept for a repeated request, where the workspace keeps all content. */
  kept?: KeptAnswer;
  /** What an analysis found. */
  verdict?: Json;
}

interface Admission extends Refusal {
  admitted: boolean;
  hold_id: string;
  candidates: Candidate[];
  output_limit: number | null;
  credits_held: number;
  timeout_seconds: number;
  log_content: LogContent;
  /** For endpoints whose prompts are checked. */
  moderation?: Moderation;
  answer?: KeptAnswer;
  request_id?: string;
  is_stale?: boolean;
  /** Of the answer that is being made. */
  message_id?: string;
  answer_id?: string;
  /** What the same analysis found before, and how its session stands now. */
  analysis?: Loose;
  meter?: Loose;
}

/** What is known of a request when it comes in. */
export interface Incoming {
  caller: Caller;
  requestId: string;
  model: string;
  request: unknown;
  details: CallDetails;
  repeatable: Repeatable;
  /** Where its answer is a message. */
  message?: AnswerMessage;
  /** Where its answer is an analysis. */
  analysis?: SessionAnalysis;
  /** Whether it counts to the messages of a plan, as a rule by its model. */
  isMessage?: boolean;
  /** Something else that is charged pays for it: it takes no credits of its own. */
  isIncluded?: boolean;
}

/**
 * Admits a call, or returns the answer that the same request had before.
 * Throws ApiError with what admission refuses: 401, 402, 403, 404, 409, 429 (with `retry-after` where waiting helps), 503.
 */
export async function admit(
  incoming: Incoming,
  worstCase: WorstCase,
): Promise<Call | { kept: KeptAnswer; of: string }> {
  const { caller, requestId, details, repeatable, request, message, analysis } = incoming;
  const startedAt = Date.now();
  const { input_tokens, max_output_tokens, parts, fields } = worstCase;
  const call = {
    ...caller,
    ...{ input_tokens, max_output_tokens, parts, fields },
    model: toStorable(incoming.model),
    request_id: requestId,
    details: details as unknown as Json,
  };
  const admission = (await run(() => {
    if (message) return database.rpc('admit_message', { ...call, ...message });
    if (analysis) return database.rpc('admit_session_analysis', { ...call, ...analysis });
    const { isMessage: counts_message, isIncluded: is_included } = incoming;
    return database.rpc('admit_ai_call', { ...call, ...worstCase, ...repeatable, counts_message, is_included });
  })) as unknown as Admission;
  if (admission.answer) return { kept: admission.answer, of: admission.request_id ?? '' };
  if (admission.analysis) return { kept: keptAnalysis(admission), of: '' };
  if (admission.is_stale) throw new StaleError();
  if (!admission.admitted) throw named(refusalError(admission), admission);
  return {
    holdId: admission.hold_id,
    requestId,
    candidates: admission.candidates,
    outputLimit: admission.output_limit,
    creditsHeld: admission.credits_held,
    deadline: startedAt + admission.timeout_seconds * 1000,
    lostAt: startedAt + LONGEST_LIFE,
    heartbeat: (repeatable.idempotency_key ?? message ?? analysis) ? beat(admission.hold_id) : undefined,
    logContent: admission.log_content,
    moderation: admission.moderation,
    isRepeatable: repeatable.idempotency_key !== undefined && admission.log_content === 'full',
    details,
    request,
    attempts: [],
    message,
    analysis,
    used: NOTHING_USED,
    journal: message && new Journal(message.answer_id),
    headers: message ? messageHeaders(message.message.id ?? message.message.parent_message_id, message.answer_id) : {},
  };
}

/** An analysis as its request is answered, the first time and again. */
export function keptAnalysis({ analysis, meter }: Pick<Settlement, 'analysis' | 'meter'>): KeptAnswer {
  return { body: JSON.stringify({ analysis, ...meter }), contentType: 'application/json' };
}

/** Headers that name an answer in a conversation, and the message that it answers. */
export function messageHeaders(messageId: string | null | undefined, answerId: string): Record<string, string> {
  return { ...(messageId ? { 'x-message-id': messageId } : {}), 'x-answer-id': answerId };
}

/** A refusal that says which answer is in the way. */
function named(error: ApiError, { message_id, answer_id }: Pick<Admission, 'message_id' | 'answer_id'>): ApiError {
  if (answer_id === undefined) return error;
  const headers = { ...error.headers, ...messageHeaders(message_id, answer_id) };
  return new ApiError(error.status, error.code, error.message, error.param, headers);
}

function beat(hold_id: string): Call['heartbeat'] {
  return setInterval(() => void database.rpc('extend_ai_call', { hold_id }).then(), HEARTBEAT);
}

/**
 * Tells the database what a stream has used so far, so that its hold covers what comes next. Returns the output tokens that
 * are covered now; undefined where wallet or key cannot pay for more.
 */
export async function extend(call: Call, candidate: Candidate, usage: Usage): Promise<number | undefined> {
  const extension = (await run(() =>
    database.rpc('extend_ai_call', {
      hold_id: call.holdId,
      prompt_tokens: usage.prompt,
      completion_tokens: usage.completion,
      served_model: candidate.model,
    }),
  )) as unknown as { extended: boolean; output_tokens_covered: number };
  return extension.extended ? extension.output_tokens_covered : undefined;
}

/**
 * Finishes a call, once: a try whose answer was lost is answered the same by the next. Throws SettlementError where
 * Postgres cannot be reached for as long as the function lives, and where the workspace was deleted meanwhile, which took
 * the hold along.
 */
export async function finish(call: Call, ending: Ending): Promise<Settlement> {
  const { status, usage, candidate, error } = ending;
  // All events are there once the answer has ended: who follows it knows by its end that nothing more comes.
  await call.journal?.close(call.lostAt - Date.now());
  const end = {
    hold_id: call.holdId,
    ending: status,
    prompt_tokens: usage.prompt,
    cached_tokens: usage.cached,
    completion_tokens: usage.completion,
    pools: { ...usage.pools },
    usage_source: usage.source,
    written_tokens: usage.written ?? 0,
    served_model: candidate?.model,
    details: {
      attempts: call.attempts.map((attempt) => ({ ...attempt, said: storedWords(attempt, call) })),
      request_data: toLogData(call.request, call.logContent),
      response_data: toLogData(ending.answer, call.logContent),
      error_code: error?.code,
      error_message: error && toStorable(error.message),
    } as unknown as Json,
  };
  const written = call.message && (await writtenAnswer(ending));
  const isWhole = objectIn(call.request)?.stream !== true;
  const finishing = run(() => {
    // It takes no credits, whatever is in it.
    if (call.analysis) return database.rpc('finish_session_analysis', { ...end, verdict: ending.verdict });
    const { isEmpty = false, mayBeCutShort = false, images = 0, kept } = ending;
    const whole = { ...end, is_empty: isEmpty, may_be_cut_short: mayBeCutShort };
    if (written) return database.rpc('finish_message', { ...whole, answer: written, gives_messages: isWhole });
    return database.rpc('finish_ai_call', { ...whole, images, answer: kept as Json | undefined });
  }, call.lostAt - Date.now());
  try {
    const settlement = (await finishing) as unknown as Settlement;
    if (status === 'success' && call.afterwards)
      keepAlive(call.afterwards(ending.answer ? partsOf(ending.answer) : []));
    return settlement;
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.code === 'not_found')
      throw new SettlementError(404, 'not_found', 'The workspace was deleted while the call ran.');
    // All that is needed to settle it by hand: its log row will say no more than that it was lost.
    const facts = { request_id: call.requestId, hold_id: call.holdId, status, usage, served_model: candidate?.model };
    console.error(`call not settled: ${JSON.stringify(facts)}`, thrown);
    const message = `Request ${call.requestId} ended (${status}) and could not be settled. Its credits come back later.`;
    throw new SettlementError(503, 'unavailable', message, null, call.headers);
  } finally {
    clearInterval(call.heartbeat);
  }
}

/** What is kept of an answer as a message. */
async function writtenAnswer({ answer, error }: Ending): Promise<Json> {
  const parts = answer ? partsOf(answer) : [];
  const [choice] = objectsIn(answer?.choices);
  return {
    parts: cleanJson(parts, toStorable) as Json,
    content_tokens: parts.length > 0 ? await countParts(parts) : 0,
    finish_reason: error ? (error.code === 'cut_off' ? 'length' : null) : choice ? finishReasonOf(choice) : null,
    error_message: error ? toStorable(error.shown ?? error.message) : null,
  };
}

/** What the log keeps of a provider's words: nothing of an answer that is not kept, as those of sessions never are. */
function storedWords({ said }: Attempt, { logContent, candidates, analysis }: Call): string | undefined {
  if (!said || logContent === 'none' || (said.isAnswer && (analysis || logContent !== 'full'))) return undefined;
  const secrets = candidates.flatMap(({ api_key_env, base_url }) => {
    const { username, password, search } = new URL(base_url ?? 'http://localhost');
    return [Deno.env.get(api_key_env)?.trim() ?? '', username, password, search.slice(1)];
  });
  // Hidden before it is cut: the rest of a secret that was cut would not be known as one.
  return toStorable(hideSecrets(said.text.slice(0, LARGEST_SAID * 4), secrets)).slice(0, LARGEST_SAID);
}

/** Ends a call as failed (as refused, where its prompt was denied), uncharged, and returns the error for the client. */
export async function fail(call: Call, thrown: unknown, answer?: Loose): Promise<ApiError> {
  if (thrown instanceof SettlementError) return thrown;
  const error = upstreamFailure(thrown);
  const { code, message, cause, status, param, headers } = error;
  noteFailure(call.attempts.at(-1), error);
  const isStopped = thrown instanceof StoppedError;
  const finishing = finish(call, {
    status: isStopped ? 'canceled' : thrown instanceof PromptDeniedError ? 'refused' : 'failed',
    usage: call.used,
    isEmpty: true,
    answer,
    error: isStopped ? undefined : { code, message: String(cause ?? message), shown: message },
  }).catch(() => undefined); // reported already; the sweep ends it
  keepAlive(finishing);
  await Promise.race([finishing, new Promise((resolve) => setTimeout(resolve, FAILURE_WAITS))]);
  // A provider names places too: one that the caller did not send would tell of what is behind us.
  const isTheirs = param === null || (!call.message && isPlaceIn(call.request, param));
  return new ApiError(status, code, message, isTheirs ? param : null, { ...headers, ...call.headers });
}

/** Whether a path (`messages.0.content`, `messages[0].content`) leads to something in a request. */
function isPlaceIn(request: unknown, path: string): boolean {
  if (!/^[^.[\]]+(\.[^.[\]]+|\[\d+\])*$/.test(path)) return false;
  let value = request;
  for (const name of path.split(/[.[\]]+/).filter((part) => part !== '')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false;
    value = (value as Record<string, unknown>)[name];
  }
  return true;
}

/** A call that was answered could not be settled: it must not be finished as failed, for it was used. */
export class SettlementError extends ApiError {}

/** Headers that say what a call was charged and what the caller can still spend, in credits. */
export function chargeHeaders(call: Call, { credits_charged, credits_available }: Settlement): Record<string, string> {
  const headers = { ...limitHeaders(call), 'x-credits-charged': String(credits_charged) };
  return credits_available === undefined ? headers : { ...headers, 'x-credits-available': String(credits_available) };
}

/** Headers that are known before an answer: where it was limited to what the wallet pays for, in tokens; of a message its ids. */
export function limitHeaders(call: Call): Record<string, string> {
  return { ...call.headers, ...(call.outputLimit === null ? {} : { 'x-output-limit': String(call.outputLimit) }) };
}

/** The output limits a request goes upstream with: its own, or the lower one in the fields it used, else in the model's. */
export function limitOutput<T extends { max_tokens?: number | null; max_completion_tokens?: number | null }>(
  request: T,
  limit: number | null,
  candidate: Candidate,
): T {
  if (limit === null) return request;
  const named = (['max_tokens', 'max_completion_tokens'] as const).filter((field) => request[field] != null);
  const fields = named.length > 0 ? named : [candidate.output_limit_field];
  return {
    ...request,
    ...Object.fromEntries(fields.map((field) => [field, Math.min(request[field] ?? limit, limit)])),
  };
}
