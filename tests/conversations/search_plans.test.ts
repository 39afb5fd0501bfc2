/** A search reads what it finds and little else, among many workspaces that say the same, whatever the locale. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
  await client.query(`begin; set local session_replication_role = replica; load 'auto_explain'`);
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
  await client.query(`set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on;
    set local auto_explain.log_analyze = on; set local auto_explain.log_timing = off; set local auto_explain.log_format = json;
    set local client_min_messages = log`);
}, 60_000);
afterAll(async () => {
  await client.query('rollback');
  client.release();
});

type Node = {
  'Node Type': string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Rows Removed by Join Filter'?: number;
  Plans?: Node[];
};

/** How many hits a person's search has, what the index gave for them, and what was read in vain. */
async function search(reader: keyof typeof people, query: string, filter = '') {
  const nodes: Node[] = [];
  const flat = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(flat)];
  const listen = ({ message = '' }: { message?: string }): void => {
    const json = message.slice(message.indexOf('{'));
    if (json.includes('"Index Name": "messages_search_idx"')) nodes.push(...flat(JSON.parse(json).Plan));
  };
  client.on('notice', listen);
  await client.query(`select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, [
    JSON.stringify({ role: 'authenticated', sub: people[reader] }),
  ]);
  try {
    const { rows } = await client.query(`select message_id from public.search_messages($1, max_rows => 100${filter})`, [
      query,
    ]);
    const sum = (of: Node[], figure: (node: Node) => number | undefined): number =>
      of.reduce((total, node) => total + (figure(node) ?? 0) * node['Actual Loops'], 0);
    return {
      hits: rows.length,
      indexed: sum(
        nodes.filter((node) => node['Index Name'] === 'messages_search_idx'),
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
  } finally {
    await client.query('set local role none');
    client.off('notice', listen);
  }
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
