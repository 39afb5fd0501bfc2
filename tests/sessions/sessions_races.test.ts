/** Sessions that are ended by two at once are charged once, and as many run as are allowed, however many start at once. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, rowsOf, tally } from '../support/callers.ts';
import { runs } from '../support/runs.ts';
import { adminPool, sql } from '../support/stack.ts';
import { newAccounts } from '../support/wallets.ts';
import {
  admitOf,
  ageOf,
  faultsOf,
  finishOf,
  moveOf,
  newSpeakers,
  offerAnalyses,
  type RateRow,
  sessionOf,
  startOf,
} from './metering.ts';

const PAIRS = runs(2);
const RATE: RateRow[] = [
  { unit: 'minute', credits: 0.5, rounding: 'started_minute', charges_unfinished: true },
  { unit: 'analysis', credits: 0.25 },
];
type Answer = {
  started?: boolean;
  code?: string;
  hold_id: string;
  analysis?: object | null;
  session: { status: string };
  usage: object;
};

let callers: pg.Client[] = [];
let model: string;
let deadlocks: number;
beforeAll(async () => {
  model = await offerAnalyses();
  callers = await openCallers(6, 'postgres');
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks(callers);
  await hangUp(callers);
  expect(counted).toBe(deadlocks);
});

const answersOf = (outcomes: Awaited<ReturnType<typeof callAtOnce>>): Answer[] =>
  rowsOf(outcomes).map((row) => row.answer as Answer);

/** People with a session that has gone on for two minutes, with one analysis counted and another under way: its hold. */
async function speaking(policy: string): Promise<{ person: string; hold: string }[]> {
  const people = await newSpeakers(PAIRS, 50, RATE);
  return Promise.all(
    people.map(async (person) => {
      const one = async (statement: string) => (await sql<{ answer: Answer }>(statement))[0]?.answer as Answer;
      await one(startOf(person, 'call', { policy }));
      await adminPool.query(ageOf(person, 120));
      const { hold_id } = await one(admitOf(person, sessionOf(person, 'call'), model, { sequence: 1, seconds: 60 }));
      await one(finishOf(hold_id));
      const second = await one(admitOf(person, sessionOf(person, 'call'), model, { sequence: 2, seconds: 30 }));
      return { person, hold: second.hold_id };
    }),
  );
}

const WATCH = 'select private.watch_next_session(clock_timestamp()) as answer';
const RACES: Record<string, (person: string, hold: string) => string[]> = {
  'complete and complete': (person) => [
    moveOf('complete', person, sessionOf(person, 'call')),
    moveOf('complete', person, sessionOf(person, 'call')),
  ],
  'complete and cancel': (person) => [
    moveOf('complete', person, sessionOf(person, 'call')),
    moveOf('cancel', person, sessionOf(person, 'call')),
  ],
  'complete, fail and the sweep': (person) => [
    moveOf('complete', person, sessionOf(person, 'call')),
    WATCH,
    moveOf('fail', person, sessionOf(person, 'call')),
  ],
  'complete and an analysis that ends': (person, hold) => [
    moveOf('complete', person, sessionOf(person, 'call')),
    finishOf(hold),
  ],
  'complete, a pause and an analysis that begins': (person) => [
    moveOf('complete', person, sessionOf(person, 'call')),
    moveOf('pause', person, sessionOf(person, 'call')),
    admitOf(person, sessionOf(person, 'call'), model, { sequence: 3, seconds: 10 }),
  ],
  'an analysis that ends, twice, and a cancellation': (person, hold) => [
    finishOf(hold),
    finishOf(hold),
    moveOf('cancel', person, sessionOf(person, 'call')),
  ],
};

test.each(Object.keys(RACES))('%s: the session ends once and is charged once', async (name) => {
  const lives = [...(await speaking('soft')), ...(await speaking('hard'))];
  const people = lives.map(({ person }) => person);
  if (name.includes('sweep')) {
    for (const person of people) await adminPool.query(ageOf(person, 20 * 60)); // nobody was heard for long
  }
  const statements = lives.map(({ person, hold }) => RACES[name]?.(person, hold) as string[]);
  const calls = statements.flatMap((those, life) =>
    those.map((statement, number) => ({ by: inTurn(callers, those.length * life + number), statement })),
  );
  const outcomes = await callAtOnce(calls);
  // Who came later may be told that it has ended another way.
  expect(Object.keys(tally(outcomes)).filter((told) => !['ok', 'PT409 invalid_state'].includes(told))).toEqual([]);
  expect(await faultsOf(people)).toEqual([]);
  const ended = await sql<{ workspace_id: string; status: string; analyses: number }>(
    `select u.workspace_id, u.status, u.analysis_count as analyses from public.session_usage u
     where u.workspace_id = any ($1) and u.credit_deducted`,
    [people],
  );
  expect(ended.length).toBe(people.length);
  let place = 0;
  for (const [life, those] of statements.entries()) {
    const mine = outcomes.slice(place, place + those.length);
    place += those.length;
    const { status, analyses } = ended.find(
      ({ workspace_id }) => workspace_id === people[life],
    ) as (typeof ended)[number];
    const ends = mine
      .filter((_, n) => /complete_|cancel_|fail_/.test(those[n] as string))
      .map((told) => answersOf([told])[0]);
    // Whoever is told of an end is told of the same one.
    const told = ends.flatMap((end) => (end ? [{ status: end.session.status, usage: end.usage }] : []));
    for (const end of told) expect(end).toEqual({ ...told[0], status });
    const counts = mine.filter((_, n) => /finish_/.test(those[n] as string)).map((end) => answersOf([end])[0]);
    expect(analyses).toBe(counts.some((end) => end?.analysis) ? 2 : 1);
  }
});

/** How many of eight sessions that start at once do; the others are told that the limit is reached. */
async function startTogether(start: (number: number) => string): Promise<number> {
  const answers = answersOf(
    await callAtOnce(Array.from({ length: 8 }, (_, n) => ({ by: inTurn(callers, n), statement: start(n) }))),
  );
  expect(answers.length).toBe(8);
  const refused = answers.filter(({ started }) => !started);
  expect(refused.every(({ code }) => code === 'limit_reached')).toBe(true);
  return 8 - refused.length;
}

test('as many sessions start at once as the plan allows, and the same one once', async () => {
  const [person = '', other = ''] = await newSpeakers(2, 100, RATE);
  await sql(`update public.workspaces set plan = 'basic' where id = $1`, [person]);
  expect(await startTogether((n) => startOf(person, n, { policy: n % 2 ? 'hard' : 'soft' }))).toBe(3);
  await sql(moveOf('complete', person, `(select id from public.sessions where workspace_id = '${person}' limit 1)`));
  expect(await startTogether((n) => startOf(person, 10 + n))).toBe(1);

  const same = answersOf(
    await callAtOnce(Array.from({ length: 8 }, (_, n) => ({ by: inTurn(callers, n), statement: startOf(other, 'x') }))),
  );
  expect(same.filter(({ started }) => started).length).toBe(1);
  expect(new Set(same.map(({ session }) => JSON.stringify(session))).size).toBe(1);
  expect(await faultsOf([person, other])).toEqual([]);
});

test('a member and a key start as many sessions at once as they may', async () => {
  const [owner = '', member = ''] = await newAccounts(2, 3);
  const [made] = await sql<{ id: string }>(
    `insert into public.workspaces (name, plan) values ('Team', 'enterprise') returning id`,
  );
  const team = made?.id ?? '';
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team, owner, member],
  );
  await sql(`select public.credit_user_credits_transaction($1, 100, 'purchase', workspace_id => $2)`, [owner, team]);
  const key = randomUUID();
  await adminPool.query(
    `with key as (insert into public.api_keys (workspace_id, user_id, name, prefix) values ($1, $2, 'k', 'sk-') returning id)
     insert into private.api_key_hashes (key_hash, api_key_id) select sha256(convert_to($3, 'UTF8')), id from key`,
    [team, owner, key],
  );
  await adminPool.query(
    `insert into public.spending_limits (workspace_id, spender_id, spender_kind, sessions_at_once)
     values ($1, $2, 'member', 2), ($1, (select id from public.api_keys where workspace_id = $1), 'api_key', 1)
     on conflict (workspace_id, spender_id) do update set sessions_at_once = excluded.sessions_at_once`,
    [team, member],
  );
  expect(await startTogether((n) => startOf(member, n, { workspace: team }))).toBe(2);
  const byKey = (n: number) =>
    `select public.start_session(null, 'key ${n}', api_key_hash => encode(sha256(convert_to('${key}', 'UTF8')), 'hex')) as answer`;
  expect(await startTogether(byKey)).toBe(1);
  expect(await faultsOf([team])).toEqual([]);
});
