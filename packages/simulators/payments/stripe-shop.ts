/** How Stripe's sessions and subscriptions move, and which events it sends of that. */

import type { CatalogueProduct } from './catalogue.ts';
import { type Checkout, type Shop, type Subscription, shareLeft, storyProduct } from './shop.ts';
import { addDays, type InvoiceLine, type Period, periodOf, type Story, type StorySubscription } from './story.ts';
import { type StripeEventType, stripeEvent } from './stripe-events.ts';

/** What an update of a subscription asks for; the price is looked up before. */
export interface SubscriptionChange {
  cancel_at_period_end?: boolean;
  /** Null takes the date away. */
  cancel_at?: string | null;
  product?: CatalogueProduct;
  units?: number;
  isInvoicedNow?: boolean;
}

/** The events of an invoice that was paid by card. */
const INVOICE_PAID: StripeEventType[] = ['invoice.paid', 'invoice.payment_succeeded', 'invoice_payment.paid'];

/** Pays a session: its story becomes that of a purchase, or of a new subscription. */
export async function payStripeSession(shop: Shop, checkout: Checkout): Promise<void> {
  const at = shop.now();
  const { story, trialDays, innerMetadata } = checkout;
  const { product, units = 1 } = story;
  checkout.isPaid = true;
  if (product.billing_period === null) {
    checkout.story = { ...story, payment: { id: shop.newId('pi'), amount: product.amount * units, paid_at: at } };
    shop.recordPayment('stripe', { ...checkout.story, metadata: innerMetadata });
    await shop.tell('stripe', [event(shop, 'checkout.session.completed', checkout.story, at)]);
    return;
  }
  // Stripe keeps the card that a subscription is paid with.
  shop.cards.set(story.customer.id, ['pm_card_visa', ...(shop.cards.get(story.customer.id) ?? [])]);
  const isTrial = trialDays > 0;
  const trialEnd = isTrial ? addDays(at, trialDays) : undefined;
  const period = trialEnd ? { start: at, end: trialEnd } : periodOf(at, product.billing_period);
  const status = isTrial ? 'trialing' : 'active';
  const subscription = { id: shop.newId('sub'), started_at: at, period, status, trial_end: trialEnd };
  // A trial begins with an invoice of nothing.
  const payment = { id: shop.newId('in'), amount: isTrial ? 0 : product.amount * units, paid_at: at };
  checkout.story = { ...story, subscription, payment };
  const inner: Story = { ...checkout.story, metadata: innerMetadata };
  shop.subscriptions.set(subscription.id, { platform: 'stripe', story: inner, status, changedAt: at });
  shop.recordPayment('stripe', inner);
  await shop.tell('stripe', [
    event(shop, 'customer.subscription.created', inner, at),
    event(shop, 'checkout.session.completed', checkout.story, at),
    ...(isTrial ? INVOICE_PAID.slice(0, 2) : INVOICE_PAID).map((type) => event(shop, type, inner, at)),
  ]);
}

/** Tells of an invoice of no subscription that was paid. */
export async function payStripeInvoice(shop: Shop, story: Story): Promise<void> {
  const at = shop.now();
  shop.recordPayment('stripe', story);
  await shop.tell(
    'stripe',
    INVOICE_PAID.map((type) => event(shop, type, story, at)),
  );
}

/** Tells of an invoice whose card was declined. */
export async function failStripeInvoice(shop: Shop, story: Story): Promise<void> {
  await shop.tell('stripe', [event(shop, 'invoice.payment_failed', story, shop.now())]);
}

/** Ends a subscription now. */
export async function deleteStripe(shop: Shop, found: Subscription): Promise<void> {
  const at = await shop.timeOfChange(found);
  found.status = 'canceled';
  found.story = withSubscription(found.story, { status: 'canceled', canceled_at: at, ended_at: at });
  await shop.tell('stripe', [event(shop, 'customer.subscription.deleted', found.story, at)]);
}

/** Updates a subscription: its end, or its price and quantity. */
export async function updateStripe(shop: Shop, found: Subscription, change: SubscriptionChange): Promise<void> {
  const at = await shop.timeOfChange(found);
  const { cancel_at_period_end, cancel_at } = change;
  if (cancel_at_period_end !== undefined) {
    const canceled_at = cancel_at_period_end ? at : undefined;
    found.story = withSubscription(found.story, { cancel_at_period_end, cancel_at: undefined, canceled_at });
  }
  if (cancel_at !== undefined) {
    const canceled_at = cancel_at === null ? undefined : at;
    found.story = withSubscription(found.story, { cancel_at: cancel_at ?? undefined, canceled_at });
  }
  const isInvoiced = change.product !== undefined && changePrice(shop, found, change.product, change, at);
  await shop.tell('stripe', [
    event(shop, 'customer.subscription.updated', found.story, at),
    ...(isInvoiced ? INVOICE_PAID : []).map((type) => event(shop, type, found.story, at)),
  ]);
}

/**
 * Moves to another price and says whether that makes an invoice. With the same interval the period goes on and both of
 * its parts are prorated; with another one a new period begins now and is invoiced in any case.
 */
function changePrice(
  shop: Shop,
  found: Subscription,
  wanted: CatalogueProduct,
  { units, isInvoicedNow = false }: SubscriptionChange,
  at: string,
): boolean {
  const { story } = found;
  if (!story.subscription || !wanted.billing_period) return false;
  const before = story.subscription.period;
  const product = storyProduct(wanted);
  const isSameInterval = product.billing_period === story.product.billing_period;
  const period = isSameInterval ? before : periodOf(at, wanted.billing_period);
  const changed = { ...story, product, units: units ?? story.units };
  found.story = withSubscription(changed, { period });
  if (found.status === 'trialing' || (isSameInterval && !isInvoicedNow)) return false;
  const lines = prorations(story, changed, before, period, isSameInterval, at);
  const total = lines.reduce((sum, { amount }) => sum + amount, 0);
  // What is below nothing stays as a balance for later invoices.
  const payment = {
    id: shop.newId('in'),
    amount: Math.max(0, total),
    paid_at: at,
    reason: 'subscription_update',
    lines,
  };
  found.story = { ...found.story, payment };
  shop.recordPayment('stripe', found.story);
  return true;
}

/** The unused time of the old price comes off; the new price is for the rest of the period, or for a whole new one. */
function prorations(
  old: Story,
  changed: Story,
  before: Period,
  period: Period,
  isRest: boolean,
  at: string,
): InvoiceLine[] {
  const left = shareLeft(before, at);
  const priceOf = ({ product, units = 1 }: Story): number => product.amount * units;
  const unused: InvoiceLine = {
    amount: -Math.round(priceOf(old) * left),
    period: { start: at, end: before.end },
    is_proration: true,
    product_id: old.product.id,
    price_id: old.product.price_id ?? undefined,
    quantity: old.units,
  };
  const next: InvoiceLine = isRest
    ? { amount: Math.round(priceOf(changed) * left), period: { start: at, end: before.end }, is_proration: true }
    : { amount: priceOf(changed), period };
  return [unused, next];
}

/** Gives back a part of a payment, or what is left of it. Gives the story with the sum of its refunds. */
export async function refundStripe(shop: Shop, story: Story, amount: number | undefined): Promise<Story> {
  const at = shop.now();
  const paid = story.payment?.amount ?? 0;
  const before = story.refund?.amount ?? 0;
  const id = shop.newId('re');
  const part = amount ?? paid - before;
  const refunded: Story = { ...story, refund: { id, amount: before + part } };
  shop.recordPayment('stripe', refunded);
  const single: Story = { ...story, refund: { id, amount: part } };
  await shop.tell('stripe', [event(shop, 'charge.refunded', refunded, at), event(shop, 'refund.created', single, at)]);
  return single;
}

function withSubscription(story: Story, change: Partial<StorySubscription>): Story {
  return story.subscription ? { ...story, subscription: { ...story.subscription, ...change } } : story;
}

function event(shop: Shop, type: StripeEventType, story: Story, occurred_at: string): object {
  return stripeEvent(type, { id: shop.newId('evt'), occurred_at }, story);
}
