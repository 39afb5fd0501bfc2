/** `npm stop`: ends the development stack that runs, or what a crashed one left behind. */
import { endProcess, readRunningState, readState, recoverFromCrash } from '@basemeter/local-supabase';
import { DEV_DATA_DIR } from '../paths.ts';

/** Longer than all parts together may take to stop, ms. */
const PATIENCE = 60_000;

/** Stops it and returns when everything has ended. */
export async function run(): Promise<undefined> {
  const running = readRunningState(DEV_DATA_DIR);
  if (running) await endProcess(running.supervisor, 'SIGTERM', PATIENCE);
  else if (!readState(DEV_DATA_DIR)) {
    console.log('Basemeter does not run.');
    return;
  }
  await recoverFromCrash(DEV_DATA_DIR, (line) => console.log(line));
  console.log('Basemeter is stopped.');
}
