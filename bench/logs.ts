/**
 * `npm run bench -- logs [rows] [bytes]`: what a user's dashboard costs on a log of so many rows of about so many bytes (360,000 of
 * 500 unless given: a year of 100 users with 10 calls a day) and on ten times as many, of ten times as many users; and the rate at
 * which rows come in. Needs disk for twelve times the rows and their bytes: 3 GB for the default, 100 GB for 3,600,000 of 2,000.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withClient, withPostgres } from '@basemeter/local-supabase';
import type pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';
import { loadAccounts, loadLog, loadStatistics } from './logs/load.ts';

const CALLS_A_YEAR = 3600;
const ROUNDS = 7;
const USERS_ASKED = 40;

/** What a frontend asks, as the user; `$1` is their workspace. */
const QUERIES: Record<string, string> = {
  'latest 50': 'select * from public.ai_usage_logs order by created_at desc limit 50',
  'latest 50 of a workspace':
    'select * from public.ai_usage_logs where workspace_id = $1 order by created_at desc limit 50',
  'latest 50 of a month': `select * from public.ai_usage_logs where workspace_id = $1 and created_at >= '2026-06-01' and created_at < '2026-07-01'
    order by created_at desc limit 50`,
  'a month by day': `select * from public.usage_report('day', '2026-06-01', '2026-06-30', $1)`,
  'a month by model': `select * from public.usage_report('model', '2026-06-01', '2026-06-30', $1)`,
  'a month by scene': `select * from public.usage_report('scene', '2026-06-01', '2026-06-30', $1)`,
};

type Figures = Record<string, number>;

/** Runs the benchmark; gives medians, in ms and rows a second, with the larger set's ratio to the smaller. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const rows = Number(args[0] ?? 360_000);
  const bytes = Number(args[1] ?? 500);
  const users = Math.round(rows / CALLS_A_YEAR);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      return withClient(adminUrl, async (client) => {
        await fill(client, 1, users, bytes);
        const smaller = await measure(client, users);
        await fill(client, users + 1, users * 10, bytes);
        return [compared({ rows, bytes }, smaller, await measure(client, users * 10))];
      });
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Accounts number `from` to `to`, each with a year of calls and their statistics. */
async function fill(client: pg.Client, from: number, to: number, bytes: number): Promise<void> {
  console.log(`Loading users ${from} to ${to}`);
  await loadAccounts(client, from, to);
  await loadLog(client, { from, to, bytes, callsADay: 10 });
  await loadStatistics(client, from, to);
}

async function measure(client: pg.Client, users: number): Promise<Figures> {
  const figures: Figures = {};
  for (const [name, query] of Object.entries(QUERIES)) figures[name] = await timeOf(client, users, query);
  figures['inserts a second'] = await insertRate(client, users);
  return figures;
}

/** Median time of a query over users spread through the set, each asking twice so that the second reads from memory. */
async function timeOf(client: pg.Client, users: number, query: string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < USERS_ASKED; round += 1) {
    const { rows } = await client.query('select pg_temp.account($1) as id', [1 + ((round * 7919) % users)]);
    const params = query.includes('$1') ? [rows[0].id] : [];
    await client.query('begin');
    await client.query(`select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, [
      JSON.stringify({ sub: rows[0].id, role: 'authenticated' }),
    ]);
    await client.query(query, params);
    const startedAt = performance.now();
    await client.query(query, params);
    times.push(performance.now() - startedAt);
    await client.query('rollback');
  }
  return median(times);
}

/** Rows a second that one connection logs, one by one, with the statistics they add to. */
async function insertRate(client: pg.Client, users: number): Promise<number> {
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const startedAt = performance.now();
    for (let row = 0; row < 300; row += 1) {
      await client.query({
        name: 'log',
        text: `insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, usage_source, model, prompt_tokens,
            completion_tokens, duration, estimated_cost, credits_charged, request_id, response_data)
          select pg_temp.account($1), pg_temp.account($1), '2026-12-20', 'text_chat', 'success', 'reported', 'model-1', 100, 50, 900, 0.001, 0.1, 'req_x',
            jsonb_build_object('text', t.body) from bodies t where t.number = $1 % 1000`,
        values: [1 + (((round * 300 + row) * 7919) % users)],
      });
    }
    rates.push(300_000 / (performance.now() - startedAt));
  }
  return median(rates);
}

function compared({ rows, bytes }: Record<'rows' | 'bytes', number>, smaller: Figures, larger: Figures): ResultTable {
  return {
    title: `Rows of about ${bytes.toLocaleString('en')} bytes, medians over ${USERS_ASKED} users`,
    columns: ['', `${rows.toLocaleString('en')} rows`, `${(rows * 10).toLocaleString('en')} rows`, 'ratio'],
    rows: Object.entries(smaller).map(([name, figure]) => {
      const other = larger[name] as number;
      const shown = (value: number) => (name.startsWith('inserts') ? value.toFixed(0) : `${value.toFixed(2)} ms`);
      return [name, shown(figure), shown(other), (other / figure).toFixed(2)];
    }),
  };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
