/** Parallel operations on one wallet: an alert fires once a crossing, and a month's cap on top-ups holds. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { callAtOnce, hangUp, inTurn, openCallers, tally } from '../support/callers.ts';
import { adminPool, sql } from '../support/stack.ts';
import { driftOf, newAccount } from '../support/wallets.ts';

let callers: pg.Client[];
beforeAll(async () => {
  callers = await openCallers(40, 'postgres');
});
afterAll(() => hangUp(callers));

const debit = (account: string, amount: number, at = 'clock_timestamp()') =>
  `select public.debit_user_credits_transaction('${account}', ${amount}, 'test', at => ${at})`;

test('a hundred debits over a line fire its alert once', async () => {
  const account = await newAccount(100);
  await sql(`insert into public.credit_alerts (workspace_id, kind, threshold) values ($1, 'low_balance', 50)`, [
    account,
  ]);
  const calls = Array.from({ length: 100 }, (_, i) => ({ by: inTurn(callers, i), statement: debit(account, 1) }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 100 });
  const told = await sql(
    `select kind, (data ->> 'balance')::float8 as balance from public.notifications where workspace_id = $1`,
    [account],
  );
  expect(told).toEqual([{ kind: 'low_balance', balance: 49 }]);
});

test('to and fro it fires as often as the ledger crosses the line, while the alert itself is changed', async () => {
  const account = await newAccount(60);
  await sql(
    `insert into public.credit_alerts (workspace_id, kind, threshold) values ($1, 'low_balance', 50), ($1, 'debt', 3)`,
    [account],
  );
  const statements = [
    debit(account, 7),
    `select public.credit_user_credits_transaction('${account}', 7, 'manual')`,
    // One row: two updates of the same rows in different orders deadlock in any table.
    `update public.credit_alerts set is_active = true, threshold = threshold where workspace_id = '${account}' and kind = 'low_balance'`,
  ];
  const calls = Array.from({ length: 240 }, (_, i) => ({
    by: inTurn(callers, i),
    statement: statements[i % 7 === 0 ? 2 : i % 2] ?? '',
  }));
  const outcomes = tally(await callAtOnce(calls));
  // None is a deadlock; a debit may find too little.
  expect(Object.keys(outcomes).filter((name) => name !== 'ok' && name !== 'PT402 insufficient_credits')).toEqual([]);
  // Whatever came first of all that, it crosses once more.
  await sql(`select public.credit_user_credits_transaction($1, 100, 'manual')`, [account]);
  await sql(
    `select public.debit_user_credits_transaction($1, w.credits_balance - 40, 'test') from public.credit_wallets w where w.workspace_id = $1`,
    [account],
  );
  const [seen] = await sql(
    `select (select count(*)::integer from public.notifications where workspace_id = $1) as told,
            (select count(*)::integer from public.credit_transactions t
              where t.workspace_id = $1 and t.balance_after < 50 and t.balance_after - t.amount >= 50) as crossed`,
    [account],
  );
  expect(seen?.told).toBe(seen?.crossed);
  expect(seen?.crossed).toBeGreaterThan(0);
  expect(await driftOf([account])).toEqual([]);
});

test('a month’s cap on top-ups holds', async () => {
  const account = await newAccount(1000);
  const [pack] = await sql<{ id: string }>(
    `insert into public.payment_products (platform, product_id, name, credits, amount, currency)
     values ('creem', $1, 'A pack', 10, 900, 'USD') returning id`,
    [`pack_${randomUUID()}`],
  );
  await sql(
    `insert into public.auto_top_ups (workspace_id, user_id, payment_product_id, amount, currency, threshold, monthly_cap, is_active)
     values ($1, $1, $2, 900, 'USD', 900, 3, true)`,
    [account, pack?.id],
  );
  // In a time of its own, in which no other test's tasks are due, nor these in theirs.
  const at = `'2031-05-05'`;
  await sql(`
    create function private.put_off() returns trigger language plpgsql as $$ begin new.due_at := ${at}; return new; end $$;
    create trigger put_off before insert on private.payment_tasks for each row
      when (new.workspace_id = '${account}') execute function private.put_off()`);
  onTestFinished(async () => {
    await sql('drop function private.put_off cascade');
  });
  const done = `select public.finish_payment_task(id, at => ${at}) from private.payment_tasks where workspace_id = '${account}' and state < 'done'`;
  const declined = done.replace('(id,', `(id, 'declined', 'declined',`);
  const calls = Array.from({ length: 300 }, (_, i) => ({
    by: inTurn(callers, i),
    statement: i % 3 === 0 ? done : debit(account, 2, at),
  }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 300 });
  const count = async () =>
    (
      await adminPool.query(
        `select (select count(*)::integer from private.payment_tasks where workspace_id = $1) as asked, requested_this_month as counted
           from public.auto_top_ups where workspace_id = $1`,
        [account],
      )
    ).rows[0];
  await sql(done);
  await sql(debit(account, 1, at));
  await sql(done);
  await sql(debit(account, 1, at));
  await sql(done);
  await sql(debit(account, 1, at));
  expect(await count()).toEqual({ asked: 3, counted: 3 });

  // Told ten times at once, a decline gives one back.
  await sql(`update public.auto_top_ups set monthly_cap = 4 where workspace_id = $1`, [account]);
  await sql(debit(account, 1, at));
  await callAtOnce(Array.from({ length: 10 }, (_, i) => ({ by: inTurn(callers, i), statement: declined })));
  expect(await count()).toEqual({ asked: 4, counted: 3 });
});
