/** The mixed load of a chaos run: calls, streams, debits and purchases, and the journal of what was acknowledged. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { creemEvent, deliver } from '@basemeter/simulators';
import type { Stack } from '../stack.ts';

/** What is done in a run. `keyed` is a call under an Idempotency-Key, made again until it has an answer. */
export const KINDS = ['call', 'stream', 'keyed', 'debit', 'purchase'] as const;
export type Kind = (typeof KINDS)[number];

/** One thing that was asked for. `amount` is what it costs (or gives) once it is done, in credits. */
export interface JournalEntry {
  kind: Kind;
  /** The call's reference, the debit's key, the purchase's payment. */
  id: string;
  person: string;
  amount: number;
  /** It was answered whole, so that it has to be in the ledger. */
  isAcknowledged: boolean;
  /** What the answer said was charged, where it did. */
  charged?: number;
}

/** Who acts. */
export interface Person {
  id: string;
  token: string;
}

/** What is sold. */
export const PACK = {
  id: 'prod_chaos',
  price_id: null,
  name: 'A pack',
  amount: 900,
  currency: 'USD',
  billing_period: null,
};
export const PACK_CREDITS = 5;
/** The model's price: 100 US dollars a million output tokens, at 100 credits a dollar. */
export const CREDITS_PER_TOKEN = 0.01;
/** No request hangs for longer, ms. */
const LONGEST_REQUEST = 60_000;

/** Acts on a stack and writes down what came of it. Stops when `stop` aborts, with what is under way finished. */
export class Load {
  readonly journal: JournalEntry[] = [];
  /** How often each status was answered; 0 is a connection that broke. */
  readonly statuses = new Map<number, number>();
  /** References of the calls that came to their end and were not settled, though their function lived to say so. */
  readonly unsettled: string[] = [];

  constructor(
    private readonly stack: Stack,
    private readonly people: Person[],
    private readonly random: () => number,
    private readonly stop: AbortSignal,
  ) {}

  /** One worker: acts until the end. */
  async work(): Promise<void> {
    while (!this.stop.aborted) {
      const kind = KINDS[this.#below(KINDS.length)] as Kind;
      const person = this.people[this.#below(this.people.length)] as Person;
      await this.#act(kind, person);
    }
  }

  /** Whether a call is answered now. */
  async isAnswered(): Promise<boolean> {
    await this.#act('call', this.people[0] as Person);
    return this.journal.at(-1)?.isAcknowledged ?? false;
  }

  async #act(kind: Kind, person: Person): Promise<void> {
    const tokens = 1 + this.#below(40);
    const amount = { debit: 1 + this.#below(5), purchase: PACK_CREDITS }[kind as string] ?? tokens * CREDITS_PER_TOKEN;
    const entry: JournalEntry = { kind, id: randomUUID(), person: person.id, amount, isAcknowledged: false };
    this.journal.push(entry);
    if (kind === 'call') await this.#call(entry, person, tokens);
    else if (kind === 'stream') await this.#stream(entry, person, tokens);
    else await this.#untilAcknowledged(kind, entry, person, tokens);
  }

  /** Done again until it is answered: what has a key may be, and happens once. */
  async #untilAcknowledged(kind: Kind, entry: JournalEntry, person: Person, tokens: number): Promise<void> {
    for (let tries = 0; !entry.isAcknowledged && (tries === 0 || !this.stop.aborted); tries += 1) {
      if (tries > 0) await sleep(300);
      if (kind === 'keyed') await this.#call(entry, person, tokens, entry.id);
      else if (kind === 'debit') await this.#debit(entry, person);
      else await this.#purchase(entry, person);
    }
  }

  async #call(entry: JournalEntry, person: Person, tokens: number, key?: string): Promise<void> {
    const directive = { text: ' the'.repeat(tokens), delay_ms: (Number.parseInt(entry.id.slice(0, 4), 16) % 8) * 100 };
    const answer = await this.#chat(entry, person, directive, false, key);
    if (answer?.status !== 200 || !answer.text.includes('"chat.completion"')) return;
    entry.isAcknowledged = true;
    const charged = answer.headers.get('x-credits-charged');
    if (charged !== null) entry.charged = Number(charged);
  }

  async #stream(entry: JournalEntry, person: Person, tokens: number): Promise<void> {
    const directive = { text: ' the'.repeat(tokens), chunk_delay_ms: 5 + this.#below(30) };
    const answer = await this.#chat(entry, person, directive, true);
    if (!answer?.text.includes('data: [DONE]')) return;
    entry.isAcknowledged = true;
    const comment = answer.text.match(/^: credits (.*)$/m)?.[1];
    entry.charged = Number(JSON.parse(comment ?? '{}').credits_charged);
  }

  async #chat(entry: JournalEntry, person: Person, directive: object, stream: boolean, key?: string) {
    const content = `Hello [[simulate:${JSON.stringify(directive)}]]`;
    const answer = await this.#post(
      `${this.stack.env.FUNCTIONS_URL}/ai/v1/chat/completions`,
      { model: 'chaos', stream, messages: [{ role: 'user', content }] },
      {
        authorization: `Bearer ${person.token}`,
        'x-ai-reference': entry.id,
        ...(key ? { 'idempotency-key': key } : {}),
      },
    );
    if (answer?.text.includes('could not be settled')) this.unsettled.push(entry.id);
    return answer;
  }

  async #debit(entry: JournalEntry, person: Person): Promise<void> {
    const { API_URL, SECRET_KEY } = this.stack.env;
    const body = { user_id: person.id, amount: entry.amount, reason: 'chaos', idempotency_key: entry.id };
    const answer = await this.#post(`${API_URL}/rest/v1/rpc/debit_user_credits_transaction`, body, {
      apikey: SECRET_KEY,
    });
    entry.isAcknowledged = answer?.status === 200;
  }

  async #purchase(entry: JournalEntry, person: Person): Promise<void> {
    const at = new Date().toISOString();
    const story = {
      customer: { id: `cus_${person.id}`, email: null },
      product: PACK,
      metadata: { user_id: person.id, product_id: PACK.id },
      checkout: { id: `ch_${entry.id}` },
      payment: { id: `tran_${entry.id}`, amount: PACK.amount, paid_at: at },
    };
    const event = creemEvent('checkout.completed', { id: `evt_${entry.id}`, occurred_at: at }, story);
    const { FUNCTIONS_URL, CREEM_WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET } = this.stack.env;
    const secrets = { creem: CREEM_WEBHOOK_SECRET, stripe: STRIPE_WEBHOOK_SECRET };
    const status = await deliver('creem', event, { functionsUrl: FUNCTIONS_URL, secrets }).then(
      (delivery) => delivery.status,
      () => 0,
    );
    this.#count(status);
    entry.isAcknowledged = status === 200;
  }

  async #post(url: string, body: object, headers: Record<string, string>) {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(LONGEST_REQUEST),
      });
      this.#count(response.status);
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch {
      this.#count(0);
      return undefined;
    }
  }

  #count(status: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
  }

  #below(count: number): number {
    return Math.floor(this.random() * count);
  }
}
