/** Where finished files may come from, and how large and of which kind they may be. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createClient } from '@supabase/supabase-js';
import { expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { isFinalRefusal } from '../../supabase/functions/_shared/video/storage-errors.ts';
import { env, newUser, serviceClient, sql, type TestUser, urls } from '../support/stack.ts';
import {
  call,
  type Failure,
  isStored,
  type Job,
  ledgerOf,
  newMaker,
  newModelAt,
  newVideoModel,
  simulating,
  until,
  workOf,
} from './http_helpers.ts';
import { useStub } from './provider_stub.ts';

/** An inner machine that nobody may make the server call. */
const inner = useStub();

/** A completed job, with a file that is as the directive says. */
async function newFilm(directive: object, model?: string): Promise<{ maker: TestUser; job: Job }> {
  const maker = await newMaker();
  const prompt = simulating({ queue_ms: 1, run_ms: 50, ...directive });
  const { job } = await call(maker, 'POST', '', { body: { model: model ?? (await newVideoModel()), prompt } });
  return { maker, job: await until(maker, job.id, ({ status }) => status === 'completed') };
}

/** Waits until it is known that a file cannot be copied, for now or for good, and gives why. */
async function whyNot(id: string): Promise<{ file_error: string; is_file_due: boolean }> {
  return vi.waitFor(
    async () => {
      const { file_error, is_file_due } = await workOf(id);
      if (file_error === null) throw new Error('it is still being copied');
      return { file_error, is_file_due };
    },
    { timeout: 15_000, interval: 50 },
  );
}

const KEPT = [
  ['at an inner address', () => ({ file_url: `${inner.url}/film.mp4` }), 'are not fetched from'],
  [
    'at the address of the cloud',
    () => ({ file_url: 'http://169.254.169.254/latest/meta-data' }),
    'are not fetched from',
  ],
  [
    'at an inner address written otherwise',
    () => ({ file_url: inner.url.replace('127.0.0.1', '2130706433') }),
    'are not',
  ],
  [
    'at an inner address of IPv6',
    () => ({ file_url: inner.url.replace('127.0.0.1', '[::ffff:127.0.0.1]') }),
    'are not',
  ],
  ['at this project', () => ({ file_url: `${env.API_URL}/rest/v1/` }), 'are not fetched from'],
  ['at a host that is not listed', () => ({ file_url: 'https://files.example.com/a.mp4' }), 'are not fetched from'],
  [
    'behind a redirect to an inner address',
    () => ({ file: 'redirect_inner', redirect_url: `${inner.url}/` }),
    'are not',
  ],
  ['behind redirects without end', () => ({ file: 'redirect_loop' }), 'more than 5 redirects'],
  ['of another kind', () => ({ file: 'wrong_type' }), 'the file is application/json'],
  ['a page', () => ({ file: 'html' }), 'the file is text/html'],
] as const;

test.each(KEPT)('a file %s stays with the provider', async (_, directive, why) => {
  const { maker, job } = await newFilm(directive());
  const { file_error, is_file_due } = await whyNot(job.id);
  expect([file_error, is_file_due]).toEqual([expect.stringContaining(why), false]);
  expect(inner.asked).toEqual([]);
  const { job: kept } = await call(maker, 'GET', `/${job.id}`);
  expect(kept).toMatchObject({ status: 'completed', storage_path: null, credits: 20 });
  // At a host that is not listed it can only be read there: the one case in which a provider's address is told.
  const { result_url } = await workOf(job.id);
  const isListed = new URL(result_url ?? '').host === new URL(urls.simulator ?? '').host;
  const told = await fetch(kept.result_url ?? '', { redirect: 'manual' });
  expect([told.status, told.headers.get('location')]).toEqual(isListed ? [502, null] : [302, result_url]);
  expect(kept.result_url).not.toBe(result_url);
});

const FILM = { body: 'film', headers: { 'content-type': 'video/mp4', 'x-provider': 'gate' } };

test.each(['302ai', 'openai'] as const)(
  'a file of %s without a copy is passed on, and nobody is told where it is',
  async (api) => {
    const id = randomUUID();
    const address = api === 'openai' ? `${inner.url}/videos/${id}/content` : `${inner.url}/film.mp4`;
    const video_base_url = inner.url;
    const model = await newModelAt({ video_api: api, video_base_url, result_hosts: [new URL(inner.url).host] });
    inner.answers({ body: { id, status: 'completed', video_url: address } }, { status: 503 }, FILM);
    const maker = await newMaker();
    const { status, job } = await call(maker, 'POST', '', { body: { model, prompt: 'A boat' } });
    expect([status, job.status]).toEqual([201, 'completed']);
    expect((await whyNot(job.id)).is_file_due).toBe(true);
    const { job: later } = await call(maker, 'GET', `/${job.id}`);
    const { data } = await maker.client.from('video_jobs').select().single();
    for (const shown of [job, later, data]) {
      for (const secret of [id, new URL(inner.url).host, 'provider'])
        expect(JSON.stringify(shown)).not.toContain(secret);
    }
    const link = later.result_url ?? '';
    const file = await fetch(link, { headers: { range: 'bytes=0-3' } });
    expect([file.status, await file.text(), file.headers.get('content-type')]).toEqual([200, 'film', 'video/mp4']);
    expect(file.headers.get('x-provider')).toBeNull();
    const asked = inner.asked.at(-1);
    expect([asked?.path, asked?.headers.range]).toEqual([new URL(address).pathname, 'bytes=0-3']);
    expect(asked?.headers['accept-encoding']).toBe('identity');
    const several = await fetch(link, { headers: { range: 'bytes=0-1,3-3' }, redirect: 'manual' });
    expect([several.status, await several.text(), inner.asked.at(-1)?.headers.range]).toEqual([200, 'film', undefined]);
    expect(asked?.headers.authorization === undefined).toBe(api === '302ai');
    for (const wrong of [
      link.slice(0, -1),
      `${link}0`,
      link.replace(/[^/]+$/, '%00'),
      link.replace(job.id, randomUUID()),
      link.replace(/\/(\d+)\//, '/9$1/'),
    ]) {
      expect((await fetch(wrong)).status).toBe(404);
    }
    inner.answers({ status: 404 });
    const gone = await fetch(link);
    expect([gone.status, ((await gone.json()) as Failure).error.code]).toEqual([502, 'upstream_error']);
    expect(gone.headers.get('location')).toBeNull();
    // Once there is a copy, the same link leads to it.
    inner.answers(FILM);
    await sql(`update private.video_job_work set next_sync_at = now() where video_job_id = $1`, [job.id]);
    await fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
    await until(maker, job.id, isStored);
    const asks = inner.asked.length;
    expect(await (await fetch(link)).text()).toContain('film');
    expect(inner.asked).toHaveLength(asks);
  },
);

test('a name that leads to an inner address is not fetched from, listed or not', async () => {
  const { host } = new URL(inner.url.replace('127.0.0.1', hostname()));
  const model = await newModelAt({ result_hosts: [host] });
  const { job } = await newFilm({ file_url: `https://${host}/film.mp4` }, model);
  // Not every system knows its own name.
  const { file_error } = await whyNot(job.id);
  expect(file_error).toMatch(/is an inner address|ENOTFOUND|EAI_AGAIN|failed to lookup/i);
  expect(inner.asked).toEqual([]);
});

test('a listed inner address is fetched from, without the key', async () => {
  inner.answers({ body: 'film', headers: { 'content-type': 'video/mp4' } });
  const model = await newModelAt({ result_hosts: [new URL(inner.url).host] });
  const { maker, job } = await newFilm({ file_url: `${inner.url}/film.mp4` }, model);
  const stored = await until(maker, job.id, isStored);
  expect(await (await fetch(stored.result_url ?? '')).text()).toContain('film');
  expect(inner.asked).toMatchObject([{ path: '/film.mp4' }]);
  expect(inner.asked[0]?.headers.authorization).toBeUndefined();
});

test('a redirect to a listed host is followed', async () => {
  const { maker, job } = await newFilm({ file: 'redirect' });
  expect((await fetch((await until(maker, job.id, isStored)).result_url ?? '')).status).toBe(200);
});

test('a file that is too large is not read to its end, and stays with the provider', async () => {
  const { maker, job } = await newFilm({ file: 'large', file_bytes: 60_000_000 });
  expect(await whyNot(job.id)).toEqual({ file_error: 'the file is larger than 52428800 bytes', is_file_due: false });
  const { job: kept } = await call(maker, 'GET', `/${job.id}`);
  expect(kept.storage_path).toBeNull();
  // Neither is it passed on to its end, where its host gives no parts of it.
  const passed = await fetch(kept.result_url ?? '');
  await expect(passed.arrayBuffer()).rejects.toThrow();
  const { data } = await serviceClient().storage.from('videos').list(maker.id);
  expect(data).toEqual([]);
});

test.each([
  ['is not there', { file: 'missing' }],
  ['breaks off', { file: 'cut' }],
])('a file that %s is tried again by the sweep, and the job is charged all the same', async (_, directive) => {
  const { maker, job } = await newFilm(directive);
  expect((await whyNot(job.id)).is_file_due).toBe(true);
  await sql(`update private.video_job_work set next_sync_at = now() where video_job_id = $1`, [job.id]);
  await fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
  await vi.waitFor(async () => expect((await workOf(job.id)).copy_attempts).toBe(1), {
    timeout: 15_000,
    interval: 100,
  });
  const { job: kept } = await call(maker, 'GET', `/${job.id}`);
  expect([kept.status, kept.storage_path, kept.credits]).toEqual(['completed', null, 20]);
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83 });
});

test('a job that is completed without a file is failed and refunded', async () => {
  const maker = await newMaker();
  const prompt = simulating({ queue_ms: 1, run_ms: 50, file: 'none' });
  const { job } = await call(maker, 'POST', '', { body: { model: await newVideoModel(), prompt } });
  await until(maker, job.id, ({ status }) => status === 'failed');
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 103, spent: 0 });
});

test('clients cannot write or remove files', async () => {
  const { maker, job } = await newFilm({});
  const { storage_path } = await until(maker, job.id, isStored);
  const files = maker.client.storage.from('videos');
  const film = new Blob(['x'], { type: 'video/mp4' });
  expect((await files.upload(`${maker.id}/mine.mp4`, film)).error).not.toBeNull();
  expect((await files.upload(storage_path ?? '', film, { upsert: true })).error).not.toBeNull();
  await files.remove([storage_path ?? '']);
  expect((await files.download(storage_path ?? '')).error).toBeNull();
});

test('the file of a deleted account is removed by the sweep', async () => {
  const { maker, job } = await newFilm({});
  const { storage_path } = await until(maker, job.id, isStored);
  const path = storage_path ?? '';
  const files = serviceClient().storage.from('videos');
  expect((await files.download(path)).error).toBeNull();
  await serviceClient().auth.admin.deleteUser(maker.id);
  await vi.waitFor(
    async () => {
      await fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
      expect((await files.download(path)).data).toBeNull();
      expect(await sql('select from private.file_removals where path = $1', [path])).toEqual([]);
    },
    { timeout: 15_000, interval: 300 },
  );
});

test('where there is no bucket or no Storage at all, files stay with the provider', async () => {
  const film = new Blob(['x'], { type: 'video/mp4' });
  const service = serviceClient();
  const noBucket = await service.storage.from('none').upload('a.mp4', film);
  inner.answers({ status: 404, body: { message: 'no Route matched' } });
  const realtime = { transport: WebSocket as never };
  const elsewhere = createClient(inner.url, env.SECRET_KEY, { auth: { persistSession: false }, realtime });
  const noStorage = await elsewhere.storage.from('videos').upload('a.mp4', film);
  const wrongType = await service.storage.from('videos').upload('a.mp4', new Blob(['x'], { type: 'text/plain' }), {
    contentType: 'text/plain',
  });
  for (const { error } of [noBucket, noStorage, wrongType]) expect(error && isFinalRefusal(error)).toBe(true);
  inner.answers({ status: 500, body: { message: 'try later' } });
  const later = await elsewhere.storage.from('videos').upload('a.mp4', film);
  expect(later.error && isFinalRefusal(later.error)).toBe(false);
});

test('nobody reads the files of others by their path', async () => {
  const { maker, job } = await newFilm({});
  const { storage_path } = await until(maker, job.id, isStored);
  const stranger = await newUser();
  expect((await stranger.client.storage.from('videos').download(storage_path ?? '')).data).toBeNull();
  expect((await maker.client.storage.from('videos').download(storage_path ?? '')).data).not.toBeNull();
});
