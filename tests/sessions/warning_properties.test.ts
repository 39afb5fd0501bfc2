/** A session on the policy hard that burns more or less than was expected warns in time and makes no debt. */
import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool } from '../support/stack.ts';
import { admitOf, faultsOf, finishOf, newSpeakers, offerAnalyses, quoted, type RateRow, startOf } from './metering.ts';

const RUNS = runs(5);
/** Seconds before a hard end that a session warns. */
const WARN_SECONDS = 120;

/** Credits: what an expected minute of one analysis with 1,000 tokens and characters and its sound costs is about 1. */
const RATES: RateRow[][] = [
  [{ unit: 'minute', credits: 1, rounding: 'started_minute' }],
  [{ unit: 'minute', credits: 1 }],
  [{ unit: 'analysis', credits: 1 }],
  [{ unit: 'thousand_tokens', credits: 1 }],
  [
    { unit: 'fixed', credits: 0.5 },
    { unit: 'minute', credits: 0.3, rounding: 'started_minute' },
    { unit: 'analysis', credits: 0.3 },
    { unit: 'thousand_tokens', credits: 0.3 },
  ],
  [
    { unit: 'audio_second', credits: 0.01, minimum: 0.2 },
    { unit: 'character', credits: 0.0004 },
  ],
];

const burning = fc.record({
  rate: fc.constantFrom(...RATES),
  /** How many times what was expected it burns: analyses come as many times as often, or are as many times as large. */
  factor: fc.double({ min: -1, max: 1, noNaN: true }).map((power) => 10 ** power),
  by: fc.constantFrom('number', 'size'),
  /** How long the credits last at that pace, where they are not those that a session needs to start. */
  minutes: fc.double({ min: 4, max: 12, noNaN: true }),
});
type Burning = typeof burning extends fc.Arbitrary<infer T> ? T : never;

const timeOf = (second: number) => `(timestamptz '2026-03-01T23:50:00Z' + interval '${second.toFixed(3)} s')`;

/** Runs a session to its end: when it ended and since when it had warned, in seconds from its start. */
async function burn(client: pg.PoolClient, model: string, { rate, factor, by, minutes }: Burning, person: string) {
  const row = async (statement: string) => (await client.query(statement)).rows[0];
  const pause = by === 'number' ? 60 / factor : 60;
  const size = Math.round(1000 * (by === 'size' ? factor : 1));
  const analysesAMinute = 60 / pause;
  const perMinute = rate.reduce(
    (sum, { unit, credits }) =>
      sum +
      credits *
        {
          minute: 1,
          analysis: analysesAMinute,
          thousand_tokens: (analysesAMinute * size) / 1000,
          fixed: 0,
          audio_second: 60,
          character: analysesAMinute * size,
        }[unit],
    0,
  );
  const given = Math.max(perMinute * minutes, 8);
  await row(`select public.set_credit_rate(${quoted(rate)}, '${person}', at => '2026-01-01')`);
  await row(`update public.credit_wallets set overdraft_limit = 0 where workspace_id = '${person}'`);
  if (given > 3)
    await row(
      `select public.credit_user_credits_transaction('${person}', ${(given - 3).toFixed(3)}, 'manual', at => '2026-01-01')`,
    );
  const { answer } = await row(startOf(person, 'call', { policy: 'hard', at: timeOf(0) }));
  expect(answer, JSON.stringify(answer.message)).toMatchObject({ started: true });
  const id = quoted(answer.session.id);
  let warnedAt: number | undefined = answer.meter.warning ? 0 : undefined;
  const see = (usage: { warning: boolean }, second: number) => {
    warnedAt = usage.warning ? (warnedAt ?? second) : undefined;
  };
  let analysis = 1;
  for (let look = 60; look < 3 * 3600; ) {
    // An analysis or the sweep, whichever is next; both see the meter.
    const next = analysis * pause;
    const second = Math.min(next, look);
    if (next <= look) {
      const segment = { sequence: analysis, seconds: Math.min(pause, 60), characters: size };
      const admitted = (await row(admitOf(person, id, model, segment, timeOf(second), size))).answer;
      if (admitted.usage && admitted.session.status === 'in_progress') see(admitted.usage, second);
      if (admitted.admitted)
        await row(finishOf(admitted.hold_id, { tokens: Math.round(size / 2) }, timeOf(second + 1)));
      analysis += 1;
    } else {
      while ((await row(`select private.watch_next_session(${timeOf(second)}) as more`)).more);
      look += 60;
    }
    const state = await row(
      `select s.status, s.end_reason, u.warning, extract(epoch from s.ended_at - s.started_at)::float8 as ended_at
       from public.sessions s join public.session_usage u on u.session_id = s.id where s.id = ${id}`,
    );
    if (state.status !== 'in_progress') return { ...state, warnedAt };
    see(state, second);
  }
  throw new Error('It never ended.');
}

test(`the warning comes ${WARN_SECONDS} seconds before the end in 99 % of ${RUNS} sessions, and none makes a debt`, {
  timeout: 60_000 + 3000 * RUNS,
}, async () => {
  const model = await offerAnalyses();
  const people = await newSpeakers(RUNS, 3, []);
  const client = await adminPool.connect();
  const late: object[] = [];
  try {
    // The time is an argument everywhere: the same stories end the same.
    for (const [place, story] of fc.sample(fc.noBias(burning), { numRuns: RUNS, seed: 16 }).entries()) {
      const person = people[place] as string;
      await client.query('begin');
      try {
        const ended = await burn(client, model, story, person);
        expect(ended.end_reason, JSON.stringify({ story, ended })).toBe('credits');
        expect(await faultsOf([person], client), JSON.stringify(story)).toEqual([]);
        const { rows } = await client.query(
          'select credits_balance::float8 as balance from public.credit_wallets where workspace_id = $1',
          [person],
        );
        expect(rows[0].balance, JSON.stringify(story)).toBeGreaterThanOrEqual(0);
        const warned = ended.ended_at - (ended.warnedAt ?? Number.POSITIVE_INFINITY);
        if (!(warned >= WARN_SECONDS)) late.push({ ...story, ...ended, rate: JSON.stringify(story.rate) });
      } finally {
        await client.query('rollback');
      }
    }
  } finally {
    client.release();
  }
  expect(late.length, JSON.stringify(late, null, 1)).toBeLessThanOrEqual(RUNS / 100);
});
