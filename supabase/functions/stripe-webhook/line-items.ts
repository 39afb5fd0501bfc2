/** What a checkout sold: its event does not tell, and the session of a payment link has no metadata of ours. */
import { z } from 'zod';
import { bounded } from '../_shared/body.ts';
import { ApiError } from '../_shared/errors.ts';
import { oneOf, type PaymentEvent } from '../_shared/payments/event.ts';
import { entity, list, units } from '../_shared/payments/fields.ts';
import type { Env } from '../_shared/platform-keys.ts';

const lineItems = z.object({ data: list(z.object({ quantity: units, price: entity({ product: entity({}) }) })) });

/**
 * The event, with the products of a purchase that names none asked of Stripe. Where Stripe does not answer that, or has
 * no key to be asked with, it stays as it is, and admins are told of an unknown product. Throws 503 `unavailable` where
 * another try may help: Stripe delivers the event again then.
 */
export async function withProducts(event: PaymentEvent, env: Env): Promise<PaymentEvent> {
  const { payment } = event.facts ?? {};
  const key = env.get('STRIPE_SECRET_KEY')?.trim();
  // An invoice names its products itself.
  if (!key || !payment?.checkout_id || payment.product_id || payment.price_id || payment.invoice_id) return event;
  const base = env.get('STRIPE_API_URL')?.trim() || 'https://api.stripe.com';
  const path = `/v1/checkout/sessions/${encodeURIComponent(payment.checkout_id)}/line_items?limit=100`;
  const response = await fetch(new URL(path, base), {
    headers: { authorization: `Bearer ${key}` },
    redirect: 'error',
    signal: AbortSignal.timeout(10_000),
  }).catch(() => undefined);
  if (!response || response.status >= 500 || response.status === 429) {
    throw new ApiError(503, 'unavailable', 'Stripe could not be asked what was sold.');
  }
  const { data } = lineItems.safeParse(
    await bounded(response)
      .json()
      .catch(() => null),
  );
  const sold = response.ok && data ? data.data : [];
  const bought = sold.map(({ price, quantity }) => ({
    product_id: price?.product?.id,
    price_id: price?.id,
    units: quantity,
  }));
  const named = JSON.parse(JSON.stringify(oneOf(bought)));
  return { ...event, facts: event.facts && { ...event.facts, payment: { ...payment, ...named } } };
}
