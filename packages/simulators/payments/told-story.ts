/**
 * The story that `npm run pay` tells of a person. All ids come of the person, the product and the period, and nothing is
 * kept between commands: whoever pays, refunds and cancels in three commands speaks of the same payment.
 */
import { CREEM_EVENT_TYPES, type CreemEventType, creemEvent } from './creem-events.ts';
import {
  addDays,
  idTail,
  type Period,
  type Platform,
  periodOf,
  type Story,
  type StoryPayment,
  type StorySubscription,
} from './story.ts';
import { STRIPE_EVENT_TYPES, type StripeEventType, stripeEvent } from './stripe-events.ts';

/** What the command was told, and what it found of it in the database. */
export interface Telling {
  platform: Platform;
  type: string;
  /** `created_at` is when the subscription's first period begins. */
  user: { id: string; email: string | null; created_at: string };
  /** The team that it is for; absent: the user's own workspace. */
  workspace_id?: string;
  product: Story['product'];
  trialDays: number;
  event_id: string;
  /** When it happened; the period is the one around it. */
  at: string;
  subscription_id?: string;
  /** A payment's id, or any word that tells one purchase of a pack from another. */
  payment?: string;
  /** Of the payment, the refund or the dispute, whichever the event is about. */
  amount?: number;
  /** The status of the subscription, or of the dispute, in the platform's words. */
  status?: string;
  cancel_at_period_end?: boolean;
  /** The event names nobody of ours: the payer is known by the address alone. */
  is_unmatched?: boolean;
}

/** The event types of a platform. */
export function eventTypes(platform: Platform): readonly string[] {
  return platform === 'creem' ? CREEM_EVENT_TYPES : STRIPE_EVENT_TYPES;
}

/** Whether an event is about a subscription, whatever was bought. */
export function isAboutSubscription(type: string): boolean {
  return /^(customer\.)?subscription\./.test(type);
}

/** Builds the event. Throws an Error for a type that the platform does not have. */
export function tellEvent(telling: Telling): object {
  const { platform, type, event_id: id, at: occurred_at } = telling;
  if (!eventTypes(platform).includes(type)) throw new Error(`${platform} has no event ${type}`);
  const story = tellStory(telling);
  return platform === 'creem'
    ? creemEvent(type as CreemEventType, { id, occurred_at }, story)
    : stripeEvent(type as StripeEventType, { id, occurred_at }, story);
}

/** Which payment the event makes; undefined for an event that makes none. */
export function paymentMadeBy(telling: Telling): string | undefined {
  return /^(checkout|invoice|subscription\.paid$)/.test(telling.type) ? tellStory(telling).payment?.id : undefined;
}

function tellStory(telling: Telling): Story {
  const { platform, user, product, at } = telling;
  const workspace_id = telling.workspace_id ?? user.id;
  // Two people who pay for a team are two customers of the platform.
  const seed = [platform, workspace_id, ...(workspace_id === user.id ? [] : [user.id])].join(' ');
  const metadata = { workspace_id, user_id: user.id, product_id: product.id, units: '1' };
  const subscription = product.billing_period === null ? undefined : tellSubscription(telling, seed);
  const payment = tellPayment(telling, seed, subscription?.period);
  const of = `${seed} ${payment.id}`;
  const amount = telling.amount ?? payment.amount;
  return {
    customer: { id: `${platform === 'creem' ? 'cust' : 'cus'}_${idTail(seed)}`, email: user.email },
    product,
    metadata: telling.is_unmatched
      ? undefined
      : { ...metadata, ...(product.price_id ? { price_id: product.price_id } : {}) },
    checkout: { id: `${platform === 'creem' ? 'ch' : 'cs_test'}_${idTail(subscription ? seed : of)}` },
    subscription,
    payment,
    // Each command that names another amount or time is a refund of its own.
    refund: { id: `${platform === 'creem' ? 'ref' : 're'}_${idTail(`${of} ${amount} ${at}`)}`, amount },
    dispute: { id: `${platform === 'creem' ? 'disp' : 'du'}_${idTail(of)}`, amount, status: telling.status },
  };
}

function tellSubscription(telling: Telling, seed: string): StorySubscription {
  const { type, at, status, cancel_at_period_end } = telling;
  const isTrial = status === 'trialing' || /\.(trialing|trial_will_end)$/.test(type);
  const isEnded = /\.(canceled|deleted)$/.test(type);
  const isEnding = isEnded || cancel_at_period_end || type.endsWith('.scheduled_cancel');
  const period = isTrial ? trialOf(telling) : paidPeriod(telling);
  return {
    id: telling.subscription_id ?? `sub_${idTail(seed)}`,
    started_at: telling.user.created_at,
    period,
    status: status ?? (isTrial ? 'trialing' : undefined),
    cancel_at_period_end,
    canceled_at: isEnding ? at : undefined,
    ended_at: isEnded ? at : undefined,
    trial_end: isTrial ? period.end : undefined,
  };
}

function trialOf({ user, trialDays }: Telling): Period {
  return { start: user.created_at, end: addDays(user.created_at, trialDays || 7) };
}

/** The period that `at` is in; the first where it is before that. */
function paidPeriod({ user, product, at }: Telling): Period {
  const billing = product.billing_period ?? 'month';
  let index = 0;
  while (Date.parse(periodOf(user.created_at, billing, index).end) <= Date.parse(at)) index += 1;
  return periodOf(user.created_at, billing, index);
}

function tellPayment(telling: Telling, seed: string, period: Period | undefined): StoryPayment {
  const { platform, type, product, amount, payment, at } = telling;
  const isOfPayment = !/^(refund|charge|dispute)\b/.test(type);
  const tail = idTail([seed, product.id, period?.start ?? payment ?? ''].join(' '));
  const isInvoice = period !== undefined || type.startsWith('invoice');
  const prefix = platform === 'creem' ? 'tran' : isInvoice ? 'in' : 'pi';
  return {
    id: payment?.startsWith(`${prefix}_`) ? payment : `${prefix}_${tail}`,
    amount: (isOfPayment ? amount : undefined) ?? product.amount,
    paid_at: isOfPayment ? at : (period?.start ?? at),
    is_pending: type.endsWith('_payment_failed'),
    // A command for the invoice and one for its refund are then enough; Stripe itself needs `invoice_payment.paid` too.
    is_nested: true,
  };
}
