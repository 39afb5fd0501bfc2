import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { withClient } from '../../src/database.ts';
import { type Schedule, startScheduledWork } from '../../src/scheduled-work.ts';
import { withScratchDatabase } from '../support/scratch-database.ts';

/** Starts the timer on a database; what it logs is added to `lines`. */
const start = (databaseUrl: string, lines: string[], interval: number, schedule: Schedule, functionsUrl = '') =>
  startScheduledWork({
    ...{ databaseUrl, functionsUrl, secretKey: 'sb_secret_x', schedule, interval },
    log: (line) => lines.push(line),
  });
const DUE = { databaseFunction: 'private.run_due_work' };

test('the timer calls the database’s function once it exists, says an error once, and goes on', async () => {
  await withScratchDatabase(async (url) => {
    const lines: string[] = [];
    const stop = start(url, lines, 20, DUE);
    await withClient(url, async (client) => {
      const runs = async () => (await client.query('select count(*)::int from private.runs')).rows[0].count;
      await client.query('create schema private; create table private.runs (id int)');
      await client.query(
        `create function private.run_due_work(at timestamptz default now()) returns integer language sql as
          'insert into private.runs values (1); select 0'`,
      );
      await vi.waitFor(async () => expect(await runs()).toBeGreaterThan(1), 5_000);

      await client.query('alter table private.runs rename to gone');
      await vi.waitFor(() => expect(lines).toHaveLength(1), 5_000);
      expect(lines[0]).toMatch(/^scheduled work failed: relation "private.runs" does not exist/);
      await client.query('alter table private.gone rename to runs');
      const before = await runs();
      await vi.waitFor(async () => expect(await runs()).toBeGreaterThan(before), 5_000);
      expect(lines).toHaveLength(1);
    });
    await stop();
  });
});

test('at one tick everything that is due is done, each piece in a transaction of its own', async () => {
  await withScratchDatabase(async (url) => {
    await withClient(url, async (client) => {
      await client.query(`
        create schema private;
        create table private.pieces (id int, done_by xid8);
        insert into private.pieces select id from generate_series(1, 100) id;
        create function private.run_due_work() returns integer language sql as
          'with piece as (select id from private.pieces where done_by is null limit 1),
             done as (update private.pieces p set done_by = pg_current_xact_id() from piece where p.id = piece.id returning 1)
           select count(*)::integer from done'`);
      const lines: string[] = [];
      const stop = start(url, lines, 1_000, DUE);
      // One piece a tick would take it a hundred seconds.
      await vi.waitFor(async () => {
        const { rows } = await client.query('select count(distinct done_by)::int as done from private.pieces');
        expect(rows[0].done).toBe(100);
      }, 10_000);
      await stop();
      expect(lines).toEqual([]);
    });
  });
});

test('the timer calls functions with the secret key, and says an error once', async () => {
  const asked: { method?: string; url?: string; apikey?: string | string[] }[] = [];
  const server = createServer(({ method, url, headers }, response) => {
    asked.push({ method, url, apikey: headers.apikey });
    response.writeHead(asked.length === 1 ? 404 : 500).end('no');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await withScratchDatabase(async (database) => {
    const lines: string[] = [];
    const calls = [{ name: 'cleaning', path: 'clean/up', interval: 100 }];
    const stop = start(database, lines, 10, { calls }, url);
    await vi.waitFor(() => expect(asked.length).toBeGreaterThan(3), 5_000);
    await stop();
    expect(asked[0]).toMatchObject({ method: 'POST', url: '/clean/up', apikey: 'sb_secret_x' });
    // A project without that function answers 404, which is no error.
    expect(lines).toEqual(['cleaning failed: 500 no']);
  });
  server.close();
});

test('a slow call keeps no other one waiting, and is not made twice at once', async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer(({ url }, response) => {
    asked.push(url);
    if (url === '/fast') response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await withScratchDatabase(async (database) => {
    const lines: string[] = [];
    const calls = ['slow', 'fast'].map((path) => ({ name: path, path, interval: 10 }));
    const stop = start(database, lines, 10, { calls }, origin);
    await vi.waitFor(() => expect(asked.filter((path) => path === '/fast').length).toBeGreaterThan(3), 5_000);
    // Stopping ends the call under way, without an error.
    await stop();
    expect(asked.filter((path) => path === '/slow')).toHaveLength(1);
    expect(lines).toEqual([]);
  });
  server.closeAllConnections();
  server.close();
});
