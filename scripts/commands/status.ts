/** `npm run status`: the addresses and keys of the running stack, as `supabase status -o env` prints them. */
import { join } from 'node:path';
import { loadKeys, readRunningState, StackError, type StackState } from '@basemeter/local-supabase';
import { DEV_DATA_DIR } from '../paths.ts';
import { envOf, type StatusEnv } from '../stack.ts';

/** Prints them. Fails with a sentence when the stack does not run. */
export async function run(): Promise<undefined> {
  const state = readRunningState(DEV_DATA_DIR);
  if (!state) throw new StackError('Basemeter does not run; `npm start` starts it.');
  if (!state.ready) throw new StackError('Basemeter is starting; try again in a moment.');
  printStatus(runningEnv(state));
}

/** The variables of the development stack that runs. */
export function runningEnv(state: StackState): StatusEnv {
  return envOf(state, loadKeys(join(DEV_DATA_DIR, 'keys.json')));
}

/** Prints variables in the form NAME="value", which a shell and dotenv read alike. */
export function printStatus(env: StatusEnv): void {
  for (const [name, value] of Object.entries(env)) console.log(`${name}="${value}"`);
}
