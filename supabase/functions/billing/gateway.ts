/** What billing needs of a payment platform, whichever it is. */
import { ApiError } from '../_shared/errors.ts';

/** The payment platforms. */
export const PLATFORMS = ['creem', 'stripe'] as const;
export type Platform = (typeof PLATFORMS)[number];

/** A checkout to open, as the rpc `begin_checkout` approved it. */
export interface CheckoutOrder {
  /** That the checkout is ours; for its metadata. */
  proof: string;
  workspace_id: string;
  user_id: string;
  /** Null for an account without an address; the platform then asks for one. */
  email: string | null;
  product_id: string;
  /** Null on Creem, where a product has one price. */
  price_id: string | null;
  kind: 'plan' | 'pack';
  units: number;
  /** 0: no trial. On Creem the product itself has the trial. */
  trial_days: number;
  /** Null before the first purchase on this platform. */
  customer_id: string | null;
  success_url: string;
  /** Not used by Creem, whose checkouts have none. */
  cancel_url?: string;
}

/** A change of plan, as the rpc `begin_plan_change` approved it. */
export interface PlanChange {
  subscription_id: string;
  product_id: string;
  price_id: string | null;
  /** Of what is changed from. */
  from_price_id?: string;
  units: number;
  /** An upgrade is charged at once, everything else with the next invoice. */
  is_upgrade: boolean;
}

/** A pack to charge without the buyer, as the rpc `claim_payment_task` gave it. */
export interface PackCharge {
  /** The task's id: whoever is asked again about the same task charges once. */
  task_id: number;
  workspace_id: string;
  /** Who agreed to it; null once that account is gone. */
  user_id: string | null;
  customer_id: string;
  product_id: string;
  /** Null on Creem. */
  price_id: string | null;
  /** The invoice that it was charged by, once that is known. */
  invoice_id?: string;
}

/** A checkout that is open for payment. */
export interface OpenCheckout {
  checkout_id: string;
  checkout_url: string;
}

/**
 * One platform. Statuses are the platform's own words. Each method throws an ApiError: 502 `upstream_error`, 504
 * `upstream_timeout`, and 402 `payment_failed` where a card was refused.
 */
export interface Gateway {
  /** Opens a checkout page. */
  checkout(order: CheckoutOrder): Promise<OpenCheckout>;
  /** Gives the address of the page on which a customer looks after cards and invoices. `returnUrl`: Stripe only. */
  portal(customerId: string, returnUrl: string): Promise<string>;
  /** Ends a subscription, now or with its paid period. Gives its status. */
  cancel(subscriptionId: string, at: 'period_end' | 'now'): Promise<string>;
  /** Undoes a cancellation that has not happened yet. Gives the status. */
  resume(subscriptionId: string): Promise<string>;
  /** Moves a subscription to another product. Gives the status. */
  changePlan(change: PlanChange): Promise<string>;
  /** Ends a subscription at once; one that has ended, or that the platform does not know, is fine as it is. */
  cancelSubscriptionNow(subscriptionId: string): Promise<void>;
  /**
   * Charges a pack to the customer's saved card and gives the payment's id, under which its events tell of it. Throws 402
   * `payment_failed` where nothing was charged, and 409 `invalid_state` where the platform cannot do that at all.
   */
  chargePack(charge: PackCharge): Promise<string>;
  /** Sees to it that a charge that was tried is made no more. Gives the payment's id where it has been made. */
  voidCharge(charge: PackCharge): Promise<string | undefined>;
}

/** What the platform is told of a purchase, to be found again in its events. All values are texts: Stripe takes no other. */
export function checkoutMetadata(
  order: Pick<CheckoutOrder, 'workspace_id' | 'product_id' | 'price_id' | 'units'> & {
    user_id: string | null;
    proof?: string;
  },
): Record<string, string> {
  const { workspace_id, user_id, proof, product_id, price_id, units } = order;
  const optional = { ...(user_id ? { user_id } : {}), ...(price_id ? { price_id } : {}), ...(proof ? { proof } : {}) };
  return { workspace_id, product_id, ...optional, units: String(units) };
}

/** An answer of a platform that is none we can use; `status` of the platform is undefined where none came. */
export class PlatformError extends ApiError {
  constructor(
    status: number,
    code: string,
    message: string,
    readonly platformStatus: number | undefined,
    /** The platform's own words, for the log alone. */
    readonly words: string,
  ) {
    super(status, code, message);
  }
}

/** 502: the platform failed or refused. Its words are logged without `secret` and are not shown. */
export function platformRefused(platform: Platform, status: number | undefined, words: string, secret: string) {
  const clean = words.replaceAll(secret, '[key]').slice(0, 1000);
  console.error(`${platform} answered ${status ?? 'nothing'}: ${clean}`);
  return new PlatformError(502, 'upstream_error', 'The payment provider refused or failed.', status, clean);
}

/** 504: the platform took too long. Whether it did what was asked its events will tell. */
export function platformSilent(platform: Platform): PlatformError {
  console.error(`${platform} did not answer in time`);
  return new PlatformError(
    504,
    'upstream_timeout',
    'The payment provider took too long.',
    undefined,
    'no answer in time',
  );
}
