/** What all endpoints that ask a provider have in common: admitted, answered, settled. */
import type { Caller } from '../_shared/auth.ts';
import { readCallDetails, readIdempotencyKey } from '../_shared/call-facts.ts';
import { keepAlive } from '../_shared/edge-runtime.ts';
import { moderate } from '../_shared/moderation.ts';
import { errorIn, type Loose, outline, parseObject } from './answer.ts';
import { decodeText } from './body.ts';
import {
  admit,
  type Call,
  chargeHeaders,
  fail,
  finish,
  type KeptAnswer,
  LARGEST_KEPT,
  type WorstCase,
} from './call.ts';
import type { Fields } from './fields.ts';
import { type Count, countInput, type ModelInput, mostInputTokens } from './input.ts';
import { told, toldBytes } from './names.ts';
import { readTier, readUsage } from './pools.ts';
import { type RequestShape, readRequest } from './request.ts';
import { type Answer, type Candidate, callUpstream, isTooLong, refusalIn, upstreamError } from './upstream.ts';
import { type Usage, usageOf } from './usage.ts';

/** Answers the client, once it is known what with. */
export type Respond = () => Response | Promise<Response>;

/** One endpoint of the provider's API. */
export interface Endpoint<T extends { model: string }> {
  /** Below the provider's base URL. */
  path: string;
  shape: RequestShape<T>;
  /** What the id of an answer is made of, where answers have one. */
  answerId?(requestId: string): string;
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
  /** The bulk of its answers is data that nobody reads on the way: numbers and files. */
  isBulky?: boolean;
  /** Reads a whole answer (its outline, where it is bulky); undefined where it is not what the protocol promises. */
  read(answer: Loose, request: T): Reading | undefined;
  /** The answer for the client from what was read, where it is not the provider's own, byte by byte. */
  convert?(outline: Loose, answer: () => Loose | undefined, request: T): Loose | undefined;
  /** What answers with a stream, where the request asks for one. */
  relay?(call: Call, request: T, answer: Answer): Promise<Respond> | undefined;
}

/** What is read of a whole answer. */
export interface Reading {
  /** The text that was written, for counting its tokens. */
  output: string;
  /** Nothing was written or made. */
  isEmpty: boolean;
  /** The request's own settings may be why it ended where it did. */
  mayBeCutShort?: boolean;
  images?: number;
  /** What was sent, where it needs no tokenizer. */
  input?: Count;
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
  const worstCase = worstCaseOf(endpoint, request, fields);
  const incoming = { caller, requestId, model: request.model, request, details: readCallDetails(http.headers) };
  const repeatable = readIdempotencyKey(http, text);
  const call = await admit({ ...incoming, repeatable }, worstCase);
  if ('kept' in call) return repeated(call.kept, call.of);
  return answerAdmitted(endpoint, request, call);
}

/** The most of a request, for its admission; `fields` are the names in it that no endpoint knows. */
export function worstCaseOf<T extends { model: string }>(endpoint: Endpoint<T>, request: T, fields: Fields): WorstCase {
  const input = endpoint.inputOf(request, fields);
  return {
    input_tokens: mostInputTokens(input),
    ...endpoint.worstCase(request),
    parts: Object.fromEntries(input.parts),
    fields: Object.fromEntries(fields),
  };
}

/** Answers a call that was admitted; with `shorter`, once again with that where the model's context is too small. */
export function answerAdmitted<T extends { model: string }>(
  endpoint: Endpoint<T>,
  request: T,
  call: Call,
  shorter?: () => T | undefined,
): Promise<Response> {
  const work = ask(endpoint, request, call, shorter);
  // A client that leaves does not stop it: what the provider was asked for is paid for.
  keepAlive(work);
  return work;
}

async function ask<T extends { model: string }>(
  endpoint: Endpoint<T>,
  request: T,
  call: Call,
  shorter?: () => T | undefined,
): Promise<Response> {
  try {
    if (endpoint.promptOf) await moderate(call.moderation, endpoint.promptOf(request), call.requestId, Deno.env);
    const respond = await askUpstream(endpoint, request, call).catch((error) => {
      const less = isTooLong(error) ? shorter?.() : undefined;
      if (less === undefined) throw error;
      call.request = less;
      return askUpstream(endpoint, less, call);
    });
    return await respond();
  } catch (error) {
    throw await fail(call, error);
  }
}

function askUpstream<T extends { model: string }>(endpoint: Endpoint<T>, request: T, call: Call): Promise<Respond> {
  return callUpstream(
    call.candidates,
    endpoint.path,
    (candidate: Candidate) => endpoint.upstreamBody(request, candidate, call),
    call.deadline,
    call.attempts,
    (answer) => endpoint.relay?.(call, request, answer) ?? readWhole(endpoint, request, call, answer),
    // A whole answer is not stopped: before its first byte comes, the provider has made and charges all of it.
    isStreamed(request) ? call.journal?.stop : undefined,
  );
}

function isStreamed(request: object): boolean {
  return 'stream' in request && request.stream === true;
}

/** A whole answer that was read, and what it used. */
export interface WholeAnswer {
  answer: Loose;
  bytes: Uint8Array<ArrayBuffer>;
  reading: Reading;
  usage: Usage;
}

/** Reads a whole answer. Throws the provider's error where it is one, and 502 `upstream_error` for what is no answer. */
export async function readAnswer<T extends { model: string }>(
  endpoint: Endpoint<T>,
  request: T,
  { candidate, body }: Answer,
): Promise<WholeAnswer> {
  const bytes = await body.bytes();
  const answer = parseObject(decodeText(endpoint.isBulky ? outline(bytes) : bytes));
  const error = answer && errorIn(answer);
  if (error !== undefined) throw refusalIn(error);
  const reading = answer && endpoint.read(answer, request);
  if (!reading) throw upstreamError('not the answer that was asked for', decodeText(bytes.subarray(0, 4_000)), true);
  const usage = await usageOf(
    readUsage(answer),
    true,
    async () => reading.input ?? countInput(endpoint.inputOf(request, new Map()), candidate.part_tokens),
    reading.output,
    readTier(answer),
  );
  return { answer, bytes, reading, usage };
}

/** Reads a whole answer, and returns what settles the call and answers the client. */
async function readWhole<T extends { model: string }>(
  endpoint: Endpoint<T>,
  request: T,
  call: Call,
  whole: Answer,
): Promise<Respond> {
  const { answer, bytes, reading, usage } = await readAnswer(endpoint, request, whole);
  const converted = endpoint.convert?.(answer, () => parseObject(decodeText(bytes)), request);
  const own = converted ? new TextEncoder().encode(JSON.stringify(converted)) : bytes;
  const shown = told(answer, { model: request.model, id: endpoint.answerId?.(call.requestId) });
  return () => settle(call, whole.candidate, shown, usage, reading, toldBytes(own, answer, shown));
}

async function settle(
  call: Call,
  candidate: Candidate,
  answer: Loose,
  usage: Usage,
  reading: Reading,
  sent: Uint8Array<ArrayBuffer>,
): Promise<Response> {
  const contentType = 'application/json';
  const settlement = await finish(call, {
    status: 'success',
    usage,
    images: reading.images,
    isEmpty: reading.isEmpty && usage.completion === 0,
    mayBeCutShort: reading.mayBeCutShort,
    candidate,
    answer,
    kept: call.isRepeatable && sent.length <= LARGEST_KEPT ? { body: decodeText(sent), contentType } : undefined,
  });
  const { message, answer: written } = settlement;
  const body = call.message ? JSON.stringify({ message, answer: written }) : sent;
  return new Response(body, { headers: { 'content-type': contentType, ...chargeHeaders(call, settlement) } });
}

/** The answer that the same request had before. */
function repeated({ body, contentType }: KeptAnswer, firstRequestId: string): Response {
  return new Response(body, { headers: { 'content-type': contentType, 'x-first-request-id': firstRequestId } });
}
