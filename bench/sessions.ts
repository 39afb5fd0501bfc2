/**
 * `npm run bench -- sessions [appends]`: what an analysis costs to append to a session, at its beginning and after so many (10,000
 * unless given) whose times never touch, and beside a bare insert of the same row.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDatabase, withClient, withPostgres } from '@basemeter/local-supabase';
import type pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

/** Appends that are looked at, at the beginning and at the end. */
const WINDOW = 200;
const PERSON = '00000000-0000-4000-8000-000000000001';
const BEGUN = '2026-03-01T00:00:00Z';

/** Processor time of one append in ms: asking for it, ending it, both; and its time by the clock. */
type Cost = { admit: number; finish: number; both: number; clock: number };

/** Runs the benchmark; gives medians. */
export async function run([appends = '10000']: string[]): Promise<ResultTable[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, async (adminUrl) => {
      await prepareDatabase(adminUrl, PROJECT_DIR, false);
      return withClient(adminUrl, (client) => measure(client, Number(appends)));
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(client: pg.Client, appends: number): Promise<ResultTable[]> {
  await prepare(client);
  const rows: ResultTable['rows'] = [];
  const used = await processorTime(client);
  await appendAll(client, used, await start(client, 'warm'), 1, WINDOW); // plans and caches
  const session = await start(client, 'measured');
  const first = await appendAll(client, used, session, 1, WINDOW);
  console.log(`Appending ${appends} analyses`);
  await appendAll(client, used, session, WINDOW + 1, appends - WINDOW);
  const last = await appendAll(client, used, session, appends - WINDOW + 1, appends);
  for (const [name, label] of [
    ['admit', 'to admit it'],
    ['finish', 'to write and add it up'],
    ['both', 'both'],
    ['clock', 'both, by the clock'],
  ] as const) {
    const [one, other] = [median(first.map((cost) => cost[name])), median(last.map((cost) => cost[name]))];
    rows.push([label, `${one.toFixed(2)} ms`, `${other.toFixed(2)} ms`, (other / one).toFixed(2)]);
  }
  const bare = await insertBare(client, used, session);
  const finish = median(last.map((cost) => cost.finish));
  const both = median(last.map((cost) => cost.both));
  return [
    {
      title: `Processor time of an analysis, median of ${WINDOW}`,
      columns: ['', 'the first of a session', `number ${appends.toLocaleString('en')}`, 'ratio'],
      rows,
    },
    {
      title: 'Beside a bare insert of the same row, its indexes with it',
      columns: ['', 'processor time', 'a second', 'times the insert'],
      rows: [
        ['bare insert', bare],
        ['to write and add it up', finish],
        ['an analysis, both transactions', both],
      ].map(([name, figure]) => [
        name as string,
        `${(figure as number).toFixed(3)} ms`,
        Math.round(1000 / (figure as number)),
        ((figure as number) / bare).toFixed(1),
      ]),
    },
  ];
}

async function prepare(client: pg.Client): Promise<void> {
  await client.query(`
    update public.system_config set maximum = 36500 * 1440, config_value = to_jsonb(36500 * case config_key
      when 'max_backdating_days' then 1 else 1440 end) where config_key in ('max_backdating_days', 'max_clock_skew_minutes');
    update public.system_config set config_value = '1440' where config_key = 'session_longest_minutes';
    insert into public.ai_models (model, display_name, scene, upstream_model, max_output_tokens) values ('m', 'm', 'session_analysis', 'up', 1000);
    select private.set_model_price('m', '{"input": 1, "output": 1}', '2020-01-01');
    insert into auth.users (id, email) values ('${PERSON}', 'ana@example.test');
    update public.workspaces set plan = 'enterprise' where id = '${PERSON}';
    select public.credit_user_credits_transaction('${PERSON}', 40000, 'purchase')`);
}

async function start(client: pg.Client, name: string): Promise<string> {
  const { rows } = await client.query(`select public.start_session($1, $2, at => $3) as answer`, [PERSON, name, BEGUN]);
  return rows[0].answer.session.id;
}

/** Appends analyses number `from` to `to`, each of two seconds, of which five go by. */
async function appendAll(
  client: pg.Client,
  used: () => number,
  session: string,
  from: number,
  to: number,
): Promise<Cost[]> {
  const costs: Cost[] = [];
  for (let number = from; number <= to; number += 1) {
    const at = new Date(Date.parse(BEGUN) + 5000 * number);
    const began = new Date(at.getTime() - 2000);
    const [clock, before] = [performance.now(), used()];
    const { rows } = await client.query({
      name: 'admit',
      text: `select public.admit_session_analysis($1, $2, $3, 'hash', jsonb_build_object('characters', 100, 'duration_seconds', 2,
        'started_at', $4::timestamptz), 'm', 100, 100, $5, at => $6) as answer`,
      values: [session, PERSON, number, began, `${session} ${number}`, at],
    });
    const between = used();
    const hold = rows[0].answer.hold_id;
    if (!hold) throw new Error(`Not admitted: ${rows[0].answer.code} ${rows[0].answer.message}`);
    await client.query({
      name: 'finish',
      text: `select public.finish_session_analysis($1, 'success', 100, 10, 50,
        '{"safety_level": "green", "severity": 1, "display_text": "Nothing of note was said."}', at => $2)`,
      values: [hold, at],
    });
    const after = used();
    costs.push({
      admit: between - before,
      finish: after - between,
      both: after - before,
      clock: performance.now() - clock,
    });
  }
  return costs;
}

/** Median processor time of inserting a log row into a table that has nothing but its columns and indexes. */
async function insertBare(client: pg.Client, used: () => number, session: string): Promise<number> {
  await client.query('create table bare (like public.session_analysis_logs including indexes including generated)');
  const times: number[] = [];
  for (let number = 1; number <= WINDOW; number += 1) {
    const before = used();
    await client.query({
      name: 'bare',
      text: `insert into bare (session_id, sequence_number, workspace_id, user_id, analyzed_at, safety_level, severity, display_text,
          rag_documents, rag_sources, transcript_length, duration_seconds, audio_seconds, model_used, prompt_tokens,
          completion_tokens, cached_tokens, estimated_cost_usd)
        values ($1, $2, $3, $3, now(), 'green', 1, 'Nothing of note was said.', '[]', '[]', 100, 2, 2, 'm', 100, 50, 10, 0.0001)`,
      values: [session, number, PERSON],
    });
    times.push(used() - before);
  }
  return median(times);
}

/** Reads how many milliseconds of processor time the connection has used, which others on the machine change little (Linux). */
async function processorTime(client: pg.Client): Promise<() => number> {
  const { rows } = await client.query('select pg_backend_pid() as pid');
  return () => Number(readFileSync(`/proc/${rows[0].pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
