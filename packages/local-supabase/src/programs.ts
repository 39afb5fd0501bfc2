/** Programs of the project's own beside the stack, each in a process of its own, so that it takes no time from the gateway. */
import { join } from 'node:path';
import { findFreePort, LOCALHOST } from './net.ts';
import { resolveModule } from './paths.ts';
import { type ProcessId, Service } from './processes.ts';

/** A program that runs beside the functions, such as a simulator of something they call. */
export type Program = {
  /** The name of its process and of its log. */
  name: string;
  /** What sentences call it, e.g. `the AI simulator`. */
  title: string;
  /** A TypeScript file. It serves HTTP on PORT of 127.0.0.1 until its stdin closes, which the stack holds open. */
  file: string;
  /** What it finds in its environment, beside PORT and the stack's API_URL and PUBLISHABLE_KEY. */
  env?: Record<string, string>;
  /** What the functions find in theirs, given where it answers (no path). */
  functionsEnv: (url: string) => Record<string, string>;
};

type Settings = {
  dataDir: string;
  /** The stack's own variables for it. */
  env: Record<string, string>;
  onCrash: (sentence: string) => void;
  onStart: (id: ProcessId) => void;
};

/** Starts a program on a free port. */
export async function startProgram(program: Program, settings: Settings): Promise<{ url: string; service: Service }> {
  const port = await findFreePort();
  const url = `http://${LOCALHOST}:${port}`;
  const service = await Service.start({
    name: program.title,
    command: process.execPath,
    args: ['--import', `file://${resolveModule('tsx')}`, program.file],
    env: { PATH: process.env.PATH ?? '', PORT: String(port), ...settings.env, ...program.env },
    logFile: join(settings.dataDir, 'logs', `${program.name}.log`),
    isReady: () => fetch(url).then(() => true),
    readyWithin: 120_000,
    stopSignal: 'SIGTERM',
    stopWithin: 2_000,
    onCrash: settings.onCrash,
    onStart: settings.onStart,
  });
  return { url, service };
}
