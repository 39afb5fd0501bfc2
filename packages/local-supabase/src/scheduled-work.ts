/** Does what is due from a timer, as pg_cron and pg_net do in a hosted project. */
import pg from 'pg';
import { messageOf } from './errors.ts';

/** What a stack does from time to time. */
export type Schedule = {
  /**
   * A database function that needs no arguments, does one piece of what is due and gives how many it did, e.g.
   * `private.run_due_work`. Called until it gives 0; not while it does not exist, nor where pg_cron is there to call it.
   */
  databaseFunction?: string;
  /** Edge functions that are called with the secret key. */
  calls?: {
    /** What the call does, for the log. */
    name: string;
    /** E.g. `billing/tasks`. */
    path: string;
    /** At most once in so many ms. */
    interval: number;
  }[];
};

/** How the timer runs. */
type Settings = {
  /** As role postgres. */
  databaseUrl: string;
  functionsUrl: string;
  secretKey: string;
  schedule: Schedule;
  log: (line: string) => void;
  /** Ms between two ticks. Default 10 s. */
  interval?: number;
};

/**
 * Starts the timer. A slow piece of work keeps none of the others waiting, and none runs
 * twice at once. Errors are handed to `log` once each time they change, and never end anything. Gives a function that
 * stops the timer and waits for what is under way.
 */
export function startScheduledWork(settings: Settings): () => Promise<void> {
  const { databaseUrl, log, interval = 10_000 } = settings;
  const { databaseFunction, calls = [] } = settings.schedule;
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  const stopping = new AbortController();
  // Until none is left, as the cron does it: after an outage there are hundreds of pieces, each a transaction of its own.
  const runDueWork = async (): Promise<void> => {
    if (!databaseFunction || !(await isOurs(pool, databaseFunction))) return;
    for (let done = 1; done > 0 && !stopping.signal.aborted; ) {
      const answer = await pool.query<{ done: number }>(`select ${databaseFunction}() as done`);
      done = answer.rows[0]?.done ?? 0;
    }
  };
  const jobs = [
    oneAtATime(reporting(log, 'scheduled work failed', runDueWork)),
    ...calls.map(({ name, path, interval }) => {
      const url = `${settings.functionsUrl}/${path}`;
      const work = reporting(log, `${name} failed`, () => post(url, settings.secretKey, stopping.signal));
      return oneAtATime(atMostEvery(interval, work));
    }),
  ];
  let underWay: Promise<void>[] = [];
  const timer = setInterval(() => {
    underWay = jobs.map((job) => job());
  }, interval);
  return async () => {
    clearInterval(timer);
    stopping.abort();
    await Promise.all(underWay);
    await pool.end();
  };
}

/** Wraps work so that a call while it runs waits for that run. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let underWay: Promise<void> | undefined;
  return () => {
    underWay ??= work().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** Wraps work so that calls too soon after it began do nothing; the first begins an interval from now. */
function atMostEvery(interval: number, work: () => Promise<void>): () => Promise<void> {
  let dueAt = Date.now() + interval;
  return async () => {
    if (Date.now() < dueAt) return;
    dueAt = Date.now() + interval;
    await work();
  };
}

/** Wraps work so that its error is logged when it is another one than the last time. */
function reporting(log: (line: string) => void, title: string, work: () => Promise<void>): () => Promise<void> {
  let lastError = '';
  return async () => {
    try {
      await work();
      lastError = '';
    } catch (error) {
      if (messageOf(error) !== lastError) log(`${title}: ${messageOf(error)}`);
      lastError = messageOf(error);
    }
  };
}

/** A project without that function answers 404, which is no error. */
async function post(url: string, secretKey: string, stop: AbortSignal): Promise<void> {
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
    const response = await fetch(url, { method: 'POST', headers: { apikey: secretKey }, signal });
    const answer = await response.text();
    if (!response.ok && response.status !== 404) throw new Error(`${response.status} ${answer}`);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

/** The function exists, and pg_cron is not there to call it. */
async function isOurs(pool: pg.Pool, databaseFunction: string): Promise<boolean> {
  const { rows } = await pool.query(
    `select to_regproc($1) is not null
        and not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') as ours`,
    [databaseFunction],
  );
  return rows[0]?.ours === true;
}
