/** The active time of a session, whatever is reported, late, twice over or out of order, is what a plain list of seconds says. */
import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool } from '../support/stack.ts';
import {
  admitOf,
  chargeFor,
  faultsOf,
  finishOf,
  moveOf,
  newSpeakers,
  offerAnalyses,
  quoted,
  startOf,
} from './metering.ts';

const SESSIONS = runs(6);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('analyse' as const),
      seconds: fc.constantFrom(0, 1, 10, 45, 60, 300),
      ago: fc.option(fc.constantFrom(-20, 0, 5, 30, 60, 90, 600), { freq: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pause' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 20, 60, 130) }) },
);
const story = fc.record({
  steps: fc.array(step, { minLength: 4, maxLength: 16, size: 'max' }),
  skew: fc.constantFrom(-300, 0, 7, 300),
  /** Seconds before the end that the client says it ended, if it says. */
  endedAgo: fc.option(fc.constantFrom(-60, 0, 15, 400)),
});
type Story = typeof story extends fc.Arbitrary<infer T> ? T : never;

/** The seconds of a session by what each is: active, paused or neither. */
class Seconds {
  readonly active = new Set<number>();
  readonly paused = new Set<number>();
  pausedAt: number | undefined;
  /** The end of the last time that was reported or paused. */
  reported = 0;

  count(from: number, to: number): void {
    for (let second = Math.max(from, 0); second < to; second += 1) {
      if (!this.paused.has(second)) this.active.add(second);
    }
  }

  analyse(now: number, seconds: number, began: number | undefined): void {
    const latest = Math.min(now, this.pausedAt ?? now);
    const length = Math.min(seconds, now);
    if (began === undefined) {
      let missing = length;
      for (let second = latest - 1; second >= 0 && missing > 0; second -= 1) {
        if (this.paused.has(second) || this.active.has(second)) continue;
        this.active.add(second);
        missing -= 1;
      }
    } else this.count(began, Math.min(began + length, latest));
    this.reported = Math.max(this.reported, Math.min(began === undefined ? latest : began + length, latest));
  }

  tail(until: number): void {
    this.count(this.reported, until);
    this.reported = Math.max(this.reported, until);
  }

  pause(now: number): void {
    if (this.pausedAt !== undefined) return;
    this.tail(now);
    this.pausedAt = now;
  }

  resume(now: number): void {
    if (this.pausedAt === undefined) return;
    for (let second = this.pausedAt; second < now; second += 1) this.paused.add(second);
    this.reported = Math.max(this.reported, now);
    this.pausedAt = undefined;
  }

  end(now: number, said: number | undefined): void {
    this.tail(Math.min(said ?? now, this.pausedAt ?? now, now));
  }
}

/** The duration that the database counts for a story, and that of the list of seconds. */
async function play(client: pg.PoolClient, person: string, model: string, { steps, skew, endedAgo }: Story) {
  const time = (second: number) => `(timestamptz '2026-03-01T10:00:00Z' + interval '${second} s')`;
  const ask = async (statement: string) => (await client.query(statement)).rows[0]?.answer;
  const id = quoted((await ask(startOf(person, 'call', { startedAt: time(skew), at: time(0) }))).session.id);
  const counted = new Seconds();
  let now = 0;
  for (const [sequence, made] of steps.entries()) {
    if (made.do === 'wait') now += made.seconds;
    else if (made.do === 'analyse') {
      const began = made.ago === null ? undefined : now - made.ago;
      const segment = {
        sequence,
        seconds: made.seconds,
        startedAt: began === undefined ? undefined : time(began + skew),
      };
      const admitted = await ask(admitOf(person, id, model, segment, time(now)));
      expect(admitted.admitted, JSON.stringify(admitted.message)).toBe(true);
      await ask(finishOf(admitted.hold_id, {}, time(now)));
      counted.analyse(now, made.seconds, began);
    } else {
      await ask(moveOf(made.do, person, id, { at: time(now) }));
      counted[made.do](now);
    }
  }
  const endedAt = endedAgo === null ? undefined : time(now - endedAgo + skew);
  const { usage } = await ask(moveOf('complete', person, id, { at: time(now), endedAt }));
  counted.end(now, endedAgo === null ? undefined : now - endedAgo);
  return { usage, expected: counted.active.size };
}

test(`${SESSIONS} sessions whose clients report in any order`, { timeout: 60_000 + 1000 * SESSIONS }, async () => {
  const rate = [{ unit: 'minute' as const, credits: 0.6 }];
  const model = await offerAnalyses();
  const client = await adminPool.connect();
  try {
    await fc.assert(
      fc.asyncProperty(story, async (told) => {
        const [person = ''] = await newSpeakers(1, 1000, []);
        await client.query('begin');
        try {
          await client.query(`select public.set_credit_rate($1, $2, at => '2026-01-01')`, [
            JSON.stringify(rate),
            person,
          ]);
          await client.query(`update public.workspaces set session_policy = 'soft' where id = $1`, [person]);
          const { usage, expected } = await play(client, person, model, told);
          expect(Number(usage.duration_seconds)).toBe(expected);
          expect(usage.credits_consumed).toBeCloseTo(chargeFor(rate, usage), 6);
          expect(await faultsOf([person], client)).toEqual([]);
        } finally {
          await client.query('rollback');
        }
      }),
      { numRuns: SESSIONS, endOnFailure: true },
    );
  } finally {
    client.release();
  }
});
