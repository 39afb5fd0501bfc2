/** One transaction around a piece of work. */
import type pg from 'pg';

/** What can run a query: the pool, or the client of a transaction. */
export type Database = pg.Pool | pg.ClientBase;

/**
 * Runs `work` in one transaction and gives its result. When it throws, everything is rolled back, so that
 * work that fails half-way leaves nothing.
 */
export async function transaction<T>(pool: pg.Pool, work: (tx: pg.ClientBase) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    // When the connection itself is gone there is nothing left to roll back; the first error is the one to report.
    await client.query('rollback').catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}
