/** A purchase and what became of it, told once: the events of either platform are built from it. */
import { createHash } from 'node:crypto';

export type Platform = 'creem' | 'stripe';
export type BillingPeriod = 'month' | 'quarter' | 'half_year' | 'year';

/** A stretch of time; ISO-8601 in UTC. */
export interface Period {
  start: string;
  end: string;
}

/** Everything an event may tell. Amounts are in minor units, instants ISO-8601 in UTC, ids those of the platform. */
export interface Story {
  customer: { id: string; email: string | null; name?: string };
  product: {
    id: string;
    /** Stripe's price; Creem has none. */
    price_id?: string | null;
    name: string;
    /** The price of one unit, without tax. */
    amount: number;
    /** ISO 4217, upper case. */
    currency: string;
    /** Null: bought once. */
    billing_period: BillingPeriod | null;
  };
  /** Default 1. */
  units?: number;
  /** As given to the checkout. Without it the payloads have none, as the platforms' own do now and then. */
  metadata?: Record<string, string>;
  /** `reference`: Stripe's client_reference_id; the metadata's user_id where absent. */
  checkout: { id: string; request_id?: string; reference?: string };
  /** Only of a plan. */
  subscription?: StorySubscription;
  /** Stripe: the invoice that a checkout made of a purchase. */
  invoice?: string;
  /** The latest payment, or the attempt at one. */
  payment?: StoryPayment;
  /** `amount`: on Stripe what of the charge was given back in all, on Creem what this refund gave back. */
  refund?: { id: string; amount: number; status?: string; reason?: string };
  dispute?: { id: string; amount: number; status?: string; reason?: string };
}

export interface StorySubscription {
  id: string;
  started_at: string;
  period: Period;
  /** The platform's word. Without it, that of the event's type. */
  status?: string;
  cancel_at_period_end?: boolean;
  cancel_at?: string;
  canceled_at?: string;
  ended_at?: string;
  /** On Stripe a subscription with a trial has it for life. */
  trial_end?: string;
  /** Stripe: what else it is for, in front of the product. */
  other_items?: { product_id: string; price_id: string }[];
}

export interface StoryPayment {
  /** Creem: tran_…. Stripe: in_… of a subscription, pi_… of a purchase. */
  id: string;
  /** What was paid or is due, with tax. */
  amount: number;
  /** The tax in it. Default 0. */
  tax?: number;
  paid_at: string;
  /** Stripe: a slow method whose money was not there when the checkout was completed. */
  is_pending?: boolean;
  /** Stripe's ids; made from `id` where absent. */
  intent_id?: string;
  charge_id?: string;
  /** Stripe's billing_reason. Default: subscription_create in the first period, else subscription_cycle. */
  reason?: string;
  /** Stripe: the invoice's lines, where they are not one for the product. */
  lines?: InvoiceLine[];
  /**
   * Whether the payload nests what it may only name: Creem's `last_transaction` (default true), the payments of
   * Stripe's invoice (default false: its webhooks do not expand).
   */
  is_nested?: boolean;
}

/** A line of a Stripe invoice. */
export interface InvoiceLine {
  amount: number;
  period: Period;
  is_proration?: boolean;
  product_id?: string;
  price_id?: string;
  quantity?: number;
}

/** An event's own facts. */
export interface EventFacts {
  id: string;
  occurred_at: string;
}

/** Twenty-four characters that always come of the same text: the tail of a made-up id. */
export function idTail(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** The id of something that belongs to another: `in_abc` and `pi` give `pi_abc`. */
export function siblingId(id: string, prefix: string): string {
  return `${prefix}_${id.replace(/^[a-z]+_/, '')}`;
}

const MONTHS: Record<BillingPeriod, number> = { month: 1, quarter: 3, half_year: 6, year: 12 };

/** How many months a billing period has. */
export function monthsOf(period: BillingPeriod): number {
  return MONTHS[period];
}

/**
 * The `index`th period (0: the first) of a subscription that began at `anchor`. A day that a month lacks is its last,
 * and the day of the anchor comes back after it, as the platforms count.
 */
export function periodOf(anchor: string, period: BillingPeriod, index = 0): Period {
  const months = monthsOf(period);
  return { start: addMonths(anchor, index * months), end: addMonths(anchor, (index + 1) * months) };
}

function addMonths(instant: string, months: number): string {
  const date = new Date(instant);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() + months);
  const lastDay = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  date.setUTCDate(Math.min(day, lastDay));
  return date.toISOString();
}

/** Adds days of 24 hours. */
export function addDays(instant: string, days: number): string {
  return new Date(Date.parse(instant) + days * 86_400_000).toISOString();
}
