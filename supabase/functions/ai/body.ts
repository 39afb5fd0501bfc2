/** The bytes of an answer: within what time they come, and how many are read. */
import { joined } from '../_shared/body.ts';

/** The longest body of an answer, bytes: 2,048 embeddings are half of it. Longer ones end there. */
const LARGEST_ANSWER = 128 * 1024 * 1024;
/** The longest text that is parsed at once, bytes: an event of a stream, or what of a whole answer is read. */
export const LARGEST_PARSED = 32 * 1024 * 1024;
/** What is read at once, bytes: at first, for a chunk of a stream is small, and while pieces fill it. */
const SMALLEST_ROOM = 4 * 1024;
const LARGEST_ROOM = 64 * 1024;
type Read = Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>['read']>>;

/** The body of an answer, read within its times: `TimeoutError` for a silence, `DeadlineError` at the call's end. */
export class AnswerBody {
  readonly #reader: ReadableStreamBYOBReader;
  /** Each piece is read into it and copied: a reader without a buffer is given 64 KiB anew for every chunk of a stream. */
  #room = new Uint8Array(SMALLEST_ROOM);
  #pending: Promise<Read> | undefined;
  /** What is being waited for: until when, and what happens then. */
  #wait: { until: number; expire(): void } | undefined;
  /** It goes off at the end of the wait it was set for, and is set again where another one lasts longer by then: few for a stream. */
  #timer: { due: number; id: ReturnType<typeof setTimeout> } | undefined;
  #received = 0;

  constructor(
    response: Response,
    private readonly longestSilence: number,
    private readonly deadline: number,
  ) {
    this.#reader = (response.body ?? new Blob([]).stream()).getReader({ mode: 'byob' });
  }

  /** Waits until the first byte is here: what breaks before it may be tried again. */
  async waitForFirst(): Promise<void> {
    await this.#read(Number.POSITIVE_INFINITY);
  }

  /** The next bytes as they come; `late` where they take longer than so many ms, and can be waited for again. */
  async next(within = Number.POSITIVE_INFINITY): Promise<Uint8Array | 'end' | 'late'> {
    const read = await this.#read(within);
    if (read === 'late') return 'late';
    this.#pending = undefined;
    if (read.done) {
      this.#stopTimer();
      return 'end';
    }
    const piece = read.value.slice();
    const { buffer } = read.value;
    const isFull = piece.length === buffer.byteLength && piece.length < LARGEST_ROOM;
    this.#room = new Uint8Array(isFull ? new ArrayBuffer(LARGEST_ROOM) : buffer);
    this.#received += piece.length;
    if (this.#received > LARGEST_ANSWER) throw new LengthError('Its answer was too long.');
    return piece;
  }

  /** The whole body; of a longer one so many bytes, and then the connection ends. */
  async bytes(most = Number.POSITIVE_INFINITY): Promise<Uint8Array<ArrayBuffer>> {
    const parts: Uint8Array[] = [];
    let left = most;
    for (let part = await this.next(); part !== 'end'; part = await this.next()) {
      if (part === 'late') continue;
      parts.push(part.subarray(0, left));
      left -= part.length;
      if (left > 0) continue;
      this.cancel();
      break;
    }
    return joined(parts);
  }

  /** Tells the provider to stop. */
  cancel(): void {
    // Who waits meanwhile is still told when the time is up, should the end of the connection not tell them.
    if (!this.#wait) this.#stopTimer();
    this.#reader.cancel().catch(() => undefined);
  }

  // Not by the signal that fetch was given: Deno no longer heeds it once the request object is collected as garbage.
  async #read(within: number): Promise<Read | 'late'> {
    const now = Date.now();
    const left = this.deadline - now;
    const isDeadline = left <= this.longestSilence;
    const longest = Math.max(isDeadline ? left : this.longestSilence, 0);
    this.#pending ??= this.#reader.read(this.#room);
    const pending = this.#pending;
    try {
      return await new Promise<Read | 'late'>((resolve, reject) => {
        const expire = () => {
          if (within < longest) resolve('late');
          else reject(isDeadline ? new DeadlineError() : new TimeoutError());
        };
        this.#wait = { until: now + Math.min(Math.max(within, 0), longest), expire };
        this.#setTimer();
        pending.then(resolve, reject);
      });
    } catch (error) {
      this.cancel();
      throw error;
    } finally {
      this.#wait = undefined;
    }
  }

  #setTimer(): void {
    if (!this.#wait) return;
    const { until } = this.#wait;
    if (this.#timer && this.#timer.due <= until) return;
    this.#stopTimer();
    const goOff = () => {
      this.#timer = undefined;
      if (this.#wait && this.#wait.until <= Date.now()) this.#wait.expire();
      else this.#setTimer();
    };
    this.#timer = { due: until, id: setTimeout(goOff, until - Date.now()) };
  }

  #stopTimer(): void {
    clearTimeout(this.#timer?.id);
    this.#timer = undefined;
  }
}

/** Bytes as text. Throws LengthError where they are too many to be read at once. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > LARGEST_PARSED) throw new LengthError('Its answer was too long.');
  return new TextDecoder().decode(bytes);
}

/** An answer, or an event of one, beyond what is read. The message says which. */
export class LengthError extends Error {}

/** A provider that was silent for too long. */
export class TimeoutError extends Error {}

/** A call that has had all its time. */
export class DeadlineError extends TimeoutError {}
