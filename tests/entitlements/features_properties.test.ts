/** Any sequence of uses, releases and retries is answered as a small model of it says. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { sql } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

const LIMIT = 20;

// In quarters, which floats hold exactly.
const quantity = fc.integer({ min: 1, max: 40 }).map((quarters) => quarters / 4);
const step = fc.oneof(
  fc.record({ kind: fc.constant('use' as const), quantity, key: fc.option(fc.constantFrom('a', 'b', 'c')) }),
  fc.record({
    kind: fc.constant('release' as const),
    of: fc.nat(9),
    quantity: fc.option(quantity),
    key: fc.option(fc.constantFrom('a', 'x', 'y')),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What is used of the limit, and what is left of each use. */
interface Model {
  used: number;
  uses: { id: string; left: number }[];
  keys: Map<string, { request: string; used: number }>;
}

async function use(account: string, model: Model, { quantity, key }: Extract<Step, { kind: 'use' }>): Promise<void> {
  const earlier = model.keys.get(key ?? '');
  const call = sql<{ a: { allowed: boolean; id: string; used: number } }>(
    `select to_jsonb(public.consume_feature('message', $2, $1, idempotency_key => $3)) as a`,
    [account, quantity, key],
  );
  const request = `use ${quantity}`;
  if (earlier && earlier.request !== request) {
    await expect(call).rejects.toMatchObject({ message: 'idempotency_conflict' });
    return;
  }
  const [row] = await call;
  if (earlier) {
    expect(row?.a.used).toBe(earlier.used);
    return;
  }
  const allowed = model.used + quantity <= LIMIT;
  if (allowed) {
    model.used += quantity;
    model.uses.push({ id: String(row?.a.id), left: quantity });
    if (key) model.keys.set(key, { request, used: model.used });
  }
  expect(row?.a).toMatchObject({ allowed, used: model.used });
}

async function release(model: Model, { of, quantity, key }: Extract<Step, { kind: 'release' }>): Promise<void> {
  const made = model.uses[of % Math.max(model.uses.length, 1)];
  if (!made) return;
  const call = sql<{ a: { used: number } }>(
    'select to_jsonb(public.release_feature($1, $2, release_idempotency_key => $3)) as a',
    [made.id, quantity, key],
  );
  const request = `release ${made.id} ${quantity}`;
  const earlier = model.keys.get(key ?? '');
  if (earlier && earlier.request !== request) {
    await expect(call).rejects.toMatchObject({ message: 'idempotency_conflict' });
    return;
  }
  const [row] = await call;
  if (earlier) {
    expect(row?.a.used).toBe(earlier.used);
    return;
  }
  const released = Math.min(quantity ?? made.left, made.left);
  made.left -= released;
  model.used -= released;
  if (key && released > 0) model.keys.set(key, { request, used: model.used });
  expect(row?.a).toMatchObject({ released, used: model.used, remaining: LIMIT - model.used });
}

test(
  'uses, releases and retries are what a model of them says',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const account = await newAccount(3);
        await sql(
          `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'message', $2, 'a test')`,
          [account, LIMIT],
        );
        const model: Model = { used: 0, uses: [], keys: new Map() };
        for (const next of steps) {
          if (next.kind === 'use') await use(account, model, next);
          else await release(model, next);
        }
        const [sums] = await sql(
          `select (select coalesce(sum(used), 0)::float8 from public.feature_usage where workspace_id = $1) as used,
                (select coalesce(sum(quantity), 0)::float8 from public.usage_records where workspace_id = $1) as recorded`,
          [account],
        );
        expect(sums).toEqual({ used: model.used, recorded: model.used });
      }),
      { numRuns: runs(14) },
    );
  },
  60_000 + runs(60_000),
);
