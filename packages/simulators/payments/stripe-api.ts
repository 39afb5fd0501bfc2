/** Stripe's REST API, as far as billing and its developers need it: form bodies in, JSON out. */
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Checkout, type Shop, type Subscription, storyProduct } from './shop.ts';
import { type Story, siblingId } from './story.ts';
import {
  stripeInvoicePayment,
  stripeLineItem,
  stripeRefund,
  stripeSession,
  stripeSubscription,
} from './stripe-events.ts';
import { errorAnswer, metadata, missing, readForm, StripeError } from './stripe-forms.ts';
import { stripeInvoices } from './stripe-invoices.ts';
import { deleteStripe, refundStripe, updateStripe } from './stripe-shop.ts';

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

// Strict, as Stripe is: an unknown parameter is an error.
const sessionForm = z
  .strictObject({
    mode: z.enum(['payment', 'subscription']),
    line_items: z
      .array(z.strictObject({ price: z.string(), quantity: z.coerce.number().int().min(1).default(1) }))
      .length(1),
    success_url: z.string(),
    cancel_url: z.string().optional(),
    client_reference_id: z.string().optional(),
    customer: z.string().optional(),
    customer_email: z.email().optional(),
    customer_creation: z.enum(['always', 'if_required']).optional(),
    metadata,
    subscription_data: z
      .strictObject({ metadata, trial_period_days: z.coerce.number().int().min(1).optional() })
      .optional(),
    payment_intent_data: z.strictObject({ metadata }).optional(),
  })
  .refine(({ customer, customer_email }) => !customer || !customer_email, 'either customer or customer_email')
  .refine(
    ({ mode, subscription_data }) => mode === 'subscription' || !subscription_data,
    'subscription_data is of plans',
  )
  .refine(
    ({ mode, payment_intent_data, customer_creation }) =>
      mode === 'payment' || (!payment_intent_data && !customer_creation),
    'payment_intent_data and customer_creation are of payments',
  );

const updateForm = z
  .strictObject({
    cancel_at_period_end: flag.optional(),
    // Stripe takes a date away by an empty text.
    cancel_at: z.union([z.literal(''), z.coerce.number().int().positive()]).optional(),
    items: z
      .array(
        z.strictObject({
          id: z.string(),
          price: z.string(),
          quantity: z.coerce.number().int().min(1).optional(),
        }),
      )
      .length(1)
      .optional(),
    proration_behavior: z.enum(['always_invoice', 'create_prorations', 'none']).default('create_prorations'),
    payment_behavior: z.string().optional(),
    metadata,
  })
  .refine(
    ({ cancel_at, cancel_at_period_end }) => cancel_at === undefined || cancel_at_period_end === undefined,
    'either cancel_at or cancel_at_period_end',
  );

/** The API under `/v1`; `shop` is its memory. */
export function stripeApi(shop: Shop): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    if (!/^Bearer [rs]k_\S+$/.test(c.req.header('authorization') ?? '')) {
      throw new StripeError(401, 'You did not provide an API key.');
    }
    c.header('request-id', shop.newId('req'));
    await next();
  });
  app.route('/', stripeInvoices(shop));

  app.post('/checkout/sessions', async (c) => c.json(await createSession(shop, c)));
  app.get('/checkout/sessions/:id', (c) => c.json(sessionObject(shop, c.req.param('id'), new URL(c.req.url).origin)));
  app.get('/checkout/sessions/:id/line_items', (c) => {
    const checkout = shop.checkouts.get(c.req.param('id'));
    if (checkout?.platform !== 'stripe') throw missing('checkout session', c.req.param('id'));
    return c.json({ object: 'list', url: c.req.path, has_more: false, data: [stripeLineItem(checkout.story)] });
  });
  app.post('/billing_portal/sessions', async (c) => {
    const form = await readForm(c, z.strictObject({ customer: z.string(), return_url: z.string().optional() }));
    const back = form.return_url ? `?return_url=${encodeURIComponent(form.return_url)}` : '';
    const url = `${new URL(c.req.url).origin}/portal/${form.customer}${back}`;
    return c.json({ id: shop.newId('bps'), object: 'billing_portal.session', livemode: false, ...form, url });
  });

  app.get('/subscriptions/:id', (c) => c.json(subscriptionObject(requireSubscription(shop, c.req.param('id')))));
  app.post('/subscriptions/:id', async (c) => c.json(await updateSubscription(shop, c, c.req.param('id'))));
  app.delete('/subscriptions/:id', async (c) => {
    const found = requireSubscription(shop, c.req.param('id'));
    // Stripe no longer finds one that has ended, when it is asked to cancel it.
    if (found.status === 'canceled') throw missing('subscription', c.req.param('id'));
    await deleteStripe(shop, found);
    return c.json(subscriptionObject(found));
  });

  app.post('/customers', async (c) => {
    const { email } = await readForm(c, z.looseObject({ email: z.string().optional() }));
    return c.json(customerObject(shop.customer('cus', { email })));
  });
  app.get('/customers/:id', (c) => {
    const id = c.req.param('id');
    if (!shop.customers.has(id)) throw missing('customer', id);
    return c.json(customerObject({ id, email: shop.customers.get(id) ?? null }));
  });
  app.get('/invoice_payments', (c) => {
    const { invoice, 'payment[payment_intent]': intent } = c.req.query();
    const found = [...shop.payments].filter(([id]) => id === invoice || (intent && siblingId(id, 'pi') === intent));
    const data = found.filter(([id]) => id.startsWith('in_')).map(([, { story }]) => stripeInvoicePayment(story));
    return c.json({ object: 'list', url: '/v1/invoice_payments', has_more: false, data });
  });
  app.post('/refunds', async (c) => c.json(await createRefund(shop, c)));

  app.all('*', (c) =>
    errorAnswer(c, new StripeError(404, `Unrecognized request URL (${c.req.method}: ${c.req.path}).`)),
  );
  app.onError((error, c) => errorAnswer(c, error));
  return app;
}

async function createSession(shop: Shop, c: Context) {
  const form = await readForm(c, sessionForm);
  const { price = '', quantity = 1 } = form.line_items[0] ?? {};
  const product = await shop.findProduct({ platform: 'stripe', price_id: price });
  if (!product) throw missing('price', price);
  if ((product.billing_period !== null) !== (form.mode === 'subscription')) {
    throw new StripeError(400, `The price ${price} is not for mode ${form.mode}.`, undefined, 'mode');
  }
  const id = shop.newId('cs_test');
  shop.checkouts.set(id, {
    platform: 'stripe',
    story: {
      customer: shop.customer('cus', { id: form.customer, email: form.customer_email }),
      product: storyProduct(product),
      units: quantity,
      metadata: form.metadata,
      checkout: { id, reference: form.client_reference_id },
    },
    innerMetadata: (form.subscription_data ?? form.payment_intent_data)?.metadata,
    trialDays: form.subscription_data?.trial_period_days ?? 0,
    successUrl: form.success_url,
    cancelUrl: form.cancel_url,
    isPaid: false,
  });
  return sessionObject(shop, id, new URL(c.req.url).origin);
}

/** Where a buyer goes after paying. */
export function stripeSuccessUrl({ story, successUrl }: Checkout): string | undefined {
  return successUrl?.replaceAll('{CHECKOUT_SESSION_ID}', story.checkout.id);
}

function sessionObject(shop: Shop, id: string, origin: string): Record<string, unknown> {
  const checkout = shop.checkouts.get(id);
  if (checkout?.platform !== 'stripe') throw missing('checkout session', id);
  const whole = stripeSession('checkout.session.completed', checkout.story, shop.now());
  const { successUrl: success_url, cancelUrl: cancel_url } = checkout;
  if (checkout.isPaid) return { ...whole, success_url, cancel_url };
  const url = `${origin}/checkout/${id}`;
  return { ...whole, status: 'open', payment_status: 'unpaid', success_url, cancel_url: cancel_url ?? null, url };
}

async function updateSubscription(shop: Shop, c: Context, id: string) {
  const found = requireSubscription(shop, id);
  if (found.status === 'canceled') {
    throw new StripeError(400, 'A canceled subscription can only update its cancellation_details and metadata.');
  }
  const { cancel_at_period_end, cancel_at, items, proration_behavior } = await readForm(c, updateForm);
  const item = items?.[0];
  if (item && item.id !== siblingId(id, 'si')) throw missing('subscription item', item.id);
  const product = item ? await shop.findProduct({ platform: 'stripe', price_id: item.price }) : undefined;
  if (item && !product?.billing_period) throw missing('price', item.price);
  await updateStripe(shop, found, {
    cancel_at_period_end,
    cancel_at:
      typeof cancel_at === 'number' ? new Date(cancel_at * 1000).toISOString() : cancel_at === '' ? null : undefined,
    product,
    units: item?.quantity,
    isInvoicedNow: proration_behavior === 'always_invoice',
  });
  return subscriptionObject(found);
}

async function createRefund(shop: Shop, c: Context) {
  const form = await readForm(
    c,
    z.strictObject({
      payment_intent: z.string().optional(),
      charge: z.string().optional(),
      amount: z.coerce.number().int().positive().optional(),
      reason: z.string().optional(),
      metadata,
    }),
  );
  const wanted = form.payment_intent ?? form.charge ?? '';
  const story = findPaid(shop, wanted);
  if (!story) throw missing('payment_intent', wanted);
  const left = (story.payment?.amount ?? 0) - (story.refund?.amount ?? 0);
  if (left <= 0 || (form.amount ?? 0) > left) {
    throw new StripeError(400, `Only ${left} is left to be refunded.`, 'charge_already_refunded');
  }
  return stripeRefund(await refundStripe(shop, story, form.amount), shop.now());
}

/** The story of the payment that has this intent or charge. */
function findPaid(shop: Shop, id: string): Story | undefined {
  const found = [...shop.payments].find(([payment]) =>
    [siblingId(payment, 'pi'), siblingId(payment, 'ch')].includes(id),
  );
  return found?.[1].platform === 'stripe' ? found[1].story : undefined;
}

function requireSubscription(shop: Shop, id: string): Subscription {
  const found = shop.subscriptions.get(id);
  if (found?.platform !== 'stripe') throw missing('subscription', id);
  return found;
}

function subscriptionObject({ story, status }: Subscription): Record<string, unknown> {
  return stripeSubscription(story, status);
}

function customerObject({ id, email }: { id: string; email: string | null }): Record<string, unknown> {
  return { id, object: 'customer', livemode: false, email, name: null, metadata: {} };
}
