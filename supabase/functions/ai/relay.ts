/** A chat stream: passed on as it arrives, its hold extended as it goes, settled before its last event. */
import { errorBody } from '../_shared/errors.ts';
import { type Call, type Ending, extend, fail, finish, limitHeaders } from './call.ts';
import { type Count, chatInput, countInput } from './input.ts';
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
      const stream = new Stream(call, request, answer, client);
      EdgeRuntime.waitUntil(stream.pump().finally(() => client.close()));
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

/** One stream on its way: from the provider, past the books, to the client. */
class Stream {
  readonly #reader: StreamReader;
  #input: Promise<Count> | undefined;

  constructor(
    private readonly call: Call,
    private readonly request: ChatRequest,
    private readonly answer: Answer,
    private readonly client: Client,
  ) {
    this.#reader = new StreamReader(!request.stream_options?.include_usage);
  }

  /** Passes the stream on and settles it; what goes wrong is told to the client within the stream. */
  async pump(): Promise<void> {
    const { call, client } = this;
    try {
      const cutOff = await this.#passOn();
      const usage = this.#reader.usage ?? (await countUsage(await this.#countedInput(), this.#reader.text));
      if (cutOff) client.send(this.#reader.cutOffEvents(usage));
      const settlement = await finish(call, this.#ending(usage, cutOff));
      // A comment, for those who read along: headers are out by now.
      client.send(encoder.encode(`: credits ${JSON.stringify(settlement)}\n\n`));
      if (this.#reader.isDone || cutOff) client.send(encoder.encode(DONE));
    } catch (error) {
      const failure = await fail(call, error, this.#reader.answer);
      client.send(encoder.encode(`data: ${JSON.stringify(errorBody(failure, call.requestId))}\n\n`));
    }
  }

  /** Passes events on until the stream ends; returns why it was cut off, if it was. */
  async #passOn(): Promise<string | undefined> {
    const { answer, client } = this;
    let covered = answer.candidate.output_tokens_covered;
    let reportedAt = Date.now();
    try {
      for await (const bytes of answer.body.chunks()) {
        client.send(this.#reader.read(bytes));
        const isPastCover = this.#reader.outputSoFar > covered;
        if (!isPastCover && Date.now() - reportedAt < REPORT_EVERY) continue;
        reportedAt = Date.now();
        const now = await this.#extend();
        if (now === undefined && isPastCover && !this.#reader.isComplete) {
          return 'Its wallet or API key could not pay for more.';
        }
        covered = now ?? covered;
      }
    } catch (error) {
      // What came until the call's time was up was delivered, and counts.
      if (error instanceof DeadlineError && this.#reader.text !== '') return 'Its time was up.';
      throw error;
    }
    client.send(this.#reader.flush());
    return undefined;
  }

  /** Tells the books how far it is; returns the output tokens that are covered now, undefined where there is no more. */
  async #extend(): Promise<number | undefined> {
    const prompt = this.#reader.usage?.prompt ?? (await this.#countedInput()).tokens;
    const usage: Usage = { prompt, cached: 0, completion: this.#reader.outputSoFar, source: 'estimated' };
    return extend(this.call, this.answer.candidate, usage).catch((error) => {
      console.error(`request ${this.call.requestId} could not be extended:`, error);
      return undefined;
    });
  }

  /** How it ended, where it did not fail. Throws `upstream_error` where it did. */
  #ending(usage: Usage, cutOff: string | undefined): Ending {
    const { candidate } = this.answer;
    const { error, isComplete, text, answer } = this.#reader;
    const isStopped = this.client.isGone && candidate.disconnect_policy === 'cancel';
    if (!cutOff && !isStopped && error) throw upstreamError(`error in the stream: ${error}`);
    if (!cutOff && !isStopped && !isComplete) throw upstreamError('the stream was cut off');
    return {
      status: this.client.isGone ? 'canceled' : 'success',
      isEmpty: isComplete && text === '' && usage.completion === 0,
      error: cutOff ? { code: 'cut_off', message: cutOff } : undefined,
      candidate,
      usage,
      answer,
      kept: this.client.kept,
    };
  }

  /** Counted once, when it is first needed: a long input is work. */
  #countedInput(): Promise<Count> {
    this.#input ??= countInput(chatInput(this.request, new Map()), this.answer.candidate.part_tokens);
    return this.#input;
  }
}
