/** A stack for one test run: its own data folder and ports, nothing of the development stack, gone when stopped. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stack, type StackOptions, startStack } from '../stack/index.ts';

/** Starts it. Its functions see no variables of the developer's: the upstream is always the simulator. */
export async function startTestStack(options: Partial<StackOptions> = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'basemeter-test-'));
  const discard = (): void => rmSync(dataDir, { recursive: true, force: true });
  try {
    const stack = await startStack({ apiPort: 0, dbPort: 0, seed: false, durable: false, ...options, dataDir });
    return {
      ...stack,
      get urls() {
        return stack.urls;
      },
      async stop() {
        await stack.stop();
        discard();
      },
    };
  } catch (error) {
    discard();
    throw error;
  }
}
