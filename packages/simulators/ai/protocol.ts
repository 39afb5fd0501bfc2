/** What the endpoints share: reading a call, delays, and answers that break off. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Directive, takeDirectives, withoutFailures } from './directives.ts';
import { ApiError, ConnectionCut, errorResponse } from './errors.ts';
import type { Entry, Journal } from './journal.ts';

/** Before a connection is destroyed, what was sent gets this long to arrive: a client drops what it has not read. */
export const FLUSH_MS = 50;

/** One call as an endpoint sees it. */
export interface Call {
  url: URL;
  body: Record<string, unknown>;
  directive: Directive;
  /** The model's name without a directive. */
  model: string;
  /** The last user text, the prompt or the input, without a directive. */
  prompt: string;
  /** The journal's entry: endpoints write prompt and delivered tokens into it. */
  entry: Entry;
  signal: AbortSignal;
}

/** One endpoint of the protocol. */
export interface Endpoint {
  /** The text that a directive may stand in. Throws 400 where the body is off. */
  promptOf(body: Record<string, unknown>): string;
  /** The answer. */
  answer(call: Call): Response | Promise<Response>;
}

const baseSchema = z.looseObject({ model: z.string().min(1), stream: z.boolean().nullish() });

/** Reads a call, obeys what its directive says of errors and delays, and has the endpoint answer the rest. */
export async function serve(request: Request, path: string, endpoint: Endpoint, journal: Journal): Promise<Response> {
  const body = await readBody(request);
  const url = new URL(request.url);
  const base = parseWith(baseSchema, body);
  const { directive, texts } = takeDirectives([base.model, endpoint.promptOf(body)]);
  const [model = '', prompt = ''] = texts;
  const key = directive.key ?? '';
  const entry = journal.open({ key, path, model, stream: base.stream === true, body });
  const active = journal.countTry(key) > (directive.times ?? Infinity) ? withoutFailures(directive) : directive;
  try {
    await pause(active.delay_ms, request.signal);
    if (active.error !== undefined) {
      throw new ApiError(active.error, `Simulated error ${active.error}.`, { retryAfter: active.retry_after });
    }
    const call = { url, body, directive: active, model, prompt, entry, signal: request.signal };
    return recorded(await endpoint.answer(call), entry);
  } catch (error) {
    const response = errorResponse(request.signal.aborted ? new ApiError(499, 'The client left.') : error);
    entry.outcome = request.signal.aborted ? 'canceled' : 'error';
    return recorded(response, entry);
  }
}

function recorded(response: Response, entry: Entry): Response {
  entry.status = response.status;
  response.headers.set('x-request-id', `req_${entry.id}`);
  return response;
}

/** The members of a JSON body, or of a form, whose files are told by what they are. */
async function readBody(request: Request): Promise<Record<string, unknown>> {
  if (!request.headers.get('content-type')?.startsWith('multipart/form-data')) return parseBody(await request.text());
  const form = await request.formData().catch(() => {
    throw new ApiError(400, 'We could not parse the form of your request.');
  });
  const members = [...form].map(([name, value]) => {
    return [name, typeof value === 'string' ? value : { name: value.name, type: value.type, size: value.size }];
  });
  return Object.fromEntries(members);
}

function parseBody(source: string): Record<string, unknown> {
  const wrong = new ApiError(400, 'We could not parse the JSON body of your request: it must be a JSON object.');
  let body: unknown;
  try {
    body = JSON.parse(source);
  } catch {
    throw wrong;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw wrong;
  return Object.fromEntries(Object.entries(body));
}

/** Checks a body with a schema. Throws 400 naming the parameter. */
export function parseWith<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const param = issue?.path.join('.') ?? '';
  throw new ApiError(400, `Invalid value for '${param}': ${issue?.message ?? ''}`, { param });
}

/** Waits, and throws when the client leaves meanwhile. */
export async function pause(milliseconds: number | undefined, signal: AbortSignal): Promise<void> {
  if (milliseconds) await sleep(milliseconds, undefined, { signal });
}

/** A whole JSON answer, or the broken one that the directive asks for. `tokens` is what counts as delivered. */
export function jsonAnswer(call: Call, answer: object, tokens: number): Response {
  const json = JSON.stringify(answer);
  if (call.directive.cut_after !== undefined) return cutAnswer(call, json);
  call.entry.outcome = 'complete';
  call.entry.tokens_delivered = tokens;
  const body = call.directive.malformed ? json.slice(0, -1) : json;
  return new Response(body, { headers: { 'content-type': 'application/json' } });
}

/** Half of the body, then a destroyed connection. */
function cutAnswer(call: Call, json: string): Response {
  call.entry.outcome = 'cut';
  const half = new TextEncoder().encode(json.slice(0, json.length / 2));
  const stream = ReadableStream.from(
    (async function* () {
      yield half;
      await sleep(FLUSH_MS);
      throw new ConnectionCut();
    })(),
  );
  // The length of the whole: the client then sees the cut instead of a short body.
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(json)) };
  return new Response(stream, { headers });
}
