/** Stripe as a gateway, by its official library. */
import Stripe from 'stripe';
import { bounded } from '../_shared/body.ts';
import { ApiError } from '../_shared/errors.ts';
import {
  type CheckoutOrder,
  checkoutMetadata,
  type Gateway,
  type PackCharge,
  platformRefused,
  platformSilent,
} from './gateway.ts';

/** Where and as whom Stripe is called. */
export interface StripeSettings {
  secretKey: string;
  /** Another API than Stripe's own: the simulator. */
  apiUrl?: string;
}

/** How long one try may take, ms. */
const TIMEOUT = 10_000;

/**
 * Stripe as a gateway. The library gives every POST an idempotency key of its own, so its two further tries do a thing
 * once. A key that outlives the call would be wrong here: A to B, back to A and to B again are three changes of plan.
 */
export function createStripe({ secretKey, apiUrl }: StripeSettings): Gateway {
  const stripe = new Stripe(secretKey, {
    ...endpoint(apiUrl),
    timeout: TIMEOUT,
    maxNetworkRetries: 2,
    telemetry: false,
    httpClient: Stripe.createFetchHttpClient((...call: Parameters<typeof fetch>) =>
      fetch(...call).then((answer) => bounded(answer)),
    ),
  });
  /** Runs a call and turns the library's errors into ours. */
  const ask = async <T>(call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      throw toApiError(error, secretKey);
    }
  };
  return {
    checkout: (order) =>
      ask(async () => {
        const session = await stripe.checkout.sessions.create(sessionParams(order));
        if (!session.url) throw new Error(`the checkout session ${session.id} has no url`);
        return { checkout_id: session.id, checkout_url: session.url };
      }),
    portal: (customer, return_url) =>
      ask(async () => (await stripe.billingPortal.sessions.create({ customer, return_url })).url),
    cancel: (id, at) =>
      ask(async () => {
        if (at === 'now') return (await stripe.subscriptions.cancel(id)).status;
        return (await stripe.subscriptions.update(id, { cancel_at_period_end: true })).status;
      }),
    resume: (id) =>
      ask(async () => {
        const { cancel_at, cancel_at_period_end } = await stripe.subscriptions.retrieve(id);
        // The customer portal sets a date instead of the flag, and Stripe takes one of the two at a time.
        const isByDate = cancel_at !== null && !cancel_at_period_end;
        const change = isByDate ? { cancel_at: '' as const } : { cancel_at_period_end: false };
        return (await stripe.subscriptions.update(id, change)).status;
      }),
    changePlan: ({ subscription_id, price_id, from_price_id, units, is_upgrade }) =>
      ask(async () => {
        const { data } = (await stripe.subscriptions.retrieve(subscription_id)).items;
        // Beside the plan there may be other items: what is used, or seats.
        const item = data.find(({ price }) => price.id === from_price_id) ?? data[0];
        if (!item || !price_id)
          throw new Error(`the subscription ${subscription_id} has no item, or its plan no price`);
        const items = [{ id: item.id, price: price_id, quantity: units }];
        const when = is_upgrade
          ? ({ proration_behavior: 'always_invoice', payment_behavior: 'error_if_incomplete' } as const)
          : ({ proration_behavior: 'create_prorations' } as const);
        return (await stripe.subscriptions.update(subscription_id, { items, ...when })).status;
      }),
    cancelSubscriptionNow: (id) =>
      ask(async () => {
        try {
          await stripe.subscriptions.cancel(id);
        } catch (error) {
          // Stripe answers so for one that was canceled before as well.
          if (!(error instanceof Stripe.errors.StripeError && error.statusCode === 404)) throw error;
        }
      }),
    chargePack: (charge) => ask(() => chargeInvoice(stripe, charge)),
    voidCharge: (charge) => ask(() => voidInvoice(stripe, charge)),
  };
}

/**
 * An invoice of one pack, paid with the card that Stripe keeps of the customer. Its keys are the task's: a task that is
 * tried again goes on with the invoice of its first try.
 */
async function chargeInvoice(stripe: Stripe, charge: PackCharge): Promise<string> {
  const { customer_id: customer, price_id: price } = charge;
  if (!price) throw new Error(`the product ${charge.product_id} has no price at Stripe`);
  const id = await invoiceOf(stripe, charge);
  let { status } = await stripe.invoices.retrieve(id);
  // Before the card is looked for: it may have been paid with one that is gone by now.
  if (status === 'paid') return id;
  const card = (await stripe.customers.listPaymentMethods(customer, { limit: 1 })).data[0];
  if (!card) {
    await endInvoice(stripe, id, status);
    throw new ApiError(402, 'payment_failed', 'Stripe keeps no card of this customer.');
  }
  if (status === 'draft') {
    const item = { customer, invoice: id, pricing: { price }, quantity: 1 };
    await stripe.invoiceItems.create(item, { idempotencyKey: `${keyOf(charge)}_item` });
    status = (await stripe.invoices.finalizeInvoice(id, { auto_advance: false })).status;
  }
  if (isOver(status)) throw declined();
  try {
    const paid = await stripe.invoices.pay(id, { off_session: true, payment_method: card.id });
    if (isOver(paid.status)) throw declined();
    return id; // one that is open still is paid by something slow: its events tell how that ends
  } catch (error) {
    // Or it could be paid later, beside what is charged then.
    if (error instanceof Stripe.errors.StripeCardError) await stripe.invoices.voidInvoice(id);
    throw error;
  }
}

const isOver = (status: string | null) => status === 'void' || status === 'uncollectible';

const declined = () => new ApiError(402, 'payment_failed', 'The charge was declined.');

/** Ends the invoice of a charge. Gives its id where it has been paid by then. */
async function voidInvoice(stripe: Stripe, charge: PackCharge): Promise<string | undefined> {
  const id = charge.invoice_id ?? (await invoiceOf(stripe, charge));
  const { status } = await stripe.invoices.retrieve(id).catch((error: unknown) => {
    // A draft that was deleted, and nobody heard of it.
    if (error instanceof Stripe.errors.StripeError && error.statusCode === 404) return { status: 'void' as const };
    throw error;
  });
  if (status === 'paid') return id;
  await endInvoice(stripe, id, status);
  return undefined;
}

/** Sees to it that an invoice that is not paid never will be. */
async function endInvoice(stripe: Stripe, id: string, status: string | null): Promise<void> {
  if (status === 'draft') await stripe.invoices.del(id);
  else if (status !== 'void') await stripe.invoices.voidInvoice(id);
}

/** The invoice of a charge: made, or by its key found again. */
async function invoiceOf(stripe: Stripe, charge: PackCharge): Promise<string> {
  const metadata = checkoutMetadata({ ...charge, units: 1 });
  const { id } = await stripe.invoices.create(
    {
      customer: charge.customer_id,
      metadata,
      auto_advance: false,
      pending_invoice_items_behavior: 'exclude',
    },
    { idempotencyKey: `${keyOf(charge)}_invoice` },
  );
  return id;
}

const keyOf = ({ workspace_id, task_id }: PackCharge) => `top_up_${workspace_id}_${task_id}`;

/** The library's form of a base URL; Stripe's own without one. Throws an Error that names the variable. */
function endpoint(apiUrl: string | undefined) {
  if (!apiUrl) return {};
  if (!URL.canParse(apiUrl)) throw new Error(`STRIPE_API_URL is no URL: ${apiUrl}`);
  const { hostname, port, protocol } = new URL(apiUrl);
  const scheme = protocol === 'http:' ? ('http' as const) : ('https' as const);
  return { host: hostname, protocol: scheme, port: port || (scheme === 'http' ? '80' : '443') };
}

function sessionParams(order: CheckoutOrder): Stripe.Checkout.SessionCreateParams {
  if (!order.price_id) throw new Error(`the product ${order.product_id} has no price at Stripe`);
  const metadata = checkoutMetadata(order);
  const common = {
    line_items: [{ price: order.price_id, quantity: order.units }],
    success_url: order.success_url,
    cancel_url: order.cancel_url,
    client_reference_id: order.user_id,
    metadata,
    ...customerOf(order),
  };
  // A session's metadata stays with the session: what comes of it is told again.
  if (order.kind === 'plan') {
    const trial_period_days = order.trial_days > 0 ? order.trial_days : undefined;
    return { ...common, mode: 'subscription', subscription_data: { metadata, trial_period_days } };
  }
  // Without being asked, Stripe makes no customer for a payment, and the portal is for customers.
  const customer_creation = order.customer_id ? undefined : ('always' as const);
  return { ...common, mode: 'payment', customer_creation, payment_intent_data: { metadata } };
}

function customerOf({ customer_id, email }: CheckoutOrder) {
  if (customer_id) return { customer: customer_id };
  return email ? { customer_email: email } : {};
}

function toApiError(error: unknown, secretKey: string): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error;
  if (error instanceof Stripe.errors.StripeCardError) return new ApiError(402, 'payment_failed', error.message);
  const isTimeout = error instanceof Stripe.errors.StripeConnectionError && /timed out|aborted/i.test(error.message);
  return isTimeout ? platformSilent('stripe') : platformRefused('stripe', error.statusCode, error.message, secretKey);
}
