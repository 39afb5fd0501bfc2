/** The functions' host process: finding the functions, starting Deno, reloading when files change. */
import { existsSync, type FSWatcher, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findDeno } from './binaries.ts';
import { messageOf } from './errors.ts';
import { type StackKeys, verificationKeys } from './keys.ts';
import { findFreePort, LOCALHOST } from './net.ts';
import { DENO_CACHE_DIR } from './paths.ts';
import { type ProcessId, Service } from './processes.ts';
import { readProjectConfig } from './project-config.ts';

type Settings = {
  dataDir: string;
  /** The folder that has `supabase/`. */
  projectDir: string;
  keys: StackKeys;
  /** What the functions find in their environment. */
  env: Record<string, string>;
  /** Told about reloads, crashes and what goes wrong. */
  onEvent: (line: string) => void;
  onStart: (id: ProcessId) => void;
};

const HOST_FILE = fileURLToPath(new URL('./functions-host.ts', import.meta.url));
/** Editors write a file in several steps; wait for the last, ms. */
const CHANGE_SETTLES_AFTER = 200;

/** The functions of a project, served by one Deno process that is replaced when their files change. */
export class Functions {
  #service: Service | undefined;
  #url = '';
  #watchers: FSWatcher[] = [];
  #reloading: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  private constructor(private readonly settings: Settings) {}

  /** Starts the host and begins to watch the files. A function that does not load answers 503, the others work. */
  static async start(settings: Settings): Promise<Functions> {
    const functions = new Functions(settings);
    await functions.#replace();
    functions.#watch();
    return functions;
  }

  /** Where the host answers, without the gateway. Changes at each reload. */
  get url(): string {
    return this.#url;
  }

  /** The pid of the host. */
  get pid(): number | undefined {
    return this.#service?.pid;
  }

  /** Loads the functions' files anew: a new process answers, then the old one finishes its requests and ends. */
  restart(): Promise<void> {
    this.#reloading = this.#reloading.catch(() => undefined).then(() => this.#replace());
    return this.#reloading;
  }

  /** Ends the host and the watching. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
    await this.#reloading.catch(() => undefined);
    await this.#service?.stop();
  }

  async #replace(): Promise<void> {
    const before = this.#service;
    const port = await findFreePort();
    const url = `http://${LOCALHOST}:${port}`;
    this.#service = await Service.start({
      name: 'the functions',
      command: findDeno(),
      args: ['run', ...denoFlags(this.settings.projectDir, DENO_CACHE_DIR), HOST_FILE],
      env: this.#environment(port),
      cwd: this.settings.projectDir,
      logFile: join(this.settings.dataDir, 'logs/functions.log'),
      isReady: async () => (await fetch(`${url}/_health`)).ok,
      readyWithin: 60_000,
      stopSignal: 'SIGTERM',
      stopWithin: 5_000,
      onCrash: this.settings.onEvent,
      onStart: this.settings.onStart,
    });
    this.#url = url;
    await before?.stop();
  }

  #environment(port: number): Record<string, string> {
    const { keys, env, projectDir } = this.settings;
    return {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      ...env,
      DENO_DIR: DENO_CACHE_DIR,
      DENO_NO_PACKAGE_JSON: '1',
      DENO_NO_UPDATE_CHECK: '1',
      NO_COLOR: '1',
      HOST_PORT: String(port),
      HOST_FUNCTIONS: JSON.stringify(findFunctions(projectDir)),
      HOST_JWKS: JSON.stringify(verificationKeys(keys)),
    };
  }

  #watch(): void {
    const { projectDir } = this.settings;
    const folder = join(projectDir, 'supabase/functions');
    const changed = (): void => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#reload(), CHANGE_SETTLES_AFTER);
    };
    if (existsSync(folder))
      this.#watchers.push(watch(folder, { recursive: true }, (_, file) => isSource(file) && changed()));
    // Editors replace a file by renaming another over it, so the folder is watched, not the file.
    this.#watchers.push(watch(join(projectDir, 'supabase'), (_, file) => file === 'config.toml' && changed()));
    for (const watcher of this.#watchers)
      watcher.on('error', (error) => this.settings.onEvent(`watching failed: ${messageOf(error)}`));
  }

  #reload(): void {
    this.restart().then(
      () => this.settings.onEvent('functions reloaded'),
      (error) => this.settings.onEvent(`the functions were not reloaded: ${messageOf(error)}`),
    );
  }
}

/** What Deno is started with: the project's dependencies, the network, its own files for reading, and nothing else. */
export function denoFlags(projectDir: string, cacheDir: string): string[] {
  const folder = join(projectDir, 'supabase/functions');
  const settings = join(folder, 'deno.json');
  const dependencies = existsSync(settings)
    ? [`--config=${settings}`, `--lock=${join(folder, 'deno.lock')}`]
    : ['--no-config', '--no-lock'];
  return [
    ...dependencies,
    '--no-prompt',
    '--quiet',
    '--allow-net',
    '--allow-env',
    `--allow-read=${[folder, HOST_FILE, cacheDir].join(',')}`,
  ];
}

/** Every enabled function: a folder of supabase/functions with an index.ts, unless its name begins with `_` or a dot. */
export function findFunctions(projectDir: string): { name: string; entrypoint: string; verifyJwt: boolean }[] {
  const folder = join(projectDir, 'supabase/functions');
  const settings = readProjectConfig(projectDir).functions;
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .filter((name) => /^[a-zA-Z]/.test(name) && existsSync(join(folder, name, 'index.ts')))
    .filter((name) => settings[name]?.enabled ?? true)
    .map((name) => ({
      name,
      entrypoint: pathToFileURL(join(folder, name, 'index.ts')).href,
      verifyJwt: settings[name]?.verifyJwt ?? true,
    }));
}

function isSource(file: string | null): boolean {
  return file !== null && !file.endsWith('deno.lock') && /\.(ts|js|json|sql|txt|env)$/.test(file);
}
