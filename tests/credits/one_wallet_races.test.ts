/** What 200 callers may do to one wallet at once. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  callAtOnce,
  countDeadlocks,
  hangUp,
  inTurn,
  type Outcome,
  openCallers,
  rowsOf,
  tally,
} from '../support/callers.ts';
import { sql } from '../support/stack.ts';
import { driftOf, newAccount, walletOf } from '../support/wallets.ts';

let callers: pg.Client[] = [];
let wallet = '';
let deadlocks = 0;

beforeAll(async () => {
  callers = await openCallers(200);
  deadlocks = await countDeadlocks(callers);
});
beforeEach(async () => {
  wallet = await newAccount(50);
});
afterEach(async () => {
  expect(await driftOf([wallet])).toEqual([]);
});
afterAll(async () => {
  const counted = await countDeadlocks(callers);
  await hangUp(callers);
  expect(counted).toBe(deadlocks);
});

/** The same statement from `times` callers at once. */
function atOnce(times: number, statement: (number: number) => string): Promise<Outcome[]> {
  return callAtOnce(
    Array.from({ length: times }, (_, number) => ({ by: inTurn(callers, number), statement: statement(number) })),
  );
}

/** One call, before the race. */
async function first(statement: string): Promise<Record<string, unknown>> {
  const [row] = await sql(statement);
  if (!row) throw new Error(`No row from: ${statement}`);
  return row;
}

const debit = (amount: number, more = ''): string =>
  `select * from public.debit_user_credits_transaction('${wallet}', ${amount}, 'generation'${more})`;
const hold = (amount: number, more = ''): string =>
  `select * from public.hold_credits('${wallet}', ${amount}, 'generation'${more})`;

test('200 debits of 1 on a wallet of 50: exactly 50 succeed', async () => {
  const outcomes = await atOnce(200, () => debit(1));
  expect(tally(outcomes)).toEqual({ ok: 50, 'PT402 insufficient_credits': 150 });
  expect(await walletOf(wallet)).toEqual({ balance: 0, total: 50, spent: 50, held: 0 });
  // Each left a balance of its own: none was computed from a stale one.
  expect(new Set(rowsOf(outcomes).map((row) => row.credits_balance)).size).toBe(50);
});

test('200 holds of 1 on a wallet of 50: exactly 50 succeed', async () => {
  const outcomes = await atOnce(200, () => hold(1));
  expect(tally(outcomes)).toEqual({ ok: 50, 'PT402 insufficient_credits': 150 });
  expect(await walletOf(wallet)).toEqual({ balance: 50, total: 50, spent: 0, held: 50 });
});

test('100 debits and 100 holds of 1 together never take more than the 50 there are', async () => {
  const outcomes = await atOnce(200, (number) => (number % 2 ? hold(1) : debit(1)));
  expect(tally(outcomes)).toEqual({ ok: 50, 'PT402 insufficient_credits': 150 });
  const after = await walletOf(wallet);
  expect((after?.balance ?? 0) - (after?.held ?? 0)).toBe(0);
});

test('a wallet with an overdraft limit is passed up to the limit and no further', async () => {
  await sql('update public.credit_wallets set overdraft_limit = 5 where workspace_id = $1', [wallet]);
  expect(tally(await atOnce(100, () => debit(1)))).toEqual({ ok: 55, 'PT402 insufficient_credits': 45 });
  expect(await walletOf(wallet)).toMatchObject({ balance: -5, spent: 55 });
});

/** 20 callers with one key: 20 equal answers, and what the wallet is after it. */
async function replay(statement: string): Promise<Awaited<ReturnType<typeof walletOf>>> {
  const outcomes = await atOnce(20, () => statement);
  expect(tally(outcomes)).toEqual({ ok: 20 });
  const answers = rowsOf(outcomes);
  expect(answers).toEqual(answers.map(() => answers[0]));
  return walletOf(wallet);
}

async function entriesWith(key: string): Promise<number> {
  const [row] = await sql<{ count: number }>(
    'select count(*)::integer as count from public.credit_transactions where workspace_id = $1 and idempotency_key = $2',
    [wallet, key],
  );
  return row?.count ?? 0;
}

test('20 debits with one idempotency key make one entry and 20 equal answers', async () => {
  expect(await replay(debit(30, ", idempotency_key => 'one'"))).toMatchObject({ balance: 20, spent: 30 });
  expect(await entriesWith('one')).toBe(1);
});

test('20 credits with one idempotency key make one entry and 20 equal answers', async () => {
  const statement = `select * from public.credit_user_credits_transaction('${wallet}', 30, 'manual', idempotency_key => 'one')`;
  expect(await replay(statement)).toMatchObject({ balance: 80, total: 80 });
  expect(await entriesWith('one')).toBe(1);
});

test('20 refunds with one idempotency key make one entry and 20 equal answers', async () => {
  const { transaction_id } = await first(debit(40));
  const statement = `select * from public.refund_user_credits('${wallet}', 10, 'refund',
    transaction_id => ${transaction_id}, idempotency_key => 'one')`;
  expect(await replay(statement)).toMatchObject({ balance: 20, spent: 30 });
  expect(await entriesWith('one')).toBe(1);
});

test('20 holds with one idempotency key make one hold and 20 equal answers', async () => {
  expect(await replay(hold(30, ", idempotency_key => 'one'"))).toMatchObject({ balance: 50, held: 30 });
});

test('20 part settlements with one idempotency key make one entry and 20 equal answers', async () => {
  const { hold_id } = await first(hold(30));
  const statement = `select * from public.settle_credit_hold('${hold_id}', 10, keep_open => true, idempotency_key => 'one')`;
  expect(await replay(statement)).toEqual({ balance: 40, total: 50, spent: 10, held: 20 });
  expect(await entriesWith('one')).toBe(1);
});

test('20 extensions with one idempotency key set aside more once', async () => {
  const { hold_id } = await first(hold(10));
  const statement = `select * from public.extend_credit_hold('${hold_id}', 15, idempotency_key => 'one')`;
  expect(await replay(statement)).toMatchObject({ balance: 50, held: 25 });
});

test('one key for different requests at once: one of them is done, the others conflict', async () => {
  const outcomes = await atOnce(20, (number) => debit(number + 1, ", idempotency_key => 'one'"));
  expect(tally(outcomes)).toEqual({ ok: 1, 'PT409 idempotency_conflict': 19 });
  expect(await entriesWith('one')).toBe(1);
});

test('a retry of a settlement in 20 places charges once', async () => {
  const { hold_id } = await first(hold(30));
  expect(tally(await atOnce(20, () => `select * from public.settle_credit_hold('${hold_id}', 12)`))).toEqual({
    ok: 20,
  });
  expect(await walletOf(wallet)).toEqual({ balance: 38, total: 50, spent: 12, held: 0 });
});

test('different settlements of one hold at once: one charges', async () => {
  const { hold_id } = await first(hold(30));
  const outcomes = await atOnce(20, (number) => `select * from public.settle_credit_hold('${hold_id}', ${number + 1})`);
  expect(tally(outcomes)).toEqual({ ok: 1, 'PT409 invalid_state': 19 });
  const [charged] = rowsOf(outcomes);
  expect(await walletOf(wallet)).toEqual({
    balance: 50 - Number(charged?.amount),
    total: 50,
    spent: Number(charged?.amount),
    held: 0,
  });
});

test('settlement, release and expiry of one hold at once: it ends once', async () => {
  const { hold_id } = await first(hold(30));
  const due = `at => clock_timestamp() + interval '1 hour'`;
  const statements = [
    `select 'settle' as did, public.settle_credit_hold('${hold_id}', 12)`,
    `select 'release' as did, public.release_credit_hold('${hold_id}')`,
    `select 'expire' as did, public.expire_credits('${wallet}', ${due})`,
  ];
  const outcomes = await atOnce(30, (number) => statements[number % 3] ?? '');
  const [hold_] = await sql('select state, settled_amount::float8 as settled from public.credit_holds where id = $1', [
    hold_id,
  ]);
  const did = rowsOf(outcomes).map((row) => row.did);
  expect(did.filter((what) => what === 'expire')).toHaveLength(10);
  // Whichever of the two came first decided: all retries of it are answered, all of the other refused.
  const settled = hold_?.state === 'settled';
  expect(did.filter((what) => what === (settled ? 'settle' : 'release'))).toHaveLength(10);
  expect(tally(outcomes)).toEqual({ ok: 20, 'PT409 invalid_state': 10 });
  expect(hold_).toEqual(settled ? { state: 'settled', settled: 12 } : { state: 'released', settled: 0 });
  const spent = settled ? 12 : 0;
  expect(await walletOf(wallet)).toEqual({ balance: 50 - spent, total: 50, spent, held: 0 });
});

test('refunds of one entry at once never give back more than it took', async () => {
  const { transaction_id } = await first(debit(30));
  await first(debit(15)); // the wallet has spent more than the entry took
  const outcomes = await atOnce(
    50,
    () => `select * from public.refund_user_credits('${wallet}', 4, 'refund', transaction_id => ${transaction_id})`,
  );
  expect(tally(outcomes)).toEqual({ ok: 7, 'PT409 invalid_state': 43 });
  expect(await walletOf(wallet)).toMatchObject({ balance: 33, spent: 17 });
});

test('free-standing refunds at once never give back more than was spent', async () => {
  await first(debit(30));
  const outcomes = await atOnce(50, () => `select * from public.refund_user_credits('${wallet}', 4, 'refund')`);
  expect(tally(outcomes)).toEqual({ ok: 7, 'PT409 invalid_state': 43 });
});

test('clawbacks of one grant at once never take more than it was', async () => {
  const grant = await first(
    `select * from public.credit_user_credits_transaction('${wallet}', 30, 'purchase', idempotency_key => '${randomUUID()}')`,
  );
  const outcomes = await atOnce(50, () => `select * from public.clawback_credits('${grant.grant_id}', 4, 'dispute')`);
  expect(tally(outcomes)).toEqual({ ok: 7, 'PT409 invalid_state': 43 });
  expect(await walletOf(wallet)).toMatchObject({ balance: 52, total: 52 });
});
