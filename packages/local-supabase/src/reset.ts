/** Building a stack's database anew while the rest runs on. */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { resetDatabase, withClient } from './database.ts';
import { StackError } from './errors.ts';
import type { StackKeys } from './keys.ts';
import { LOCALHOST } from './net.ts';
import { storageFolder } from './paths.ts';
import type { StackState } from './state.ts';

/** How long PostgREST may take to see the new schema, ms. It tries to reconnect after 1, 2, 4, 8 … seconds. */
const PATIENCE = 30_000;

/**
 * Drops the running stack's database and makes it anew: base schema, migrations, seed.sql, PostgREST's schema cache. The
 * files in `dataDir` go with the rows that named them.
 */
export async function resetRunning(
  state: StackState,
  keys: StackKeys,
  { projectDir, dataDir }: { projectDir: string; dataDir: string },
): Promise<void> {
  await resetDatabase(state.adminUrl, projectDir);
  clearFiles(dataDir);
  await reloadSchema(state, keys);
}

/** Deletes every file of the storage stand-in. */
export function clearFiles(dataDir: string): void {
  rmSync(storageFolder(dataDir), { recursive: true, force: true });
}

/** Tells PostgREST to read the schema again and waits until it shows every table and view of `public`. */
async function reloadSchema(state: StackState, keys: StackKeys): Promise<void> {
  const wanted = await withClient(state.adminUrl, async (client) => {
    const found = await client.query(`
      select relname as name from pg_class
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'p', 'm')
         and has_table_privilege('service_role', oid, 'select')`);
    return found.rows.map(({ name }) => String(name));
  });
  const deadline = Date.now() + PATIENCE;
  while (Date.now() < deadline) {
    if (state.processes.postgrest) process.kill(state.processes.postgrest.pid, 'SIGUSR1');
    await sleep(250);
    const shown = await shownTables(state.apiPort, keys.secretKey);
    if (shown && wanted.every((name) => shown.has(name))) return;
  }
  throw new StackError('The database is new, but PostgREST does not show it; stop the stack and start it again.');
}

/** What PostgREST's description of itself lists; undefined while it does not answer. */
async function shownTables(apiPort: number, apikey: string): Promise<Set<string> | undefined> {
  const answer = await fetch(`http://${LOCALHOST}:${apiPort}/rest/v1/`, { headers: { apikey } });
  if (!answer.ok) return undefined;
  const { definitions } = (await answer.json()) as { definitions?: object };
  return new Set(Object.keys(definitions ?? {}));
}
