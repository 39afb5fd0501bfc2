/** A search reads what it finds and little else, among many workspaces that say the same, whatever the locale. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PlanNode, plansFor, tellPlans } from '../support/plans.ts';
import { adminPool } from '../support/stack.ts';

const TENANTS = 150;
const team = randomUUID();
const people = { owner: randomUUID(), member: randomUUID() };
let client: pg.PoolClient;

/** Conversations of a workspace, each of as many messages; every one has the common words, one in ten the rare ones. */
async function talk(
  workspace: string,
  person: string,
  { conversations = 1, isShared = false, messages = 20 },
): Promise<void> {
  await client.query(
    `with begun as (
       insert into public.conversations (workspace_id, user_id, is_shared) select $1, $2, $4 from generate_series(1, $3) returning id
     )
     insert into public.messages (workspace_id, conversation_id, role, content)
     select $1, begun.id, case when n % 2 = 0 then 'assistant' else 'user' end::public.message_role,
       'The weather of today, number ' || n || '. 用户的问题。' || case when n % 10 = 0 then 'Marmalade 数据库' else '' end
     from begun cross join generate_series(1, $5) n`,
    [workspace, person, conversations, isShared, messages],
  );
}

beforeAll(async () => {
  client = await adminPool.connect();
  await client.query(`begin; set local session_replication_role = replica`);
  await client.query(`insert into public.workspaces (id, name) select id, 'w' from unnest($1::uuid[]) id;`, [
    [team, ...Object.values(people)],
  ]);
  await client.query(
    `insert into public.workspace_members (workspace_id, user_id, role)
     values ($1, $2, 'owner'), ($1, $3, 'member'), ($2, $2, 'owner'), ($3, $3, 'owner')`,
    [team, people.owner, people.member],
  );
  for (let tenant = 0; tenant < TENANTS; tenant += 1) {
    const id = randomUUID();
    await talk(id, id, {});
  }
  await talk(people.owner, people.owner, {});
  await talk(team, people.owner, { conversations: 2, isShared: true, messages: 10 });
  await talk(team, people.owner, { conversations: 40 });
  await tellPlans(client);
}, 60_000);
afterAll(async () => {
  await client.query('rollback');
  client.release();
});

/** How many hits a person's search has, what the index gave for them, and what was read in vain. */
async function search(reader: keyof typeof people, query: string, filter = '') {
  const index = 'messages_search_idx';
  const asked = `select message_id from public.search_messages($1, max_rows => 100${filter})`;
  const { rows, nodes } = await plansFor(client, people[reader], index, asked, [query]);
  const sum = (of: PlanNode[], figure: (node: PlanNode) => number | undefined): number =>
    of.reduce((total, node) => total + (figure(node) ?? 0) * node['Actual Loops'], 0);
  return {
    hits: rows.length,
    indexed: sum(
      nodes.filter((node) => node['Index Name'] === index),
      (node) => node['Actual Rows'],
    ),
    removed: sum(
      nodes,
      (node) =>
        (node['Rows Removed by Filter'] ?? 0) +
        (node['Rows Removed by Index Recheck'] ?? 0) +
        (node['Rows Removed by Join Filter'] ?? 0),
    ),
    wholeTables: nodes.filter((node) => node['Node Type'] === 'Seq Scan' && node['Actual Rows'] > 100).length,
  };
}

test.each([
  ['a common word', 'member', 'weather', '', 20],
  ['a rare word', 'member', 'marmalade', '', 2],
  ['two characters that are common', 'member', '用户', '', 20],
  ['two that are rare', 'member', '数据', '', 2],
  ['three', 'member', '数据库', '', 2],
  ['one', 'member', '库', '', 2],
  ['a phrase', 'member', '"weather of today"', '', 20],
  ['the beginning of a word', 'member', 'marm*', '', 2],
  ['a common word and a rare one', 'member', 'weather marmalade', '', 2],
  ['a role', 'member', 'weather', `, role => 'user'`, 10],
] as const)('%s', async (_, reader, query, filter, hits) => {
  // What the team's owner has said is for nobody else, so a member has what is shared alone.
  const found = await search(reader, query, filter);
  expect(found).toMatchObject({ hits, wholeTables: 0 });
  expect(found.indexed).toBeGreaterThanOrEqual(hits);
  expect(found.indexed).toBeLessThanOrEqual(10 * hits);
  expect(found.removed).toBeLessThanOrEqual(10 * hits);
});

test('a conversation among many of its person', async () => {
  const { rows } = await client.query(
    `select id from public.conversations where workspace_id = $1 and not is_shared limit 1`,
    [team],
  );
  const found = await search('owner', 'weather', `, conversation_id => '${rows[0].id}'`);
  expect(found).toMatchObject({ hits: 20, indexed: 20, wholeTables: 0 });
});

test('whom many workspaces say the same beside', async () => {
  const found = await search('owner', 'marmalade');
  expect(found).toMatchObject({ hits: 84, indexed: 84, wholeTables: 0 });
});
