/** The functions' host process: finding the functions, starting Deno, reloading when files change. */
import { join } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { findDeno } from './binaries.ts';
import { denoEnv, dependencyFlags, HOST_FILE } from './deno.ts';
import { messageOf } from './errors.ts';
import type { StackKeys } from './keys.ts';
import { findFreePort, LOCALHOST } from './net.ts';
import { type ProcessId, Service } from './processes.ts';
import { findFunctions } from './project-config.ts';

type Settings = {
  dataDir: string;
  /** The folder that has `supabase/`. */
  projectDir: string;
  /** Deno's module cache. */
  denoDir: string;
  keys: StackKeys;
  /** What the functions find in their environment. */
  env: Record<string, string>;
  /** Told about reloads, crashes and what goes wrong. */
  onEvent: (line: string) => void;
  onStart: (id: ProcessId) => void;
};

/** How long a replaced host may take to finish its requests, ms; the platform ends a request after as long. */
const LONGEST_REQUEST = 150_000;
/** Editors write a file in several steps; wait for the last, ms. */
const CHANGE_SETTLES_AFTER = 200;

/** The functions of a project, served by one Deno process that is replaced when their files change. */
export class Functions {
  #service: Service | undefined;
  /** Replaced hosts that still finish requests. */
  readonly #retiring = new Set<Service>();
  #url = '';
  #watcher: FSWatcher | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  private constructor(private readonly settings: Settings) {}

  /** Starts the host and begins to watch the files. A function that does not load answers 503, the others work. */
  static async start(settings: Settings): Promise<Functions> {
    const functions = new Functions(settings);
    await functions.#replace();
    await functions.#watch();
    return functions;
  }

  /** Where the host answers, without the gateway. Changes at each reload. */
  get url(): string {
    return this.#url;
  }

  /** Loads the functions' files anew: a new process answers, then the old one finishes its requests and ends. */
  restart(): Promise<void> {
    this.#reloading = this.#reloading.catch(() => undefined).then(() => this.#replace());
    return this.#reloading;
  }

  /** Ends the host and the watching. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#watcher?.close();
    await this.#reloading.catch(() => undefined);
    const hosts = [...this.#retiring, ...(this.#service ? [this.#service] : [])];
    await Promise.all(hosts.map((host) => host.stop()));
  }

  async #replace(): Promise<void> {
    const before = this.#service;
    const port = await findFreePort();
    const url = `http://${LOCALHOST}:${port}`;
    this.#service = await Service.start({
      name: 'the functions',
      command: findDeno(),
      args: ['run', ...dependencyFlags(this.settings.projectDir), ...this.#permissions(), HOST_FILE],
      env: this.#environment(port),
      cwd: this.settings.projectDir,
      logFile: join(this.settings.dataDir, 'logs/functions.log'),
      isReady: async () => (await fetch(`${url}/_health`)).ok,
      readyWithin: 120_000,
      stopSignal: 'SIGTERM',
      stopWithin: 5_000,
      onCrash: this.settings.onEvent,
      onStart: this.settings.onStart,
    });
    this.#url = url;
    await this.#tellOfBroken();
    if (before) this.#retire(before);
  }

  async #tellOfBroken(): Promise<void> {
    const { broken } = (await (await fetch(`${this.#url}/_health`)).json()) as { broken: string[] };
    const log = join(this.settings.dataDir, 'logs/functions.log');
    for (const name of broken) this.settings.onEvent(`function ${name} did not load; its error is in ${log}`);
  }

  #retire(host: Service): void {
    this.#retiring.add(host);
    host.stop(LONGEST_REQUEST).finally(() => this.#retiring.delete(host));
  }

  #environment(port: number): Record<string, string> {
    const { keys, env, projectDir, denoDir } = this.settings;
    return {
      ...env,
      ...denoEnv(denoDir),
      HOST_PORT: String(port),
      HOST_FUNCTIONS: JSON.stringify(findFunctions(projectDir)),
      HOST_JWKS: JSON.stringify(keys.jwks),
      HOST_JWT_SECRET: keys.jwtSecret,
    };
  }

  /** The network (but no port that others could reach), the environment it was given, its own files for reading. */
  #permissions(): string[] {
    const readable = [join(this.settings.projectDir, 'supabase/functions'), HOST_FILE, this.settings.denoDir];
    const network = ['--allow-net', '--deny-net=0.0.0.0,[::]'];
    return ['--no-prompt', '--quiet', ...network, '--allow-env', `--allow-read=${readable.join(',')}`];
  }

  /** Not `fs.watch`: on Linux it loses sight of files that are replaced, as editors and git do. */
  #watch(): Promise<void> {
    const folder = join(this.settings.projectDir, 'supabase');
    const paths = [join(folder, 'functions'), join(folder, 'config.toml')];
    const watcher = watch(paths, {
      ignoreInitial: true,
      ignored: (path, stats) => !!stats?.isFile() && !isSource(path),
    });
    this.#watcher = watcher;
    watcher.on('error', (error) => this.settings.onEvent(`watching failed: ${messageOf(error)}`));
    watcher.on('all', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#reload(), CHANGE_SETTLES_AFTER);
    });
    return new Promise((resolve) => watcher.on('ready', resolve));
  }

  #reload(): void {
    this.restart().then(
      () => this.settings.onEvent('functions reloaded'),
      (error) => this.settings.onEvent(`the functions were not reloaded: ${messageOf(error)}`),
    );
  }
}

function isSource(path: string): boolean {
  return !path.endsWith('deno.lock') && /\.(ts|js|json|sql|txt|env|toml)$/.test(path);
}
