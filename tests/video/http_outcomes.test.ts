/** How news of a job may come, and what is booked then: the job, its debit and refund, the log, the statistics. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { statisticsOf } from '../ai/helpers.ts';
import { env, sql, type TestUser } from '../support/stack.ts';
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
} from './http_helpers.ts';
import { useStub } from './provider_stub.ts';

/** Where files are, so that it can be counted how often one is asked for. */
const files = useStub();

async function newJob(directive: object = {}, model?: string) {
  const maker = await newMaker();
  const key = randomUUID();
  const prompt = simulating({ key, hold: 'processing', webhooks: 0, ...directive });
  const { job } = await call(maker, 'POST', '', { body: { model: model ?? (await newVideoModel()), prompt } });
  expect(job.status).toBe('processing');
  return { maker, job, key };
}

/** Waits until a job is at rest without asking for it, and checks everything that tells of it. */
async function expectOutcome(maker: TestUser, { id }: Job, status: 'completed' | 'failed', code: string | null = null) {
  const row = async () => (await sql('select status, error_code from public.video_jobs where id = $1', [id]))[0];
  await expect.poll(row, { timeout: 15_000 }).toEqual({ status, error_code: code });
  if (status === 'completed') await until(maker, id, isStored);
  const isPaid = status === 'completed';
  const { job } = await call(maker, 'GET', `/${id}`);
  expect(job).toMatchObject({ status, cost_credits: 20, credits: isPaid ? 20 : 0 });
  expect(job.storage_path).toBe(isPaid ? `${maker.id}/${id}.mp4` : null);
  expect(await ledgerOf(maker)).toEqual({
    wallet: { balance: isPaid ? 83 : 103, spent: isPaid ? 20 : 0, held: 0, drift: 0 },
    ledger: [
      ...['credit signup 3', 'credit purchase 100', 'debit generation -20'],
      ...(isPaid ? [] : ['refund refund 20']),
    ],
    logs: [['video_generation', isPaid ? 'success' : 'failed', code, isPaid ? 20 : 0]],
  });
  const [debit] = await sql(
    `select t.amount::float8 as amount, t.metadata ->> 'video_job_id' as job from public.credit_transactions t
     join private.video_job_work w on w.debit_id = t.id where w.video_job_id = $1`,
    [id],
  );
  expect(debit).toEqual({ amount: -20, job: id });
  expect(await statisticsOf(maker)).toEqual({
    ...{ total: 1, success: isPaid ? 1 : 0, failed: isPaid ? 0 : 1, canceled: 0, refused: 0 },
    credits: isPaid ? 20 : 0,
  });
}

const ring = async (job: Job) => {
  const body = JSON.stringify({ task_id: await taskIdOf(job) });
  const answer = await fetch(await webhookOf(job.id), { method: 'POST', body });
  expect(answer.status).toBe(200);
};
const poll = async ({ id }: Job) => {
  await makeStale(id);
  await fetch(`${env.FUNCTIONS_URL}/video/sync`, { method: 'POST', headers: { apikey: env.SECRET_KEY } });
};

const WAYS: [string, (job: Job) => Promise<unknown>][] = [
  ['by webhook', ring],
  ['by poll', poll],
  ['by both at once', (job) => Promise.all([ring(job), poll(job), ring(job), poll(job)])],
  ['by a webhook that comes twice', (job) => ring(job).then(() => ring(job))],
];

test.each(
  WAYS.flatMap(([way, tell]) => (['completed', 'failed'] as const).map((status) => [status, way, tell] as const)),
)('%s, told %s', async (status, _, tell) => {
  const { maker, job } = await newJob();
  await moveTask(job, { status });
  await tell(job);
  await expectOutcome(maker, job, status, status === 'failed' ? 'upstream_error' : null);
});

test('completed, told late: after the time limit, when it was refunded', async () => {
  const { maker, job } = await newJob();
  await sql(`update public.video_jobs set expires_at = now() - interval '1 second' where id = $1`, [job.id]);
  expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'failed', error_code: 'timed_out' });
  await moveTask(job, { status: 'completed', webhooks: 1 });
  await ring(job);
  await expectOutcome(maker, job, 'failed', 'timed_out');
});

test('a model may have a time limit of its own', async () => {
  const { job } = await newJob({}, await newVideoModel({ time_limit_seconds: 700 }));
  const [row] = await sql<{ seconds: number }>(
    'select extract(epoch from expires_at - created_at)::integer as seconds from public.video_jobs where id = $1',
    [job.id],
  );
  expect(row?.seconds).toBe(700);
});

test('after its time limit a task is stopped at the provider', async () => {
  const { job, maker, key } = await newJob({}, await newModelAt({ video_api: 'openai' }));
  expect(await tasksOf(key)).toHaveLength(1);
  await sql(`update public.video_jobs set expires_at = now() - interval '1 second' where id = $1`, [job.id]);
  expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'failed', error_code: 'timed_out' });
  await expect.poll(() => tasksOf(key)).toEqual([]); // the stack's timer may be the one to stop it
});

test('the task of a job that ended while it was handed over is stopped', async () => {
  const [model, maker, key] = [await newModelAt({ video_api: 'openai' }), await newMaker(), randomUUID()];
  const prompt = simulating({ key, hold: 'processing', answer_delay_ms: 1500 });
  const making = call(maker, 'POST', '', { body: { model, prompt } });
  await expect.poll(() => tasksOf(key), { timeout: 10_000 }).toHaveLength(1);
  await sql(`select public.fail_video_job(id, 'timed_out') from public.video_jobs where user_id = $1`, [maker.id]);
  expect((await making).job).toMatchObject({ status: 'failed', credits: 0 });
  expect(await tasksOf(key)).toEqual([]);
});

test('a file is asked for once, however many bring the news', async () => {
  files.answers({ body: 'film', headers: { 'content-type': 'video/mp4' } });
  const model = await newModelAt({ result_hosts: [new URL(files.url).host] });
  // Each of them has read the job before the first writes it.
  const { maker, job } = await newJob({ file_url: `${files.url}/film.mp4`, fetch_delay_ms: 500 }, model);
  await moveTask(job, { status: 'completed' });
  await Promise.all(Array.from({ length: 6 }, () => ring(job)));
  await until(maker, job.id, isStored);
  expect(files.asked).toMatchObject([{ path: '/film.mp4' }]);
});
