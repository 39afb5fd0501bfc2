/** What both simulated platforms share: open checkouts, subscriptions and payments in memory, and telling of them. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CatalogueProduct, FindProduct } from './catalogue.ts';
import { idTail, type Platform, type Story } from './story.ts';

/** What a simulator is made with. */
export interface ShopSettings {
  findProduct: FindProduct;
  /** Sends an event to the platform's webhook, signed. */
  deliver: (platform: Platform, event: object) => Promise<unknown>;
  /** The time, ISO-8601 in UTC. */
  now?: () => string;
}

/** A checkout page. */
export interface Checkout {
  platform: Platform;
  /** What will have happened once it is paid, as far as it is known before. */
  story: Story;
  /** The metadata that the subscription or payment gets; the story's is the checkout's own. */
  innerMetadata: Story['metadata'];
  trialDays: number;
  successUrl: string | undefined;
  cancelUrl: string | undefined;
  isPaid: boolean;
}

/** A subscription: what is known of it, and its status in the platform's words. */
export interface Subscription {
  platform: Platform;
  story: Story;
  status: string;
  /** When it was last changed. */
  changedAt: string;
}

/** An invoice that was made by itself, of no subscription. */
export interface LoneInvoice {
  story: Story | undefined;
  customer: string;
  metadata: Story['metadata'];
  status: 'draft' | 'open' | 'paid' | 'void';
}

/** Longest wait for the webhooks before a caller is answered, ms: callers of the API give up after ten seconds. */
const PATIENCE = 5_000;

/** The memory of the simulator. Everything is gone when its process ends. */
export class Shop {
  readonly checkouts = new Map<string, Checkout>();
  readonly subscriptions = new Map<string, Subscription>();
  /** By payment id, the story as it was when that payment was made. */
  readonly payments = new Map<string, { platform: Platform; story: Story }>();
  readonly invoices = new Map<string, LoneInvoice>();
  /** Payment methods by the customer they are kept of, the newest first. */
  readonly cards = new Map<string, string[]>();
  /** Addresses by customer id. */
  readonly customers = new Map<string, string | null>();

  constructor(private readonly settings: ShopSettings) {}

  now(): string {
    return this.settings.now?.() ?? new Date().toISOString();
  }

  /**
   * The time of a subscription's next change, which is in a later second than its last one: Stripe's events tell whole
   * seconds, so of two changes in one nobody could say which was the later. A clock that was set is taken as it is.
   */
  async timeOfChange(found: Subscription): Promise<string> {
    const nextSecond = (Math.floor(Date.parse(found.changedAt) / 1000) + 1) * 1000;
    // More than once: a timer may come a millisecond early.
    while (!this.settings.now && nextSecond > Date.now()) await sleep(nextSecond - Date.now());
    found.changedAt = this.now();
    return found.changedAt;
  }

  /** A new id with a platform's prefix. */
  newId(prefix: string): string {
    return `${prefix}_${idTail(randomUUID())}`;
  }

  findProduct(wanted: Parameters<FindProduct>[0]): Promise<CatalogueProduct | undefined> {
    return this.settings.findProduct(wanted);
  }

  /**
   * A customer by id or address, made where there is none. An id from before a restart is taken as it is: the project
   * remembers its customers longer than this process does.
   */
  customer(prefix: string, wanted: { id?: string; email?: string | null }): { id: string; email: string | null } {
    const known = [...this.customers].find(([id, email]) => id.startsWith(`${prefix}_`) && email === wanted.email)?.[0];
    const id = wanted.id ?? (wanted.email ? known : undefined) ?? this.newId(prefix);
    const email = this.customers.get(id) ?? wanted.email ?? null;
    this.customers.set(id, email);
    return { id, email };
  }

  /** Remembers the payment of a story, so that it can be refunded. */
  recordPayment(platform: Platform, story: Story): void {
    if (story.payment) this.payments.set(story.payment.id, { platform, story });
  }

  /**
   * Tells of events one after the other, and waits a while for the webhooks' answers: what was bought is then there
   * when the caller looks. A webhook that fails is logged by `deliver` and changes nothing here, as with the platforms.
   */
  async tell(platform: Platform, events: object[]): Promise<void> {
    const told = (async () => {
      for (const event of events) {
        await this.settings.deliver(platform, event).catch((error) => console.error(`${platform} webhook:`, error));
      }
    })();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, PATIENCE);
    });
    await Promise.race([told, patience]);
    clearTimeout(timer);
  }
}

/** The part of a story that a row of the catalogue tells. */
export function storyProduct(product: CatalogueProduct): Story['product'] {
  const { product_id: id, price_id, amount, currency, billing_period, plan } = product;
  return { id, price_id, name: plan ?? product.product_id, amount, currency, billing_period };
}

/** The share of a period that is still ahead at `now`, from 0 to 1. */
export function shareLeft(period: { start: string; end: string }, now: string): number {
  const [start, end, at] = [Date.parse(period.start), Date.parse(period.end), Date.parse(now)];
  return Math.min(1, Math.max(0, (end - at) / (end - start)));
}
