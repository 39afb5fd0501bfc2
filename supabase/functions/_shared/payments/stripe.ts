/**
 * Stripe's events, in the shapes of today's API and of those before 2025-03-31. Source of the fields: npm `stripe` 23.1.0
 * and the changelog on docs.stripe.com.
 */
import { z } from 'zod';
import { invalidRequest } from '../errors.ts';
import {
  type DisputeStatus,
  type HistoryEntry,
  listOf,
  needed,
  oneOf,
  ownerOf,
  type PaymentEvent,
  type PaymentFacts,
  type PaymentOfEvent,
  type PaymentStatus,
  type PeriodFacts,
  present,
  rankOf,
  readFacts,
  type SubscriptionFacts,
  type SubscriptionStatus,
} from './event.ts';
import {
  amount,
  currency,
  entity,
  flag,
  list,
  metadata,
  ownerShape,
  seconds,
  signedAmount,
  text,
  tolerant,
  units,
  unitsText,
  uuid,
} from './fields.ts';

const envelope = z.object({
  id: text,
  type: text,
  created: seconds,
  livemode: flag,
  account: text,
  data: tolerant(z.object({ object: z.unknown(), previous_attributes: tolerant(z.looseObject({})) })),
});
type Data = z.infer<typeof envelope>['data'];

const reference = entity({});
const customer = entity({ email: text, name: text });
const price = entity({ product: reference });
const span = tolerant(z.object({ start: seconds, end: seconds }));

const session = z.object({
  id: text,
  mode: text,
  payment_status: text,
  client_reference_id: uuid,
  customer,
  customer_details: tolerant(z.object({ email: text, name: text })),
  subscription: reference,
  payment_intent: reference,
  invoice: reference,
  amount_total: amount,
  currency,
  metadata: tolerant(z.object({ ...ownerShape, product_id: text, price_id: text, units: unitsText })),
});
type Session = z.infer<typeof session>;

const line = z.object({
  type: text,
  amount: signedAmount,
  quantity: units,
  period: span,
  proration: flag,
  parent: tolerant(z.object({ subscription_item_details: tolerant(z.object({ proration: flag })) })),
  pricing: tolerant(z.object({ price_details: tolerant(z.object({ price: reference, product: reference })) })),
  price,
});
type Line = z.infer<typeof line>;

const invoice = z.object({
  id: text,
  customer,
  customer_email: text,
  customer_name: text,
  amount_paid: amount,
  amount_due: amount,
  currency,
  status_transitions: tolerant(z.object({ paid_at: seconds })),
  parent: tolerant(z.object({ subscription_details: tolerant(z.object({ subscription: reference, metadata })) })),
  lines: tolerant(z.object({ data: list(line) })),
  payments: tolerant(
    z.object({
      data: list(z.object({ payment: tolerant(z.object({ payment_intent: reference, charge: reference })) })),
    }),
  ),
  metadata,
  // Before 2025-03-31.
  subscription: reference,
  subscription_details: tolerant(z.object({ metadata })),
  payment_intent: reference,
  charge: reference,
});
type Invoice = z.infer<typeof invoice>;

const invoicePayment = z.object({
  invoice: reference,
  payment: tolerant(z.object({ payment_intent: reference, charge: reference })),
});
type InvoicePayment = z.infer<typeof invoicePayment>;

const item = z.object({ quantity: units, price, current_period_start: seconds, current_period_end: seconds });

const subscription = z.object({
  id: text,
  status: text,
  customer,
  items: tolerant(z.object({ data: list(item) })),
  cancel_at_period_end: flag,
  cancel_at: seconds,
  canceled_at: seconds,
  ended_at: seconds,
  trial_end: seconds,
  start_date: seconds,
  created: seconds,
  metadata,
  // Before 2025-03-31.
  current_period_start: seconds,
  current_period_end: seconds,
});
type Subscription = z.infer<typeof subscription>;

const charge = z.object({
  id: text,
  customer,
  amount,
  amount_refunded: amount,
  currency,
  payment_intent: reference,
  invoice: reference,
});
type Charge = z.infer<typeof charge>;

const refund = z.object({
  id: text,
  amount,
  currency,
  status: text,
  charge: reference,
  payment_intent: reference,
});
type Refund = z.infer<typeof refund>;

const dispute = z.object({ id: text, amount, currency, status: text, charge: reference, payment_intent: reference });
type Dispute = z.infer<typeof dispute>;

const SUBSCRIPTION_STATUSES = new Map<string, SubscriptionStatus>([
  ['incomplete', 'inactive'],
  ['incomplete_expired', 'expired'],
  ['trialing', 'trialing'],
  ['active', 'active'],
  ['past_due', 'past_due'],
  ['canceled', 'canceled'],
  ['unpaid', 'unpaid'],
  ['paused', 'paused'],
]);

/** Events about a subscription's state, and what each adds to its history. */
const SUBSCRIPTION_EVENTS = new Map<string, HistoryEntry>([
  ['customer.subscription.created', 'subscription_created'],
  ['customer.subscription.updated', 'subscription_updated'],
  ['customer.subscription.deleted', 'subscription_cancelled'],
  ['customer.subscription.paused', 'subscription_paused'],
  ['customer.subscription.resumed', 'subscription_updated'],
  ['customer.subscription.pending_update_applied', 'subscription_updated'],
  ['customer.subscription.pending_update_expired', 'subscription_updated'],
  ['customer.subscription.trial_will_end', 'trial_will_end'],
]);

const PAYMENT_STATUSES = new Map<string, PaymentStatus>([
  ['paid', 'succeeded'],
  ['no_payment_required', 'succeeded'],
  ['unpaid', 'pending'],
]);

/** An event's own members as the readers of its object need them. */
interface Head {
  type: string;
  createdAt: string;
  /** Names of what the event changed, where it tells. */
  changes?: string[];
}

/**
 * Reads a webhook's payload. What a known type lacks is the event's `problem`; other types have neither facts nor problem.
 * Throws 400 `invalid_request` for what is no event: without `id` or `type`.
 */
export function readStripeEvent(payload: unknown): PaymentEvent {
  const { id, type, created, livemode, account, data } = envelope.safeParse(payload).data ?? {};
  if (!id || !type) throw invalidRequest('The body is no event of Stripe: it needs `id` and `type`.');
  return {
    platform: 'stripe',
    event_id: id,
    event_type: type,
    occurred_at: created ?? null,
    mode: livemode === undefined ? null : livemode ? 'live' : 'test',
    account: account ?? null,
    ...readFacts(() => factsOf(type, created, data)),
  };
}

function factsOf(type: string, created: string | undefined, data: Data): PaymentFacts | null {
  const read = READERS.get(type);
  if (!read) return null;
  const changes = data?.previous_attributes && Object.keys(data.previous_attributes);
  return read(data?.object, { type, createdAt: needed(created, 'created'), changes });
}

type Reader = (object: unknown, head: Head) => PaymentFacts | null;

const READERS = new Map<string, Reader>([
  ['checkout.session.completed', readerOf(session, sessionFacts)],
  ['checkout.session.async_payment_succeeded', readerOf(session, sessionFacts)],
  ['checkout.session.async_payment_failed', readerOf(session, sessionFacts)],
  ['invoice.paid', readerOf(invoice, paidInvoiceFacts)],
  ['invoice.payment_succeeded', readerOf(invoice, paidInvoiceFacts)],
  ['invoice.payment_failed', readerOf(invoice, failedInvoiceFacts)],
  ['invoice_payment.paid', readerOf(invoicePayment, invoicePaymentFacts)],
  ['charge.refunded', readerOf(charge, refundFacts)],
  ...['refund.updated', 'refund.failed', 'charge.refund.updated'].map((type): [string, Reader] => [
    type,
    readerOf(refund, failedRefundFacts),
  ]),
  ...['created', 'updated', 'closed', 'funds_withdrawn', 'funds_reinstated'].map((name): [string, Reader] => [
    `charge.dispute.${name}`,
    readerOf(dispute, disputeFacts),
  ]),
  ...[...SUBSCRIPTION_EVENTS.keys()].map((type): [string, Reader] => [type, readerOf(subscription, subscriptionFacts)]),
]);

function readerOf<T>(schema: z.ZodType<T>, read: (object: T, head: Head) => PaymentFacts | null): Reader {
  return (object, head) => read(needed(schema.safeParse(object).data, 'data.object'), head);
}

function sessionFacts(object: Session, head: Head): PaymentFacts | null {
  const mode = needed(object.mode, 'data.object.mode');
  if (mode === 'setup') return null;
  const { workspace_id, user_id, proof } = object.metadata ?? {};
  const named = present({ workspace_id, user_id, proof });
  // Anyone may write the reference into the URL of a payment link.
  const reference = object.client_reference_id;
  const facts: PaymentFacts = {
    rank: rankOf(sessionKind(head.type)),
    customer: customerOf(object.customer, object.customer_details),
    owner: named ?? (reference ? { user_id: reference, by: 'reference' } : undefined),
  };
  // What a subscription costs, and for which period, its invoice tells.
  if (mode === 'subscription') {
    return { ...facts, subscription: { id: needed(object.subscription?.id, 'data.object.subscription') } };
  }
  return { ...facts, payment: sessionPayment(object, head) };
}

function sessionKind(type: string) {
  if (type === 'checkout.session.completed') return 'created';
  return type === 'checkout.session.async_payment_succeeded' ? 'paid' : 'updated';
}

function sessionPayment(object: Session, { type, createdAt }: Head): PaymentOfEvent {
  const isFailed = type === 'checkout.session.async_payment_failed';
  const told = isFailed ? 'failed' : PAYMENT_STATUSES.get(object.payment_status ?? '');
  const status = needed(told, 'data.object.payment_status');
  return {
    // Its invoice tells of the same money.
    id: needed(object.invoice?.id ?? object.payment_intent?.id ?? object.id, 'data.object.id'),
    status,
    kind: 'purchase',
    amount: object.amount_total,
    currency: object.currency,
    product_id: object.metadata?.product_id,
    price_id: object.metadata?.price_id,
    units: object.metadata?.units,
    checkout_id: object.id,
    invoice_id: object.invoice?.id,
    paid_at: status === 'succeeded' ? createdAt : undefined,
    references: listOf(object.invoice && object.payment_intent?.id),
  };
}

function paidInvoiceFacts(object: Invoice, { type, createdAt }: Head): PaymentFacts {
  const paid = object.amount_paid ?? 0;
  const isToldOnce = type === 'invoice.paid'; // `invoice.payment_succeeded` comes beside it
  const [period, ...more_periods] = paidPeriods(object);
  return {
    rank: rankOf('paid'),
    ...invoiceParties(object),
    period,
    more_periods,
    payment: {
      ...invoicePaymentOf(object),
      status: 'succeeded',
      amount: object.amount_paid,
      paid_at: object.status_transitions?.paid_at ?? createdAt,
    },
    history: listOf<HistoryEntry>(isToldOnce && paid > 0 && subscriptionOf(object) ? 'payment_succeeded' : undefined),
  };
}

function failedInvoiceFacts(object: Invoice): PaymentFacts {
  return {
    rank: rankOf('updated'),
    ...invoiceParties(object),
    payment: { ...invoicePaymentOf(object), status: 'failed', amount: object.amount_due },
    history: listOf<HistoryEntry>(subscriptionOf(object) ? 'payment_failed' : undefined),
  };
}

/** Who an invoice is for, and of which subscription: what it says of a period is about that one. */
function invoiceParties(object: Invoice): Pick<PaymentFacts, 'customer' | 'owner' | 'subscription'> {
  const subscriptionId = subscriptionOf(object);
  return {
    subscription: subscriptionId ? { id: subscriptionId } : undefined,
    customer: customerOf(object.customer, { email: object.customer_email, name: object.customer_name }),
    owner: ownerOf(
      object.parent?.subscription_details?.metadata,
      object.subscription_details?.metadata,
      object.metadata,
    ),
  };
}

function subscriptionOf(object: Invoice): string | undefined {
  return object.parent?.subscription_details?.subscription?.id ?? object.subscription?.id;
}

/** The payment of an invoice, but for how it went. */
function invoicePaymentOf(object: Invoice): PaymentOfEvent {
  const id = needed(object.id, 'data.object.id');
  const subscriptionId = subscriptionOf(object);
  const service = subscriptionId ? onePerPrice(byStart(serviceLines(object))) : [];
  const changes = subscriptionId && service.length === 0 ? lastChanges(object) : [];
  const [first] = service;
  const paid = object.payments?.data.flatMap(({ payment }) => [payment?.payment_intent?.id, payment?.charge?.id]) ?? [];
  return {
    id,
    kind: subscriptionId ? 'subscription' : 'purchase',
    currency: object.currency,
    ...oneOf(onePerPrice(subscriptionId ? changes : (object.lines?.data ?? [])).map(boughtIn)),
    ...oneOf(service.map((each) => ({ ...boughtIn(each), ...servedIn(each) }))),
    changed_at: changes[0]?.period?.start,
    subscription_id: subscriptionId,
    invoice_id: id,
    ...(first && servedIn(first)),
    references: listOf(...paid, object.payment_intent?.id, object.charge?.id),
  };
}

function servedIn({ period }: Line) {
  return { period_start: period?.start, period_end: period?.end };
}

/**
 * The periods that an invoice pays for, the earliest first: what is billed in arrears has another than the plan has.
 * Which is our plan's the database knows. A trial's invoice is of nothing; one of prorations alone has no period.
 */
function paidPeriods(object: Invoice): PeriodFacts[] {
  if (!subscriptionOf(object)) return [];
  const lines = byStart(serviceLines(object));
  const starts = new Set(onePerPrice(lines).map(({ period }) => period?.start));
  // By the lines and not by what was paid: a discount of all of it is a paid period too.
  return [...starts]
    .map((start) => lines.filter(({ period }) => period?.start === start))
    .filter((group) => group.reduce((sum, each) => sum + (each.amount ?? 0), 0) > 0)
    .map((group) => {
      const [first] = group;
      const { start, end } = periodOf(first?.period?.start, first?.period?.end, 'data.object.lines.data[].period');
      const bought = onePerPrice(group).map((each) => ({ ...boughtIn(each), end: each.period?.end ?? end }));
      return { start, end, is_paid: true as const, ...present(oneOf(bought)) };
    });
}

/** The first line of each price: one of tiers has a line for each. */
function onePerPrice(lines: Line[]): Line[] {
  const nameOf = (line: Line) => `${boughtIn(line).product_id} ${boughtIn(line).price_id}`;
  return [...new Map(lines.toReversed().map((line) => [nameOf(line), line])).values()].toReversed();
}

/** The lines that are a period of the subscription itself, not a change within one. */
function serviceLines(object: Invoice): Line[] {
  const { data } = needed(object.lines, 'data.object.lines');
  return data.filter(({ parent, type, proration }) => {
    const details = parent?.subscription_item_details;
    return details ? !details.proration : type === 'subscription' && !proration;
  });
}

/** What a change within a period came to: of the prorations that cost something, those that begin last. */
function lastChanges(object: Invoice): Line[] {
  const charged = byStart(object.lines?.data.filter(({ amount }) => (amount ?? 0) > 0) ?? []);
  return charged.filter(({ period }) => period?.start === charged.at(-1)?.period?.start);
}

/** Lines by when they begin, those that do not tell last. */
function byStart(lines: Line[]): Line[] {
  const startOf = ({ period }: Line) => period?.start ?? '~'; // after every date
  return lines.toSorted((a, b) => (startOf(a) < startOf(b) ? -1 : Number(startOf(a) > startOf(b))));
}

function boughtIn({ pricing, price: before, quantity }: Line) {
  const details = pricing?.price_details;
  return {
    product_id: details?.product?.id ?? before?.product?.id,
    price_id: details?.price?.id ?? before?.id,
    units: quantity,
  };
}

/** Under which ids the money of an invoice goes; nothing where it was paid outside Stripe. */
function invoicePaymentFacts({ invoice: paid, payment }: InvoicePayment): PaymentFacts | null {
  const references = listOf(payment?.payment_intent?.id, payment?.charge?.id);
  if (references.length === 0) return null;
  return { rank: rankOf('paid'), payment: { id: needed(paid?.id, 'data.object.invoice'), references } };
}

function subscriptionFacts(object: Subscription, head: Head): PaymentFacts {
  const state = stateOf(object, head);
  return {
    rank: rankOf(head.type === 'customer.subscription.created' ? 'created' : 'updated', state.status),
    customer: customerOf(object.customer),
    owner: object.metadata,
    subscription: state,
    period: state.status === 'trialing' ? trialPeriod(state) : undefined,
    history: historyOf(state, head),
  };
}

function stateOf(object: Subscription, { type }: Head): SubscriptionFacts {
  const items = object.items?.data ?? [{}];
  const isEnding = object.cancel_at === undefined ? object.cancel_at_period_end : true;
  const status = type === 'customer.subscription.deleted' ? 'canceled' : statusOf(object, isEnding);
  return {
    id: needed(object.id, 'data.object.id'),
    status,
    ...oneOf(
      items.map((each) => ({
        product_id: each.price?.product?.id,
        price_id: each.price?.id,
        units: each.quantity,
        period_start: each.current_period_start ?? object.current_period_start,
        period_end: each.current_period_end ?? object.current_period_end,
      })),
    ),
    cancel_at_period_end: isEnding,
    canceled_at: object.canceled_at,
    started_at: object.start_date ?? object.created,
    ended_at: object.ended_at,
    trial_end: object.trial_end,
  };
}

function statusOf(object: Subscription, isEnding: boolean | undefined): SubscriptionStatus | undefined {
  const status = SUBSCRIPTION_STATUSES.get(object.status ?? '');
  return status === 'active' && isEnding ? 'scheduled_cancel' : status;
}

function trialPeriod(state: SubscriptionFacts): PeriodFacts | undefined {
  if (!state.period_start || !state.period_end) return undefined;
  const { start, end } = periodOf(state.period_start, state.period_end, 'data.object.items.data[].current_period_end');
  const { product_id, price_id, units, items } = state;
  return { start, end, is_trial: true, ...present({ product_id, price_id, units, items }) };
}

function periodOf(start: string | undefined, end: string | undefined, name: string) {
  const period = start && end && start < end ? { start, end } : undefined;
  return needed(period, name);
}

function historyOf(state: SubscriptionFacts, { type, changes }: Head): HistoryEntry[] {
  const entry = SUBSCRIPTION_EVENTS.get(type);
  const isTrial = type === 'customer.subscription.created' && state.status === 'trialing';
  const isNews = !changes || changes.includes('cancel_at_period_end') || changes.includes('cancel_at');
  const isScheduled = type === 'customer.subscription.updated' && state.cancel_at_period_end && isNews;
  return listOf(
    entry,
    isTrial ? 'trial_started' : undefined,
    isScheduled && state.status !== 'canceled' ? 'cancellation_scheduled' : undefined,
  );
}

/** The charge is the reversal's id: its `amount_refunded` is the sum of all its refunds. */
function refundFacts(object: Charge): PaymentFacts {
  const id = needed(object.id, 'data.object.id');
  return {
    rank: rankOf('updated'),
    customer: customerOf(object.customer),
    reversal: {
      id,
      kind: 'refund',
      reference: object.payment_intent?.id ?? id,
      references: listOf(object.payment_intent?.id, id, object.invoice?.id),
      amount: needed(object.amount_refunded, 'data.object.amount_refunded'),
      currency: object.currency,
      total: object.amount,
      status: 'succeeded',
    },
  };
}

/** That one of a charge's refunds came to nothing after all: of the sum that `charge.refunded` told, it is no part. */
function failedRefundFacts(object: Refund): PaymentFacts | null {
  if (object.status !== 'failed' && object.status !== 'canceled') return null;
  const id = needed(object.charge?.id, 'data.object.charge');
  return {
    rank: rankOf('updated'),
    reversal: {
      id,
      kind: 'refund',
      reference: object.payment_intent?.id ?? id,
      references: listOf(object.payment_intent?.id, id),
      failed_refund: needed(object.id, 'data.object.id'),
      failed_amount: needed(object.amount, 'data.object.amount'),
    },
  };
}

function disputeFacts(object: Dispute, { type }: Head): PaymentFacts {
  const status = disputeStatus(object.status ?? '');
  return {
    rank: rankOf(type === 'charge.dispute.created' ? 'created' : 'updated', status),
    reversal: {
      id: needed(object.id, 'data.object.id'),
      kind: 'dispute',
      reference: needed(object.payment_intent?.id ?? object.charge?.id, 'data.object.charge'),
      references: listOf(object.payment_intent?.id, object.charge?.id),
      amount: object.amount,
      currency: object.currency,
      status,
    },
  };
}

function disputeStatus(status: string): DisputeStatus {
  // Of one that ended with a refund, that takes the money back.
  if (['won', 'prevented', 'charge_refunded'].includes(status)) return 'won';
  if (status === 'lost') return 'lost';
  return status.startsWith('warning_') ? 'warning' : 'open';
}

/** A customer by the id or object that names it, and by what is told beside it. */
function customerOf(
  found: { id?: string; email?: string; name?: string } | undefined,
  told: { email?: string; name?: string } = {},
): PaymentFacts['customer'] {
  return present({ id: found?.id, email: told.email ?? found?.email, name: told.name ?? found?.name });
}
