/**
 * `npm run reset`: builds the development database anew from the migrations and seed.sql, and empties storage; everything
 * else runs on.
 */
import { join } from 'node:path';
import {
  clearFiles,
  loadKeys,
  readRunningState,
  recoverFromCrash,
  resetDatabase,
  resetRunning,
  StackError,
  withPostgres,
} from '@basemeter/local-supabase';
import { loadConfig } from '../config.ts';
import { DEV_DATA_DIR, PROJECT_DIR } from '../paths.ts';

/** Resets the running stack's database; of a stopped stack, the database it will start with. */
export async function run(): Promise<undefined> {
  const state = readRunningState(DEV_DATA_DIR);
  if (state && !state.ready) throw new StackError('Basemeter is starting; reset it once it is up.');
  console.log('Building the database anew');
  if (state) {
    const keys = loadKeys(join(DEV_DATA_DIR, 'keys.json'));
    await resetRunning(state, keys, { projectDir: PROJECT_DIR, dataDir: DEV_DATA_DIR });
  } else {
    await recoverFromCrash(DEV_DATA_DIR, (line) => console.log(line));
    await resetStopped();
    clearFiles(DEV_DATA_DIR);
  }
  console.log('The database is new: base schema, migrations, seed.sql.');
}

async function resetStopped(): Promise<void> {
  const { databaseUrl, dbPort } = loadConfig();
  if (databaseUrl) await resetDatabase(databaseUrl, PROJECT_DIR);
  else await withPostgres({ dataDir: DEV_DATA_DIR, port: dbPort }, (adminUrl) => resetDatabase(adminUrl, PROJECT_DIR));
}
