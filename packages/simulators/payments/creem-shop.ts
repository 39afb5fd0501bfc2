/** How Creem's checkouts and subscriptions move, and which events it sends of that. */

import type { CatalogueProduct } from './catalogue.ts';
import { type CreemEventType, creemEvent } from './creem-events.ts';
import { type Checkout, type Shop, type Subscription, shareLeft, storyProduct } from './shop.ts';
import { addDays, periodOf, type Story, type StorySubscription } from './story.ts';

/** Pays a checkout: its story becomes that of a purchase, or of a new subscription. */
export async function payCreemCheckout(shop: Shop, checkout: Checkout): Promise<void> {
  const at = shop.now();
  const { story, trialDays } = checkout;
  const { product, units = 1 } = story;
  const payment = { id: shop.newId('tran'), amount: product.amount * units, paid_at: at };
  checkout.isPaid = true;
  if (product.billing_period === null) {
    checkout.story = { ...story, payment };
    shop.recordPayment('creem', checkout.story);
    await tell(shop, ['checkout.completed'], checkout.story, at);
    return;
  }
  const period = trialDays > 0 ? { start: at, end: addDays(at, trialDays) } : periodOf(at, product.billing_period);
  const subscription: StorySubscription = { id: shop.newId('sub'), started_at: at, period };
  checkout.story = { ...story, subscription, payment: trialDays > 0 ? undefined : payment };
  const status = trialDays > 0 ? 'trialing' : 'active';
  shop.subscriptions.set(subscription.id, { platform: 'creem', story: checkout.story, status, changedAt: at });
  shop.recordPayment('creem', checkout.story);
  const last: CreemEventType = trialDays > 0 ? 'subscription.trialing' : 'subscription.paid';
  const told = withSubscription(checkout.story, { status });
  await tell(shop, ['checkout.completed', 'subscription.active', last], told, at);
}

/** Ends a subscription now, or with its period. */
export async function cancelCreem(shop: Shop, found: Subscription, isImmediate: boolean): Promise<void> {
  const at = await shop.timeOfChange(found);
  found.status = isImmediate ? 'canceled' : 'scheduled_cancel';
  found.story = withSubscription(found.story, { canceled_at: at });
  await tell(shop, [isImmediate ? 'subscription.canceled' : 'subscription.scheduled_cancel'], found.story, at);
}

/** Undoes a scheduled end or a pause. */
export async function resumeCreem(shop: Shop, found: Subscription): Promise<void> {
  const at = await shop.timeOfChange(found);
  found.status = 'active';
  found.story = withSubscription(found.story, { canceled_at: undefined });
  await tell(shop, ['subscription.update'], found.story, at);
}

/** Pauses a subscription. */
export async function pauseCreem(shop: Shop, found: Subscription): Promise<void> {
  const at = await shop.timeOfChange(found);
  found.status = 'paused';
  await tell(shop, ['subscription.paused'], found.story, at);
}

/** Moves a subscription to another product. Charged at once, a new cycle starts today, less what is left of the old. */
export async function upgradeCreem(
  shop: Shop,
  found: Subscription,
  wanted: CatalogueProduct,
  isImmediate: boolean,
): Promise<void> {
  const at = await shop.timeOfChange(found);
  const { story } = found;
  const product = storyProduct(wanted);
  found.status = 'active';
  if (!isImmediate || !story.subscription || !product.billing_period) {
    found.story = { ...story, product };
    await tell(shop, ['subscription.update'], found.story, at);
    return;
  }
  const { units = 1 } = story;
  const credit = Math.round(story.product.amount * units * shareLeft(story.subscription.period, at));
  const payment = { id: shop.newId('tran'), amount: Math.max(0, product.amount * units - credit), paid_at: at };
  const period = periodOf(at, product.billing_period);
  found.story = withSubscription({ ...story, product, payment }, { period });
  shop.recordPayment('creem', found.story);
  await tell(shop, ['subscription.update', 'subscription.paid'], found.story, at);
}

/** Gives back all of a payment, the only refund Creem's API makes. */
export async function refundCreem(shop: Shop, story: Story): Promise<void> {
  const amount = story.payment?.amount ?? 0;
  await tell(shop, ['refund.created'], { ...story, refund: { id: shop.newId('ref'), amount } }, shop.now());
}

function withSubscription(story: Story, change: Partial<StorySubscription>): Story {
  return story.subscription ? { ...story, subscription: { ...story.subscription, ...change } } : story;
}

/** Each event a millisecond after the one before: that is how their order shows. */
async function tell(shop: Shop, types: CreemEventType[], story: Story, at: string): Promise<void> {
  const events = types.map((type, index) => {
    const occurred_at = new Date(Date.parse(at) + index).toISOString();
    return creemEvent(type, { id: shop.newId('evt'), occurred_at }, story);
  });
  await shop.tell('creem', events);
}
