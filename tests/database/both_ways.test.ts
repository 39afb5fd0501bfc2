/** An rpc is answered the same over the functions' own connections as over PostgREST, its errors and traces included. */
import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { sql } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';
import { overApi, poolOf } from './helpers.ts';

const pool = poolOf();
afterAll(() => pool.end());

const someone = await newAccount(10);
const TEXT = 'quotes \' " \\ {,} $1 é 😀\n\u2028';

describe.each([true, false])('statements prepared: %s', (prepare) => {
  const pool = poolOf({ prepare });
  afterAll(() => pool.end());

  test.each<[string, string, object]>([
    ['JSON', 'get_billing_account', { user_id: someone }],
    [
      'nothing',
      'finish_file_removal',
      { bucket: 'videos', path: `${randomUUID()}/x`, next_try_at: '2020-01-01T00:00:00Z' },
    ],
    ['a list as a parameter, an empty one', 'sync_video_jobs', { max_jobs: 1, kinds: [] }],
    ['a list as a parameter', 'sync_video_jobs', { max_jobs: 1, kinds: [TEXT, 'a,b', ''] }],
    ['a refusal as data', 'admit_ai_call', { user_id: someone, model: TEXT, input_tokens: 1, details: { a: [TEXT] } }],
    ['no such key', 'require_api_key', { api_key_hash: 'none' }],
    ['no such product', 'begin_checkout', { user_id: someone, payment_product_id: randomUUID() }],
    ['no id', 'begin_checkout', { user_id: 'none', payment_product_id: randomUUID() }],
    ['a value that is none', 'cancel_video_job', { video_job_id: randomUUID(), is_confirmed: 'perhaps' }],
  ])('%s', async (_what, name, args) => {
    const answers = [await pool.call(name, args, {}), await pool.call(name, args, {})];
    const { data, error } = await overApi(name, args);
    for (const answer of answers) {
      expect(answer.data).toEqual(data);
      if (!error) expect(answer.error).toBeNull();
      else expect(answer.error).toMatchObject({ code: error.code, message: error.message });
      if (error?.code.startsWith('PT')) expect(answer.error?.details).toBe(error.details);
    }
  });
});

test('rows', async () => {
  const model = `model-${randomUUID()}`;
  await sql(
    `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, 'Mine', 'up', 10)`,
    [model],
  );
  await sql(`select private.set_model_price($1, '{"input": 0, "output": 1.5}', '2020-01-01')`, [model]);
  const args = { user_id: someone, api_key_hash: null };
  const answers = [(await pool.call('list_ai_models', args, {})).data, (await overApi('list_ai_models', args)).data];
  const [ours, theirs] = answers.map((rows) => (rows as { model: string }[]).find((row) => row.model === model));
  expect(ours).toMatchObject({ display_name: 'Mine' });
  expect(ours).toEqual(theirs);
});

test('what a limit refuses has its status, and says when to come again', async () => {
  const busy = await newAccount(3);
  await sql(
    `insert into public.audit_logs (actor_id, actor_role, action, resource_type, resource_id)
     select $1::uuid, 'authenticated', 'update', 'users', 'x' from generate_series(1, 1000)`,
    [busy],
  );
  const [row] = await sql<{ id: string }>(
    `insert into public.payment_products (platform, product_id, name, credits, amount, currency)
     values ('creem', $1, 'A pack', 10, 900, 'USD') returning id`,
    [`prod_${randomUUID()}`],
  );
  const args = { user_id: busy, payment_product_id: row?.id };
  const ours = await pool.call('begin_checkout', args, {});
  const theirs = await overApi('begin_checkout', args);
  expect(ours).toMatchObject({
    ...{ status: theirs.status, data: null },
    error: { code: 'limit_reached', message: 'limit_reached', headers: { 'Retry-After': expect.any(String) } },
  });
  expect(ours.status).toBe(429);
  expect(ours.error?.details).toBe(theirs.error?.details);
});

test('the audit log says the same of who was at work, and over which request', async () => {
  const [row] = await sql<{ id: string }>(
    `insert into public.payment_products (platform, product_id, name, credits, amount, currency)
     values ('creem', $1, 'A pack', 10, 900, 'USD') returning id`,
    [`prod_${randomUUID()}`],
  );
  const args = { user_id: someone, payment_product_id: row?.id };
  const ids = [randomUUID(), randomUUID()];
  expect((await pool.call('begin_checkout', args, { 'x-request-id': ids[0] as string })).error).toBeNull();
  expect((await overApi('begin_checkout', args, { 'x-request-id': ids[1] as string })).error).toBeNull();
  const rows = await sql(
    `select actor_id, actor_role, action, resource_id from public.audit_logs where request_id = any ($1)`,
    [ids],
  );
  const one = { actor_id: someone, actor_role: 'service_role', action: 'begin_checkout', resource_id: row?.id };
  expect(rows).toEqual([one, one]);
});
