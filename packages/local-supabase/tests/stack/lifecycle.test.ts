import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import {
  type LocalSupabase,
  type LocalSupabaseOptions,
  prepareDatabase,
  readRunningState,
  resetRunning,
  startLocalSupabase,
} from '../../index.ts';
import { storageFolder } from '../../src/paths.ts';
import { identify } from '../../src/processes.ts';
import { DENO_DIR } from '../support/deno-dir.ts';
import { withScratchDatabase } from '../support/scratch-database.ts';
import { makeSmallProject, type SmallProject } from '../support/small-project.ts';
import { clientOf } from '../support/stack.ts';

/**
 * The life of one stack, in order: each start costs seconds, so that tests go on with what the one before left. It is
 * started three times, the second time in a process of its own.
 */
let project: SmallProject;
let stack: LocalSupabase;
const said: string[] = [];

// Generous: a test that runs out of time would take those after it along.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

beforeAll(() => {
  project = makeSmallProject();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await stack?.stop();
  project.remove();
});

function optionsOf({ projectDir, dataDir }: SmallProject): LocalSupabaseOptions {
  return { projectDir, dataDir, denoDir: DENO_DIR, apiPort: 0, dbPort: 0, durable: false };
}

async function start(options: Partial<LocalSupabaseOptions> = {}): Promise<LocalSupabase> {
  said.length = 0;
  return startLocalSupabase({ ...optionsOf(project), onProgress: (line) => said.push(line), ...options });
}

async function query(url: string, text: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** Whether a process runs; one that has ended and waits to be reaped does not. */
function isAlive(pid: number): boolean {
  return identify(pid).startedAt !== '';
}

test('a taken port is named in one sentence, and nothing is left running', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = address && typeof address === 'object' ? address.port : 0;
  const sentence = (setting: string) =>
    `Port ${port} is taken by another program; stop it, or set ${setting} to a free port.`;
  await expect(start({ apiPort: port })).rejects.toThrow(sentence('API_PORT'));
  await expect(start({ dbPort: port })).rejects.toThrow(sentence('DB_PORT'));
  server.close();
});

test('a failing migration is named with the database’s words', async () => {
  const broken = makeSmallProject();
  broken.write('supabase/migrations/20260102000000_broken.sql', 'create table public.half (id int);\nselect 1 / 0;');
  await withScratchDatabase(async (url) => {
    await expect(prepareDatabase(url, broken.projectDir, false)).rejects.toThrow(
      /^Migration 20260102000000_broken\.sql failed: ERROR: division by zero \(SQLSTATE 22012\)/,
    );
  });
  broken.remove();
});

test('a missing PostgREST is named, and Postgres does not stay behind', async () => {
  vi.stubEnv('LANG', 'C');
  vi.stubEnv('LC_ALL', 'C');
  await expect(start({ postgrestBin: '/no/such/postgrest' })).rejects.toThrow(
    /^POSTGREST_BIN names \/no\/such\/postgrest, which does not exist/,
  );
});

test('once all is right the start goes on; the migrations ran as postgres, which is no superuser', async () => {
  stack = await start();
  expect(stack.pids().postgres).toBeGreaterThan(0);
  const owner = `select tableowner, rolsuper from pg_tables join pg_roles on rolname = tableowner where tablename = 'notes'`;
  expect(await query(stack.urls.database, owner)).toEqual([{ tableowner: 'postgres', rolsuper: false }]);
});

test('a second start in the same folder says where the first one runs', async () => {
  await expect(start()).rejects.toThrow(`A stack already runs here, at ${stack.urls.api}`);
  expect((await fetch(`${stack.urls.api}/auth/v1/health`)).status).toBe(200);
});

test('parts that crash are started again; while Postgres is down, sign-in and storage answer 503 and no 500', async () => {
  const { functions = 0, postgres = 0 } = stack.pids();
  const statuses = { signUp: new Set<number>(), storage: new Set<number>() };
  process.kill(postgres, 'SIGKILL');
  process.kill(functions, 'SIGKILL');
  const ask = async () => {
    const signUp = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
      method: 'POST',
      headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
      body: JSON.stringify({ email: `${randomUUID()}@example.test`, password: 'long enough' }),
    });
    const buckets = await fetch(`${stack.env.API_URL}/storage/v1/bucket`, {
      headers: { apikey: stack.env.SECRET_KEY },
    });
    statuses.signUp.add(signUp.status);
    statuses.storage.add(buckets.status);
    expect([signUp.status, buckets.status]).toEqual([200, 200]);
  };
  // Some at once, so that connections break within a query as well.
  await vi.waitFor(() => Promise.all(Array.from({ length: 5 }, ask)), { timeout: 20_000, interval: 20 });
  expect(statuses).toEqual({ signUp: new Set([503, 200]), storage: new Set([503, 200]) });
  await vi.waitFor(async () => expect((await fetch(`${stack.env.FUNCTIONS_URL}/hello`)).status).toBe(200), 10_000);
  expect(said).toContainEqual(expect.stringMatching(/^the functions ended by SIGKILL and is started again/));
});

const filesOf = ({ env }: Pick<LocalSupabase, 'env'>) => clientOf(env.API_URL, env.SECRET_KEY).storage;

test('data and files survive a restart; a migration that changed since is named; config.toml says how large files may be', async () => {
  await query(stack.urls.database, `insert into public.notes values (1, 'ÉTÉ')`);
  await filesOf(stack).createBucket('videos');
  expect((await filesOf(stack).from('videos').upload('a.mp4', 'x'.repeat(2049))).error).toBeNull();
  const pids = Object.values(stack.pids());
  await stack.stop();
  expect(pids.filter(isAlive)).toEqual([]);

  project.write('supabase/config.toml', '[storage]\nfile_size_limit = "2KiB"\n');
  project.write(
    'supabase/migrations/20260101000000_notes.sql',
    '-- mended\ncreate table public.notes (id bigint, body text); grant all on public.notes to service_role;',
  );
  const started = await startElsewhere();
  expect(started.said.filter((line) => line.startsWith('Migration'))).toEqual([
    'Migration 20260101000000_notes.sql has changed since it was applied; a reset builds the database again.',
  ]);
  const facts = `select lower(body) as lower, current_setting('server_encoding') as encoding, body ~ '^\\w+$' as words from notes`;
  expect(await query(started.urls.database, facts)).toEqual([{ lower: 'été', encoding: 'UTF8', words: true }]);
  expect(started.env.ANON_KEY).toBe(stack.env.ANON_KEY);
  expect((await filesOf(started).from('videos').download('a.mp4')).data?.size).toBe(2049);
  expect((await filesOf(started).from('videos').upload('b.mp4', 'x'.repeat(2048))).error).toBeNull();
  const large = await filesOf(started).from('videos').upload('c.mp4', 'x'.repeat(2049));
  expect(large.error).toMatchObject({ statusCode: '413' });
});

type Elsewhere = Pick<LocalSupabase, 'env' | 'urls'> & { pids: Record<string, number>; said: string[] };
let supervisor: ChildProcess;
let elsewhere: Elsewhere;

/** Starts the stack in a process of its own. */
async function startElsewhere(): Promise<Elsewhere> {
  const program = fileURLToPath(new URL('./run-stack.ts', import.meta.url));
  supervisor = fork(program, [JSON.stringify(optionsOf(project))], { execArgv: ['--import', 'tsx'] });
  [elsewhere] = await once(supervisor, 'message');
  return elsewhere;
}

test('after the supervisor was killed the next start ends what it left and finds the data', async () => {
  await query(elsewhere.urls.database, `insert into public.notes values (7, 'kept')`);
  supervisor.kill('SIGKILL');
  await once(supervisor, 'exit');
  expect(isAlive(elsewhere.pids.postgres ?? 0)).toBe(true);

  stack = await start();
  const old = Object.values(elsewhere.pids);
  expect(old).toHaveLength(4);
  expect(old.filter(isAlive)).toEqual([]);
  expect(await query(stack.urls.database, 'select id from public.notes order by id')).toEqual([{ id: 1 }, { id: 7 }]);
});

test('a reset builds the database from the files as they are now and takes the stored files, while the rest runs on', async () => {
  const before = stack.pids();
  project.write(
    'supabase/migrations/20260101000000_notes.sql',
    'create table public.memos (id int primary key); grant all on public.memos to service_role;',
  );
  project.write('supabase/seed.sql', 'insert into public.memos values (3);');
  const state = readRunningState(project.dataDir);
  if (!state) throw new Error('the stack wrote no state');
  await resetRunning(state, stack.keys, project);
  const headers = { apikey: stack.env.SECRET_KEY };
  expect(await (await fetch(`${stack.env.API_URL}/rest/v1/memos`, { headers })).json()).toEqual([{ id: 3 }]);
  expect((await fetch(`${stack.env.API_URL}/rest/v1/notes`, { headers })).status).toBe(404);
  expect(stack.pids()).toEqual(before);
  expect(existsSync(storageFolder(project.dataDir))).toBe(false);
  expect((await filesOf(stack).listBuckets()).data).toEqual([]);
  await filesOf(stack).createBucket('videos');
  expect((await filesOf(stack).from('videos').upload('a.mp4', 'new')).error).toBeNull();
});
