/** A throwaway database with this checkout's migrations and nothing else, for looking at: types and lints. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimTestDatabase, prepareDatabase, releaseTestDatabase, withPostgres } from '@basemeter/local-supabase';
import { loadConfig } from '../config.ts';
import { PROJECT_DIR } from '../paths.ts';
import { allModules, hasOwnMigrations, withProjectOf } from './modules.ts';

/**
 * Makes it (on the server of DATABASE_URL if that is set) with Basemeter's migrations, hands `work` the superuser's URL
 * and a function that adds the project's own migrations, and removes it.
 */
export async function withMigratedDatabase<T>(
  work: (adminUrl: string, addOwn: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const { databaseUrl } = loadConfig();
  const migrated = async (adminUrl: string): Promise<T> => {
    await applyOurs(adminUrl);
    return work(adminUrl, async () => {
      if (hasOwnMigrations()) await prepareDatabase(adminUrl, PROJECT_DIR, false);
    });
  };
  return databaseUrl ? onGivenServer(databaseUrl, migrated) : onEmbeddedServer(migrated);
}

/** The CLI applies a folder's migrations: where there are others, it gets a copy without them. */
async function applyOurs(adminUrl: string): Promise<void> {
  if (!hasOwnMigrations()) return prepareDatabase(adminUrl, PROJECT_DIR, false);
  await withProjectOf(allModules(), (projectDir) => prepareDatabase(adminUrl, projectDir, false));
}

async function onEmbeddedServer<T>(work: (adminUrl: string) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-check-'));
  try {
    return await withPostgres({ dataDir, port: 0, durable: false }, work);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function onGivenServer<T>(databaseUrl: string, work: (adminUrl: string) => Promise<T>): Promise<T> {
  await claimTestDatabase(databaseUrl);
  try {
    return await work(databaseUrl);
  } finally {
    await releaseTestDatabase(databaseUrl);
  }
}
