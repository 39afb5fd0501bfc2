/** The automatic top-up over HTTP, on the simulated platforms: charged, declined, and where it cannot be done. */
import { beforeAll, expect, test } from 'vitest';
import { adminPool, env, newUser, sql, type TestUser } from '../support/stack.ts';
import { driftOf, walletOf } from '../support/wallets.ts';
import { deliverTo, purchaseBy, sell, toldByStripe } from './shop.ts';

const BILLING = `${env.FUNCTIONS_URL}/billing`;
const HOME = 'https://app.example.test';

beforeAll(async () => {
  await sql(
    `update public.system_config set config_value = to_jsonb($1::text) where config_key = 'checkout_return_urls'`,
    [`${HOME}, http://localhost:3000`],
  );
});

/** Buys a product on the simulated checkout. Gives the simulator's address. */
async function buy(user: TestUser, payment_product_id: string): Promise<string> {
  const response = await fetch(`${BILLING}/checkout`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ payment_product_id, success_url: `${HOME}/done` }),
  });
  const { checkout_url } = (await response.json()) as { checkout_url: string };
  await fetch(checkout_url, { method: 'POST', redirect: 'manual' });
  return new URL(checkout_url).origin;
}

async function setTopUp(user: TestUser, payment_product_id: string): Promise<void> {
  const { error } = await user.client.rpc('set_auto_top_up', {
    workspace_id: user.id,
    payment_product_id,
    threshold: 20,
    monthly_cap: 2,
  });
  expect(error).toBeNull();
}

const use = (user: TestUser, amount: number) =>
  sql(`select public.debit_user_credits_transaction($1, $2, 'test')`, [user.id, amount]);

/** Has billing do what is to be done, until nothing of this workspace is: another test may have begun it. */
async function doTasks({ id }: TestUser): Promise<void> {
  for (;;) {
    const response = await fetch(`${BILLING}/tasks`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
    expect(response.status).toBe(200);
    const open = await sql(`select from private.payment_tasks where workspace_id = $1 and state < 'done'`, [id]);
    if (open.length === 0) return;
  }
}

async function ruleOf({ client }: TestUser) {
  const { data } = await client.from('auto_top_ups').select('is_active, failures, requested_this_month, last_error');
  return data?.[0];
}

async function attachCard(simulator: string, user: TestUser, card: string): Promise<void> {
  const [customer] = await sql<{ customer_id: string }>(
    `select customer_id from public.payment_customers where workspace_id = $1 and platform = 'stripe'`,
    [user.id],
  );
  const response = await fetch(`${simulator}/v1/payment_methods/${card}/attach`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_1' },
    body: new URLSearchParams({ customer: customer?.customer_id ?? '' }),
  });
  expect(response.status).toBe(200);
}

test('a low balance has a pack charged to the kept card, as often as the month allows', async () => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  await buy(user, plan.id);
  await setTopUp(user, pack.id);
  await use(user, 90);
  expect(await walletOf(user.id)).toMatchObject({ balance: 13 }); // asking brings nothing
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 63 });
  await doTasks(user);
  await use(user, 50);
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 63 });
  await use(user, 50);
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 13 });
  expect(await ruleOf(user)).toMatchObject({ is_active: true, failures: 0, requested_this_month: 2 });
  const { data } = await user.client
    .from('payments')
    .select('kind, status, amount, bound_by, user_id')
    .eq('kind', 'purchase');
  const paid = { kind: 'purchase', status: 'succeeded', amount: 900, bound_by: 'checkout', user_id: user.id };
  expect(data).toEqual([paid, paid]);
  expect(await driftOf([user.id])).toEqual([]);
});

test('a declined card is tried again later, and after the fourth time no more', async () => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  const simulator = await buy(user, plan.id);
  await attachCard(simulator, user, 'pm_card_chargeCustomerFail');
  await setTopUp(user, pack.id);
  await use(user, 90);
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 13 });
  const declined = { last_error: 'Your card was declined.', requested_this_month: 0 };
  expect(await ruleOf(user)).toMatchObject({ ...declined, is_active: true, failures: 1 });
  await use(user, 1);
  await doTasks(user);
  expect(await ruleOf(user)).toMatchObject({ failures: 1 }); // an hour has not passed
  for (let failures = 2; failures <= 4; failures += 1) {
    await sql(`update public.auto_top_ups set next_try_at = now() where workspace_id = $1`, [user.id]);
    await use(user, 1);
    await doTasks(user);
    expect(await ruleOf(user)).toMatchObject({ ...declined, is_active: failures < 4, failures });
  }
  const { data } = await user.client.from('notifications').select('kind, data');
  expect(data).toMatchObject([{ kind: 'top_up_ended', data: { error: 'Your card was declined.', failures: 4 } }]);

  // With a card that pays it can be set anew; an invoice of before is void and charges nothing.
  await attachCard(simulator, user, 'pm_card_visa');
  await setTopUp(user, pack.id);
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 59 });
  expect(await ruleOf(user)).toMatchObject({ is_active: true, failures: 0, requested_this_month: 1 });
});

test('where the platform cannot charge without a checkout it ends, and the owner is told why', async () => {
  const user = await newUser();
  const pack = await sell('creem', { credits: 50 });
  await buy(user, pack.id);
  await setTopUp(user, pack.id);
  await use(user, 40);
  await doTasks(user);
  const error = 'Creem cannot charge a pack without a checkout.';
  expect(await ruleOf(user)).toMatchObject({ is_active: false, last_error: error, requested_this_month: 0 });
  const { data } = await user.client.from('notifications').select('kind, data');
  expect(data).toMatchObject([{ kind: 'top_up_ended', data: { error } }]);
});

test('one who never paid there is told so', async () => {
  const user = await newUser();
  const pack = await sell('stripe', { credits: 50 });
  await setTopUp(user, pack.id); // three credits are below the line already
  await doTasks(user);
  expect(await ruleOf(user)).toMatchObject({
    is_active: false,
    last_error: 'Nobody in this workspace has paid with stripe.',
  });
});

/** A charge whose function was killed: an invoice of it is at the platform, as far as `steps` went. */
async function beginCharge(user: TestUser, simulator: string, steps: ('item' | 'finalize' | 'pay')[]): Promise<string> {
  // In one transaction: another test's tasks would do it.
  await adminPool.query(`
    select public.debit_user_credits_transaction('${user.id}', 90, 'test');
    select private.review_charge(t, w, now()) from private.payment_tasks t join public.credit_wallets w using (workspace_id)
     where t.workspace_id = '${user.id}';
    update private.payment_tasks set state = 'tried', attempts = 1, due_at = now() + interval '1 hour'
     where workspace_id = '${user.id}'`);
  const [task] = await sql<{ id: string; customer: string; price: string }>(
    `select id, charge ->> 'customer_id' as customer, charge ->> 'price_id' as price
     from private.payment_tasks where workspace_id = $1`,
    [user.id],
  );
  const { id, customer = '', price = '' } = task ?? {};
  const post = async (path: string, form: Record<string, string>, key: string) => {
    const headers = { authorization: 'Bearer sk_test_1', 'idempotency-key': `top_up_${user.id}_${id}_${key}` };
    const response = await fetch(`${simulator}/v1${path}`, {
      method: 'POST',
      headers,
      body: new URLSearchParams(form),
    });
    expect(response.status).toBe(200);
    return ((await response.json()) as { id: string }).id;
  };
  const invoice = await post('/invoices', { customer }, 'invoice');
  if (steps.includes('item')) await post('/invoiceitems', { customer, invoice, 'pricing[price]': price }, 'item');
  if (steps.includes('finalize')) await post(`/invoices/${invoice}/finalize`, {}, 'finalize');
  if (steps.includes('pay')) {
    await attachCard(simulator, user, 'pm_card_visa');
    await post(`/invoices/${invoice}/pay`, { payment_method: 'pm_card_visa' }, 'pay');
  }
  return invoice;
}

test.each([
  { steps: [], left: 404, balance: 13, requested: 0 },
  { steps: ['item', 'finalize'], left: 'void', balance: 13, requested: 0 },
  { steps: ['item', 'finalize', 'pay'], left: 'paid', balance: 63, requested: 1 },
] as const)('a top-up that is ended leaves no charge to be made: $steps', async ({ steps, left, ...after }) => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  const simulator = await buy(user, plan.id);
  await setTopUp(user, pack.id);
  const invoice = await beginCharge(user, simulator, [...steps]);
  expect((await user.client.rpc('disable_auto_top_up', { workspace_id: user.id })).error).toBeNull();
  await sql(`update private.payment_tasks set due_at = now() where workspace_id = $1`, [user.id]);
  await doTasks(user);
  const headers = { authorization: 'Bearer sk_test_1' };
  const response = await fetch(`${simulator}/v1/invoices/${invoice}`, { headers });
  expect(response.ok ? ((await response.json()) as { status: string }).status : response.status).toBe(left);
  expect(await walletOf(user.id)).toMatchObject({ balance: after.balance });
  expect(await ruleOf(user)).toMatchObject({ is_active: false, failures: 0, requested_this_month: after.requested });
});

test('a charge that fails days after it was made is a decline like any other, and its invoice is voided', async () => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  const simulator = await buy(user, plan.id);
  await attachCard(simulator, user, 'pm_usBankAccount_processing');
  await setTopUp(user, pack.id);
  await use(user, 90);
  await doTasks(user);
  const [charged] = await sql<{ payment_id: string }>(
    `select payment_id from private.payment_tasks where workspace_id = $1`,
    [user.id],
  );
  const invoice = charged?.payment_id ?? '';
  expect(await walletOf(user.id)).toMatchObject({ balance: 13 });
  await use(user, 1);
  await doTasks(user);
  expect(await ruleOf(user)).toMatchObject({ failures: 0, requested_this_month: 1 }); // it is waited for
  const story = purchaseBy(user, pack.product, 'stripe');
  const payment = { id: invoice, amount: 900, paid_at: new Date().toISOString() };
  await deliverTo('stripe', toldByStripe('invoice.payment_failed', { ...story, payment }));
  expect(await ruleOf(user)).toMatchObject({ failures: 1, last_error: 'The charge failed.' });
  await doTasks(user);
  expect(await ruleOf(user)).toMatchObject({ is_active: true, failures: 1, requested_this_month: 0 });
  const headers = { authorization: 'Bearer sk_test_1' };
  const response = await fetch(`${simulator}/v1/invoices/${invoice}`, { headers });
  expect(await response.json()).toMatchObject({ status: 'void' });
  await use(user, 1);
  const due = () => sql(`select from private.payment_tasks where workspace_id = $1 and state < 'done'`, [user.id]);
  expect(await due()).toEqual([]); // an hour has not passed
});

test('a charge that was made with a card that is gone by now is found by its invoice', async () => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  const simulator = await buy(user, plan.id);
  await setTopUp(user, pack.id);
  await beginCharge(user, simulator, ['item', 'finalize', 'pay']);
  await sql(`update private.payment_tasks set due_at = now() where workspace_id = $1`, [user.id]);
  const [customer] = await sql<{ id: string }>(
    `select customer_id as id from public.payment_customers where workspace_id = $1`,
    [user.id],
  );
  const detached = await fetch(`${simulator}/v1/customers/${customer?.id}/payment_methods`, {
    method: 'DELETE',
    headers: { authorization: 'Bearer sk_test_1' },
  });
  expect(detached.status).toBe(200);
  await doTasks(user);
  expect(await walletOf(user.id)).toMatchObject({ balance: 63 });
  expect(await ruleOf(user)).toMatchObject({ is_active: true, failures: 0, requested_this_month: 1 });
});

test('a charge that was tried outlives its workspace: it is voided', async () => {
  const user = await newUser();
  const plan = await sell('stripe', { plan: 'basic', credits: 100 });
  const pack = await sell('stripe', { credits: 50 });
  const simulator = await buy(user, plan.id);
  await setTopUp(user, pack.id);
  const invoice = await beginCharge(user, simulator, ['item', 'finalize']);
  await adminPool.query(`delete from auth.users where id = $1`, [user.id]);
  await sql(`update private.payment_tasks set due_at = now() where workspace_id = $1`, [user.id]);
  await doTasks(user);
  const headers = { authorization: 'Bearer sk_test_1' };
  const response = await fetch(`${simulator}/v1/invoices/${invoice}`, { headers });
  expect(await response.json()).toMatchObject({ status: 'void' });
});
