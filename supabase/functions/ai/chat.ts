/** Chat completions: admitted in Postgres, answered by the provider, settled in Postgres. */
import { database, run } from '../_shared/database.ts';
import type { Json } from '../_shared/database.types.ts';
import type { AiProvider } from '../_shared/env.ts';
import { ApiError, errorBody } from '../_shared/errors.ts';
import { toLogData } from './log-data.ts';
import { type CallDetails, type ChatRequest, readCallDetails, readChatRequest } from './request.ts';
import { StreamReader } from './stream.ts';
import { callUpstream, upstreamError, upstreamFailure } from './upstream.ts';
import { estimateUsage, mostInputTokens, readUsage, type Usage } from './usage.ts';

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): unknown };

const encoder = new TextEncoder();
const NOTHING_USED: Usage = { prompt: 0, cached: 0, completion: 0 };

interface Call {
  holdId: string;
  requestId: string;
  request: ChatRequest;
  details: CallDetails & { request_data: unknown };
}

interface Admission {
  admitted: boolean;
  hold_id: string;
  upstream_model: string;
  status: number;
  code: string;
  message: string;
  param: string | null;
}

interface Settlement {
  credits_charged: number;
  credits_available: number;
}

/**
 * Answers `POST /v1/chat/completions` for a signed-in user. Throws ApiError: what the request has wrong, what admission
 * refuses (402, 403, 404, 503), what the provider does (502, 504).
 */
export async function completeChat(http: Request, userId: string, requestId: string, provider: AiProvider) {
  const request = await readChatRequest(http);
  const details = { ...readCallDetails(http.headers), request_data: toLogData(request) };
  const admission = await admit(userId, requestId, request, details);
  const call = { holdId: admission.hold_id, requestId, request, details };
  const body = upstreamBody(request, admission.upstream_model);
  try {
    const upstream = await callUpstream(provider, '/chat/completions', body);
    if (request.stream) return streamAnswer(upstream, call);
    return await settleAnswer(call, await upstream.text());
  } catch (error) {
    throw await failCall(call, error);
  }
}

async function admit(
  userId: string,
  requestId: string,
  request: ChatRequest,
  details: Call['details'],
): Promise<Admission> {
  const admission = (await run(() =>
    database.rpc('admit_ai_call', {
      user_id: userId,
      model: request.model.toWellFormed().replaceAll('\0', '\uFFFD'),
      input_tokens: mostInputTokens(request),
      max_output_tokens: outputLimit(request),
      choices: request.n ?? 1,
      request_id: requestId,
      details: details as unknown as Json,
    }),
  )) as unknown as Admission;
  if (admission.admitted) return admission;
  throw new ApiError(admission.status, admission.code, admission.message, admission.param);
}

/** The most output that the caller allows; of two limits the higher, for nobody knows which one the provider heeds. */
function outputLimit({ max_completion_tokens, max_tokens }: ChatRequest): number | undefined {
  return Math.max(max_completion_tokens ?? 0, max_tokens ?? 0) || undefined;
}

/** The request as the provider gets it: its own model name, and usage even where the client did not ask for it. */
function upstreamBody(request: ChatRequest, upstreamModel: string) {
  const body = { ...request, model: upstreamModel };
  return request.stream ? { ...body, stream_options: { ...request.stream_options, include_usage: true } } : body;
}

async function settleAnswer(call: Call, text: string): Promise<Response> {
  const answer = parseAnswer(text);
  const usage = readUsage(answer.usage) ?? estimateUsage(call.request.messages, textOf(answer));
  const settlement = await finish(call, 'success', usage, { response_data: toLogData(answer) });
  return new Response(text, { headers: { 'content-type': 'application/json', ...chargeHeaders(settlement) } });
}

function parseAnswer(text: string): { usage?: unknown; choices: unknown[] } {
  try {
    const answer = JSON.parse(text);
    if (Array.isArray(answer?.choices)) return answer;
  } catch {
    // Falls through: the same as an answer of another shape.
  }
  throw upstreamError(`no chat completion: ${text.slice(0, 1000)}`);
}

function textOf(answer: { choices: unknown[] }): string {
  return answer.choices.map((choice) => JSON.stringify((choice as { message?: unknown }).message ?? '')).join('');
}

function chargeHeaders(settlement: Settlement): Record<string, string> {
  return {
    'x-credits-charged': String(settlement.credits_charged),
    'x-credits-available': String(settlement.credits_available),
  };
}

function streamAnswer(upstream: Response, call: Call): Response {
  const source = upstream.body;
  if (!source) throw upstreamError('a stream was asked for and no body came');
  let clientIsGone = false;
  const body = new ReadableStream<Uint8Array>({
    start(client) {
      const send = (bytes: Uint8Array) => {
        if (!clientIsGone && bytes.length > 0) client.enqueue(bytes);
      };
      const work = relay(source, call, send, () => clientIsGone);
      EdgeRuntime.waitUntil(work.finally(() => clientIsGone || client.close()));
    },
    cancel() {
      // The provider's answer is read to its end all the same: it is what the provider charges for.
      clientIsGone = true;
    },
  });
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' };
  return new Response(body, { headers });
}

/** Passes a stream on, settles it, then ends it: a client that saw `[DONE]` has been charged. */
async function relay(
  source: ReadableStream<Uint8Array>,
  call: Call,
  send: (bytes: Uint8Array) => void,
  isCanceled: () => boolean,
) {
  const reader = new StreamReader(!call.request.stream_options?.include_usage);
  try {
    for await (const bytes of source) send(reader.read(bytes));
    send(reader.flush());
    if (reader.error) throw upstreamError(`error in the stream: ${reader.error}`);
    if (!reader.isComplete) throw upstreamError('the stream was cut off');
    const usage = reader.usage ?? estimateUsage(call.request.messages, reader.text);
    await finish(call, isCanceled() ? 'canceled' : 'success', usage, { response_data: toLogData(reader.answer) });
    if (reader.isDone) send(encoder.encode('data: [DONE]\n\n'));
  } catch (error) {
    const failure = await failCall(call, error, reader);
    send(encoder.encode(`data: ${JSON.stringify(errorBody(failure, call.requestId))}\n\n`));
  }
}

/** Ends a call as failed, uncharged, and returns the error for the client. */
async function failCall(call: Call, thrown: unknown, reader?: StreamReader): Promise<ApiError> {
  if (thrown instanceof SettlementError) return thrown.error;
  const error = upstreamFailure(thrown);
  const outcome = {
    error_code: error.code,
    error_message: toLogData(String(error.cause ?? error.message)),
    response_data: reader ? toLogData(reader.answer) : null,
  };
  try {
    await finish(call, 'failed', NOTHING_USED, outcome);
  } catch (failure) {
    // Its hold ends by itself.
    console.error(`request ${call.requestId} could not be finished:`, failure);
  }
  return error;
}

/** A call that was answered could not be settled: it must not be finished as failed, for it was used. */
class SettlementError extends Error {
  constructor(readonly error: ApiError) {
    super(error.message, { cause: error });
  }
}

async function finish(
  call: Call,
  ending: 'success' | 'failed' | 'canceled',
  usage: Usage,
  outcome: Record<string, unknown>,
): Promise<Settlement> {
  const finishing = run(() =>
    database.rpc('finish_ai_call', {
      hold_id: call.holdId,
      ending,
      prompt_tokens: usage.prompt,
      cached_tokens: usage.cached,
      completion_tokens: usage.completion,
      details: { ...call.details, ...outcome } as unknown as Json,
    }),
  );
  const settlement = await finishing.catch((error) => {
    console.error(`request ${call.requestId} could not be settled:`, error);
    throw new SettlementError(
      new ApiError(503, 'unavailable', 'The call could not be settled. Its credits stay set aside for now.'),
    );
  });
  return settlement as unknown as Settlement;
}
