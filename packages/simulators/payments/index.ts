/**
 * A simulator of Creem and Stripe, for development and tests alone: no money moves. It answers the calls that billing
 * makes, shows a checkout page whose button pays, and then sends the webhooks the signed events that the platform would.
 *
 * Creem's API is under `/creem/v1`, Stripe's under `/v1`, the pages under `/checkout` and `/portal`. Products and prices
 * are the project's own, from `payment_products`. It remembers everything until its process ends and nothing after: a
 * subscription it did not sell is a 404, as at the platforms.
 */
import { type Context, Hono } from 'hono';
import { creemApi, creemSuccessUrl } from './creem-api.ts';
import { payCreemCheckout } from './creem-shop.ts';
import { SIMULATED_CREEM_KEY } from './keys.ts';
import { checkoutPage, paidPage, portalPage } from './pages.ts';
import { type Checkout, Shop, type ShopSettings } from './shop.ts';
import { stripeApi, stripeSuccessUrl } from './stripe-api.ts';
import { payStripeSession } from './stripe-shop.ts';

/** The simulator as a fetch handler, with a memory of its own. */
export function createPaymentSimulator(settings: ShopSettings): {
  fetch(request: Request): Response | Promise<Response>;
} {
  const shop = new Shop(settings);
  const app = new Hono();
  app.get('/', (c) => c.text("Basemeter's payment simulator: no money moves."));
  app.route('/creem', creemApi(shop));
  app.route('/v1', stripeApi(shop));

  app.get('/checkout/:id', async (c) => {
    const checkout = shop.checkouts.get(c.req.param('id'));
    if (!checkout) return c.text('There is no such checkout; the simulator has been restarted since, perhaps.', 404);
    if (c.req.query('pay') !== undefined) return pay(c, shop, checkout);
    return c.html(checkout.isPaid ? paidPage() : checkoutPage(checkout));
  });
  app.post('/checkout/:id', async (c) => {
    const checkout = shop.checkouts.get(c.req.param('id'));
    return checkout ? pay(c, shop, checkout) : c.text('There is no such checkout.', 404);
  });
  app.get('/portal/:customer', (c) => {
    const customer = c.req.param('customer');
    const theirs = [...shop.subscriptions.values()].filter(({ story }) => story.customer.id === customer);
    return c.html(portalPage(customer, theirs, c.req.query('return_url')));
  });
  return { fetch: (request) => app.fetch(request) };
}

/** Pays once, however often the button is pressed, and sends the buyer on. */
async function pay(c: Context, shop: Shop, checkout: Checkout): Promise<Response> {
  const isCreem = checkout.platform === 'creem';
  if (!checkout.isPaid) await (isCreem ? payCreemCheckout(shop, checkout) : payStripeSession(shop, checkout));
  const next = isCreem ? creemSuccessUrl(checkout, SIMULATED_CREEM_KEY) : stripeSuccessUrl(checkout);
  return next ? c.redirect(next, 303) : c.html(paidPage());
}
