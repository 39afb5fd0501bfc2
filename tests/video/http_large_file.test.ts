/** Files from a host of the test's own: one too large is refused by its header; what is passed on, and let go. */
import { execFile } from 'node:child_process';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { findDeno } from '@basemeter/local-supabase';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call, newMaker, newModelAt, simulating, workOf } from './http_helpers.ts';

const MEBIBYTE = 1024 * 1024;
const TYPE = { 'content-type': 'video/mp4' };

/** What the file's host does with a request. */
let serve: (response: ServerResponse) => unknown;
const host = createServer((_, response) => void serve(response));
let origin: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
});
afterAll(() => {
  host.closeAllConnections();
  host.close();
});

/** Makes a video whose file is at the host. */
async function newFilm() {
  const maker = await newMaker();
  const model = await newModelAt({ result_hosts: [new URL(origin).host] });
  const prompt = simulating({ queue_ms: 1, run_ms: 50, file_url: `${origin}/film.mp4` });
  const { job } = await call(maker, 'POST', '', { body: { model, prompt } });
  return { maker, job };
}

test('a file whose header says that it is too large is not waited for', async () => {
  let isLeft = false;
  // Nothing follows the header: who reads on waits for ever.
  serve = (response) => {
    response.on('close', () => (isLeft = true));
    response.writeHead(200, { ...TYPE, 'content-length': String(60 * MEBIBYTE) }).flushHeaders();
  };
  const { job } = await newFilm();
  await vi.waitFor(async () => expect((await workOf(job.id)).file_error).not.toBeNull(), { timeout: 15_000 });
  expect(await workOf(job.id)).toMatchObject({ file_error: 'the file is larger than 52428800 bytes' });
  await vi.waitFor(() => expect(isLeft).toBe(true), { timeout: 5_000 });
});

test('HEAD of a file that is passed on lets its host go', async () => {
  serve = (response) => response.writeHead(503).end();
  const { maker, job } = await newFilm();
  await vi.waitFor(async () => expect((await workOf(job.id)).file_error).not.toBeNull(), { timeout: 15_000 });
  let isLeft = false;
  serve = (response) => {
    response.on('close', () => (isLeft = true));
    response.writeHead(200, { ...TYPE, 'content-length': '9' }).flushHeaders();
  };
  const { job: completed } = await call(maker, 'GET', `/${job.id}`);
  const head = await fetch(completed.result_url ?? '', { method: 'HEAD' });
  expect([head.status, head.headers.get('content-type')]).toEqual([200, 'video/mp4']);
  await vi.waitFor(() => expect(isLeft).toBe(true), { timeout: 5_000 });
});

test('a file that is encoded although it was asked for as it is, is neither copied nor passed on', async () => {
  const bytes = gzipSync('film');
  serve = (response) => response.writeHead(200, { ...TYPE, 'content-encoding': 'gzip' }).end(bytes);
  const { maker, job } = await newFilm();
  const until = { timeout: 15_000 };
  if (await decodesUnasked()) {
    const completed = await vi.waitFor(async () => {
      const shown = (await call(maker, 'GET', `/${job.id}`)).job;
      expect(shown.storage_path).not.toBeNull();
      return shown;
    }, until);
    expect(await (await fetch(completed.result_url ?? '')).text()).toBe('film');
    return;
  }
  await vi.waitFor(async () => expect((await workOf(job.id)).file_error).not.toBeNull(), until);
  expect(await workOf(job.id)).toMatchObject({ file_error: 'the file is encoded as gzip', is_file_due: false });
  const { job: completed } = await call(maker, 'GET', `/${job.id}`);
  expect((await fetch(completed.result_url ?? '', { redirect: 'manual' })).status).toBe(502);
});

/** Whether the Deno that the functions run on decodes what it asked for as it is, and says nothing of it, as 2.1 does. */
async function decodesUnasked(): Promise<boolean> {
  const source = `const { headers } = await fetch('${origin}', { headers: { 'accept-encoding': 'identity' } });
    console.log(headers.get('content-encoding'));`;
  const { stdout } = await promisify(execFile)(findDeno(), ['eval', source], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  return stdout.trim() === 'null';
}
