/** The whole way over HTTP: a job that works, one that fails, each adapter, each kind of caller and of picture. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { newKey, seenBySimulator, statisticsOf } from '../ai/helpers.ts';
import { anonClient, newUser, sql } from '../support/stack.ts';
import {
  call,
  isOver,
  isStored,
  ledgerOf,
  newMaker,
  newModelAt,
  newVideoModel,
  simulating,
  tasksOf,
  until,
} from './http_helpers.ts';

const FAST = { queue_ms: 100, run_ms: 200 };
const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
const START = ['credit signup 3', 'credit purchase 100'];

test('103 credits, a job of 20, 83 left, and a file that can be read', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const key = randomUUID();
  const made = await call(maker, 'POST', '', { body: { model, prompt: simulating({ key, ...FAST }) } });
  expect(made.status).toBe(201);
  expect(made.job).toMatchObject({ object: 'video.job', status: 'processing', credits: 20, cost_credits: 20 });
  expect(made.job.parameters).toEqual({ duration: 8, resolution: '720p', aspect_ratio: '16:9' });
  expect(made.headers.get('x-credits-charged')).toBe('20');
  expect(made.headers.get('x-credits-available')).toBe('83');
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83, spent: 20 });

  const done = await until(maker, made.job.id, isStored);
  expect(done).toMatchObject({ status: 'completed', progress: 100, storage_path: `${maker.id}/${done.id}.mp4` });
  const file = await fetch(done.result_url ?? '');
  expect([file.status, file.headers.get('content-type')]).toEqual([200, 'video/mp4']);
  expect(
    Buffer.from(await file.arrayBuffer())
      .subarray(4, 8)
      .toString(),
  ).toBe('ftyp');

  expect(await ledgerOf(maker)).toEqual({
    wallet: { balance: 83, spent: 20, held: 0, drift: 0 },
    ledger: [...START, 'debit generation -20'],
    logs: [['video_generation', 'success', null, 20]],
  });
  expect(await statisticsOf(maker)).toMatchObject({ total: 1, success: 1, credits: 20 });
  const [task] = await tasksOf(key);
  expect(task).toMatchObject({ model: 'simulator-video', seconds: 8, resolution: '720p', mode: 't2v' });
  expect(task?.deliveries).not.toEqual([]);
});

test('the same with a task that fails: back to 103, and nothing spent', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const { job } = await call(maker, 'POST', '', { body: { model, prompt: simulating({ ...FAST, fail: 'late' }) } });
  const failed = await until(maker, job.id, isOver);
  expect(failed).toMatchObject({ status: 'failed', error_code: 'upstream_error', credits: 0, result_url: null });
  expect(await ledgerOf(maker)).toEqual({
    wallet: { balance: 103, spent: 0, held: 0, drift: 0 },
    ledger: [...START, 'debit generation -20', 'refund refund 20'],
    logs: [['video_generation', 'failed', 'upstream_error', 0]],
  });
  expect(await statisticsOf(maker)).toMatchObject({ total: 1, failed: 1, credits: 0 });
});

test("a gateway with OpenAI's /v1/videos: asked when the job is read, its file fetched with the key", async () => {
  const maker = await newMaker();
  const model = await newModelAt({ video_api: 'openai', result_hosts: [] });
  const key = randomUUID();
  const image = `data:image/png;base64,${PNG.toString('base64')}`;
  const prompt = simulating({ key, ...FAST });
  const { status, job } = await call(maker, 'POST', '', {
    body: { model, prompt, image, duration: 4, resolution: '1080p', aspect_ratio: '9:16' },
  });
  expect([status, job.status]).toEqual([201, 'processing']);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await sql(`update private.video_job_work set next_sync_at = now() where video_job_id = $1`, [job.id]);
  const done = await until(maker, job.id, isStored);
  expect((await fetch(done.result_url ?? '')).status).toBe(200);
  expect(await tasksOf(key)).toMatchObject([{ seconds: 4, resolution: '1080x1920', mode: 'i2v' }]);
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83, drift: 0 });
});

test.each([
  ['an id that is a number', { numeric_id: true }],
  ['an id that is a uuid', { uuid: true }],
  ['other words', { words: { pending: 'queued', processing: 'running', completed: 'succeeded' } }],
  ['a webhook before the answer', { webhook_early: true }],
  ['webhooks sent twice', { webhooks: 2 }],
])('a provider with %s', async (_, directive) => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const { job } = await call(maker, 'POST', '', { body: { model, prompt: simulating({ ...FAST, ...directive }) } });
  expect((await until(maker, job.id, isStored)).status).toBe('completed');
  expect((await ledgerOf(maker)).logs).toEqual([['video_generation', 'success', null, 20]]);
});

test('a picture by address, as data URL and as a file of a form', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const dataUrl = `data:image/png;base64,${PNG.toString('base64')}`;
  const sent = async (body: (prompt: string) => object) => {
    const key = randomUUID();
    const { status, job } = await call(maker, 'POST', '', { body: body(simulating({ key, ...FAST })) });
    const { requests } = await seenBySimulator(key);
    return { status, job, image: requests[0]?.body.image, duration: requests[0]?.body.duration };
  };
  const form = (prompt: string) => {
    const data = new FormData();
    for (const [name, value] of Object.entries({ model, prompt, duration: '4' })) data.set(name, value);
    data.set('image', new Blob([PNG], { type: 'text/plain' }), 'a.txt');
    return data;
  };
  const address = 'https://example.com/a.png';
  const byAddress = await sent((prompt) => ({ model, prompt, image: address }));
  expect(byAddress).toMatchObject({ status: 201, image: address, job: { image_url: address, has_image: true } });
  const byDataUrl = await sent((prompt) => ({ model, prompt, image: dataUrl }));
  expect(byDataUrl).toMatchObject({ status: 201, image: dataUrl, job: { image_url: null, has_image: true } });
  const byForm = await sent(form);
  expect(byForm).toMatchObject({ status: 201, image: dataUrl, duration: 4, job: { has_image: true } });
});

test('a price by the second and by resolution', async () => {
  const maker = await newMaker();
  const model = await newVideoModel({}, { video_second: 2, request: 1 });
  const { job } = await call(maker, 'POST', '', { body: { model, prompt: simulating(FAST), duration: 4 } });
  expect(job.credits).toBe(9);
});

test('an API key makes and reads jobs of its own, within its budget', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const key = await newKey(maker, { budget: 30 });
  const { status, job } = await call(key, 'POST', '', { body: { model, prompt: simulating(FAST) } });
  expect(status).toBe(201);
  expect((await call(key, 'GET', `/${job.id}`)).status).toBe(200);
  const second = await call(key, 'POST', '', { body: { model, prompt: simulating(FAST) } });
  expect(second).toMatchObject({ status: 429, error: { code: 'limit_reached' } });
  expect((await call({ key: 'sk-none' }, 'GET', `/${job.id}`)).status).toBe(401);
});

test('a job for a team is paid by the team; members see it once it is shared', async () => {
  const [owner, member] = [await newMaker(), await newUser()];
  const { data: team, error } = await owner.client.rpc('create_workspace', { name: 'Acme', slug: `a-${randomUUID()}` });
  if (error) throw error;
  const { id } = team as unknown as { id: string };
  await sql(`insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'member')`, [
    id,
    member.id,
  ]);
  await sql(`select public.credit_user_credits_transaction($1, 50, 'manual', workspace_id => $2)`, [owner.id, id]);
  const model = await newVideoModel();
  const headers = { 'x-workspace-id': id };
  const { status, job } = await call(owner, 'POST', '', { headers, body: { model, prompt: simulating(FAST) } });
  expect([status, job.workspace_id]).toEqual([201, id]);
  const done = await until(owner, job.id, isStored);
  expect(done.storage_path).toBe(`${id}/${job.id}.mp4`);
  expect((await ledgerOf(owner)).wallet).toMatchObject({ balance: 103 });

  const path = done.storage_path ?? '';
  const sign = (client: typeof member.client) => client.storage.from('videos').createSignedUrl(path, 60);
  const stranger = await newUser();
  expect((await sign(owner.client)).error).toBeNull();
  expect((await sign(member.client)).data).toBeNull();
  expect((await call(member, 'GET', `/${job.id}`)).status).toBe(404);

  const shared = await owner.client.from('video_jobs').update({ is_shared: true }).eq('id', job.id);
  expect(shared.error).toBeNull();
  const signed = await sign(member.client);
  expect((await fetch(signed.data?.signedUrl ?? '')).status).toBe(200);
  expect(await call(member, 'GET', `/${job.id}`)).toMatchObject({ status: 200, job: { is_shared: true } });
  expect(await call(member, 'DELETE', `/${job.id}`)).toMatchObject({ status: 403, error: { code: 'forbidden' } });
  for (const client of [stranger.client, anonClient()]) {
    expect((await sign(client)).data).toBeNull();
    expect((await client.storage.from('videos').download(path)).data).toBeNull();
  }
});
