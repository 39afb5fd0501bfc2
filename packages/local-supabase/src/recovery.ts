/** Tidies up after a run whose supervisor was killed: its children may still run and hold the ports. */
import { endProcess, isAlive } from './processes.ts';
import { clearState, readState } from './state.ts';

/**
 * Ends what is left of a run in `dataDir` that is no longer supervised. Processes are known by pid and start time, so
 * nothing else is ever ended.
 */
export async function recoverFromCrash(dataDir: string, say: (line: string) => void): Promise<void> {
  const state = readState(dataDir);
  if (!state || isAlive(state.supervisor)) return;
  const leftovers = Object.entries(state.processes).filter(([, id]) => isAlive(id));
  if (leftovers.length > 0) say(`Ending what a crashed run left behind: ${leftovers.map(([name]) => name).join(', ')}`);
  const { postgres, ...clients } = state.processes;
  await Promise.all(Object.values(clients).map((id) => endProcess(id, 'SIGTERM', 5_000)));
  if (postgres) await endProcess(postgres, 'SIGINT', 30_000);
  clearState(dataDir);
}
