/** Creem's REST API, as far as billing and its developers need it. */
import { createHmac } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { creemProduct, creemSubscription, creemTransaction } from './creem-events.ts';
import { cancelCreem, pauseCreem, refundCreem, resumeCreem, upgradeCreem } from './creem-shop.ts';
import { type Moderation, moderate } from './moderation.ts';
import { type Checkout, type Shop, type Subscription, storyProduct } from './shop.ts';
import { siblingId } from './story.ts';

class CreemError extends Error {
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 500,
    readonly error: string,
    message: string,
  ) {
    super(message);
  }
}

const checkoutBody = z.strictObject({
  product_id: z.string(),
  request_id: z.string().optional(),
  units: z.int().min(1).default(1),
  customer: z
    .strictObject({ id: z.string().optional(), email: z.email().optional(), name: z.string().optional() })
    .refine(({ id, email }) => (id === undefined) !== (email === undefined), 'either customer.id or customer.email')
    .optional(),
  success_url: z.url().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
});
const cancelBody = z.strictObject({ mode: z.enum(['immediate', 'scheduled']).default('scheduled') });
const upgradeBody = z.strictObject({
  product_id: z.string(),
  update_behavior: z
    .enum(['proration-charge-immediately', 'proration-charge', 'proration-none'])
    .default('proration-charge-immediately'),
});

const moderationBody = z.object({ prompt: z.string().min(1), external_id: z.string().optional() });

/** The API under `/v1`; `shop` is its memory. */
export function creemApi(shop: Shop): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    const key = c.req.header('x-api-key');
    if (!key) throw new CreemError(401, 'Unauthorized', 'the header x-api-key is missing');
    if (!key.startsWith('creem_')) throw new CreemError(403, 'Forbidden', 'this is no API key');
    await next();
  });

  app.post('/v1/checkouts', async (c) => {
    const body = await readBody(c, checkoutBody);
    const product = await shop.findProduct({ platform: 'creem', product_id: body.product_id });
    if (!product) throw new CreemError(404, 'Bad Request', `there is no product ${body.product_id}`);
    const id = shop.newId('ch');
    const metadata = body.metadata as Record<string, string> | undefined;
    shop.checkouts.set(id, {
      platform: 'creem',
      story: {
        customer: shop.customer('cust', body.customer ?? {}),
        product: storyProduct(product),
        units: body.units,
        metadata,
        checkout: { id, request_id: body.request_id },
      },
      innerMetadata: metadata,
      trialDays: product.plan === null ? 0 : product.trial_days,
      successUrl: body.success_url,
      cancelUrl: undefined,
      isPaid: false,
    });
    return c.json(checkoutObject(shop, id, new URL(c.req.url).origin));
  });
  app.get('/v1/checkouts', (c) =>
    c.json(checkoutObject(shop, c.req.query('checkout_id') ?? '', new URL(c.req.url).origin)),
  );
  app.post('/v1/customers/billing', async (c) => {
    const { customer_id } = await readBody(c, z.strictObject({ customer_id: z.string() }));
    return c.json({ customer_portal_link: `${new URL(c.req.url).origin}/portal/${customer_id}` });
  });
  app.get('/v1/customers', (c) => {
    const { customer_id, email } = c.req.query();
    const found = [...shop.customers].find(([id, address]) => id === customer_id || (email && address === email));
    if (!found) throw new CreemError(404, 'Not Found', 'there is no such customer');
    return c.json({ id: found[0], object: 'customer', mode: 'test', email: found[1], country: 'NL' });
  });

  app.get('/v1/subscriptions', (c) => c.json(subscriptionObject(shop, c.req.query('subscription_id'))));
  app.post('/v1/subscriptions/:id/:action', async (c) => {
    const found = requireSubscription(shop, c.req.param('id'));
    await act(shop, found, c.req.param('action'), c);
    return c.json(subscriptionObject(shop, c.req.param('id')));
  });

  app.get('/v1/transactions', (c) => {
    const payment = requirePayment(shop, c.req.query('transaction_id'));
    return c.json(creemTransaction(payment, 'paid'));
  });
  app.post('/v1/refunds', async (c) => {
    const { transaction_id } = await readBody(c, z.strictObject({ transaction_id: z.string() }));
    await refundCreem(shop, requirePayment(shop, transaction_id));
    return c.json({ status: 'succeeded' });
  });
  app.get('/v1/products', async (c) => {
    const product = await shop.findProduct({ platform: 'creem', product_id: c.req.query('product_id') ?? '' });
    if (!product) throw new CreemError(404, 'Not Found', 'there is no such product');
    return c.json(creemProduct({ product: storyProduct(product) }));
  });

  app.post('/v1/moderation/prompt', async (c) => {
    const { prompt, external_id } = await readBody(c, moderationBody);
    const result = await moderate(prompt, c.req.raw.signal);
    if (!result) throw new CreemError(500, 'Internal Server Error', 'the simulated moderation failed');
    return c.json(moderationObject(shop, prompt, external_id, result));
  });

  app.all('*', (c) => errorAnswer(c, new CreemError(404, 'Not Found', `cannot ${c.req.method} ${c.req.path}`)));
  app.onError((error, c) => errorAnswer(c, error));
  return app;
}

async function act(shop: Shop, found: Subscription, action: string, c: Context): Promise<void> {
  if (found.status === 'canceled') throw new CreemError(400, 'Bad Request', 'the subscription is already canceled');
  if (action === 'cancel') {
    const { mode } = await readBody(c, cancelBody);
    await cancelCreem(shop, found, mode === 'immediate');
  } else if (action === 'resume') {
    await resumeCreem(shop, found);
  } else if (action === 'pause') {
    await pauseCreem(shop, found);
  } else if (action === 'upgrade') {
    const { product_id, update_behavior } = await readBody(c, upgradeBody);
    const product = await shop.findProduct({ platform: 'creem', product_id });
    if (!product?.billing_period) throw new CreemError(404, 'Bad Request', `there is no plan ${product_id}`);
    await upgradeCreem(shop, found, product, update_behavior === 'proration-charge-immediately');
  } else {
    throw new CreemError(404, 'Not Found', `there is no action ${action}`);
  }
}

/** Where a buyer goes after paying, with what Creem adds to it, signed with the API key that the stack gives out. */
export function creemSuccessUrl({ story, successUrl }: Checkout, apiKey: string): string | undefined {
  if (!successUrl) return undefined;
  const told: Record<string, string | undefined> = {
    checkout_id: story.checkout.id,
    order_id: siblingId(story.checkout.id, 'ord'),
    customer_id: story.customer.id,
    subscription_id: story.subscription?.id,
    product_id: story.product.id,
    request_id: story.checkout.request_id,
  };
  const pairs = Object.entries(told).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const signed = pairs
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join('&');
  const url = new URL(successUrl);
  for (const [name, value] of pairs) url.searchParams.set(name, value);
  url.searchParams.set('signature', createHmac('sha256', apiKey).update(signed).digest('hex'));
  return url.href;
}

function checkoutObject(shop: Shop, id: string, origin: string): Record<string, unknown> {
  const checkout = shop.checkouts.get(id);
  if (checkout?.platform !== 'creem') throw new CreemError(404, 'Not Found', 'there is no such checkout');
  const { story, successUrl, isPaid } = checkout;
  return {
    id,
    mode: 'test',
    object: 'checkout',
    status: isPaid ? 'completed' : 'pending',
    product: story.product.id,
    units: story.units,
    request_id: story.checkout.request_id,
    checkout_url: `${origin}/checkout/${id}`,
    success_url: successUrl,
    metadata: story.metadata,
  };
}

function moderationObject(shop: Shop, prompt: string, external_id: string | undefined, result: Moderation): object {
  return {
    id: shop.newId('mod'),
    object: 'moderation_result',
    prompt,
    external_id,
    decision: result.decision,
    usage: { units: 1 },
  };
}

function requireSubscription(shop: Shop, id: string | undefined): Subscription {
  const found = shop.subscriptions.get(id ?? '');
  if (found?.platform !== 'creem') throw new CreemError(404, 'Not Found', 'there is no such subscription');
  return found;
}

function subscriptionObject(shop: Shop, id: string | undefined): Record<string, unknown> {
  const { story, status } = requireSubscription(shop, id);
  return creemSubscription(story, shop.now(), status);
}

function requirePayment(shop: Shop, id: string | undefined) {
  const found = shop.payments.get(id ?? '');
  if (found?.platform !== 'creem') throw new CreemError(404, 'Not Found', 'there is no such transaction');
  return found.story;
}

async function readBody<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await c.req.text();
  let body: unknown;
  try {
    body = JSON.parse(text || '{}');
  } catch {
    throw new CreemError(400, 'Bad Request', 'the body is no JSON');
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CreemError(400, 'Bad Request', `${issue?.path.join('.')}: ${issue?.message}`);
}

function errorAnswer(c: Context, thrown: Error): Response {
  if (!(thrown instanceof CreemError)) console.error('payment simulator:', thrown);
  const status = thrown instanceof CreemError ? thrown.status : 500;
  const error = thrown instanceof CreemError ? thrown.error : 'Internal Server Error';
  const trace_id = crypto.randomUUID();
  return c.json({ trace_id, status, error, message: [thrown.message], timestamp: Date.now() }, status);
}
