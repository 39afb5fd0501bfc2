/** `npm run bench -- conversations`: what conversations cost beside plain calls. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack } from '../scripts/stack.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';
import { measureChunks } from './conversations/chunks.ts';

/** Runs the benchmark. */
export async function run(): Promise<ResultTable[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  const stack = await startStack({ dataDir, apiPort: 0, dbPort: 0 });
  try {
    return [await measureChunks(stack)];
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
