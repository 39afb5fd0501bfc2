/** Runs a stack in a process that a test can kill: `run-stack.ts <options as JSON>`. Says what became of it. */
import { startLocalSupabase } from '../../index.ts';
import { ECHO } from '../support/echo-program.ts';

const said: string[] = [];
const options = JSON.parse(process.argv[2] ?? '{}');
const { env, urls, pids } = await startLocalSupabase({
  ...options,
  programs: [ECHO],
  onProgress: (line) => said.push(line),
});
process.send?.({ env, urls, pids: pids(), said });
