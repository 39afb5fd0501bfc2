/** Does what is due from a timer, as pg_cron does where a server has it: `private.run_due_work()` and calls of functions. */
import pg from 'pg';
import { messageOf } from './errors.ts';

/** A function that is to be called from time to time, with the secret key. */
export type ScheduledCall = {
  /** What it does, for the log. */
  name: string;
  url: string;
  secretKey: string;
  /** At most once in so many ms. */
  interval: number;
};

/** How the timer runs. */
type Settings = {
  /** Ms between two ticks. Default 10 s. */
  interval?: number;
  calls?: ScheduledCall[];
};

/**
 * Starts the timer on a connection as role postgres. A slow piece of work keeps none of the others waiting, and none runs
 * twice at once. Errors are handed to `log` once each time they change, and never end anything. Gives a function that
 * stops the timer and waits for what is under way.
 */
export function startScheduledWork(
  databaseUrl: string,
  log: (line: string) => void,
  { interval = 10_000, calls = [] }: Settings = {},
): () => Promise<void> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  const stopping = new AbortController();
  // Until none is left, as the cron does it: after an outage there are hundreds of pieces, each a transaction of its own.
  const runDueWork = async (): Promise<void> => {
    if (!(await isOurs(pool))) return;
    for (let done = 1; done > 0 && !stopping.signal.aborted; ) {
      const answer = await pool.query<{ done: number }>('select private.run_due_work() as done');
      done = answer.rows[0]?.done ?? 0;
    }
  };
  const jobs = [
    oneAtATime(reporting(log, 'scheduled work failed', runDueWork)),
    ...calls.map((call) => {
      const work = reporting(log, `${call.name} failed`, () => post(call, stopping.signal));
      return oneAtATime(atMostEvery(call.interval, work));
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
async function post({ url, secretKey }: ScheduledCall, stop: AbortSignal): Promise<void> {
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
async function isOurs(pool: pg.Pool): Promise<boolean> {
  const found = await pool.query(`
    select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'private' and p.proname = 'run_due_work'
       and not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')`);
  return (found.rowCount ?? 0) > 0;
}
