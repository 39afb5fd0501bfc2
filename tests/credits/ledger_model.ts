/**
 * The ledger's rules once more, as plain arithmetic, to hold the database against. Written from the description of the rules
 * (grants, burn order, holds, debt, refunds, clawbacks, expiry), not from the SQL. Amounts are micro-credits; times are whole
 * hours; grants, holds and entries are named by their place in the order in which they came to be.
 */

/** Kinds of grants that a credit may name. */
export const GRANT_KINDS = ['free', 'subscription', 'purchase', 'promotion'] as const;

type GrantKind = (typeof GRANT_KINDS)[number];

/** One request as the database gets it. Places are -1 where nothing of that sort exists. */
export type Request = { key: string | null } & (
  | { op: 'credit'; amount: bigint; kind: GrantKind; priority: number; expiresAt: number | null }
  | { op: 'debit'; amount: bigint }
  | { op: 'refund'; amount: bigint; entry: number | null }
  | { op: 'clawback'; amount: bigint; grant: number }
  | { op: 'hold'; amount: bigint; expiresIn: number }
  | { op: 'extend'; amount: bigint; hold: number; expiresIn: number | null }
  | { op: 'settle'; amount: bigint; hold: number; keepOpen: boolean }
  | { op: 'release'; hold: number }
  | { op: 'expire' }
);

type Grant = {
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
type Part = { grant: number; amount: bigint };
type Entry = {
  type: 'credit' | 'debit' | 'refund' | 'expire' | 'clawback';
  amount: bigint;
  grants: Part[];
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
  grants: Grant[] = [];
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

  /** Whether a grant past its expiry is still here because open holds may need it. */
  keepsExpiredGrants(at: number): boolean {
    return this.grants.some((grant) => grant.remaining > 0n && isDead(grant, at));
  }

  /**
   * Ends what is due: holds, then grants as far as no open hold may need them. Comes with time and with the end of a hold;
   * what holds keep alive is not looked at again because credits arrived.
   */
  sweep(at: number): void {
    this.sweptAt = at;
    for (const hold of this.holds) {
      if (hold.state === 'open' && hold.expiresAt <= at) hold.state = 'expired';
    }
    const living = sum(this.grants.filter((grant) => !isDead(grant, at)).map((grant) => grant.remaining));
    const dead = this.#inOrder((grant) => [grant.expiresAt ?? Infinity]).filter(
      ([grant]) => isDead(grant, at) && grant.remaining > 0n,
    );
    const needed = atLeastZero(this.heldAt(at) - living);
    let expirable = atLeastZero(sum(dead.map(([grant]) => grant.remaining)) - needed);
    const parts: Part[] = [];
    for (const [grant, place] of dead) {
      const taken = least(grant.remaining, expirable);
      if (taken === 0n) continue;
      grant.remaining -= taken;
      grant.expired += taken;
      expirable -= taken;
      parts.push({ grant: place, amount: -taken });
    }
    if (parts.length > 0) this.#post('expire', sum(parts.map((part) => part.amount)), parts);
  }

  /** Answers a request at a time (never before the last one). */
  serve(request: Request, at: number): Answer {
    const before = structuredClone({
      grants: this.grants,
      holds: this.holds,
      entries: this.entries,
      sweptAt: this.sweptAt,
    });
    try {
      checkForm(request);
      // A key belongs to a wallet, and what does not exist has none.
      if ('grant' in request) this.#grant(request.grant);
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
        return this.#clawback(request.amount, request.grant, at);
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
    const place = this.#addGrant({
      amount,
      remaining: this.#afterDebt(amount),
      isPaid,
      priority: request.priority,
      expiresAt,
    });
    this.#post('credit', amount, [{ grant: place, amount }]);
    return amount;
  }

  #refund(amount: bigint, of: number | null, at: number): bigint {
    if (amount > this.refundable(of)) throw new Refusal('PT409 invalid_state');
    let left = this.#afterDebt(amount);
    const parts: Part[] = [];
    const burned = of === null ? [] : (this.entries[of]?.grants ?? []);
    for (const part of [...burned].reverse()) {
      const grant = this.#grant(part.grant);
      if (isDead(grant, at)) continue;
      const back = least(left, -part.amount - this.#returnedTo(part.grant, of), roomOf(grant));
      if (back <= 0n) continue;
      grant.remaining += back;
      left -= back;
      parts.push({ grant: part.grant, amount: back });
    }
    if (left > 0n) {
      const isPaid = burned.some((part) => this.#grant(part.grant).isPaid);
      const place = this.#addGrant({ amount: left, remaining: left, isPaid, priority: 0, expiresAt: at + REFUND_LIFE });
      parts.push({ grant: place, amount: left });
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
    const grant = this.#grant(place);
    const taken = least(amount, grant.amount - grant.clawedBack - grant.expired);
    if (amount > grant.amount - grant.clawedBack || taken <= 0n) throw new Refusal('PT409 invalid_state');
    grant.clawedBack += taken;
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
   * Takes an amount from grants as far as they last; the rest is debt. Burn order: priority, soonest expiry, free before paid,
   * oldest. What is no settlement spares grants that only holds keep alive, a clawback begins with its own grant.
   */
  #burn(amount: bigint, how: { at: number; spareDead: boolean; first?: number }): Part[] {
    const order = this.#inOrder((grant, place) => [
      place === how.first ? 0 : 1,
      how.spareDead && isDead(grant, how.at) ? 1 : 0,
      grant.priority,
      grant.expiresAt ?? Infinity,
      grant.isPaid ? 1 : 0,
    ]);
    const parts: Part[] = [];
    let wanted = amount;
    for (const [grant, place] of order) {
      const taken = least(wanted, grant.remaining);
      if (taken === 0n) continue;
      grant.remaining -= taken;
      wanted -= taken;
      parts.push({ grant: place, amount: -taken });
    }
    return parts;
  }

  /** Grants with their places, ordered by the ranks given, then by age. */
  #inOrder(ranks: (grant: Grant, place: number) => number[]): [Grant, number][] {
    return this.grants
      .map((grant, place) => ({ grant, place, ranks: [...ranks(grant, place), place] }))
      .sort((a, b) => compare(a.ranks, b.ranks))
      .map(({ grant, place }) => [grant, place]);
  }

  #requireAvailable(amount: bigint, at: number): void {
    // What costs nothing is had in debt too.
    if (amount > 0n && amount > this.availableAt(at)) throw new Refusal('PT402 insufficient_credits');
  }

  /** What is left of incoming credits when debt has been paid. */
  #afterDebt(amount: bigint): bigint {
    return least(amount, atLeastZero(this.balance + amount));
  }

  /** What refunds of an entry have given back to a grant. */
  #returnedTo(place: number, of: number | null): bigint {
    const refunds = this.entries.filter((entry) => entry.type === 'refund' && entry.of === of);
    return sum(
      refunds.flatMap((entry) => entry.grants.filter((part) => part.grant === place).map((part) => part.amount)),
    );
  }

  #addGrant(grant: Omit<Grant, 'expired' | 'clawedBack'>): number {
    return this.grants.push({ ...grant, expired: 0n, clawedBack: 0n }) - 1;
  }

  #post(type: Entry['type'], amount: bigint, grants: Part[], of: number | null = null): void {
    this.entries.push({ type, amount, grants, of });
  }

  #sumOf(...types: Entry['type'][]): bigint {
    return sum(this.entries.filter((entry) => types.includes(entry.type)).map((entry) => entry.amount));
  }

  #grant(place: number): Grant {
    const grant = this.grants[place];
    if (!grant) throw new Refusal('PT404 not_found');
    return grant;
  }

  #hold(place: number): Hold {
    const hold = this.holds[place];
    if (!hold) throw new Refusal('PT404 not_found');
    return hold;
  }
}

const isOpen = (hold: Hold, at: number): boolean => hold.state === 'open' && hold.expiresAt > at;
const isDead = (grant: Grant, at: number): boolean => grant.expiresAt !== null && grant.expiresAt <= at;
const roomOf = (grant: Grant): bigint => grant.amount - grant.remaining - grant.expired - grant.clawedBack;

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
