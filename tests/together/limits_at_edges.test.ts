/** Limits at the edge of a minute, a day, a month and a period, under many sessions whose instants lie on both sides of it. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newCaller, newKey, newModel } from '../ai/helpers.ts';
import { callAtOnce, hangUp, inTurn, type Outcome, openCallers, rowsOf, untilBlocked } from '../support/callers.ts';
import { adminPool, newUser, sql, sqlAs } from '../support/stack.ts';
import { driftOf, newAccount } from '../support/wallets.ts';

const CALLS = 60;
let callers: pg.Client[] = [];

beforeAll(async () => {
  callers = await openCallers(20);
});
afterAll(() => hangUp(callers));

/** The first instant of this month: an edge of a minute, a day and a month. */
function edge(): Date {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1));
}

/** Instants just before and just after the edge, in turn: whichever session is first, some come late. */
function around(number: number): string {
  return new Date(edge().getTime() + (number % 2 === 0 ? -500 : 500)).toISOString();
}

/** Sends a statement for each instant, all at once; returns how many were let through before the edge and after it. */
async function letThrough(statement: (at: string) => string): Promise<{ before: number; after: number }> {
  const calls = Array.from({ length: CALLS }, (_, number) => ({
    // Each session sends instants of both sides.
    by: inTurn(callers, number),
    statement: statement(around(number + Math.floor(number / callers.length))),
  }));
  const outcomes = await callAtOnce(calls);
  const passed = (outcome: Outcome) => 'row' in outcome && outcome.row.passed === true;
  const isEarly = (number: number) => (number + Math.floor(number / callers.length)) % 2 === 0;
  return {
    before: outcomes.filter((outcome, number) => passed(outcome) && isEarly(number)).length,
    after: outcomes.filter((outcome, number) => passed(outcome) && !isEarly(number)).length,
  };
}

/** Admits a call and ends it in the same transaction: left open in the past, it would be taken for a lost one and swept. */
function admit(userId: string | null, model: string, at: string, more = ''): string {
  return `select (public.finish_ai_call((a ->> 'hold_id')::uuid, 'success', at => '${at}') ->> 'finished')::boolean as passed
    from public.admit_ai_call(${userId ? `'${userId}'` : 'null'}, '${model}', 1, 1, at => '${at}'${more}) a
    where (a ->> 'admitted')::boolean`;
}

test('a minute: a plan that allows ten calls allows ten in each, and no third ten by going back and forth', async () => {
  const user = await newUser();
  const model = await newModel({ credits_per_request: 0, scene: 'other' });
  const passed = await letThrough((at) => admit(user.id, model, at));
  expect(passed.before).toBeLessThanOrEqual(10);
  expect(passed.after).toBe(10);
});

test('a minute within a month: what comes late counts in the minute that runs', async () => {
  const user = await newUser();
  const model = await newModel({ credits_per_request: 0, scene: 'other' });
  const shifted = (at: string) => new Date(new Date(at).getTime() + 3_600_000).toISOString();
  const passed = await letThrough((at) => admit(user.id, model, shifted(at)));
  expect(passed.before + passed.after).toBeLessThanOrEqual(20);
  expect(passed.before).toBeLessThanOrEqual(10);
});

test('a month: ten messages are ten in each', async () => {
  const user = await newUser();
  await sql(`update public.workspaces set plan = 'basic' where id = $1`, [user.id]);
  for (const at of [around(0), around(1)]) {
    await sql(
      `insert into private.ai_request_counts (workspace_id, minute_started_at, minute_requests, period_start, messages)
       values ($1, $2, 0, date_trunc('month', $2, 'UTC'), 90)`,
      [user.id, at],
    );
  }
  const model = await newModel({ credits_per_request: 0 });
  expect(await letThrough((at) => admit(user.id, model, at))).toEqual({ before: 10, after: 10 });
});

test('a key: a budget of five a day is five in each', async () => {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 100, 'manual')`, [user.id]);
  const model = await newModel({ credits_per_request: 1 });
  const made = await newKey(user, { period_budget: 5, budget_period: 'day' });
  const [row] = await sql<{ hash: string }>(
    `select encode(key_hash, 'hex') as hash from private.api_key_hashes where api_key_id = $1`,
    [made.id],
  );
  const passed = await letThrough((at) => admit(null, model, at, `, api_key_hash => '${row?.hash}'`));
  expect(passed.before + passed.after).toBeLessThanOrEqual(10);
  expect(passed.before).toBeLessThanOrEqual(5);
  const [key] = await sql(
    'select credits_used::float8 as used, period_credits_used::float8 as today, period_started_at as since from public.spending_limits where spender_id = $1',
    [made.id],
  );
  expect(key).toMatchObject({ used: passed.before + passed.after, since: edge() });
  expect(key?.today).toBeLessThanOrEqual(5);
  expect(await driftOf([user.id])).toEqual([]);
});

async function newTeamOf(owner: string, member: string): Promise<string> {
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const id = team?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [id, owner, member],
  );
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual', workspace_id => $2)`, [owner, id]);
  return id;
}

test('a member: five a day are five in each, and the count is what the ledger has', async () => {
  const [owner, member] = [await newAccount(3), await newAccount(3)];
  const team = await newTeamOf(owner, member);
  await adminPool.query(
    `update public.workspace_member_credits set limit_period = 'day', period_credit_limit = 5 where workspace_id = $1 and user_id = $2`,
    [team, member],
  );
  const passed = await letThrough(
    (at) =>
      `select (public.debit_user_credits_transaction('${member}', 1, 'manual', workspace_id => '${team}', at => '${at}')).amount = 1 as passed`,
  );
  expect(passed).toEqual({ before: 5, after: 5 });
  const [counted] = await sql(
    `select credits_used::float8 as used, period_credits_used::float8 as today from public.spending_limits
     where workspace_id = $1 and spender_id = $2`,
    [team, member],
  );
  expect(counted).toEqual({ used: 10, today: 5 });
  expect(await driftOf([team])).toEqual([]);
});

test('a feature: a limit of five in a period is five in each', async () => {
  const user = await newAccount(3);
  await sql(
    `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'message', 5, 'a test')`,
    [user],
  );
  const passed = await letThrough(
    (at) =>
      `select (to_jsonb(public.consume_feature('message', 1, '${user}', at => '${at}')) ->> 'allowed')::boolean as passed`,
  );
  expect(passed).toEqual({ before: 5, after: 5 });
});

test('what a member uses, in any order of instants, never passes a day and is counted where it belongs', async () => {
  const owner = await newAccount(3);
  const model = fc.array(
    fc.record({ hours: fc.integer({ min: -40, max: 40 }), amount: fc.integer({ min: 1, max: 4 }) }),
    {
      maxLength: 25,
    },
  );
  await fc.assert(
    fc.asyncProperty(model, async (uses) => {
      const member = await newAccount(3);
      const team = await newTeamOf(owner, member);
      await adminPool.query(
        `update public.workspace_member_credits set limit_period = 'day', period_credit_limit = 6 where workspace_id = $1 and user_id = $2`,
        [team, member],
      );
      const days = new Map<string, number>();
      let newest = '';
      for (const { hours, amount } of uses) {
        const at = new Date(edge().getTime() + hours * 3_600_000).toISOString();
        const day = at.slice(0, 10);
        const used = days.get(day) ?? 0;
        const outcome = await sql(
          `select public.debit_user_credits_transaction($1, $2, 'manual', workspace_id => $3, at => $4)`,
          [member, amount, team, at],
        ).then(
          () => 'paid',
          ({ message }) => message,
        );
        expect(outcome).toMatch(used + amount <= 6 ? /^paid$/ : /limit_reached/);
        if (outcome === 'paid') {
          days.set(day, used + amount);
          if (day > newest) newest = day;
        }
      }
      const [counted] = await sql<{ today: number }>(
        `select period_credits_used::float8 as today from public.spending_limits where workspace_id = $1 and spender_id = $2`,
        [team, member],
      );
      expect(counted?.today).toBe(days.get(newest) ?? 0);
    }),
    { numRuns: 12 },
  );
});

test('the time is taken under the lock: a call that waited for it is of the time when it got it', async () => {
  const user = await newUser();
  const model = await newModel({ credits_per_request: 0, scene: 'other' });
  const [holder, waiting] = [await sqlAs('postgres'), await sqlAs('service_role')];
  try {
    await holder.query('begin');
    await holder.query('select from public.credit_wallets where workspace_id = $1 for no key update', [user.id]);
    const admitted = waiting.query('select public.admit_ai_call($1, $2, 1, 1) as a', [user.id, model]);
    await untilBlocked(waiting);
    const { rows } = await holder.query('select clock_timestamp() as freed');
    await holder.query('commit');
    const holdId = (await admitted).rows[0].a.hold_id;
    const [call] = await sql<{ started_at: Date }>('select started_at from private.ai_calls where hold_id = $1', [
      holdId,
    ]);
    expect(call?.started_at.getTime()).toBeGreaterThanOrEqual(rows[0].freed.getTime());
  } finally {
    await Promise.all([holder.end(), waiting.end()]);
  }
});

test('another session that holds the wallet across an edge lets nobody pass twice', async () => {
  const user = await newUser();
  const model = await newModel({ credits_per_request: 0, scene: 'other' });
  const reference = randomUUID();
  // Ten of the later minute first; then as many as like of the earlier one.
  const later = new Date(edge().getTime() + 7_260_000).toISOString();
  const earlier = new Date(edge().getTime() + 7_259_000).toISOString();
  const outcomes = await callAtOnce(
    Array.from({ length: CALLS }, (_, number) => ({
      by: inTurn(callers, number),
      statement: admit(
        user.id,
        model,
        number < callers.length ? later : earlier,
        `, details => '{"reference_id": "${reference}"}'`,
      ),
    })),
  );
  expect(rowsOf(outcomes).filter(({ passed }) => passed).length).toBe(10);
});
