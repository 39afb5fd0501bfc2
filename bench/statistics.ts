/**
 * `npm run bench -- statistics [folder]`: what counting a call in the statistics adds to its log row, alone and with 8 sessions on
 * one workspace (processor time of the sessions, which others on the machine do not change; Linux), and how much the statistics of 1,000 people with 10 calls a day take in a year. With the folder of another
 * checkout both are measured in turns.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withClient, withPostgres } from '@basemeter/local-supabase';
import pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const ROUNDS = 16;
const INSERTS = 250; // a round
const PEOPLE = 1000;
const DAYS = 10;

const ACCOUNTS = `
  update public.system_config set config_value = '0' where config_key = 'signup_credits';
  insert into auth.users (id, email) select md5(n::text)::uuid, n || '@bench.test' from generate_series(1, ${PEOPLE}) n;
  analyze`;

/** A call number `n` of person number `p`: seven in ten of one model, one in seven an embedding, a third of the people by key. */
const call = (p: string, n: string, at: string): string => `
  insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, usage_source, model, prompt_tokens,
    completion_tokens, duration, estimated_cost, credits_charged, free_credits, api_key_id)
  select w, w, ${at}, case when ${n} % 7 = 0 then 'embedding' else 'text_chat' end::public.ai_usage_scene,
    case when ${n} % 20 = 0 then 'failed' else 'success' end::public.ai_usage_status, 'reported',
    'model-' || case when ${n} % 10 < 7 then 0 else ${n} % 3 end, 100, 50, 900, 0.001, 0.1, 0.05,
    case when ${p} % 3 = 0 then w end
  from (select md5((${p})::text)::uuid as w) x`;

/** Runs the benchmark and gives its figures. */
export async function run([other]: string[]): Promise<ResultTable[]> {
  const folders = other ? [other, PROJECT_DIR] : [PROJECT_DIR];
  return withDatabases(folders, async (urls) => {
    for (const url of urls) await withClient(url, (client) => client.query(ACCOUNTS));
    const rows: ResultTable['rows'] = [];
    for (const sessions of [1, 8]) {
      rows.push([
        `${sessions} session${sessions > 1 ? 's' : ''}: a log row; without its statistics`,
        ...(await compare(sessions, urls)),
      ]);
    }
    const sizes: string[] = [];
    for (const url of urls) sizes.push(await growth(url));
    rows.push([`a year of ${PEOPLE.toLocaleString('en')} people`, ...sizes]);
    const title = `Processor time, median of ${ROUNDS} rounds of ${INSERTS} rows`;
    return [{ title, columns: ['', ...(other ? ['other checkout'] : []), 'this checkout'], rows }];
  });
}

async function withDatabases<T>(
  folders: string[],
  work: (urls: string[]) => Promise<T>,
  urls: string[] = [],
): Promise<T> {
  const [folder, ...rest] = folders;
  if (!folder) return work(urls);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, async (url) => {
      await prepareDatabase(url, folder, false);
      return withDatabases(rest, work, [...urls, url]);
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** The median over the rounds of the time a log row takes, with the trigger and without it; for each database. */
async function compare(sessions: number, urls: string[]): Promise<string[]> {
  const times = urls.map(() => ({ on: [] as number[], off: [] as number[] }));
  const servers = await Promise.all(urls.map((url) => openAll(url, sessions)));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [at, clients] of servers.entries()) {
      for (const state of ['off', 'on'] as const) {
        await clients[0]?.query(
          `alter table private.ai_usage_logs ${state === 'on' ? 'enable' : 'disable'} trigger ai_usage_logs_count`,
        );
        times[at]?.[state].push(await insert(clients, round));
      }
    }
  }
  await Promise.all(servers.flat().map((client) => client.end()));
  return times.map(({ on, off }) => `${median(on)} µs; ${median(off)} µs`);
}

function openAll(url: string, count: number): Promise<pg.Client[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      return client;
    }),
  );
}

/** Microseconds of processor time a row, of so many for one workspace. */
async function insert(clients: pg.Client[], round: number): Promise<number> {
  const pids = await Promise.all(
    clients.map(async (client): Promise<number> => (await client.query('select pg_backend_pid() as pid')).rows[0].pid),
  );
  const microseconds = () =>
    pids.reduce((sum, pid) => sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000, 0);
  const begun = microseconds();
  await Promise.all(
    clients.map(async (client, at) => {
      for (let n = at; n < INSERTS; n += clients.length)
        await client.query({ name: 'call', text: call('$1::integer', '$2::integer', 'now()'), values: [1, round + n] });
    }),
  );
  return (microseconds() - begun) / INSERTS;
}

/** Rows and size of a year, from the calls of some days, of which each person makes one after the other. */
async function growth(url: string): Promise<string> {
  return withClient(url, async (client) => {
    await client.query(`truncate private.ai_usage_logs`);
    const { rows } = await client.query(
      `select to_regclass('private.usage_by_day') is null as is_old from (select set_config('search_path', 'public', false)) s`,
    );
    const table = rows[0].is_old ? 'public.ai_usage_statistics' : 'private.usage_by_day';
    await client.query(`truncate ${table}`);
    await client.query(`do $$ begin
      for day in 0 .. ${DAYS - 1} loop
        for n in 1 .. 10 loop
          for p in 1 .. ${PEOPLE} loop
            ${call('p', '(day * 10 + n + p)', `'2026-05-01'::timestamptz + make_interval(days => day, hours => n)`)};
          end loop;
          commit;
        end loop;
      end loop;
    end $$`);
    await client.query(`vacuum ${table}`);
    const { rows: sizes } = await client.query(
      `select count(*)::integer as rows, pg_table_size('${table}')::float8 as heap, pg_indexes_size('${table}')::float8 as indexes from ${table}`,
    );
    const year = (bytes: number) => `${Math.round((bytes / DAYS) * (365 / 1e6))} MB`;
    const { rows: count, heap, indexes } = sizes[0];
    return `${Math.round((count / DAYS) * 365)} rows a year, ${year(heap)} and ${year(indexes)} of indexes`;
  });
}

function median(values: number[]): number {
  return Math.round([...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN);
}
