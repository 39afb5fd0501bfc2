/**
 * Stripe's webhook events, built from a story, in the shape of the API version that `stripe` 23.1.0 speaks: periods on
 * the subscription's items, an invoice's subscription under `parent`, nothing expanded. Times are seconds.
 */
import {
  type BillingPeriod,
  type EventFacts,
  type InvoiceLine,
  monthsOf,
  type Story,
  type StoryPayment,
  siblingId,
} from './story.ts';

/** The API version whose shapes these are. */
export const STRIPE_API_VERSION = '2026-10-28.endive';

const SESSION_TYPES = [
  'checkout.session.completed',
  'checkout.session.async_payment_succeeded',
  'checkout.session.async_payment_failed',
  'checkout.session.expired',
] as const;
const INVOICE_TYPES = ['invoice.paid', 'invoice.payment_succeeded', 'invoice.payment_failed'] as const;
const SUBSCRIPTION_TYPES = [
  'customer.subscription.created',
  'customer.subscription.updated',
  'customer.subscription.deleted',
  'customer.subscription.paused',
  'customer.subscription.resumed',
  'customer.subscription.pending_update_applied',
  'customer.subscription.pending_update_expired',
  'customer.subscription.trial_will_end',
] as const;
const REFUND_TYPES = ['refund.created', 'refund.updated', 'refund.failed', 'charge.refund.updated'] as const;
const DISPUTE_TYPES = [
  'charge.dispute.created',
  'charge.dispute.updated',
  'charge.dispute.closed',
  'charge.dispute.funds_withdrawn',
  'charge.dispute.funds_reinstated',
] as const;

/** The types that bear on payments. */
export const STRIPE_EVENT_TYPES = [
  ...SESSION_TYPES,
  ...INVOICE_TYPES,
  'invoice_payment.paid',
  ...SUBSCRIPTION_TYPES,
  'charge.refunded',
  ...REFUND_TYPES,
  ...DISPUTE_TYPES,
] as const;
export type StripeEventType = (typeof STRIPE_EVENT_TYPES)[number];

/** An event as Stripe sends it. */
export interface StripeEvent {
  id: string;
  object: 'event';
  api_version: string;
  /** Seconds. */
  created: number;
  livemode: boolean;
  pending_webhooks: number;
  request: { id: string | null; idempotency_key: string | null };
  type: string;
  data: { object: Record<string, unknown>; previous_attributes?: Record<string, unknown> };
}

/** Builds an event. Throws an Error where the story lacks what such an event tells of. */
export function stripeEvent(
  type: StripeEventType,
  { id, occurred_at }: EventFacts,
  story: Story,
  previous_attributes?: Record<string, unknown>,
): StripeEvent {
  const object = objectOf(type, story, occurred_at);
  return {
    id,
    object: 'event',
    api_version: STRIPE_API_VERSION,
    created: seconds(occurred_at),
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
    data: { object, ...(previous_attributes ? { previous_attributes } : {}) },
  };
}

function objectOf(type: StripeEventType, story: Story, at: string): Record<string, unknown> {
  if (type.startsWith('checkout.session.')) return stripeSession(type, story, at);
  if (type === 'invoice_payment.paid') return stripeInvoicePayment(story);
  if (type.startsWith('invoice.')) return stripeInvoice(story, type !== 'invoice.payment_failed');
  if (type === 'charge.refunded') return charge(story);
  if (/^(charge\.)?refund\./.test(type))
    return stripeRefund(story, at, type === 'refund.created' ? 'succeeded' : 'failed');
  if (type.startsWith('charge.dispute.')) return dispute(type, story, at);
  return stripeSubscription(story, statusOf(type, story), type.endsWith('.deleted') ? at : undefined);
}

/** What a subscription's `status` says. */
function statusOf(type: string, { subscription }: Story): string {
  if (type.endsWith('.deleted')) return 'canceled';
  if (subscription?.status) return subscription.status;
  if (type.endsWith('.paused')) return 'paused';
  return type.endsWith('.trial_will_end') ? 'trialing' : 'active';
}

/** A checkout session as the event of `type` shows it. */
export function stripeSession(type: string, story: Story, at: string): Record<string, unknown> {
  const { checkout, customer, product, subscription, payment, metadata = {}, units = 1 } = story;
  const isPlan = product.billing_period !== null;
  return {
    id: checkout.id,
    object: 'checkout.session',
    livemode: false,
    mode: isPlan ? 'subscription' : 'payment',
    status: type.endsWith('.expired') ? 'expired' : 'complete',
    payment_status: paymentStatus(type, story),
    client_reference_id: checkout.reference ?? metadata.user_id ?? null,
    customer: customer.id,
    customer_email: null,
    customer_details: {
      email: customer.email,
      name: customer.name ?? null,
      phone: null,
      tax_exempt: 'none',
      tax_ids: [],
    },
    subscription: subscription?.id ?? null,
    payment_intent: isPlan || !payment ? null : payment.id,
    invoice: isPlan && payment ? payment.id : (story.invoice ?? null),
    amount_subtotal: product.amount * units,
    amount_total: payment?.amount ?? 0,
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: payment?.tax ?? 0 },
    currency: product.currency.toLowerCase(),
    metadata,
    created: seconds(at) - 100,
    expires_at: seconds(at) + 86_300,
    url: null,
  };
}

/** What a session sells. */
export function stripeLineItem(story: Story): Record<string, unknown> {
  const { product, checkout, units = 1 } = story;
  const amount = product.amount * units;
  const id = siblingId(checkout.id, 'li');
  return { id, object: 'item', description: product.name, quantity: units, amount_total: amount, price: price(story) };
}

function paymentStatus(type: string, { payment }: Story): string {
  if (type.endsWith('.async_payment_failed') || type.endsWith('.expired')) return 'unpaid';
  if (type.endsWith('.completed') && payment?.is_pending) return 'unpaid';
  return payment && payment.amount > 0 ? 'paid' : 'no_payment_required';
}

/** A subscription as its events and the API show it. `endedAt` is for one that has just ended. */
export function stripeSubscription(story: Story, status: string, endedAt?: string): Record<string, unknown> {
  const { customer, payment, metadata = {}, product } = story;
  const subscription = requireMember(story.subscription, 'subscription');
  const { id, cancel_at_period_end = false, started_at, period } = subscription;
  const canceledAt = subscription.canceled_at ?? endedAt;
  return {
    id,
    object: 'subscription',
    livemode: false,
    status,
    customer: customer.id,
    collection_method: 'charge_automatically',
    currency: product.currency.toLowerCase(),
    created: seconds(started_at),
    start_date: seconds(started_at),
    billing_cycle_anchor: seconds(started_at),
    cancel_at_period_end,
    // Stripe fills in the date for the flag as well.
    cancel_at: secondsOrNull(subscription.cancel_at ?? (cancel_at_period_end ? period.end : undefined)),
    canceled_at: secondsOrNull(canceledAt),
    ended_at: secondsOrNull(subscription.ended_at ?? endedAt),
    trial_start: subscription.trial_end ? seconds(started_at) : null,
    trial_end: secondsOrNull(subscription.trial_end),
    latest_invoice: payment?.id ?? null,
    items: {
      object: 'list',
      has_more: false,
      url: `/v1/subscription_items?subscription=${id}`,
      data: [...(subscription.other_items ?? []).map((other) => otherItem(story, id, other)), item(story, id)],
    },
    metadata,
  };
}

function item(story: Story, subscription: string): Record<string, unknown> {
  const { period } = requireMember(story.subscription, 'subscription');
  return {
    id: siblingId(subscription, 'si'),
    object: 'subscription_item',
    subscription,
    quantity: story.units ?? 1,
    created: seconds(requireMember(story.subscription, 'subscription').started_at),
    current_period_start: seconds(period.start),
    current_period_end: seconds(period.end),
    price: price(story),
    metadata: {},
  };
}

function otherItem(story: Story, subscription: string, other: { product_id: string; price_id: string }) {
  const { price: plan, quantity: _, ...whole } = item(story, subscription);
  const id = siblingId(subscription, `si_${other.price_id}`);
  return { ...whole, id, price: { ...(plan as object), id: other.price_id, product: other.product_id } };
}

function price({ product }: Story): Record<string, unknown> {
  const { id, amount, currency, billing_period } = product;
  return {
    id: priceId(product),
    object: 'price',
    active: true,
    livemode: false,
    product: id,
    unit_amount: amount,
    currency: currency.toLowerCase(),
    type: billing_period ? 'recurring' : 'one_time',
    recurring: billing_period ? recurring(billing_period) : null,
    metadata: {},
  };
}

function recurring(period: BillingPeriod) {
  const months = monthsOf(period);
  return months === 12 ? { interval: 'year', interval_count: 1 } : { interval: 'month', interval_count: months };
}

/** An invoice as its events show it, paid or open after a failed attempt. */
export function stripeInvoice(story: Story, isPaid: boolean): Record<string, unknown> {
  const { customer, product, subscription, metadata = {} } = story;
  const payment = requireMember(story.payment, 'payment');
  const lines = payment.lines ?? [defaultLine(story)];
  const subtotal = lines.reduce((sum, line) => sum + line.amount, 0);
  return {
    id: payment.id,
    object: 'invoice',
    livemode: false,
    status: isPaid ? 'paid' : 'open',
    billing_reason: payment.reason ?? defaultReason(story),
    customer: customer.id,
    customer_email: customer.email,
    customer_name: customer.name ?? null,
    currency: product.currency.toLowerCase(),
    subtotal,
    total: payment.amount,
    total_taxes: payment.tax ? [{ amount: payment.tax, tax_behavior: 'exclusive', type: 'tax_rate_details' }] : [],
    amount_due: payment.amount,
    amount_paid: isPaid ? payment.amount : 0,
    amount_remaining: isPaid ? 0 : payment.amount,
    attempt_count: 1,
    attempted: true,
    next_payment_attempt: isPaid ? null : seconds(payment.paid_at) + 3 * 86_400,
    created: seconds(payment.paid_at),
    // Not the time that is paid for: the lines tell that.
    period_start: seconds(payment.paid_at),
    period_end: seconds(payment.paid_at),
    status_transitions: { finalized_at: seconds(payment.paid_at), paid_at: isPaid ? seconds(payment.paid_at) : null },
    parent: subscription
      ? {
          type: 'subscription_details',
          quote_details: null,
          subscription_details: { subscription: subscription.id, metadata },
        }
      : null,
    lines: {
      object: 'list',
      has_more: false,
      url: `/v1/invoices/${payment.id}/lines`,
      data: invoiceLines(story, lines),
    },
    ...(payment.is_nested
      ? { payments: { object: 'list', has_more: false, data: [stripeInvoicePayment(story)] } }
      : {}),
    // A subscription's is under `parent`.
    metadata: subscription ? {} : metadata,
  };
}

function defaultReason({ subscription }: Story): string {
  if (!subscription) return 'manual';
  return subscription.period.start === subscription.started_at ? 'subscription_create' : 'subscription_cycle';
}

/** One line for the product; a trial's costs nothing. */
function defaultLine({ product, subscription, payment, units = 1 }: Story): InvoiceLine {
  const at = payment?.paid_at ?? '';
  const amount = subscription?.status === 'trialing' ? 0 : product.amount * units;
  return { amount, period: subscription?.period ?? { start: at, end: at } };
}

function invoiceLines(story: Story, lines: InvoiceLine[]): Record<string, unknown>[] {
  const { product, subscription, metadata = {}, units = 1 } = story;
  const invoice = requireMember(story.payment, 'payment').id;
  return lines.map((line, index) => ({
    id: `${siblingId(invoice, 'il')}${index}`,
    object: 'line_item',
    livemode: false,
    invoice,
    amount: line.amount,
    subtotal: line.amount,
    currency: product.currency.toLowerCase(),
    description: product.name,
    discount_amounts: [],
    quantity: line.quantity ?? units,
    period: { start: seconds(line.period.start), end: seconds(line.period.end) },
    pricing: {
      type: 'price_details',
      price_details: { price: line.price_id ?? priceId(product), product: line.product_id ?? product.id },
      unit_amount_decimal: String(product.amount),
    },
    parent: subscription
      ? {
          type: 'subscription_item_details',
          invoice_item_details: null,
          subscription_item_details: {
            subscription: subscription.id,
            subscription_item: siblingId(subscription.id, 'si'),
            proration: line.is_proration ?? false,
            invoice_item: line.is_proration ? `${siblingId(invoice, 'ii')}${index}` : null,
            proration_details: null,
          },
        }
      : null,
    metadata: subscription ? metadata : {},
  }));
}

/** Which payment intent paid an invoice. */
export function stripeInvoicePayment(story: Story): Record<string, unknown> {
  const payment = requireMember(story.payment, 'payment');
  return {
    id: siblingId(payment.id, 'inpay'),
    object: 'invoice_payment',
    livemode: false,
    invoice: payment.id,
    amount_paid: payment.amount,
    amount_requested: payment.amount,
    currency: story.product.currency.toLowerCase(),
    is_default: true,
    status: 'paid',
    payment: { type: 'payment_intent', payment_intent: intentId(payment) },
    status_transitions: { canceled_at: null, paid_at: seconds(payment.paid_at) },
    created: seconds(payment.paid_at),
  };
}

function charge(story: Story): Record<string, unknown> {
  const { customer, product, metadata = {} } = story;
  const payment = requireMember(story.payment, 'payment');
  const { amount: amount_refunded } = requireMember(story.refund, 'refund');
  return {
    id: chargeId(payment),
    object: 'charge',
    livemode: false,
    amount: payment.amount,
    amount_captured: payment.amount,
    amount_refunded,
    refunded: amount_refunded >= payment.amount,
    captured: true,
    paid: true,
    disputed: false,
    status: 'succeeded',
    currency: product.currency.toLowerCase(),
    customer: customer.id,
    billing_details: { email: customer.email, name: customer.name ?? null },
    payment_intent: intentId(payment),
    created: seconds(payment.paid_at),
    // A subscription's metadata does not reach the charges of its invoices.
    metadata: story.subscription ? {} : metadata,
  };
}

/** A refund as the API and its events show it. */
export function stripeRefund(story: Story, at: string, usual = 'succeeded'): Record<string, unknown> {
  const payment = requireMember(story.payment, 'payment');
  const { id, amount, status = usual, reason = 'requested_by_customer' } = requireMember(story.refund, 'refund');
  return {
    id,
    object: 'refund',
    amount,
    charge: chargeId(payment),
    payment_intent: intentId(payment),
    currency: story.product.currency.toLowerCase(),
    reason,
    status,
    created: seconds(at),
    metadata: {},
  };
}

const DISPUTE_STATUS: Record<string, string> = { closed: 'lost', funds_reinstated: 'won' };

function dispute(type: string, story: Story, at: string): Record<string, unknown> {
  const payment = requireMember(story.payment, 'payment');
  const { id, amount, status, reason = 'fraudulent' } = requireMember(story.dispute, 'dispute');
  return {
    id,
    object: 'dispute',
    livemode: false,
    amount,
    currency: story.product.currency.toLowerCase(),
    charge: chargeId(payment),
    payment_intent: intentId(payment),
    reason,
    status: status ?? DISPUTE_STATUS[type.split('.').at(-1) ?? ''] ?? 'needs_response',
    is_charge_refundable: false,
    balance_transactions: [],
    evidence_details: { due_by: seconds(at) + 7 * 86_400, has_evidence: false, past_due: false, submission_count: 0 },
    created: seconds(at),
    metadata: {},
  };
}

function intentId(payment: StoryPayment): string {
  return payment.intent_id ?? siblingId(payment.id, 'pi');
}

function chargeId(payment: StoryPayment): string {
  return payment.charge_id ?? siblingId(payment.id, 'ch');
}

function priceId(product: Story['product']): string {
  return product.price_id ?? siblingId(product.id, 'price');
}

function seconds(instant: string): number {
  return Math.floor(Date.parse(instant) / 1000);
}

function secondsOrNull(instant: string | undefined): number | null {
  return instant === undefined ? null : seconds(instant);
}

function requireMember<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the story has no ${name}`);
  return value;
}
