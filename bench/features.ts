/**
 * `npm run bench -- features [seconds]`: uses of a feature a second through `consume_feature`, as a ratio to one bare
 * `insert … on conflict do update` on a table that has nothing but its primary key, over the same connections; on 10,000
 * workspaces and on a single hot one. In turns, so that noise hits all alike.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withPostgres } from '@basemeter/local-supabase';
import pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const ROUNDS = 5;
const CLIENTS = 4;

// A limit that holds and is never reached: the usual case.
const SETUP = `
  update public.system_config set config_value = '0' where config_key = 'signup_credits';
  insert into auth.users (id, email) select md5(n::text)::uuid, n || '@bench.test' from generate_series(1, 10000) n;
  insert into public.plan_features (plan, feature_code, feature_limit) values ('free', 'message', 1e12);
  create table public.bare_usage (workspace_id uuid, feature_code text, period_start timestamptz, used numeric not null,
    primary key (workspace_id, feature_code, period_start)) with (fillfactor = 50);
  analyze`;

/** What is measured, by name; $1 is the workspace, $2 a text of its own. */
const STATEMENTS = {
  'bare upsert': `insert into public.bare_usage as u values ($1, 'message', date_trunc('month', now()), length($2) - length($2) + 1)
    on conflict (workspace_id, feature_code, period_start) do update set used = u.used + excluded.used returning used`,
  consume_feature: `select public.consume_feature('message', 1, $1, reference_id => $2)`,
  'consume_feature with a key': `select public.consume_feature('message', 1, $1, idempotency_key => $2)`,
  check_feature: `select public.check_feature('message', 1, $1), $2::text`,
};
type Name = keyof typeof STATEMENTS;
const NAMES = Object.keys(STATEMENTS) as Name[];

/** Runs the benchmark; gives rates (a second) and ratios: medians over the rounds. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const seconds = Number(args[0] ?? 3);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: true }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      const clients = Array.from({ length: CLIENTS }, () => new pg.Client({ connectionString: adminUrl }));
      await Promise.all(clients.map((client) => client.connect()));
      await clients[0]?.query(SETUP);
      const people = await clients[0]?.query('select id from public.users');
      const ids: string[] = people?.rows.map(({ id }) => id) ?? [];
      const tables = [
        await compare('10,000 workspaces', clients, ids, seconds),
        await compare('One hot workspace', clients, ids.slice(0, 1), seconds),
      ];
      await Promise.all(clients.map((client) => client.end()));
      return tables;
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function compare(title: string, clients: pg.Client[], ids: string[], seconds: number): Promise<ResultTable> {
  const rates = Object.fromEntries(NAMES.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of NAMES) rates[name].push(await measure(clients, STATEMENTS[name], ids, seconds));
  }
  return {
    title: `${title}, ${CLIENTS} clients, median of ${ROUNDS} rounds of ${seconds} s`,
    columns: ['', 'a second', 'ratio'],
    rows: NAMES.map((name) => {
      const ratios = rates[name].map((rate, round) => rate / (rates['bare upsert'][round] ?? Number.NaN));
      return [name, Math.round(median(rates[name])), median(ratios).toFixed(2)];
    }),
  };
}

let calls = 0;

/** Calls a second, each on a workspace at random. */
async function measure(clients: pg.Client[], text: string, ids: string[], seconds: number): Promise<number> {
  const begun = performance.now();
  let done = 0;
  const line = async (client: pg.Client) => {
    while (performance.now() - begun < seconds * 1000) {
      calls += 1;
      await client.query(text, [ids[Math.floor(Math.random() * ids.length)], `call ${calls}`]);
      done += 1;
    }
  };
  await Promise.all(clients.map(line));
  return (done / (performance.now() - begun)) * 1000;
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
