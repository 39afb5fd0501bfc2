/** The newest of a long life are read by walking an index to the end of the page, whatever is filtered: nothing sorts that life. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PlanNode, plansFor, tellPlans } from '../support/plans.ts';
import { adminPool } from '../support/stack.ts';

const ROWS = 3000;
const PAGE = 20;
const team = randomUUID();
const people = { owner: randomUUID(), member: randomUUID() };
let client: pg.PoolClient;

// Half of the rows are the member's, a third has each value of what is filtered.
beforeAll(async () => {
  client = await adminPool.connect();
  await client.query(`begin; set local session_replication_role = replica`);
  await client.query(`insert into public.workspaces (id, name) values ($1, 'w')`, [team]);
  await client.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team, people.owner, people.member],
  );
  const row = `$1::uuid, case when n % 2 = 0 then $2::uuid else $3 end, now() - make_interval(mins => n * 20)`;
  const params = [team, people.owner, people.member, ROWS];
  await client.query(
    `insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, model, reference_id, request_id)
     select ${row}, 'other', 'success', 'model ' || n % 3, 'order-' || n / 20, 'request ' || n from generate_series(1, $4) n`,
    params,
  );
  await client.query(
    `insert into public.credit_transactions (workspace_id, user_id, created_at, transaction_type, amount, reason, metadata, is_overdraft, balance_after, grant_changes)
     select ${row}, 'debit', -1, 'generation', jsonb_build_object('model', 'model ' || n % 3, 'request_id', 'request ' || n), false, 1, '{}'
     from generate_series(1, $4) n`,
    params,
  );
  // What the planner knows: the team is one of many.
  await client.query(
    `insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, model)
     select md5((n % 2000)::text)::uuid, md5((n % 2000)::text)::uuid, now() - make_interval(mins => n), 'other', 'success', 'm'
     from generate_series(1, 40000) n`,
  );
  await client.query('analyze private.ai_usage_logs, public.credit_transactions');
  await tellPlans(client);
});
afterAll(async () => {
  await client.query('rollback');
  client.release();
});

/** The nodes of the plan that reads `table` for this reader's query. */
async function nodesOf(table: string, reader: keyof typeof people, query: string, length = PAGE): Promise<PlanNode[]> {
  const { rows, nodes } = await plansFor(client, people[reader], table, query, [team]);
  expect(rows).toHaveLength(length);
  return nodes;
}

/** What of its rows a walk read; those of another node, such as each debit's refunds, are none of them. */
const rowsRead = (nodes: PlanNode[]): number =>
  nodes
    .filter(
      (node) =>
        node['Index Name']?.endsWith('created_at_idx') ||
        node['Index Name']?.includes('reference_id') ||
        node['Index Name']?.endsWith('pkey'),
    )
    .reduce(
      (sum, node) => sum + (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
      0,
    );

const LISTS = [
  ['call_history', 'ai_usage_logs'],
  ['credit_history', 'credit_transactions'],
] as const;
const ASKED = [
  ['everything', 'owner', ''],
  ['a model', 'owner', `, model => 'model 1'`],
  ['a person', 'owner', `, user_id => '${people.member}'`],
  ['a reference', 'owner', `, reference_id => 'order-70'`],
  ['a span of time', 'owner', `, "from" => now() - interval '1 year', "to" => now()`],
  ['what is theirs', 'member', ''],
] as const;

test.each(LISTS.flatMap(([list, table]) => ASKED.map((asked) => [list, table, ...asked] as const)))(
  '%s walks an index of %s for %s of the %s',
  async (list, table, _, reader, filter) => {
    const nodes = await nodesOf(table, reader, `select id from public.${list}($1, max_rows => ${PAGE}${filter})`);
    expect(nodes.filter((node) => node['Node Type'] === 'Sort' && node['Actual Rows'] > PAGE)).toEqual([]);
    // The third or half of what it reads is on the page; a sort by id within an instant reads some ahead.
    expect(rowsRead(nodes)).toBeLessThan(PAGE * 10);
  },
);

test('the newest calls of the table itself are walked as well: the planner expects the policy to let a page through', async () => {
  const newest = 'select id from public.ai_usage_logs where workspace_id = $1 order by created_at desc limit 5';
  const nodes = await nodesOf('ai_usage_logs', 'owner', newest, 5);
  expect(rowsRead(nodes)).toBeLessThan(50);
  expect(Math.max(...nodes.filter((node) => node['Index Name']).map((node) => node['Plan Rows']))).toBeGreaterThan(5);
});
