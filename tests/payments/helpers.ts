/** A payment simulator on a port of its own, with a small catalogue and what it told the webhooks. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type CatalogueProduct,
  createPaymentSimulator,
  type Platform,
  SIMULATED_CREEM_KEY,
  SIMULATED_STRIPE_KEY,
} from '@basemeter/simulators';
import { getRequestListener } from '@hono/node-server';
import { createCreem } from '../../supabase/functions/billing/creem.ts';
import type { CheckoutOrder, Gateway } from '../../supabase/functions/billing/gateway.ts';
import { createStripe } from '../../supabase/functions/billing/stripe.ts';

const row = (platform: Platform, name: string, facts: Partial<CatalogueProduct>): CatalogueProduct => ({
  id: `${platform}-${name}`,
  platform,
  product_id: `prod_${name}`,
  price_id: platform === 'stripe' ? `price_${name}` : null,
  plan: name,
  billing_period: 'month',
  credits: 100,
  amount: 1900,
  currency: 'EUR',
  trial_days: 0,
  is_active: true,
  ...facts,
});

/** What both platforms sell. */
export const PRODUCTS = (['creem', 'stripe'] as const).flatMap((platform) => [
  row(platform, 'pro', {}),
  row(platform, 'max', { amount: 4900 }),
  row(platform, 'pro_year', { amount: 19000, billing_period: 'year' }),
  row(platform, 'trial', { trial_days: 14 }),
  row(platform, 'pack', { plan: null, billing_period: null, amount: 500 }),
]);

/** An event as it was delivered; `type` and `object` are where either platform has them. */
export interface Told {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: payloads are of many shapes, and a test names the members it means
  object: any;
}

/** A running simulator. */
export interface RunningSimulator {
  url: string;
  gateway: (platform: Platform) => Gateway;
  /** The events told since the last call, oldest first. */
  told: () => Told[];
  /** Presses a checkout's button; gives where the buyer is sent. */
  pay: (checkoutUrl: string) => Promise<string | null>;
  /** The simulator's clock. */
  clock: { now: string };
  stop: () => Promise<void>;
}

/** Starts one. */
export async function startSimulator(): Promise<RunningSimulator> {
  const clock = { now: '2026-01-01T00:00:00.000Z' };
  let told: Told[] = [];
  const simulator = createPaymentSimulator({
    findProduct: async (wanted) =>
      PRODUCTS.find((product) => Object.entries(wanted).every(([name, value]) => Reflect.get(product, name) === value)),
    deliver: async (_platform, event) => {
      // biome-ignore lint/suspicious/noExplicitAny: both platforms' envelopes
      const { eventType, type, object, data } = JSON.parse(JSON.stringify(event)) as any;
      told.push({ type: eventType ?? type, object: object === 'event' ? data.object : object });
    },
    now: () => clock.now,
  });
  const server = createServer(getRequestListener(simulator.fetch));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateways = {
    creem: createCreem({ apiKey: SIMULATED_CREEM_KEY, baseUrl: `${url}/creem` }),
    stripe: createStripe({ secretKey: SIMULATED_STRIPE_KEY, apiUrl: url }),
  };
  return {
    url,
    clock,
    gateway: (platform) => gateways[platform],
    told: () => {
      const since = told;
      told = [];
      return since;
    },
    pay: async (checkoutUrl) =>
      (await fetch(checkoutUrl, { method: 'POST', redirect: 'manual' })).headers.get('location'),
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** An order of a product by the same person. */
export function orderOf(platform: Platform, name: string, more: Partial<CheckoutOrder> = {}): CheckoutOrder {
  const product = PRODUCTS.find((one) => one.id === `${platform}-${name}`);
  if (!product) throw new Error(`no product ${name}`);
  return {
    workspace_id: '00000000-0000-4000-8000-000000000001',
    user_id: '00000000-0000-4000-8000-000000000002',
    email: 'ana@example.test',
    product_id: product.product_id,
    price_id: product.price_id,
    kind: product.plan === null ? 'pack' : 'plan',
    units: 1,
    trial_days: product.trial_days,
    customer_id: null,
    proof: 'proof',
    success_url: 'http://localhost:3000/done?plan=pro',
    ...more,
  };
}
