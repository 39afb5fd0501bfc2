/** A chaos run: mixed load while Postgres, PostgREST and the functions are killed at random, then everything compared. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, readRunningState, StackError } from '@basemeter/local-supabase';
import pg from 'pg';
import type { Stack } from '../stack.ts';
import { KINDS, Load, PACK, PACK_CREDITS, type Person } from './chaos-load.ts';
import { proveLedger } from './ledger.ts';
import { startTestStack } from './test-stack.ts';

const PARTS = ['postgres', 'postgrest', 'functions'] as const;
const PEOPLE = 6;
const WORKERS = 8;
/** Between two kills, ms: from the shortest to twice as long. */
const KILL_EVERY = 3_000;
/** How long the parts and what is under way may take to come to rest after the last kill, ms. */
const CALM = 60_000;

/** How to run it. The same seed chooses the same kills and work, as far as timing lets it. */
export interface ChaosSettings {
  seconds: number;
  seed: number;
  signal: AbortSignal;
  print: (line: string) => void;
}

/** Runs it on a stack of its own and prints a line for each comparison. Gives the number of those that failed. */
export async function runChaos({ seconds, seed, signal, print }: ChaosSettings): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-chaos-'));
  const stack = await startTestStack({ dataDir, signal, onProgress: print });
  const pool = new pg.Pool({ connectionString: stack.urls.database, max: 4 });
  pool.on('error', () => undefined);
  try {
    const people = await prepare(stack, pool);
    const random = generator(seed);
    const end = endAfter(seconds, signal);
    const load = new Load(stack, people, random, end);
    const kills = new Map<string, number>(PARTS.map((part) => [part, 0]));
    await Promise.all([killUntil(end, dataDir, kills, random), ...Array.from({ length: WORKERS }, () => load.work())]);
    if (signal.aborted) throw new StackError('The run was interrupted.');
    await calmDown(stack, pool, people);
    print(`kills: ${[...kills].map(([part, count]) => `${part} ${count}`).join(', ')}`);
    print(
      `statuses: ${[...load.statuses]
        .sort()
        .map(([status, count]) => `${status || 'broken'} ${count}`)
        .join(', ')}`,
    );
    return await compare({ stack, pool, load, kills, print });
  } finally {
    await pool.end();
    await stack.stop();
  }
}

/** Not `AbortSignal.any` with `AbortSignal.timeout`: Node 20 collects that as garbage, and it never fires. */
function endAfter(seconds: number, signal: AbortSignal): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), seconds * 1000);
  signal.addEventListener('abort', () => controller.abort());
  return controller.signal;
}

/** mulberry32: small, seeded, good enough to choose by. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function prepare(stack: Stack, pool: pg.Pool): Promise<Person[]> {
  const people = await Promise.all(
    Array.from({ length: PEOPLE }, async (_, index) => {
      const answer = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
        method: 'POST',
        headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
        body: JSON.stringify({ email: `person-${index}@example.test`, password: 'correct horse' }),
      });
      const { user, access_token } = (await answer.json()) as { user: { id: string }; access_token: string };
      return { id: user.id, token: access_token };
    }),
  );
  await pool.query(`
    update public.workspaces set plan = 'enterprise';
    update public.workspaces set ai_log_content = 'full';
    insert into public.ai_models (model, display_name, upstream_model, max_output_tokens)
      values ('chaos', 'Chaos', 'simulator-chat', 100);
    select private.set_model_price('chaos', '{"input": 0, "output": 100}', '2020-01-01');
    insert into public.payment_products (platform, product_id, name, credits, amount, currency)
      values ('creem', '${PACK.id}', 'A pack', ${PACK_CREDITS}, 900, 'USD')`);
  for (const { id } of people)
    await pool.query(`select public.credit_user_credits_transaction($1, 10000, 'manual')`, [id]);
  return people;
}

async function killUntil(
  end: AbortSignal,
  dataDir: string,
  kills: Map<string, number>,
  random: () => number,
): Promise<void> {
  while (!end.aborted) {
    await sleep(KILL_EVERY * (1 + random()), undefined, { signal: end }).catch(() => undefined);
    if (end.aborted) return;
    const part = PARTS[Math.floor(random() * PARTS.length)] as (typeof PARTS)[number];
    const id = readRunningState(dataDir)?.processes[part];
    if (!id || !isAlive(id)) continue; // it is being started again
    process.kill(id.pid, 'SIGKILL');
    kills.set(part, (kills.get(part) ?? 0) + 1);
  }
}

/** Waits until calls are answered and settled again, then ends what functions that are dead have left. */
async function calmDown(stack: Stack, pool: pg.Pool, people: Person[]): Promise<void> {
  const probe = new Load(stack, people, () => 0, AbortSignal.abort());
  const deadline = Date.now() + CALM;
  for (let isWell = false; !isWell; ) {
    if (Date.now() > deadline) throw new StackError('The stack did not come to rest after the kills.');
    await sleep(500);
    isWell = await probe.isAnswered().catch(() => false);
  }
  await sleep(4_000); // functions that live settle what they could not, within the longest wait between tries
  for (let done = 1; done > 0; ) {
    if (Date.now() > deadline + CALM) throw new StackError('The due work did not come to an end.');
    const { rows } = await pool.query(`select private.run_due_work(clock_timestamp() + interval '3 minutes') as done`);
    done = Number(rows[0]?.done ?? 0);
  }
}

interface Outcome {
  stack: Stack;
  pool: pg.Pool;
  load: Load;
  kills: Map<string, number>;
  print: (line: string) => void;
}

async function compare({ stack, pool, load, kills, print }: Outcome): Promise<number> {
  const ledger = await proveLedger(stack.urls.databaseAdmin, print);
  let failed = ledger.failed;
  const check = (rule: string, broken: unknown[]): void => {
    if (broken.length > 0) failed += 1;
    print(`${broken.length === 0 ? '✓' : '✗'} ${rule}`);
    for (const one of broken.slice(0, 5)) print(`    ${JSON.stringify(one)}`);
  };
  const rows = async (text: string): Promise<pg.QueryResultRow[]> => (await pool.query(text)).rows;
  check('no call is under way, no hold open, no Idempotency-Key running', [
    ...(await rows('select request_id from private.ai_calls')),
    ...(await rows(`select id from public.credit_holds where state = 'open'`)),
    ...(await rows('select idempotency_key from private.idempotent_requests where is_running')),
  ]);

  const { journal } = load;
  const calls = journal.filter(({ kind }) => ['call', 'stream', 'keyed'].includes(kind));
  const logs = groupBy(
    await rows(`
      select l.reference_id as key, l.status::text, l.credits_charged::float8 as charged, l.error_code,
        (select count(*)::integer from public.credit_transactions t where t.hold_id = l.hold_id) as entries
      from public.ai_usage_logs l where l.hold_id is not null`),
  );
  const isCharged = (log: pg.QueryResultRow): boolean => log.charged > 0;
  check(
    'every answer that a client has is charged once, at its price and as the client was told',
    calls.filter(({ id, isAcknowledged, amount, charged }) => {
      const paid = (logs.get(id) ?? []).filter(isCharged);
      const [log] = paid;
      const isRight = paid.length === 1 && log?.status === 'success' && log.entries === 1 && equal(log.charged, amount);
      return isAcknowledged && !(isRight && (charged === undefined || equal(charged, amount)));
    }),
  );
  check(
    'no other call is charged twice, or for more than it could have written',
    calls.filter(({ id, isAcknowledged, amount }) => {
      const paid = (logs.get(id) ?? []).filter(isCharged);
      return !isAcknowledged && (paid.length > 1 || (paid[0]?.charged ?? 0) > amount + 1e-9);
    }),
  );
  check('no answer was lost by a function that lived', load.unsettled);
  const debits = groupBy(
    await rows(`select idempotency_key as key, -amount::float8 as amount from public.credit_transactions
      where transaction_type = 'debit' and reason = 'chaos'`),
  );
  check('every debit is in the ledger once, and one without an answer at most once', [
    ...journal.filter(({ kind, id, isAcknowledged, amount }) => {
      const found = debits.get(id) ?? [];
      const isRight = found.length === 1 && equal(found[0]?.amount, amount);
      return kind === 'debit' && !isRight && (isAcknowledged || found.length > 0);
    }),
  ]);
  const payments = groupBy(await rows(`select payment_id as key from public.payments where status = 'succeeded'`));
  const bought = journal.filter(({ kind }) => kind === 'purchase');
  check(
    'every purchase that was taken in is paid once',
    bought.filter(({ id, isAcknowledged }) => isAcknowledged && payments.get(`tran_${id}`)?.length !== 1),
  );
  const given = groupBy(
    await rows(
      `select workspace_id::text as key, amount::float8 as amount from public.credit_grants where kind = 'purchase'`,
    ),
  );
  check(
    'and gave its credits once',
    [...new Set(bought.map(({ person }) => person))].filter((person) => {
      const paid = bought.filter(({ person: buyer, id }) => buyer === person && payments.has(`tran_${id}`)).length;
      return (given.get(person) ?? []).reduce((sum, { amount }) => sum + amount, 0) !== paid * PACK_CREDITS;
    }),
  );
  check(
    'nothing was answered 500',
    [...load.statuses].filter(([status]) => status === 500),
  );
  check('it was no idle run: every part was killed and everything was acknowledged sometimes', [
    ...[...kills].filter(([, count]) => count === 0),
    ...KINDS.filter((kind) => !journal.some((entry) => entry.kind === kind && entry.isAcknowledged)),
  ]);
  const lost = [...logs.values()].flat().filter(({ error_code }) => error_code === 'call_lost').length;
  const answered = calls.filter(({ isAcknowledged }) => isAcknowledged).length;
  print(`calls: ${calls.length}, answered ${answered}, lost with their function ${lost}`);
  return failed;
}

function equal(one: number, other: number): boolean {
  return Math.abs(one - other) < 1e-6;
}

function groupBy(rows: pg.QueryResultRow[]): Map<string, pg.QueryResultRow[]> {
  const groups = new Map<string, pg.QueryResultRow[]>();
  for (const row of rows) groups.set(row.key, [...(groups.get(row.key) ?? []), row]);
  return groups;
}
