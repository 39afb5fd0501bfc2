/** Statements as the caller, under row level security. */
import type pg from 'pg';
import { transaction } from '../transaction.ts';
import type { Caller } from './callers.ts';

/** Runs `work` in one transaction as the caller: its role, and its token's claims where policies look for them. */
export function asCaller<T>(pool: pg.Pool, caller: Caller, work: (tx: pg.ClientBase) => Promise<T>): Promise<T> {
  return transaction(pool, async (tx) => {
    await tx.query(
      `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
              set_config('storage.allow_delete_query', 'true', true)`,
      [caller.role, JSON.stringify({ ...caller.claims, role: caller.role })],
    );
    return work(tx);
  });
}

/** Runs `work` as the caller and takes everything back: it only shows whether the caller may. */
export async function tryAsCaller(
  pool: pg.Pool,
  caller: Caller,
  work: (tx: pg.ClientBase) => Promise<unknown>,
): Promise<void> {
  const done = new Error('taken back');
  const trial = asCaller(pool, caller, async (tx) => {
    await work(tx);
    throw done;
  });
  await trial.catch((error) => {
    if (error !== done) throw error;
  });
}
