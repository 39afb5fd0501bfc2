/** The AI upstream simulator in a process of its own, so that it takes no time from the gateway. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findFreePort, LOCALHOST } from './net.ts';
import { resolveModule } from './paths.ts';
import { type ProcessId, Service } from './processes.ts';

/** Starts the simulator on a free port; `url` has no path. */
export async function startSimulator(settings: {
  dataDir: string;
  onCrash: (sentence: string) => void;
  onStart: (id: ProcessId) => void;
}): Promise<{ url: string; service: Service }> {
  const port = await findFreePort();
  const url = `http://${LOCALHOST}:${port}`;
  const loader = resolveModule('tsx');
  const service = await Service.start({
    name: 'the AI simulator',
    command: process.execPath,
    args: ['--import', `file://${loader}`, fileURLToPath(new URL('./simulator-process.ts', import.meta.url))],
    env: { PATH: process.env.PATH ?? '', SIMULATOR_PORT: String(port) },
    logFile: join(settings.dataDir, 'logs/simulator.log'),
    isReady: () => fetch(url).then(() => true),
    readyWithin: 30_000,
    stopSignal: 'SIGTERM',
    stopWithin: 2_000,
    onCrash: settings.onCrash,
    onStart: settings.onStart,
  });
  return { url, service };
}
