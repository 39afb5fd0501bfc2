/** The functions' own connections: few, given out in turn, and replaced when the server ends them. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { isTransient } from '../../supabase/functions/_shared/outage.ts';
import type { RpcPool } from '../../supabase/functions/_shared/pool.ts';
import type { PoolSettings } from '../../supabase/functions/_shared/pool-settings.ts';
import { adminPool, sql, sqlAs, urls } from '../support/stack.ts';
import { driftOf, newAccount, walletOf } from '../support/wallets.ts';
import { poolOf, ROLE } from './helpers.ts';

const pools: RpcPool[] = [];
afterAll(() => Promise.all(pools.map((pool) => pool.end())));

function openPool(own: Partial<PoolSettings>): RpcPool {
  const pool = poolOf(own);
  pools.push(pool);
  return pool;
}

const model = `model-${randomUUID()}`;
await sql(
  `with model as (insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, $1, 'up', 10)
     returning model)
   select private.set_model_price(model, '{"input": 0, "output": 1}', '2020-01-01') from model`,
  [model],
);

/** Holds wallets, for which every admission then waits; one backend at most waits for each. */
async function lockWallets(ids: string[]) {
  const holder = await sqlAs('postgres');
  await holder.query('begin');
  await holder.query('select from public.credit_wallets where workspace_id = any ($1) for update', [ids]);
  const { processID } = holder as unknown as { processID: number };
  return {
    /** The backends that wait, once there is one for each wallet. */
    async waiting(): Promise<number[]> {
      for (;;) {
        const { rows } = await adminPool.query(
          'select pid from pg_stat_activity where $1 = any (pg_blocking_pids(pid))',
          [processID],
        );
        if (rows.length === ids.length) return rows.map(({ pid }) => pid);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    letGo: () => holder.end(),
  };
}

/** Opens a pool's connections, so that calls that wait for a lock begin to wait together: each waits two seconds at most. */
const openConnections = (pool: RpcPool, people: string[]) => Promise.all(people.map((id) => admit(pool, id)));

const admit = (pool: RpcPool, user_id: string) =>
  pool.call('admit_ai_call', { user_id, model, input_tokens: 1, request_id: randomUUID() }, {});
const finish = (pool: RpcPool, data: unknown) =>
  pool.call(
    'finish_ai_call',
    { hold_id: (data as { hold_id: string }).hold_id, ending: 'success', completion_tokens: 1 },
    {},
  );

test('a call that gets no connection in time is told so as PostgREST tells it, and those before it go on', async () => {
  const people = await Promise.all([newAccount(10), newAccount(10)]);
  const pool = openPool({ max: 2, acquire: 500 });
  await openConnections(pool, people);
  const lock = await lockWallets(people);
  const first = people.map((id) => admit(pool, id));
  await lock.waiting();
  const late = await admit(pool, people[0] as string);
  expect(late).toMatchObject({ data: null, error: { code: 'PGRST003' }, status: 504 });
  expect(isTransient(late.error ?? {}, late.status)).toBe(true);
  await lock.letGo();
  expect(await Promise.all(first)).toMatchObject([{ data: { admitted: true } }, { data: { admitted: true } }]);
});

test('200 callers share 4 connections: each is admitted and settled once', async () => {
  const people = await Promise.all([newAccount(50), newAccount(50), newAccount(50), newAccount(50)]);
  await sql(`update public.workspaces set plan = 'enterprise' where id = any ($1)`, [people]);
  const before = await walletOf(people[0] as string);
  const pool = openPool({ max: 4, acquire: 60_000 });
  const settled = await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      const admission = await admit(pool, people[number % 4] as string);
      return finish(pool, admission.data);
    }),
  );
  expect(settled.filter(({ error }) => error)).toEqual([]);
  const logs = await sql<{ count: number }>(
    `select count(*)::integer as count from public.ai_usage_logs where workspace_id = any ($1) and status = 'success'`,
    [people],
  );
  expect(logs).toEqual([{ count: 200 }]);
  expect(await walletOf(people[0] as string)).toMatchObject({ held: 0, total: before?.total });
  expect(await driftOf(people)).toEqual([]);
});

test('a connection that the server ends fails its call, which may be tried again', async () => {
  const people = await Promise.all([newAccount(10), newAccount(10)]);
  const pool = openPool({ max: 2 });
  await openConnections(pool, people);
  const lock = await lockWallets(people);
  const broken = people.map((id) => admit(pool, id));
  for (const pid of await lock.waiting()) await adminPool.query('select pg_terminate_backend($1)', [pid]);
  for (const { data, error, status } of await Promise.all(broken)) {
    expect(data).toBeNull();
    expect(isTransient(error ?? {}, status)).toBe(true);
  }
  await lock.letGo();
  const again = await Promise.all(people.map((id) => admit(pool, id)));
  expect(again).toMatchObject([{ data: { admitted: true } }, { data: { admitted: true } }]);
});

test.each<[string, Partial<PoolSettings>, number]>([
  ['unused ones are closed, but for the fewest that stay', { idle: 100, min: 1 }, 1],
  ['old ones are closed', { recycle: 100, min: 3 }, 0],
])('of three connections %s', async (_which, settings, left) => {
  const people = await Promise.all([newAccount(10), newAccount(10), newAccount(10)]);
  const pool = openPool({ max: 3, ...settings });
  await openConnections(pool, people);
  const lock = await lockWallets(people);
  const admitted = people.map((id) => admit(pool, id));
  const backends = await lock.waiting();
  await lock.letGo();
  await Promise.all(admitted);
  const open = async () =>
    (await adminPool.query('select from pg_stat_activity where pid = any ($1)', [backends])).rowCount;
  await vi.waitFor(async () => expect(await open()).toBe(left), { timeout: 20_000 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await open()).toBe(left);
});

test('a statement ends in time, and its connection is as good as before', async () => {
  const someone = await newAccount(10);
  const pool = openPool({ max: 1, statement: 300 });
  const lock = await lockWallets([someone]);
  const { error, status } = await admit(pool, someone);
  expect(error?.code).toBe('57014');
  expect(isTransient(error ?? {}, status)).toBe(true);
  await lock.letGo();
  expect((await pool.call('require_api_key', { api_key_hash: 'none' }, {})).error?.code).toBe('PT401');
});

test('a call that waits too long for a lock fails before its statement would, and may be tried again', async () => {
  const someone = await newAccount(10);
  const lock = await lockWallets([someone]);
  const { error, status } = await admit(openPool({ max: 1 }), someone);
  expect(error?.code).toBe('55P03');
  expect(isTransient(error ?? {}, status)).toBe(true);
  await lock.letGo();
});

test('a server that is not there, and one that is not let in to, are told apart', async () => {
  const nowhere = await openPool({ port: 1 }).call('require_api_key', { api_key_hash: 'none' }, {});
  expect(isTransient(nowhere.error ?? {}, nowhere.status)).toBe(true);
  const stranger = await openPool({ password: 'wrong' }).call('require_api_key', { api_key_hash: 'none' }, {});
  expect(stranger.error?.code).toBe('28P01');
  expect(isTransient(stranger.error ?? {}, stranger.status)).toBe(false);
});

describe('the role that functions connect as', () => {
  const url = new URL(urls.database);
  url.username = ROLE;

  test.each([
    'select from public.users',
    'select from public.models',
    'select from private.secrets',
    'select from auth.users',
    'select from storage.objects',
    'create table public.mine (id integer)',
    'set role service_role',
    `select public.credit_user_credits_transaction('${randomUUID()}', 1, 'manual')`,
    `select public.verify_credits('${randomUUID()}')`,
    'select public.list_payment_products()',
  ])('may not: %s', async (statement) => {
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    try {
      await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
    } finally {
      await client.end();
    }
  });
});
