/** Sign-ups and conversions at once, as Supabase Auth writes them: the credits of a new account come once. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, tally, untilBlocked } from '../support/callers.ts';
import { adminPool, sql } from '../support/stack.ts';
import { driftOf, newAccounts } from '../support/wallets.ts';

let auth: pg.Client[] = [];
let callers: pg.Client[] = [];
let deadlocks = 0;

beforeAll(async () => {
  [auth, callers] = await Promise.all([openCallers(20, 'supabase_auth_admin'), openCallers(60)]);
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  // A trigger that swallowed a deadlock has still been counted.
  const counted = await countDeadlocks([...auth, ...callers]);
  await hangUp([...auth, ...callers]);
  expect(counted).toBe(deadlocks);
});

/** Spellings of one Gmail mailbox: dots, tags, case, and the provider's other name. */
function spellings(count: number): string[] {
  const name = `p${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  return Array.from({ length: count }, (_, number) => {
    const dotted = number % 2 ? name : `${name.slice(0, 3)}.${name.slice(3)}`;
    const cased = number % 3 ? dotted : dotted.toUpperCase();
    return `${cased}+${number}@${number % 4 ? 'gmail.com' : 'googlemail.com'}`;
  });
}

const signUp = (id: string, email: string): string => `insert into auth.users (id, email) values ('${id}', '${email}')`;

async function balancesOf(accounts: string[]): Promise<number[]> {
  const rows = await sql<{ balance: number }>(
    'select credits_balance::float8 as balance from public.users where id = any ($1::uuid[]) order by 1 desc',
    [accounts],
  );
  return rows.map((row) => row.balance);
}

async function failuresOf(accounts: string[]): Promise<pg.QueryResultRow[]> {
  return sql('select error_code, message from private.account_failures where user_id = any ($1::uuid[])', [accounts]);
}

test('two sign-ups with one mailbox in other spellings at once: one gets the 3 credits', async () => {
  for (let round = 0; round < 5; round++) {
    const accounts = [randomUUID(), randomUUID()];
    const emails = spellings(2);
    const calls = accounts.map((id, number) => ({
      by: inTurn(auth, number),
      statement: signUp(id, emails[number] ?? ''),
    }));
    expect(tally(await callAtOnce(calls))).toEqual({ ok: 2 });
    expect(await balancesOf(accounts)).toEqual([3, 0]);
    expect(await failuresOf(accounts)).toEqual([]);
  }
});

test('20 sign-ups with one mailbox at once, half of them rolled back: one that stays gets the credits', async () => {
  const accounts = Array.from({ length: 20 }, () => randomUUID());
  const emails = spellings(20);
  const calls = accounts.map((id, number) => ({
    by: inTurn(auth, number),
    statement: `${signUp(id, emails[number] ?? '')}${number % 2 ? '' : '; select 1 / 0'}`,
  }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 10, '22012 division by zero': 10 });
  expect(await balancesOf(accounts)).toEqual([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(await failuresOf(accounts)).toEqual([]);
  expect(await driftOf(accounts)).toEqual([]);
});

test('20 sign-ups with different mailboxes at once: each gets the 3 credits', async () => {
  const accounts = Array.from({ length: 20 }, () => randomUUID());
  const calls = accounts.map((id, number) => ({ by: inTurn(auth, number), statement: signUp(id, `${id}@gmail.com`) }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 20 });
  expect(await balancesOf(accounts)).toEqual(accounts.map(() => 3));
});

/** Anonymous accounts with credits given by hand: a sign-up's come when they become real ones. */
async function anonymousAccounts(count: number, balance: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await adminPool.query('insert into auth.users (id, is_anonymous) select id, true from unnest($1::uuid[]) id', [ids]);
  await sql(`select public.credit_user_credits_transaction(id, $2, 'manual') from unnest($1::uuid[]) id`, [
    ids,
    balance,
  ]);
  return ids;
}

const convert = (id: string, email: string): string =>
  `update auth.users set email = '${email}', is_anonymous = false where id = '${id}'`;

test('anonymous accounts converted while debited: the 3 credits arrive and every debit counts', async () => {
  const accounts = await anonymousAccounts(15, 2);
  const debits = Array.from({ length: 90 }, (_, number) => ({
    by: inTurn(callers, number),
    statement: `select * from public.debit_user_credits_transaction('${accounts[number % 15]}', 1, 'generation')`,
  }));
  const conversions = accounts.map((id, number) => ({
    by: inTurn(auth, number),
    statement: convert(id, `${id}@gmail.com`),
  }));
  const outcomes = await callAtOnce([...debits, ...conversions]);
  const { ok = 0, 'PT402 insufficient_credits': refused = 0, ...others } = tally(outcomes.slice(0, 90));
  expect([ok + refused, others]).toEqual([90, {}]);
  expect(tally(outcomes.slice(90))).toEqual({ ok: 15 });
  // 2 given and 3 at conversion, less the debits that succeeded.
  const balances = await balancesOf(accounts);
  expect(balances.reduce((sum, balance) => sum + balance, 0)).toBe(15 * 5 - ok);
  expect(await failuresOf(accounts)).toEqual([]);
  expect(await driftOf(accounts)).toEqual([]);
});

test('a conversion does not deadlock with a transaction that holds credits before it and debits after it', async () => {
  const [account = ''] = await anonymousAccounts(1, 10);
  const caller = inTurn(callers, 0);
  await caller.query('begin');
  try {
    await caller.query(`select public.hold_credits('${account}', 1, 'generation')`); // locks the wallet alone
    const conversion = inTurn(auth, 0).query(convert(account, `${account}@gmail.com`));
    await untilBlocked(inTurn(auth, 0));
    await caller.query(`select public.debit_user_credits_transaction('${account}', 1, 'generation')`);
    await caller.query('commit');
    await conversion;
  } finally {
    await caller.query('rollback');
  }
  expect(await balancesOf([account])).toEqual([12]);
  expect(await failuresOf([account])).toEqual([]);
});

test('two anonymous accounts converted to one mailbox at once: one gets the 3 credits', async () => {
  const accounts = await anonymousAccounts(2, 1);
  const emails = spellings(2);
  const calls = accounts.map((id, number) => ({
    by: inTurn(auth, number),
    statement: convert(id, emails[number] ?? ''),
  }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 2 });
  expect(await balancesOf(accounts)).toEqual([4, 1]);
});

test('addresses exchanged between accounts while they are debited and deleted', async () => {
  const accounts = await newAccounts(20, 20);
  const calls = accounts.flatMap((id, number) => [
    {
      by: inTurn(auth, number),
      statement: `update auth.users set email = '${randomUUID()}@gmail.com' where id = '${id}'`,
    },
    {
      by: inTurn(callers, number),
      statement: `select * from public.debit_user_credits_transaction('${id}', 1, 'generation')`,
    },
    { by: inTurn(callers, number + 20), statement: `select * from public.hold_credits('${id}', 1, 'generation')` },
  ]);
  const deleters = await openCallers(20, 'supabase_auth_admin');
  const deletions = accounts.slice(10).map((id, number) => ({
    by: inTurn(deleters, number),
    statement: `delete from auth.users where id = '${id}'`,
  }));
  const counts = tally(await callAtOnce([...calls, ...deletions]));
  await hangUp(deleters);
  expect(Object.keys(counts).filter((name) => !['ok', 'PT404 not_found'].includes(name))).toEqual([]);
  expect(await failuresOf(accounts)).toEqual([]);
  expect(await driftOf(accounts)).toEqual([]);
});
