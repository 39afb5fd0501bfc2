/** Creem's API, as far as billing needs it. Source: docs.creem.io, API reference; amounts are in minor units. */
import { z } from 'zod';
import { bounded } from '../_shared/body.ts';
import { ApiError } from '../_shared/errors.ts';
import type { CreemAccess } from '../_shared/platform-keys.ts';
import { checkoutMetadata, type Gateway, PlatformError, platformRefused, platformSilent } from './gateway.ts';

/** Where and as whom Creem is called, and how patiently. */
export interface CreemSettings extends CreemAccess {
  /** How long one try may take, ms. */
  timeout?: number;
  /** The wait before the second try, ms; doubled for the third. */
  firstWait?: number;
}

interface Call {
  method: 'GET' | 'POST';
  path: string;
  body?: unknown;
  /** Whether it may reach Creem twice: Creem knows no idempotency keys. */
  isRepeatable: boolean;
}

const TIMEOUT = 10_000;
const FIRST_WAIT = 300;
const MAX_TRIES = 3;

const checkout = z.looseObject({ id: z.string(), checkout_url: z.string() });
const portalLink = z.looseObject({ customer_portal_link: z.string() });
const subscription = z.looseObject({ id: z.string(), status: z.string() });

/** Creem as a gateway. */
export function createCreem(settings: CreemSettings): Gateway {
  const client = new CreemClient(settings);
  const subscriptionPath = (id: string, action: string) => `/v1/subscriptions/${encodeURIComponent(id)}/${action}`;
  return {
    async checkout(order) {
      const body = {
        product_id: order.product_id,
        request_id: crypto.randomUUID(),
        units: order.units,
        customer: order.customer_id ? { id: order.customer_id } : order.email ? { email: order.email } : undefined,
        success_url: order.success_url,
        metadata: checkoutMetadata(order),
      };
      // A checkout that is opened twice is paid once: the buyer sees one of them.
      const opened = await client.call({ method: 'POST', path: '/v1/checkouts', body, isRepeatable: true }, checkout);
      return { checkout_id: opened.id, checkout_url: opened.checkout_url };
    },
    async portal(customerId) {
      const body = { customer_id: customerId };
      const call: Call = { method: 'POST', path: '/v1/customers/billing', body, isRepeatable: true };
      return (await client.call(call, portalLink)).customer_portal_link;
    },
    async cancel(subscriptionId, at) {
      const body = { mode: at === 'now' ? 'immediate' : 'scheduled' };
      return (await client.post(subscriptionPath(subscriptionId, 'cancel'), body)).status;
    },
    async resume(subscriptionId) {
      return (await client.post(subscriptionPath(subscriptionId, 'resume'))).status;
    },
    async changePlan(change) {
      const update_behavior = change.is_upgrade ? 'proration-charge-immediately' : 'proration-none';
      const body = { product_id: change.product_id, update_behavior };
      return (await client.post(subscriptionPath(change.subscription_id, 'upgrade'), body)).status;
    },
    async cancelSubscriptionNow(subscriptionId) {
      try {
        await client.post(subscriptionPath(subscriptionId, 'cancel'), { mode: 'immediate' });
      } catch (error) {
        if (!(await client.hasEnded(subscriptionId, error))) throw error;
      }
    },
    chargePack() {
      const error = new ApiError(409, 'invalid_state', 'Creem cannot charge a pack without a checkout.');
      return Promise.reject(error);
    },
    voidCharge: () => Promise.resolve(undefined),
  };
}

class CreemClient {
  constructor(private readonly settings: CreemSettings) {}

  /** A call that changes a subscription, never sent twice. */
  post(path: string, body?: unknown) {
    return this.call({ method: 'POST', path, body, isRepeatable: false }, subscription);
  }

  /** Whether a subscription that could not be canceled is over all the same, or unknown to Creem. */
  async hasEnded(subscriptionId: string, error: unknown): Promise<boolean> {
    const status = error instanceof PlatformError ? error.platformStatus : undefined;
    if (status === 404) return true;
    if (status !== 400 && status !== 409) return false;
    const path = `/v1/subscriptions?subscription_id=${encodeURIComponent(subscriptionId)}`;
    const found = await this.call({ method: 'GET', path, isRepeatable: true }, subscription).catch(() => undefined);
    return found?.status === 'canceled';
  }

  /** Calls and parses the answer. Throws a PlatformError. */
  async call<T>(call: Call, schema: z.ZodType<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#try(call, schema);
      } catch (error) {
        if (tries === MAX_TRIES || !isWorthRepeating(call, error)) throw error;
        const wait = (this.settings.firstWait ?? FIRST_WAIT) * 2 ** (tries - 1);
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #try<T>({ method, path, body }: Call, schema: z.ZodType<T>): Promise<T> {
    const { apiKey, baseUrl } = this.settings;
    const refused = (status: number | undefined, words: string) => platformRefused('creem', status, words, apiKey);
    const answer = await this.#inTime(async (signal) => {
      const response = await fetch(`${baseUrl}${path}`, {
        method,
        headers: { 'x-api-key': apiKey, 'content-type': 'application/json' },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
      });
      return { status: response.status, text: await bounded(response).text() };
    }).catch((error: unknown) => {
      throw error instanceof PlatformError ? error : refused(undefined, String(error));
    });
    if (answer.status < 200 || answer.status > 299) throw refused(answer.status, answer.text);
    const parsed = schema.safeParse(parseJson(answer.text));
    // What was asked may have been done: a status below 500 keeps it from being asked again.
    if (!parsed.success) throw refused(answer.status, `an answer of another shape: ${answer.text}`);
    return parsed.data;
  }

  /** Not by the signal alone: Deno no longer heeds it once the request object is collected as garbage. */
  async #inTime<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(platformSilent('creem'));
        controller.abort();
      }, this.settings.timeout ?? TIMEOUT);
    });
    try {
      return await Promise.race([ask(controller.signal), silence]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** 429 says that nothing was done; after anything else only a call that may arrive twice is tried again. */
function isWorthRepeating({ isRepeatable }: Call, error: unknown): boolean {
  if (!(error instanceof PlatformError)) return false;
  const { platformStatus } = error;
  return platformStatus === 429 || (isRepeatable && (platformStatus === undefined || platformStatus >= 500));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
