/** What a signed-in person may do about payments. SQL says whether, the platform does it, its events tell the outcome. */
import type { z } from 'zod';
import { ApiError, invalidRequest } from '../_shared/errors.ts';
import { type BillingAccount, callRpc, type PaymentTask, type TaskResult } from './database.ts';
import type { Platform } from './gateway.ts';
import {
  type cancelRequest,
  type changePlanRequest,
  type checkoutRequest,
  type portalRequest,
  requireReturnUrl,
  type resumeRequest,
} from './request.ts';
import { createGateways } from './settings.ts';

/** A subscription after it was asked to change. `status` is the platform's word. */
interface ChangedSubscription {
  platform: Platform;
  subscription_id: string;
  status: string;
}

const gatewayTo = createGateways(Deno.env);

/** Opens a checkout page for a plan or a pack. */
export async function openCheckout(user_id: string, request: z.infer<typeof checkoutRequest>) {
  const { payment_product_id, workspace_id, success_url, cancel_url, units = 1 } = request;
  const order = await callRpc('begin_checkout', { user_id, payment_product_id, units, workspace_id });
  return gatewayTo(order.platform).checkout({
    ...order,
    units,
    success_url: requireReturnUrl(success_url, 'success_url', order.return_urls),
    cancel_url: cancel_url === undefined ? undefined : requireReturnUrl(cancel_url, 'cancel_url', order.return_urls),
  });
}

/** Opens the page on which a customer looks after cards and invoices. Throws 404 `not_found` before any purchase. */
export async function openPortal(user_id: string, request: z.infer<typeof portalRequest>) {
  const { workspace_id, platform, return_url } = request;
  const account = await callRpc('get_billing_account', { user_id, workspace_id });
  const wanted = return_url ?? account.return_urls[0];
  if (!wanted) throw invalidRequest('return_url is needed.', 'return_url');
  const address = requireReturnUrl(wanted, 'return_url', account.return_urls);
  const customer = findCustomer(account, platform);
  if (!customer) throw new ApiError(404, 'not_found', 'There is no purchase yet, so there is nothing to look after.');
  return { url: await gatewayTo(customer.platform).portal(customer.customer_id, address) };
}

/** Ends the subscription, with its paid period unless the request says now. */
export async function cancelSubscription(
  user_id: string,
  { workspace_id, at }: z.infer<typeof cancelRequest>,
): Promise<ChangedSubscription> {
  const change = at === 'now' ? 'cancel_now' : 'cancel_at_period_end';
  const { platform, subscription_id } = await callRpc('begin_subscription_change', { user_id, change, workspace_id });
  return { platform, subscription_id, status: await gatewayTo(platform).cancel(subscription_id, at) };
}

/** Undoes a cancellation at the period's end. */
export async function resumeSubscription(
  user_id: string,
  { workspace_id }: z.infer<typeof resumeRequest>,
): Promise<ChangedSubscription> {
  const change = 'resume';
  const { platform, subscription_id } = await callRpc('begin_subscription_change', { user_id, change, workspace_id });
  return { platform, subscription_id, status: await gatewayTo(platform).resume(subscription_id) };
}

/** Moves the subscription to another plan or period. */
export async function changePlan(
  user_id: string,
  { payment_product_id, workspace_id }: z.infer<typeof changePlanRequest>,
): Promise<ChangedSubscription> {
  const change = await callRpc('begin_plan_change', { user_id, payment_product_id, workspace_id });
  const { platform, subscription_id } = change;
  return { platform, subscription_id, status: await gatewayTo(platform).changePlan(change) };
}

/** The most tasks of one call, so that it ends before the platform's limit on a request. */
const MOST_TASKS = 50;

/** Does what events left to do at the platforms, one task after the other. Failures are kept with the task. */
export async function doTasks(): Promise<{ done: number; failed: number }> {
  const count = { done: 0, failed: 0 };
  while (count.done + count.failed < MOST_TASKS) {
    const task = await callRpc('claim_payment_task', {});
    if (!task) break;
    const result = await tryTask(task);
    await callRpc('finish_payment_task', { task_id: task.id, ...result });
    count[result.error === undefined ? 'done' : 'failed'] += 1;
  }
  return count;
}

/** Does one task and tells what came of it. */
async function tryTask(task: PaymentTask): Promise<TaskResult> {
  try {
    if (task.task === 'cancel_subscription') {
      await gatewayTo(task.platform).cancelSubscriptionNow(task.subscription_id);
      return {};
    }
    return { payment_id: await chargePack(task) };
  } catch (thrown) {
    const { message, words, code } = thrown as { message?: string; words?: string; code?: string };
    const outcome = code === 'payment_failed' ? 'declined' : code === 'invalid_state' ? 'impossible' : undefined;
    return { error: (words ?? message ?? String(thrown)).slice(0, 500), outcome };
  }
}

function chargePack(task: Extract<PaymentTask, { customer_id: unknown }>): Promise<string | undefined> {
  const { id, platform, customer_id, ...pack } = task;
  // The first purchase is a checkout: it makes the customer, and there the card is.
  if (!customer_id) throw new ApiError(409, 'invalid_state', `Nobody in this workspace has paid with ${platform}.`);
  const charge = { ...pack, task_id: id, customer_id };
  return task.task === 'void_charge' ? gatewayTo(platform).voidCharge(charge) : gatewayTo(platform).chargePack(charge);
}

function findCustomer({ customers, subscription }: BillingAccount, platform: Platform | undefined) {
  const wanted = platform ?? subscription?.platform;
  return customers.find((customer) => customer.platform === wanted) ?? (platform ? undefined : customers[0]);
}
