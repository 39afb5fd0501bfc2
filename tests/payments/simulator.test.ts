/** Billing's two gateways, and the official library, against the payment simulator. */

import { SIMULATED_STRIPE_KEY } from '@basemeter/simulators';
import Stripe from 'stripe';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { orderOf, type RunningSimulator, startSimulator } from './helpers.ts';

const START = '2026-01-01T00:00:00.000Z';
const HALF = '2026-01-16T12:00:00.000Z';
const metadata = {
  proof: 'proof',
  workspace_id: '00000000-0000-4000-8000-000000000001',
  user_id: '00000000-0000-4000-8000-000000000002',
  units: '1',
};

let simulator: RunningSimulator;
beforeAll(async () => {
  // What the gateways log of refusals that are wanted here.
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  simulator = await startSimulator();
});
afterAll(() => simulator.stop());
beforeEach(() => {
  simulator.clock.now = START;
  simulator.told();
});

const types = () => simulator.told().map(({ type }) => type);

/** Buys the plan pro and gives the subscription's id. */
async function buy(platform: 'creem' | 'stripe'): Promise<string> {
  const { checkout_url } = await simulator.gateway(platform).checkout(orderOf(platform, 'pro'));
  await simulator.pay(checkout_url);
  return simulator.told().find(({ type }) => /subscription\.(active|created)$/.test(type))?.object.id;
}

describe('creem', () => {
  test('a plan that is paid for is told by three events, and the buyer goes back', async () => {
    const { checkout_id, checkout_url } = await simulator
      .gateway('creem')
      .checkout(orderOf('creem', 'pro', { units: 2 }));
    expect(await (await fetch(checkout_url)).text()).toContain('38.00 EUR');
    expect(simulator.told()).toEqual([]);
    const back = new URL((await simulator.pay(checkout_url)) ?? '');
    expect(back.origin + back.pathname).toBe('http://localhost:3000/done');
    expect(back.searchParams.get('plan')).toBe('pro');
    expect(back.searchParams.get('checkout_id')).toBe(checkout_id);
    const [checkout, active, paid] = simulator.told();
    expect([checkout?.type, active?.type, paid?.type]).toEqual([
      ...['checkout.completed', 'subscription.active', 'subscription.paid'],
    ]);
    const told = { ...metadata, units: '2', product_id: 'prod_pro' };
    expect(checkout?.object).toMatchObject({
      id: checkout_id,
      units: 2,
      metadata: told,
      order: { type: 'recurring', amount_paid: 3800, currency: 'EUR' },
      subscription: { id: active?.object.id, product: 'prod_pro' },
    });
    expect(paid?.object).toMatchObject({
      status: 'active',
      metadata: told,
      customer: { email: 'ana@example.test' },
      last_transaction_id: checkout?.object.order.transaction,
      last_transaction: { amount_paid: 3800, type: 'invoice' },
      current_period_start_date: START,
      current_period_end_date: '2026-02-01T00:00:00.000Z',
    });
    await simulator.pay(checkout_url);
    expect(simulator.told()).toEqual([]);
  });

  test('a trial is not paid, a pack has no subscription', async () => {
    const trial = await simulator.gateway('creem').checkout(orderOf('creem', 'trial'));
    await simulator.pay(trial.checkout_url);
    const [checkout, active, trialing] = simulator.told();
    expect(checkout?.object.order.transaction).toBeUndefined();
    expect(active).toMatchObject({ type: 'subscription.active', object: { status: 'trialing' } });
    expect(trialing).toMatchObject({
      type: 'subscription.trialing',
      object: { status: 'trialing', current_period_end_date: '2026-01-15T00:00:00.000Z' },
    });
    const pack = await simulator.gateway('creem').checkout(orderOf('creem', 'pack'));
    await simulator.pay(pack.checkout_url);
    const [completed, ...others] = simulator.told();
    expect(others).toEqual([]);
    expect(completed?.object.order).toMatchObject({ type: 'onetime', amount_paid: 500 });
    expect(completed?.object.subscription).toBeUndefined();
  });

  test('is canceled, resumed, moved and ended', async () => {
    const creem = simulator.gateway('creem');
    const id = await buy('creem');
    expect(await creem.cancel(id, 'period_end')).toBe('scheduled_cancel');
    expect(await creem.resume(id)).toBe('active');
    expect(types()).toEqual(['subscription.scheduled_cancel', 'subscription.update']);

    simulator.clock.now = HALF;
    const change = { subscription_id: id, price_id: null, units: 1 };
    expect(await creem.changePlan({ ...change, product_id: 'prod_max', is_upgrade: true })).toBe('active');
    const [, paid] = simulator.told();
    // Half of the month at 19.00 comes off 49.00, and a new month begins.
    expect(paid?.object.last_transaction.amount_paid).toBe(4900 - 950);
    expect(paid?.object.current_period_end_date).toBe('2026-02-16T12:00:00.000Z');
    await creem.changePlan({ ...change, product_id: 'prod_pro', is_upgrade: false });
    expect(types()).toEqual(['subscription.update']);

    expect(await creem.cancel(id, 'now')).toBe('canceled');
    expect(types()).toEqual(['subscription.canceled']);
    await expect(creem.cancel(id, 'now')).rejects.toMatchObject({ code: 'upstream_error', platformStatus: 400 });
    await creem.cancelSubscriptionNow(id);
    await creem.cancelSubscriptionNow('sub_never_sold');
    expect(types()).toEqual([]);
  });

  test('refunds a transaction, and answers errors in its own shape', async () => {
    const { checkout_url } = await simulator.gateway('creem').checkout(orderOf('creem', 'pack'));
    await simulator.pay(checkout_url);
    const transaction_id = simulator.told()[0]?.object.order.transaction;
    const headers = { 'x-api-key': 'creem_test_simulator', 'content-type': 'application/json' };
    const refund = (key: object) =>
      fetch(`${simulator.url}/creem/v1/refunds`, {
        method: 'POST',
        headers: { ...headers, ...key },
        body: JSON.stringify({ transaction_id }),
      });
    expect(await (await refund({})).json()).toEqual({ status: 'succeeded' });
    expect(simulator.told()[0]).toMatchObject({
      type: 'refund.created',
      object: { refund_amount: 500, transaction: { id: transaction_id, type: 'payment', status: 'refunded' } },
    });
    expect((await refund({ 'x-api-key': '' })).status).toBe(401);
    const refused = await refund({ 'x-api-key': 'wrong' });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ status: 403, error: 'Forbidden', message: [expect.any(String)] });
    await expect(simulator.gateway('creem').resume('sub_x')).rejects.toMatchObject({
      status: 502,
      platformStatus: 404,
    });
  });
});

describe('stripe', () => {
  const library = () => {
    const { hostname: host, port } = new URL(simulator.url);
    return new Stripe(SIMULATED_STRIPE_KEY, { host, port, protocol: 'http', maxNetworkRetries: 0 });
  };

  test('a plan that is paid for is told by its subscription, session and invoice', async () => {
    const success_url = 'http://localhost:3000/done?session={CHECKOUT_SESSION_ID}';
    const order = orderOf('stripe', 'pro', { units: 2, success_url });
    const { checkout_id, checkout_url } = await simulator.gateway('stripe').checkout(order);
    expect(await library().checkout.sessions.retrieve(checkout_id)).toMatchObject({
      status: 'open',
      url: checkout_url,
    });
    expect(await simulator.pay(checkout_url)).toBe(`http://localhost:3000/done?session=${checkout_id}`);
    const events = simulator.told();
    expect(events.map(({ type }) => type)).toEqual([
      'customer.subscription.created',
      'checkout.session.completed',
      'invoice.paid',
      'invoice.payment_succeeded',
      'invoice_payment.paid',
    ]);
    const [created, completed, paid, , linked] = events.map(({ object }) => object);
    const told = { ...metadata, units: '2', product_id: 'prod_pro', price_id: 'price_pro' };
    expect(created).toMatchObject({ status: 'active', metadata: told, cancel_at_period_end: false });
    expect(created.items.data[0]).toMatchObject({ quantity: 2, price: { id: 'price_pro', product: 'prod_pro' } });
    expect(completed).toMatchObject({
      id: checkout_id,
      mode: 'subscription',
      payment_status: 'paid',
      client_reference_id: metadata.user_id,
      customer: expect.stringMatching(/^cus_/),
      customer_details: { email: 'ana@example.test' },
      metadata: told,
    });
    expect(paid).toMatchObject({ amount_paid: 3800, billing_reason: 'subscription_create' });
    expect(paid.parent.subscription_details).toEqual({ subscription: created.id, metadata: told });
    expect(paid.lines.data[0].period).toEqual({ start: 1767225600, end: 1769904000 });
    expect(linked).toMatchObject({ invoice: paid.id, payment: { type: 'payment_intent' } });
    const found = await library().subscriptions.retrieve(created.id);
    expect(found.items.data[0]?.current_period_end).toBe(1769904000);
    const list = await library().invoicePayments.list({ invoice: paid.id });
    expect(list.data[0]?.payment.payment_intent).toBe(linked.payment.payment_intent);
  });

  test('a trial begins with an invoice of nothing, a pack is one payment', async () => {
    const trial = await simulator.gateway('stripe').checkout(orderOf('stripe', 'trial', { trial_days: 14 }));
    await simulator.pay(trial.checkout_url);
    const [created, completed, paid] = simulator.told().map(({ object }) => object);
    expect(created).toMatchObject({ status: 'trialing', trial_end: 1768435200 });
    expect(completed.payment_status).toBe('no_payment_required');
    expect(paid).toMatchObject({ amount_paid: 0, lines: { data: [{ amount: 0 }] } });
    const pack = await simulator.gateway('stripe').checkout(orderOf('stripe', 'pack', { customer_id: 'cus_earlier' }));
    await simulator.pay(pack.checkout_url);
    const [session, ...others] = simulator.told();
    expect(others).toEqual([]);
    expect(session?.object).toMatchObject({
      mode: 'payment',
      customer: 'cus_earlier',
      amount_total: 500,
      subscription: null,
    });
    expect(session?.object.payment_intent).toMatch(/^pi_/);
  });

  test('is canceled, resumed, moved and ended', async () => {
    const stripe = simulator.gateway('stripe');
    const id = await buy('stripe');
    expect(await stripe.cancel(id, 'period_end')).toBe('active');
    const [scheduled] = simulator.told();
    expect(scheduled?.object).toMatchObject({ cancel_at_period_end: true, cancel_at: 1769904000 });
    expect(await stripe.resume(id)).toBe('active');
    expect(simulator.told()[0]?.object).toMatchObject({
      cancel_at_period_end: false,
      cancel_at: null,
      canceled_at: null,
    });
    await library().subscriptions.update(id, { cancel_at: 1769000000 });
    await stripe.resume(id);
    expect(simulator.told().map(({ object }) => object.cancel_at)).toEqual([1769000000, null]);

    simulator.clock.now = HALF;
    const upgrade = { subscription_id: id, product_id: 'prod_max', price_id: 'price_max', units: 1, is_upgrade: true };
    expect(await stripe.changePlan(upgrade)).toBe('active');
    const [updated, invoice] = simulator.told().map(({ object }) => object);
    expect(updated.items.data[0].price.id).toBe('price_max');
    expect(updated.items.data[0].current_period_end).toBe(1769904000);
    expect(invoice).toMatchObject({ amount_paid: 2450 - 950, billing_reason: 'subscription_update' });
    const proration = { parent: { subscription_item_details: { proration: true } } };
    expect(invoice.lines.data).toMatchObject([proration, proration]);
    await stripe.changePlan({ ...upgrade, product_id: 'prod_pro', price_id: 'price_pro', is_upgrade: false });
    expect(types()).toEqual(['customer.subscription.updated']);

    expect(await stripe.cancel(id, 'now')).toBe('canceled');
    expect(simulator.told()[0]).toMatchObject({
      type: 'customer.subscription.deleted',
      object: { status: 'canceled' },
    });
    await expect(stripe.cancel(id, 'now')).rejects.toMatchObject({ status: 502, platformStatus: 404 });
    await stripe.cancelSubscriptionNow(id);
    await stripe.cancelSubscriptionNow('sub_never_sold');
    expect(types()).toEqual([]);
  });

  test('a change to a year begins a new period with a line that is no proration', async () => {
    const id = await buy('stripe');
    simulator.clock.now = HALF;
    const year = { subscription_id: id, product_id: 'prod_pro_year', price_id: 'price_pro_year', units: 1 };
    await simulator.gateway('stripe').changePlan({ ...year, is_upgrade: true });
    const [updated, invoice] = simulator.told().map(({ object }) => object);
    expect(updated.items.data[0]).toMatchObject({ current_period_start: 1768564800, current_period_end: 1800100800 });
    expect(invoice.amount_paid).toBe(19000 - 950);
    expect(invoice.lines.data[1]).toMatchObject({
      amount: 19000,
      period: { start: 1768564800, end: 1800100800 },
      parent: { subscription_item_details: { proration: false } },
    });
  });

  test('refunds add up to the payment and no further', async () => {
    const { checkout_url } = await simulator.gateway('stripe').checkout(orderOf('stripe', 'pack'));
    await simulator.pay(checkout_url);
    const payment_intent = simulator.told()[0]?.object.payment_intent;
    await library().refunds.create({ payment_intent, amount: 200 });
    await library().refunds.create({ payment_intent });
    const charges = simulator.told().filter(({ type }) => type === 'charge.refunded');
    expect(charges.map(({ object }) => [object.amount_refunded, object.refunded])).toEqual([
      [200, false],
      [500, true],
    ]);
    await expect(library().refunds.create({ payment_intent })).rejects.toMatchObject({
      code: 'charge_already_refunded',
    });
  });

  test('errors are those the official library knows', async () => {
    await expect(library().subscriptions.retrieve('sub_x')).rejects.toMatchObject({
      type: 'StripeInvalidRequestError',
      code: 'resource_missing',
      statusCode: 404,
    });
    const unknown = { customer: 'cus_1', nonsense: 'x' } as Stripe.BillingPortal.SessionCreateParams;
    await expect(library().billingPortal.sessions.create(unknown)).rejects.toMatchObject({ code: 'parameter_unknown' });
    expect((await fetch(`${simulator.url}/v1/subscriptions/sub_x`)).status).toBe(401);
  });
});

test('each platform has a portal page', async () => {
  const creem = await simulator.gateway('creem').portal('cust_1', 'http://localhost:3000');
  expect(await (await fetch(creem)).text()).toContain('Simulated portal of cust_1');
  const stripe = await simulator.gateway('stripe').portal('cus_1', 'http://localhost:3000/account');
  expect(await (await fetch(stripe)).text()).toContain('href="http://localhost:3000/account"');
});

test('a product that is not for sale is not sold', async () => {
  const none = { product_id: 'prod_none', price_id: 'price_none' };
  for (const platform of ['creem', 'stripe'] as const) {
    const order = orderOf(platform, 'pro', none);
    await expect(simulator.gateway(platform).checkout(order)).rejects.toMatchObject({ code: 'upstream_error' });
  }
});
