/** What the simulator remembers of what it served; the oldest is forgotten, so that its memory is bounded. */

const MAX_ENTRIES = 1000;
const MAX_KEYS = 10_000;
/** Characters; a longer request body is not kept. */
const MAX_BODY_LENGTH = 16_384;

/** How a call ended: whole, refused with a status, broken off by a directive, or left by the client. */
export type Outcome = 'open' | 'complete' | 'error' | 'cut' | 'canceled';

/** One call. */
export interface Entry {
  id: string;
  key: string;
  path: string;
  model: string;
  stream: boolean;
  /** HTTP status; 0 while nothing was sent. */
  status: number;
  outcome: Outcome;
  prompt_tokens: number;
  /** Tokens of the answer that were handed to the connection. */
  tokens_delivered: number;
  received_at: string;
  /** The request's body, or null where it was too long to keep. */
  body: unknown;
}

/** The calls of one simulator. */
export class Journal {
  #entries: Entry[] = [];
  #tries = new Map<string, number>();
  #served = 0;

  /** Records a call as it begins. The caller writes the rest into the entry it gets. */
  open(call: { key: string; path: string; model: string; stream: boolean; body: unknown }): Entry {
    this.#served += 1;
    const body = JSON.stringify(call.body).length > MAX_BODY_LENGTH ? null : call.body;
    const entry: Entry = {
      ...call,
      body,
      id: `sim-${this.#served}`,
      status: 0,
      outcome: 'open',
      prompt_tokens: 0,
      tokens_delivered: 0,
      received_at: new Date().toISOString(),
    };
    this.#entries.push(entry);
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
    return entry;
  }

  /** Counts a try of that key, and gives how many there were with it. */
  countTry(key: string): number {
    const tries = (this.#tries.get(key) ?? 0) + 1;
    this.#tries.delete(key);
    this.#tries.set(key, tries);
    const oldest = this.#tries.keys().next().value;
    if (this.#tries.size > MAX_KEYS && oldest !== undefined) this.#tries.delete(oldest);
    return tries;
  }

  /** The calls of one key, or all without one, oldest first. */
  report(key: string | undefined): { count: number; tokens_delivered: number; requests: Entry[] } {
    const requests = this.#entries.filter((entry) => key === undefined || entry.key === key);
    const tokens = requests.reduce((sum, entry) => sum + entry.tokens_delivered, 0);
    return { count: requests.length, tokens_delivered: tokens, requests };
  }

  /** Forgets the calls and tries of one key, or all without one. */
  forget(key: string | undefined): void {
    this.#entries = key === undefined ? [] : this.#entries.filter((entry) => entry.key !== key);
    if (key === undefined) this.#tries.clear();
    else this.#tries.delete(key);
  }
}
