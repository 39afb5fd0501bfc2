/** Starts the whole local stack in this process and its children, and stops it again. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { changedMigrations, checkSuperuser, letIn, prepareDatabase, urlForRole } from './database.ts';
import { fetchDenoDependencies } from './deno.ts';
import { platformEnv, type StatusEnv, statusEnv } from './environment.ts';
import { messageOf, StackError } from './errors.ts';
import { Functions } from './functions.ts';
import { startGateway } from './gateway.ts';
import { loadKeys, type StackKeys } from './keys.ts';
import { claimPort, LOCALHOST } from './net.ts';
import { storageFolder } from './paths.ts';
import { embeddedUrl, startPostgres } from './postgres.ts';
import { startPostgrest } from './postgrest.ts';
import { type Program, startProgram } from './programs.ts';
import { type ProjectConfig, readProjectConfig } from './project-config.ts';
import { recoverFromCrash } from './recovery.ts';
import { type Schedule, startScheduledWork } from './scheduled-work.ts';
import { clearState, RunRecord, readRunningState } from './state.ts';

/** What a stack is started with. */
export type LocalSupabaseOptions = {
  /** The folder that has `supabase/`. */
  projectDir: string;
  /** Holds everything the stack writes. Made when missing. */
  dataDir: string;
  /** The gateway's port; 0 takes any free one. */
  apiPort: number;
  /** The embedded database's port; 0 takes any free one. */
  dbPort: number;
  /** Superuser URL of a server to use instead of the embedded one. It is never stopped. */
  databaseUrl?: string;
  /** A PostgREST program to use instead of the one from npm. */
  postgrestBin?: string;
  /** Deno's module cache, which several stacks may share. Default: in `dataDir`. */
  denoDir?: string;
  /** Variables for the functions, beside the platform's own. */
  env?: Record<string, string>;
  /** A role made by the migrations that functions may connect as: it gets the stack's password, and they its URL in `variable`. */
  functionsRole?: { role: string; variable: string };
  /** Programs that are started before the functions. */
  programs?: Program[];
  /** What is done from time to time. */
  schedule?: Schedule;
  /** Kept in the state file, for other commands that find the stack by it. */
  notes?: Record<string, string>;
  /** Whether a new database gets supabase/seed.sql. Default true. */
  seed?: boolean;
  /** False for a throwaway database, which then flushes nothing to disk. Default true. */
  durable?: boolean;
  /** Aborting it ends the start; what had started is stopped. */
  signal?: AbortSignal;
  /** Told what happens, one line each: steps while starting, reloads and crashes later. */
  onProgress?: (line: string) => void;
};

/** A running stack. */
export type LocalSupabase = {
  /** The variables that `supabase status -o env` prints. */
  env: StatusEnv;
  keys: StackKeys;
  urls: {
    api: string;
    /** The functions' host without the gateway; moves when the functions reload. */
    readonly functionsDirect: string;
    postgrest: string;
    /** Where each of `programs` answers, by its name. */
    programs: Record<string, string>;
    /** The database as role postgres. */
    database: string;
    /** The database as superuser. */
    databaseAdmin: string;
  };
  /** The pid of each part by name. */
  pids: () => Record<string, number>;
  /** Loads the functions' files anew. */
  restartFunctions: () => Promise<void>;
  /** Stops every part in order. Safe to call again. */
  stop: () => Promise<void>;
};

/**
 * Starts every part in order and resolves when all of them answer. Throws a StackError (one sentence) when something is
 * off; then nothing is left running.
 */
export async function startLocalSupabase(options: LocalSupabaseOptions): Promise<LocalSupabase> {
  const run = new Run(options);
  try {
    return await run.start();
  } catch (error) {
    await run.stop();
    // Ctrl-C ends the tools of a step as well; what they then say is beside the point.
    throw options.signal?.aborted ? new StackError('The start was interrupted.') : error;
  }
}

/** One run: starts the parts and remembers, as it goes, how to stop them. */
class Run {
  readonly #options: LocalSupabaseOptions;
  readonly #say: (line: string) => void;
  readonly #closers: (() => Promise<unknown>)[] = [];
  #record: RunRecord | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: LocalSupabaseOptions) {
    this.#options = options;
    this.#say = options.onProgress ?? (() => undefined);
  }

  async start(): Promise<LocalSupabase> {
    const { projectDir, dataDir, databaseUrl, programs = [], schedule = {}, notes = {} } = this.#options;
    const config = readProjectConfig(projectDir);
    await this.#takeDataDir();
    const apiPort = await claimPort(this.#options.apiPort, 'API_PORT');
    const dbPort = databaseUrl ? 0 : await claimPort(this.#options.dbPort, 'DB_PORT');
    const apiUrl = `http://${LOCALHOST}:${apiPort}`;
    const adminUrl = databaseUrl ?? embeddedUrl(dbPort);
    const keys = loadKeys(join(dataDir, 'keys.json'));
    const record = new RunRecord(dataDir, { apiPort, adminUrl, notes });
    this.#record = record;
    this.#closers.push(async () => clearState(dataDir));

    if (databaseUrl) await checkSuperuser(databaseUrl);
    else await this.#startPostgres(dbPort);
    this.#step('Applying migrations');
    await prepareDatabase(adminUrl, projectDir, this.#options.seed ?? true);
    for (const file of await changedMigrations(adminUrl, projectDir)) {
      this.#say(`Migration ${file} has changed since it was applied; a reset builds the database again.`);
    }
    const postgrest = await this.#startPostgrest(adminUrl, keys, config);
    const programUrls: Record<string, string> = {};
    const env = { ...(await this.#functionsUrl(adminUrl)), ...this.#options.env };
    for (const program of programs) {
      const url = await this.#startProgram(program, { API_URL: apiUrl, PUBLISHABLE_KEY: keys.publishableKey });
      programUrls[program.name] = url;
      Object.assign(env, program.functionsEnv(url));
    }
    const functions = await this.#startFunctions(keys, { ...env, ...platformEnv(apiUrl, adminUrl, keys) });
    await this.#openGateway({ port: apiPort, adminUrl, keys, postgrest, functions, config });
    const stopWork = startScheduledWork({
      databaseUrl: urlForRole(adminUrl, 'postgres'),
      functionsUrl: `${apiUrl}/functions/v1`,
      secretKey: keys.secretKey,
      schedule,
      log: this.#say,
    });
    this.#closers.push(stopWork);
    record.markReady();

    return {
      env: statusEnv(apiUrl, adminUrl, keys),
      keys,
      urls: {
        api: apiUrl,
        get functionsDirect() {
          return functions.url;
        },
        postgrest,
        programs: programUrls,
        database: urlForRole(adminUrl, 'postgres'),
        databaseAdmin: adminUrl,
      },
      pids: () => record.pids(),
      restartFunctions: () => functions.restart(),
      stop: () => this.stop(),
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#closeAll();
    return this.#stopped;
  }

  async #closeAll(): Promise<void> {
    for (const close of this.#closers.reverse()) await close().catch((error) => this.#say(messageOf(error)));
  }

  #step(line: string): void {
    if (this.#options.signal?.aborted) throw new StackError('The start was interrupted.');
    this.#say(line);
  }

  /** Makes the data folder this run's own, and tidies up after an earlier one that crashed. */
  async #takeDataDir(): Promise<void> {
    const { dataDir } = this.#options;
    const running = readRunningState(dataDir);
    if (running) {
      const url = `http://${LOCALHOST}:${running.apiPort}`;
      throw new StackError(`A stack already runs here, at ${url} (pid ${running.supervisor.pid}); stop it first.`);
    }
    await recoverFromCrash(dataDir, this.#say);
    mkdirSync(dataDir, { recursive: true });
    rmSync(join(dataDir, 'logs'), { recursive: true, force: true });
    mkdirSync(join(dataDir, 'logs'));
  }

  /** What every child process of this run is started with. */
  #child(name: string) {
    return {
      dataDir: this.#options.dataDir,
      onCrash: this.#say,
      onStart: (id: { pid: number; startedAt: string }) => this.#record?.add(name, id),
    };
  }

  async #startPostgres(port: number): Promise<void> {
    this.#step(existsSync(join(this.#options.dataDir, 'db')) ? 'Starting Postgres' : 'Making the database');
    const postgres = await startPostgres({ port, durable: this.#options.durable ?? true, ...this.#child('postgres') });
    this.#closers.push(() => postgres.stop());
  }

  async #startPostgrest(adminUrl: string, keys: StackKeys, { api }: ProjectConfig): Promise<string> {
    this.#step('Starting PostgREST');
    const binary = this.#options.postgrestBin;
    const { service, url } = await startPostgrest({ adminUrl, keys, api, binary, ...this.#child('postgrest') });
    this.#closers.push(() => service.stop());
    return url;
  }

  async #startProgram(program: Program, env: Record<string, string>): Promise<string> {
    this.#step(`Starting ${program.title}`);
    const { service, url } = await startProgram(program, { env, ...this.#child(program.name) });
    this.#closers.push(() => service.stop());
    return url;
  }

  async #functionsUrl(adminUrl: string): Promise<Record<string, string>> {
    const { functionsRole } = this.#options;
    if (!functionsRole) return {};
    await letIn(adminUrl, functionsRole.role);
    return { [functionsRole.variable]: urlForRole(adminUrl, functionsRole.role) };
  }

  async #startFunctions(keys: StackKeys, env: Record<string, string>): Promise<Functions> {
    const { projectDir, dataDir, denoDir = join(dataDir, 'deno') } = this.#options;
    await fetchDenoDependencies({ projectDir, denoDir }, (line) => this.#step(line));
    this.#step('Starting the functions');
    const settings = { projectDir, denoDir, keys, env, onEvent: this.#say };
    const functions = await Functions.start({ ...settings, ...this.#child('functions') });
    this.#closers.push(() => functions.stop());
    return functions;
  }

  async #openGateway({ port, adminUrl, keys, postgrest, functions, config }: Behind): Promise<void> {
    this.#step('Opening the gateway');
    const { createAuthApp } = await import('./auth/app.ts');
    const { createStorageApp } = await import('./storage/app.ts');
    const issuer = `http://${LOCALHOST}:${port}/auth/v1`;
    const auth = createAuthApp({ pool: this.#openPool(adminUrl, 'supabase_auth_admin'), issuer, keys });
    const storage = await createStorageApp({
      pool: this.#openPool(adminUrl, 'supabase_storage_admin'),
      keys,
      folder: storageFolder(this.#options.dataDir),
      fileSizeLimit: config.storage.fileSizeLimit,
    });
    const close = await startGateway(port, { keys, rest: postgrest, auth, storage, functions: () => functions.url });
    this.#closers.push(close);
  }

  #openPool(adminUrl: string, role: string): pg.Pool {
    // Connections are kept: a new one plans each statement of each trigger anew.
    const pool = new pg.Pool({ connectionString: urlForRole(adminUrl, role), max: 10, idleTimeoutMillis: 0 });
    pool.on('error', () => undefined); // an idle connection that the server ended; the pool opens another
    // One that is in use fails its query as well; without a listener its event would end the whole stack.
    pool.on('connect', (client) => client.on('error', () => undefined));
    this.#closers.push(() => pool.end());
    return pool;
  }
}

/** What the gateway stands before. */
type Behind = {
  port: number;
  adminUrl: string;
  keys: StackKeys;
  postgrest: string;
  functions: Functions;
  config: ProjectConfig;
};
