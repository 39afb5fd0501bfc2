/** Calls what is due from a timer, as pg_cron does where a server has it: `private.run_due_work()` and billing's tasks. */
import pg from 'pg';
import { messageOf } from './errors.ts';

/** How the timer runs. */
type Settings = {
  /** Ms between two ticks. Default 10 s. */
  interval?: number;
  /** Where billing does what payment events left to do, at most once a `tasksInterval` (ms, default a minute). */
  tasks?: { url: string; secretKey: string };
  tasksInterval?: number;
};

/**
 * Starts the timer on a connection as role postgres. Errors are handed to `log` once each time they change, and never
 * end anything. Gives a function that stops the timer and waits for a call under way.
 */
export function startScheduledWork(
  databaseUrl: string,
  log: (line: string) => void,
  { interval = 10_000, tasks, tasksInterval = 60_000 }: Settings = {},
): () => Promise<void> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  const stopping = new AbortController();
  const runDueWork = reporting(log, 'scheduled work failed', async () => {
    if (await isOurs(pool)) await pool.query('select private.run_due_work()');
  });
  const askForTasks = reporting(log, 'payment tasks failed', async () => {
    if (tasks) await postTasks(tasks, stopping.signal);
  });
  let tasksAt = Date.now() + tasksInterval;
  const doTasks = async (): Promise<void> => {
    if (Date.now() < tasksAt || stopping.signal.aborted) return;
    tasksAt = Date.now() + tasksInterval;
    await askForTasks();
  };
  let underWay: Promise<void> | undefined;
  const timer = setInterval(() => {
    underWay ??= runDueWork()
      .then(doTasks)
      .finally(() => {
        underWay = undefined;
      });
  }, interval);
  return async () => {
    clearInterval(timer);
    stopping.abort();
    await underWay;
    await pool.end();
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

/** A project without function billing has none. */
async function postTasks({ url, secretKey }: { url: string; secretKey: string }, stop: AbortSignal): Promise<void> {
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
    const response = await fetch(url, { method: 'POST', headers: { apikey: secretKey }, signal });
    if (!response.ok && response.status !== 404) throw new Error(`${response.status} ${await response.text()}`);
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
