/** The one event that both platforms' webhooks are read into; the database knows no other. */

/** Where payments are made: the enum `payment_platform`. */
export type PaymentPlatform = 'creem' | 'stripe';

/** An event as rpc `receive_payment_event` takes it, but for the raw body. */
export interface PaymentEvent {
  platform: PaymentPlatform;
  event_id: string;
  /** The platform's own name of it. */
  event_type: string;
  /** Null where the payload does not tell; it then has a problem. */
  occurred_at: string | null;
  /** Whether it is of real money; null where the payload does not tell. */
  mode: 'live' | 'test' | null;
  /** The account that it is about, where that is told: of Stripe's events, those of connected accounts. */
  account: string | null;
  /** What it says. Null where it is of a type that nothing is done with, or has a problem. */
  facts: PaymentFacts | null;
  /** Why an event of a known type cannot be read: what it lacks. */
  problem: string | null;
}

/** How a subscription stands, with the order in which states of the same second follow each other. */
const STATUS_RANKS = {
  inactive: 0,
  trialing: 1,
  active: 2,
  past_due: 3,
  unpaid: 4,
  paused: 5,
  scheduled_cancel: 6,
  expired: 7,
  canceled: 8,
} as const;

/** How a dispute stands, ordered likewise. */
const DISPUTE_RANKS = { warning: 0, open: 1, lost: 2, won: 3 } as const;

/** Kinds of events, in the order in which platforms send those of one moment. */
const KIND_RANKS = { created: 1, activated: 2, updated: 3, paid: 4 } as const;

export type SubscriptionStatus = keyof typeof STATUS_RANKS;
export type DisputeStatus = keyof typeof DISPUTE_RANKS;
export type EventKind = keyof typeof KIND_RANKS;
export type RefundStatus = 'succeeded' | 'pending' | 'failed';
export type PaymentStatus = 'pending' | 'succeeded' | 'failed';

/** Rows that an event adds to the table `subscription_history`. */
export type HistoryEntry =
  | 'subscription_created'
  | 'subscription_updated'
  | 'subscription_cancelled'
  | 'subscription_paused'
  | 'subscription_expired'
  | 'cancellation_scheduled'
  | 'payment_succeeded'
  | 'payment_failed'
  | 'payment_refunded'
  | 'dispute_opened'
  | 'dispute_closed'
  | 'trial_started'
  | 'trial_will_end';

/** What was bought. Creem has no prices apart from products. */
export interface Bought {
  product_id?: string;
  price_id?: string;
  units?: number;
  /** Of several items or lines, what each tells: which of them counts is for the database, which knows our products. */
  items?: object[];
}

/** A subscription as it stands after the event. */
export interface SubscriptionFacts extends Bought {
  id: string;
  status?: SubscriptionStatus;
  period_start?: string;
  period_end?: string;
  cancel_at_period_end?: boolean;
  canceled_at?: string;
  started_at?: string;
  ended_at?: string;
  trial_end?: string;
}

/** A period of the subscription that is paid or a trial. */
export interface PeriodFacts extends Bought {
  start: string;
  end: string;
  is_paid?: true;
  is_trial?: true;
}

/** A payment, made or failed. */
export interface PaymentOfEvent extends Bought {
  id: string;
  status?: PaymentStatus;
  kind?: 'purchase' | 'subscription';
  amount?: number;
  currency?: string;
  subscription_id?: string;
  invoice_id?: string;
  checkout_id?: string;
  period_start?: string;
  period_end?: string;
  paid_at?: string;
  /** Of a payment for a change within a period: when it began. The product and units are those changed to. */
  changed_at?: string;
  /** Other ids under which refunds and disputes may name it. */
  references?: string[];
}

/** Money that goes back, or may have to. A refund that failed after a sum with it was told has no amount of its own. */
export interface ReversalFacts {
  id: string;
  kind: 'refund' | 'dispute';
  /** The payment's id, or one of its references. */
  reference: string;
  references: string[];
  amount?: number;
  currency?: string;
  /** Amount of the whole charge. */
  total?: number;
  status?: RefundStatus | DisputeStatus;
  failed_refund?: string;
  failed_amount?: number;
}

/**
 * What an event says. Members that the payload does not tell are absent, never null. Dates are ISO-8601 in UTC, money is
 * in minor units, currencies are upper case.
 */
export interface PaymentFacts {
  rank: number;
  customer?: { id?: string; email?: string; name?: string };
  /** `proof`: that function billing wrote it. `by`: the reference of a payment link, which anyone may write. */
  owner?: { workspace_id?: string; user_id?: string; proof?: string; by?: 'reference' };
  subscription?: SubscriptionFacts;
  period?: PeriodFacts;
  more_periods?: PeriodFacts[];
  payment?: PaymentOfEvent;
  reversal?: ReversalFacts;
  history?: HistoryEntry[];
}

/** The order of an event among those of the same second, by its kind and by the state it tells, if any. */
export function rankOf(kind: EventKind, status?: SubscriptionStatus | DisputeStatus): number {
  const ranks: Record<string, number> = { ...STATUS_RANKS, ...DISPUTE_RANKS };
  return (status === undefined ? 0 : (ranks[status] ?? 0)) * 10 + KIND_RANKS[kind];
}

/** The members of an object that are there, empty lists left out as well; undefined when none is. */
export function present<T extends object>(members: T): T | undefined {
  const entries = Object.entries(members).filter(([, value]) => !isAbsent(value));
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as T);
}

/** The first of an object's metadata that names an owner. */
export function ownerOf(...metadata: (PaymentFacts['owner'] | undefined)[]): PaymentFacts['owner'] {
  return metadata.map((each) => each && present(each)).find((each) => each !== undefined);
}

/** What the first of several things tells, and beside it what each of them does, where there is more than one. */
export function oneOf<T extends object>(things: T[]): Partial<T> & Pick<Bought, 'items'> {
  const items: object[] = things.map((each) => present(each)).filter((each) => each !== undefined);
  return Object.assign({ ...things[0] } as Partial<T>, items.length > 1 ? { items } : {});
}

/** A list without what is absent and without repetitions. */
export function listOf<T>(...items: (T | undefined)[]): T[] {
  return [...new Set(items.filter((item) => item !== undefined))];
}

/** Something that an event of its type must tell and does not. */
class Problem extends Error {}

/** Gives the value that facts cannot do without. Where it is absent, `readFacts` answers with the problem. */
export function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Problem(`${name} is missing or not valid`);
  return value;
}

/**
 * Runs a reader of facts. Gives its facts without absent members (null: nothing is done with the event), or what `needed`
 * missed.
 */
export function readFacts(read: () => PaymentFacts | null): Pick<PaymentEvent, 'facts' | 'problem'> {
  try {
    const facts = read();
    return { facts: facts && withoutAbsent(facts), problem: null };
  } catch (thrown) {
    if (thrown instanceof Problem) return { facts: null, problem: thrown.message };
    throw thrown;
  }
}

function withoutAbsent(facts: PaymentFacts): PaymentFacts {
  const groups = Object.entries(facts).map(([name, value]) => [name, isGroup(value) ? present(value) : value]);
  return Object.fromEntries(groups.filter(([, value]) => !isAbsent(value)));
}

function isAbsent(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 0);
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
