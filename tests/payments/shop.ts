/** What tests over HTTP share: the products that are sold, events of a story, and their delivery. */
import { randomUUID } from 'node:crypto';
import {
  type CreemEventType,
  creemEvent,
  type Delivery,
  deliver,
  type Platform,
  periodOf,
  type Story,
  type StripeEventType,
  stripeEvent,
} from '@basemeter/simulators';
import { env, sql, type TestUser } from '../support/stack.ts';

const secrets = { creem: env.CREEM_WEBHOOK_SECRET, stripe: env.STRIPE_WEBHOOK_SECRET };

/** The local webhooks. */
export const WEBHOOKS = { functionsUrl: env.FUNCTIONS_URL, secrets };

/** Puts something on sale and gives its id of `payment_products`, and what it is in a story. */
export async function sell(
  platform: Platform,
  row: { plan?: string; credits: number; amount?: number; trial_days?: number },
): Promise<{ id: string; product: Story['product'] }> {
  const name = `prod_${randomUUID()}`;
  const price_id = platform === 'stripe' ? name.replace('prod', 'price') : null;
  const { plan = null, credits, amount = 900, trial_days = 0 } = row;
  const [made] = await sql<{ id: string }>(
    `insert into public.payment_products (platform, product_id, price_id, name, plan, billing_period, credits, amount, currency, trial_days)
     values ($1, $2, $3, 'A product', $4, $5, $6, $7, 'USD', $8) returning id`,
    [platform, name, price_id, plan, plan && 'month', credits, amount, trial_days],
  );
  const billing_period = plan ? ('month' as const) : null;
  return { id: made?.id ?? '', product: { id: name, price_id, name, amount, currency: 'USD', billing_period } };
}

/** A purchase by a user, of now: metadata names the user, ids are the user's own. */
export function purchaseBy(user: Pick<TestUser, 'id' | 'email'>, product: Story['product'], platform: Platform): Story {
  const tail = randomUUID();
  const now = new Date().toISOString();
  const isPlan = product.billing_period !== null;
  const prefix = platform === 'creem' ? 'tran' : isPlan ? 'in' : 'pi';
  return {
    customer: { id: `cus_${user.id}`, email: user.email },
    product,
    metadata: { user_id: user.id, product_id: product.id, ...(product.price_id ? { price_id: product.price_id } : {}) },
    checkout: { id: `ch_${tail}` },
    ...(isPlan ? { subscription: { id: `sub_${tail}`, started_at: now, period: periodOf(now, 'month') } } : {}),
    payment: { id: `${prefix}_${tail}`, amount: product.amount, paid_at: now },
  };
}

/** Builds an event of Creem, of now unless told otherwise. */
export function toldByCreem(type: CreemEventType, story: Story, id = `evt_${randomUUID()}`) {
  return creemEvent(type, { id, occurred_at: new Date().toISOString() }, story);
}

/** Builds an event of Stripe, of now unless told otherwise. */
export function toldByStripe(type: StripeEventType, story: Story, id = `evt_${randomUUID()}`) {
  return stripeEvent(type, { id, occurred_at: new Date().toISOString() }, story);
}

/** Delivers an event, signed, to the local webhook. */
export function deliverTo(platform: Platform, event: object): Promise<Delivery> {
  return deliver(platform, event, WEBHOOKS);
}
