import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { createClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { type Stack, type StackOptions, startStack } from '../../scripts/stack/index.ts';
import { storageFolder } from '../../scripts/stack/paths.ts';
import { identify } from '../../scripts/stack/processes.ts';
import { resetRunning } from '../../scripts/stack/reset.ts';
import { readRunningState } from '../../scripts/stack/state.ts';
import { makeSmallProject, type SmallProject } from './small-project.ts';

let project: SmallProject;
const stacks: Stack[] = [];

beforeEach(() => {
  project = makeSmallProject();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const stack of stacks.splice(0)) await stack.stop();
  project.remove();
});

async function start(options: Partial<StackOptions> = {}): Promise<Stack> {
  const { dataDir, projectDir } = project;
  const stack = await startStack({ dataDir, projectDir, apiPort: 0, dbPort: 0, durable: false, ...options });
  stacks.push(stack);
  return stack;
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

test('data survives a restart, and the database is UTF-8 with a UTF-8 ctype whatever LANG says', async () => {
  vi.stubEnv('LANG', 'C');
  vi.stubEnv('LC_ALL', 'C');
  const first = await start();
  await query(first.urls.database, `insert into public.notes values (1, 'ÉTÉ')`);
  const pids = Object.values(first.pids());
  await first.stop();
  expect(pids.filter(isAlive)).toEqual([]);

  const second = await start();
  const facts = `select lower(body) as lower, current_setting('server_encoding') as encoding, body ~ '^\\w+$' as words from notes`;
  expect(await query(second.urls.database, facts)).toEqual([{ lower: 'été', encoding: 'UTF8', words: true }]);
  expect(second.env.ANON_KEY).toBe(first.env.ANON_KEY);
});

test('the migrations run as postgres, which is no superuser', async () => {
  const { urls } = await start();
  const owner = `select tableowner, rolsuper from pg_tables join pg_roles on rolname = tableowner where tablename = 'notes'`;
  expect(await query(urls.database, owner)).toEqual([{ tableowner: 'postgres', rolsuper: false }]);
});

test('a second start in the same folder says where the first one runs', async () => {
  const first = await start();
  await expect(start()).rejects.toThrow(`Basemeter already runs here, at ${first.urls.api}`);
  expect((await fetch(`${first.urls.api}/auth/v1/health`)).status).toBe(200);
});

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

test('a failing migration is named with the database’s words; once it is right the start goes on', async () => {
  project.write('supabase/migrations/20260102000000_broken.sql', 'create table public.half (id int);\nselect 1 / 0;');
  const lines: string[] = [];
  await expect(start({ onProgress: (line) => lines.push(line) })).rejects.toThrow(
    /^Migration 20260102000000_broken\.sql failed: ERROR: division by zero \(SQLSTATE 22012\)/,
  );
  project.write('supabase/migrations/20260102000000_broken.sql', 'create table public.half (id int);');
  const stack = await start();
  expect(await query(stack.urls.database, 'select count(*)::int from public.half')).toEqual([{ count: 0 }]);
});

test('a missing PostgREST is named, and Postgres does not stay behind', async () => {
  const postgrestBin = '/no/such/postgrest';
  await expect(start({ postgrestBin })).rejects.toThrow(
    /^POSTGREST_BIN names \/no\/such\/postgrest, which does not exist/,
  );
  const stack = await start();
  expect(stack.pids().postgres).toBeGreaterThan(0);
});

test('after the supervisor was killed the next start ends what it left and finds the data', async () => {
  const { dataDir, projectDir } = project;
  const program = fileURLToPath(new URL('./run-stack.ts', import.meta.url));
  const supervisor = fork(program, [dataDir, projectDir], { execArgv: ['--import', 'tsx'] });
  const [{ pids, database }] = await once(supervisor, 'message');
  await query(database, `insert into public.notes values (7, 'kept')`);
  supervisor.kill('SIGKILL');
  await once(supervisor, 'exit');
  expect(isAlive(pids.postgres)).toBe(true);

  const stack = await start();
  const old: number[] = Object.values(pids);
  expect(old.filter(isAlive)).toEqual([]);
  expect(await query(stack.urls.database, 'select body from public.notes')).toEqual([{ body: 'kept' }]);
});

test('a part that crashes is started again', async () => {
  const lines: string[] = [];
  const stack = await start({ onProgress: (line) => lines.push(line) });
  const { functions = 0 } = stack.pids();
  process.kill(functions, 'SIGKILL');
  await vi.waitFor(async () => expect((await fetch(`${stack.env.FUNCTIONS_URL}/hello`)).status).toBe(200), 10_000);
  expect(lines.some((line) => line.startsWith('the functions ended by SIGKILL and is started again'))).toBe(true);
});

test('a reset builds the database from the files as they are now, while the rest runs on', async () => {
  const stack = await start();
  await query(stack.urls.database, `insert into public.notes values (1, 'of no use')`);
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
});

test('files survive a restart, and a reset takes them with the database; config.toml says how large they may be', async () => {
  project.write('supabase/config.toml', '[storage]\nfile_size_limit = "2KiB"\n');
  const filesOf = ({ env }: Stack) =>
    createClient(env.API_URL, env.SECRET_KEY, { realtime: { transport: WebSocket as never } }).storage;
  const first = await start();
  await filesOf(first).createBucket('videos');
  expect((await filesOf(first).from('videos').upload('a.mp4', 'x'.repeat(2048))).error).toBeNull();
  const large = await filesOf(first).from('videos').upload('b.mp4', 'x'.repeat(2049));
  expect(large.error).toMatchObject({ statusCode: '413' });
  await first.stop();

  const second = await start();
  expect((await filesOf(second).from('videos').download('a.mp4')).data?.size).toBe(2048);
  const state = readRunningState(project.dataDir);
  if (!state) throw new Error('the stack wrote no state');
  await resetRunning(state, second.keys, project);
  expect(existsSync(storageFolder(project.dataDir))).toBe(false);
  expect((await filesOf(second).listBuckets()).data).toEqual([]);
  await filesOf(second).createBucket('videos');
  expect((await filesOf(second).from('videos').upload('a.mp4', 'new')).error).toBeNull();
});
