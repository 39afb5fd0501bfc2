/** What a running stack writes down in its data folder, so that other commands find it and a crash can be tidied up. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { identify, isAlive, type ProcessId } from './processes.ts';

const processSchema = z.object({ pid: z.number().int(), startedAt: z.string() });

const stateSchema = z.object({
  supervisor: processSchema,
  /** True once everything answers. */
  ready: z.boolean(),
  apiPort: z.number().int(),
  /** Superuser URL of the database in use. */
  adminUrl: z.string(),
  /** What was given as `notes` at its start. */
  notes: z.record(z.string(), z.string()).default({}),
  /** Every process the supervisor started, by the name of its part. */
  processes: z.record(z.string(), processSchema),
});

/** One run of the stack. */
export type StackState = z.infer<typeof stateSchema>;

const fileIn = (dataDir: string): string => join(dataDir, 'state.json');

/** The state of the last run in this data folder; undefined when it ended in order or there was none. */
export function readState(dataDir: string): StackState | undefined {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(fileIn(dataDir), 'utf8')));
  } catch {
    return undefined;
  }
}

/** The state of the stack that runs now in this data folder, if one does. */
export function readRunningState(dataDir: string): StackState | undefined {
  const state = readState(dataDir);
  return state && isAlive(state.supervisor) ? state : undefined;
}

/** Writes the state, whole or not at all. */
function writeState(dataDir: string, state: StackState): void {
  const draft = `${fileIn(dataDir)}.new`;
  writeFileSync(draft, JSON.stringify(state, null, 2), { mode: 0o600 });
  renameSync(draft, fileIn(dataDir));
}

/** Forgets the run: everything it started has ended. */
export function clearState(dataDir: string): void {
  rmSync(fileIn(dataDir), { force: true });
}

/** Keeps the state file of the run that this process supervises up to date. */
export class RunRecord {
  readonly #dataDir: string;
  readonly #state: StackState;

  constructor(dataDir: string, facts: Pick<StackState, 'apiPort' | 'adminUrl' | 'notes'>) {
    this.#dataDir = dataDir;
    this.#state = { supervisor: identify(process.pid), ready: false, processes: {}, ...facts };
    writeState(dataDir, this.#state);
  }

  /** Records the process of the part `name`; a later one takes the place of an earlier. */
  add(name: string, id: ProcessId): void {
    this.#state.processes[name] = id;
    writeState(this.#dataDir, this.#state);
  }

  /** Records that everything answers. */
  markReady(): void {
    this.#state.ready = true;
    writeState(this.#dataDir, this.#state);
  }

  /** The latest pid of each part. */
  pids(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.#state.processes).map(([name, { pid }]) => [name, pid]));
  }
}
