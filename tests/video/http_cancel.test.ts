/** Canceling a job: before the provider has it, while it works, when it is over, where the provider cannot. */
import { randomUUID } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { sql } from '../support/stack.ts';
import {
  call,
  isOver,
  isStored,
  ledgerOf,
  makeStale,
  moveTask,
  newMaker,
  newModelAt,
  newVideoModel,
  simulating,
  tasksOf,
  until,
} from './http_helpers.ts';
import { useStub } from './provider_stub.ts';

const stub = useStub();
const REFUNDED = ['credit signup 3', 'credit purchase 100', 'debit generation -20', 'refund refund 20'];
const openAi = () => newModelAt({ video_api: 'openai' });

async function newJob(model: string, directive: object = {}) {
  const maker = await newMaker();
  const key = randomUUID();
  const prompt = simulating({ key, hold: 'processing', webhooks: 0, ...directive });
  const { job } = await call(maker, 'POST', '', { body: { model, prompt } });
  return { maker, job, key };
}

test('a job under way is canceled at the provider and refunded, once', async () => {
  const { maker, job, key } = await newJob(await openAi());
  const answers = await Promise.all([1, 2, 3].map(() => call(maker, 'DELETE', `/${job.id}`)));
  expect(answers.some(({ status, job: { status: state } }) => status === 200 && state === 'canceled')).toBe(true);
  expect(await call(maker, 'DELETE', `/${job.id}`)).toMatchObject({
    status: 200,
    job: { status: 'canceled', credits: 0 },
  });
  const { wallet, ledger, logs } = await ledgerOf(maker);
  expect(wallet).toEqual({ balance: 103, spent: 0, held: 0, drift: 0 });
  expect(ledger).toEqual(REFUNDED);
  expect(logs).toEqual([['video_generation', 'canceled', null, 0]]);
  expect(await tasksOf(key)).toEqual([]);
});

test('a provider that cannot cancel: 409, and the job goes on', async () => {
  const { maker, job } = await newJob(await newVideoModel());
  expect(await call(maker, 'DELETE', `/${job.id}`)).toMatchObject({ status: 409, error: { code: 'invalid_state' } });
  await moveTask(job, { status: 'completed', webhooks: 1 });
  expect(await until(maker, job.id, isStored)).toMatchObject({ status: 'completed', credits: 20 });
});

test.each([
  ['fails', { cancel_error: 500 }, 502, 'upstream_error'],
  ['does not say', { cancel_error: 502 }, 502, 'upstream_error'],
  ['finds it too late', { cancel_error: 409 }, 409, 'invalid_state'],
  ['has no cancellation', { cancel_error: 405 }, 409, 'invalid_state'],
])('a provider that %s: the job goes on', async (_, directive, status, code) => {
  const { maker, job } = await newJob(await openAi(), directive);
  const answer = await call(maker, 'DELETE', `/${job.id}`);
  expect(answer).toMatchObject({ status, error: { code } });
  expect(answer.error.message).not.toContain('Nothing was charged');
  expect((await call(maker, 'GET', `/${job.id}`)).job).toMatchObject({ status: 'processing', credits: 20 });
});

test('a job that was done by then is not canceled, and keeps its file', async () => {
  const { maker, job, key } = await newJob(await openAi());
  await moveTask(job, { status: 'completed' });
  expect(await call(maker, 'DELETE', `/${job.id}`)).toMatchObject({ status: 409, error: { code: 'invalid_state' } });
  expect(await until(maker, job.id, isStored)).toMatchObject({ status: 'completed', credits: 20 });
  expect(await tasksOf(key)).toHaveLength(1);
});

test('a job that is done while the provider cancels it does not count as done: its file may be what is deleted', async () => {
  const maker = await newMaker();
  const model = await newModelAt({ video_api: 'openai', video_base_url: stub.url, timeout_ms: 3000 });
  const id = randomUUID();
  stub.answers({ body: { id, status: 'queued' } });
  const { job } = await call(maker, 'POST', '', { body: { model, prompt: 'A boat' } });
  stub.answers({ body: { id, status: 'in_progress' } }, 'hang', { body: { id, status: 'completed' } });
  const canceling = call(maker, 'DELETE', `/${job.id}`);
  await vi.waitFor(() => expect(stub.asked.at(-1)?.method).toBe('DELETE'), 10_000);
  const second = await call(maker, 'DELETE', `/${job.id}`);
  expect(second).toMatchObject({ status: 409, error: { code: 'invalid_state' } });
  await makeStale(job.id);
  expect((await call(maker, 'GET', `/${job.id}`)).job.status).toBe('processing');
  await vi.waitFor(() => expect(stub.asked.at(-1)?.method).toBe('GET'), 10_000); // the stack's timer may be asking
  expect((await canceling).status).toBe(502);
});

test.each(['completed', 'failed'])('a job that is %s: 409', async (status) => {
  const { maker, job } = await newJob(await newVideoModel());
  await moveTask(job, { status, webhooks: 1 });
  await until(maker, job.id, isOver);
  const before = await ledgerOf(maker);
  expect(await call(maker, 'DELETE', `/${job.id}`)).toMatchObject({ status: 409, error: { code: 'invalid_state' } });
  expect(await ledgerOf(maker)).toEqual(before);
});

test('while it is being handed over: 202, and canceled as soon as the provider has it', async () => {
  const model = await openAi();
  const maker = await newMaker();
  const key = randomUUID();
  const prompt = simulating({ key, hold: 'processing', delay_ms: 1500 });
  const making = call(maker, 'POST', '', { body: { model, prompt } });
  let id = '';
  for (let tries = 0; id === '' && tries < 100; tries += 1) {
    const [row] = await sql('select id from public.video_jobs where user_id = $1', [maker.id]);
    id = row?.id ?? '';
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const asked = await call(maker, 'DELETE', `/${id}`);
  expect(asked).toMatchObject({ status: 202, job: { status: 'pending' } });
  expect(asked.job.cancel_requested_at).not.toBeNull();
  const made = await making;
  expect(made).toMatchObject({ status: 201, job: { status: 'canceled', credits: 0 } });
  expect(['x-credits-charged', 'x-credits-available'].map((name) => made.headers.get(name))).toEqual(['0', '103']);
  expect(await tasksOf(key)).toEqual([]);
  expect((await ledgerOf(maker)).ledger).toEqual(REFUNDED);
});

test('while nobody knows whether the provider has it: 202, and refunded by the sweep', async () => {
  const { maker, job } = await newJob(await newVideoModel(), { cut_after: 0 });
  expect((await call(maker, 'DELETE', `/${job.id}`)).status).toBe(202);
  await sql(`select private.end_overdue_video_job($1, now() + interval '11 minutes')`, [job.id]);
  expect((await call(maker, 'DELETE', `/${job.id}`)).job.status).toBe('canceled');
  expect((await ledgerOf(maker)).ledger).toEqual(REFUNDED);
});
