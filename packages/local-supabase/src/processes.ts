/** Starting, watching and ending child processes, each known by its pid and by when it started. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, StackError } from './errors.ts';

/** A process, and what tells it from a later one that got the same pid. */
export type ProcessId = { pid: number; startedAt: string };

/** How to run a service and how to know that it works. */
export type ServiceSpec = {
  name: string;
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd?: string;
  /** User and group to run as (needs root). */
  runAs?: { uid: number; gid: number };
  /** Takes everything the process prints; appended to. */
  logFile: string;
  /** Resolves to true once the service answers. Asked again and again; a rejection counts as "not yet". */
  isReady: () => Promise<boolean>;
  /** How long it may take to become ready, ms. */
  readyWithin: number;
  stopSignal: NodeJS.Signals;
  /** How long it may take to stop before it is killed, ms. */
  stopWithin: number;
  /** After so long without a crash, ms, the next one is answered as soon as the first. Default 30 s. */
  wellAfter?: number;
  /** Told when the process ends although nobody stopped it. The service is started again after that. */
  onCrash: (sentence: string) => void;
  /** Told whenever a process of this service has started. */
  onStart: (id: ProcessId) => void;
};

/** How soon a crashed service is started again, ms. Each crash doubles it up to the longest. */
const FIRST_RESTART_DELAY = 250;
const LONGEST_RESTART_DELAY = 10_000;
/** A service that ran for so long, ms, was well: its next crash is the first again. */
const WELL_AFTER = 30_000;

/** A child process that is started again when it crashes. */
export class Service {
  static readonly #running = new Set<Service>();

  #child: ChildProcess | undefined;
  #stopping = false;
  #restartDelay = FIRST_RESTART_DELAY;
  #startedAt = 0;

  private constructor(readonly spec: ServiceSpec) {}

  /** Starts the service and resolves once it is ready. Throws a StackError with the end of its log when it is not. */
  static async start(spec: ServiceSpec): Promise<Service> {
    const service = new Service(spec);
    Service.#running.add(service);
    service.#spawn();
    try {
      await service.#waitUntilReady();
    } catch (error) {
      await service.stop();
      throw error;
    }
    service.#child?.once('exit', (code, signal) => service.#afterCrash(code, signal));
    if (!isRunning(service.#child)) service.#afterCrash(service.#child?.exitCode ?? null, null);
    return service;
  }

  /** Ends every service of this process. */
  static async stopAll(): Promise<void> {
    await Promise.all([...Service.#running].map((service) => service.stop()));
  }

  /** Ends the process, forcibly when it takes longer than `patience` ms. May be called again with less of it. */
  async stop(patience = this.spec.stopWithin): Promise<void> {
    this.#stopping = true;
    Service.#running.delete(this);
    const child = this.#child;
    if (!child || !isRunning(child)) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(this.spec.stopSignal);
    const deadline = new AbortController();
    const forced = sleep(patience, undefined, { signal: deadline.signal }).then(
      () => child.kill('SIGKILL'),
      () => undefined,
    );
    await ended;
    deadline.abort();
    await forced;
  }

  #spawn(): void {
    const log = openSync(this.spec.logFile, 'a', 0o600);
    // A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops its parts in order.
    // The open stdin ends with the supervisor, which tells the parts that watch it that they are alone.
    const child = spawn(this.spec.command, this.spec.args, {
      env: this.spec.env,
      cwd: this.spec.cwd,
      detached: true,
      stdio: ['pipe', log, log],
      ...this.spec.runAs,
    });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    child.once('error', () => undefined);
    if (child.pid) this.spec.onStart(identify(child.pid));
    this.#child = child;
    this.#startedAt = Date.now();
  }

  async #waitUntilReady(): Promise<void> {
    const deadline = Date.now() + this.spec.readyWithin;
    while (Date.now() < deadline) {
      if (!isRunning(this.#child)) throw new StackError(`${this.spec.name} did not start: ${this.#logEnd()}`);
      if (await this.spec.isReady().catch(() => false)) return;
      await sleep(50);
    }
    const seconds = Math.round(this.spec.readyWithin / 1000);
    throw new StackError(`${this.spec.name} did not answer within ${seconds} seconds: ${this.#logEnd()}`);
  }

  async #afterCrash(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (this.#stopping) return;
    const how = signal ? `by ${signal}` : `with code ${code}`;
    if (Date.now() - this.#startedAt >= (this.spec.wellAfter ?? WELL_AFTER)) this.#restartDelay = FIRST_RESTART_DELAY;
    this.spec.onCrash(
      `${this.spec.name} ended ${how} and is started again in ${this.#restartDelay} ms; its last words: ${this.#logEnd()}`,
    );
    await sleep(this.#restartDelay);
    this.#restartDelay = Math.min(this.#restartDelay * 2, LONGEST_RESTART_DELAY);
    if (this.#stopping) return;
    this.#spawn();
    this.#child?.once('exit', (nextCode, nextSignal) => this.#afterCrash(nextCode, nextSignal));
  }

  #logEnd(): string {
    return lastLines(this.spec.logFile, 4);
  }
}

/** Runs a tool to its end. Gives its exit code and everything it printed (both streams together, in order). */
export function runTool(
  command: string,
  args: string[],
  options: { env: NodeJS.ProcessEnv; cwd?: string; runAs?: { uid: number; gid: number }; input?: string },
): Promise<{ code: number; output: string; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: options.env, cwd: options.cwd, stdio: 'pipe', ...options.runAs });
    let output = '';
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.once('error', (error) => reject(new StackError(`${command} can't be run: ${messageOf(error)}.`)));
    child.once('close', (code) => resolve({ code: code ?? 1, output, stdout }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** The last lines of a log, joined to one. */
export function lastLines(file: string, count: number): string {
  const lines = readFileSync(file, 'utf8').trim().split('\n').slice(-count);
  return lines.join(' / ') || 'it printed nothing';
}

/** Names a process of this moment so that it is not mistaken for a later one with the same pid. */
export function identify(pid: number): ProcessId {
  return { pid, startedAt: startTime(pid) };
}

/** Whether that very process still runs. */
export function isAlive(id: ProcessId): boolean {
  const now = startTime(id.pid);
  return now !== '' && now === id.startedAt;
}

/** Ends a process that is not our child: first politely, after `patience` ms by force. Returns when it is gone. */
export async function endProcess(id: ProcessId, signal: NodeJS.Signals, patience: number): Promise<void> {
  const deadline = Date.now() + patience;
  if (isAlive(id)) process.kill(id.pid, signal);
  while (isAlive(id)) {
    if (Date.now() > deadline) process.kill(id.pid, 'SIGKILL');
    await sleep(50);
  }
}

function isRunning(child: ChildProcess | undefined): boolean {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** When a process started, as its system writes it; empty when there is none. Zombies count as gone. */
function startTime(pid: number): string {
  try {
    if (process.platform !== 'linux')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    // The command name (field 2) may hold spaces and brackets, so count from its end: state is field 3, start 22.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
