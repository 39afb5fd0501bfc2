/** A person's further addresses are kept to a number, also where many are added at once. */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAtOnce, hangUp, inTurn, openCallers, tally } from '../support/callers.ts';
import { sql } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

let callers: pg.Client[];
beforeAll(async () => {
  callers = await openCallers(50);
});
afterAll(() => hangUp(callers));

test('fifty that are added at once become twenty', async () => {
  const account = await newAccount(3);
  const statement = (number: number) =>
    `insert into public.user_email_aliases (user_id, email) values ('${account}', 'a${number}@example.test')`;
  const calls = Array.from({ length: 50 }, (_, i) => ({ by: inTurn(callers, i), statement: statement(i) }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 20, 'PT429 limit_reached': 30 });
  const [{ count } = {}] = await sql('select count(*)::integer from public.user_email_aliases where user_id = $1', [
    account,
  ]);
  expect(count).toBe(20);
});
