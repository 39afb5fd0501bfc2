/** Any order and any repetition of a life's events ends as the right order does. */

import type { Platform } from '@basemeter/simulators';
import fc from 'fast-check';
import type pg from 'pg';
import { beforeAll, expect, test } from 'vitest';
import { readCreemEvent } from '../../supabase/functions/_shared/payments/creem.ts';
import { readStripeEvent } from '../../supabase/functions/_shared/payments/stripe.ts';
import { runs } from '../support/runs.ts';
import { adminPool, sql, sqlAs } from '../support/stack.ts';
import { newAccounts } from '../support/wallets.ts';
import {
  clawedBackLife,
  type Life,
  life,
  type Payer,
  type Product,
  ROLLOVERS,
  type SentEvent,
  tell,
} from './life_stories.ts';

const keys = fc.array(fc.nat(100_000), { minLength: 120, maxLength: 120 });

const RUNS = runs(40);

/** After every life. */
const LATER = '2026-06-01T00:00:00.000Z';

const products = new Map<string, { plan: Product; bigger_plan: Product; pack: Product }>();

beforeAll(async () => {
  for (const platform of ['creem', 'stripe'] as const) {
    for (const rollover of ROLLOVERS) products.set(`${platform} ${rollover}`, await sell(platform, rollover));
  }
});

async function sell(platform: Platform, rollover: string) {
  const plans = [`story_${rollover}`, `story_${rollover}_bigger`];
  for (const [at, plan] of plans.entries()) {
    await adminPool.query(
      `insert into public.plans (plan, name, rank, credit_rollover, credit_rollover_cap, is_active)
       values ($1, $1, $2, $3::public.credit_rollover, case when $3::text = 'capped' then 30 end, false) on conflict do nothing`,
      [plan, 100 + ROLLOVERS.indexOf(rollover as never) * 10 + at, rollover],
    );
  }
  const add = async (name: string, plan: string | null, credits: number, amount: number): Promise<Product> => {
    const id = `prod_${rollover}_${name}`;
    const price = platform === 'stripe' ? `price_${rollover}_${name}` : null;
    await sql(
      `insert into public.payment_products (platform, product_id, price_id, name, plan, billing_period, credits, trial_credits, amount, currency)
       values ($1, $2, $3, $4, $5, case when $5::text is not null then 'month' end::public.billing_period, $6, 10, $7, 'EUR')`,
      [platform, id, price, name, plan, credits, amount],
    );
    return { id, price_id: price, name, amount, currency: 'EUR', billing_period: plan ? 'month' : null };
  };
  return {
    plan: await add('plan', plans[0] ?? null, 100, 1000),
    bigger_plan: await add('bigger', plans[1] ?? null, 300, 2500),
    pack: await add('pack', null, 50, 700),
  };
}

/** Who lives it; the customer is theirs already, so that events without metadata find them. */
async function newPayers(count: number, { platform, rollover }: Life): Promise<Payer[]> {
  const sold = products.get(`${platform} ${rollover}`);
  if (!sold) throw new Error('nothing is sold');
  const ids = await newAccounts(count, 3);
  const payers = ids.map((user_id) => {
    const name = user_id.replaceAll('-', '').slice(0, 12);
    return { name, email: `${name}@example.test`, user_id, ...sold };
  });
  await adminPool.query(
    `insert into public.payment_customers (platform, customer_id, workspace_id)
     select $1, 'cus_' || name, id from unnest($2::text[], $3::uuid[]) payer (name, id)`,
    [platform, payers.map(({ name }) => name), ids],
  );
  return payers;
}

/** Delivers events in their order, in one statement: a round trip and a commit for each would take longer than they. */
async function receive(
  service: pg.Client,
  platform: Platform,
  events: SentEvent[],
  at: (event: SentEvent) => string,
): Promise<void> {
  const told = events.map((sent) => {
    const event = platform === 'creem' ? readCreemEvent(sent.payload) : readStripeEvent(sent.payload);
    expect(event.problem).toBeNull();
    return { ...event, at: at(sent) };
  });
  const { rows } = await service.query(
    `select e.event_id, e.event_type, public.receive_payment_event(e.platform, e.event_id, e.event_type, e.occurred_at,
       '{}', e.facts, at => e.at) ->> 'state' as state
     from jsonb_to_recordset($1) e (platform public.payment_platform, event_id text, event_type text,
       occurred_at timestamptz, facts jsonb, at timestamptz)`,
    [JSON.stringify(told)],
  );
  const failed = rows.find(({ state }) => state !== 'applied');
  if (failed) {
    const [row] = await sql('select error_message from public.payment_events where event_id = $1', [failed.event_id]);
    throw new Error(`${failed.event_type} is ${failed.state}: ${row?.error_message}`);
  }
}

/** Lets time pass, as the scheduled work does. */
async function endWhatIsDue(payer: Payer, at: string): Promise<void> {
  await sql('select public.expire_credits($1, $2), private.refresh_plan($1, $2)', [payer.user_id, at]);
}

/** How it ended, without what names the payer. */
async function endOf({ user_id, name }: Payer) {
  const [end] = await sql(
    `select w.credits_balance::text as balance, w.frozen_at is not null as is_frozen, u.subscription_plan, u.subscription_status,
       (select jsonb_agg(jsonb_build_object('id', replace(p.payment_id, $2, ''), 'status', p.status, 'amount', p.amount,
          'refunded', p.refunded_amount, 'currency', p.currency, 'kind', p.kind, 'units', p.units, 'start', p.period_start,
          'product', p.payment_product_id, 'state', replace(p.state_event_id, $2, '')) order by p.payment_id)
          from public.payments p where p.workspace_id = $1) as payments,
       (select jsonb_agg(jsonb_build_object('status', s.plan_status, 'plan', s.plan_type, 'units', s.units,
          'start', s.current_period_start, 'end', s.current_period_end, 'ending', s.cancel_at_period_end, 'live', s.is_live,
          'until', s.access_until, 'due', s.past_due_since, 'state', replace(s.state_event_id, $2, '')))
          from public.user_subscriptions s where s.workspace_id = $1) as subscriptions,
       (select jsonb_agg(h.event_type order by h.occurred_at, h.event_type) from public.subscription_history h
         where h.workspace_id = $1) as history
     from public.credit_wallets w join public.users u on u.id = w.workspace_id where w.workspace_id = $1`,
    [user_id, name],
  );
  return end;
}

async function live(
  service: pg.Client,
  lived: Life,
  payer: Payer,
  events: SentEvent[],
  at: (event: SentEvent) => string,
) {
  await receive(service, lived.platform, events, at);
  await endWhatIsDue(payer, LATER);
  return endOf(payer);
}

/** An order of events, each at least once and every third twice, by keys that fast-check draws. */
function disorder(events: SentEvent[], keys: number[]): SentEvent[] {
  const copies = [...events, ...events.filter((_, at) => (keys[at] ?? 0) % 3 === 0)];
  const keyed = copies.map((event, at) => ({ event, key: keys[at] ?? at }));
  return keyed.sort((a, b) => a.key - b.key).map(({ event }) => event);
}

/** Runs lives one after the other on a connection of their own. */
async function liveLives(count: number): Promise<void> {
  const service = await sqlAs('service_role');
  const once = fc.asyncProperty(life, keys, async (lived, order) => {
    const [first, second] = await newPayers(2, lived);
    if (!first || !second) throw new Error('nobody lives');
    const ended = await live(service, lived, first, tell(lived, first), (event) => event.occurred_at);
    const shuffled = disorder(tell(lived, second), order);
    expect(await live(service, lived, second, shuffled, () => LATER)).toEqual(ended);
  });
  await fc.assert(once, { numRuns: count, endOnFailure: true }).finally(() => service.end());
}

/** Claws back by hand a part of what is left to take of the newest paid grant. */
async function clawBack(client: pg.Client, { user_id }: Payer, part: number, at: string): Promise<number> {
  const { rows } = await client.query(
    `select (public.clawback_credits(g.id, round((g.amount - g.clawed_back_amount - g.expired_amount) * $2, 6), 'abuse', at => $3)).amount
     from (select * from public.credit_grants where workspace_id = $1 and kind <> 'free'
       and amount > clawed_back_amount + expired_amount and (expires_at is null or expires_at > $3)
       order by created_at desc, id limit 1) g`,
    [user_id, part, at],
  );
  return Number(rows[0]?.amount ?? 0);
}

/**
 * What a life leaves at its last event, and what of it was clawed back by hand, if anything was. In one transaction: the
 * scheduled jobs, whose time is today's, would expire its credits between two events.
 */
async function endWithClawbacks(
  client: pg.Client,
  platform: Platform,
  payer: Payer,
  events: SentEvent[],
  isClawed: boolean,
) {
  let taken = 0;
  await client.query('begin');
  for (const event of events) {
    if (!event.part) await receive(client, platform, [event], ({ occurred_at }) => occurred_at);
    else if (isClawed) taken += await clawBack(client, payer, event.part, event.occurred_at);
  }
  await client.query('select public.expire_credits($1, $2)', [payer.user_id, events.at(-1)?.occurred_at ?? LATER]);
  const { rows: ended } = await client.query(
    'select credits_balance from public.credit_wallets where workspace_id = $1',
    [payer.user_id],
  );
  await client.query('commit');
  return { taken, balance: Number(ended[0]?.credits_balance) };
}

test('what is clawed back by hand is neither given back by a change of plan nor taken twice', {
  timeout: 120_000,
}, async () => {
  const client = await sqlAs('postgres');
  const once = fc.asyncProperty(clawedBackLife, async (lived) => {
    const [first, second] = await newPayers(2, lived);
    if (!first || !second) throw new Error('nobody lives');
    const whole = await endWithClawbacks(client, lived.platform, first, tell(lived, first), false);
    const clawed = await endWithClawbacks(client, lived.platform, second, tell(lived, second), true);
    expect(clawed.balance).toBeLessThanOrEqual(whole.balance);
    expect(clawed.balance).toBeGreaterThanOrEqual(Number((whole.balance - clawed.taken).toFixed(6))); // floats
  });
  await fc.assert(once, { numRuns: Math.ceil(RUNS / 5), endOnFailure: true }).finally(() => client.end());
});

test(`${RUNS} lives end the same, in any order and with any repetition of their events`, {
  timeout: 60_000 + RUNS * 1500,
}, async () => {
  await Promise.all([liveLives(Math.ceil(RUNS / 2)), liveLives(Math.floor(RUNS / 2))]);
});
