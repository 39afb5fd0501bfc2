/** The builders of events, their signatures, and the stories that `npm run pay` tells. */

import {
  CREEM_EVENT_TYPES,
  creemEvent,
  creemSignature,
  eventTypes,
  paymentMadeBy,
  periodOf,
  STRIPE_EVENT_TYPES,
  type Story,
  stripeEvent,
  stripeSignature,
  type Telling,
  tellEvent,
} from '@basemeter/simulators';
import Stripe from 'stripe';
import { describe, expect, test } from 'vitest';
import { changes, run as pay } from '../../scripts/commands/pay.ts';

const at = '2026-01-01T00:00:00.000Z';
const story: Story = {
  customer: { id: 'cus_1', email: 'ana@example.test' },
  product: { id: 'prod_1', price_id: 'price_1', name: 'Pro', amount: 1900, currency: 'EUR', billing_period: 'month' },
  metadata: { user_id: 'u' },
  checkout: { id: 'cs_1' },
  subscription: { id: 'sub_1', started_at: at, period: periodOf(at, 'month') },
  payment: { id: 'in_1', amount: 2299, tax: 399, paid_at: at },
  refund: { id: 're_1', amount: 100 },
  dispute: { id: 'du_1', amount: 2299 },
};

test('every type can be built, and is the same each time', () => {
  const facts = { id: 'evt_1', occurred_at: at };
  for (const type of CREEM_EVENT_TYPES) {
    const event = creemEvent(type, facts, story);
    expect(event).toMatchObject({ id: 'evt_1', eventType: type, created_at: 1767225600000 });
    expect(creemEvent(type, facts, story)).toEqual(event);
  }
  for (const type of STRIPE_EVENT_TYPES) {
    const event = stripeEvent(type, facts, story);
    expect(event).toMatchObject({ id: 'evt_1', type, created: 1767225600, object: 'event' });
    expect(stripeEvent(type, facts, story)).toEqual(event);
  }
});

test('a story without a subscription tells of none', () => {
  const facts = { id: 'evt_1', occurred_at: at };
  const purchase = { ...story, subscription: undefined };
  expect(() => creemEvent('subscription.paid', facts, purchase)).toThrow('the story has no subscription');
  expect(() => stripeEvent('customer.subscription.deleted', facts, purchase)).toThrow('the story has no subscription');
});

test('statuses follow the type, as the platforms have them', () => {
  const facts = { id: 'evt_1', occurred_at: at };
  const creem = (type: (typeof CREEM_EVENT_TYPES)[number]) => creemEvent(type, facts, story).object.status;
  expect(creem('subscription.past_due')).toBe('past_due');
  expect(creem('subscription.expired')).toBe('active');
  expect(creemEvent('subscription.canceled', facts, story).object).toMatchObject({
    canceled_at: at,
    status: 'canceled',
  });
  expect(stripeEvent('customer.subscription.deleted', facts, story).data.object).toMatchObject({
    status: 'canceled',
    ended_at: 1767225600,
  });
});

test('periods keep their day where the month has it', () => {
  const ends = [0, 1, 2].map((index) => periodOf('2026-01-31T10:00:00.000Z', 'month', index).end.slice(0, 10));
  expect(ends).toEqual(['2026-02-28', '2026-03-31', '2026-04-30']);
  expect(periodOf('2024-02-29T00:00:00.000Z', 'year').end.slice(0, 10)).toBe('2025-02-28');
});

describe('signatures', () => {
  test('are those of known vectors', () => {
    const creem =
      '{"id":"evt_test_0001","eventType":"subscription.paid","created_at":1767225600000,"object":{"id":"sub_test_0001","object":"subscription"}}';
    expect(creemSignature(creem, 'whsec_test_creem_secret')).toBe(
      'cd9e5eab6d9e9c1a0f9f3402acf8b882ce0b00e40e9e9ebc864f2e395dad96c4',
    );
    const stripe = '{"id":"evt_test_0002","object":"event","type":"invoice.paid"}';
    expect(stripeSignature(stripe, 'whsec_test_stripe_secret', 1767225600)).toBe(
      't=1767225600,v1=468a14108d8d67baeb19e2324879dc2918e07e7c1960932be8e699e1c6f3cf4a',
    );
  });

  test('of Stripe are taken by its library', async () => {
    const body = JSON.stringify(stripeEvent('invoice.paid', { id: 'evt_1', occurred_at: at }, story));
    const header = stripeSignature(body, 'whsec_x', Math.floor(Date.now() / 1000));
    const event = await new Stripe('sk_test_x').webhooks.constructEventAsync(body, header, 'whsec_x');
    expect(event.type).toBe('invoice.paid');
  });
});

describe('npm run pay', () => {
  const tellingOf = (platform: 'creem' | 'stripe', type: string, more: Partial<Telling> = {}): Telling => ({
    platform,
    type,
    user: { id: '00000000-0000-4000-8000-000000000002', email: 'ana@example.test', created_at: at },
    product: story.product,
    trialDays: 0,
    event_id: 'evt_1',
    at: '2026-01-05T00:00:00.000Z',
    ...more,
  });
  const told = (...telling: Parameters<typeof tellingOf>) => tellEvent(tellingOf(...telling));

  test('can tell of every type', () => {
    for (const platform of ['creem', 'stripe'] as const) {
      for (const type of eventTypes(platform)) expect(told(platform, type)).toMatchObject({ id: 'evt_1' });
    }
  });

  test('takes a team, whose purchases are others than the person’s', () => {
    const team = '00000000-0000-4000-8000-000000000003';
    const own = Reflect.get(told('creem', 'subscription.paid'), 'object');
    const ofTeam = Reflect.get(told('creem', 'subscription.paid', { workspace_id: team }), 'object');
    expect(ofTeam.metadata).toMatchObject({ workspace_id: team, user_id: own.metadata.user_id });
    expect(ofTeam.id).not.toBe(own.id);
  });

  test('prints what changed', () => {
    const before = new Map([
      ['credits', '3'],
      ['plan', 'free inactive'],
    ]);
    const after = new Map([...before, ['credits', '103'], ['entry 7', 'credit 100 subscription']]);
    expect(changes(before, after)).toEqual(['credits: 3 -> 103', 'entry 7: credit 100 subscription']);
    expect(changes(before, before)).toEqual(['Nothing changed.']);
  });

  test('says why nothing changed, and how to pay once more', () => {
    const pack = { ...story.product, billing_period: null };
    const telling = tellingOf('creem', 'checkout.completed', { product: pack });
    const known = new Map([[`payment ${paymentMadeBy(telling)}`, 'succeeded']]);
    expect(changes(known, known, telling)).toEqual([
      expect.stringMatching(/^Nothing changed: tran_\w+ was received before; --payment <word> makes another\.$/),
    ]);
    const another = { ...telling, payment: 'second' };
    expect(changes(known, known, another)).toEqual(['Nothing changed.']);
    expect(paymentMadeBy(tellingOf('creem', 'refund.created'))).toBeUndefined();
  });

  test('tells apart who pays for a team', () => {
    const workspace_id = '00000000-0000-4000-8000-000000000003';
    const bob = { id: '00000000-0000-4000-8000-000000000004', email: 'bob@example.test', created_at: at };
    const paidBy = (more: Partial<Telling>) =>
      paymentMadeBy(tellingOf('creem', 'subscription.paid', { workspace_id, ...more }));
    expect(paidBy({})).toBe(paidBy({}));
    expect(paidBy({ user: bob })).not.toBe(paidBy({}));
  });

  test('asks for an event where none is named', async () => {
    await expect(pay(['creem', '--user', 'x'])).rejects.toThrow('Name an event');
  });

  test('refunds and renews what it told of before', () => {
    const paid = told('creem', 'subscription.paid');
    const { last_transaction_id } = Reflect.get(paid, 'object');
    const refund = Reflect.get(
      told('creem', 'refund.created', { at: '2026-01-09T00:00:00.000Z', amount: 700 }),
      'object',
    );
    expect(refund).toMatchObject({ refund_amount: 700, transaction: { id: last_transaction_id, amount_paid: 1900 } });
    const renewal = Reflect.get(told('creem', 'subscription.paid', { at: '2026-02-05T00:00:00.000Z' }), 'object');
    expect(renewal.last_transaction_id).not.toBe(last_transaction_id);
    expect(renewal.current_period_start_date).toBe('2026-02-01T00:00:00.000Z');

    const invoice = Reflect.get(told('stripe', 'invoice_payment.paid'), 'data').object;
    const charge = Reflect.get(told('stripe', 'charge.refunded'), 'data').object;
    expect(charge.payment_intent).toBe(invoice.payment.payment_intent);
    const paidInvoice = Reflect.get(told('stripe', 'invoice.paid'), 'data').object;
    expect(paidInvoice.payments.data[0].payment.payment_intent).toBe(charge.payment_intent);
  });
});
