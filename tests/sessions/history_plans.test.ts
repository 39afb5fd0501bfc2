/** The newest analyses of a workspace are read by walking an index to the end of the page, whatever is filtered. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { plansFor, tellPlans } from '../support/plans.ts';
import { adminPool } from '../support/stack.ts';

const PAGE = 20;
const team = randomUUID();
const people = { owner: randomUUID(), member: randomUUID() };
let client: pg.PoolClient;

// Half of 3,000 analyses are the member's, a third has each level; the team is one of many.
beforeAll(async () => {
  client = await adminPool.connect();
  await client.query('begin; set local session_replication_role = replica');
  await client.query(`insert into public.workspaces (id, name) values ($1, 'w')`, [team]);
  await client.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team, people.owner, people.member],
  );
  await client.query(
    `insert into public.session_analysis_logs (session_id, sequence_number, workspace_id, user_id, analyzed_at, safety_level, severity,
       display_text, model_used)
     select md5('s' || w || ' ' || n / 30)::uuid, n, case w when 0 then $1::uuid else md5('w' || w)::uuid end,
       case when w > 0 then md5('p' || w)::uuid when n / 30 % 2 = 0 then $2::uuid else $3 end, now() - make_interval(mins => n),
       (array['red', 'yellow', 'green'])[n % 3 + 1]::public.session_safety_level, 1, 'seen', 'm'
     from (select 0 as w, n from generate_series(1, 3000) n union all select 1 + n % 500, n from generate_series(1, 20000) n) x`,
    [team, people.owner, people.member],
  );
  await client.query('analyze public.session_analysis_logs');
  await tellPlans(client);
});
afterAll(async () => {
  await client.query('rollback');
  client.release();
});

test.each([
  ['everything', 'owner', ''],
  ['a level', 'owner', `, safety_level => 'red'`],
  ['a level of a person', 'owner', `, safety_level => 'red', user_id => '${people.member}'`],
  ['a span of time', 'owner', `, "from" => now() - interval '30 hours', "to" => now() - interval '1 hour'`],
  ['their own', 'member', ''],
  ['a level of their own', 'member', `, safety_level => 'yellow'`],
] as const)('%s of the %s', async (_, reader, filter) => {
  const query = `select session_id from public.session_analysis_history($1, max_rows => ${PAGE}${filter})`;
  const { rows, nodes } = await plansFor(client, people[reader], 'session_analysis_logs', query, [team]);
  expect(rows).toHaveLength(PAGE);
  const walked = nodes.filter((node) => node['Index Name']?.startsWith('session_analysis_logs'));
  expect(walked).not.toEqual([]);
  const read = walked.reduce(
    (sum, node) => sum + (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'],
    0,
  );
  // A page of each of the three levels, and what is sorted by its place within an instant.
  expect(read).toBeLessThanOrEqual(PAGE * 10);
});
