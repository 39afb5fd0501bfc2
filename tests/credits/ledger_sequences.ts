/** Random sequences for the ledger: what a step intends, and the request it becomes once it is known what there is. */
import fc from 'fast-check';
import { GRANT_KINDS, type LedgerModel, type Request } from './ledger_model.ts';

const MICRO = 1_000_000n;

type Mistake = 'expired grant' | 'no hold' | 'long hold' | 'no key' | 'key of our own';

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
  kind: fc.constantFrom(...GRANT_KINDS),
  priority: fc.constantFrom(0, 0, 0, -1, 5),
  expiresIn: fc.option(fc.constantFrom(1, 2, 5, 5, 24, 24 * 9, 24 * 40), { freq: 3 }),
});
const mistake = fc.constantFrom<Mistake>('expired grant', 'no hold', 'long hold', 'no key', 'key of our own');

/** What a step asks, before it is known which grants, holds and entries there are. */
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
/** What is to happen to one wallet: `wait` hours, then the intent. With `isSwept` a sweep comes by as time moves on. */
export type Sequence = { overdraft: bigint; isSwept: boolean; intents: Intended[] };

// A wallet is worth playing with once something is in it.
const someCredits: fc.Arbitrary<Intended[]> = fc.array(fc.record({ wait: fc.constant(0), intent: credit }), {
  minLength: 1,
  maxLength: 3,
});
/** A grant that expires under a hold of all of it, and credits that arrive after that: chance seldom gets there. */
const aGrantKeptAlive: fc.Arbitrary<Intended[]> = fc.tuple(credit, credit).map(([doomed, later]) => [
  { wait: 0, intent: { ...doomed, expiresIn: 5 } },
  { wait: 0, intent: { op: 'hold', wish: { edge: 0n }, key: null, expiresIn: 24 * 9 } },
  { wait: 5, intent: { op: 'expire' } },
  { wait: 0, intent: later },
]);

/** Sequences of 9 to 26 steps. */
export const sequence: fc.Arbitrary<Sequence> = fc
  .record({
    overdraft: fc.constantFrom(0n, 0n, 5n * MICRO),
    isSwept: fc.boolean(),
    opening: fc.oneof({ weight: 3, arbitrary: someCredits }, { weight: 1, arbitrary: aGrantKeptAlive }),
    further: fc.array(fc.record({ wait: fc.constantFrom(0, 0, 0, 1, 4, 24, 24 * 10), intent }), {
      minLength: 8,
      maxLength: 22,
      size: 'max',
    }),
  })
  .map(({ opening, further, ...wallet }) => ({ ...wallet, intents: [...opening, ...further] }));

/** Makes a request of an intent, with the model's knowledge of what there is; `earlier` are the requests so far that had keys. */
export function requestOf(intent: Intent, model: LedgerModel, at: number, earlier: Request[]): Request {
  const intended = possible(intent, model);
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
      const grant = placeIn(model.grants, intended.place);
      const most = (model.grants[grant]?.amount ?? MICRO) - (model.grants[grant]?.clawedBack ?? 0n);
      return { op: 'clawback', amount: amountOf(intended.wish, most), grant, key: intended.key };
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

/** Sets credits aside where an intent needs a hold and there is none. */
function possible(intended: Intent, model: LedgerModel): Intent {
  const needsHold = intended.op === 'extend' || intended.op === 'settle' || intended.op === 'release';
  if (!needsHold || model.holds.length > 0) return intended;
  return { op: 'hold', wish: { fixed: 3n * MICRO }, expiresIn: 24, key: null };
}

/** Requests that are off in themselves, or name what does not exist. */
const mistakes = (at: number): Record<Mistake, Request> => ({
  'expired grant': { op: 'credit', amount: MICRO, kind: 'free', priority: 0, expiresAt: at, key: null },
  'no hold': { op: 'settle', amount: MICRO, hold: -1, keepOpen: false, key: null },
  'long hold': { op: 'hold', amount: MICRO, expiresIn: 24 * 30 + 1, key: null },
  'no key': { op: 'settle', amount: MICRO, hold: 0, keepOpen: true, key: null },
  'key of our own': { op: 'debit', amount: MICRO, key: 'basemeter:signup' },
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
