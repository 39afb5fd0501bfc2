/** The simulators of what the functions call, each in a process of its own, so that it takes no time from the gateway. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findFreePort, LOCALHOST } from './net.ts';
import { resolveModule } from './paths.ts';
import { type ProcessId, Service } from './processes.ts';

/** What a simulator is started with. */
type Settings = {
  dataDir: string;
  onCrash: (sentence: string) => void;
  onStart: (id: ProcessId) => void;
};

/** Starts the AI simulator on a free port; `url` has no path. */
export function startSimulator(settings: Settings): Promise<{ url: string; service: Service }> {
  return start(settings, {
    name: 'the AI simulator',
    program: './simulator-process.ts',
    log: 'simulator.log',
    env: {},
  });
}

/**
 * Starts the payment simulator on a free port; `url` has no path. `env` tells it where the stack is and how to sign:
 * API_URL, PUBLISHABLE_KEY, CREEM_WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET.
 */
export function startPaymentSimulator(
  settings: Settings & { env: Record<string, string> },
): Promise<{ url: string; service: Service }> {
  return start(settings, {
    name: 'the payment simulator',
    program: './payment-simulator-process.ts',
    log: 'payment-simulator.log',
    env: settings.env,
  });
}

async function start(
  settings: Settings,
  { name, program, log, env }: { name: string; program: string; log: string; env: Record<string, string> },
): Promise<{ url: string; service: Service }> {
  const port = await findFreePort();
  const url = `http://${LOCALHOST}:${port}`;
  const loader = resolveModule('tsx');
  const service = await Service.start({
    name,
    command: process.execPath,
    args: ['--import', `file://${loader}`, fileURLToPath(new URL(program, import.meta.url))],
    env: { PATH: process.env.PATH ?? '', SIMULATOR_PORT: String(port), ...env },
    logFile: join(settings.dataDir, 'logs', log),
    isReady: () => fetch(url).then(() => true),
    readyWithin: 30_000,
    stopSignal: 'SIGTERM',
    stopWithin: 2_000,
    onCrash: settings.onCrash,
    onStart: settings.onStart,
  });
  return { url, service };
}
