/** Uses of a feature by 200 callers at once: no limit is passed, and the sums are those of the records. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  callAtOnce,
  countDeadlocks,
  hangUp,
  inTurn,
  openCallers,
  rowsOf,
  tally,
  untilBlocked,
} from '../support/callers.ts';
import { adminPool, sql, sqlAs } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

const CALLS = 200;
let callers: pg.Client[];
let deadlocks: number;

beforeAll(async () => {
  callers = await openCallers(CALLS);
  deadlocks = await countDeadlocks(callers);
});
afterAll(async () => {
  expect(await countDeadlocks(callers)).toBe(deadlocks);
  await hangUp(callers);
});

/** An account that may use `limit` of feature message in a period. */
async function newLimited(limit: number): Promise<string> {
  const id = await newAccount(3);
  await sql(
    `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'message', $2, 'a test')`,
    [id, limit],
  );
  return id;
}

function atOnce(statementOf: (number: number) => string, count = CALLS) {
  return callAtOnce(
    Array.from({ length: count }, (_, number) => ({ by: inTurn(callers, number), statement: statementOf(number) })),
  );
}

function use(id: string, quantity: number, more = ''): string {
  return `select a.allowed::text, to_jsonb(a) as a from public.consume_feature('message', ${quantity}, '${id}'${more}) a`;
}

/** What is counted, what the records sum up to, and how many records there are. */
async function ledgerOf(id: string): Promise<unknown> {
  const [ledger] = await sql(
    `select (select coalesce(sum(used), 0)::float8 from public.feature_usage where workspace_id = $1) as used,
            (select coalesce(sum(quantity), 0)::float8 from public.usage_records where workspace_id = $1) as recorded,
            (select count(*)::integer from public.usage_records where workspace_id = $1) as records`,
    [id],
  );
  return ledger;
}

test('two hundred uses of a feature with a limit of fifty are fifty', async () => {
  const id = await newLimited(50);
  const rows = rowsOf(await atOnce(() => use(id, 1)));
  expect(rows.filter(({ allowed }) => allowed === 'true')).toHaveLength(50);
  expect(rows.filter(({ allowed }) => allowed === 'false')).toHaveLength(150);
  expect(await ledgerOf(id)).toEqual({ used: 50, recorded: 50, records: 50 });
});

test('uses of different sizes never pass it, and stop only where the next does not fit', async () => {
  const id = await newLimited(100);
  const sizes = Array.from({ length: CALLS }, (_, number) => 0.5 + (number % 7));
  const outcomes = await atOnce((number) => use(id, sizes[number] ?? 1));
  const allowed = outcomes.map((outcome) => 'row' in outcome && outcome.row.allowed === 'true');
  const used = sizes.filter((_, number) => allowed[number]).reduce((sum, size) => sum + size, 0);
  expect(await ledgerOf(id)).toMatchObject({ used, recorded: used });
  expect(used).toBeLessThanOrEqual(100);
  const smallestRefused = Math.min(...sizes.filter((_, number) => !allowed[number]));
  expect(100 - used).toBeLessThan(smallestRefused);
});

test('one key at once is one use with one answer, even where the limit has room for just that', async () => {
  const id = await newLimited(1);
  const rows = rowsOf(await atOnce(() => use(id, 1, `, idempotency_key => 'once'`)));
  expect(rows).toHaveLength(CALLS);
  expect(new Set(rows.map(({ a }) => JSON.stringify(a))).size).toBe(1);
  expect(rows[0]?.allowed).toBe('true');
  expect(await ledgerOf(id)).toEqual({ used: 1, recorded: 1, records: 1 });
});

test('a use given back by many at once is given back once, while others use what comes free', async () => {
  const id = await newLimited(10);
  const [made] = await sql<{ id: string }>(
    `select to_jsonb(public.consume_feature('message', 10, $1)) ->> 'id' as id`,
    [id],
  );
  const outcomes = await atOnce((number) =>
    number % 2 === 0
      ? `select (to_jsonb(public.release_feature(${made?.id}, 3)) ->> 'released')::float8 as released`
      : use(id, 1),
  );
  expect(tally(outcomes)).toEqual({ ok: CALLS });
  const rows = rowsOf(outcomes);
  expect(rows.reduce((sum, { released }) => sum + Number(released ?? 0), 0)).toBe(10);
  const used = rows.filter(({ allowed }) => allowed === 'true').length;
  expect(used).toBeLessThanOrEqual(10);
  expect(await ledgerOf(id)).toMatchObject({ used, recorded: used });
});

test('one release at once under one key is one release with one answer, while others use', async () => {
  const id = await newLimited(1000);
  const [made] = await sql<{ id: string }>(
    `select to_jsonb(public.consume_feature('message', 100, $1)) ->> 'id' as id`,
    [id],
  );
  const outcomes = await atOnce((number) =>
    number % 4 === 0
      ? use(id, 1)
      : `select to_jsonb(a) as a from public.release_feature(${made?.id}, ${3 + (number % 2)}, release_idempotency_key => 'back-${number % 2}') a`,
  );
  expect(tally(outcomes)).toEqual({ ok: CALLS });
  const answers = rowsOf(outcomes.filter((_, number) => number % 4 !== 0)).map(({ a }) => JSON.stringify(a));
  expect(new Set(answers).size).toBe(2);
  const used = CALLS / 4 + 100 - 3 - 4;
  expect(await ledgerOf(id)).toEqual({ used, recorded: used, records: CALLS / 4 + 1 + 2 });
});

test('an account deleted while it uses a feature leaves nothing, and no caller meets more than not_found', async () => {
  const id = await newLimited(1000);
  const auth = await sqlAs('supabase_auth_admin');
  try {
    const [outcomes] = await Promise.all([
      atOnce(() => use(id, 1)),
      auth.query('delete from auth.users where id = $1', [id]),
    ]);
    const counts = tally(outcomes);
    expect(Object.keys(counts).filter((name) => !['ok', 'PT404 not_found'].includes(name))).toEqual([]);
    expect(await ledgerOf(id)).toEqual({ used: 0, recorded: 0, records: 0 });
  } finally {
    await auth.end();
  }
});

test('a member deleted while they use a feature of a team leaves its sums whole', async () => {
  const [owner, member] = [await newLimited(0), await newLimited(0)];
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const id = team?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [id, owner, member],
  );
  const auth = await sqlAs('supabase_auth_admin');
  try {
    const [outcomes] = await Promise.all([
      atOnce(() => use(member, 1, `, workspace_id => '${id}'`)),
      auth.query('delete from auth.users where id = $1', [member]),
    ]);
    const counts = tally(outcomes);
    expect(Object.keys(counts).filter((name) => !['ok', 'PT404 not_found'].includes(name))).toEqual([]);
    const used = counts.ok ?? 0;
    expect(await ledgerOf(id)).toEqual({ used, recorded: used, records: used });
  } finally {
    await auth.end();
  }
});

/** A team with a member who has used 5 of feature message there. */
async function newTeamUse(): Promise<{ team: string; member: string; made: string }> {
  const [owner, member] = [await newLimited(0), await newLimited(0)];
  const [row] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const team = row?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team, owner, member],
  );
  const [use] = await sql<{ id: string }>(
    `select to_jsonb(public.consume_feature('message', 5, $1, $2, at => '2026-05-05')) ->> 'id' as id`,
    [member, team],
  );
  return { team, member, made: use?.id ?? '' };
}

/** What a backend's statement comes to that finds `end` begun, and not committed. */
async function meet(begun: string[], end: string[], statement: string): Promise<unknown> {
  const deleting = await adminPool.connect();
  const backend = await sqlAs('service_role');
  try {
    for (const text of ['begin', ...begun]) await deleting.query(text);
    const outcome = backend.query(statement).then(
      ({ rows }) => rows[0].a,
      ({ code, message }) => `${code} ${message}`,
    );
    await untilBlocked(backend);
    for (const text of [...end, 'commit']) await deleting.query(text);
    return await outcome;
  } finally {
    deleting.release();
    await backend.end();
  }
}

test('a use by a member whose deletion is under way waits, and then finds them gone', async () => {
  const { team, member } = await newTeamUse();
  const used = await meet(
    [`delete from auth.users where id = '${member}'`],
    [],
    `select to_jsonb(public.consume_feature('message', 1, '${member}', '${team}')) as a`,
  );
  expect(used).toBe('PT404 not_found');
  expect(await ledgerOf(team)).toEqual({ used: 5, recorded: 5, records: 1 });
});

test('what a member has used is given back while they are deleted', async () => {
  const { team, member, made } = await newTeamUse();
  const back = await meet(
    [`delete from auth.users where id = '${member}'`],
    [],
    `select to_jsonb(public.release_feature(${made}, 2, release_idempotency_key => 'k')) as a`,
  );
  expect(back).toMatchObject({ released: 2 });
  expect(await ledgerOf(team)).toEqual({ used: 3, recorded: 3, records: 2 });
});

test('a use and a release that meet the end of their workspace wait, and hold nothing that it needs', async () => {
  for (const statement of [
    (id: string, member: string) =>
      `select to_jsonb(public.consume_feature('message', 1, '${member}', '${id}', at => '2026-05-05')) as a`,
    (_id: string, _member: string, made: string) => `select to_jsonb(public.release_feature(${made}, 2)) as a`,
  ]) {
    const { team, member, made } = await newTeamUse();
    const outcome = await meet(
      [`select from public.workspaces where id = '${team}' for update`],
      [`delete from public.workspaces where id = '${team}'`],
      statement(team, member, made),
    );
    expect(outcome).toBe('PT404 not_found');
  }
});

test('AI calls admitted at once do not pass a limit of calls', async () => {
  const id = await newAccount(3);
  const model = `features-${randomUUID()}`;
  await adminPool.query(
    `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request) values ($1, 'x', 'x', 10, 0)`,
    [model],
  );
  await adminPool.query(`select private.set_model_price($1, '{"input": 0, "output": 0}', '2020-01-01')`, [model]);
  await adminPool.query(`update public.workspaces set plan = 'enterprise' where id = $1`, [id]);
  await sql(
    `insert into public.workspace_features (workspace_id, feature_code, feature_limit, reason) values ($1, 'api_call', 7, 'a test')`,
    [id],
  );
  const outcomes = await atOnce(
    () => `select case when a ->> 'admitted' = 'true'
        then public.finish_ai_call((a ->> 'hold_id')::uuid, 'success', 3, 0, 2) end ->> 'finished' as finished
      from public.admit_ai_call('${id}', '${model}', 1) a`,
    100,
  );
  expect(rowsOf(outcomes).filter(({ finished }) => finished === 'true')).toHaveLength(7);
  expect(
    await sql(
      'select feature_code, used::integer as used from public.feature_usage where workspace_id = $1 order by 1',
      [id],
    ),
  ).toEqual([
    { feature_code: 'api_call', used: 7 },
    { feature_code: 'token', used: 35 },
  ]);
  await adminPool.query('delete from public.ai_models where model = $1', [model]);
});
