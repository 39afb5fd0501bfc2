import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { urlForRole } from '../../src/database.ts';
import { startGateway } from '../../src/gateway.ts';
import { createKeys } from '../../src/keys.ts';
import { findFreePort } from '../../src/net.ts';
import { createStorageApp } from '../../src/storage/app.ts';
import { urls } from '../support/stack.ts';
import { newBucket } from './helpers.ts';

const LIMIT = 3_000_000;
const folder = join(mkdtempSync(join(tmpdir(), 'local-supabase-storage-')), 'storage');
const keys = createKeys();
const pool = new pg.Pool({ connectionString: urlForRole(urls.databaseAdmin, 'supabase_storage_admin') });
let url: string;
let bucket: string;
let close: () => Promise<void>;

/** A stand-in of the test's own, so that its folder can be looked into. */
beforeAll(async () => {
  mkdirSync(join(folder, 'uploads'), { recursive: true });
  writeFileSync(join(folder, 'uploads', 'half'), 'of a run that was killed');
  const port = await findFreePort();
  url = `http://127.0.0.1:${port}`;
  const storage = await createStorageApp({ pool, keys, folder, fileSizeLimit: LIMIT });
  const nothing = { fetch: () => new Response(null, { status: 404 }) };
  close = await startGateway(port, { keys, rest: url, auth: nothing, storage, functions: () => url });
  bucket = await newBucket();
});
afterAll(async () => {
  await close();
  await pool.end();
  rmSync(join(folder, '..'), { recursive: true });
});

const files = () =>
  createClient(url, keys.secretKey, { realtime: { transport: WebSocket as never } }).storage.from(bucket);
const kept = () => readdirSync(folder).filter((name) => name !== 'uploads');
const drafts = () => (existsSync(join(folder, 'uploads')) ? readdirSync(join(folder, 'uploads')) : []);

test('what an earlier run left half-written is gone at the start', () => {
  expect(drafts()).toEqual([]);
});

test('bytes are on disk before the sender has sent the rest, under a name of the stand-in’s own', async () => {
  const half = new Uint8Array(1_000_000).fill(1);
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      pulls += 1;
      if (pulls === 1) return controller.enqueue(half);
      // Goes on only once the first half has come to lie on the disk.
      await expect
        .poll(() => drafts().map((name) => statSync(join(folder, 'uploads', name)).size))
        .toEqual([1_000_000]);
      controller.enqueue(half);
      controller.close();
    },
  });
  expect((await files().upload('streamed.mp4', body)).error).toBeNull();
  expect(kept()).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
  expect(drafts()).toEqual([]);
});

test('replaced and removed files leave the disk, refused ones never stay', async () => {
  const before = kept().length;
  for (const text of ['one', 'two', 'three']) await files().upload('film.mp4', text, { upsert: true });
  expect(kept()).toHaveLength(before + 1);
  expect((await files().upload('film.mp4', 'again')).error).toMatchObject({ statusCode: '409' });
  const large = new Blob([new Uint8Array(LIMIT + 1)]);
  expect((await files().upload('large.mp4', large.stream())).error).toMatchObject({ statusCode: '413' });
  expect((await files().upload('large.mp4', large)).error).toMatchObject({ statusCode: '413' });
  // What the database can't store is refused after the bytes have come.
  const metadata = { note: 'a\0b' };
  expect((await files().upload('odd.mp4', 'x', { metadata })).error).toMatchObject({ statusCode: '400' });
  expect(kept()).toHaveLength(before + 1);
  expect((await files().remove(['film.mp4'])).data).toHaveLength(1);
  expect(kept()).toHaveLength(before);
  expect(drafts()).toEqual([]);
});

test('an upload that is broken off half-way leaves nothing', async () => {
  const before = kept();
  const request = httpRequest(`${url}/storage/v1/object/${bucket}/broken.mp4`, {
    method: 'POST',
    headers: { apikey: keys.secretKey, 'content-type': 'video/mp4', 'content-length': '2000000' },
  });
  request.on('error', () => undefined);
  request.write(new Uint8Array(1_000_000));
  await expect.poll(drafts).toHaveLength(1);
  request.destroy();
  await expect.poll(drafts).toEqual([]);
  expect(kept()).toEqual(before);
  expect((await files().exists('broken.mp4')).data).toBe(false);
});

test('a version that is no version opens no other file', async () => {
  await files().upload('moved.mp4', 'x');
  writeFileSync(join(folder, '..', 'secret'), 's');
  await pool.query(`update storage.objects set version = '../secret' where bucket_id = $1 and name = 'moved.mp4'`, [
    bucket,
  ]);
  expect((await files().download('moved.mp4')).error).toMatchObject({ status: 400 });
  expect((await files().remove(['moved.mp4'])).data).toHaveLength(1);
  expect(existsSync(join(folder, '..', 'secret'))).toBe(true);
});

test('no body makes a 5xx', async () => {
  const odd = [
    '',
    'null',
    '[]',
    '{',
    '{"expiresIn":"1"}',
    '{"expiresIn":1e99}',
    '{"prefixes":["a\\u0000"]}',
    '{"prefixes":5}',
  ];
  odd.push(
    '{"prefix":"\\u0000"}',
    '{"prefix":"\\ud800","offset":-1}',
    '{"name":"a/b"}',
    '{"name":"x","file_size_limit":1e300}',
  );
  odd.push('{"expiresIn":5,"paths":["\\u0000","\\ud800"]}', '{"search":"%","limit":0}', `{"a":${'['.repeat(5000)}`);
  for (const path of [`object/sign/${bucket}/x`, `object/sign/${bucket}`, `object/list/${bucket}`, 'bucket']) {
    for (const body of odd) await expectNo5xx('POST', path, body);
  }
  for (const body of odd) await expectNo5xx('DELETE', `object/${bucket}`, body);
  for (const path of [
    'object',
    'object/',
    'object//',
    `object/${bucket}`,
    `object/${bucket}/`,
    'bucket/%zz',
    'object/info/x',
    'object/%00/x',
    'x',
  ]) {
    for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH']) await expectNo5xx(method, path, 'x');
  }
  const form = await fetch(`${url}/storage/v1/object/${bucket}/form`, {
    method: 'POST',
    headers: { apikey: keys.secretKey, 'content-type': 'multipart/form-data; boundary=x' },
    body: '--x\r\nno form',
  });
  expect(form.status).toBe(400);
});

async function expectNo5xx(method: string, path: string, body: string): Promise<void> {
  const answer = await fetch(`${url}/storage/v1/${path}`, {
    method,
    headers: { apikey: keys.secretKey, 'content-type': 'application/json' },
    body: method === 'GET' || method === 'HEAD' ? undefined : body,
  });
  expect([method, path, body.slice(0, 50), answer.status]).toEqual([
    method,
    path,
    body.slice(0, 50),
    expect.toSatisfy((status: number) => status < 500),
  ]);
}
