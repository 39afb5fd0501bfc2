/** Random histories of sessions, each run by several connections at once, some of which die: each is charged once or not at all. */
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';
import { adminPool, sql, urls } from '../support/stack.ts';
import {
  admitOf,
  ageOf,
  chargeFor,
  faultsOf,
  finishOf,
  moveOf,
  newSpeakers,
  offerAnalyses,
  type RateRow,
  sessionOf,
  startOf,
  sweep,
} from './metering.ts';

const HISTORIES = runs(8);
/** Histories that go on at the same time, each of a person of its own. */
const AT_ONCE = 2;
const LANES = 3;
const SESSIONS = 2;

const RATES: RateRow[][] = [
  [{ unit: 'minute', credits: 0.5, rounding: 'started_minute', charges_unfinished: true }],
  [
    { unit: 'minute', credits: 0.06, minimum: 0.1 },
    { unit: 'analysis', credits: 0.1, charges_unfinished: true },
    { unit: 'thousand_tokens', credits: 0.5 },
  ],
  [
    { unit: 'fixed', credits: 0.7, charges_unfinished: true },
    { unit: 'audio_second', credits: 0.005 },
    { unit: 'character', credits: 0.0002, minimum: 0.2 },
  ],
];

const session = fc.nat(SESSIONS - 1);
/** Seconds that a client's clock is ahead of ours. */
const skew = fc.constantFrom(-300, 0, 0, 300);
const segment = {
  session,
  sequence: fc.nat(6),
  hash: fc.constantFrom('one', 'one', 'one', 'other'),
  seconds: fc.constantFrom(0, 7.5, 60, 400),
  /** Seconds before now that it began by the client's clock; null: not said. */
  ago: fc.option(fc.constantFrom(-40, 0, 60, 130, 700), { freq: 2 }),
  ending: fc.constantFrom('success', 'success', 'success', 'success', 'success', 'failed', 'canceled'),
  tokens: fc.nat(400),
  level: fc.constantFrom('red', 'yellow', 'green'),
};
const move = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant('start' as const), session }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('analyse' as const), ...segment }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('admit' as const), ...segment }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('finish' as const), hold: fc.nat(9), ...segment }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const), session }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(...(['complete', 'complete', 'cancel', 'fail'] as const)),
      session,
      endedAgo: fc.option(fc.constantFrom(-300, 0, 45, 900)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('age' as const), seconds: fc.constantFrom(20, 60, 60, 60, 300, 300, 1000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) },
);
/** How a statement ends: committed, rolled back, with its connection cut before its commit, or done twice. */
const fate = fc.oneof(
  { weight: 30, arbitrary: fc.constant('commit' as const) },
  { weight: 5, arbitrary: fc.constant('rollback' as const) },
  { weight: 5, arbitrary: fc.constant('again' as const) },
  { weight: 1, arbitrary: fc.constant('cut' as const) },
);
const step = fc.record({ move, fate });
const history = fc.record({
  lanes: fc.array(fc.array(step, { minLength: 6, maxLength: 10, size: 'max' }), { minLength: LANES, maxLength: LANES }),
  policies: fc.array(fc.constantFrom('soft', 'hard'), { minLength: SESSIONS, maxLength: SESSIONS }),
  skews: fc.array(skew, { minLength: SESSIONS, maxLength: SESSIONS }),
  rate: fc.nat(RATES.length - 1),
  balance: fc.constantFrom(3, 8, 200),
});
type History = typeof history extends fc.Arbitrary<infer T> ? T : never;
type Step = History['lanes'][number][number];
type Answer = Record<string, unknown>;

/** What clients may be told: another connection came first. */
const FAIR = /^(PT404 not_found|PT409 invalid_state)$/;

/** A connection that is replaced when it dies. */
class Lane {
  #client: pg.Client | undefined;

  /** One transaction; its last row, or undefined where it came to nothing. Errors that are not fair are noted. */
  async run(statement: string, fate: Step['fate'], unfair: string[]): Promise<Answer | undefined> {
    this.#client ??= await this.#open();
    const end = {
      commit: '',
      again: '',
      rollback: '; rollback',
      cut: '; select pg_terminate_backend(pg_backend_pid())',
    };
    try {
      const given = await this.#client.query(`${fate === 'rollback' ? 'begin; ' : ''}${statement}${end[fate]}`);
      const results = (Array.isArray(given) ? given : [given]) as pg.QueryResult[];
      return fate === 'commit' || fate === 'again' ? (results.at(-1)?.rows[0]?.answer as Answer) : undefined;
    } catch (error) {
      if (fate === 'cut' && (!(error instanceof pg.DatabaseError) || error.code === '57P01')) {
        this.#client.end().catch(() => undefined);
        this.#client = undefined;
        return undefined;
      }
      if (!(error instanceof pg.DatabaseError)) throw error;
      if (!FAIR.test(`${error.code} ${error.message}`)) unfair.push(`${error.code} ${error.message}: ${statement}`);
      await this.#client.query('rollback');
      return undefined;
    }
  }

  async #open(): Promise<pg.Client> {
    const client = new pg.Client(urls.databaseAdmin);
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async end(): Promise<void> {
    await this.#client?.end();
    this.#client = undefined;
  }
}

const lanes = Array.from({ length: AT_ONCE * LANES }, () => new Lane());
let model: string;
let speakers: string[][] = [];
const deadlocks = async () =>
  (await sql('select deadlocks from pg_stat_database where datname = current_database()'))[0];
let before: unknown;

beforeAll(async () => {
  model = await offerAnalyses();
  before = await deadlocks();
});
afterAll(async () => {
  await Promise.all(lanes.map((lane) => lane.end()));
  expect(await deadlocks()).toEqual(before);
});

/** One person's history, and what its answers told. */
class Life {
  readonly holds: string[] = [];
  readonly unfair: string[] = [];
  /** The first answer to each segment, and the last end that was told of each session. */
  readonly analyses = new Map<string, Answer>();
  readonly ends = new Map<string, Answer>();
  private readonly begun = Date.now();

  constructor(
    private readonly person: string,
    private readonly story: History,
    private readonly lanes: Lane[],
  ) {}

  async play(): Promise<void> {
    await Promise.all(
      this.story.lanes.map(async (steps, place) => {
        // Two connections start the same session, so that there is one.
        await this.take(this.lanes[place] as Lane, { do: 'start', session: place % SESSIONS }, 'commit');
        for (const { move, fate } of steps) {
          await this.take(this.lanes[place] as Lane, move, fate);
          if (fate === 'again') await this.take(this.lanes[place] as Lane, move, 'commit');
        }
      }),
    );
  }

  private async take(lane: Lane, made: Step['move'], fate: Step['fate']): Promise<void> {
    const run = (statement: string, its = fate) => lane.run(statement, its, this.unfair);
    const { person } = this;
    switch (made.do) {
      case 'start':
        await run(
          startOf(person, made.session, {
            policy: this.story.policies[made.session],
            startedAt: `timestamptz '${new Date(this.begun + 1000 * (this.story.skews[made.session] as number)).toISOString()}'`,
          }),
        );
        break;
      case 'analyse':
      case 'admit': {
        const { session, sequence, hash, seconds, ago } = made;
        const startedAt = ago === null ? undefined : this.byItsClock(session, ago);
        const segment = { sequence, hash, seconds, startedAt };
        // What happens to the second of its two transactions is chosen by the segment.
        const isFirst = sequence % 2 === 0;
        const asked = admitOf(person, sessionOf(person, session), model, segment);
        const answer = await run(asked, isFirst ? fate : 'commit');
        this.note(answer);
        const hold = answer?.hold_id as string | undefined;
        if (!hold) break;
        this.holds.push(hold);
        if (made.do === 'analyse') this.note(await run(finishOf(hold, made), isFirst ? 'commit' : fate));
        break;
      }
      case 'finish': {
        const hold = this.holds[made.hold % Math.max(this.holds.length, 1)];
        if (hold) this.note(await run(finishOf(hold, made)));
        break;
      }
      case 'age':
        await run(ageOf(person, made.seconds));
        break;
      case 'sweep':
        await run(
          `update private.session_work set due_at = '2020-01-01' where workspace_id = '${person}' and due_at is not null`,
          'commit',
        );
        await run('select private.watch_next_session(clock_timestamp()) as answer');
        break;
      default: {
        const ago = made.do === 'complete' ? made.endedAgo : null;
        const endedAt = ago === null ? undefined : this.byItsClock(made.session, ago);
        const answer = await run(moveOf(made.do, person, sessionOf(person, made.session), { endedAt }));
        if (answer && 'endedAgo' in made) this.noteEnd(answer);
      }
    }
  }

  /** A time so many seconds ago as SQL, by the clock of a session's client. */
  private byItsClock(session: number, ago: number): string {
    return `clock_timestamp() + interval '${(this.story.skews[session] as number) - ago} s'`;
  }

  private note(answer: Answer | undefined): void {
    const analysis = answer?.analysis as Answer | null | undefined;
    if (!analysis) return;
    const place = `${analysis.session_id} ${analysis.sequence_number}`;
    expect(analysis, 'the same segment has the first answer').toEqual(this.analyses.get(place) ?? analysis);
    this.analyses.set(place, analysis);
  }

  private noteEnd(answer: Answer): void {
    const told = { session: answer.session, usage: answer.usage };
    const { id } = answer.session as { id: string };
    expect(told, 'an end is told the same each time').toEqual(this.ends.get(id) ?? told);
    this.ends.set(id, told);
  }
}

test(`${HISTORIES} histories: one charge or none, usage as the logs, no time twice, the ledger right`, {
  timeout: 60_000 + 2000 * HISTORIES,
}, async () => {
  speakers = await Promise.all(RATES.map((rate) => newSpeakers(HISTORIES + AT_ONCE, 3, rate)));
  let analysed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(history, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (stories) => {
      const people = stories.map(({ rate }) => speakers[rate]?.pop() as string);
      for (const [place, { balance }] of stories.entries()) {
        if (balance > 3)
          await sql(`select public.credit_user_credits_transaction($1, $2, 'purchase')`, [people[place], balance - 3]);
      }
      const lives = stories.map(
        (story, place) => new Life(people[place] as string, story, lanes.slice(place * LANES, (place + 1) * LANES)),
      );
      await Promise.all(lives.map((life) => life.play()));
      expect(lives.flatMap(({ unfair }) => unfair)).toEqual([]);
      expect(await faultsOf(people), 'while some run').toEqual([]);

      // A hard session that the sweep finds late is warned of its end first.
      for (const seconds of [6 * 3600, 600]) {
        for (const person of people) await adminPool.query(ageOf(person, seconds));
        await sweep(people);
      }
      expect(await faultsOf(people)).toEqual([]);
      const ended = await sql(
        `select s.workspace_id, s.policy, s.status, to_jsonb(u) as usage, w.credits_total::float8 as total
         from public.sessions s join public.session_usage u on u.session_id = s.id
           join public.credit_wallets w on w.workspace_id = s.workspace_id
         where s.workspace_id = any ($1)`,
        [people],
      );
      expect(ended.filter(({ status }) => ['in_progress', 'paused'].includes(status))).toEqual([]);
      for (const { workspace_id, policy, status, usage, total } of ended) {
        const story = stories[people.indexOf(workspace_id)] as History;
        const due = chargeFor(RATES[story.rate] as RateRow[], usage, ['canceled', 'failed'].includes(status));
        // hard takes no more than there is; the most that a history can cost is less than the largest balance
        if (policy === 'soft' || total > 100) expect(usage.credits_consumed, status).toBeCloseTo(due, 5);
        else expect(usage.credits_consumed).toBeLessThanOrEqual(due + 1e-6);
      }
      // What was answered was counted.
      const counted = await sql<{ place: string }>(
        `select session_id || ' ' || sequence_number as place from public.session_analysis_logs where workspace_id = any ($1)`,
        [people],
      );
      const places = new Set(counted.map(({ place }) => place));
      analysed += counted.length;
      expect(lives.flatMap(({ analyses }) => [...analyses.keys()]).filter((place) => !places.has(place))).toEqual([]);
    }),
    { numRuns: Math.ceil(HISTORIES / AT_ONCE), endOnFailure: true },
  );
  expect(analysed).toBeGreaterThan(HISTORIES / 2); // or they are no lives
});
