/** Cards that Stripe keeps of customers, and invoices that are made and paid by themselves, with such a card. */
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type LoneInvoice, type Shop, storyProduct } from './shop.ts';
import { stripeInvoice } from './stripe-events.ts';
import { metadata, missing, readForm, StripeError } from './stripe-forms.ts';
import { failStripeInvoice, payStripeInvoice } from './stripe-shop.ts';

/** Stripe's test cards by the names its own test mode has; whatever else is attached pays. */
const DECLINING_CARD = 'pm_card_chargeCustomerFail';
/** A direct debit: whether it is paid is known days later. */
const SLOW_DEBIT = 'pm_usBankAccount_processing';

const flag = z.enum(['true', 'false']).optional();

/** The routes of customers' cards and of invoices. */
export function stripeInvoices(shop: Shop): Hono {
  const app = new Hono();
  const answered = new Map<string, Response>();
  app.post('/invoices', once);
  app.post('/invoiceitems', once);

  app.post('/payment_methods/:id/attach', async (c) => {
    const { customer } = await readForm(c, z.strictObject({ customer: z.string() }));
    shop.cards.set(customer, [c.req.param('id'), ...(shop.cards.get(customer) ?? [])]);
    return c.json(cardObject(c.req.param('id'), customer));
  });
  app.get('/customers/:id/payment_methods', (c) => {
    const customer = c.req.param('id');
    const data = (shop.cards.get(customer) ?? []).map((id) => cardObject(id, customer));
    return c.json({ object: 'list', url: c.req.path, has_more: false, data });
  });

  // Not Stripe's: there each card is detached on its own.
  app.delete('/customers/:id/payment_methods', (c) => {
    shop.cards.delete(c.req.param('id'));
    return c.json({ deleted: true });
  });

  app.post('/invoices', async (c) => {
    const form = await readForm(
      c,
      z.strictObject({
        customer: z.string(),
        metadata,
        auto_advance: flag,
        pending_invoice_items_behavior: z.enum(['exclude', 'include']).optional(),
      }),
    );
    const id = shop.newId('in');
    shop.invoices.set(id, { story: undefined, customer: form.customer, metadata: form.metadata, status: 'draft' });
    return c.json(invoiceObject(shop, id));
  });
  app.post('/invoiceitems', async (c) => {
    const form = await readForm(
      c,
      z.strictObject({
        customer: z.string(),
        invoice: z.string(),
        pricing: z.strictObject({ price: z.string() }),
        quantity: z.coerce.number().int().min(1).default(1),
      }),
    );
    const invoice = requireInvoice(shop, form.invoice, ['draft']);
    const product = await shop.findProduct({ platform: 'stripe', price_id: form.pricing.price });
    if (!product || product.billing_period) throw missing('price', form.pricing.price);
    invoice.story = {
      customer: shop.customer('cus', { id: invoice.customer }),
      product: storyProduct(product),
      units: form.quantity,
      metadata: invoice.metadata,
      checkout: { id: form.invoice },
      payment: { id: form.invoice, amount: product.amount * form.quantity, paid_at: shop.now() },
    };
    return c.json({ id: shop.newId('ii'), object: 'invoiceitem', invoice: form.invoice, quantity: form.quantity });
  });
  app.get('/invoices/:id', (c) => c.json(invoiceObject(shop, c.req.param('id'))));
  app.post('/invoices/:id/finalize', async (c) => {
    await readForm(c, z.strictObject({ auto_advance: flag }));
    requireInvoice(shop, c.req.param('id'), ['draft']).status = 'open';
    return c.json(invoiceObject(shop, c.req.param('id')));
  });
  app.post('/invoices/:id/pay', async (c) => c.json(await pay(shop, c, c.req.param('id'))));
  app.post('/invoices/:id/void', (c) => {
    requireInvoice(shop, c.req.param('id'), ['open']).status = 'void';
    return c.json(invoiceObject(shop, c.req.param('id')));
  });
  app.delete('/invoices/:id', (c) => {
    requireInvoice(shop, c.req.param('id'), ['draft']);
    shop.invoices.delete(c.req.param('id'));
    return c.json({ id: c.req.param('id'), object: 'invoice', deleted: true });
  });
  return app;

  /** Answers a request under an idempotency key as it did the first time. */
  async function once(c: Context, next: () => Promise<void>): Promise<Response | undefined> {
    const key = c.req.header('idempotency-key');
    const earlier = key === undefined ? undefined : answered.get(key);
    if (earlier) return earlier.clone();
    await next();
    if (key !== undefined && c.res.ok) answered.set(key, c.res.clone());
    return undefined;
  }
}

async function pay(shop: Shop, c: Context, id: string): Promise<Record<string, unknown>> {
  const form = await readForm(c, z.strictObject({ off_session: flag, payment_method: z.string() }));
  const invoice = requireInvoice(shop, id, ['open']);
  if (!shop.cards.get(invoice.customer)?.includes(form.payment_method)) {
    throw missing('PaymentMethod', form.payment_method);
  }
  if (!invoice.story) throw new StripeError(400, 'There is nothing to pay.', 'invoice_no_customer_line_items');
  if (form.payment_method === DECLINING_CARD) {
    await failStripeInvoice(shop, invoice.story);
    throw new StripeError(402, 'Your card was declined.', 'card_declined');
  }
  if (form.payment_method === SLOW_DEBIT) return invoiceObject(shop, id);
  invoice.status = 'paid';
  await payStripeInvoice(shop, invoice.story);
  return invoiceObject(shop, id);
}

function requireInvoice(shop: Shop, id: string, statuses: LoneInvoice['status'][]): LoneInvoice {
  const invoice = shop.invoices.get(id);
  if (!invoice) throw missing('invoice', id);
  if (statuses.includes(invoice.status)) return invoice;
  throw new StripeError(400, `This invoice is ${invoice.status}.`, 'invoice_not_editable');
}

function invoiceObject(shop: Shop, id: string): Record<string, unknown> {
  const invoice = requireInvoice(shop, id, ['draft', 'open', 'paid', 'void']);
  const { story, status, customer, metadata: told = {} } = invoice;
  if (!story) return { id, object: 'invoice', livemode: false, customer, status, metadata: told };
  return { ...stripeInvoice(story, status === 'paid'), status };
}

function cardObject(id: string, customer: string): Record<string, unknown> {
  return { id, object: 'payment_method', type: 'card', livemode: false, customer, metadata: {} };
}
