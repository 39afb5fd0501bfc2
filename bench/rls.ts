/**
 * `npm run bench -- rls [rows] [explain]`: what row level security adds to the lists that a frontend asks for. A user who is in 1, 20
 * and 200 workspaces asks for the newest rows of one of them, by call_history, credit_history and from the tables; so does the service
 * role from the tables, which passes over the policies and says in its filter what they would. Both take turns on the same workspaces. `rows` calls of about 500 bytes (3.6 million unless given: a year of
 * 1,000 workspaces) and as many ledger entries; with `explain` the plans are printed as well. Needs about 1 KB of disk a row.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withClient, withPostgres } from '@basemeter/local-supabase';
import type pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';
import { accountId, DAYS, loadAccounts, loadLog, withoutTriggers } from './logs/load.ts';

const WORKSPACES = 1000;
const AUTHORS = 10;
const ROUNDS = 300;
const BYTES = 500;
const TABLES = { entries: 'public.credit_transactions', calls: 'public.ai_usage_logs' };
const MONTH = `and created_at >= '2026-06-01' and created_at < '2026-07-01'`;

/** The newest 50 of a table; `$1` is the workspace. What stands at `and_own` is for the one who has to name whose rows. */
const newest = (table: string, span = ''): string =>
  `select * from ${table} where workspace_id = $1 ${span} /* and_own */ order by created_at desc limit 50`;

/** What a frontend asks, what the service role asks beside it, and the ratio that is the goal; no goal: a span of time is to be named. */
type List = { asUser: string; asService: string; goal?: number };
const LISTS: Record<string, List> = {
  credit_history: { asUser: 'select * from public.credit_history($1)', asService: newest(TABLES.entries), goal: 1 },
  call_history: { asUser: 'select * from public.call_history($1)', asService: newest(TABLES.calls), goal: 1 },
  'latest 50 entries': { asUser: newest(TABLES.entries), asService: newest(TABLES.entries) },
  'latest 50 entries of a month': {
    asUser: newest(TABLES.entries, MONTH),
    asService: newest(TABLES.entries, MONTH),
    goal: 1.3,
  },
  'latest 50 calls': { asUser: newest(TABLES.calls), asService: newest(TABLES.calls) },
  'latest 50 calls of a month': {
    asUser: newest(TABLES.calls, MONTH),
    asService: newest(TABLES.calls, MONTH),
    goal: 1.3,
  },
};

/** Someone who asks: as admin of so many workspaces, or as plain member who may read only what is their own there. */
type Asker = { id: string; workspaces: number; role: 'admin' | 'member'; asksAbout: string[] };

/** Runs the benchmark; gives medians in ms, with the ratio of the user's to the service role's. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const rows = Number(args[0] ?? DAYS * WORKSPACES * 10);
  const callsADay = Math.max(Math.round(rows / DAYS / WORKSPACES), 1);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      return withClient(adminUrl, async (client) => {
        const calls = (DAYS * WORKSPACES * callsADay).toLocaleString('en');
        console.log(`Loading ${calls} calls and entries`);
        await loadAccounts(client, 1, WORKSPACES);
        await loadLog(client, { from: 1, to: WORKSPACES, bytes: BYTES, callsADay, authors: AUTHORS });
        await loadLedger(client);
        const askers = await hire(client);
        if (args.includes('explain')) await explain(client, askers);
        const title = `${calls} calls and as many entries, medians of ${ROUNDS} pairs`;
        return [
          {
            title,
            columns: ['', 'as user', 'as service role', 'ratio', 'goal'],
            rows: (await measure(client, askers)).map(asRow),
          },
        ];
      });
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** The debit of each call. */
async function loadLedger(client: pg.Client): Promise<void> {
  await withoutTriggers(client, async () => {
    await client.query(
      `insert into public.credit_transactions (created_at, workspace_id, user_id, hold_id, transaction_type, is_overdraft, amount,
         balance_after, reason, grant_changes, metadata)
       select created_at, workspace_id, user_id, gen_random_uuid(), 'debit', false, -credits_charged, 100, 'generation',
         array[(gen_random_uuid(), -credits_charged)]::public.credit_grant_change[], jsonb_build_object('model', model)
       from public.ai_usage_logs order by created_at`,
    );
  });
  await client.query('vacuum analyze public.credit_transactions');
  await client.query('checkpoint');
}

/** The people who ask: they own their personal workspace and are in those of others. */
async function hire(client: pg.Client): Promise<Asker[]> {
  const askers: Asker[] = [];
  for (const [role, workspaces] of [
    ['admin', 1],
    ['admin', 20],
    ['admin', 200],
    ['member', 20],
    ['member', 200],
  ] as const) {
    const number = 300 + askers.length * 10;
    // A member asks about workspaces in which they are one of those who make calls; everyone is counted in their own.
    const { rows } = await client.query(
      `insert into public.workspace_members (workspace_id, user_id, role)
       select ${accountId('n')}, ${accountId('$1')}, $2 from generate_series($1::integer - $3 + 1, $1 - 1) n
       where $3 > 1 returning workspace_id as id`,
      [number, role, workspaces],
    );
    const { rows: own } = await client.query(`select ${accountId('$1')} as id`, [number]);
    const others = rows.map((row) => row.id as string);
    const asksAbout = role === 'member' ? others.slice(-AUTHORS + 1) : [...own.map((row) => row.id), ...others];
    askers.push({ id: own[0].id, workspaces, role, asksAbout });
  }
  await client.query('vacuum analyze public.workspace_members');
  return askers;
}

type Figure = { list: string; asker: Asker; asUser: number; asService: number };

/** The table of entries is closed to plain members: a list of it is empty. */
const isClosedTo = (asker: Asker, list: string): boolean =>
  asker.role === 'member' && LISTS[list]?.asUser.includes(TABLES.entries) === true;

async function measure(client: pg.Client, askers: Asker[]): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const list of Object.keys(LISTS)) {
    for (const asker of askers) {
      if (isClosedTo(asker, list)) continue;
      const times: [number[], number[]] = [[], []];
      for (let round = 0; round < ROUNDS; round += 1) {
        const workspace = asker.asksAbout[round % asker.asksAbout.length] as string;
        const [user, service] = asBoth(list, asker, workspace);
        // Each begins every other round: the first reads what the second then finds in memory, so both ask once before.
        const turns =
          round % 2
            ? ([
                [0, user],
                [1, service],
              ] as const)
            : ([
                [1, service],
                [0, user],
              ] as const);
        for (const [, turn] of turns) await ask(client, turn);
        for (const [index, turn] of turns) times[index].push(await ask(client, turn));
      }
      figures.push({ list, asker, asUser: median(times[0]), asService: median(times[1]) });
    }
  }
  return figures;
}

type Turn = { role: string; claims: string; query: string; params: string[] };

function asBoth(list: string, asker: Asker, workspace: string): [Turn, Turn] {
  const { asUser, asService } = LISTS[list] as List;
  const isMember = asker.role === 'member';
  return [
    {
      role: 'authenticated',
      claims: JSON.stringify({ sub: asker.id, role: 'authenticated' }),
      query: asUser,
      params: [workspace],
    },
    {
      role: 'service_role',
      claims: JSON.stringify({ role: 'service_role' }),
      query: isMember ? asService.replace('/* and_own */', 'and user_id = $2') : asService,
      params: isMember ? [workspace, asker.id] : [workspace],
    },
  ];
}

/** How long the query took, in ms, in a transaction as PostgREST would open it. */
async function ask(client: pg.Client, { role, claims, query, params }: Turn): Promise<number> {
  await client.query('begin');
  await client.query(`select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, [role, claims]);
  const startedAt = performance.now();
  await client.query(query, params);
  const time = performance.now() - startedAt;
  await client.query('rollback');
  return time;
}

async function explain(client: pg.Client, askers: Asker[]): Promise<void> {
  for (const list of Object.keys(LISTS)) {
    for (const asker of askers) {
      for (const turn of asBoth(list, asker, asker.asksAbout[0] as string)) {
        await client.query('begin');
        await client.query(`select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, [
          turn.role,
          turn.claims,
        ]);
        const { rows } = await client.query(`explain (analyze, buffers) ${turn.query}`, turn.params);
        await client.query('rollback');
        console.log(`\n${list}, ${asker.role} of ${asker.workspaces}, as ${turn.role}`);
        console.log(rows.map((row) => row['QUERY PLAN']).join('\n'));
      }
    }
  }
}

function asRow({ list, asker, asUser, asService }: Figure): string[] {
  const times = [asUser, asService].map((time) => `${time.toFixed(2)} ms`);
  const goal = LISTS[list]?.goal;
  return [
    `${list}, ${asker.role} of ${asker.workspaces}`,
    ...times,
    (asUser / asService).toFixed(2),
    goal ? `≤ ${goal}` : '',
  ];
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
