/** Calls `private.run_due_work()` from a timer, as pg_cron does where a server has it. */
import pg from 'pg';
import { messageOf } from './errors.ts';

/**
 * Starts the timer, every `interval` ms, on a connection as role postgres. Errors are handed to `log` once each time they change, and never
 * end anything. Gives a function that stops the timer and waits for a call under way.
 */
export function startScheduledWork(
  databaseUrl: string,
  log: (line: string) => void,
  interval = 10_000,
): () => Promise<void> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  pool.on('error', () => undefined);
  let lastError = '';
  let underWay: Promise<void> | undefined;
  const tick = async (): Promise<void> => {
    try {
      if (await isOurs(pool)) await pool.query('select private.run_due_work()');
      lastError = '';
    } catch (error) {
      if (messageOf(error) !== lastError) log(`scheduled work failed: ${messageOf(error)}`);
      lastError = messageOf(error);
    }
  };
  const timer = setInterval(() => {
    underWay ??= tick().finally(() => {
      underWay = undefined;
    });
  }, interval);
  return async () => {
    clearInterval(timer);
    await underWay;
    await pool.end();
  };
}

/** The function exists, and pg_cron is not there to call it. */
async function isOurs(pool: pg.Pool): Promise<boolean> {
  const found = await pool.query(`
    select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'private' and p.proname = 'run_due_work'
       and not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')`);
  return (found.rowCount ?? 0) > 0;
}
