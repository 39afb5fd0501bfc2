/** `npm run status`: the addresses and keys of the running stack, as `supabase status -o env` prints them. */
import { join } from 'node:path';
import { type StatusEnv, statusEnv } from '../stack/environment.ts';
import { StackError } from '../stack/errors.ts';
import { loadKeys } from '../stack/keys.ts';
import { LOCALHOST } from '../stack/net.ts';
import { DEV_DATA_DIR } from '../stack/paths.ts';
import { readRunningState, type StackState } from '../stack/state.ts';

/** Prints them. Fails with a sentence when the stack does not run. */
export async function run(): Promise<undefined> {
  const state = readRunningState(DEV_DATA_DIR);
  if (!state) throw new StackError('Basemeter does not run; `npm start` starts it.');
  if (!state.ready) throw new StackError('Basemeter is starting; try again in a moment.');
  printStatus(runningEnv(state));
}

/** The variables of the development stack that runs. */
export function runningEnv({ apiPort, adminUrl, webhookSecrets }: StackState): StatusEnv {
  const keys = loadKeys(join(DEV_DATA_DIR, 'keys.json'));
  return statusEnv(`http://${LOCALHOST}:${apiPort}`, adminUrl, keys, webhookSecrets);
}

/** Prints variables in the form NAME="value", which a shell and dotenv read alike. */
export function printStatus(env: StatusEnv): void {
  for (const [name, value] of Object.entries(env)) console.log(`${name}="${value}"`);
}
