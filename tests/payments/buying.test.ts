/** A plan bought from either platform, from the signed event to the credits that are spent. */
import { expect, test } from 'vitest';
import { newUser, serviceClient, sql } from '../support/stack.ts';
import { driftOf, walletOf } from '../support/wallets.ts';
import { deliverTo, purchaseBy, sell, toldByCreem, toldByStripe } from './shop.ts';

async function debit(user_id: string, amount: number) {
  const { error } = await serviceClient().rpc('debit_user_credits_transaction', {
    user_id,
    amount,
    reason: 'generation',
  });
  expect(error).toBeNull();
}

test('subscription.paid of Creem: 3 credits become 103, a debit of 20 leaves 83', async () => {
  const user = await newUser();
  expect(await walletOf(user.id)).toMatchObject({ balance: 3 });
  const { product } = await sell('creem', { plan: 'basic', credits: 100 });
  const event = toldByCreem('subscription.paid', purchaseBy(user, product, 'creem'));

  expect(await deliverTo('creem', event)).toEqual({ status: 200, body: '{"received":true,"state":"applied"}' });

  expect(await walletOf(user.id)).toMatchObject({ balance: 103, total: 103, spent: 0 });
  const { client } = user; // all of it as the person sees it
  const payments = await client.from('payments').select('platform, status, amount, currency, kind');
  expect(payments.data).toEqual([
    { platform: 'creem', status: 'succeeded', amount: 900, currency: 'USD', kind: 'subscription' },
  ]);
  const subscriptions = await client.from('user_subscriptions').select('plan_type, plan_status, units, is_live');
  expect(subscriptions.data).toEqual([{ plan_type: 'basic', plan_status: 'active', units: 1, is_live: true }]);
  const history = await client.from('subscription_history').select('event_type, plan, status, amount');
  expect(history.data).toEqual([{ event_type: 'payment_succeeded', plan: 'basic', status: 'active', amount: 900 }]);
  const entries = await client.from('credit_transactions').select('reason, amount').order('id');
  expect(entries.data).toEqual([
    { reason: 'signup', amount: 3 },
    { reason: 'subscription', amount: 100 },
  ]);
  const person = await client.from('users').select('subscription_plan, subscription_status, credits_balance').single();
  expect(person.data).toEqual({ subscription_plan: 'basic', subscription_status: 'active', credits_balance: 103 });

  await debit(user.id, 20);
  expect(await walletOf(user.id)).toMatchObject({ balance: 83, total: 103, spent: 20 });
  expect(await deliverTo('creem', event)).toMatchObject({ status: 200 });
  expect(await walletOf(user.id)).toMatchObject({ balance: 83, total: 103, spent: 20 });
  expect(await driftOf([user.id])).toEqual([]);
});

test('a subscription of Stripe, its events the wrong way round: one grant', async () => {
  const user = await newUser();
  const { product } = await sell('stripe', { plan: 'basic', credits: 100 });
  const story = purchaseBy(user, product, 'stripe');
  for (const type of [
    'invoice_payment.paid',
    'customer.subscription.updated',
    'invoice.paid',
    'invoice.payment_succeeded',
    'checkout.session.completed',
    'customer.subscription.created',
  ] as const) {
    expect(await deliverTo('stripe', toldByStripe(type, story))).toMatchObject({ status: 200 });
  }
  expect(await walletOf(user.id)).toMatchObject({ balance: 103, total: 103 });
  const refunded = { ...story, refund: { id: 're_1', amount: 450 } };
  expect(await deliverTo('stripe', toldByStripe('charge.refunded', refunded))).toMatchObject({ status: 200 });
  expect(await walletOf(user.id)).toMatchObject({ balance: 53, total: 53 });
  const { data } = await user.client.from('payments').select('status, amount, refunded_amount');
  expect(data).toEqual([{ status: 'partially_refunded', amount: 900, refunded_amount: 450 }]);
  expect(await driftOf([user.id])).toEqual([]);
});

test('a pack of either platform', async () => {
  for (const platform of ['creem', 'stripe'] as const) {
    const user = await newUser();
    const { product } = await sell(platform, { credits: 50 });
    const story = purchaseBy(user, product, platform);
    const event =
      platform === 'creem'
        ? toldByCreem('checkout.completed', story)
        : toldByStripe('checkout.session.completed', story);
    expect(await deliverTo(platform, event)).toMatchObject({ status: 200 });
    expect(await walletOf(user.id)).toMatchObject({ balance: 53 });
  }
});

test('what no retry can mend is answered with 200, kept, and told to admins', async () => {
  const { product } = await sell('creem', { plan: 'basic', credits: 100 });
  const user = await newUser();
  const event = toldByCreem('subscription.paid', purchaseBy(user, product, 'creem'));
  const broken = { ...event, object: { ...event.object, id: 7 } };
  expect(await deliverTo('creem', broken)).toEqual({ status: 200, body: '{"received":true,"state":"failed"}' });
  const [kept] = await sql(
    `select state, raw_body, error_code, (select count(*)::integer from public.admin_notifications n
       where n.kind = 'payment_event_failed' and n.subject = 'creem ' || e.event_id) as told
     from public.payment_events e where event_id = $1`,
    [event.id],
  );
  expect(kept).toEqual({ state: 'failed', raw_body: JSON.stringify(broken), error_code: 'invalid_payload', told: 1 });
  expect(await deliverTo('creem', event)).toEqual({ status: 200, body: '{"received":true,"state":"applied"}' });
  expect(await walletOf(user.id)).toMatchObject({ balance: 103 });
});
