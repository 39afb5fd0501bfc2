/**
 * The rpcs of billing, with their types written by hand: the one place that knows what they take and give.
 * Each throws the ApiError that SQL raised.
 */
import { database, run } from '../_shared/database.ts';
import type { Platform } from './gateway.ts';

/** What `begin_checkout` approved. */
export interface ApprovedCheckout {
  workspace_id: string;
  user_id: string;
  email: string | null;
  platform: Platform;
  product_id: string;
  price_id: string | null;
  kind: 'plan' | 'pack';
  trial_days: number;
  customer_id: string | null;
  /** Goes into the metadata: it tells our own checkout from a link that anyone may write. */
  proof: string;
  /** Origins that pages may be sent back to. */
  return_urls: string[];
}

/** A workspace's standing with the platforms. */
export interface BillingAccount {
  workspace_id: string;
  customers: { platform: Platform; customer_id: string }[];
  subscription: {
    platform: Platform;
    subscription_id: string;
    plan: string;
    status: string;
    cancel_at_period_end: boolean;
    period_end: string;
  } | null;
  return_urls: string[];
}

/** What `begin_plan_change` approved. */
export interface ApprovedPlanChange {
  platform: Platform;
  subscription_id: string;
  product_id: string;
  price_id: string | null;
  from_price_id?: string;
  units: number;
  is_upgrade: boolean;
}

/** Something to do at a platform that an event brought about. */
export type PaymentTask = { id: number; platform: Platform } & (
  | { task: 'cancel_subscription'; subscription_id: string }
  | {
      /** void_charge: it was tried, whether it was made is not known, and it is to be made no more. */
      task: 'charge_pack' | 'void_charge';
      workspace_id: string;
      user_id: string | null;
      proof: string;
      /** Null where the workspace has never paid on this platform. */
      customer_id: string | null;
      product_id: string;
      price_id: string | null;
      invoice_id?: string;
    }
);

/** What came of a task: without an error it is done; a charge without a payment was voided. */
export interface TaskResult {
  error?: string;
  /** declined: nothing was charged; impossible: nor ever will be. Without either it is tried again. */
  outcome?: 'declined' | 'impossible';
  payment_id?: string;
}

/** The caller and the workspace, which is the caller's own where none is named. */
type Actor = { user_id: string; workspace_id?: string };

interface Rpcs {
  list_payment_products: [args: Record<string, never>, answer: { plans: unknown[]; packs: unknown[] }];
  begin_checkout: [args: Actor & { payment_product_id: string; units?: number }, answer: ApprovedCheckout];
  get_billing_account: [args: Actor, answer: BillingAccount];
  begin_plan_change: [args: Actor & { payment_product_id: string }, answer: ApprovedPlanChange];
  begin_subscription_change: [
    args: Actor & { change: 'cancel_at_period_end' | 'cancel_now' | 'resume' },
    answer: { platform: Platform; subscription_id: string },
  ];
  claim_payment_task: [args: Record<string, never>, answer: PaymentTask | null];
  finish_payment_task: [args: { task_id: number } & TaskResult, answer: null];
}

// The generated types know of their answers only that they are JSON; the cast ends here.
type Answer<T> = Awaited<ReturnType<Parameters<typeof run<T>>[0]>>;
type Client = { rpc(name: string, args: object): PromiseLike<Answer<unknown>> };
const client = database as unknown as Client;

/** Calls an rpc with the service role's rights. */
export async function callRpc<Name extends keyof Rpcs>(name: Name, args: Rpcs[Name][0]): Promise<Rpcs[Name][1]> {
  return (await run(() => client.rpc(name, args))) as Rpcs[Name][1];
}
