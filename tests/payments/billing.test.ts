/** Function billing, from the checkout to the end of a subscription, on the simulated platforms; and who may not. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { anonClient, env, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { walletOf } from '../support/wallets.ts';
import { deliverTo, purchaseBy, sell, toldByCreem } from './shop.ts';

const BILLING = `${env.FUNCTIONS_URL}/billing`;
const HOME = 'https://app.example.test';
const success_url = `${HOME}/done?plan=1`;

beforeAll(async () => {
  await sql(
    `update public.system_config set config_value = to_jsonb($1::text) where config_key = 'checkout_return_urls'`,
    [`${HOME}, http://localhost:3000`],
  );
});

async function ask(
  user: Pick<TestUser, 'accessToken'> | undefined,
  path: string,
  body: object = {},
  more: Record<string, string> = {},
) {
  const response = await fetch(`${BILLING}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...more,
      ...(user ? { authorization: `Bearer ${user.accessToken}` } : {}),
    },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, string> & { error?: { code: string; param: string | null } };
  return { status: response.status, code: answer.error?.code, param: answer.error?.param, answer };
}

/** Presses the button of the simulated checkout. Gives where the buyer is sent. */
async function pay(checkoutUrl: string | undefined): Promise<string | null> {
  const response = await fetch(checkoutUrl ?? '', { method: 'POST', redirect: 'manual' });
  return response.headers.get('location');
}

async function planOf({ client }: TestUser): Promise<string> {
  const { data } = await client.from('users').select('subscription_plan, subscription_status').single();
  return `${data?.subscription_plan} ${data?.subscription_status}`;
}

describe.concurrent.each(['creem', 'stripe'] as const)('on %s', (platform) => {
  test('a plan is bought, changed, cancelled, taken up again and ended', async () => {
    const user = await newUser();
    const basic = await sell(platform, { plan: 'basic', credits: 100 });
    const pro = await sell(platform, { plan: 'pro', credits: 300, amount: 2900 });

    const checkout = await ask(user, '/checkout', { payment_product_id: basic.id, success_url });
    expect(checkout.status).toBe(200);
    expect(await walletOf(user.id)).toMatchObject({ balance: 3 }); // a page that is open has bought nothing
    const back = await pay(checkout.answer.checkout_url);
    expect(back?.startsWith(success_url)).toBe(true);
    expect(await walletOf(user.id)).toMatchObject({ balance: 103 });
    expect(await planOf(user)).toBe('basic active');

    expect((await ask(user, '/checkout', { payment_product_id: pro.id, success_url })).code).toBe('invalid_state');
    const portal = await ask(user, '/portal', { return_url: `${HOME}/account` });
    expect(portal.status).toBe(200);
    expect(URL.canParse(portal.answer.url ?? '')).toBe(true);

    expect((await ask(user, '/cancel')).status).toBe(200);
    expect(await planOf(user)).toBe('basic scheduled_cancel');
    expect((await ask(user, '/resume')).status).toBe(200);
    expect(await planOf(user)).toBe('basic active');
    expect((await ask(user, '/change-plan', { payment_product_id: pro.id })).status).toBe(200);
    expect(await planOf(user)).toBe('pro active');
    const { balance = 0 } = (await walletOf(user.id)) ?? {};
    expect(balance).toBeGreaterThan(300);
    expect((await ask(user, '/cancel', { at: 'now' })).status).toBe(200);
    expect(await planOf(user)).toBe('free canceled');
    expect(await walletOf(user.id)).toMatchObject({ balance });
  });

  test('packs are bought by the unit', async () => {
    const user = await newUser();
    const pack = await sell(platform, { credits: 50 });
    const checkout = await ask(user, '/checkout', { payment_product_id: pack.id, units: 2, success_url });
    await pay(checkout.answer.checkout_url);
    expect(await walletOf(user.id)).toMatchObject({ balance: 103 });
  });

  test('a deleted account ends its subscription at the platform', async () => {
    const user = await newUser();
    const plan = await sell(platform, { plan: 'basic', credits: 100 });
    await pay((await ask(user, '/checkout', { payment_product_id: plan.id, success_url })).answer.checkout_url);
    const [bought] = await sql<{ subscription_id: string }>(
      `select subscription_id from public.user_subscriptions where workspace_id = $1`,
      [user.id],
    );
    expect((await serviceClient().auth.admin.deleteUser(user.id)).error).toBeNull();
    const response = await fetch(`${BILLING}/tasks`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
    expect(response.status).toBe(200);
    const [ended] = await sql(
      `select s.plan_status, s.workspace_id, t.state = 'done' as is_done
         from public.user_subscriptions s join private.payment_tasks t using (platform, subscription_id)
        where subscription_id = $1`,
      [bought?.subscription_id],
    );
    expect(ended).toEqual({ plan_status: 'canceled', workspace_id: null, is_done: true });
  });
});

test('anyone may see what is sold', async () => {
  const { id } = await sell('creem', { plan: 'basic', credits: 100 });
  const response = await fetch(`${BILLING}/plans`);
  const { plans } = (await response.json()) as {
    plans: { plan: string; products: { id: string; credits: number }[] }[];
  };
  expect(plans.map(({ plan }) => plan)).toEqual(
    expect.arrayContaining(['free', 'basic', 'creator', 'pro', 'enterprise']),
  );
  expect(plans.flatMap(({ products }) => products)).toContainEqual(expect.objectContaining({ id, credits: 100 }));
});

describe('a stranger', () => {
  test('sees to nobody else’s payments', async () => {
    const owner = await newUser();
    const stranger = await newUser();
    const plan = await sell('creem', { plan: 'basic', credits: 100 });
    await pay((await ask(owner, '/checkout', { payment_product_id: plan.id, success_url })).answer.checkout_url);
    const workspace_id = owner.id;
    for (const [path, body] of [
      ['/checkout', { payment_product_id: plan.id, success_url }],
      ['/portal', {}],
      ['/cancel', {}],
      ['/resume', {}],
      ['/change-plan', { payment_product_id: plan.id }],
    ] as const) {
      expect(await ask(stranger, path, { ...body, workspace_id })).toMatchObject({ status: 403, code: 'forbidden' });
      expect(await ask(undefined, path, { ...body, workspace_id })).toMatchObject({
        status: 401,
        code: 'not_authenticated',
      });
    }
    expect(await planOf(owner)).toBe('basic active');
    expect(await ask(stranger, '/tasks')).toMatchObject({ status: 403, code: 'forbidden' });
  });

  test('is sent nowhere but where the project says', async () => {
    const user = await newUser();
    const { id } = await sell('stripe', { credits: 50 });
    for (const url of [
      'https://evil.example.test/done',
      `https://app.example.test.evil.test/`,
      `https://app.example.test@evil.test/`,
      'http://app.example.test/done',
      'javascript:alert(1)',
      '//app.example.test',
      '',
    ]) {
      const answer = await ask(user, '/checkout', { payment_product_id: id, success_url: url });
      expect([url, answer.status, answer.param]).toEqual([url, 400, 'success_url']);
    }
  });

  test('with an API key pays nothing, and odd bodies are refused', async () => {
    const user = await newUser();
    const { data } = await user.client.rpc('create_api_key', { name: 'k' });
    const { key } = data as { key: string };
    expect(await ask({ accessToken: key }, '/portal')).toMatchObject({ status: 403, code: 'forbidden' });
    expect(await ask(user, '/portal')).toMatchObject({ status: 404, code: 'not_found' });
    expect(await ask(user, '/cancel')).toMatchObject({ status: 404, code: 'not_found' });
    const { id } = await sell('creem', { credits: 50 });
    for (const body of [
      { payment_product_id: 'x', success_url },
      { payment_product_id: id, success_url, units: 0 },
      { payment_product_id: id, success_url, units: 1.5 },
      { payment_product_id: id, success_url, workspace_id: 'x' },
      { payment_product_id: id },
    ]) {
      expect(await ask(user, '/checkout', body)).toMatchObject({ status: 400, code: 'invalid_request' });
    }
    expect((await ask(user, '/checkout', { payment_product_id: randomUUID(), success_url })).code).toBe('not_found');
  });

  test('does not get what was paid with an address that is not confirmed to be theirs', async () => {
    await sql(`update public.system_config set config_value = 'true' where config_key = 'match_payments_by_email'`);
    const email = `payer-${randomUUID()}@example.test`;
    const made = await serviceClient().auth.admin.createUser({ email, password: 'a good password' });
    const id = made.data.user?.id ?? '';
    const { product } = await sell('creem', { credits: 50 });
    const story = { ...purchaseBy({ id: randomUUID(), email }, product, 'creem'), metadata: undefined };
    expect(await deliverTo('creem', toldByCreem('checkout.completed', story))).toMatchObject({ status: 200 });
    expect(await walletOf(id)).toMatchObject({ balance: 3 });
    expect((await anonClient().from('unmatched_payment_emails').select()).error?.code).toBe('42501');
    await serviceClient().auth.admin.updateUserById(id, { email_confirm: true });
    expect(await walletOf(id)).toMatchObject({ balance: 53 });
    await sql(`update public.system_config set config_value = 'false' where config_key = 'match_payments_by_email'`);
  });
});

test('a request is for the workspace that its header or its body names', async () => {
  const owner = await newUser();
  const made = await owner.client.rpc('create_workspace', { name: 'Team' });
  const { id: team } = made.data as { id: string };
  const plan = await sell('creem', { plan: 'basic', credits: 100 });
  const named = { 'x-workspace-id': team };
  const order = { payment_product_id: plan.id, success_url };
  await pay((await ask(owner, '/checkout', order, named)).answer.checkout_url);
  expect(await walletOf(team)).toMatchObject({ balance: 100 });
  expect(await planOf(owner)).toBe('free inactive');
  expect((await ask(owner, '/cancel')).status).toBe(404);
  const two = await ask(owner, '/cancel', { workspace_id: owner.id }, named);
  expect(two).toMatchObject({ status: 400, code: 'invalid_request', param: 'workspace_id' });
  expect(await ask(owner, '/cancel', {}, { 'x-workspace-id': 'x' })).toMatchObject({ status: 400 });
  expect(await ask(await newUser(), '/cancel', {}, named)).toMatchObject({ status: 403 });
  expect((await ask(owner, '/cancel', { workspace_id: team.toUpperCase() }, named)).status).toBe(200);
  expect((await ask(owner, '/resume', { workspace_id: team })).status).toBe(200);
  const { data } = await owner.client
    .from('audit_logs')
    .select('actor_id, actor_email, action, details')
    .eq('workspace_id', team)
    .like('action', 'begin_%')
    .order('id');
  const person = { actor_id: owner.id, actor_email: owner.email };
  expect(data).toEqual([
    { ...person, action: 'begin_checkout', details: { units: 1 } },
    { ...person, action: 'begin_subscription_change', details: { change: 'cancel_at_period_end' } },
    { ...person, action: 'begin_subscription_change', details: { change: 'resume' } },
  ]);
});
