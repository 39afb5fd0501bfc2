/** Messages by the month, whatever subscriptions a workspace has and in whatever order of time messages come. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool } from '../support/stack.ts';

const RUNS = runs(20);
const LIMIT = 3;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Of the 400 days from here on one is a 29 February. */
const BEGINNING = Date.UTC(2027, 0, 26);

const instant = fc.nat(400 * 24).map((hours) => BEGINNING + hours * HOUR);
const subscription = fc.record({
  do: fc.constant('subscribe' as const),
  at: instant,
  // A month by the calendar, thirty days, a quarter, a year, anything.
  days: fc.oneof(fc.constantFrom(28, 29, 30, 31, 90, 365, 366), fc.integer({ min: 1, max: 400 })),
});
const step = fc.oneof(
  { weight: 1, arbitrary: subscription },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit' as const), most: fc.integer({ min: 1, max: LIMIT }) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('message' as const), at: instant }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('record' as const), at: instant, messages: fc.integer({ min: 1, max: 2 }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const iso = (time: number): string => new Date(time).toISOString();

/** A time and so many months, on the same day or the last of a month that is too short. */
function monthsAfter(start: number, months: number): number {
  const from = new Date(start);
  const day = Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + months, 1);
  const next = new Date(day);
  const days = new Date(Date.UTC(next.getUTCFullYear(), next.getUTCMonth() + 1, 0)).getUTCDate();
  return day + (Math.min(from.getUTCDate(), days) - 1) * DAY + (start % DAY);
}

/** Where the months of a period begin. */
function monthsOf(start: number, end: number): number[] {
  const starts = [start];
  for (let next = monthsAfter(start, 1); next <= end - 7 * DAY; next = monthsAfter(start, starts.length))
    starts.push(next);
  return starts;
}

async function inLife(run: (client: pg.PoolClient, id: string) => Promise<void>): Promise<void> {
  const client = await adminPool.connect();
  const id = randomUUID();
  try {
    await client.query('begin');
    await client.query(`insert into auth.users (id, email) values ($1::uuid, $1::uuid || '@example.test')`, [id]);
    await run(client, id);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

test('the months of a period are those of a calendar that begins on its day, and lie side by side', async () => {
  await inLife(async (client, id) => {
    await fc.assert(
      fc.asyncProperty(subscription, fc.nat(4000), async ({ at: start, days }, thousandth) => {
        const end = start + days * DAY;
        const starts = monthsOf(start, end);
        const at = start + Math.floor(((end - start) * (thousandth % 1000)) / 1000);
        await client.query('delete from private.plan_periods where workspace_id = $1', [id]);
        await client.query('insert into private.plan_periods values ($1, $2, $3)', [id, iso(start), iso(end)]);
        const { rows } = await client.query(
          'select p.period_start, p.period_end from private.feature_period($1, $2, by_month => true) p',
          [id, iso(at)],
        );
        const month = starts.findLastIndex((from) => from <= at);
        expect([rows[0].period_start.getTime(), rows[0].period_end.getTime()]).toEqual([
          starts[month],
          starts[month + 1] ?? end,
        ]);
      }),
      // The last hours of what is left of a period, in a month of the calendar of its own.
      { numRuns: RUNS * 10, examples: [[{ do: 'subscribe', at: Date.UTC(2027, 2, 27, 4), days: 66 }, 998]] },
    );
  });
});

/** What is counted, by the month it counts to. */
type Counts = Map<number, number>;

async function countsOf(client: pg.PoolClient, id: string): Promise<Counts> {
  const { rows } = await client.query(
    `select period_start, messages::int from private.ai_request_counts where workspace_id = $1 and messages > 0`,
    [id],
  );
  return new Map(rows.map((row) => [row.period_start.getTime(), row.messages]));
}

async function take(client: pg.PoolClient, id: string, step: Step, counted: Counts): Promise<void> {
  if (step.do === 'subscribe') {
    const end = iso(step.at + step.days * DAY);
    await client.query('insert into private.plan_periods values ($1, $2, $3) on conflict do nothing', [
      id,
      iso(step.at),
      end,
    ]);
  } else if (step.do === 'cancel') {
    await client.query(
      `delete from private.plan_periods p where p.workspace_id = $1
         and p.starts_at = (select max(n.starts_at) from private.plan_periods n where n.workspace_id = $1)`,
      [id],
    );
  } else if (step.do === 'limit') {
    await client.query(
      `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason)
       values ($1, 'messages_per_month', $2, 'a test')
       on conflict (workspace_id, feature_code) do update set feature_limit = excluded.feature_limit`,
      [id, step.most],
    );
  } else {
    const { rows } = await client.query(
      `select p.period_start, p.period_end, l.allowed, l.used::int, l."limit"::int as most
       from private.feature_period($1, $2, by_month => true) p,
         public.check_subscription_limit($1, at => $2) l`,
      [id, iso(step.at)],
    );
    const { period_start, period_end, allowed, used, most } = rows[0];
    const month = period_start.getTime();
    const before = counted.get(month) ?? 0;
    expect(month <= step.at && step.at < period_end.getTime(), 'the month is that of the message').toBe(true);
    expect({ used, allowed }).toEqual({ used: before, allowed: before < most });
    if (step.do === 'record') {
      await client.query('select public.update_user_usage($1, $2, 0, 0, $3)', [id, step.messages, iso(step.at)]);
      counted.set(month, before + step.messages);
    } else {
      const call = await client.query(
        `select (public.admit_ai_call($1, 'a model of months', 1, 1, at => $2) ->> 'admitted')::boolean as admitted`,
        [id, iso(step.at)],
      );
      expect(call.rows[0].admitted).toBe(allowed);
      if (allowed) counted.set(month, before + 1);
    }
  }
  expect(await countsOf(client, id)).toEqual(counted);
}

test(`no month has more messages than its limit in ${RUNS} lives`, { timeout: 60_000 + RUNS * 500 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      await inLife(async (client, id) => {
        await client.query(`
          insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request)
          values ('a model of months', 'M', 'up', 1, 0);
          select private.set_model_price('a model of months', '{"input": 0, "output": 0}', '2020-01-01')`);
        await client.query(
          `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason)
           select $1, f, n, 'a test' from (values ('messages_per_month', ${LIMIT}), ('requests_per_minute', null)) v (f, n)`,
          [id],
        );
        const counted: Counts = new Map();
        for (const next of steps) await take(client, id, next, counted);
      });
    }),
    { numRuns: RUNS },
  );
});
