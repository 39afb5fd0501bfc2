/** Starts the whole local stack in this process and its children, and stops it again. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { changedMigrations, checkSuperuser, prepareDatabase, urlForRole } from './database.ts';
import { fetchDenoDependencies } from './deno.ts';
import { platformEnv, type StatusEnv, statusEnv, type WebhookSecrets, webhookSecrets } from './environment.ts';
import { messageOf, StackError } from './errors.ts';
import { Functions } from './functions.ts';
import { startGateway } from './gateway.ts';
import { loadKeys, type StackKeys } from './keys.ts';
import { claimPort, LOCALHOST } from './net.ts';
import { PROJECT_DIR, storageFolder } from './paths.ts';
import { SIMULATED_CREEM_KEY, SIMULATED_STRIPE_KEY } from './payment-simulator/keys.ts';
import { embeddedUrl, startPostgres } from './postgres.ts';
import { startPostgrest } from './postgrest.ts';
import { type ProjectConfig, readProjectConfig } from './project-config.ts';
import { recoverFromCrash } from './recovery.ts';
import { type ScheduledCall, startScheduledWork } from './scheduled-work.ts';
import { startPaymentSimulator, startSimulator } from './simulator.ts';
import { clearState, RunRecord, readRunningState } from './state.ts';

/** What a stack is started with. */
export type StackOptions = {
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
  /**
   * Variables for the functions. Without AI_BASE_URL the AI simulator is started for them, and the payment simulator
   * without CREEM_API_KEY or STRIPE_SECRET_KEY, for the platform that has no key.
   */
  env?: Record<string, string>;
  /** The folder that has `supabase/`; this checkout unless given. */
  projectDir?: string;
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
export type Stack = {
  /** What `npm run status` prints. */
  env: StatusEnv;
  keys: StackKeys;
  urls: {
    api: string;
    /** The functions' host without the gateway; moves when the functions reload. */
    readonly functionsDirect: string;
    postgrest: string;
    /** Where the AI simulator runs, if it does. */
    simulator: string | undefined;
    /** Where the payment simulator runs, if it does. */
    paymentSimulator: string | undefined;
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
export async function startStack(options: StackOptions): Promise<Stack> {
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
  readonly #options: StackOptions;
  readonly #projectDir: string;
  readonly #say: (line: string) => void;
  readonly #closers: (() => Promise<unknown>)[] = [];
  #record: RunRecord | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: StackOptions) {
    this.#options = options;
    this.#projectDir = options.projectDir ?? PROJECT_DIR;
    this.#say = options.onProgress ?? (() => undefined);
  }

  async start(): Promise<Stack> {
    const { dataDir, databaseUrl } = this.#options;
    const config = readProjectConfig(this.#projectDir);
    await this.#takeDataDir();
    const apiPort = await claimPort(this.#options.apiPort, 'API_PORT');
    const dbPort = databaseUrl ? 0 : await claimPort(this.#options.dbPort, 'DB_PORT');
    const apiUrl = `http://${LOCALHOST}:${apiPort}`;
    const adminUrl = databaseUrl ?? embeddedUrl(dbPort);
    const keys = loadKeys(join(dataDir, 'keys.json'));
    const secrets = webhookSecrets(this.#options.env ?? {}, keys);
    const record = new RunRecord(dataDir, { apiPort, adminUrl, webhookSecrets: secrets });
    this.#record = record;
    this.#closers.push(async () => clearState(dataDir));

    if (databaseUrl) await checkSuperuser(databaseUrl);
    else await this.#startPostgres(dbPort);
    this.#step('Applying migrations');
    await prepareDatabase(adminUrl, this.#projectDir, this.#options.seed ?? true);
    for (const file of await changedMigrations(adminUrl, this.#projectDir)) {
      this.#say(`Migration ${file} has changed since it was applied; \`npm run reset\` builds the database anew.`);
    }
    const postgrest = await this.#startPostgrest(adminUrl, keys, config);
    const simulator = await this.#startSimulator();
    const payments = await this.#startPaymentSimulator(apiUrl, keys, secrets);
    const upstream = { ...aiUpstream(simulator), ...this.#paymentUpstream(payments), ...secrets };
    const functions = await this.#startFunctions(apiUrl, adminUrl, keys, upstream);
    await this.#openGateway({ port: apiPort, adminUrl, keys, postgrest, functions, config });
    const calls = scheduledCalls(`${apiUrl}/functions/v1`, keys.secretKey);
    const stopWork = startScheduledWork(urlForRole(adminUrl, 'postgres'), this.#say, { calls });
    this.#closers.push(stopWork);
    record.markReady();

    return {
      env: statusEnv(apiUrl, adminUrl, keys, secrets),
      keys,
      urls: {
        api: apiUrl,
        get functionsDirect() {
          return functions.url;
        },
        postgrest,
        simulator,
        paymentSimulator: payments,
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
      throw new StackError(
        `Basemeter already runs here, at ${url} (pid ${running.supervisor.pid}); \`npm stop\` ends it.`,
      );
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

  async #startSimulator(): Promise<string | undefined> {
    if (this.#options.env?.AI_BASE_URL) return undefined;
    this.#step('Starting the AI simulator (AI_BASE_URL is not set)');
    const { service, url } = await startSimulator(this.#child('simulator'));
    this.#closers.push(() => service.stop());
    return url;
  }

  async #startPaymentSimulator(apiUrl: string, keys: StackKeys, secrets: WebhookSecrets): Promise<string | undefined> {
    const missing = this.#unsetPaymentKeys();
    if (missing.length === 0) return undefined;
    this.#step(`Starting the payment simulator (${missing.join(' and ')} not set)`);
    const env = { API_URL: apiUrl, PUBLISHABLE_KEY: keys.publishableKey, ...secrets };
    const { service, url } = await startPaymentSimulator({ env, ...this.#child('payment-simulator') });
    this.#closers.push(() => service.stop());
    return url;
  }

  #unsetPaymentKeys(): string[] {
    return ['CREEM_API_KEY', 'STRIPE_SECRET_KEY'].filter((name) => !this.#options.env?.[name]);
  }

  /** Where the functions find the simulated platforms. */
  #paymentUpstream(url: string | undefined): Record<string, string> {
    const missing = this.#unsetPaymentKeys();
    return {
      ...(missing.includes('CREEM_API_KEY')
        ? { CREEM_API_KEY: SIMULATED_CREEM_KEY, CREEM_API_URL: `${url}/creem` }
        : {}),
      ...(missing.includes('STRIPE_SECRET_KEY')
        ? { STRIPE_SECRET_KEY: SIMULATED_STRIPE_KEY, STRIPE_API_URL: `${url}` }
        : {}),
    };
  }

  async #startFunctions(
    apiUrl: string,
    adminUrl: string,
    keys: StackKeys,
    upstream: Record<string, string>,
  ): Promise<Functions> {
    await fetchDenoDependencies((line) => this.#step(line));
    this.#step('Starting the functions');
    const functions = await Functions.start({
      projectDir: this.#projectDir,
      keys,
      env: { ...this.#options.env, ...upstream, ...platformEnv(apiUrl, adminUrl, keys) },
      onEvent: this.#say,
      ...this.#child('functions'),
    });
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
    const pool = new pg.Pool({ connectionString: urlForRole(adminUrl, role), max: 10 });
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

/** What the functions are to do from time to time; a cron calls them in a project that runs elsewhere. */
function scheduledCalls(functionsUrl: string, secretKey: string): ScheduledCall[] {
  return [
    { name: 'payment tasks', url: `${functionsUrl}/billing/tasks`, secretKey, interval: 60_000 },
    { name: 'syncing of videos', url: `${functionsUrl}/video/sync`, secretKey, interval: 10_000 },
  ];
}

/** Where the functions find the AI simulator, if it runs. */
function aiUpstream(simulator: string | undefined): Record<string, string> {
  return simulator ? { AI_BASE_URL: `${simulator}/v1`, AI_API_KEY: 'simulator' } : {};
}
