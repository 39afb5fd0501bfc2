/**
 * `npm run bench -- ledger [seconds]`: debits a second through the ledger, as a ratio to the smallest possible statement,
 * on 10,000 wallets and on a single hot one, with statements as they come (pgbench's default) and prepared ones.
 * All in one run on one database, in turns, so that noise hits all alike.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, StackError, withPostgres } from '@basemeter/local-supabase';
import pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const SCRIPTS = ['debit', 'yardstick', 'bare'] as const;
const PROTOCOLS = ['simple', 'prepared'] as const;
const ROUNDS = 5;
const CLIENTS = 4;

type Rates = Record<(typeof SCRIPTS)[number], number[]>;

/** Runs the benchmark; gives rates (a second) and ratios: medians over the rounds. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const seconds = Number(args[0] ?? 4);
  const pgbench = findPgbench();
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: true }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      await fill(adminUrl);
      const rows: ResultTable['rows'] = [];
      for (const protocol of PROTOCOLS) {
        for (const wallets of [10_000, 1]) {
          const rates = measure({ pgbench, url: adminUrl, protocol, wallets, seconds });
          const who = wallets === 1 ? 'one hot wallet' : `${wallets.toLocaleString('en')} wallets`;
          rows.push([`${who}, ${protocol} statements`, ...figuresOf(rates)]);
        }
      }
      const title = `${CLIENTS} clients, median of ${ROUNDS} rounds of ${seconds} s`;
      const columns = ['', 'debits/s', 'yardstick/s', 'ratio', 'bare tables/s', 'ratio'];
      return [{ title, columns, rows }];
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function findPgbench(): string {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort().reverse() : [];
  const folders = [...(process.env.PATH ?? '').split(':'), ...versions.map((version) => join(debian, version, 'bin'))];
  const found = folders.map((folder) => join(folder, 'pgbench')).find((file) => existsSync(file));
  if (found) return found;
  throw new StackError(
    'pgbench is missing. It comes with PostgreSQL: on Debian, `apt-get install postgresql-contrib`.',
  );
}

async function fill(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(readFileSync(scriptFile('setup'), 'utf8'));
  await client.end();
}

function measure(run: { pgbench: string; url: string; protocol: string; wallets: number; seconds: number }): Rates {
  const rates: Rates = { debit: [], yardstick: [], bare: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const script of SCRIPTS) {
      const load = ['-n', '-M', run.protocol, '-c', `${CLIENTS}`, '-j', '2', '-T', `${run.seconds}`];
      const options = [...load, '-D', `wallets=${run.wallets}`, '-f', scriptFile(script), run.url];
      const output = execFileSync(run.pgbench, options, { encoding: 'utf8', stdio: 'pipe' });
      rates[script].push(Number(output.match(/tps = ([\d.]+)/)?.[1]));
    }
  }
  return rates;
}

function scriptFile(name: string): string {
  return join(PROJECT_DIR, 'bench/ledger', `${name}.sql`);
}

function figuresOf({ debit, yardstick, bare }: Rates): string[] {
  const rate = (rates: number[]) => Math.round(median(rates)).toLocaleString('en');
  const beside = [yardstick, bare].flatMap((other) => {
    const ratios = debit.map((rate, round) => rate / (other[round] ?? Number.NaN));
    return [rate(other), median(ratios).toFixed(2)];
  });
  return [rate(debit), ...beside];
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
