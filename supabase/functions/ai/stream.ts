/** A chat stream on its way to the client: passed on as it arrives, and read along for usage and the log. */
import { joined } from '../_shared/body.ts';
import {
  errorIn,
  finishReasonOf,
  isKnownEnd,
  isLimit,
  type Loose,
  objectsIn,
  parseObject,
  readChoice,
  readMessage,
  textOf,
  type Written,
  type WrittenCall,
} from './answer.ts';
import { LARGEST_PARSED, LengthError } from './body.ts';
import { type Names, told } from './names.ts';
import { later, type Reported, readTier, readUsage } from './pools.ts';
import { BYTES_OF_A_TOKEN, utf8Length } from './tokenizer.ts';
import type { Usage } from './usage.ts';

const LINE_END = /\r\n|\r|\n/;
const LF = 10;
const CR = 13;
/** A comment, which clients skip: it shows that the provider is at work, and says no more than that. */
const KEEP_ALIVE = ':\n\n';

/** Cuts bytes into events at their blank lines. Lines end in LF, CR or both; each byte is looked at once. */
class EventCutter {
  #parts: Uint8Array[] = [];
  #length = 0;
  #isLineEmpty = true;
  #isAfterCR = false;

  /** The events that these bytes complete. Throws LengthError for one that is longer than any honest one. */
  cut(bytes: Uint8Array): Uint8Array<ArrayBuffer>[] {
    const events: Uint8Array<ArrayBuffer>[] = [];
    let start = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at];
      const isSecondHalf = byte === LF && this.#isAfterCR;
      this.#isAfterCR = byte === CR;
      if (isSecondHalf) continue;
      if (byte !== LF && byte !== CR) {
        this.#isLineEmpty = false;
      } else if (!this.#isLineEmpty) {
        this.#isLineEmpty = true;
      } else {
        // The LF of a CRLF belongs to it; where it comes with the next bytes, it is an empty line of the next event.
        if (byte === CR && bytes[at + 1] === LF) at += 1;
        events.push(this.#take(bytes.subarray(start, at + 1)));
        start = at + 1;
      }
    }
    this.#keep(bytes.subarray(start));
    return events;
  }

  /** What is left when no more comes. */
  rest(): Uint8Array<ArrayBuffer> {
    return this.#take(new Uint8Array());
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#parts.push(bytes);
    this.#length += bytes.length;
    if (this.#length > LARGEST_PARSED) throw new LengthError('An event of its stream was too long.');
  }

  #take(last: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#keep(last);
    const parts = this.#parts;
    this.#parts = [];
    this.#length = 0;
    return joined(parts);
  }
}

/** What was read of a stream so far. */
export class StreamReader {
  /** What was last reported, count by count. */
  reported: Reported | undefined;
  /** The service tier that was last named; '' is the usual one. */
  tier: string | undefined;
  /** The provider has sent `[DONE]`, which is not passed on: it goes out once the call is settled. */
  isDone = false;
  /** An error that the provider sent within the stream. It is not passed on: it is worded for us. */
  error: unknown;
  /** The beginning of what was no part of an answer, for the log of one that failed. */
  strayText = '';
  readonly #cutter = new EventCutter();
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  readonly #choices = new Map<number, StreamedChoice>();
  #bytesOfText = 0;
  #bytesWhenReported = 0;
  #frame: Loose = {};

  /**
   * With `hidesUsage`, the chunk that carries nothing but usage is kept from a client that did not ask for it. `choices`
   * is how many were asked for, `names` what the answer goes out as, `number` gives an event its number where it has one.
   */
  constructor(
    private readonly hidesUsage: boolean,
    private readonly choices = 1,
    private readonly names: Names = {},
    private readonly number = (event: Uint8Array) => event,
  ) {}

  /** Takes bytes as they came and returns those to pass on now: whole events. Nothing after the end counts. */
  read(bytes: Uint8Array): Uint8Array {
    return this.#pass(this.#cutter.cut(bytes));
  }

  /** What is left when the stream has ended without a last blank line. */
  flush(): Uint8Array {
    const rest = this.#cutter.rest();
    return rest.length === 0 ? rest : this.#pass([joined([rest, this.#encoder.encode('\n\n')])]);
  }

  /** The answer as it would have been without streaming, for the log. */
  get answer() {
    const choices = [...this.#choices].map(([index, choice]) => ({ index, ...choice.toMessage() }));
    return { object: 'chat.completion', choices };
  }

  /** The answer has ended: `[DONE]` came or, from providers that leave it out, a finish reason for every choice. */
  get isComplete(): boolean {
    return this.isDone || (this.#choices.size > 0 && this.#hasNo((choice) => choice.finishReason === null));
  }

  /** Nothing more has to come, though the provider says nothing of its end: each choice asked for has finished. */
  get isWhole(): boolean {
    if (this.isDone) return true;
    const hasAll = this.#choices.size > 0 && this.#choices.size >= this.choices;
    return hasAll && this.#hasNo((choice) => choice.hasWrittenOn || !isKnownEnd(choice.finishReason));
  }

  /** A choice has ended at a limit. */
  get isLimited(): boolean {
    return !this.#hasNo((choice) => isLimit(choice.finishReason));
  }

  /** Nothing was written after the provider last said what was used: it may be the end's. */
  get isReportLast(): boolean {
    return this.reported !== undefined && this.#bytesWhenReported === this.#bytesOfText;
  }

  /** Something of an answer has come. */
  get hasWritten(): boolean {
    return this.#bytesOfText > 0 || this.hasMedia;
  }

  /** Pictures or sound have come. */
  get hasMedia(): boolean {
    return !this.#hasNo((choice) => choice.hasMedia);
  }

  /** About how many output tokens have been written so far, by the length of the text. */
  get written(): number {
    return Math.ceil(this.#bytesOfText / BYTES_OF_A_TOKEN);
  }

  /** The events that end a stream which we cut off or stopped: a finish reason for each choice, usage where it is shown. */
  cutOffEvents(usage: Usage, finishReason: 'length' | 'stop' = 'length'): Uint8Array {
    const { id, created, model } = told(this.#frame, this.names);
    const frame = { id, object: 'chat.completion.chunk', created, model };
    const unfinished = [...this.#choices].filter(([, choice]) => choice.finishReason === null);
    const choices = unfinished.map(([index]) => ({ index, delta: {}, finish_reason: finishReason }));
    const { prompt, completion } = usage;
    const counts = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
    const events = [{ ...frame, choices }, ...(this.hidesUsage ? [] : [{ ...frame, choices: [], usage: counts }])];
    return joined(events.map((event) => this.number(this.#encoder.encode(`data: ${JSON.stringify(event)}\n\n`))));
  }

  /** All text that was streamed. */
  get text(): string {
    return [...this.#choices.values()].map((choice) => choice.text).join('');
  }

  #pass(events: Uint8Array<ArrayBuffer>[]): Uint8Array {
    const passed: Uint8Array[] = [];
    for (const event of events) {
      if (this.isDone || this.error !== undefined) break;
      const shown = this.#show(event);
      if (shown) passed.push(shown);
    }
    return joined(passed);
  }

  /** What the client is to see of an event: without its comments, ids and waits, which are between the provider and us. */
  #show(event: Uint8Array<ArrayBuffer>): Uint8Array | undefined {
    const text = this.#decoder.decode(event);
    const kept: string[] = [];
    let lines = 0;
    let data: string | undefined;
    let kind: string | undefined;
    let isComment = false;
    let isStray = false;
    for (const line of text.split(LINE_END)) {
      if (line === '') continue;
      lines += 1;
      const end = line.indexOf(':');
      const field = end === -1 ? line : line.slice(0, end);
      const value = end === -1 ? '' : line.slice(line[end + 1] === ' ' ? end + 2 : end + 1);
      if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
      else if (field === 'event') kind = value;
      else if (field === '') isComment = true;
      else if (field !== 'id' && field !== 'retry') isStray = true;
      if (field === 'data' || field === 'event') kept.push(line);
    }
    if (isStray) this.#stray(text);
    if (data === undefined || !this.#readEvent(kind, data.trim())) {
      return isComment ? this.#encoder.encode(KEEP_ALIVE) : undefined;
    }
    const shown = this.#told(kept.length === lines ? event : this.#encoder.encode(`${kept.join('\n')}\n\n`));
    return this.number(shown);
  }

  /** The event of the last chunk, as it came unless something in it is not for the client. */
  #told(event: Uint8Array<ArrayBuffer>): Uint8Array {
    const shown = told(this.#frame, this.names);
    return shown === this.#frame ? event : this.#encoder.encode(`data: ${JSON.stringify(shown)}\n\n`);
  }

  #hasNo(is: (choice: StreamedChoice) => boolean): boolean {
    for (const choice of this.#choices.values()) if (is(choice)) return false;
    return true;
  }

  #stray(text: string): void {
    if (this.strayText.length < 300) this.strayText += text.slice(0, 300);
  }

  /** Reads one event; false where the client is not to see it. */
  #readEvent(kind: string | undefined, data: string): boolean {
    if (data === '[DONE]') {
      this.isDone = true;
      return false;
    }
    const chunk = parseObject(data);
    const error = chunk && errorIn(chunk);
    if (error !== undefined || kind === 'error') {
      this.error = error ?? parseObject(data) ?? data;
      return false;
    }
    const reported = chunk && readUsage(chunk);
    if (!chunk || !(Array.isArray(chunk.choices) || reported)) {
      this.#stray(data);
      return false;
    }
    this.#frame = chunk;
    this.tier = readTier(chunk) ?? this.tier;
    const choices = objectsIn(chunk.choices);
    for (const choice of choices) this.#addChoice(choice);
    if (reported) {
      const isLess = reported.completion === 0 && (this.reported?.completion ?? 0) > 0;
      this.reported = later(this.reported, reported);
      if (!isLess) this.#bytesWhenReported = this.#bytesOfText;
    }
    return !(this.hidesUsage && reported && choices.length === 0);
  }

  #addChoice(choice: Loose) {
    const index = typeof choice.index === 'number' ? choice.index : 0;
    const known = this.#choices.get(index) ?? new StreamedChoice();
    this.#choices.set(index, known);
    this.#bytesOfText += known.add(readChoice(choice), finishReasonOf(choice));
  }
}

class StreamedChoice {
  finishReason: string | null = null;
  hasMedia = false;
  /** It wrote after a finish reason, which therefore was none. */
  hasWrittenOn = false;
  readonly #written: Written = readMessage({});
  readonly #calls = new Map<number, WrittenCall>();

  /** Takes a piece; returns how many bytes of text it had. */
  add(piece: Written, finishReason: string | null): number {
    const text = textOf(piece);
    if (text !== '') {
      this.hasWrittenOn ||= this.finishReason !== null;
      this.finishReason = null;
    }
    this.finishReason = finishReason ?? this.finishReason;
    this.hasMedia ||= piece.hasMedia;
    for (const field of ['content', 'reasoning', 'refusal', 'transcript'] as const)
      this.#written[field] += piece[field];
    for (const part of piece.calls) this.#addCall(part);
    return utf8Length(text);
  }

  /** A piece without an index goes on where the last one was, unless it begins a call. */
  #addCall(part: WrittenCall): void {
    const last = this.#calls.size - 1;
    const index = part.index ?? (part.id !== '' || part.name !== '' ? last + 1 : Math.max(last, 0));
    const call = this.#calls.get(index) ?? { id: '', name: '', input: '' };
    call.id ||= part.id;
    call.name ||= part.name;
    call.input += part.input;
    this.#calls.set(index, call);
  }

  get text(): string {
    return textOf({ ...this.#written, calls: [...this.#calls.values()] });
  }

  toMessage() {
    const { content, reasoning, refusal, transcript } = this.#written;
    const toolCalls = [...this.#calls.values()].map(({ id, name, input }) => ({
      id,
      type: 'function',
      function: { name, arguments: input },
    }));
    const message = {
      role: 'assistant',
      content,
      ...(reasoning ? { reasoning } : {}),
      ...(refusal ? { refusal } : {}),
      ...(transcript ? { audio: { transcript } } : {}),
      ...(toolCalls.length ? { tool_calls: toolCalls } : {}),
    };
    return { message, finish_reason: this.finishReason };
  }
}
