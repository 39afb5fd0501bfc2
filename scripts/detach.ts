/** Running the stack in the background: the parent shows the start and leaves, the child stays. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, unwatchFile, watchFile } from 'node:fs';
import { join } from 'node:path';
import { DEV_DATA_DIR, PROJECT_DIR } from './paths.ts';

/**
 * Starts `npm start` in a process of its own and copies what it prints until it is ready. Gives the exit code: 0 when it
 * runs, else the child's. When `signal` aborts before that, the child is asked to end and waited for.
 */
export async function startDetached(signal: AbortSignal): Promise<number> {
  mkdirSync(DEV_DATA_DIR, { recursive: true });
  const logFile = join(DEV_DATA_DIR, 'start.log');
  const log = openSync(logFile, 'w', 0o600);
  const child = spawn(process.execPath, [join(PROJECT_DIR, 'scripts/run.mjs'), 'start'], {
    cwd: PROJECT_DIR,
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  signal.addEventListener('abort', () => child.kill('SIGTERM'));
  const stopCopying = copyToTerminal(logFile);
  const code = await outcome(child);
  stopCopying();
  child.unref();
  return code;
}

/** Whether this process was started in the background by `startDetached`. */
export function isDetached(): boolean {
  return process.send !== undefined;
}

/** Tells the process that started this one in the background, if one did, that the stack is ready, and lets it go. */
export function tellParent(): void {
  process.send?.('ready', () => process.disconnect());
}

function outcome(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('message', () => resolve(0));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** Prints a growing file as it grows. Gives a function that prints the rest and stops. */
function copyToTerminal(file: string): () => void {
  let printed = 0;
  const copy = (): void => {
    if (statSync(file).size <= printed) return;
    const content = readFileSync(file);
    process.stdout.write(content.subarray(printed));
    printed = content.length;
  };
  watchFile(file, { interval: 100 }, copy);
  return () => {
    unwatchFile(file);
    copy();
  };
}
