/** A stack for one test run: its own data folder and ports, nothing of the development stack, gone when stopped. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimTestDatabase, releaseTestDatabase, withClient } from '@basemeter/local-supabase';
import { type Stack, type StackOptions, startStack } from '../stack.ts';

/** A provider's key of the tests', with characters that look otherwise in URLs and JSON. */
export const AI_LEAKY_KEY = 'sk-leaky/K3y+0"9876543210fedcbaXYZW';

/** Tests act at fixed times, and pass the time of a month in one call. */
const ANY_TIME = `
  update public.system_config set maximum = 36500 * 1440, config_value = to_jsonb(36500 * case config_key
    when 'max_backdating_days' then 1 else 1440 end)
  where config_key in ('max_backdating_days', 'max_clock_skew_minutes')`;

/**
 * By which way functions go to Postgres is for whoever runs the tests to say: an empty BASEMETER_DB_URL is PostgREST. Many tests
 * at once share the functions' few connections, and none is about how long another waits.
 */
function waysToPostgres(databaseUrl?: string): Record<string, string> {
  // A URL is of the database that was given with it; a stack with a database of its own has its own.
  const given = Object.entries(process.env).filter(
    ([name, value]) => name.startsWith('BASEMETER_DB_') && (databaseUrl || name !== 'BASEMETER_DB_URL' || !value),
  );
  return {
    BASEMETER_DB_ACQUIRE_SECONDS: '30',
    ...Object.fromEntries(given.map(([name, value = '']) => [name, value])),
  };
}

/**
 * Starts it. Its functions see no other variables of the developer's: the upstream is always the simulator. With `databaseUrl`
 * that database is used, which has to be empty and is emptied again at the end.
 */
export async function startTestStack(options: Partial<StackOptions> = {}): Promise<Stack> {
  const { databaseUrl } = options;
  if (databaseUrl) await claimTestDatabase(databaseUrl);
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'basemeter-test-'));
  const discard = async (): Promise<void> => {
    rmSync(dataDir, { recursive: true, force: true });
    if (databaseUrl) await releaseTestDatabase(databaseUrl);
  };
  try {
    const env = { AI_LEAKY_KEY, ...waysToPostgres(databaseUrl) };
    const stack = await startStack({ apiPort: 0, dbPort: 0, seed: false, durable: false, env, ...options, dataDir });
    await withClient(stack.urls.databaseAdmin, (client) => client.query(ANY_TIME));
    return Object.assign(Object.create(stack), { stop: () => stack.stop().then(discard) });
  } catch (error) {
    await discard();
    throw error;
  }
}
