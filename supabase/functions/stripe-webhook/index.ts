/** Function `stripe-webhook`: where Stripe delivers its events. */
import { readStripeEvent } from '../_shared/payments/stripe.ts';
import { answerWebhook, type Webhook } from '../_shared/payments/webhook.ts';
import { withProducts } from './line-items.ts';
import { isSignedByStripe } from './signature.ts';

const webhook: Webhook = {
  secretName: 'STRIPE_WEBHOOK_SECRET',
  isSigned: (request, { text }, secrets) => isSignedByStripe(request.headers.get('stripe-signature'), text, secrets),
  readEvent: (payload) => withProducts(readStripeEvent(payload), Deno.env),
};

export default { fetch: (request: Request) => answerWebhook(request, webhook) };
