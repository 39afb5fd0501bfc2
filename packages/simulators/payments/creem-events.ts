/**
 * Creem's webhook events, built from a story. Shapes are those of Creem's SDK types and of the samples in its
 * documentation: snake_case, money in minor units, ISO dates in entities, milliseconds in events, transactions, refunds
 * and disputes.
 */
import {
  type BillingPeriod,
  type EventFacts,
  type Story,
  type StoryPayment,
  type StorySubscription,
  siblingId,
} from './story.ts';

const SUBSCRIPTION_TYPES = [
  'subscription.active',
  'subscription.trialing',
  'subscription.paid',
  'subscription.update',
  'subscription.scheduled_cancel',
  'subscription.canceled',
  'subscription.past_due',
  'subscription.unpaid',
  'subscription.expired',
  'subscription.paused',
] as const;

const CREDIT_TYPES = [
  'credits.granted',
  'credits.consumed',
  'credits.auto_recharged',
  'customer_credits.exhausted',
] as const;

/** Every type that Creem has. */
export const CREEM_EVENT_TYPES = [
  'checkout.completed',
  ...SUBSCRIPTION_TYPES,
  'refund.created',
  'dispute.created',
  ...CREDIT_TYPES,
] as const;
export type CreemEventType = (typeof CREEM_EVENT_TYPES)[number];

/** An event as Creem sends it. */
export interface CreemEvent {
  id: string;
  eventType: string;
  /** Milliseconds. */
  created_at: number;
  object: Record<string, unknown>;
}

/** Builds an event. Throws an Error where the story lacks what such an event tells of. */
export function creemEvent(type: CreemEventType, { id, occurred_at }: EventFacts, story: Story): CreemEvent {
  return { id, eventType: type, created_at: Date.parse(occurred_at), object: objectOf(type, story, occurred_at) };
}

function objectOf(type: CreemEventType, story: Story, at: string): Record<string, unknown> {
  if (type === 'checkout.completed') return completedCheckout(story, at);
  if (type === 'refund.created') return refund(story, at);
  if (type === 'dispute.created') return dispute(story, at);
  if (isSubscriptionType(type)) return creemSubscription(story, at, statusOf(type, story));
  return credits(type, story);
}

function isSubscriptionType(type: string): type is (typeof SUBSCRIPTION_TYPES)[number] {
  return (SUBSCRIPTION_TYPES as readonly string[]).includes(type);
}

/** What `object.status` says. `expired` comes with `active`, as in Creem's documentation. */
function statusOf(type: (typeof SUBSCRIPTION_TYPES)[number], { subscription }: Story): string {
  if (subscription?.status) return subscription.status;
  const word = type.slice('subscription.'.length);
  return ['paid', 'update', 'expired'].includes(word) ? 'active' : word;
}

function completedCheckout(story: Story, at: string): Record<string, unknown> {
  const { checkout, customer, product, subscription, units = 1 } = story;
  return {
    id: checkout.id,
    object: 'checkout',
    mode: 'test',
    status: 'completed',
    ...(checkout.request_id ? { request_id: checkout.request_id } : {}),
    units,
    order: { ...creemOrder(story, at), customer: customer.id, product: product.id },
    product: creemProduct(story),
    customer: creemCustomer(story),
    ...(subscription ? { subscription: nestedSubscription(story, subscription) } : {}),
    custom_fields: [],
    ...metadataOf(story),
  };
}

/** A product as Creem shows it. */
export function creemProduct({ product }: Pick<Story, 'product'>): Record<string, unknown> {
  return {
    id: product.id,
    object: 'product',
    mode: 'test',
    name: product.name,
    description: product.name,
    image_url: null,
    price: product.amount,
    currency: product.currency,
    billing_type: product.billing_period ? 'recurring' : 'onetime',
    billing_period: creemPeriod(product.billing_period),
    status: 'active',
    tax_mode: 'exclusive',
    tax_category: 'saas',
    default_success_url: '',
    created_at: '2025-12-01T00:00:00.000Z',
    updated_at: '2025-12-01T00:00:00.000Z',
  };
}

function creemPeriod(period: BillingPeriod | null): string {
  if (period === null) return 'once';
  return { month: 'every-month', quarter: 'every-three-months', half_year: 'every-six-months', year: 'every-year' }[
    period
  ];
}

function creemCustomer({ customer }: Story): Record<string, unknown> {
  return {
    id: customer.id,
    object: 'customer',
    mode: 'test',
    email: customer.email,
    name: customer.name ?? null,
    country: 'NL',
    created_at: '2025-12-01T00:00:00.000Z',
    updated_at: '2025-12-01T00:00:00.000Z',
  };
}

function creemOrder({ checkout, product, payment, units = 1 }: Story, at: string): Record<string, unknown> {
  const paid = payment?.amount ?? 0;
  return {
    id: siblingId(checkout.id, 'ord'),
    object: 'order',
    mode: 'test',
    // A trial's checkout is paid with nothing, and has no transaction.
    ...(payment ? { transaction: payment.id } : {}),
    amount: product.amount * units,
    sub_total: product.amount * units,
    tax_amount: payment?.tax ?? 0,
    discount_amount: 0,
    amount_due: paid,
    amount_paid: paid,
    currency: product.currency,
    status: 'paid',
    type: product.billing_period ? 'recurring' : 'onetime',
    created_at: payment?.paid_at ?? at,
    updated_at: payment?.paid_at ?? at,
  };
}

/** A subscription inside another object: product and customer are ids. */
function nestedSubscription(story: Story, subscription: StorySubscription, status = 'active') {
  return {
    id: subscription.id,
    object: 'subscription',
    mode: 'test',
    product: story.product.id,
    customer: story.customer.id,
    collection_method: 'charge_automatically',
    status: subscription.status ?? status,
    canceled_at: subscription.canceled_at ?? null,
    created_at: subscription.started_at,
    updated_at: subscription.started_at,
    ...metadataOf(story),
  };
}

/** A subscription as its own events and `GET /v1/subscriptions` show it: product and customer are whole. */
export function creemSubscription(story: Story, at: string, status: string): Record<string, unknown> {
  const { product, payment, units = 1 } = story;
  const subscription = requireMember(story.subscription, 'subscription');
  const { id, period, canceled_at } = subscription;
  const goesOn = status !== 'canceled' && status !== 'scheduled_cancel';
  return {
    id,
    object: 'subscription',
    mode: 'test',
    product: creemProduct(story),
    customer: creemCustomer(story),
    items: [
      {
        id: siblingId(id, 'sitem'),
        object: 'subscription_item',
        product_id: product.id,
        price_id: siblingId(product.id, 'pprice'),
        units,
        mode: 'test',
      },
    ],
    collection_method: 'charge_automatically',
    status,
    ...(payment ? lastTransaction(story, payment) : {}),
    ...(goesOn ? { next_transaction_date: period.end } : {}),
    current_period_start_date: period.start,
    current_period_end_date: period.end,
    canceled_at: canceled_at ?? (goesOn ? null : at),
    created_at: subscription.started_at,
    updated_at: at,
    ...metadataOf(story),
  };
}

function lastTransaction(story: Story, payment: StoryPayment): Record<string, unknown> {
  return {
    last_transaction_id: payment.id,
    last_transaction_date: payment.paid_at,
    ...(payment.is_nested === false ? {} : { last_transaction: creemTransaction(story, 'paid') }),
  };
}

/** A transaction as events nest it and `GET /v1/transactions` shows it. */
export function creemTransaction(story: Story, status: string): Record<string, unknown> {
  const { product, customer, checkout, subscription, refund, units = 1 } = story;
  const payment = requireMember(story.payment, 'payment');
  return {
    id: payment.id,
    object: 'transaction',
    mode: 'test',
    amount: product.amount * units,
    amount_paid: payment.amount,
    discount_amount: 0,
    currency: product.currency,
    type: subscription ? 'invoice' : 'payment',
    tax_country: 'NL',
    tax_amount: payment.tax ?? 0,
    status,
    refunded_amount: refund?.amount ?? null,
    order: siblingId(checkout.id, 'ord'),
    ...(subscription ? { subscription: subscription.id } : {}),
    customer: customer.id,
    description: subscription ? 'Subscription payment' : 'Payment',
    ...(subscription
      ? { period_start: Date.parse(subscription.period.start), period_end: Date.parse(subscription.period.end) }
      : {}),
    created_at: Date.parse(payment.paid_at),
  };
}

function refund(story: Story, at: string): Record<string, unknown> {
  const { refund, payment, product } = story;
  const { id, amount, status = 'succeeded', reason = 'requested_by_customer' } = requireMember(refund, 'refund');
  const isFull = amount >= requireMember(payment, 'payment').amount;
  return {
    id,
    object: 'refund',
    mode: 'test',
    status,
    refund_amount: amount,
    refund_currency: product.currency,
    reason,
    transaction: creemTransaction(story, isFull ? 'refunded' : 'partialRefund'),
    ...surroundings(story, at, 'canceled'),
  };
}

function dispute(story: Story, at: string): Record<string, unknown> {
  const { id, amount } = requireMember(story.dispute, 'dispute');
  return {
    id,
    object: 'dispute',
    mode: 'test',
    amount,
    currency: story.product.currency,
    transaction: creemTransaction(story, 'chargeback'),
    ...surroundings(story, at, 'active'),
  };
}

/** What a refund and a dispute tell of the purchase beside its transaction. */
function surroundings(story: Story, at: string, status: string): Record<string, unknown> {
  const { checkout, subscription, customer, product } = story;
  return {
    ...(subscription ? { subscription: nestedSubscription(story, subscription, status) } : {}),
    checkout: {
      id: checkout.id,
      object: 'checkout',
      mode: 'test',
      status: 'completed',
      product: product.id,
      customer: customer.id,
      ...(checkout.request_id ? { request_id: checkout.request_id } : {}),
      ...metadataOf(story),
    },
    order: { ...creemOrder(story, at), customer: customer.id, product: product.id },
    customer: creemCustomer(story),
    created_at: Date.parse(at),
  };
}

/** Events of Creem's own credits, which have nothing to do with ours. */
function credits(type: string, { customer, product }: Story): Record<string, unknown> {
  return {
    id: siblingId(customer.id, 'cred'),
    object: type.split('.')[0],
    mode: 'test',
    customer: customer.id,
    product: product.id,
  };
}

function metadataOf({ metadata }: Story): Record<string, unknown> {
  return metadata ? { metadata } : {};
}

function requireMember<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the story has no ${name}`);
  return value;
}
