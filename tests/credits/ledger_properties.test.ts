/** Random sequences of ledger operations: the database and a small model of the rules agree on every one. */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { sqlAs } from '../support/stack.ts';
import { decimal, play, preparePlayer, type Reply, type Step } from './ledger_driver.ts';
import { LedgerModel, Refusal, type Request } from './ledger_model.ts';
import { requestOf, type Sequence, sequence } from './ledger_sequences.ts';

const CONNECTIONS = 3;
const SEQUENCES = runs(50); // on each connection
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
    const request = requestOf(intended, model, at, keyed);
    if (isSwept && at > model.sweptAt) model.sweep(at);
    const reply = expectedReply(model, request, at, isSwept);
    // When exactly grants that holds keep alive are looked at again is left open; a sweep each time the hour changes settles it.
    isCertain &&= isSwept || !model.keepsExpiredGrants(at);
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
    grants: model.grants.map((grant) =>
      [...[grant.amount, grant.remaining, grant.expired, grant.clawedBack].map(decimal), grant.isPaid].join(' '),
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

test(`${CONNECTIONS * SEQUENCES} random sequences leave the ledger as the rules say`, {
  timeout: 60_000 + SEQUENCES * 1000,
}, async () => {
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
