/** Random sequences of ledger operations: the database and a small model of the rules agree on every one. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sqlAs } from '../support/stack.ts';
import { decimal, play, preparePlayer, type Reply, type Step } from './ledger_driver.ts';
import { LedgerModel, LOT_KINDS, Refusal, type Request } from './ledger_model.ts';

const CONNECTIONS = 3;
const SEQUENCES = 400; // on each connection
const MICRO = 1_000_000n;

type Mistake = 'expired lot' | 'no hold' | 'long hold' | 'no key';

/** An amount: a fixed one, or as much as the operation could just have (and a millionth more or less). */
type Wish = { fixed: bigint } | { edge: bigint };

/** Amounts of up to so many credits. */
function upTo(most: bigint): fc.Arbitrary<Wish> {
  return fc.oneof(
    { weight: 10, arbitrary: fc.record({ fixed: fc.bigInt(1n, most).map((whole) => whole * MICRO) }) },
    { weight: 4, arbitrary: fc.record({ fixed: fc.bigInt(1n, most * MICRO) }) },
    { weight: 2, arbitrary: fc.record({ edge: fc.constantFrom(-1n, 0n, 0n, 1n) }) },
    { weight: 1, arbitrary: fc.record({ fixed: fc.constantFrom(0n, -MICRO, 30_000n * MICRO) }) },
  );
}
/** Amounts that are as often all there is as a part of it. */
function upToAll(most: bigint): fc.Arbitrary<Wish> {
  return fc.oneof(upTo(most), fc.record({ edge: fc.constantFrom(-1n, 0n, 0n, 1n) }));
}
const place = fc.nat({ max: 40 });
const holdHours = fc.constantFrom(2, 24, 24, 24 * 9, 24 * 30);
const key = fc.option(
  fc.nat({ max: 30 }).map((number) => `key ${number}`),
  { freq: 2 },
);
const credit = fc.record({
  op: fc.constant('credit' as const),
  wish: upTo(30n),
  key,
  kind: fc.constantFrom(...LOT_KINDS),
  priority: fc.constantFrom(0, 0, 0, -1, 5),
  expiresIn: fc.option(fc.constantFrom(1, 2, 5, 5, 24, 24 * 9, 24 * 40), { freq: 3 }),
});
const mistake = fc.constantFrom<Mistake>('expired lot', 'no hold', 'long hold', 'no key');

/** What a step asks, before it is known which lots, holds and entries there are. */
const intent = fc.oneof(
  { weight: 4, arbitrary: credit },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('debit' as const), wish: upTo(9n), key }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('refund' as const), wish: upToAll(30n), key }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('refund' as const), wish: upToAll(6n), key, place }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('clawback' as const), wish: upToAll(9n), key, place }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('hold' as const), wish: upTo(9n), key, expiresIn: holdHours }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('extend' as const),
      wish: upTo(6n),
      key,
      place,
      expiresIn: fc.option(holdHours, { freq: 2 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('settle' as const),
      wish: upToAll(9n),
      key,
      place,
      keepOpen: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('release' as const), place }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('expire' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('replay' as const), place }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('mistake' as const), mistake }) },
);
type Intent = typeof intent extends fc.Arbitrary<infer T> ? T : never;

type Intended = { wait: number; intent: Intent };
type Sequence = { overdraft: bigint; isSwept: boolean; intents: Intended[] };

// A wallet is worth playing with once something is in it.
const someCredits: fc.Arbitrary<Intended[]> = fc.array(fc.record({ wait: fc.constant(0), intent: credit }), {
  minLength: 1,
  maxLength: 3,
});
/** A lot that expires under a hold of all of it, and credits that arrive after that: chance seldom gets there. */
const aLotKeptAlive: fc.Arbitrary<Intended[]> = fc.tuple(credit, credit).map(([doomed, later]) => [
  { wait: 0, intent: { ...doomed, expiresIn: 5 } },
  { wait: 0, intent: { op: 'hold', wish: { edge: 0n }, key: null, expiresIn: 24 * 9 } },
  { wait: 5, intent: { op: 'expire' } },
  { wait: 0, intent: later },
]);

const sequence: fc.Arbitrary<Sequence> = fc
  .record({
    overdraft: fc.constantFrom(0n, 0n, 5n * MICRO),
    isSwept: fc.boolean(),
    opening: fc.oneof({ weight: 3, arbitrary: someCredits }, { weight: 1, arbitrary: aLotKeptAlive }),
    further: fc.array(fc.record({ wait: fc.constantFrom(0, 0, 0, 1, 4, 24, 24 * 10), intent }), {
      minLength: 8,
      maxLength: 22,
      size: 'max',
    }),
  })
  .map(({ opening, further, ...wallet }) => ({ ...wallet, intents: [...opening, ...further] }));

/** Sets credits aside where an intent needs a hold and there is none. */
function possible(intended: Intent, model: LedgerModel): Intent {
  const needsHold = intended.op === 'extend' || intended.op === 'settle' || intended.op === 'release';
  if (!needsHold || model.holds.length > 0) return intended;
  return { op: 'hold', wish: { fixed: 3n * MICRO }, expiresIn: 24, key: null };
}

/** Makes a request of an intent, with the model's knowledge of what there is. */
function requestOf(intended: Intent, model: LedgerModel, at: number, earlier: Request[]): Request {
  switch (intended.op) {
    case 'credit': {
      const expiresAt = intended.expiresIn === null ? null : at + intended.expiresIn;
      const { key, kind, priority } = intended;
      return { op: 'credit', amount: amountOf(intended.wish, -model.balance), kind, priority, expiresAt, key };
    }
    case 'debit':
      return { op: 'debit', amount: amountOf(intended.wish, model.availableAt(at)), key: intended.key };
    case 'refund':
      return refundOf(intended, model);
    case 'clawback': {
      const lot = placeIn(model.lots, intended.place);
      const most = (model.lots[lot]?.amount ?? MICRO) - (model.lots[lot]?.clawedBack ?? 0n);
      return { op: 'clawback', amount: amountOf(intended.wish, most), lot, key: intended.key };
    }
    case 'hold': {
      const { key, expiresIn } = intended;
      return { op: 'hold', amount: amountOf(intended.wish, model.availableAt(at)), expiresIn, key };
    }
    case 'extend': {
      const { key, expiresIn } = intended;
      const hold = placeIn(model.holds, intended.place);
      return { op: 'extend', amount: amountOf(intended.wish, model.availableAt(at)), hold, expiresIn, key };
    }
    case 'settle': {
      const { key, keepOpen } = intended;
      const hold = placeIn(model.holds, intended.place);
      const most = model.holds[hold]?.final ?? model.holds[hold]?.amount ?? MICRO;
      return { op: 'settle', amount: amountOf(intended.wish, most), hold, keepOpen, key };
    }
    case 'release':
      return { op: 'release', hold: placeIn(model.holds, intended.place), key: null };
    case 'expire':
      return { op: 'expire', key: null };
    case 'replay':
      return earlier[placeIn(earlier, intended.place)] ?? { op: 'expire', key: null };
    case 'mistake':
      return mistakes(at)[intended.mistake];
  }
}

/** Requests that are off in themselves, or name what does not exist. */
const mistakes = (at: number): Record<Mistake, Request> => ({
  'expired lot': { op: 'credit', amount: MICRO, kind: 'free', priority: 0, expiresAt: at, key: null },
  'no hold': { op: 'settle', amount: MICRO, hold: -1, keepOpen: false, key: null },
  'long hold': { op: 'hold', amount: MICRO, expiresIn: 24 * 30 + 1, key: null },
  'no key': { op: 'settle', amount: MICRO, hold: 0, keepOpen: true, key: null },
});

function refundOf(intended: Intent & { op: 'refund' }, model: LedgerModel): Request {
  const of = 'place' in intended ? entryIn(model, intended.place) : null;
  let most = MICRO;
  try {
    most = model.refundable(of);
  } catch {
    // No such entry, or none that can be refunded: any amount will do.
  }
  return { op: 'refund', amount: amountOf(intended.wish, most), entry: of, key: intended.key };
}

/** A debit's place; one time in seven that of any entry. */
function entryIn(model: LedgerModel, wished: number): number {
  const debits = model.entries.flatMap((entry, number) => (entry.type === 'debit' ? [number] : []));
  return wished % 7 === 6 ? placeIn(model.entries, wished) : (debits[placeIn(debits, wished)] ?? -1);
}

const amountOf = (wished: Wish, most: bigint): bigint => ('fixed' in wished ? wished.fixed : most + wished.edge);
const placeIn = (things: unknown[], wished: number): number => (things.length === 0 ? -1 : wished % things.length);

/** What the model expects of a step; undefined from where it cannot tell. */
type Expected = Omit<Reply, 'answer'> & { answer: Record<string, string> | null };

/** Plays a sequence on the model: the steps as requests, and what to expect of each. */
function plan({ overdraft, isSwept, intents }: Sequence): {
  steps: Step[];
  expected: (Expected | undefined)[];
} {
  const model = new LedgerModel(overdraft);
  const steps: Step[] = [];
  const expected: (Expected | undefined)[] = [];
  let at = 0;
  let isCertain = true;
  for (const { wait, intent: intended } of intents) {
    at += wait;
    const keyed = steps.flatMap(({ request }) => (request.key === null ? [] : [request]));
    const request = requestOf(possible(intended, model), model, at, keyed);
    if (isSwept && at > model.sweptAt) model.sweep(at);
    const reply = expectedReply(model, request, at, isSwept);
    // When exactly lots that holds keep alive are looked at again is left open; a sweep each time the hour changes settles it.
    isCertain &&= isSwept || !model.keepsExpiredLots(at);
    steps.push({ at, request });
    expected.push(isCertain ? reply : undefined);
  }
  return { steps, expected };
}

function expectedReply(model: LedgerModel, request: Request, at: number, isSwept: boolean): Expected {
  let error: string | null = null;
  let answer: Record<string, string> | null = null;
  try {
    const { amount, ...wallet } = model.serve(request, at);
    if (request.op !== 'expire') {
      // A hold that is due gives back nothing, or all if no sweep has come by: only its wallet must be right.
      answer = inDecimals<string>(request.op === 'release' && !isSwept ? wallet : { ...wallet, amount });
    }
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    error = refusal.message;
  }
  const { balance, total, spent, expired } = model;
  return {
    error,
    answer,
    wallet: inDecimals({ balance, total, spent, expired, held: model.heldAt(at) }),
    lots: model.lots.map((lot) =>
      [...[lot.amount, lot.remaining, lot.expired, lot.clawedBack].map(decimal), lot.isPaid].join(' '),
    ),
    holds: model.holds.map((hold) => {
      const isDue = hold.state === 'open' && hold.expiresAt <= at;
      return `${decimal(hold.settled)} ${isDue ? 'expired' : hold.state}`;
    }),
    entries: model.entries.length,
  };
}

function inDecimals<Name extends string>(amounts: Record<Name, bigint>): Record<Name, string> {
  return Object.fromEntries(Object.entries<bigint>(amounts).map(([name, micro]) => [name, decimal(micro)])) as Record<
    Name,
    string
  >;
}

/** The part of a reply that the model speaks of. */
function comparable(reply: Reply, expected: Expected): Expected {
  const { answer } = reply;
  const wallet = {
    balance: 'credits_balance',
    total: 'credits_total',
    spent: 'credits_spent',
    expired: 'credits_expired',
  };
  const names = Object.entries({ ...wallet, amount: 'amount' }).filter(([name]) => name in (expected.answer ?? {}));
  return {
    ...reply,
    answer:
      answer && expected.answer && Object.fromEntries(names.map(([name, column]) => [name, answer[column] ?? 'null'])),
  };
}

const CODES =
  /^PT(400 invalid_request|402 insufficient_credits|404 not_found|409 (idempotency_conflict|invalid_state)|422 credits_cap_exceeded)$/;

/** Compares step by step, so that a failure shows the first step that went wrong. */
function compareReplies(steps: Step[], expected: (Expected | undefined)[], replies: Reply[]): void {
  const answers = new Map<string, Reply['answer']>();
  for (const [number, { request }] of steps.entries()) {
    const reply = replies[number];
    const wanted = expected[number];
    if (!reply) throw new Error(`Step ${number} got no reply.`);
    if (wanted) expect({ number, ...comparable(reply, wanted) }).toEqual({ number, ...wanted });
    else if (reply.error) expect(reply.error).toMatch(CODES);
    if (request.key === null || reply.error) continue;
    // The same key again: the same answer, every figure and id of it.
    expect(reply.answer).toEqual(answers.get(request.key) ?? reply.answer);
    answers.set(request.key, reply.answer);
  }
}

let connections: pg.Client[] = [];

beforeAll(async () => {
  connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => sqlAs('supabase_admin')));
  await Promise.all(connections.map(preparePlayer));
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.end()));
});

test(`${CONNECTIONS * SEQUENCES} random sequences leave the books as the rules say`, { timeout: 180_000 }, async () => {
  const property = (connection: pg.Client) =>
    fc.asyncProperty(sequence, async (generated) => {
      const { steps, expected } = plan(generated);
      const { replies, drift } = await play(connection, { ...generated, steps });
      compareReplies(steps, expected, replies);
      expect(drift).toEqual([]);
    });
  // Each connection goes its own way through the space; a failure names its seed.
  await Promise.all(connections.map((connection) => fc.assert(property(connection), { numRuns: SEQUENCES })));
});
