/** Many deliveries at once, half of them twice. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { sql } from '../support/stack.ts';
import { driftOf, newAccounts, walletOf } from '../support/wallets.ts';
import { deliverTo, purchaseBy, sell, toldByCreem, toldByStripe } from './shop.ts';

const CONNECTIONS = 20;

/** Runs jobs on so many lines at once. */
async function onLines<T>(jobs: (() => Promise<T>)[], lines: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const line = async () => {
    while (next < jobs.length) {
      const at = next++;
      const job = jobs[at];
      if (job) results[at] = await job();
    }
  };
  await Promise.all(Array.from({ length: lines }, line));
  return results;
}

test('deliveries from 20 connections, half of them duplicates: each applied once', {
  timeout: 60_000 + runs(60_000),
}, async () => {
  const people = await newAccounts(runs(15), 3);
  const plan = await sell('creem', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 7 });
  // Ten events a person: what begins a subscription, told by four events of one period, and six packs.
  const events = people.flatMap((id) => {
    const person = { id, email: `${id}@example.test` };
    const story = purchaseBy(person, plan.product, 'creem');
    const told = (
      ['subscription.active', 'subscription.paid', 'subscription.update', 'checkout.completed'] as const
    ).map((type) => ({ platform: 'creem' as const, event: toldByCreem(type, story) as object }));
    const packs = Array.from({ length: 6 }, () => ({
      platform: 'stripe' as const,
      event: toldByStripe('checkout.session.completed', purchaseBy(person, pack.product, 'stripe')) as object,
    }));
    return [...told, ...packs];
  });
  const deliveries = [...events, ...events]
    .map((delivery) => ({ delivery, key: randomUUID() }))
    .sort((a, b) => a.key.localeCompare(b.key))
    .map(({ delivery }) => delivery);
  expect(deliveries).toHaveLength(people.length * 20);

  const answers = await onLines(
    deliveries.map(
      ({ platform, event }) =>
        () =>
          deliverTo(platform, event),
    ),
    CONNECTIONS,
  );

  // A platform delivers again what was not answered with 200.
  const again = deliveries.filter((_, at) => answers[at]?.status !== 200);
  for (const { platform, event } of again) expect(await deliverTo(platform, event)).toMatchObject({ status: 200 });
  for (const id of people) expect(await walletOf(id)).toMatchObject({ balance: 145, total: 145 });
  expect(await driftOf(people)).toEqual([]);
  const [counts] = await sql(
    `select count(*)::integer as payments, count(distinct payment_id)::integer as distinct from public.payments
      where workspace_id = any ($1)`,
    [people],
  );
  expect(counts).toEqual({ payments: people.length * 7, distinct: people.length * 7 });
  expect(again.length).toBeLessThan(people.length);
});
