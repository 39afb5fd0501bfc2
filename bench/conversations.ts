/**
 * `npm run bench -- conversations [messages]`: what a user's lists, branches and searches cost among so many messages (10,000 unless
 * given) and among a hundred times as many, of a hundred times as many users; each has 10 conversations, 5 of them with a branch of
 * 195 messages. And what a message of 4 KB costs to write, with the search index and without; and what a stream's journal adds.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withClient, withPostgres } from '@basemeter/local-supabase';
import type pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';
import { measureChunks } from './conversations/chunks.ts';
import { loadAccounts } from './logs/load.ts';

const MESSAGES_OF_A_USER = 1000;
const USERS_ASKED = 40;
const FACTOR = 100;

/** What a frontend asks, as the user; `$1` is their conversation. */
const QUERIES: Record<string, string> = {
  'newest 50 conversations': 'select * from public.conversations order by last_message_at desc limit 50',
  'newest 50 with their last messages':
    'select * from public.conversation_summary order by last_message_at desc limit 50',
  'a branch of 200 messages': 'select * from public.conversation_branch($1)',
  'search: a common word': `select * from public.search_messages('weather')`,
  'search: a rare word': `select * from public.search_messages('marmalade')`,
  'search: two common characters': `select * from public.search_messages('用户')`,
  'search: three rare ones': `select * from public.search_messages('数据库')`,
  'search: a phrase': `select * from public.search_messages('"weather of today"')`,
};

/** Runs the benchmark; gives medians in ms of processor time, with the larger set's ratio to the smaller. */
export async function run([messages = '10000']: string[]): Promise<ResultTable[]> {
  const users = Math.max(Math.round(Number(messages) / MESSAGES_OF_A_USER), 1);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    const tables = await withPostgres({ dataDir, port: 0, durable: false }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      return withClient(adminUrl, async (client) => {
        await fill(client, 1, users);
        const smaller = await measure(client, users);
        const writes = await writeTimes(client);
        await fill(client, users + 1, users * FACTOR);
        return [compared(users, smaller, await measure(client, users * FACTOR)), writes];
      });
    });
    return [...tables, await measureChunks()];
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/**
 * Users number `from` to `to` with their conversations, without triggers, which count row by row what is counted here at once; the
 * search index is made again afterwards, as it is quicker to make than to keep.
 */
async function fill(client: pg.Client, from: number, to: number): Promise<void> {
  console.log(`Loading users ${from} to ${to}`);
  await loadAccounts(client, from, to);
  const { rows } = await client.query(`select pg_get_indexdef('public.messages_search_idx'::regclass) as definition`);
  await client.query(
    `set session_replication_role = replica; set maintenance_work_mem = '1GB'; drop index public.messages_search_idx`,
  );
  await client.query(
    `insert into public.conversations (id, workspace_id, user_id, title, last_message_at, message_count, current_leaf_id)
     select md5('c' || u || ' ' || c)::uuid, pg_temp.account(u), pg_temp.account(u), 'Conversation ' || c, now() - make_interval(hours => c, secs => u),
       case when c <= 5 then 195 else 5 end, md5('m' || u || ' ' || c || ' ' || case when c <= 5 then 195 else 5 end)::uuid
     from generate_series($1::bigint, $2) u, generate_series(1, 10) c`,
    [from, to],
  );
  await client.query(
    `insert into public.messages (id, workspace_id, conversation_id, parent_message_id, role, content, created_at)
     select md5('m' || u || ' ' || c || ' ' || n)::uuid, pg_temp.account(u), md5('c' || u || ' ' || c)::uuid,
       case when n > 1 then md5('m' || u || ' ' || c || ' ' || n - 1)::uuid end,
       case when n % 2 = 0 then 'assistant' else 'user' end::public.message_role,
       case when n % 5 = 0 then 'The weather of today. ' else '' end || case when n % 100 = 7 then 'Marmalade. 数据库。' else '' end
         || case when n % 9 = 0 then '用户的问题。' else '' end || 'Words of a message number ' || n || ' that nobody looks for: ' || (hashint8(u * 7 + n) & 65535),
       now() - make_interval(hours => c, secs => 200 - n)
     from generate_series($1::bigint, $2) u, generate_series(1, 10) c, generate_series(1, case when c <= 5 then 195 else 5 end) n`,
    [from, to],
  );
  await client.query(`set session_replication_role = origin; ${rows[0].definition}`);
  await client.query('alter index public.messages_search_idx alter column 1 set statistics 0');
  await client.query('vacuum analyze public.conversations, public.messages');
}

/** Median processor time of each query over users spread through the set, each asking twice so that the second reads from memory. */
async function measure(client: pg.Client, users: number): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  const used = await processorTime(client);
  for (const [name, query] of Object.entries(QUERIES)) {
    const times: number[] = [];
    for (let round = 0; round < USERS_ASKED; round += 1) {
      const user = 1 + ((round * 7919) % users);
      const { rows } = await client.query(
        `select pg_temp.account($1) as id, md5('c' || $1::bigint || ' 3')::uuid as conversation`,
        [user],
      );
      const params = query.includes('$1') ? [rows[0].conversation] : [];
      await client.query('begin');
      await client.query(
        `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`,
        [JSON.stringify({ sub: rows[0].id, role: 'authenticated' })],
      );
      const { rowCount } = await client.query(query, params);
      if (!rowCount) throw new Error(`nothing to measure: ${name}`);
      const before = used();
      await client.query(query, params);
      times.push(used() - before);
      await client.query('rollback');
    }
    figures[name] = median(times);
  }
  return figures;
}

/** What the first user's answers of 4 KB cost to write, by language. */
async function writeTimes(client: pg.Client): Promise<ResultTable> {
  const texts = {
    'English prose': `(select left(string_agg(comment || '. ', ''), 4000) from (select obj_description(p.oid, 'pg_proc') as comment from pg_catalog.pg_proc p where p.pronamespace = 'public'::regnamespace) c)`,
    Chinese: `(select string_agg(chr(19968 + (hashint4(n) & 1023)) || case when n % 12 = 0 then '，' else '' end, '') from generate_series(1, 1300) n)`,
  };
  const rows: string[][] = [];
  for (const [language, text] of Object.entries(texts)) {
    await client.query(`create temporary table body as select ${text} as content`);
    const withIndex = await writeTime(client);
    const { rows: index } = await client.query(
      `select pg_get_indexdef('public.messages_search_idx'::regclass) as definition`,
    );
    await client.query('drop index public.messages_search_idx');
    const without = await writeTime(client);
    await client.query(
      `${index[0].definition}; alter index public.messages_search_idx alter column 1 set statistics 0; drop table body`,
    );
    rows.push([language, `${without.toFixed(2)} ms`, `${withIndex.toFixed(2)} ms`]);
  }
  return {
    title: 'Processor time of writing a message of 4 KB',
    columns: ['', 'without the search index', 'with it'],
    rows,
  };
}

/** Reads how many milliseconds of processor time the session has used, which others on the machine change little (Linux). */
async function processorTime(client: pg.Client): Promise<() => number> {
  const { rows } = await client.query('select pg_backend_pid() as pid');
  return () => Number(readFileSync(`/proc/${rows[0].pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

async function writeTime(client: pg.Client): Promise<number> {
  const used = await processorTime(client);
  const times: number[] = [];
  await client.query('begin');
  for (let round = 0; round < 60; round += 1) {
    const before = used();
    await client.query(
      `insert into public.messages (conversation_id, role, content) select md5('c1 1')::uuid, 'assistant', $1 || content from body`,
      [`answer ${round} `],
    );
    times.push(used() - before);
  }
  await client.query('rollback');
  return median(times);
}

function compared(users: number, smaller: Record<string, number>, larger: Record<string, number>): ResultTable {
  const count = (factor: number): string => `${(users * MESSAGES_OF_A_USER * factor).toLocaleString('en')} messages`;
  return {
    title: `Processor time, median over ${USERS_ASKED} users, under row level security`,
    columns: ['', count(1), count(FACTOR), 'ratio'],
    rows: Object.entries(smaller).map(([name, figure]) => {
      const other = larger[name] as number;
      return [name, `${figure.toFixed(2)} ms`, `${other.toFixed(2)} ms`, (other / figure).toFixed(2)];
    }),
  };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
