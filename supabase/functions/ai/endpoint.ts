/** What all endpoints that ask a provider have in common: admitted, answered, settled. */
import type { Caller } from '../_shared/auth.ts';
import { readCallDetails, readIdempotencyKey } from '../_shared/call-facts.ts';
import { keepAlive } from '../_shared/edge-runtime.ts';
import { moderate } from '../_shared/moderation.ts';
import { admit, type Call, chargeHeaders, fail, finish, type KeptAnswer, type WorstCase } from './call.ts';
import type { Fields } from './fields.ts';
import { countInput, type ModelInput, mostInputTokens } from './input.ts';
import { type RequestShape, readRequest } from './request.ts';
import { type Answer, type Candidate, callUpstream, upstreamError } from './upstream.ts';
import { countUsage, type Usage } from './usage.ts';

/** One endpoint of the provider's API. */
export interface Endpoint<T extends { model: string }> {
  /** Below the provider's base URL. */
  path: string;
  shape: RequestShape<T>;
  /** All of a request that the model reads; what names no endpoint knows are in it is added to `fields`. */
  inputOf(request: T, fields: Fields): ModelInput;
  /** The most a request can use; `input_tokens` where its input is not text. */
  worstCase(
    request: T,
  ): Omit<WorstCase, 'input_tokens' | 'parts' | 'fields'> & Partial<Pick<WorstCase, 'input_tokens'>>;
  /** The request as a provider gets it. */
  upstreamBody(request: T, candidate: Candidate, call: Call): unknown;
  /** What moderation has to see of a request, for endpoints that it is about. */
  promptOf?(request: T): string;
  /** Reads a whole answer; undefined where it is not what the protocol promises. */
  read(answer: Record<string, unknown>, request: T): Reading | undefined;
  /** Answers with a stream, where the request asks for one. */
  relay?(call: Call, request: T, answer: Answer): Response | undefined;
}

/** What is read of a whole answer. */
export interface Reading {
  /** Undefined where the provider reported none. */
  usage: Usage | undefined;
  /** The text that was written, for counting its tokens. */
  output: string;
  /** Nothing was written or made. */
  isEmpty: boolean;
  images?: number;
  /** The answer for the client, where it is not the provider's own, byte by byte. */
  answer?: unknown;
}

/**
 * Answers a request of an endpoint. Throws ApiError: what the request has wrong (400), what admission refuses (401, 402,
 * 403, 404, 409, 429, 503), what the provider does (502, 504).
 */
export async function answerCall<T extends { model: string }>(
  endpoint: Endpoint<T>,
  http: Request,
  caller: Caller,
  requestId: string,
): Promise<Response> {
  const { request, text, fields } = await readRequest(http, endpoint.shape);
  const input = endpoint.inputOf(request, fields);
  const worstCase: WorstCase = {
    input_tokens: mostInputTokens(input),
    ...endpoint.worstCase(request),
    parts: Object.fromEntries(input.parts),
    fields: Object.fromEntries(fields),
  };
  const incoming = { caller, requestId, model: request.model, request, details: readCallDetails(http.headers) };
  const repeatable = await readIdempotencyKey(http, text);
  const call = await admit({ ...incoming, repeatable }, worstCase);
  if ('kept' in call) return repeated(call.kept, call.of);
  const work = ask(endpoint, request, call);
  // A client that leaves does not stop it: what the provider was asked for is paid for.
  keepAlive(work);
  return work;
}

async function ask<T extends { model: string }>(endpoint: Endpoint<T>, request: T, call: Call): Promise<Response> {
  try {
    if (endpoint.promptOf) await moderate(call.moderation, endpoint.promptOf(request), call.requestId, Deno.env);
    const bodyFor = (candidate: Candidate) => endpoint.upstreamBody(request, candidate, call);
    const answer = await callUpstream(call.candidates, endpoint.path, bodyFor, call.deadline, call.attempts);
    return endpoint.relay?.(call, request, answer) ?? (await settle(endpoint, request, call, answer));
  } catch (error) {
    throw await fail(call, error);
  }
}

async function settle<T extends { model: string }>(
  endpoint: Endpoint<T>,
  request: T,
  call: Call,
  { candidate, body }: Answer,
): Promise<Response> {
  const text = await body.text();
  const answer = parseObject(text);
  const reading = answer && endpoint.read(answer, request);
  if (!reading) throw upstreamError(`not the answer that was asked for: ${text.slice(0, 1000)}`);
  const countedInput = () => countInput(endpoint.inputOf(request, new Map()), candidate.part_tokens);
  const usage = reading.usage ?? (await countUsage(await countedInput(), reading.output));
  const sent: KeptAnswer = {
    body: reading.answer === undefined ? text : JSON.stringify(reading.answer),
    contentType: 'application/json',
  };
  const settlement = await finish(call, {
    status: 'success',
    usage,
    images: reading.images,
    isEmpty: reading.isEmpty && usage.completion === 0,
    candidate,
    answer,
    kept: call.isRepeatable ? sent : undefined,
  });
  return new Response(sent.body, { headers: { 'content-type': sent.contentType, ...chargeHeaders(call, settlement) } });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The answer that the same request had before. */
function repeated({ body, contentType }: KeptAnswer, firstRequestId: string): Response {
  return new Response(body, { headers: { 'content-type': contentType, 'x-first-request-id': firstRequestId } });
}
