/** The embedded Postgres server: making its data folder, starting it, and tidying up after a run that was killed. */
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { findPostgres } from './binaries.ts';
import { StackError } from './errors.ts';
import { claimPort, LOCALHOST } from './net.ts';
import { endProcess, identify, type ProcessId, runTool, Service } from './processes.ts';

/** The password of every database role of a local stack, as `supabase start` has it. */
export const ROLE_PASSWORD = 'postgres';

type Settings = {
  dataDir: string;
  port: number;
  /** False for a throwaway database: nothing is flushed to disk. */
  durable: boolean;
  onCrash: (sentence: string) => void;
  onStart: (id: ProcessId) => void;
};

/** Starts Postgres on `port`, making its data folder first where there is none. Ready when this resolves. */
export async function startPostgres(settings: Settings): Promise<Service> {
  const { dataDir, port, durable } = settings;
  const { initdb, postgres } = findPostgres();
  const clusterDir = join(dataDir, 'db');
  const account = accountToRunAs([dirname(postgres), dataDir]);
  if (!existsSync(clusterDir)) await createCluster(initdb, dataDir, account);
  await tidyUpAfterCrash(clusterDir);
  // Commits are still handed to the system: a throwaway database outlives a kill of its server, not of the machine.
  const relaxed: Record<string, string> = durable ? {} : { fsync: 'off', full_page_writes: 'off' };
  const server = account.launch(postgres, ['-D', clusterDir, ...asFlags({ ...serverSettings(port), ...relaxed })]);
  return Service.start({
    name: 'Postgres',
    ...server,
    env: plainEnv(),
    logFile: join(dataDir, 'logs/postgres.log'),
    isReady: () => answers(embeddedUrl(port)),
    readyWithin: 120_000,
    stopSignal: 'SIGINT', // "fast": ends open transactions, then shuts down in order
    stopWithin: 30_000,
    onCrash: settings.onCrash,
    onStart: settings.onStart,
  });
}

/** Starts Postgres for as long as `work` takes, which gets the superuser's URL. `port` 0 takes any free one. */
export async function withPostgres<T>(
  { dataDir, port, durable = true }: { dataDir: string; port: number; durable?: boolean },
  work: (adminUrl: string) => Promise<T>,
): Promise<T> {
  const free = await claimPort(port, 'DB_PORT');
  mkdirSync(join(dataDir, 'logs'), { recursive: true });
  const nothing = (): void => undefined;
  const server = await startPostgres({ dataDir, port: free, durable, onCrash: nothing, onStart: nothing });
  try {
    return await work(embeddedUrl(free));
  } finally {
    await server.stop();
  }
}

/** Superuser URL of an embedded server. */
export function embeddedUrl(port: number): string {
  return `postgresql://supabase_admin:${ROLE_PASSWORD}@${LOCALHOST}:${port}/postgres`;
}

function serverSettings(port: number): Record<string, string> {
  return {
    port: String(port),
    listen_addresses: LOCALHOST,
    unix_socket_directories: '',
    max_connections: '300',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
  };
}

function asFlags(settings: Record<string, string>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Nothing of the caller's locale, and none of the PG* variables that would redirect the server. */
function plainEnv(): Record<string, string> {
  return { PATH: process.env.PATH ?? '', LC_ALL: 'C', ...(process.env.TMPDIR ? { TMPDIR: process.env.TMPDIR } : {}) };
}

/**
 * Makes the data folder, under another name until it is whole. The builtin provider's C.UTF-8 sorts and folds case the
 * same on every system and needs no locale of it, whatever LANG says.
 */
async function createCluster(initdb: string, dataDir: string, account: Account): Promise<void> {
  const draft = join(dataDir, 'db.new');
  const passwordFile = join(dataDir, 'db.password');
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordFile, ROLE_PASSWORD, { mode: 0o600 });
  if (account.owner) {
    chownSync(draft, account.owner.uid, account.owner.gid);
    chownSync(passwordFile, account.owner.uid, account.owner.gid);
  }
  const locale = ['-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const login = ['-U', 'supabase_admin', `--pwfile=${passwordFile}`, '-A', 'scram-sha-256'];
  const tool = account.launch(initdb, ['-D', draft, ...login, ...locale, '--no-instructions']);
  const { code, output } = await runTool(tool.command, tool.args, { env: plainEnv(), runAs: tool.runAs });
  rmSync(passwordFile);
  if (code !== 0)
    throw new StackError(`The database's data folder could not be made: ${output.trim().split('\n').at(-1)}`);
  renameSync(draft, join(dataDir, 'db'));
}

/** As whom the server's programs run, and who owns their files. */
type Account = {
  owner?: { uid: number; gid: number };
  launch: (
    command: string,
    args: string[],
  ) => { command: string; args: string[]; runAs?: { uid: number; gid: number } };
};

/**
 * Postgres refuses to run as root, so root runs it as the user `postgres`, else `nobody`. Where that user can't reach
 * `dirs` (a checkout below /root), the server gets the one capability that lets it pass through closed folders.
 */
function accountToRunAs(dirs: string[]): Account {
  if (process.getuid?.() !== 0) return { launch: (command, args) => ({ command, args }) };
  const owner = lookUpUser('postgres') ?? lookUpUser('nobody');
  if (!owner) {
    throw new StackError(
      'Postgres does not run as root and no user postgres or nobody exists; run this as another user.',
    );
  }
  if (dirs.every(isOpenToEveryone)) return { owner, launch: (command, args) => ({ command, args, runAs: owner }) };
  const capability = '+dac_read_search';
  const setpriv = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', `--inh-caps=${capability}`];
  // Without no_setuid_fixup access(2), by which Postgres checks its programs, would ignore the capability.
  setpriv.push(`--ambient-caps=${capability}`, '--securebits=+no_setuid_fixup');
  try {
    execFileSync('setpriv', [...setpriv, 'true'], { stdio: 'ignore' });
  } catch {
    throw new StackError(
      'Postgres does not run as root, and no other user may enter the folder of this project; ' +
        'move the project to a folder that everyone may enter, or run this as another user.',
    );
  }
  return { owner, launch: (command, args) => ({ command: 'setpriv', args: [...setpriv, command, ...args] }) };
}

function lookUpUser(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return undefined;
  }
}

function isOpenToEveryone(dir: string): boolean {
  const parent = dirname(dir);
  return (statSync(dir).mode & 0o001) !== 0 && (parent === dir || isOpenToEveryone(parent));
}

/**
 * Ends a server that an earlier, killed run left in this folder, and removes a pid file whose process is another one by
 * now (after a restart of the machine or container low pids come again, and Postgres would refuse to start).
 * Only Linux tells a process' folder; elsewhere Postgres' own check has to do.
 */
async function tidyUpAfterCrash(clusterDir: string): Promise<void> {
  const pidFile = join(clusterDir, 'postmaster.pid');
  if (process.platform !== 'linux' || !existsSync(pidFile)) return;
  const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  if (folderOf(pid) === realpathSync(clusterDir)) await endProcess(identify(pid), 'SIGINT', 30_000);
  rmSync(pidFile, { force: true });
}

function folderOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}
