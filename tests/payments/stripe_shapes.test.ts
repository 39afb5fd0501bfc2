/** Shapes of Stripe's events, from what is delivered to the credits that come of it. */
import { randomUUID } from 'node:crypto';
import {
  addDays,
  type InvoiceLine,
  periodOf,
  type Story,
  type StripeEvent,
  type StripeEventType,
  stripeEvent,
} from '@basemeter/simulators';
import { beforeAll, expect, test } from 'vitest';
import { readStripeEvent } from '../../supabase/functions/_shared/payments/stripe.ts';
import { sql } from '../support/stack.ts';
import { driftOf, newAccount, walletOf } from '../support/wallets.ts';
import { purchaseBy, sell } from './shop.ts';

// The second period began within the last day or so: what lives for a grace after the first is not swept meanwhile.
const NOW = new Date(new Date().setUTCMilliseconds(0)).toISOString();
const START = [28, 29, 30, 31, 32]
  .flatMap((days) => [addDays(NOW, -days), addDays(NOW, 1 / 24 - days)])
  .filter((start) => periodOf(start, 'month', 1).start <= NOW)
  .sort()
  .at(-1) as string;
const NEXT = periodOf(START, 'month', 1).start;

let plan: Story['product'];
let pack: Story['product'];

beforeAll(async () => {
  plan = (await sell('stripe', { plan: 'basic', credits: 100 })).product;
  pack = (await sell('stripe', { credits: 50 })).product;
});

/** Applies an event that Stripe sends at a time. Gives what became of it. */
async function receive(type: StripeEventType, story: Story, at: string, change: Partial<StripeEvent> = {}) {
  const payload = { ...stripeEvent(type, { id: `evt_${randomUUID()}`, occurred_at: at }, story), ...change };
  const { event_id, event_type, occurred_at, facts, mode, account, problem } = readStripeEvent(payload);
  expect(problem).toBeNull();
  const [answer] = await sql<{ state: string }>(
    `select public.receive_payment_event('stripe', $1, $2, $3, '{}', $4, at => $3, mode => $5, account => $6)
       ->> 'state' as state`,
    [event_id, event_type, occurred_at, JSON.stringify(facts), mode, account],
  );
  return answer?.state;
}

const balanceOf = async (id: string) => (await walletOf(id))?.balance;

const paymentsOf = (id: string) =>
  sql(`select kind, status, refunded_amount::integer as refunded from public.payments where workspace_id = $1`, [id]);

/** A subscription to the plan beside a metered price, which Stripe may name first. */
async function newSubscriber(): Promise<{ id: string; story: Story; renewal: Story }> {
  const id = await newAccount(3);
  const bought = purchaseBy({ id, email: `${id}@example.test` }, plan, 'stripe');
  const payment = { id: `in_${randomUUID()}`, amount: plan.amount, paid_at: START };
  const other_items = [{ product_id: 'prod_meter', price_id: 'price_meter' }];
  const subscription = { id: `sub_${randomUUID()}`, started_at: START, period: periodOf(START, 'month'), other_items };
  const story = { ...bought, subscription, payment };
  const renewed = { ...subscription, period: periodOf(START, 'month', 1) };
  const renewal = { ...story, subscription: renewed, payment: { ...payment, id: `in_${randomUUID()}`, paid_at: NEXT } };
  return { id, story, renewal };
}

const metered = (amount: number, period: InvoiceLine['period']): InvoiceLine => ({
  amount,
  period,
  product_id: 'prod_meter',
  price_id: 'price_meter',
});

const withLines = (story: Story, lines: InvoiceLine[]): Story =>
  story.payment ? { ...story, payment: { ...story.payment, lines } } : story;

test.each([0, 500])('a plan beside a metered price whose last period came to %d', async (used) => {
  const { id, story, renewal } = await newSubscriber();
  const first = periodOf(START, 'month');
  const second = periodOf(START, 'month', 1);
  await receive('customer.subscription.created', story, START);
  await receive('invoice.paid', withLines(story, [metered(0, first), { amount: plan.amount, period: first }]), START);
  expect(await balanceOf(id)).toBe(103);
  const lines = [metered(used, first), { amount: plan.amount, period: second }];
  await receive('invoice.paid', withLines(renewal, lines), NEXT);
  await receive('customer.subscription.updated', renewal, NEXT);
  expect(await balanceOf(id)).toBe(203);
  const [subscription] = await sql(
    `select plan_type, current_period_start, (select count(*)::integer from public.credit_grants g
       where g.workspace_id = s.workspace_id and g.kind = 'subscription') as grants
     from public.user_subscriptions s where workspace_id = $1`,
    [id],
  );
  expect(subscription).toEqual({ plan_type: 'basic', current_period_start: new Date(NEXT), grants: 2 });

  // A refund of the renewal is of its period, whatever its first line was for.
  const refund = { id: `re_${randomUUID()}`, amount: plan.amount };
  await receive('invoice_payment.paid', renewal, NEXT);
  await receive('charge.refunded', { ...renewal, refund }, NOW);
  expect(await balanceOf(id)).toBe(103);
  expect(await driftOf([id])).toEqual([]);
});

test('a plan for a year beside something for a month: what is paid for that meanwhile cuts and shares nothing', async () => {
  const id = await newAccount(3);
  const sold = await sell('stripe', { plan: 'basic', credits: 1200, amount: 9000 });
  await sql(`update public.payment_products set billing_period = 'year' where id = $1`, [sold.id]);
  const year = { ...sold.product, billing_period: 'year' as const };
  const period = periodOf(START, 'year');
  const payment = { id: `in_${randomUUID()}`, amount: 9500, paid_at: START };
  const story = { ...purchaseBy({ id, email: `${id}@example.test` }, year, 'stripe'), payment };
  const subscribed = { ...story, subscription: { id: `sub_${randomUUID()}`, started_at: START, period } };
  const month = metered(500, periodOf(START, 'month'));
  await receive('invoice.paid', withLines(subscribed, [month, { amount: 9000, period }]), START);
  await receive('invoice_payment.paid', subscribed, START);
  expect(await balanceOf(id)).toBe(1203);
  const second = { ...subscribed, payment: { id: `in_${randomUUID()}`, amount: 500, paid_at: NEXT } };
  await receive('invoice.paid', withLines(second, [metered(500, periodOf(START, 'month', 1))]), NEXT);
  expect(await balanceOf(id)).toBe(1203);
  await receive('charge.refunded', { ...subscribed, refund: { id: 're_1', amount: 9500 } }, NOW);
  expect(await balanceOf(id)).toBe(3);
});

test('a payment link names the buyer alone, its invoice the product: one payment, with its credits, in any order', async () => {
  for (const types of [
    ['checkout.session.completed', 'invoice.paid'],
    ['invoice.paid', 'checkout.session.completed'],
  ] as const) {
    const id = await newAccount(3);
    const bought = purchaseBy({ id, email: `${id}@example.test` }, pack, 'stripe');
    const invoice = { id: `in_${randomUUID()}`, amount: pack.amount, paid_at: START };
    const link = { ...bought, metadata: undefined, checkout: { id: `cs_${randomUUID()}`, reference: id } };
    for (const type of types) {
      if (type === 'invoice.paid') await receive(type, { ...link, payment: invoice }, START);
      else await receive(type, { ...link, invoice: invoice.id }, START);
    }
    expect(await balanceOf(id)).toBe(53);
    expect(await paymentsOf(id)).toEqual([{ kind: 'purchase', status: 'succeeded', refunded: 0 }]);
    await receive('charge.refunded', { ...bought, refund: { id: 're_1', amount: pack.amount } }, addDays(START, 1));
    expect(await balanceOf(id)).toBe(3);
    expect(await driftOf([id])).toEqual([]);
  }
});

test('a refund that fails gives the credits back, once, and the next one counts from there', async () => {
  const id = await newAccount(3);
  const bought = purchaseBy({ id, email: `${id}@example.test` }, pack, 'stripe');
  const told = (refund: string, amount: number): Story => ({ ...bought, refund: { id: refund, amount } });
  await receive('checkout.session.completed', bought, START);
  await receive('charge.refunded', told('re_1', 450), addDays(START, 1));
  await receive('charge.refunded', told('re_2', 900), addDays(START, 2));
  expect(await balanceOf(id)).toBe(3);
  await receive('refund.failed', told('re_1', 450), addDays(START, 3));
  await receive('refund.updated', told('re_1', 450), addDays(START, 3));
  await receive('charge.refund.updated', told('re_1', 450), addDays(START, 3));
  expect(await balanceOf(id)).toBe(28);
  expect(await paymentsOf(id)).toEqual([{ kind: 'purchase', status: 'partially_refunded', refunded: 450 }]);
  await receive('charge.refunded', told('re_3', 675), addDays(START, 4));
  expect(await balanceOf(id)).toBe(15.5);
  const canceled = { ...told('re_3', 225), refund: { id: 're_3', amount: 225, status: 'canceled' } };
  await receive('refund.updated', canceled, addDays(START, 5));
  expect(await balanceOf(id)).toBe(28);
  await receive('refund.failed', told('re_2', 450), addDays(START, 6));
  expect(await balanceOf(id)).toBe(53);
  expect(await paymentsOf(id)).toEqual([{ kind: 'purchase', status: 'succeeded', refunded: 0 }]);
});

test('a dispute that ended with a refund is over', async () => {
  const id = await newAccount(3);
  const bought = purchaseBy({ id, email: `${id}@example.test` }, pack, 'stripe');
  const dispute = { id: `du_${randomUUID()}`, amount: pack.amount };
  await receive('checkout.session.completed', { ...bought, metadata: { ...bought.metadata } }, START);
  await receive('charge.dispute.created', { ...bought, dispute }, addDays(START, 1));
  const frozen = () =>
    sql(`select frozen_at is not null as is_frozen from public.credit_wallets where workspace_id = $1`, [id]);
  expect(await frozen()).toEqual([{ is_frozen: true }]);
  await receive('charge.refunded', { ...bought, refund: { id: 're_1', amount: pack.amount } }, addDays(START, 2));
  const closed = { ...bought, dispute: { ...dispute, status: 'charge_refunded' } };
  await receive('charge.dispute.closed', closed, addDays(START, 2));
  expect(await frozen()).toEqual([{ is_frozen: false }]);
  expect(await balanceOf(id)).toBe(3);
  expect(await paymentsOf(id)).toMatchObject([{ status: 'refunded', refunded: pack.amount }]);
});

test('an event of a connected account is not ours', async () => {
  const id = await newAccount(3);
  const bought = purchaseBy({ id, email: `${id}@example.test` }, pack, 'stripe');
  const account = { account: `acct_${randomUUID()}` } as Partial<StripeEvent>;
  expect(await receive('checkout.session.completed', bought, START, account)).toBe('ignored');
  expect(await balanceOf(id)).toBe(3);
});
