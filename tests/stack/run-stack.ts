/** Runs a stack in a process that a test can kill: `run-stack.ts <data folder> <project folder>`. Says when it is up. */
import { startStack } from '../../scripts/stack/index.ts';

const [dataDir = '', projectDir = ''] = process.argv.slice(2);
const stack = await startStack({ dataDir, projectDir, apiPort: 0, dbPort: 0, durable: false });
process.send?.({ pids: stack.pids(), database: stack.urls.database });
