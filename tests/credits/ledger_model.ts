/**
 * The ledger's rules once more, as plain arithmetic, to hold the database against. Written from the description of the rules
 * (lots, burn order, holds, debt, refunds, clawbacks, expiry), not from the SQL. Amounts are micro-credits; times are whole
 * hours; lots, holds and entries are named by their place in the order in which they came to be.
 */

/** Kinds of lots that a credit may name. */
export const LOT_KINDS = ['free', 'subscription', 'purchase', 'promotion'] as const;

type LotKind = (typeof LOT_KINDS)[number];

/** One request as the database gets it. Places are -1 where nothing of that sort exists. */
export type Request = { key: string | null } & (
  | { op: 'credit'; amount: bigint; kind: LotKind; priority: number; expiresAt: number | null }
  | { op: 'debit'; amount: bigint }
  | { op: 'refund'; amount: bigint; entry: number | null }
  | { op: 'clawback'; amount: bigint; lot: number }
  | { op: 'hold'; amount: bigint; expiresIn: number }
  | { op: 'extend'; amount: bigint; hold: number; expiresIn: number | null }
  | { op: 'settle'; amount: bigint; hold: number; keepOpen: boolean }
  | { op: 'release'; hold: number }
  | { op: 'expire' }
);

type Lot = {
  amount: bigint;
  remaining: bigint;
  expired: bigint;
  clawedBack: bigint;
  isPaid: boolean;
  priority: number;
  expiresAt: number | null;
};
type Hold = {
  amount: bigint;
  settled: bigint;
  final: bigint | null;
  state: 'open' | 'settled' | 'released' | 'expired';
  expiresAt: number;
};
type Part = { lot: number; amount: bigint };
type Entry = {
  type: 'credit' | 'debit' | 'refund' | 'expire' | 'clawback';
  amount: bigint;
  lots: Part[];
  of: number | null;
};

/** What a request answers: the wallet as it leaves it, and the amount it moved. */
export type Answer = { balance: bigint; total: bigint; spent: bigint; expired: bigint; amount: bigint };

/** A refusal, with its code. */
export class Refusal extends Error {}

const MICRO = 1_000_000n;
const CAP = 50_000n * MICRO;
const LARGEST = 1_000_000_000_000n * MICRO;
const REFUND_LIFE = 30 * 24;
const LONGEST_HOLD = 30 * 24;

const sum = (amounts: bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);
const least = (...amounts: bigint[]): bigint =>
  amounts.reduce((smallest, amount) => {
    if (amount < smallest) return amount;
    return smallest;
  });
const atLeastZero = (amount: bigint): bigint => (amount > 0n ? amount : 0n);

/** One wallet. `serve` answers a request or throws a Refusal, which leaves everything as it was. */
export class LedgerModel {
  lots: Lot[] = [];
  holds: Hold[] = [];
  entries: Entry[] = [];
  /** When what is due was last ended. */
  sweptAt = -1;
  readonly overdraft: bigint;
  #answers = new Map<string, { request: string; answer: Answer }>();

  constructor(overdraft: bigint) {
    this.overdraft = overdraft;
  }

  get balance(): bigint {
    return sum(this.entries.map((entry) => entry.amount));
  }

  get total(): bigint {
    return this.#sumOf('credit', 'clawback');
  }

  get spent(): bigint {
    return -this.#sumOf('debit', 'refund');
  }

  get expired(): bigint {
    return -this.#sumOf('expire');
  }

  /** What an operation may take at a time. */
  availableAt(at: number): bigint {
    return this.balance - this.heldAt(at) + this.overdraft;
  }

  /** What open holds set aside at a time; those that time has ended count no more, whether swept or not. */
  heldAt(at: number): bigint {
    return sum(this.holds.filter((hold) => isOpen(hold, at)).map((hold) => hold.amount));
  }

  /** Whether a lot past its expiry is still here because open holds may need it. */
  keepsExpiredLots(at: number): boolean {
    return this.lots.some((lot) => lot.remaining > 0n && isDead(lot, at));
  }

  /**
   * Ends what is due: holds, then lots as far as no open hold may need them. Comes with time and with the end of a hold;
   * what holds keep alive is not looked at again because credits arrived.
   */
  sweep(at: number): void {
    this.sweptAt = at;
    for (const hold of this.holds) {
      if (hold.state === 'open' && hold.expiresAt <= at) hold.state = 'expired';
    }
    const living = sum(this.lots.filter((lot) => !isDead(lot, at)).map((lot) => lot.remaining));
    const dead = this.#inOrder((lot) => [lot.expiresAt ?? Infinity]).filter(
      ([lot]) => isDead(lot, at) && lot.remaining > 0n,
    );
    const needed = atLeastZero(this.heldAt(at) - living);
    let expirable = atLeastZero(sum(dead.map(([lot]) => lot.remaining)) - needed);
    const parts: Part[] = [];
    for (const [lot, place] of dead) {
      const taken = least(lot.remaining, expirable);
      if (taken === 0n) continue;
      lot.remaining -= taken;
      lot.expired += taken;
      expirable -= taken;
      parts.push({ lot: place, amount: -taken });
    }
    if (parts.length > 0) this.#post('expire', sum(parts.map((part) => part.amount)), parts);
  }

  /** Answers a request at a time (never before the last one). */
  serve(request: Request, at: number): Answer {
    const before = structuredClone({
      lots: this.lots,
      holds: this.holds,
      entries: this.entries,
      sweptAt: this.sweptAt,
    });
    try {
      checkForm(request);
      // A key belongs to a wallet, and what does not exist has none.
      if ('lot' in request) this.#lot(request.lot);
      if ('hold' in request) this.#hold(request.hold);
      if (at > this.sweptAt) this.sweep(at);
      return this.#once(request, () => this.#apply(request, at));
    } catch (error) {
      Object.assign(this, before);
      throw error;
    }
  }

  /** A key has one request and one answer. */
  #once(request: Request, apply: () => bigint): Answer {
    const { key, ...rest } = request;
    const asked = JSON.stringify(rest, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
    const earlier = key === null ? undefined : this.#answers.get(key);
    if (earlier && earlier.request !== asked) throw new Refusal('PT409 idempotency_conflict');
    if (earlier) return earlier.answer;
    const amount = apply();
    const answer = { balance: this.balance, total: this.total, spent: this.spent, expired: this.expired, amount };
    if (key !== null) this.#answers.set(key, { request: asked, answer });
    return answer;
  }

  #apply(request: Request, at: number): bigint {
    switch (request.op) {
      case 'credit':
        return this.#credit(request, at);
      case 'debit':
        this.#requireAvailable(request.amount, at);
        this.#post('debit', -request.amount, this.#burn(request.amount, { at, spareDead: true }));
        return request.amount;
      case 'refund':
        return this.#refund(request.amount, request.entry, at);
      case 'clawback':
        return this.#clawback(request.amount, request.lot, at);
      case 'hold':
        this.#requireAvailable(request.amount, at);
        this.holds.push({
          amount: request.amount,
          settled: 0n,
          final: null,
          state: 'open',
          expiresAt: at + request.expiresIn,
        });
        return request.amount;
      case 'extend':
        return this.#extend(request, at);
      case 'settle':
        return this.#settle(request, at);
      case 'release':
        return this.#release(request.hold, at);
      case 'expire':
        this.sweep(at);
        return 0n;
    }
  }

  #credit(request: Request & { op: 'credit' }, at: number): bigint {
    const { amount, expiresAt } = request;
    if (expiresAt !== null && expiresAt <= at) throw new Refusal('PT400 invalid_request');
    const isPaid = request.kind === 'purchase' || request.kind === 'subscription';
    if (!isPaid && this.balance + amount > CAP) throw new Refusal('PT422 credits_cap_exceeded');
    const place = this.#addLot({
      amount,
      remaining: this.#afterDebt(amount),
      isPaid,
      priority: request.priority,
      expiresAt,
    });
    this.#post('credit', amount, [{ lot: place, amount }]);
    return amount;
  }

  #refund(amount: bigint, of: number | null, at: number): bigint {
    if (amount > this.refundable(of)) throw new Refusal('PT409 invalid_state');
    let left = this.#afterDebt(amount);
    const parts: Part[] = [];
    const burned = of === null ? [] : (this.entries[of]?.lots ?? []);
    for (const part of [...burned].reverse()) {
      const lot = this.#lot(part.lot);
      if (isDead(lot, at)) continue;
      const back = least(left, -part.amount - this.#returnedTo(part.lot, of), roomOf(lot));
      if (back <= 0n) continue;
      lot.remaining += back;
      left -= back;
      parts.push({ lot: part.lot, amount: back });
    }
    if (left > 0n) {
      const isPaid = burned.some((part) => this.#lot(part.lot).isPaid);
      const place = this.#addLot({ amount: left, remaining: left, isPaid, priority: 0, expiresAt: at + REFUND_LIFE });
      parts.push({ lot: place, amount: left });
    }
    this.#post('refund', amount, parts, of);
    return amount;
  }

  /** Never more than was spent at all, of one entry never more than it took. */
  refundable(of: number | null): bigint {
    if (of === null) return this.spent;
    const entry = this.entries[of];
    if (!entry) throw new Refusal('PT404 not_found');
    if (entry.type !== 'debit') throw new Refusal('PT400 invalid_request');
    const refunded = sum(this.entries.filter((other) => other.of === of).map((other) => other.amount));
    return least(this.spent, -entry.amount - refunded);
  }

  #clawback(amount: bigint, place: number, at: number): bigint {
    const lot = this.#lot(place);
    const taken = least(amount, lot.amount - lot.clawedBack - lot.expired);
    if (amount > lot.amount - lot.clawedBack || taken <= 0n) throw new Refusal('PT409 invalid_state');
    lot.clawedBack += taken;
    this.#post('clawback', -taken, this.#burn(taken, { at, spareDead: false, first: place }));
    return taken;
  }

  #extend(request: Request & { op: 'extend' }, at: number): bigint {
    const hold = this.#hold(request.hold);
    if (hold.state !== 'open') throw new Refusal('PT409 invalid_state');
    this.#requireAvailable(request.amount, at);
    hold.amount += request.amount;
    if (request.expiresIn !== null) hold.expiresAt = Math.max(hold.expiresAt, at + request.expiresIn);
    return request.amount;
  }

  #settle(request: Request & { op: 'settle' }, at: number): bigint {
    const hold = this.#hold(request.hold);
    if (request.keepOpen && request.key === null) throw new Refusal('PT400 invalid_request'); // parts look alike
    if (hold.state === 'settled' && !request.keepOpen && hold.final === request.amount) return request.amount; // a retry
    if (hold.state === 'settled' || hold.state === 'released') throw new Refusal('PT409 invalid_state');
    hold.settled += request.amount;
    if (request.keepOpen) {
      if (hold.state === 'open') hold.amount = atLeastZero(hold.amount - request.amount);
    } else {
      hold.state = 'settled';
      hold.final = request.amount;
    }
    if (request.amount > 0n) {
      this.#post('debit', -request.amount, this.#burn(request.amount, { at, spareDead: false }));
    }
    this.sweep(at);
    return request.amount;
  }

  #release(place: number, at: number): bigint {
    const hold = this.#hold(place);
    if (hold.state === 'settled') throw new Refusal('PT409 invalid_state');
    const freed = hold.state === 'open' ? hold.amount : 0n;
    hold.state = 'released';
    this.sweep(at);
    return freed;
  }

  /**
   * Takes an amount from lots as far as they last; the rest is debt. Burn order: priority, soonest expiry, free before paid,
   * oldest. What is no settlement spares lots that only holds keep alive, a clawback begins with its own lot.
   */
  #burn(amount: bigint, how: { at: number; spareDead: boolean; first?: number }): Part[] {
    const order = this.#inOrder((lot, place) => [
      place === how.first ? 0 : 1,
      how.spareDead && isDead(lot, how.at) ? 1 : 0,
      lot.priority,
      lot.expiresAt ?? Infinity,
      lot.isPaid ? 1 : 0,
    ]);
    const parts: Part[] = [];
    let wanted = amount;
    for (const [lot, place] of order) {
      const taken = least(wanted, lot.remaining);
      if (taken === 0n) continue;
      lot.remaining -= taken;
      wanted -= taken;
      parts.push({ lot: place, amount: -taken });
    }
    return parts;
  }

  /** Lots with their places, ordered by the ranks given, then by age. */
  #inOrder(ranks: (lot: Lot, place: number) => number[]): [Lot, number][] {
    return this.lots
      .map((lot, place) => ({ lot, place, ranks: [...ranks(lot, place), place] }))
      .sort((a, b) => compare(a.ranks, b.ranks))
      .map(({ lot, place }) => [lot, place]);
  }

  #requireAvailable(amount: bigint, at: number): void {
    // What costs nothing is had in debt too.
    if (amount > 0n && amount > this.availableAt(at)) throw new Refusal('PT402 insufficient_credits');
  }

  /** What is left of incoming credits when debt has been paid. */
  #afterDebt(amount: bigint): bigint {
    return least(amount, atLeastZero(this.balance + amount));
  }

  /** What refunds of an entry have given back to a lot. */
  #returnedTo(place: number, of: number | null): bigint {
    const refunds = this.entries.filter((entry) => entry.type === 'refund' && entry.of === of);
    return sum(refunds.flatMap((entry) => entry.lots.filter((part) => part.lot === place).map((part) => part.amount)));
  }

  #addLot(lot: Omit<Lot, 'expired' | 'clawedBack'>): number {
    return this.lots.push({ ...lot, expired: 0n, clawedBack: 0n }) - 1;
  }

  #post(type: Entry['type'], amount: bigint, lots: Part[], of: number | null = null): void {
    this.entries.push({ type, amount, lots, of });
  }

  #sumOf(...types: Entry['type'][]): bigint {
    return sum(this.entries.filter((entry) => types.includes(entry.type)).map((entry) => entry.amount));
  }

  #lot(place: number): Lot {
    const lot = this.lots[place];
    if (!lot) throw new Refusal('PT404 not_found');
    return lot;
  }

  #hold(place: number): Hold {
    const hold = this.holds[place];
    if (!hold) throw new Refusal('PT404 not_found');
    return hold;
  }
}

const isOpen = (hold: Hold, at: number): boolean => hold.state === 'open' && hold.expiresAt > at;
const isDead = (lot: Lot, at: number): boolean => lot.expiresAt !== null && lot.expiresAt <= at;
const roomOf = (lot: Lot): bigint => lot.amount - lot.remaining - lot.expired - lot.clawedBack;

function compare(a: number[], b: number[]): number {
  const at = a.findIndex((rank, index) => rank !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

/** What is wrong with a request whatever the wallet holds. */
function checkForm(request: Request): void {
  const refuse = (): never => {
    throw new Refusal('PT400 invalid_request');
  };
  if (request.key?.startsWith('basemeter:')) refuse();
  if ('amount' in request) {
    const mayBeZero = ['hold', 'extend'].includes(request.op) || (request.op === 'settle' && !request.keepOpen);
    if (request.amount < (mayBeZero ? 0n : 1n) || request.amount > LARGEST) refuse();
  }
  if ('expiresIn' in request && request.expiresIn !== null) {
    if (request.expiresIn <= 0 || request.expiresIn > LONGEST_HOLD) refuse();
  }
}
