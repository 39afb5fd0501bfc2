/** Many callers at once: connections of their own, let go at the same moment, and what each was told. */
import { randomInt } from 'node:crypto';
import pg from 'pg';
import { runs } from './runs.ts';
import { adminPool, sql, sqlAs } from './stack.ts';

/** One call: a statement, sent on a connection that others may share (it then waits for its turn). */
export type Call = { by: pg.Client; statement: string };

/** What a call came to: its first row, or its error as "SQLSTATE message". */
export type Outcome = { row: Record<string, unknown> } | { error: string };

// Names the right to have many connections open: two test files that had them at once would not fit the server.
const ROOM = 7_311_442;
let room: Promise<pg.Client> | undefined;
let open = 0;

/** A backend costs as much as a dozen calls, so `npm test` makes do with fewer of them. */
const MOST = runs(20);

/**
 * Opens `wanted` connections as `role`, once no other test file has callers; no more than MOST, and fewer where the server
 * has no room for as many (50 stay free for the other parts). The file ends them all with `hangUp`.
 */
export async function openCallers(wanted: number, role = 'service_role'): Promise<pg.Client[]> {
  room ??= enterRoom();
  await room;
  const [server] = await sql<{ free: number }>(
    `select current_setting('max_connections')::integer - count(*)::integer - 50 as free from pg_stat_activity`,
  );
  const count = Math.max(2, Math.min(wanted, MOST, server?.free ?? 0));
  open += count;
  return Promise.all(Array.from({ length: count }, () => openCaller(role)));
}

/** Many new sessions at once on a busy machine take longer than the 8 s that a role may take, and no race is about those. */
async function openCaller(role: string): Promise<pg.Client> {
  const client = await sqlAs(role);
  await client.query(`set statement_timeout = '60s'; set lock_timeout = '60s'`);
  return client;
}

async function enterRoom(): Promise<pg.Client> {
  const client = await sqlAs('postgres');
  await client.query('select pg_advisory_lock($1)', [ROOM]);
  return client;
}

/** Ends connections that `openCallers` gave; the last ones make room for another file. */
export async function hangUp(callers: pg.Client[]): Promise<void> {
  await Promise.all(callers.map((caller) => caller.end()));
  open -= callers.length;
  if (open > 0 || !room) return;
  const client = await room;
  room = undefined;
  await client.end();
}

/** One of `callers` for the call with this number, in turn. */
export function inTurn(callers: pg.Client[], number: number): pg.Client {
  const caller = callers[number % callers.length];
  if (!caller) throw new Error('There are no callers.');
  return caller;
}

/**
 * Sends all calls and lets them go at the same moment: each first waits at a lock that opens when every connection stands
 * there. Every call is a transaction of its own. Gives the outcomes in the order of the calls.
 */
export async function callAtOnce(calls: Call[]): Promise<Outcome[]> {
  const gate = randomInt(2 ** 31);
  const keeper = await adminPool.connect();
  try {
    await keeper.query('select pg_advisory_lock($1::bigint)', [gate]);
    const outcomes: Outcome[] = [];
    const lines = linesOf(calls).map(async (line) => {
      for (const { number, by, statement } of line) {
        outcomes[number] = await call(by, `select pg_advisory_xact_lock_shared(${gate}); ${statement}`);
      }
    });
    await waitForWaiters(keeper, gate, lines.length);
    await keeper.query('select pg_advisory_unlock($1::bigint)', [gate]);
    await Promise.all(lines);
    return outcomes;
  } finally {
    keeper.release();
  }
}

/** The calls of each connection, in their order, with their numbers. */
function linesOf(calls: Call[]): (Call & { number: number })[][] {
  const lines = new Map<pg.Client, (Call & { number: number })[]>();
  for (const [number, entry] of calls.entries()) {
    lines.set(entry.by, [...(lines.get(entry.by) ?? []), { ...entry, number }]);
  }
  return [...lines.values()];
}

/** A simple query of several statements: one transaction, and what follows the gate has a snapshot taken after it opened. */
async function call(by: pg.Client, text: string): Promise<Outcome> {
  try {
    const results = (await by.query(text)) as unknown as pg.QueryResult[];
    return { row: results.at(-1)?.rows[0] ?? {} };
  } catch (error) {
    if (error instanceof pg.DatabaseError) return { error: `${error.code} ${error.message}` };
    throw error;
  }
}

async function waitForWaiters(keeper: pg.PoolClient, gate: number, expected: number): Promise<void> {
  for (;;) {
    const { rows } = await keeper.query(
      `select count(*)::integer as waiting from pg_locks where locktype = 'advisory' and objid = $1::bigint::oid and not granted`,
      [gate],
    );
    if (rows[0].waiting >= expected) return;
  }
}

/** Waits until a connection waits for a lock. */
export async function untilBlocked(client: pg.Client): Promise<void> {
  const { processID } = client as unknown as { processID: number };
  for (;;) {
    const [row] = await sql<{ blocked: boolean }>('select cardinality(pg_blocking_pids($1)) > 0 as blocked', [
      processID,
    ]);
    if (row?.blocked) return;
  }
}

/** How often each outcome came: `{ ok: 50, 'PT402 insufficient_credits': 150 }`. */
export function tally(outcomes: Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const name = 'error' in outcome ? outcome.error : 'ok';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** The rows of the calls that succeeded. */
export function rowsOf(outcomes: Outcome[]): Record<string, unknown>[] {
  return outcomes.flatMap((outcome) => ('row' in outcome ? [outcome.row] : []));
}

/**
 * Deadlocks the database has counted so far. `callers` pass on what they have counted and not yet reported; those that a
 * trigger swallows are in the count as well.
 */
export async function countDeadlocks(callers: pg.Client[]): Promise<number> {
  await Promise.all(callers.map((caller) => caller.query('select pg_stat_force_next_flush()')));
  const [row] = await sql<{ deadlocks: string }>(
    'select deadlocks from pg_stat_database where datname = current_database()',
  );
  return Number(row?.deadlocks);
}
