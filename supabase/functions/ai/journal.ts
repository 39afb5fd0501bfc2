/**
 * The journal of an answer's stream: its events get numbers and are written to Postgres in batches, from where other
 * clients follow them; and each write is answered by whether the stream is to stop. What cannot be written now is written
 * with the next batch, and keeps no event from the client.
 */
import { joined } from '../_shared/body.ts';
import { database, run } from '../_shared/database.ts';
import { ApiError } from '../_shared/errors.ts';
import { toStorable } from '../_shared/text.ts';

/** Writes begin no sooner after each other, ms: at most four a second. */
const BETWEEN_WRITES = 250;
/** A stream without events asks so often whether it is to stop, ms: whoever stops it waits less than a second. */
const BETWEEN_QUESTIONS = 750;
/** Events beyond this are not kept while Postgres takes none, bytes; those who follow are told that some are missing. */
const LARGEST_UNWRITTEN = 4 * 1024 * 1024;
const LF = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The answer was stopped before the provider began to answer. */
export class StoppedError extends ApiError {
  constructor() {
    super(409, 'invalid_state', 'The answer was stopped before it began. Nothing was charged.');
  }
}

/** The journal of one call. From its beginning until it is closed it asks whether to stop. */
export class Journal {
  readonly #stop = new AbortController();
  #next = 1;
  #unwritten: Uint8Array[] = [];
  #unwrittenBytes = 0;
  /** Whether events are sure to go to the client; before that they are not written. */
  #isReleased = false;
  #hasGap = false;
  #isClosed = false;
  #hasFailed = false;
  #askedAt = Date.now();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Ends a wait for the next question; undefined while there is none. */
  #wake: (() => void) | undefined;
  readonly #work: Promise<void>;

  constructor(private readonly messageId: string) {
    this.#work = this.#run();
  }

  /** Aborted when the stream is to stop. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Begins anew: what another provider sent before its error went to nobody. */
  restart(): void {
    this.#next = 1;
    this.#forget();
  }

  /** What was numbered, and what will be, goes to the client. */
  release(): void {
    this.#isReleased = true;
    if (this.#unwritten.length > 0) this.#hurry();
  }

  /** An event as it goes out: with its number as id. It will be written. */
  number(event: Uint8Array): Uint8Array {
    // The half of a CRLF that came with the next bytes would end the event before it began.
    const start = event.findIndex((byte) => byte !== LF);
    const numbered = joined([encoder.encode(`id: ${this.#next}\n`), event.subarray(start)]);
    this.#next += 1;
    if (this.#hasGap) return numbered;
    this.#unwritten.push(numbered);
    this.#unwrittenBytes += numbered.length;
    if (this.#unwritten.length === 1 && this.#isReleased) this.#hurry();
    if (this.#unwrittenBytes > LARGEST_UNWRITTEN) {
      this.#hasGap = true;
      this.#forget();
    }
    return numbered;
  }

  /** Writes what is left, and tries that for so long, ms; afterwards nothing is written. */
  async close(patience: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wake?.();
    await this.#work;
    const batch = this.#batch(true);
    if (!batch) return;
    await run(() => database.rpc('write_message_events', batch), patience).catch((error) => {
      console.error(`the last events of message ${this.messageId} were not written:`, error);
    });
  }

  #forget(): void {
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
  }

  async #run(): Promise<void> {
    for (;;) {
      const wait = this.#isReleased && this.#unwritten.length > 0 ? BETWEEN_WRITES : BETWEEN_QUESTIONS;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#wakeAfter(wait);
      });
      clearTimeout(this.#timer);
      this.#wake = undefined;
      if (this.#isClosed) return;
      await this.#ask();
    }
  }

  /** Events are there: the next write is not as far as a question would be. */
  #hurry(): void {
    if (!this.#wake) return;
    clearTimeout(this.#timer);
    this.#wakeAfter(BETWEEN_WRITES);
  }

  #wakeAfter(sinceLast: number): void {
    this.#timer = setTimeout(() => this.#wake?.(), Math.max(this.#askedAt + sinceLast - Date.now(), 0));
  }

  /** Writes what there is, if anything, and hears whether to stop. */
  async #ask(): Promise<void> {
    this.#askedAt = Date.now();
    const batch = this.#batch(false);
    const written = batch ? this.#unwritten.length : 0;
    try {
      const { data, error } = await database.rpc('write_message_events', batch ?? { message_id: this.messageId });
      if (error) throw error;
      for (const event of this.#unwritten.splice(0, written)) this.#unwrittenBytes -= event.length;
      if (data === true) this.#stop.abort();
    } catch (error) {
      if (!this.#hasFailed) console.error(`events of message ${this.messageId} could not be written:`, error);
      this.#hasFailed = true;
    }
  }

  /** All that is not written; at the end also that something is missing. */
  #batch(isLast: boolean) {
    const message_id = this.messageId;
    const last_event = this.#next - 1;
    if (this.#hasGap && isLast) return { message_id, first_event: last_event, last_event, events: '' };
    const count = this.#unwritten.length;
    if (count === 0 || !this.#isReleased) return undefined;
    const events = toStorable(decoder.decode(joined(this.#unwritten)).replace(/\r\n?/g, '\n'));
    return { message_id, first_event: this.#next - count, last_event, events };
  }
}
