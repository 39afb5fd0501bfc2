/** What a payment link sells is asked of Stripe, here of its simulator. */
import { expect, test } from 'vitest';
import { env, newUser, sql } from '../support/stack.ts';
import { walletOf } from '../support/wallets.ts';
import { sell } from './shop.ts';

test('a payment link of a pack, which names its buyer alone, brings its credits', async () => {
  const user = await newUser();
  const pack = await sell('stripe', { credits: 50 });
  await sql(
    `update public.system_config set config_value = '"https://app.example.test,http://localhost:3000"'
     where config_key = 'checkout_return_urls'`,
  );
  const ours = await fetch(`${env.FUNCTIONS_URL}/billing/checkout`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ payment_product_id: pack.id, success_url: 'https://app.example.test/done' }),
  });
  const simulator = new URL(((await ours.json()) as { checkout_url: string }).checkout_url).origin;
  const made = await fetch(`${simulator}/v1/checkout/sessions`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_1' },
    body: new URLSearchParams({
      mode: 'payment',
      'line_items[0][price]': pack.product.price_id ?? '',
      'line_items[0][quantity]': '2',
      success_url: 'https://shop.example.test',
      client_reference_id: user.id,
    }),
  });
  const { url } = (await made.json()) as { url: string };
  await fetch(url, { method: 'POST', redirect: 'manual' });
  expect(await walletOf(user.id)).toMatchObject({ balance: 103 });
  const { data } = await user.client.from('payments').select('kind, status, units, bound_by');
  expect(data).toEqual([{ kind: 'purchase', status: 'succeeded', units: 2, bound_by: 'reference' }]);
});
