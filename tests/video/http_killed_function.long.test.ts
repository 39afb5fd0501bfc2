/** Functions that are killed at each step of a job, and a file looked at on its way: on a stack of its own, whose other users would mind. */
import { randomUUID } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';

let own: OwnStack;
let rows: OwnStack['rows'];

beforeAll(async () => {
  own = await startOwnStack(5000);
  rows = own.rows;
  await rows(
    `update public.plan_features set feature_limit = null
      where plan = 'enterprise' and feature_code in ('video_jobs_at_once', 'requests_per_minute')`,
  );
  await rows(`update public.system_config set config_value = '"creem"' where config_key = 'prompt_moderation'`);
}, 120_000);
afterAll(() => own?.stop(), 60_000);

/** Makes a job and gives the answer's status, 0 where none came. The job is found again by its prompt. */
async function make(directive: object, word = 'allow') {
  const key = randomUUID();
  const prompt = `${key} [[simulate:${JSON.stringify(directive)}]] [[moderate:${word}]]`;
  const status = fetch(`${own.stack.env.FUNCTIONS_URL}/video/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${own.person.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'google-veo3.1', prompt }),
  }).then(
    ({ status: number }) => number,
    () => 0,
  );
  const job = async () =>
    (
      await rows(
        `select j.*, w.job_id from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id
         where j.prompt = $1`,
        [prompt],
      )
    )[0];
  return { status, job };
}

const sync = () =>
  fetch(`${own.stack.env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: own.stack.env.SECRET_KEY } });

async function kill() {
  process.kill(own.stack.pids().functions as number, 'SIGKILL');
  await vi.waitFor(async () => expect((await sync()).status).toBe(200), { timeout: 20_000, interval: 200 });
}

/** Does what the sweep does in the next minutes, and then in half an hour, until every job is at rest. */
async function sweep() {
  await vi.waitFor(
    async () => {
      await rows(`update private.video_job_work set next_sync_at = now()`);
      await sync();
      const [{ open }] = await rows(
        `select count(*)::integer as open from public.video_jobs j join private.video_job_work w on w.video_job_id = j.id
         where j.status = 'processing' or w.is_file_due`,
      );
      expect(open).toBe(0);
    },
    { timeout: 25_000, interval: 500 },
  );
  const unknown = await rows(`select id from public.video_jobs where status = 'pending'`);
  for (const { id } of unknown)
    await rows(`select private.end_overdue_video_job($1, now() + interval '31 minutes')`, [id]);
  return unknown.length;
}

/** Whether each job is at rest, paid for exactly when it has a result, and told of once. */
async function expectRightBooks() {
  expect(await rows(`select id from public.video_jobs where status in ('pending', 'processing')`)).toEqual([]);
  const wrong = await rows(`
    select j.id, j.status, j.storage_path, paid.sum, logged.count
    from public.video_jobs j
    cross join lateral (
      select coalesce(-sum(t.amount), 0) as sum from public.credit_transactions t where t.metadata ->> 'video_job_id' = j.id::text
    ) paid
    cross join lateral (select count(*) from public.ai_usage_logs l where l.request_id = j.request_id) logged
    where paid.sum <> case when j.status = 'completed' then 20 else 0 end
      or (j.status = 'completed') <> (j.storage_path is not null) or logged.count <> 1`);
  expect(wrong).toEqual([]);
  expect(await rows('select * from public.verify_credits()')).toEqual([]);
}

const STEPS: [string, object, string, (job: Record<string, unknown>) => boolean, string][] = [
  ['while its prompt is looked at', {}, 'slow', ({ status }) => status === 'pending', 'failed'],
  ['while the provider is asked', { delay_ms: 8000 }, 'allow', ({ status }) => status === 'pending', 'failed'],
  [
    'while the provider works',
    { queue_ms: 1, run_ms: 4000 },
    'allow',
    ({ status }) => status === 'processing',
    'completed',
  ],
  [
    'while its file is copied',
    { queue_ms: 1, run_ms: 1, file: 'large', file_bytes: 45_000_000 },
    'allow',
    ({ status, storage_path }) => status === 'completed' && storage_path === null,
    'completed',
  ],
];

/** Bytes of the files that Storage is still getting. */
function bytesUnderWay(): number {
  const folder = join(own.dataDir, 'storage', 'uploads');
  return readdirSync(folder).reduce((bytes, name) => bytes + statSync(join(folder, name)).size, 0);
}

test('a file is on its way to Storage before its host has sent the end of it', async () => {
  const piece = Buffer.alloc(4 * 1024 * 1024);
  let serving: ServerResponse | undefined;
  const host = createServer((_, response) => {
    serving = response;
    response.writeHead(200, { 'content-type': 'video/mp4' }).write(piece);
  });
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  const origin = `127.0.0.1:${(host.address() as AddressInfo).port}`;
  await rows('update public.ai_providers set result_hosts = result_hosts || $1::text', [origin]);
  const { job } = await make({ queue_ms: 1, run_ms: 50, file_url: `http://${origin}/film.mp4` });
  // The host waits for Storage to have nearly all that was sent; then it sends the rest.
  await vi.waitFor(() => expect(bytesUnderWay()).toBeGreaterThan(piece.length / 2), { timeout: 10_000 });
  expect(await job()).toMatchObject({ status: 'completed', storage_path: null });
  serving?.end(piece);
  await vi.waitFor(async () => expect((await job()).storage_path).not.toBeNull(), { timeout: 10_000 });
  host.close();
});

/** The simulator's task of a job, whether or not anyone was told of it. */
async function taskOf(prompt: string) {
  const response = await fetch(`${own.stack.urls.programs.simulator}/__simulator/videos`);
  const { videos } = (await response.json()) as { videos: { id: string; prompt: string }[] };
  return videos.find((task) => task.prompt.startsWith(prompt.slice(0, 36)));
}

test('killed when the provider has the task and nobody has noted it: its webhook makes it go on', {
  timeout: 60_000,
}, async () => {
  const { status, job } = await make({ hold: 'processing', webhooks: 0, answer_delay_ms: 30_000 });
  await vi.waitFor(async () => expect(await taskOf((await job()).prompt)).toBeDefined(), { timeout: 10_000 });
  const task = await taskOf((await job()).prompt);
  await kill();
  await status;
  expect(await job()).toMatchObject({ status: 'pending', job_id: null });
  await fetch(`${own.stack.urls.programs.simulator}/__simulator/videos/${task?.id}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ status: 'completed', webhooks: 1 }),
  });
  expect(await job()).toMatchObject({ status: 'completed', job_id: task?.id });
  await sweep();
  await expectRightBooks();
});

test('killed at each step of a job', { timeout: 60_000 }, async () => {
  const made = [];
  for (const [step, directive, word, isThere, ending] of STEPS) {
    const { status, job } = await make(directive, word);
    await vi.waitFor(async () => expect(isThere((await job()) ?? {}), step).toBe(true), {
      timeout: 10_000,
      interval: 5,
    });
    made.push({ step, status, job, ending });
  }
  // One death for all: each next one has the stack wait longer before it starts the functions again.
  await kill();
  await sweep();
  for (const { step, status, job, ending } of made) {
    await status;
    expect((await job())?.status, step).toBe(ending);
  }
  await expectRightBooks();
});

test('killed twice under load: every job comes to rest, paid for exactly when it has a result', {
  timeout: 90_000,
}, async () => {
  const directives = [
    { queue_ms: 50, run_ms: 300 },
    { queue_ms: 50, run_ms: 300, delay_ms: 400 },
    { queue_ms: 50, run_ms: 300, webhook_early: true },
    { queue_ms: 50, run_ms: 300, fail: 'late' },
    { fail: 'at_once' },
    { error: 400 },
    { cut_after: 0, queue_ms: 50, run_ms: 300 },
    { queue_ms: 50, run_ms: 300, webhooks: 0 },
  ];
  // The last round is left alone: whatever the others come to, it has jobs of each ending.
  const kills = [300, 700, undefined];
  for (const killAfter of kills) {
    const making = Array.from({ length: 24 }, async (_, number) => {
      await new Promise((resolve) => setTimeout(resolve, number * 40));
      return (await make(directives[number % directives.length] ?? {})).status;
    });
    if (killAfter !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, killAfter));
      await kill();
    }
    await Promise.all(making);
  }
  await sweep();
  await expectRightBooks();
  const [last] = await rows(
    `select count(*) filter (where status = 'completed')::integer as completed,
       count(*) filter (where status = 'failed')::integer as failed
     from (select status from public.video_jobs order by created_at desc limit 24) j`,
  );
  expect(last).toEqual({ completed: 15, failed: 9 });
});
