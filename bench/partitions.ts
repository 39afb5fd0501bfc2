/**
 * `npm run bench -- partitions [messages]`: whether messages are better kept in partitions by month than in one table, with so many
 * messages (10,000,000 unless given) of two years, in conversations of 200 that last a month each. Both have the same rows and the
 * indexes of `public.messages`, without its triggers. Processor time is of the session that asks, which others on the machine change
 * little (Linux). With 10,000,000 it takes a quarter of an hour and 12 GB of the disk.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withClient, withPostgres } from '@basemeter/local-supabase';
import type pg from 'pg';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const MONTHS = 24;
const MESSAGES_OF_A_CONVERSATION = 200;
const CONVERSATIONS_OF_A_WORKSPACE = 50;
const TIMES_ASKED = 40;

/** Both have this in common; what stands for the columns that no query here asks for is `rest`. */
const COLUMNS = `id uuid not null, workspace_id uuid not null, conversation_id uuid not null, parent_message_id uuid,
  content text not null, rest jsonb not null default '{}', sequence_number bigint not null, created_at timestamptz not null`;
/** As `private.search_terms`: each word with its workspace before it. */
const TERMS = `string_to_array(left(workspace_id::text, 6) || replace(content, ' ', ' ' || left(workspace_id::text, 6)), ' ')`;

const WAYS = {
  'one table': { table: 'whole', key: 'id' },
  partitions: { table: 'parted', key: 'id, created_at' },
};
type Way = (typeof WAYS)[keyof typeof WAYS];

/** What is asked, of one conversation `$1` in workspace `$2`. */
const QUERIES: Record<string, (table: string) => string> = {
  'a branch of 200 messages, from each to the one before it by id': (table) => `
    with recursive branch as (
      select m.* from bench.conversations c join bench.${table} m on m.id = c.leaf_id where c.id = $1 and c.workspace_id = $2
      union all select m.* from branch b join bench.${table} m on m.id = b.parent_message_id
    ) select * from branch`,
  'the messages of a conversation': (table) =>
    `select * from bench.${table} where conversation_id = $1 and workspace_id = $2 order by created_at, sequence_number`,
  'a list of 50 conversations with their last messages': (table) => `
    select c.*, (select m.content from bench.${table} m where m.id = c.leaf_id) from bench.conversations c
    where c.workspace_id = $2 and $1::uuid is not null`,
  'a search for a rare word': (table) => `
    select * from bench.${table} where ${TERMS} @> array[left($2::uuid::text, 6) || 'marmalade'] and $1::uuid is not null
    order by created_at desc limit 20`,
  'a search for a common word': (table) => `
    select * from bench.${table} where ${TERMS} @> array[left($2::uuid::text, 6) || 'weather'] and $1::uuid is not null
    order by created_at desc limit 20`,
};

/** Runs the benchmark. */
export async function run([messages = '10000000']: string[]): Promise<ResultTable[]> {
  const conversations = Math.ceil(Number(messages) / MESSAGES_OF_A_CONVERSATION);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, (url) =>
      withClient(url, async (client) => {
        await fill(client, conversations);
        const figures: [string, Record<string, string>][] = [];
        for (const [name, way] of Object.entries(WAYS)) {
          console.log(`Measuring: ${name}`);
          figures.push([name, await measure(client, way, conversations)]);
        }
        const rows = Object.keys(figures[0]?.[1] ?? {}).map((what) => [
          what,
          ...figures.map(([, of]) => of[what] ?? ''),
        ]);
        const count = (conversations * MESSAGES_OF_A_CONVERSATION).toLocaleString('en');
        return [{ title: `${count} messages, processor time`, columns: ['', ...figures.map(([name]) => name)], rows }];
      }),
    );
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Both tables with their rows, in the order in which they were written. */
async function fill(client: pg.Client, conversations: number): Promise<void> {
  const steps: Record<string, string> = {
    'the settings and tables': `
      set maintenance_work_mem = '1GB'; set work_mem = '1GB'; set max_parallel_workers_per_gather = 0;
      set max_parallel_maintenance_workers = 0; create schema bench;
      create table bench.conversations (id uuid primary key, workspace_id uuid not null, leaf_id uuid not null);
      create table bench.whole (${COLUMNS});
      create table bench.parted (${COLUMNS}) partition by range (created_at);
      do $$ begin for n in 0 .. ${MONTHS} loop
        execute format('create table bench.parted_%s partition of bench.parted for values from (%L) to (%L)', n,
          timestamptz '2024-01-01Z' + make_interval(months => n), timestamptz '2024-01-01Z' + make_interval(months => n + 1));
      end loop; end $$`,
    conversations: `
      insert into bench.conversations select md5('c' || c)::uuid, md5('w' || c / ${CONVERSATIONS_OF_A_WORKSPACE})::uuid,
        md5('m' || c || ' ' || ${MESSAGES_OF_A_CONVERSATION})::uuid from generate_series(0, ${conversations - 1}) c;
      create index on bench.conversations (workspace_id); analyze bench.conversations`,
    messages: `
      insert into bench.whole (id, workspace_id, conversation_id, parent_message_id, content, sequence_number, created_at)
      select md5('m' || c || ' ' || n)::uuid, md5('w' || c / ${CONVERSATIONS_OF_A_WORKSPACE})::uuid, md5('c' || c)::uuid,
        case when n > 1 then md5('m' || c || ' ' || n - 1)::uuid end,
        'message ' || n || case when n % 10 = 0 then ' weather' else '' end
          || case when n % 200 = 7 then ' marmalade' else '' end || ' that nobody else looks for, whatever it may say',
        row_number() over (), at
      from (
        select c, n, timestamptz '2024-01-01Z' + make_interval(hours => (c::bigint * 7919 % (700 * 24))::integer) + n * interval '3 hours' as at
        from generate_series(0, ${conversations - 1}) c, generate_series(1, ${MESSAGES_OF_A_CONVERSATION}) n order by at
      ) m`,
    'messages in partitions': 'insert into bench.parted select * from bench.whole',
    ...Object.fromEntries(
      Object.values(WAYS).flatMap(({ table, key }) =>
        [
          `alter table bench.${table} add primary key (${key})`,
          `create index on bench.${table} (workspace_id, created_at)`,
          `create index on bench.${table} (conversation_id, created_at, sequence_number)`,
          `create index on bench.${table} (parent_message_id)`,
          `create index ${table}_terms on bench.${table} using gin ((${TERMS})) with (fastupdate = off)`,
        ].map((statement) => [statement, statement]),
      ),
    ),
    'the visibility map': 'vacuum (analyze, parallel 0) bench.whole; vacuum (analyze, parallel 0) bench.parted',
  };
  for (const [what, statements] of Object.entries(steps)) {
    const start = Date.now();
    for (const statement of what === 'the visibility map' ? statements.split(';') : [statements])
      await client.query(statement);
    console.log(`${what.slice(0, 90)}: ${Math.round((Date.now() - start) / 1000)} s`);
  }
}

/** Medians of what is asked, then what changes rows. */
async function measure(client: pg.Client, { table }: Way, conversations: number): Promise<Record<string, string>> {
  const { rows } = await client.query(
    `select round(sum(pg_table_size(r.oid)) / 1e6) as rows, round(sum(pg_indexes_size(r.oid)) / 1e6) as indexes
     from pg_class r where r.relkind = 'r' and r.relname similar to '${table}(_[0-9]+)?'`,
  );
  const figures: Record<string, string> = { 'rows; indexes': `${rows[0].rows} MB; ${rows[0].indexes} MB` };
  const used = await processorTime(client);
  const timed = async (statement: string, params?: unknown[]): Promise<number> => {
    const before = used();
    await client.query(statement, params);
    return used() - before;
  };
  for (const [name, query] of Object.entries(QUERIES)) {
    const times: number[] = [];
    for (let round = 0; round < TIMES_ASKED; round += 1) {
      const { rows: one } = await client.query(
        `select id, workspace_id from bench.conversations where id = md5('c' || $1::bigint)::uuid`,
        [(round * 7919) % conversations],
      );
      const params = [one[0].id, one[0].workspace_id];
      await client.query(query(table), params); // the second time reads from memory
      times.push(await timed(query(table), params));
    }
    figures[name] = inWords(median(times));
  }
  // Among other conversations' newest: a page of each index is wherever the conversation's id is.
  const inserts: number[] = [];
  for (let n = 0; n < 2000; n += 1) {
    inserts.push(
      await timed(
        `insert into bench.${table} (id, workspace_id, conversation_id, parent_message_id, content, sequence_number, created_at)
         select gen_random_uuid(), c.workspace_id, c.id, c.leaf_id, 'message new that nobody else looks for, whatever it may say', 0,
           timestamptz '2025-12-30Z' from bench.conversations c where c.id = md5('c' || $1::bigint)::uuid`,
        [(n * 7919) % conversations],
      ),
    );
  }
  figures['a message written, of 2,000'] = inWords(inserts.reduce((sum, one) => sum + one, 0) / inserts.length);
  const ofATenth = `delete from bench.${table} where workspace_id = any (array(select distinct workspace_id from bench.conversations
    where get_byte(uuid_send(workspace_id), 0) < 26)) and created_at < '2024-02-01Z'`;
  figures["a tenth of the workspaces' oldest month deleted"] = inWords(await timed(ofATenth));
  const ofAll =
    table === 'parted'
      ? 'drop table bench.parted_1'
      : `delete from bench.${table} where created_at < '2024-03-01Z' and created_at >= '2024-02-01Z'`;
  figures["everybody's next month deleted"] = inWords(await timed(ofAll));
  figures['the vacuum after both'] = inWords(await timed(`vacuum (parallel 0) bench.${table}`));
  return figures;
}

/** Reads how many milliseconds of processor time the session has used. */
async function processorTime(client: pg.Client): Promise<() => number> {
  const { rows } = await client.query('select pg_backend_pid() as pid');
  return () => Number(readFileSync(`/proc/${rows[0].pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

function inWords(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(2)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
