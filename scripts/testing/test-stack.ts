/** A stack for one test run: its own data folder and ports, nothing of the development stack, gone when stopped. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stack, type StackOptions, startStack } from '../stack/index.ts';
import { claimTestDatabase, releaseTestDatabase } from './test-database.ts';

/**
 * Starts it. Its functions see no variables of the developer's: the upstream is always the simulator. With `databaseUrl`
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
    const stack = await startStack({ apiPort: 0, dbPort: 0, seed: false, durable: false, ...options, dataDir });
    return Object.assign(Object.create(stack), { stop: () => stack.stop().then(discard) });
  } catch (error) {
    await discard();
    throw error;
  }
}
