import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VIDEO } from '../ai/video-files.ts';
import { type RunningSimulator, startSimulator } from './helpers.ts';

let simulator: RunningSimulator;
const bells: { url: string; body: Record<string, unknown> }[] = [];
/** How the next webhooks are answered; 200 when the list is empty. */
const answers: number[] = [];
const bell = createServer(async (request, response) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  bells.push({ url: request.url ?? '', body: JSON.parse(text) });
  response.writeHead(answers.shift() ?? 200).end();
});
let bellUrl: string;

beforeAll(async () => {
  simulator = await startSimulator();
  await new Promise<void>((resolve) => bell.listen(0, '127.0.0.1', resolve));
  bellUrl = `http://127.0.0.1:${(bell.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await simulator.stop();
  bell.close();
});

type Task = { task_id: string; status: string; progress: number; video_url?: string; error?: { message: string } };
const directed = (directive: object) => `A cat. [[simulate:${JSON.stringify(directive)}]]`;

function create(directive: object, more: object = {}, query = ''): Promise<Response> {
  const body = { model: 'google-veo3.1', prompt: directed(directive), ...more };
  return simulator.post(`/302/v2/video/create${query}`, body);
}
async function created(directive: object, more?: object, query?: string): Promise<Task> {
  return (await (await create(directive, more, query)).json()) as Task;
}
const get = (path: string, init: RequestInit = {}) =>
  fetch(`${simulator.url}${path}`, { headers: { authorization: 'Bearer any' }, ...init });
const fetchTask = async (id: string) => (await (await get(`/302/v2/video/fetch/${id}`)).json()) as Task;
const move = async (id: string, to: object) =>
  (await (await get(`/__simulator/videos/${id}`, { method: 'PATCH', body: JSON.stringify(to) })).json()) as Record<
    string,
    unknown
  >;
async function fileOf(directive: object, init: RequestInit = {}): Promise<Response> {
  const { task_id } = await created({ queue_ms: 0, run_ms: 0, ...directive });
  const { video_url = '' } = await fetchTask(task_id);
  return fetch(video_url, init);
}

test('a task waits, runs with growing progress, and ends with a file', async () => {
  const task = await created({ queue_ms: 20, run_ms: 200 }, { duration: 4 });
  expect(task).toMatchObject({ task_id: expect.stringMatching(/^\d+$/), status: 'pending', mode: 't2v' });
  const seen: Task[] = [];
  await expect
    .poll(async () => {
      seen.push(await fetchTask(task.task_id));
      return seen.at(-1)?.status;
    })
    .toBe('completed');
  const progress = seen.map((each) => each.progress);
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  expect(seen.at(-1)).toMatchObject({ progress: 100, model: 'google-veo3.1' });
  const file = await fetch(seen.at(-1)?.video_url ?? '');
  expect(file.headers.get('content-type')).toBe('video/mp4');
  expect(Buffer.from(await file.arrayBuffer()).equals(VIDEO)).toBe(true);
});

test('a refused submission makes no task; a broken answer does', async () => {
  expect((await create({ key: 'refused', error: 402 })).status).toBe(402);
  await expect(create({ key: 'refused', cut_after: 0 }).then((answer) => answer.text())).rejects.toThrow();
  await expect(create({ key: 'refused', malformed: true }).then((answer) => answer.json())).rejects.toThrow();
  const { videos } = (await (await get('/__simulator/videos?key=refused')).json()) as { videos: object[] };
  expect(videos).toHaveLength(2);
  expect((await fetch(`${simulator.url}/302/v2/video/create`, { method: 'POST', body: '{}' })).status).toBe(401);
  expect((await create({}, { prompt: undefined })).status).toBe(400);
  expect((await create({ no_such_option: 1 })).status).toBe(400);
});

test('failing: in the answer itself, or late; lost; fetches that fail', async () => {
  const failed = await create({ fail: 'at_once', fail_message: 'no cats' });
  expect([failed.status, await failed.json()]).toMatchObject([
    200,
    { status: 'failed', error: { message: 'no cats' } },
  ]);
  const late = await created({ fail: 'late', queue_ms: 0, run_ms: 0 });
  expect(await fetchTask(late.task_id)).toMatchObject({ status: 'failed', error: { error_type: 'generation_failed' } });
  const lost = await created({ lost: true });
  expect((await get(`/302/v2/video/fetch/${lost.task_id}`)).status).toBe(404);
  const flaky = await created({ fetch_error: 503, fetch_errors: 2 });
  const statuses = [];
  for (let index = 0; index < 3; index += 1) statuses.push((await get(`/302/v2/video/fetch/${flaky.task_id}`)).status);
  expect(statuses).toEqual([503, 503, 200]);
});

test('other words and forms of the id', async () => {
  const words = { processing: 'running' };
  const task = await created({ numeric_id: true, hold: 'processing', queue_ms: 0, words });
  expect(task.task_id).toBeTypeOf('number');
  expect((await fetchTask(String(task.task_id))).status).toBe('running');
  expect((await created({ uuid: true })).task_id).toMatch(/^[0-9a-f-]{36}$/);
});

test('a held task is moved by hand alone, with as many webhooks as wanted', async () => {
  const task = await created({ hold: 'pending', queue_ms: 0, run_ms: 0 }, {}, `?webhook=${bellUrl}/held`);
  expect((await fetchTask(task.task_id)).status).toBe('pending');
  expect(await move(task.task_id, { status: 'processing', progress: 40 })).toMatchObject({ progress: 40, fetches: 1 });
  expect(await fetchTask(task.task_id)).toMatchObject({ status: 'processing', progress: 40 });
  expect(await move(task.task_id, { status: 'completed', webhooks: 2 })).toMatchObject({ deliveries: [200, 200] });
  const rung = bells.filter(({ url }) => url === '/held');
  expect(rung.map(({ body }) => body.status)).toEqual(['completed', 'completed']);
  expect((await move('none', {})).error).toBeDefined();
});

test('a webhook is sent when the task ends, again until it is taken, and lies where told to', async () => {
  answers.push(500, 503);
  const lie = { task_id: 'another' };
  const directive = { key: 'again', queue_ms: 0, run_ms: 0, webhook_body: lie };
  await created(directive, {}, `?webhook=${bellUrl}/again`);
  const deliveries = async () => {
    const report = (await (await get('/__simulator/videos?key=again')).json()) as {
      videos: { deliveries: number[] }[];
    };
    return report.videos[0]?.deliveries;
  };
  await expect.poll(deliveries, { timeout: 5_000 }).toEqual([500, 503, 200]);
  expect(bells.find(({ url }) => url === '/again')?.body).toMatchObject({ status: 'completed', task_id: 'another' });
});

test('a webhook may come before the answer to the submission', async () => {
  await created({ webhook_early: true, webhooks: 0, fail: 'at_once' }, {}, `?webhook=${bellUrl}/early`);
  expect(bells.filter(({ url }) => url === '/early').map(({ body }) => body.status)).toEqual(['failed']);
});

test('files of every bad kind', async () => {
  const large = await fileOf({ file: 'large', file_bytes: 5_000_000 });
  expect(large.headers.get('content-length')).toBeNull();
  expect((await large.arrayBuffer()).byteLength).toBe(5_000_000);
  expect((await fileOf({ file: 'redirect' })).redirected).toBe(true);
  await expect(fileOf({ file: 'redirect_loop' })).rejects.toThrow();
  const inner = await fileOf({ file: 'redirect_inner' }, { redirect: 'manual' });
  expect(inner.headers.get('location')).toContain('169.254.169.254');
  expect((await fileOf({ file: 'wrong_type' })).headers.get('content-type')).toBe('application/json');
  expect((await fileOf({ file: 'html' })).headers.get('content-type')).toBe('text/html');
  expect((await fileOf({ file: 'missing' })).status).toBe(404);
  await expect(fileOf({ file: 'cut' }).then((answer) => answer.arrayBuffer())).rejects.toThrow();
  const stop = new AbortController();
  const slow = await fileOf({ file: 'slow' }, { signal: stop.signal });
  expect((await slow.body?.getReader().read())?.value).toHaveLength(1);
  stop.abort();
  const { task_id } = await created({ queue_ms: 0, run_ms: 0, file_url: 'http://10.0.0.1/x.mp4' });
  expect((await fetchTask(task_id)).video_url).toBe('http://10.0.0.1/x.mp4');
  const none = await created({ queue_ms: 0, run_ms: 0, file: 'none' });
  expect((await fetchTask(none.task_id)).video_url).toBeNull();
  expect((await fetch(`${simulator.url}/files/1.mp4`)).status).toBe(404);
});

test('OpenAI’s form of it: a form with a picture, queue, content with the key, deletion', async () => {
  const form = new FormData();
  form.set('model', 'veo');
  form.set('prompt', directed({ key: 'openai', hold: 'processing', queue_ms: 0 }));
  form.set('seconds', '4');
  form.set('size', '1280x720');
  form.set('input_reference', new Blob(['x'], { type: 'image/png' }), 'cat.png');
  const made = (await (await get('/v1/videos', { method: 'POST', body: form })).json()) as { id: string };
  expect(made).toMatchObject({ object: 'video', status: 'in_progress', seconds: '4', size: '1280x720', model: 'veo' });
  expect((await simulator.requests('openai'))[0]?.body).toMatchObject({
    input_reference: { name: 'cat.png', size: 1 },
  });
  expect((await get(`/v1/videos/${made.id}/content`)).status).toBe(404);
  await move(made.id, { status: 'completed' });
  expect(await (await get(`/v1/videos/${made.id}`)).json()).toMatchObject({ status: 'completed', progress: 100 });
  expect((await get(`/v1/videos/${made.id}/content`)).headers.get('content-type')).toBe('video/mp4');
  expect((await fetch(`${simulator.url}/v1/videos/${made.id}/content`)).status).toBe(401);
  const remove = (id: string) => get(`/v1/videos/${id}`, { method: 'DELETE' });
  expect(await (await remove(made.id)).json()).toMatchObject({ object: 'video.deleted', deleted: true });
  expect([(await get(`/v1/videos/${made.id}`)).status, (await remove(made.id)).status]).toEqual([404, 404]);
  const stubborn = await simulator.post('/v1/videos', { model: 'veo', prompt: directed({ cancel_error: 409 }) });
  expect((await remove(((await stubborn.json()) as { id: string }).id)).status).toBe(409);
});
