/** Pages of call_history and credit_history, put together, are what the tables show the same reader under row level security. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool } from '../support/stack.ts';

const RUNS = runs(30);
const READERS = ['owner', 'admin', 'member', 'service'] as const;
type Reader = (typeof READERS)[number];

const ids: Record<string, string> = Object.fromEntries(
  ['team', 'elsewhere', 'owner', 'admin', 'member', 'key', 'other key'].map((name) => [name, randomUUID()]),
);
/** Few instants, so that many rows share one. */
const instants = Array.from({ length: 5 }, (_, day) => `2026-03-0${day + 1}T00:00:00.123456Z`);
const instant = fc.constantFrom(...instants);
const among = (values: string[]) => fc.constantFrom(...values.map((value) => ids[value] ?? value));

/** What a row may have, and a filter name, by column. */
const VALUES = {
  user_id: among(['owner', 'admin', 'member']),
  api_key_id: among(['key', 'other key']),
  model: among(['one', 'two']),
  reference_id: among(['order-1', 'order-2']),
  scene: among(['text_chat', 'embedding']),
};
const CALL = { ...VALUES, status: among(['success', 'failed', 'refused']) };
const ENTRY = {
  ...VALUES,
  transaction_type: among(['credit', 'debit', 'refund']),
  reason: among(['generation', 'manual']),
};
const span = { from: instant, to: instant };

const rowOf = (values: Record<string, fc.Arbitrary<string>>) =>
  fc.record({
    workspace_id: among(['team', 'team', 'team', 'elsewhere']),
    created_at: instant,
    refunds: fc.nat(30),
    ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, fc.option(value)])),
  });
type Row = Record<string, string | number | null>;

/** One of the two lists: how a row is written, and what the table shows of it by the same filters. */
type List = {
  rpc: string;
  insert: string;
  /** The table or view as readers select from it, and as a member's own rows are selected for them. */
  shown: string;
  columns: Record<string, string>;
};

const STATUS = `case when t.transaction_type = 'debit' then case (select coalesce(sum(r.amount), 0) from public.credit_transactions r
  where r.refunded_transaction_id = t.id) when 0 then 'succeeded' when -t.amount then 'refunded' else 'partially_refunded' end end`;

const CALLS: List = {
  rpc: 'call_history',
  insert: `insert into private.ai_usage_logs (workspace_id, user_id, api_key_id, model, reference_id, scene, status, created_at)
    select workspace_id, user_id, api_key_id, coalesce(model, 'none'), reference_id, coalesce(scene, 'other'), coalesce(status, 'canceled'), created_at
    from jsonb_populate_recordset(null::private.ai_usage_logs, $1) r`,
  shown: 'public.ai_usage_logs',
  columns: {},
};
const ENTRIES: List = {
  rpc: 'credit_history',
  // A refund is of some debit of the same workspace, for half of it or what is left.
  insert: `with r as (
      select *, gen_random_uuid()::text as request from jsonb_to_recordset($1) r (workspace_id uuid, user_id uuid, api_key_id uuid,
        transaction_type public.credit_transaction_type, reason text, scene text, model text, reference_id text, created_at timestamptz, refunds integer)
    ), calls as (
      insert into private.ai_usage_logs (workspace_id, scene, status, model, reference_id, request_id, created_at)
      select workspace_id, 'other', 'success', 'any', reference_id, request, created_at from r
    ) insert into public.credit_transactions (workspace_id, user_id, spender_id, transaction_type, amount, reason, feature_code, metadata,
      created_at, refunded_transaction_id, is_overdraft, balance_after, grant_changes)
    select r.workspace_id, r.user_id, r.api_key_id, d.type, case d.type when 'debit' then -2 else 1 end, coalesce(r.reason, 'signup'), r.scene,
      jsonb_strip_nulls(jsonb_build_object('model', r.model, 'request_id', r.request)), r.created_at,
      case when d.type = 'refund' then (select t.id from public.credit_transactions t
        where t.workspace_id = r.workspace_id and t.transaction_type = 'debit' and 2 > (select count(*) from public.credit_transactions o
          where o.refunded_transaction_id = t.id) order by t.id offset r.refunds % 3 limit 1) end, false, 1, '{}'
    from r
    cross join lateral (select coalesce(r.transaction_type, 'debit') as type) d`,
  shown: 'public.credit_transactions',
  columns: {
    scene: 'feature_code',
    model: `metadata ->> 'model'`,
    reference_id: `(select l.reference_id from public.ai_usage_logs l where l.request_id = t.metadata ->> 'request_id')`,
    api_key_id: 'spender_id',
    status: STATUS,
  },
};

const filtersOf = (values: Record<string, fc.Arbitrary<string>>) =>
  fc.record({ ...values, ...span }, { requiredKeys: [] });
type Filters = Record<string, string | undefined>;

/** What one run plays: rows that are there, rows that come between pages, and who reads which pages. */
type Story = { rows: Row[]; later: Row[][]; reader: Reader; filters: Filters; size: number };
const storyOf = (row: fc.Arbitrary<Row>, filters: fc.Arbitrary<Filters>): fc.Arbitrary<Story> =>
  fc.record({
    rows: fc.array(row, { minLength: 5, maxLength: 40 }),
    later: fc.array(fc.array(row, { maxLength: 3 }), { maxLength: 3 }),
    reader: fc.constantFrom(...READERS),
    filters: fc.oneof(fc.constant<Filters>({}), filters),
    size: fc.integer({ min: 1, max: 9 }),
  });

const STORIES: [List, fc.Arbitrary<Story>][] = [
  [CALLS, storyOf(rowOf(CALL), filtersOf(CALL))],
  [
    ENTRIES,
    storyOf(rowOf(ENTRY), filtersOf({ ...ENTRY, status: among(['succeeded', 'partially_refunded', 'refunded']) })),
  ],
];

test.each(STORIES)('pages of $rpc are what the table shows', { timeout: 60_000 + RUNS * 500 }, async (list, story) => {
  const client = await adminPool.connect();
  try {
    await fc.assert(
      fc.asyncProperty(story, async (story) => {
        try {
          await play(client, list, story);
        } finally {
          await client.query('rollback');
        }
      }),
      { numRuns: RUNS },
    );
  } finally {
    client.release();
  }
});

async function play(client: pg.PoolClient, list: List, story: Story): Promise<void> {
  await begin(client);
  await client.query(list.insert, [JSON.stringify(story.rows)]);
  const before = await shownTo(client, list, story);
  const read: string[] = [];
  for (let page = 0; ; page += 1) {
    const rows = await pageOf(client, list, story, read.at(-1));
    expect(rows.length).toBeLessThanOrEqual(story.size);
    read.push(...rows);
    if (rows.length < story.size) break;
    await client.query(list.insert, [JSON.stringify(story.later[page] ?? [])]);
  }
  const after = await shownTo(client, list, story);
  const reads = new Set(read);
  // In its order, each once, nothing of it lost; what came meanwhile may be in it where it is older than the page.
  expect(read).toEqual(after.filter((id) => reads.has(id)));
  if (story.later.flat().length === 0) expect(read).toEqual(before);
  // What became of a debit changes while pages are read; else what was shown at first is in them.
  if (!story.filters.status || list === CALLS) expect(before.filter((id) => !reads.has(id))).toEqual([]);
}

/** People, a team and a workspace elsewhere; triggers would count, refuse and notify. */
async function begin(client: pg.PoolClient): Promise<void> {
  await client.query('begin; set local session_replication_role = replica');
  await client.query(`insert into public.workspaces (id, name) select id, 'w' from unnest($1::uuid[]) id`, [
    [ids.team, ids.elsewhere],
  ]);
  await client.query(
    `insert into public.workspace_members (workspace_id, user_id, role)
     select $1::uuid, id, role::public.workspace_role from unnest($2::uuid[], array['owner', 'admin', 'member']) m (id, role)
     union all select $3, $4, 'owner'`,
    [ids.team, [ids.owner, ids.admin, ids.member], ids.elsewhere, ids.member],
  );
}

/** Runs a query as the reader. */
async function as(client: pg.PoolClient, reader: Reader, text: string, params: unknown[]): Promise<string[]> {
  const role = reader === 'service' ? 'service_role' : 'authenticated';
  await client.query(`select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, [
    role,
    JSON.stringify(reader === 'service' ? { role } : { role, sub: ids[reader] }),
  ]);
  const { rows } = await client.query(text, params);
  await client.query('reset role');
  return rows.map(({ id }) => id);
}

const pageOf = (client: pg.PoolClient, list: List, { reader, filters, size }: Story, last: string | undefined) => {
  const named = Object.entries({ ...filters, workspace_id: ids.team, max_rows: size, before_id: last }).filter(
    ([, value]) => value !== undefined,
  );
  const args = named.map(([name], index) => `"${name}" => $${index + 1}`).join(', ');
  return as(
    client,
    reader,
    `select id from public.${list.rpc}(${args})`,
    named.map(([, value]) => value),
  );
};

const shownTo = (client: pg.PoolClient, list: List, { reader, filters }: Story) => {
  // The table of entries is closed to members: what is theirs is selected for them.
  const isClosed = list === ENTRIES && reader === 'member';
  const where = Object.keys(filters).map((name, index) => {
    const column = name === 'from' || name === 'to' ? 't.created_at' : (list.columns[name] ?? `t.${name}`);
    return `and ${column.replace(/^metadata|^feature|^spender/, 't.$&')}${name === 'from' ? ' >=' : name === 'to' ? ' <' : '::text ='} $${index + 2}`;
  });
  return as(
    client,
    isClosed ? 'service' : reader,
    `select t.id from ${list.shown} t where t.workspace_id = $1 ${isClosed ? `and t.user_id = '${ids.member}'` : ''} ${where.join(' ')}
     order by t.created_at desc, t.id desc`,
    [ids.team, ...Object.values(filters)],
  );
};
