/** The webhook: a bell that the right token rings, whose words are not believed. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { env, newUser, sql } from '../support/stack.ts';
import {
  call,
  isOver,
  isStored,
  type Job,
  ledgerOf,
  makeStale,
  moveTask,
  newMaker,
  newModelAt,
  newVideoModel,
  simulating,
  taskIdOf,
  tasksOf,
  until,
  untilAsked,
  webhookOf,
  workOf,
} from './http_helpers.ts';
import { useStub } from './provider_stub.ts';

const stub = useStub();

const ring = (url: string, body: unknown = {}, method = 'POST') =>
  fetch(url, {
    method,
    ...(method === 'POST' ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  });

/** A job under way that nobody tells of, and its task's key. */
async function newJob(directive: object = {}) {
  const maker = await newMaker();
  const key = randomUUID();
  const prompt = simulating({ key, hold: 'processing', webhooks: 0, ...directive });
  const { job } = await call(maker, 'POST', '', { body: { model: await newVideoModel(), prompt } });
  return { maker, job, key };
}

/** A job whose provider never answered the submission: it broke the connection, or let us wait. */
async function newUnknownJob(answer: 'break' | 'hang' = 'break') {
  const maker = await newMaker();
  const model = await newModelAt({ video_base_url: stub.url, timeout_ms: 1000 });
  stub.answers(answer);
  const { status, job } = await call(maker, 'POST', '', { body: { model, prompt: 'A boat' } });
  expect([status, job.status, await taskIdOf(job)]).toEqual([202, 'pending', null]);
  return { maker, job };
}

test('the provider is given the address that rings for the job', async () => {
  const { job, key } = await newJob();
  expect((await tasksOf(key))[0]?.webhook).toBe(await webhookOf(job.id));
});

test.each([
  ['another token', async (job: Job) => `${env.FUNCTIONS_URL}/video-webhook/${job.id}/${'0'.repeat(64)}`],
  [
    "another job's token",
    async (job: Job) => {
      const other = (await webhookOf(randomUUID())).split('/').at(-1);
      return `${env.FUNCTIONS_URL}/video-webhook/${job.id}/${other}`;
    },
  ],
  ['no token', async (job: Job) => `${env.FUNCTIONS_URL}/video-webhook/${job.id}`],
  ['no job', async () => webhookOf(randomUUID())],
  ['no id', async (job: Job) => (await webhookOf(job.id)).replace(job.id, 'x')],
  ['more path', async (job: Job) => `${await webhookOf(job.id)}/x`],
])('%s: 404, and nothing is asked', async (_, addressOf) => {
  const { job, key } = await newJob();
  const answer = await ring(await addressOf(job), { task_id: await taskIdOf(job), status: 'completed' });
  expect(answer.status).toBe(404);
  expect(await tasksOf(key)).toMatchObject([{ fetches: 0 }]);
});

test('what is sent is believed as far as the provider says the same', async () => {
  const { maker, job } = await newJob();
  const url = await webhookOf(job.id);
  const lies = [
    { task_id: await taskIdOf(job), status: 'completed', video_url: 'http://169.254.169.254/latest' },
    { task_id: await taskIdOf(job), status: 'failed' },
    { task_id: 'other', status: 'completed' },
    {},
  ];
  for (const lie of lies) expect((await ring(url, lie)).status).toBe(200);
  expect((await ring(url, 'no JSON')).status).toBe(200);
  expect((await call(maker, 'GET', `/${job.id}`)).job).toMatchObject({ status: 'processing' });
  await moveTask(job, { status: 'completed' });
  await ring(url, { task_id: await taskIdOf(job), status: 'failed', error: 'a lie' });
  expect(await until(maker, job.id, isStored)).toMatchObject({ status: 'completed', credits: 20 });
});

test('a body above 1 MiB is refused, and no other method rings', async () => {
  const { job } = await newJob();
  const url = await webhookOf(job.id);
  expect((await ring(url, 'x'.repeat(1024 * 1024 + 1))).status).toBe(400);
  const stranger = await webhookOf(randomUUID());
  // A small one: a stranger's body is not read, and who is still sending it may not hear the answer.
  expect((await ring(stranger, 'x')).status).toBe(404);
  const got = await ring(url, undefined, 'GET');
  expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
});

test.each(['completed', 'failed'])(
  '%s, told by ten webhooks and asked by readers at once: ended once',
  async (status) => {
    const { maker, job } = await newJob();
    const url = await webhookOf(job.id);
    await moveTask(job, { status });
    await makeStale(job.id);
    const task_id = await taskIdOf(job);
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => ring(url, { task_id })),
      ...Array.from({ length: 5 }, () => call(maker, 'GET', `/${job.id}`)),
    ]);
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect(await until(maker, job.id, isOver)).toMatchObject({ status });
    const { wallet, ledger, logs } = await ledgerOf(maker);
    expect(wallet).toMatchObject({ balance: status === 'completed' ? 83 : 103, drift: 0 });
    expect(ledger).toHaveLength(status === 'completed' ? 3 : 4);
    expect(logs).toHaveLength(1);
  },
);

test('a task that the provider does not know for a moment is not lost, however many ring in it', async () => {
  const { maker, job } = await newJob({ lost: true });
  const url = await webhookOf(job.id);
  const task_id = await taskIdOf(job);
  await Promise.all(Array.from({ length: 5 }, () => ring(url, { task_id })));
  expect((await call(maker, 'GET', `/${job.id}`)).job.status).toBe('processing');
});

test('news after the end changes nothing', async () => {
  const { maker, job } = await newJob();
  await moveTask(job, { status: 'failed', webhooks: 1 });
  await until(maker, job.id, isOver);
  await moveTask(job, { status: 'completed', webhooks: 2 });
  expect((await ring(await webhookOf(job.id), { task_id: await taskIdOf(job) })).status).toBe(200);
  expect((await call(maker, 'GET', `/${job.id}`)).job).toMatchObject({ status: 'failed' });
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 103 });
});

test('a submission that was not answered in time goes on when its webhook rings', async () => {
  const { maker, job } = await newUnknownJob('hang');
  stub.answers({ body: { task_id: job.id, status: 'processing', progress: 40 } });
  expect((await ring(await webhookOf(job.id), { task_id: job.id, status: 'completed' })).status).toBe(200);
  const { job: known } = await call(maker, 'GET', `/${job.id}`);
  expect(known).toMatchObject({ status: 'processing', progress: 40 });
  expect(await taskIdOf(job)).toBe(job.id);
});

test.each([
  ['no task', { status: 'completed' }, 400],
  ['a path', { task_id: '../secrets' }, 400],
  ['an object', { task_id: { a: 1 } }, 400],
  ['no JSON', 'x', 400],
  ['a task that the provider does not know', { task_id: 'none' }, 503],
])('one that names %s does not', async (_, body, status) => {
  const { maker, job } = await newUnknownJob();
  const asked = stub.asked.length;
  stub.answers({ status: 404 });
  expect((await ring(await webhookOf(job.id), body)).status).toBe(status);
  expect(stub.asked.length - asked).toBe(status === 400 ? 0 : 1);
  expect((await call(maker, 'GET', `/${job.id}`)).job).toMatchObject({ status: 'pending' });
  expect(await taskIdOf(job)).toBeNull();
});

test('while the provider cannot be asked: again please, where nothing else has the task; else it is polled', async () => {
  const { maker, job } = await newUnknownJob();
  const url = await webhookOf(job.id);
  stub.answers({ status: 500 });
  const answer = await ring(url, { task_id: job.id });
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
  stub.answers({ body: { task_id: job.id, status: 'processing' } });
  expect((await ring(url, { task_id: job.id })).status).toBe(200);
  stub.answers({ status: 500 });
  expect((await ring(url, { task_id: job.id })).status).toBe(200);
  const [work] = await sql<{ due: boolean }>(
    'select next_sync_at <= now() as due from private.video_job_work where video_job_id = $1',
    [job.id],
  );
  expect(work?.due).toBe(true);
  expect((await call(maker, 'GET', `/${job.id}`)).job.status).toBe('processing');
});

test('an answer with what the database cannot hold is noted without it', async () => {
  const { maker, job } = await newUnknownJob();
  stub.answers({ body: `{"task_id":"${job.id}","status":"processing","note":"a\\u0000\\ud800","n\\u0000":1}` });
  expect((await ring(await webhookOf(job.id), { task_id: job.id })).status).toBe(200);
  stub.answers({
    body: `{"task_id":"${job.id}","status":"failed","error":{"code":"invalid_prompt","message":"a\\u0000b"}}`,
  });
  expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'failed', error_code: 'invalid_request' });
  const [cost] = await sql<{ said: string }>(
    `select attempts -> 0 ->> 'said' as said from private.ai_usage_logs where user_id = $1`,
    [maker.id],
  );
  expect(cost?.said).toBe('a\uFFFDb');
});

test("a task of somebody else's job cannot be taken over", async () => {
  const theirs = await newJob();
  const { job } = await newJob({ cut_after: 0 });
  expect(await taskIdOf(job)).toBeNull();
  await moveTask(theirs.job, { status: 'completed' });
  expect((await ring(await webhookOf(job.id), { task_id: await taskIdOf(theirs.job) })).status).toBe(200);
  const [row] = await sql('select status from public.video_jobs where id = $1', [job.id]);
  expect(row).toEqual({ status: 'pending' });
  expect(await workOf(job.id)).toMatchObject({ job_id: null, result_url: null });
});

test('a stranger cannot read, cancel, end or change a job', async () => {
  const { maker, job } = await newJob();
  const stranger = await newUser();
  for (const method of ['GET', 'DELETE']) {
    expect((await call(stranger, method, `/${job.id}`)).status).toBe(404);
    expect((await call(undefined, method, `/${job.id}`)).status).toBe(401);
  }
  expect((await stranger.client.from('video_jobs').select().eq('id', job.id)).data).toEqual([]);
  const changed = await stranger.client.from('video_jobs').update({ is_shared: true }).eq('id', job.id).select();
  expect(changed.data).toEqual([]);
  const own = await maker.client
    .from('video_jobs')
    .update({ status: 'completed' } as never)
    .eq('id', job.id);
  expect(own.error?.code).toBe('42501');
  const video_job_id = job.id;
  const task = { job_id: 'other', status: 'completed', result_url: 'https://example.com/a.mp4' };
  // Each with all that it takes, or PostgREST would only say that there is no such function.
  const rpcs: [string, object][] = [
    ['create_video_job', { user_id: maker.id, model: job.model, prompt: 'A boat' }],
    ['get_video_job', { user_id: maker.id, video_job_id }],
    ['start_video_job', { video_job_id, job_id: 'other' }],
    ['update_video_job', { video_job_id, task }],
    ['fail_video_job', { video_job_id, error_code: 'upstream_error' }],
    ['cancel_video_job', { video_job_id, is_confirmed: true }],
    ['note_video_task_missing', { video_job_id }],
    ['note_video_file', { video_job_id, is_kept: true }],
    ['video_job_of_webhook', { video_job_id, token: 'x' }],
    ['video_job_of_file', { video_job_id, until: 1, token: 'x' }],
    ['sync_video_jobs', { max_jobs: 1 }],
    ['finish_file_removal', { bucket: 'videos', path: 'x', next_try_at: new Date().toISOString() }],
  ];
  for (const [rpc, args] of rpcs) {
    for (const { client } of [stranger, maker]) {
      expect((await client.rpc(rpc as never, args as never)).error?.code, rpc).toBe('42501');
    }
  }
  const sync = (headers: [string, string][]) => fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers });
  const token = `Bearer ${stranger.accessToken}`;
  for (const headers of [[], [['authorization', token]], [['apikey', env.PUBLISHABLE_KEY]]] as [string, string][][]) {
    expect((await sync(headers)).status).toBe(403);
  }
  const done = await sync([['apikey', env.SECRET_KEY]]);
  expect(done.status).toBe(200);
  expect(Object.keys((await done.json()) as object).sort()).toEqual([
    'copied',
    'ended',
    'failed',
    'fetched',
    'removed',
  ]);
  expect((await call(maker, 'GET', `/${job.id}`)).job.status).toBe('processing');
});

test('the sweep asks for jobs that nobody told of and nobody reads', async () => {
  const { maker, job } = await newJob();
  await moveTask(job, { status: 'completed' });
  await makeStale(job.id);
  await fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
  const ended = async () => (await sql('select status from public.video_jobs where id = $1', [job.id]))[0]?.status;
  for (let tries = 0; tries < 100 && (await ended()) !== 'completed'; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(await ended()).toBe('completed');
  expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83 });
});
