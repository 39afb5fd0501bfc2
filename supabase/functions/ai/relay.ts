/** A chat stream: passed on as it arrives, its hold extended as it goes, settled before its last event. */
import { ApiError, errorBody } from '../_shared/errors.ts';
import { type Call, type Ending, extend, fail, finish, limitHeaders } from './call.ts';
import type { ChatRequest } from './request.ts';
import { StreamReader } from './stream.ts';
import { type Answer, DeadlineError, upstreamError } from './upstream.ts';
import { countUsage, type Usage } from './usage.ts';

/** A stream tells the books how far it is so often, ms: what is lost when a function is killed is no more than that. */
const REPORT_EVERY = 10_000;
/** Streams longer than this are not kept for a repeated request, characters. */
const LARGEST_KEPT = 256 * 1024;
const DONE = 'data: [DONE]\n\n';
const CONTENT_TYPE = 'text/event-stream; charset=utf-8';
const encoder = new TextEncoder();

/** Where the events go: the client while it is there, and a copy where the answer is kept. */
class Client {
  isGone = false;
  #kept: string | undefined;
  readonly #decoder = new TextDecoder();

  constructor(
    private readonly controller: ReadableStreamDefaultController<Uint8Array>,
    isKept: boolean,
  ) {
    this.#kept = isKept ? '' : undefined;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (!this.isGone) this.controller.enqueue(bytes);
    if (this.#kept === undefined) return;
    this.#kept += this.#decoder.decode(bytes, { stream: true });
    if (this.#kept.length > LARGEST_KEPT) this.#kept = undefined;
  }

  close(): void {
    if (!this.isGone) this.controller.close();
  }

  /** What a repeated request gets, once `[DONE]` is added. */
  get kept() {
    return this.#kept === undefined ? undefined : { body: this.#kept + DONE, contentType: CONTENT_TYPE };
  }
}

/** Answers with the provider's stream; `[DONE]` comes once the call is settled. */
export function relay(call: Call, request: ChatRequest, answer: Answer): Response {
  let client: Client;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      client = new Client(controller, call.isRepeatable);
      EdgeRuntime.waitUntil(pump(call, request, answer, client).finally(() => client.close()));
    },
    cancel() {
      client.isGone = true;
      // Else the provider's answer is read to its end: it is what the provider charges for.
      if (answer.candidate.disconnect_policy === 'cancel') answer.body.cancel();
    },
  });
  const headers = { 'content-type': CONTENT_TYPE, 'cache-control': 'no-cache', ...limitHeaders(call) };
  return new Response(body, { headers: { ...headers, 'x-credits-held': String(call.creditsHeld) } });
}

async function pump(call: Call, request: ChatRequest, answer: Answer, client: Client): Promise<void> {
  const reader = new StreamReader(!request.stream_options?.include_usage);
  try {
    const cutOff = await passOn(call, request, answer, client, reader);
    const usage = await usageOf(request, reader);
    if (cutOff) client.send(reader.cutOffEvents(usage));
    const settlement = await finish(call, {
      ...endingOf(client, answer, reader, usage, cutOff),
      candidate: answer.candidate,
      usage,
      answer: reader.answer,
      kept: client.kept,
    });
    // A comment, for those who read along: headers are out by now.
    client.send(encoder.encode(`: credits ${JSON.stringify(settlement)}\n\n`));
    if (reader.isDone || cutOff) client.send(encoder.encode(DONE));
  } catch (error) {
    const failure = await fail(call, error, reader.answer);
    client.send(encoder.encode(`data: ${JSON.stringify(errorBody(failure, call.requestId))}\n\n`));
  }
}

/** Passes events on until the stream ends; returns why it was cut off, if it was. */
async function passOn(call: Call, request: ChatRequest, answer: Answer, client: Client, reader: StreamReader) {
  let covered = answer.candidate.output_tokens_covered;
  let reportedAt = Date.now();
  try {
    for await (const bytes of answer.body.chunks()) {
      client.send(reader.read(bytes));
      const isPastCover = reader.outputSoFar > covered;
      if (!isPastCover && Date.now() - reportedAt < REPORT_EVERY) continue;
      reportedAt = Date.now();
      const now = await extendBySoFar(call, request, answer, reader);
      if (now === undefined && isPastCover && !reader.isComplete)
        return 'Its wallet or API key could not pay for more.';
      covered = now ?? covered;
    }
  } catch (error) {
    // What came until the call's time was up was delivered, and counts.
    if (error instanceof DeadlineError && reader.text !== '') return 'Its time was up.';
    throw error;
  }
  client.send(reader.flush());
  return undefined;
}

async function extendBySoFar(call: Call, request: ChatRequest, answer: Answer, reader: StreamReader) {
  const usage: Usage = { ...(await usageOf(request, reader)), completion: reader.outputSoFar };
  return extend(call, answer.candidate, usage).catch((error) => {
    if (!(error instanceof ApiError)) console.error(`request ${call.requestId} could not be extended:`, error);
    return undefined;
  });
}

/** How a stream ended that did not fail. Throws `upstream_error` where it did. */
function endingOf(
  client: Client,
  answer: Answer,
  reader: StreamReader,
  usage: Usage,
  cutOff: string | undefined,
): Pick<Ending, 'status' | 'isEmpty' | 'error'> {
  const status = client.isGone ? 'canceled' : 'success';
  if (cutOff) return { status, error: { code: 'cut_off', message: cutOff } };
  if (client.isGone && answer.candidate.disconnect_policy === 'cancel') return { status };
  if (reader.error) throw upstreamError(`error in the stream: ${reader.error}`);
  if (!reader.isComplete) throw upstreamError('the stream was cut off');
  const isEmpty = reader.text === '' && usage.completion === 0;
  return { status, isEmpty };
}

async function usageOf(request: ChatRequest, reader: StreamReader): Promise<Usage> {
  return reader.usage ?? (await countUsage(inputOf(request), reader.text));
}

/** All of a chat request that the model reads. */
export function inputOf({ messages, tools, functions, response_format }: ChatRequest): unknown {
  return [messages, tools, functions, response_format].filter((part) => part !== undefined);
}
