/** Postgres is killed in the middle of many deliveries and started again, on a stack of this test's own. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Delivery, deliver } from '@basemeter/simulators';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Stack } from '../../scripts/stack.ts';
import { startTestStack } from '../../scripts/testing/test-stack.ts';
import { runs } from '../support/runs.ts';
import { purchaseBy, toldByCreem } from './shop.ts';

const CONNECTIONS = 20;
const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-test-'));
const product = {
  id: 'prod_1',
  price_id: null,
  name: 'A plan',
  amount: 900,
  currency: 'USD',
  billing_period: 'month',
} as const;

let stack: Stack;

beforeAll(async () => {
  stack = await startTestStack({ dataDir });
}, 120_000);
afterAll(async () => {
  await stack.stop();
}, 60_000);

async function query<Row extends pg.QueryResultRow>(text: string, params: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client(stack.urls.databaseAdmin);
  await client.connect();
  try {
    return (await client.query<Row>(text, params)).rows;
  } finally {
    await client.end();
  }
}

/** Delivers as a platform does: again until it is answered with 200. */
async function deliverUntilTaken(event: object): Promise<Delivery[]> {
  const secrets = { creem: stack.env.CREEM_WEBHOOK_SECRET, stripe: stack.env.STRIPE_WEBHOOK_SECRET };
  const tries: Delivery[] = [];
  while (tries.at(-1)?.status !== 200) {
    tries.push(await deliver('creem', event, { functionsUrl: stack.env.FUNCTIONS_URL, secrets }));
    if (tries.at(-1)?.status !== 200) await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return tries;
}

test('after the retries nothing is missing or doubled', { timeout: 120_000 }, async () => {
  const people = Array.from({ length: runs(30) }, () => randomUUID());
  await query(`insert into auth.users (id, email) select id, id || '@example.test' from unnest($1::uuid[]) id`, [
    people,
  ]);
  await query(
    `insert into public.payment_products (platform, product_id, name, plan, billing_period, credits, amount, currency)
     values ('creem', 'prod_1', 'A plan', 'basic', 'month', 100, 900, 'USD')`,
  );
  const events = people.flatMap((id) => {
    const story = purchaseBy({ id, email: `${id}@example.test` }, product, 'creem');
    return (['checkout.completed', 'subscription.active', 'subscription.paid'] as const).map((type) =>
      toldByCreem(type, story),
    );
  });
  const tries: Delivery[] = [];
  let taken = 0;
  const line = async () => {
    for (let event = events.pop(); event; event = events.pop()) {
      tries.push(...(await deliverUntilTaken(event)));
      taken += 1;
      if (taken === people.length) process.kill(stack.pids().postgres ?? 0, 'SIGKILL'); // its supervisor starts it again
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, line));

  expect(tries.filter(({ status }) => status !== 200).every(({ status }) => status >= 500)).toBe(true);
  expect(tries.length).toBeGreaterThan(3 * people.length); // some were delivered while it was down
  const [ledger] = await query(
    `select (select count(*)::integer from public.credit_wallets where credits_balance = 103 and credits_total = 103) as right,
       (select count(*)::integer from public.payments) as payments,
       (select count(*)::integer from public.payment_events where state = 'applied') as applied,
       (select count(*)::integer from public.verify_credits()) as drift`,
  );
  expect(ledger).toEqual({ right: people.length, payments: people.length, applied: 3 * people.length, drift: 0 });
});
