/**
 * `npm run bench -- webhooks [deliveries]`: deliveries a second that bring credits, beside deliveries of an event that is
 * only kept (the bare row of the inbox), through the same function and rpc. In turns, so that noise hits both alike.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { creemEvent, deliver, periodOf, type Story } from '@basemeter/simulators';
import pg from 'pg';
import { type Stack, startStack } from '../scripts/stack.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const ROUNDS = 5;
const CALLERS = [1, 20];

/** What is delivered. */
interface Kind {
  name: string;
  event(person: string): object;
}

/** Runs the benchmark; gives medians over the rounds. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const deliveries = Number(args[0] ?? 1000);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  const stack = await startStack({ dataDir, apiPort: 0, dbPort: 0 });
  try {
    await withDatabase(stack, (client) => client.query(SHOP));
    for (const kind of KINDS) await measure(stack, kind, 200, 20); // warm
    const tables: ResultTable[] = [];
    for (const callers of CALLERS) tables.push(await compare(stack, deliveries, callers));
    return tables;
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

const KINDS: Kind[] = [
  { name: 'bare row', event: (person) => ({ ...paid(person), eventType: 'credits.granted' }) },
  { name: 'subscription.paid', event: paid },
  { name: 'pack', event: pack },
];

function storyOf(person: string, isPlan: boolean): Story {
  const now = new Date().toISOString();
  const tail = randomUUID();
  return {
    customer: { id: `cus_${person}`, email: `${person}@example.test` },
    product: {
      id: isPlan ? 'prod_basic' : 'prod_bench',
      name: 'bench',
      amount: 900,
      currency: 'USD',
      billing_period: isPlan ? 'month' : null,
    },
    metadata: { user_id: person },
    checkout: { id: `ch_${tail}` },
    ...(isPlan ? { subscription: { id: `sub_${tail}`, started_at: now, period: periodOf(now, 'month') } } : {}),
    payment: { id: `tran_${tail}`, amount: 900, paid_at: now },
  };
}

function paid(person: string) {
  return creemEvent('subscription.paid', factsOf(), storyOf(person, true));
}

function pack(person: string) {
  return creemEvent('checkout.completed', factsOf(), storyOf(person, false));
}

function factsOf() {
  return { id: `evt_${randomUUID()}`, occurred_at: new Date().toISOString() };
}

const SHOP = `insert into public.payment_products (platform, product_id, name, credits, amount, currency)
  values ('creem', 'prod_bench', 'A pack', 10, 900, 'USD')`;

/** Accounts that have bought nothing yet. */
async function signUp(stack: Stack, count: number): Promise<string[]> {
  const people = Array.from({ length: count }, () => randomUUID());
  const text = `insert into auth.users (id, email) select id, id || '@example.test' from unnest($1::uuid[]) id`;
  await withDatabase(stack, (client) => client.query(text, [people]));
  return people;
}

async function withDatabase(stack: Stack, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(stack.urls.databaseAdmin);
  await client.connect();
  await work(client).finally(() => client.end());
}

async function compare(stack: Stack, deliveries: number, callers: number): Promise<ResultTable> {
  const rates = new Map<string, number[]>(KINDS.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const kind of KINDS) rates.get(kind.name)?.push(await measure(stack, kind, deliveries, callers));
  }
  const bare = median(rates.get('bare row') ?? []);
  return {
    title: `${callers} caller${callers > 1 ? 's' : ''}, medians over ${ROUNDS} rounds of ${deliveries} deliveries`,
    columns: ['', 'deliveries/s', 'ratio'],
    rows: [...rates].map(([name, list]) => [name, median(list).toFixed(0), (median(list) / bare).toFixed(2)]),
  };
}

/** Deliveries a second. */
async function measure(stack: Stack, kind: Kind, deliveries: number, callers: number): Promise<number> {
  const secrets = { creem: stack.env.CREEM_WEBHOOK_SECRET, stripe: stack.env.STRIPE_WEBHOOK_SECRET };
  // Without the local gateway, which stands in for the platform's.
  const webhooks = { functionsUrl: stack.urls.functionsDirect, secrets };
  const events = (await signUp(stack, deliveries)).map((person) => kind.event(person));
  const begun = performance.now();
  const line = async () => {
    for (let event = events.pop(); event; event = events.pop()) {
      const { status, body } = await deliver('creem', event, webhooks);
      if (status !== 200) throw new Error(`${kind.name}: ${status} ${body}`);
    }
  };
  await Promise.all(Array.from({ length: callers }, line));
  return (deliveries / (performance.now() - begun)) * 1000;
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
