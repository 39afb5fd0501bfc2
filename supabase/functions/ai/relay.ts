/** A chat stream: passed on as it arrives, its hold extended as it goes, settled before its last event. */
import { joined } from '../_shared/body.ts';
import { errorBody } from '../_shared/errors.ts';
import { asStream, errorIn, parseObject } from './answer.ts';
import { DeadlineError, decodeText, LengthError } from './body.ts';
import { type Call, type Ending, extend, fail, finish, LARGEST_KEPT, limitHeaders } from './call.ts';
import type { Respond } from './endpoint.ts';
import { type Count, chatInput, countInput } from './input.ts';
import { chatId } from './names.ts';
import { type ChatRequest, mayWriteNothing } from './request.ts';
import { StreamReader } from './stream.ts';
import { type Answer, refusalIn, upstreamError } from './upstream.ts';
import { type Usage, usageOf } from './usage.ts';

/** A stream tells the database how far it is so often, ms: what is lost when a function is killed is no more than that. */
const REPORT_EVERY = 10_000;
/** The client waits no longer for the first words, ms, while an error instead of them could still be mended elsewhere. */
const HELD_BACK = 2_000;
/** A provider that has written all and says nothing of its end is waited for so long, ms: for `[DONE]`, or for usage too. */
const WAIT_FOR_DONE = 1_000;
const WAIT_FOR_USAGE = 10_000;
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

/**
 * Reads a provider's answer up to its first words and returns what answers the client with its stream; `[DONE]` comes
 * once the call is settled. Throws `upstream_error` for an error that comes instead of them.
 */
export async function relay(call: Call, request: ChatRequest, answer: Answer): Promise<Respond> {
  const stream = new Stream(call, request, answer);
  await stream.open();
  return () => stream.respond();
}

/** One stream on its way: from the provider, past the ledger, to the client. */
class Stream {
  readonly #reader: StreamReader;
  /** What came before the client was answered. */
  #opening: Uint8Array = new Uint8Array();
  #hasEnded = false;
  /** Since when nothing more has to come. */
  #wholeSince: number | undefined;
  #input: Promise<Count> | undefined;

  constructor(
    private readonly call: Call,
    private readonly request: ChatRequest,
    private readonly answer: Answer,
  ) {
    const names = { model: request.model, id: chatId(call.requestId) };
    const { journal } = call;
    const number = journal && ((event: Uint8Array) => journal.number(event));
    this.#reader = new StreamReader(!request.stream_options?.include_usage, request.n ?? 1, names, number);
    journal?.restart();
    journal?.stop.addEventListener('abort', () => answer.body.cancel());
  }

  /** Reads on until something was written, the stream has ended, or the client has waited long enough. */
  async open(): Promise<void> {
    const reader = this.#reader;
    const until = Date.now() + HELD_BACK;
    const opening: Uint8Array[] = [];
    for (let isFirst = true; !reader.hasWritten && !this.#hasEnded; isFirst = false) {
      const bytes = await this.answer.body.next(until - Date.now());
      if (bytes === 'late') break;
      opening.push(isFirst && bytes !== 'end' && isJson(bytes) ? await this.#readWhole(bytes) : this.#read(bytes));
      if (reader.error !== undefined) throw refusalIn(reader.error);
    }
    if (this.#hasEnded && !reader.isComplete && !this.#isStopped) {
      throw upstreamError('not a stream', reader.strayText, true);
    }
    this.#opening = joined(opening);
  }

  /** Answers the client with all that comes. */
  respond(): Response {
    const { call, answer } = this;
    let client: Client;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        client = new Client(controller, call.isRepeatable);
        EdgeRuntime.waitUntil(this.#pump(client).finally(() => client.close()));
      },
      cancel() {
        client.isGone = true;
        // Else the provider's answer is read to its end: it is what the provider charges for. A message is for later too.
        if (answer.candidate.disconnect_policy === 'cancel' && !call.message) answer.body.cancel();
      },
    });
    const headers = { 'content-type': CONTENT_TYPE, 'cache-control': 'no-cache', ...limitHeaders(call) };
    return new Response(body, { headers: { ...headers, 'x-credits-held': String(call.creditsHeld) } });
  }

  /** Passes the stream on and settles it; what goes wrong is told to the client within the stream. */
  async #pump(client: Client): Promise<void> {
    const { call } = this;
    const reader = this.#reader;
    try {
      call.journal?.release();
      client.send(this.#opening);
      const cutOff = await this.#passOn(client);
      const isLastWord = reader.isReportLast && reader.isComplete && !cutOff;
      const usage = await usageOf(reader.reported, isLastWord, () => this.#countedInput(), reader.text, reader.tier);
      if (cutOff) client.send(reader.cutOffEvents(usage));
      else if (this.#isStopped && reader.hasWritten) client.send(reader.cutOffEvents(usage, 'stop'));
      const settlement = await finish(call, this.#ending(client, usage, cutOff));
      // A comment, for those who read along: headers are out by now.
      client.send(encoder.encode(`: credits ${JSON.stringify(settlement)}\n\n${DONE}`));
    } catch (error) {
      const failure = await fail(call, error, reader.answer);
      client.send(encoder.encode(`data: ${JSON.stringify(errorBody(failure, call.requestId))}\n\n`));
    } finally {
      this.answer.body.cancel();
    }
  }

  /** Passes events on until the stream ends; returns why it was cut off, if it was. */
  async #passOn(client: Client): Promise<string | undefined> {
    let covered = this.answer.candidate.output_tokens_covered;
    let reportedAt = Date.now();
    while (!this.#hasEnded) {
      try {
        client.send(this.#read(await this.answer.body.next(this.#patience())));
      } catch (error) {
        // The connection may break, or nothing more come, once the answer is whole.
        if (this.#reader.isWhole) return undefined;
        // What came until the call's time was up was delivered, and counts.
        if (!this.#reader.hasWritten) throw error;
        if (error instanceof DeadlineError) return 'Its time was up.';
        if (error instanceof LengthError) return error.message;
        throw error;
      }
      const isPastCover = this.#outputSoFar > covered;
      if (!isPastCover && Date.now() - reportedAt < REPORT_EVERY) continue;
      reportedAt = Date.now();
      const now = await this.#extend();
      if (now === undefined && isPastCover && !this.#reader.isWhole) {
        return 'Its wallet or API key could not pay for more.';
      }
      covered = now ?? covered;
    }
    return undefined;
  }

  /** Takes what came, and returns what the client gets of it. */
  #read(bytes: Uint8Array | 'end' | 'late'): Uint8Array {
    const reader = this.#reader;
    this.#hasEnded = typeof bytes === 'string';
    const passed = typeof bytes === 'string' ? reader.flush() : reader.read(bytes);
    this.#hasEnded ||= reader.isDone || reader.error !== undefined;
    this.#wholeSince = reader.isWhole ? (this.#wholeSince ?? Date.now()) : undefined;
    return passed;
  }

  /** How long to wait for more, ms. */
  #patience(): number | undefined {
    if (this.#wholeSince === undefined) return undefined;
    return this.#wholeSince + (this.#reader.isReportLast ? WAIT_FOR_DONE : WAIT_FOR_USAGE) - Date.now();
  }

  /** Reads an answer that is no stream, though one was asked for. */
  async #readWhole(first: Uint8Array): Promise<Uint8Array> {
    const text = decodeText(joined([first, await this.answer.body.bytes()]));
    const completion = parseObject(text);
    const error = completion && errorIn(completion);
    if (error !== undefined) throw refusalIn(error);
    if (!Array.isArray(completion?.choices)) throw upstreamError('not a stream', text, true);
    return this.#read(encoder.encode(asStream(completion)));
  }

  /** Output tokens so far; what the provider says of thoughts that it does not show counts as far as the hold covers it. */
  get #outputSoFar(): number {
    const reported = Math.min(this.#reader.reported?.completion ?? 0, this.answer.candidate.output_tokens_covered);
    return Math.max(reported, this.#reader.written);
  }

  /** Tells the database how far it is; returns the output tokens that are covered now, undefined where there is no more. */
  async #extend(): Promise<number | undefined> {
    const prompt = (await this.#countedInput()).tokens;
    const usage: Usage = { prompt, cached: 0, completion: this.#outputSoFar, source: 'estimated' };
    return extend(this.call, this.answer.candidate, usage).catch((error) => {
      console.error(`request ${this.call.requestId} could not be extended:`, error);
      return undefined;
    });
  }

  /** It was stopped before its end. */
  get #isStopped(): boolean {
    return this.call.journal?.stop.aborted === true && !this.#reader.isComplete;
  }

  /** How it ended, where it did not fail. Throws `upstream_error` where it did. */
  #ending(client: Client, usage: Usage, cutOff: string | undefined): Ending {
    const { candidate } = this.answer;
    const { error, isComplete, hasWritten, isLimited, answer } = this.#reader;
    const isLeft = client.isGone && !this.call.message;
    const isStopped = this.#isStopped || (isLeft && candidate.disconnect_policy === 'cancel');
    if (!cutOff && error !== undefined) throw upstreamError('an error in the stream', JSON.stringify(error));
    if (!cutOff && !isStopped && !isComplete) throw upstreamError('the stream was cut off');
    return {
      status: isLeft || isStopped ? 'canceled' : 'success',
      isEmpty: isComplete && !hasWritten && usage.completion === 0,
      mayBeCutShort: mayWriteNothing(this.request) || isLimited,
      error: cutOff ? { code: 'cut_off', message: cutOff } : undefined,
      candidate,
      usage,
      answer,
      kept: client.kept,
    };
  }

  /** Counted once, when it is first needed: a long input is work. */
  #countedInput(): Promise<Count> {
    this.#input ??= countInput(chatInput(this.request, new Map()), this.answer.candidate.part_tokens);
    return this.#input;
  }
}

/** Whether an answer's first bytes are those of a JSON object: no line of a stream begins like that. */
function isJson(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, 100)).trimStart().startsWith('{');
}
