/** Postgres is killed between any two statements of appends to a session, and within them: after the retries each counts once. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { prepareDatabase } from '@basemeter/local-supabase';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFreePort } from '../../packages/local-supabase/src/net.ts';
import { embeddedUrl, startPostgres } from '../../packages/local-supabase/src/postgres.ts';
import type { Service } from '../../packages/local-supabase/src/processes.ts';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { runs } from '../support/runs.ts';
import { admitOf, chargeFor, faultsOf, finishOf, moveOf, quoted, type RateRow, startOf } from './metering.ts';

const APPENDS = runs(14);
const RATE: RateRow[] = [
  { unit: 'minute', credits: 0.5, rounding: 'started_minute' },
  { unit: 'analysis', credits: 0.01 },
];
/** Where the server dies: each append has one of them at its first try. */
const POINTS = [
  'before it is admitted',
  'while it is admitted',
  'before its admission is committed',
  'between its two transactions',
  'while it is finished',
  'before its end is committed',
  'before its answer is heard',
];
const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-test-'));
const person = randomUUID();
let port: number;
let pid: number;
let server: Service;
let client: pg.Client | undefined;
let kills = 0;

async function start(): Promise<void> {
  const nothing = () => undefined;
  server = await startPostgres({ dataDir, port, durable: false, onCrash: nothing, onStart: (id) => (pid = id.pid) });
}

/** Kills the server as a crash of the machine would, but for what the system keeps, and starts it again. */
async function killServer(): Promise<void> {
  process.kill(pid, 'SIGKILL');
  kills += 1;
  client = undefined;
  await server.stop(); // it is not to be started by its supervisor, who waits longer each time
  await start();
}

async function connection(): Promise<pg.Client> {
  if (client) return client;
  const made = new pg.Client(embeddedUrl(port));
  made.on('error', () => {
    if (client === made) client = undefined;
  });
  await made.connect();
  client = made;
  return made;
}

const query = async (text: string) => (await (await connection()).query(text)).rows;

beforeAll(async () => {
  mkdirSync(join(dataDir, 'logs'));
  port = await findFreePort();
  await start();
  await prepareDatabase(embeddedUrl(port), PROJECT_DIR, false);
  await query(`
    update public.system_config set maximum = 36500 * 1440, config_value = to_jsonb(36500 * 1440) where config_key = 'max_clock_skew_minutes';
    update public.system_config set config_value = '1440' where config_key = 'session_longest_minutes';
    insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values ('m', 'm', 'session_analysis', 'up', 1000);
    select private.set_model_price('m', '{"input": 1, "output": 1}', '2020-01-01');
    insert into auth.users (id, email) values ('${person}', 'ana@example.test');
    update public.workspaces set plan = 'enterprise' where id = '${person}';
    select public.set_credit_rate(${quoted(RATE)}, '${person}');
    select public.credit_user_credits_transaction('${person}', 10000, 'purchase')`);
}, 120_000);
afterAll(async () => {
  await client?.end();
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 60_000);

/** A session's append number `sequence`, as a client and its function do it: again until it is answered. */
async function append(session: string, sequence: number, begun: Date): Promise<Record<string, unknown>> {
  const point = POINTS[sequence % POINTS.length];
  for (let tries = 0; ; tries += 1) {
    // A try waits until the one before it is silent for half a minute.
    const at = `timestamptz '${new Date(begun.getTime() + 1000 * (60 * sequence + 10 * tries)).toISOString()}' + interval '${40 * tries} s'`;
    /** A transaction that dies where this append is to. */
    const run = async (statement: string, within: string, beforeCommit: string) => {
      const by = await connection();
      if (tries > 0) return (await by.query(statement)).rows[0].answer;
      if (point === within) {
        const answer = by.query(statement);
        answer.catch(() => undefined);
        await sleep(sequence % 9); // some are done by then, some have not begun
        await killServer();
        return (await answer).rows[0].answer;
      }
      await by.query('begin');
      const { rows } = await by.query(statement);
      if (point === beforeCommit) await killServer();
      await by.query('commit');
      return rows[0].answer;
    };
    try {
      if (tries === 0 && point === 'before it is admitted') await killServer();
      const asked = admitOf(person, quoted(session), 'm', { sequence, seconds: 60 }, at);
      const admitted = await run(asked, 'while it is admitted', 'before its admission is committed');
      if (admitted.analysis) return admitted.analysis;
      if (!admitted.admitted) throw new Error(`${admitted.code} ${admitted.message}`);
      if (tries === 0 && point === 'between its two transactions') await killServer();
      const end = await run(finishOf(admitted.hold_id, {}, at), 'while it is finished', 'before its end is committed');
      if (tries === 0 && point === 'before its answer is heard') {
        await killServer();
        throw new Error('Connection terminated: its answer was not heard');
      }
      if (end.analysis) return end.analysis;
    } catch (error) {
      client = undefined;
      if (tries > 5 || !/Connection terminated|ECONNRESET|terminat|not queryable/i.test(String(error))) throw error;
    }
  }
}

test(`${APPENDS} appends, during each of which the server dies, count once each`, {
  timeout: 60_000 + 6000 * APPENDS,
}, async () => {
  const begun = new Date(Math.ceil(Date.now() / 1000) * 1000);
  const [{ answer }] = await query(
    startOf(person, 'call', { policy: 'soft', at: `timestamptz '${begun.toISOString()}'` }),
  );
  const session = answer.session.id as string;
  for (let sequence = 1; sequence <= APPENDS; sequence += 1) {
    expect(await append(session, sequence, begun)).toMatchObject({ sequence_number: sequence });
  }
  expect(kills).toBe(APPENDS);
  expect(await faultsOf([person], await connection())).toEqual([]);
  const at = `timestamptz '${begun.toISOString()}' + interval '${60 * (APPENDS + 10)} s'`;
  const [{ answer: ended }] = await query(moveOf('complete', person, quoted(session), { at }));
  expect(ended.usage).toMatchObject({ analysis_count: APPENDS, total_tokens: 100 * APPENDS, credit_deducted: true });
  expect(ended.usage.credits_consumed).toBeCloseTo(chargeFor(RATE, ended.usage), 6);
  expect(await faultsOf([person], await connection())).toEqual([]);
  const [counted] = await query(
    `select count(*)::integer as rows, count(distinct sequence_number)::integer as numbers from public.session_analysis_logs`,
  );
  expect(counted).toEqual({ rows: APPENDS, numbers: APPENDS });
});
