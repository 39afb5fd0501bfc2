/** A throwaway database with this checkout's migrations and nothing else, for looking at: types and lints. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { claimTestDatabase, prepareDatabase, releaseTestDatabase, withPostgres } from '@basemeter/local-supabase';
import { loadConfig } from '../config.ts';
import { PROJECT_DIR } from '../paths.ts';

/** Basemeter's migrations are numbered so; others are those of the project that uses it. */
const OURS = /^20261101\d+_/;

/** Whether the project has migrations besides Basemeter's. */
export function hasOwnMigrations(): boolean {
  return migrationFiles().some((file) => !OURS.test(file));
}

const migrationFiles = (): string[] =>
  readdirSync(join(PROJECT_DIR, 'supabase/migrations')).filter((file) => file.endsWith('.sql'));

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
  const copy = mkdtempSync(join(tmpdir(), 'basemeter-ours-'));
  try {
    const folder = join(PROJECT_DIR, 'supabase/migrations');
    cpSync(join(PROJECT_DIR, 'supabase/config.toml'), join(copy, 'supabase/config.toml'));
    cpSync(folder, join(copy, 'supabase/migrations'), {
      recursive: true,
      filter: (path) => path === folder || OURS.test(basename(path)),
    });
    await prepareDatabase(adminUrl, copy, false);
  } finally {
    rmSync(copy, { recursive: true });
  }
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
