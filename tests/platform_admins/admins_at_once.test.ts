/** Platform admins who act at the same moment. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, tally } from '../support/callers.ts';
import { adminPool, sql } from '../support/stack.ts';
import { driftOf, newAccount, newAccounts, walletOf } from '../support/wallets.ts';

let callers: pg.Client[] = [];
let deadlocks = 0;

beforeAll(async () => {
  callers = await openCallers(40, 'authenticated');
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks(callers);
  await hangUp(callers);
  expect(counted).toBe(deadlocks);
});

const auditedOf = async (action: string, id: string) => {
  const { rows } = await adminPool.query(
    `select count(*)::integer as count from public.audit_logs where action = $1 and resource_id = $2`,
    [action, id],
  );
  return rows[0].count;
};

const asAdmin = (admin: string, statement: string) =>
  `select set_config('request.jwt.claims', '{"sub": "${admin}", "role": "authenticated"}', true); ${statement}`;

test('of two who disable each other one stays', async () => {
  const admins = await newAccounts(20, 0);
  await sql(`update public.users set role = 'admin' where id = any ($1)`, [admins]);
  const calls = admins.map((admin, number): Call => {
    const other = admins[number ^ 1];
    return {
      by: inTurn(callers, number),
      statement: asAdmin(admin, `select public.admin_set_account_active('${other}', false, 'a quarrel')`),
    };
  });
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 10, 'PT403 forbidden': 10 });
  const left = await sql(`select id from public.users where id = any ($1) and is_active`, [admins]);
  expect(left).toHaveLength(10);
  await sql(`update public.users set role = 'user' where id = any ($1)`, [admins]);
});

test('an adjustment under one key happens once, and adjustments never pass what is there', async () => {
  const admin = await newAccount(0);
  await sql(`update public.users set role = 'admin' where id = $1`, [admin]);
  const once = await newAccount(3);
  const key = randomUUID();
  const sameKey = callers.map(
    (by): Call => ({
      by,
      statement: asAdmin(admin, `select public.admin_adjust_credits('${once}', 10, 'a present', '${key}')`),
    }),
  );
  expect(tally(await callAtOnce(sameKey))).toEqual({ ok: callers.length });
  expect((await walletOf(once))?.balance).toBe(13);
  expect(await auditedOf('admin_adjust_credits', once)).toBe(1);

  const taken = await newAccount(100);
  const takings = Array.from(
    { length: 40 },
    (_, number): Call => ({
      by: inTurn(callers, number),
      statement: asAdmin(admin, `select public.admin_adjust_credits('${taken}', -10, 'too much', 'taking ${number}')`),
    }),
  );
  expect(tally(await callAtOnce(takings))).toEqual({ ok: 10, 'PT402 insufficient_credits': 30 });
  expect((await walletOf(taken))?.balance).toBe(0);
  expect(await auditedOf('admin_adjust_credits', taken)).toBe(10);
  expect(await driftOf([once, taken])).toEqual([]);
  await sql(`update public.users set role = 'user' where id = $1`, [admin]);
});
