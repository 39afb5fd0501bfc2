/** Creem's events. Source of the fields: npm `creem` 1.13.0, docs.creem.io. */
import { z } from 'zod';
import { invalidRequest } from '../errors.ts';
import {
  type EventKind,
  type HistoryEntry,
  listOf,
  needed,
  ownerOf,
  type PaymentEvent,
  type PaymentFacts,
  type PaymentOfEvent,
  type PeriodFacts,
  present,
  type RefundStatus,
  rankOf,
  readFacts,
  type SubscriptionFacts,
  type SubscriptionStatus,
} from './event.ts';
import { amount, currency, date, entity, list, metadata, text, tolerant, units } from './fields.ts';

const envelope = z.object({ id: text, eventType: text, created_at: date, object: z.unknown() });

const ofMode = tolerant(z.object({ mode: text }));

const customer = entity({ email: text, name: text });
const product = entity({});

const transaction = entity({
  type: text,
  amount_paid: amount,
  currency,
  subscription: product,
  customer: product,
  period_start: date,
  period_end: date,
  created_at: date,
});
type Transaction = z.infer<typeof transaction>;

const subscription = z.object({
  id: text,
  status: tolerant(
    z.enum([
      ...(['inactive', 'trialing', 'active', 'past_due', 'unpaid'] as const),
      ...(['paused', 'scheduled_cancel', 'canceled', 'expired'] as const),
    ]),
  ),
  product,
  customer,
  items: list(z.object({ product_id: text, units })),
  last_transaction_id: text,
  last_transaction: transaction,
  last_transaction_date: date,
  current_period_start_date: date,
  current_period_end_date: date,
  canceled_at: date,
  created_at: date,
  metadata,
});
type Subscription = z.infer<typeof subscription>;

const order = tolerant(
  z.object({
    transaction: product,
    customer: product,
    product,
    type: text,
    amount,
    amount_due: amount,
    amount_paid: amount,
    currency,
    created_at: date,
  }),
);

const checkout = z.object({
  id: text,
  units,
  order,
  product,
  customer,
  subscription: entity({ created_at: date, metadata }),
  metadata,
});
type Checkout = z.infer<typeof checkout>;

const reversal = z.object({
  id: text,
  status: text,
  refund_amount: amount,
  refund_currency: currency,
  amount,
  currency,
  transaction,
  subscription: entity({ metadata }),
  checkout: entity({ metadata }),
  customer,
  metadata,
});
type Reversal = z.infer<typeof reversal>;

const REFUND_STATUSES = new Map<string, RefundStatus>([
  ['pending', 'pending'],
  ['requiresAction', 'pending'],
  ['succeeded', 'succeeded'],
  ['failed', 'failed'],
  ['canceled', 'failed'],
]);

/** What is told by the name of a `subscription.*` event. */
interface Meaning {
  kind: EventKind;
  history: HistoryEntry;
  /** The state it brings, where `object.status` cannot be relied on: in samples `expired` comes with `active`. */
  status?: SubscriptionStatus;
}

const SUBSCRIPTION_EVENTS = new Map<string, Meaning>([
  ['subscription.active', { kind: 'activated', history: 'subscription_created' }],
  ['subscription.paid', { kind: 'paid', history: 'payment_succeeded' }],
  ['subscription.trialing', { kind: 'activated', history: 'trial_started', status: 'trialing' }],
  ['subscription.update', { kind: 'updated', history: 'subscription_updated' }],
  ['subscription.scheduled_cancel', { kind: 'updated', history: 'cancellation_scheduled', status: 'scheduled_cancel' }],
  ['subscription.canceled', { kind: 'updated', history: 'subscription_cancelled', status: 'canceled' }],
  ['subscription.past_due', { kind: 'updated', history: 'payment_failed', status: 'past_due' }],
  ['subscription.unpaid', { kind: 'updated', history: 'payment_failed', status: 'unpaid' }],
  ['subscription.expired', { kind: 'updated', history: 'subscription_expired', status: 'expired' }],
  ['subscription.paused', { kind: 'updated', history: 'subscription_paused', status: 'paused' }],
]);

/**
 * Reads a webhook's payload. What a known type lacks is the event's `problem`; other types have neither facts nor problem.
 * Throws 400 `invalid_request` for what is no event: without `id` or `eventType`.
 */
export function readCreemEvent(payload: unknown): PaymentEvent {
  const parsed = envelope.safeParse(payload);
  const { id, eventType, created_at, object } = parsed.data ?? {};
  if (!id || !eventType) throw invalidRequest('The body is no event of Creem: it needs `id` and `eventType`.');
  return {
    platform: 'creem',
    event_id: id,
    event_type: eventType,
    occurred_at: created_at ?? null,
    mode: modeOf(object),
    account: null,
    ...readFacts(() => factsOf(eventType, created_at, object)),
  };
}

function modeOf(object: unknown): PaymentEvent['mode'] {
  const { mode } = ofMode.parse(object) ?? {};
  return mode === undefined ? null : mode === 'prod' ? 'live' : 'test';
}

function factsOf(type: string, createdAt: string | undefined, object: unknown): PaymentFacts | null {
  const read = readerOf(type);
  if (!read) return null;
  needed(createdAt, 'created_at');
  return read(object);
}

function readerOf(type: string): ((object: unknown) => PaymentFacts) | undefined {
  const meaning = SUBSCRIPTION_EVENTS.get(type);
  if (meaning) return (object) => subscriptionFacts(type, meaning, parse(subscription, object));
  if (type === 'checkout.completed') return (object) => checkoutFacts(parse(checkout, object));
  if (type === 'refund.created') return (object) => refundFacts(parse(reversal, object));
  if (type === 'dispute.created') return (object) => disputeFacts(parse(reversal, object));
  return undefined;
}

function parse<T>(schema: z.ZodType<T>, object: unknown): T {
  return needed(schema.safeParse(object).data, 'object');
}

function subscriptionFacts(type: string, meaning: Meaning, object: Subscription): PaymentFacts {
  const state = stateOf(type, meaning, object);
  const isPaid = type === 'subscription.paid';
  const isTrial = type === 'subscription.trialing';
  return {
    rank: rankOf(meaning.kind, state.status),
    customer: customerOf(object.customer),
    owner: object.metadata,
    subscription: state,
    period: isPaid || isTrial ? periodOf(state, isPaid ? { is_paid: true } : { is_trial: true }) : undefined,
    payment: isPaid ? lastPayment(object, state) : undefined,
    history: [meaning.history],
  };
}

function stateOf(type: string, meaning: Meaning, object: Subscription): SubscriptionFacts {
  const status = meaning.status ?? object.status;
  return {
    id: needed(object.id, 'object.id'),
    status,
    // After an upgrade `items[0]` can still be the old product.
    product_id: object.product?.id ?? object.items[0]?.product_id,
    units: unitsOf(object),
    period_start: object.current_period_start_date,
    period_end: object.current_period_end_date,
    cancel_at_period_end: isEnding(type, status),
    canceled_at: object.canceled_at,
    started_at: object.created_at,
  };
}

/** Whether the subscription ends with its period; undefined where the event does not say. */
function isEnding(type: string, status: SubscriptionStatus | undefined): boolean | undefined {
  if (status === 'scheduled_cancel') return true;
  if (type === 'subscription.update') return status && false;
  return type === 'subscription.active' || type === 'subscription.paid' ? false : undefined;
}

function unitsOf({ items }: Subscription): number {
  const sum = items.reduce((total, item) => total + (item.units ?? 0), 0);
  return units.parse(sum) ?? 1;
}

function periodOf(state: SubscriptionFacts, flag: Pick<PeriodFacts, 'is_paid' | 'is_trial'>): PeriodFacts {
  const start = needed(state.period_start, 'object.current_period_start_date');
  const end = needed(state.period_end, 'object.current_period_end_date');
  needed(start < end || undefined, 'object.current_period_end_date');
  return { start, end, ...flag, ...present({ product_id: state.product_id, units: state.units }) };
}

/** The payment of the current period, of which often only the id is told. */
function lastPayment(object: Subscription, state: SubscriptionFacts): PaymentOfEvent | undefined {
  const id = object.last_transaction_id ?? object.last_transaction?.id;
  if (!id) return undefined;
  return {
    id,
    status: 'succeeded',
    kind: 'subscription',
    amount: object.last_transaction?.amount_paid,
    currency: object.last_transaction?.currency,
    product_id: state.product_id,
    units: state.units,
    subscription_id: state.id,
    period_start: state.period_start,
    period_end: state.period_end,
    paid_at: object.last_transaction_date ?? object.last_transaction?.created_at,
  };
}

/** The nested subscription's state is left out: events of its own tell it, and newer. */
function checkoutFacts(object: Checkout): PaymentFacts {
  const { id, created_at, metadata: nested } = object.subscription ?? {};
  return {
    rank: rankOf('created'),
    customer: customerOf(object.customer ?? object.order?.customer),
    owner: ownerOf(object.metadata, nested),
    subscription: id ? { id, started_at: created_at } : undefined,
    payment: checkoutPayment(object, id),
  };
}

/** The payment of a checkout; none where it began a trial. */
function checkoutPayment(object: Checkout, subscriptionId: string | undefined): PaymentOfEvent | undefined {
  const { order } = object;
  const isSubscription = order?.type === 'recurring' || (order?.type !== 'onetime' && subscriptionId !== undefined);
  const transactionId = order?.transaction?.id;
  if (isSubscription && !transactionId) return undefined;
  return {
    id: needed(transactionId, 'object.order.transaction'),
    status: 'succeeded',
    kind: isSubscription ? 'subscription' : 'purchase',
    amount: order?.amount_paid ?? order?.amount_due ?? order?.amount,
    currency: order?.currency,
    product_id: order?.product?.id ?? object.product?.id,
    units: object.units,
    subscription_id: subscriptionId,
    checkout_id: object.id,
    paid_at: order?.created_at,
  };
}

function refundFacts(object: Reversal): PaymentFacts {
  const reference = needed(object.transaction?.id, 'object.transaction.id');
  return {
    ...reversedFacts(object, 'payment_refunded'),
    rank: rankOf('created'),
    reversal: {
      id: needed(object.id, 'object.id'),
      kind: 'refund',
      reference,
      references: [reference],
      amount: needed(object.refund_amount, 'object.refund_amount'),
      currency: object.refund_currency ?? object.transaction?.currency,
      total: object.transaction?.amount_paid,
      status: needed(REFUND_STATUSES.get(object.status ?? ''), 'object.status'),
    },
  };
}

function disputeFacts(object: Reversal): PaymentFacts {
  const reference = needed(object.transaction?.id, 'object.transaction.id');
  return {
    ...reversedFacts(object, 'dispute_opened'),
    rank: rankOf('created', 'open'),
    reversal: {
      id: needed(object.id, 'object.id'),
      kind: 'dispute',
      reference,
      references: [reference],
      amount: object.amount,
      currency: object.currency ?? object.transaction?.currency,
      total: object.transaction?.amount_paid,
      status: 'open',
    },
  };
}

/** What a refund and a dispute both tell: whose payment it was, and which. */
function reversedFacts(object: Reversal, entry: HistoryEntry): Omit<PaymentFacts, 'rank'> {
  const subscriptionId = object.transaction?.subscription?.id ?? object.subscription?.id;
  return {
    customer: customerOf(object.customer ?? object.transaction?.customer),
    owner: ownerOf(object.metadata, object.subscription?.metadata, object.checkout?.metadata),
    payment: reversedPayment(object.transaction, subscriptionId),
    history: listOf(subscriptionId ? entry : undefined),
  };
}

function reversedPayment(paid: Transaction, subscriptionId: string | undefined): PaymentOfEvent | undefined {
  if (!paid?.id) return undefined;
  const isSubscription = paid.type === 'invoice' || (paid.type !== 'payment' && subscriptionId !== undefined);
  return {
    id: paid.id,
    kind: isSubscription ? 'subscription' : 'purchase',
    amount: paid.amount_paid,
    currency: paid.currency,
    subscription_id: subscriptionId,
    period_start: paid.period_start,
    period_end: paid.period_end,
  };
}

function customerOf(found: { id?: string; email?: string; name?: string } | undefined): PaymentFacts['customer'] {
  return found && present({ id: found.id, email: found.email, name: found.name });
}
