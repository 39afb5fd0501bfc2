/** The sweep of what is due, from several sessions, while the wallets are in use. */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Call,
  callAtOnce,
  countDeadlocks,
  hangUp,
  inTurn,
  openCallers,
  rowsOf,
  tally,
} from '../support/callers.ts';
import { sql } from '../support/stack.ts';
import { driftOf, newAccounts } from '../support/wallets.ts';

let callers: pg.Client[] = [];
let sweepers: pg.Client[] = [];
let deadlocks = 0;

beforeAll(async () => {
  callers = await openCallers(60);
  sweepers = await openCallers(6, 'postgres');
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks([...callers, ...sweepers]);
  await hangUp([...callers, ...sweepers]);
  expect(counted).toBe(deadlocks);
});

/** Wallets of 20 that live, 5 in a grant that is past its expiry, and a hold of 4 that is past its own. */
async function walletsWithDueWork(count: number): Promise<string[]> {
  const wallets = await newAccounts(count, 20);
  await sql(
    `select public.credit_user_credits_transaction(id, 5, 'promotion', expires_at => now() - interval '1 hour', at => now() - interval '2 hours'),
            public.hold_credits(id, 4, 'generation', expires_in => '15 minutes', at => now() - interval '2 hours')
       from unnest($1::uuid[]) id`,
    [wallets],
  );
  return wallets;
}

const sweeps = (times: number): Call[] =>
  Array.from({ length: times }, (_, number) => ({
    by: inTurn(sweepers, number),
    statement: 'select private.run_due_work() as done',
  }));

const debits = (wallets: string[], each: number): Call[] =>
  Array.from({ length: wallets.length * each }, (_, number) => ({
    by: inTurn(callers, number),
    statement: `select * from public.debit_user_credits_transaction('${wallets[number % wallets.length]}', 1, 'generation')`,
  }));

/** What of these wallets is still due. */
async function dueIn(wallets: string[]): Promise<{ holds: number; grants: number } | undefined> {
  const [due] = await sql<{ holds: number; grants: number }>(
    `select (select count(*)::integer from public.credit_holds
              where workspace_id = any ($1::uuid[]) and state = 'open' and expires_at <= now()) as holds,
            (select count(*)::integer from public.credit_grants
              where workspace_id = any ($1::uuid[]) and remaining > 0 and expires_at <= now()) as grants`,
    [wallets],
  );
  return due;
}

test('sweeps and debits at once: every debit counts, what is due goes once', async () => {
  const wallets = await walletsWithDueWork(30);
  const [debited, swept] = await Promise.all([callAtOnce(debits(wallets, 4)), callAtOnce(sweeps(90))]);
  expect(tally(debited)).toEqual({ ok: 120 });
  expect(tally(swept)).toEqual({ ok: 90 });
  while ((await sql<{ done: number }>('select private.run_due_work() as done'))[0]?.done === 1);
  expect(await dueIn(wallets)).toEqual({ holds: 0, grants: 0 });
  const after = await sql(
    `select distinct credits_balance::float8 as balance, credits_expired::float8 as expired, credits_held::float8 as held
       from public.credit_wallets where workspace_id = any ($1::uuid[])`,
    [wallets],
  );
  expect(after).toEqual([{ balance: 16, expired: 5, held: 0 }]);
  expect(await driftOf(wallets)).toEqual([]);
});

test("sweepers never stand in each other's way: each wallet is swept by one of them", async () => {
  const wallets = await walletsWithDueWork(30);
  const swept = await callAtOnce(sweeps(120));
  expect(tally(swept)).toEqual({ ok: 120 });
  expect(rowsOf(swept).filter((row) => row.done === 1).length).toBeGreaterThanOrEqual(1);
  const entries = await sql(
    `select workspace_id from public.credit_transactions where transaction_type = 'expire' and workspace_id = any ($1::uuid[])`,
    [wallets],
  );
  expect(new Set(entries.map((entry) => entry.workspace_id)).size).toBe(entries.length);
  expect(await driftOf(wallets)).toEqual([]);
});

test('sweeps, debits and deletions at once', async () => {
  const wallets = await walletsWithDueWork(30);
  const deleters = await openCallers(30, 'supabase_auth_admin');
  const deletions = wallets.map((id, number) => ({
    by: inTurn(deleters, number),
    statement: `delete from auth.users where id = '${id}'`,
  }));
  const [outcomes, swept] = await Promise.all([
    callAtOnce([...debits(wallets, 2), ...deletions]),
    callAtOnce(sweeps(60)),
  ]);
  await hangUp(deleters);
  expect(tally(outcomes.slice(60))).toEqual({ ok: 30 });
  const { ok = 0, 'PT404 not_found': refused = 0, ...others } = tally(outcomes.slice(0, 60));
  expect([ok + refused, others]).toEqual([60, {}]);
  expect(tally(swept)).toEqual({ ok: 60 });
});
