/** What the tests of function `video` over HTTP share: models, jobs, what became of them. */
import { randomUUID } from 'node:crypto';
import { logsOf, newProvider, walletOf } from '../ai/helpers.ts';
import { env, newUser, serviceClient, sql, type TestUser, urls } from '../support/stack.ts';

/** A job as the API shows it. */
export interface Job {
  object: string;
  id: string;
  status: string;
  progress: number;
  model: string;
  workspace_id: string;
  result_url: string | null;
  storage_path: string | null;
  error_code: string | null;
  error_message: string | null;
  cancel_requested_at: string | null;
  image_url: string | null;
  has_image: boolean;
  is_shared: boolean;
  credits: number;
  cost_credits: number;
  parameters: Record<string, unknown>;
}

/** An error in OpenAI's shape. */
export interface Failure {
  error: { code: string; message: string; param: string | null; request_id: string };
}

/** An answer of the function, parsed. */
export interface Answer {
  status: number;
  headers: Headers;
  job: Job;
  error: Failure['error'];
}

/** Someone with 103 credits whose plan allows many jobs, as long as a test has no other wish. */
export async function newMaker(plan = 'enterprise'): Promise<TestUser> {
  const user = await newUser();
  await sql('update public.workspaces set plan = $2 where id = $1', [user.id, plan]);
  const given = await serviceClient().rpc('credit_user_credits_transaction', {
    user_id: user.id,
    amount: 100,
    reason: 'purchase',
  });
  if (given.error) throw given.error;
  return user;
}

/**
 * Adds a model of its own at 20 credits a job and returns its name. `video` are columns of `video_models`, `price` credits
 * of a unit.
 */
export async function newVideoModel(video: object = {}, price: object = { request: 20 }, provider = 'default') {
  const model = `video-${randomUUID()}`;
  const service = serviceClient();
  const facts = {
    scene: 'video_generation' as const,
    upstream_model: 'simulator-video',
    max_output_tokens: 0,
    provider,
  };
  const made = [
    await service.from('ai_models').insert({ model, display_name: model, ...facts }),
    await service.from('video_models').insert({ ...VEO, model, ...video }),
  ];
  for (const { error } of made) if (error) throw error;
  const components = Object.entries(price).map(([unit, credits]) => ({ unit, credits_per_unit: credits }));
  await sql(`select private.set_model_price($1, $2, '2020-01-01')`, [model, JSON.stringify(components)]);
  return model;
}
const VEO = { durations: [8, 4], resolutions: ['720p', '1080p'], aspect_ratios: ['16:9', '9:16'], takes_image: true };

/** A model of a provider of its own, which is the simulator with the row's ways. */
export async function newModelAt(provider: object, video: object = {}): Promise<string> {
  const row = { video_api: '302ai', result_hosts: ['AI_BASE_URL'], ...provider };
  return newVideoModel(video, undefined, await newProvider(row));
}

/** A prompt that makes the simulator behave as the directive says. */
export function simulating(directive: object, text = 'A paper boat'): string {
  return `${text} [[simulate:${JSON.stringify(directive)}]]`;
}

/** Calls `/video/jobs` as a user, or with an API key, or as nobody. */
export async function call(
  caller: { accessToken: string } | { key: string } | undefined,
  method: string,
  path = '',
  { body, headers = {} }: { body?: object | string | FormData; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const isPlain = typeof body === 'string' || body instanceof FormData || body === undefined;
  const token = caller && ('key' in caller ? caller.key : caller.accessToken);
  const response = await fetch(`${env.FUNCTIONS_URL}/video/jobs${path}`, {
    method,
    body: isPlain ? body : JSON.stringify(body),
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body instanceof FormData ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
  });
  const answer = (await response.json()) as Job & Failure;
  return { status: response.status, headers: response.headers, job: answer, error: answer.error };
}

/** Asks again until the job is as wanted; `before` each time. */
export async function until(
  user: { accessToken: string },
  id: string,
  isDone: (job: Job) => boolean,
  before?: () => Promise<void>,
): Promise<Job> {
  let job: Job | undefined;
  for (let tries = 0; tries < 150; tries += 1) {
    await before?.();
    job = (await call(user, 'GET', `/${id}`)).job;
    if (isDone(job)) return job;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the job did not become what it should: ${JSON.stringify(job)}`);
}

/** Whether a job's file has been copied. */
export const isStored = ({ storage_path }: Job) => storage_path !== null;
/** Whether a job is at rest. */
export const isOver = ({ status }: Job) => status !== 'pending' && status !== 'processing';

/** Has the next reader ask the provider. */
export async function makeStale(id: string): Promise<void> {
  await sql(
    `update private.video_job_work set next_sync_at = now() - interval '1 second', missed_at = missed_at - interval '1 hour'
     where video_job_id = $1`,
    [id],
  );
}

/**
 * Has the provider be asked again and again until the job is as wanted: a look does nothing while another one is under way,
 * as the stack's timer's may be.
 */
export function untilAsked(user: { accessToken: string }, id: string, isDone: (job: Job) => boolean): Promise<Job> {
  return until(user, id, isDone, () => makeStale(id));
}

/** What nobody but the operator sees of a job. */
export async function workOf(id: string) {
  const [work] = await sql<{
    job_id: string | null;
    result_url: string | null;
    file_error: string | null;
    is_file_due: boolean;
    copy_attempts: number;
    misses: number;
  }>(
    `select job_id, result_url, file_error, is_file_due, copy_attempts, misses from private.video_job_work
     where video_job_id = $1`,
    [id],
  );
  if (!work) throw new Error(`no work of job ${id}`);
  return work;
}

/** The address that the provider was given for a job. */
export async function webhookOf(id: string): Promise<string> {
  const [row] = await sql<{ token: string }>('select private.video_token($1) as token', [id]);
  return `${env.FUNCTIONS_URL}/video-webhook/${id}/${row?.token}`;
}

/** A task at the simulator. */
export interface Task {
  id: string;
  key: string;
  fetches: number;
  webhook: string | null;
  status: string;
  mode: string;
  model: string;
  seconds: number;
  resolution: string | null;
  deliveries: unknown;
}

/** The simulator's tasks of a directive's `key`. */
export async function tasksOf(key: string): Promise<Task[]> {
  const response = await fetch(`${urls.simulator}/__simulator/videos?key=${key}`);
  return ((await response.json()) as { videos: Task[] }).videos;
}

/** The provider's id of a job's task, which clients do not see; null until it is known. */
export const taskIdOf = async ({ id }: { id: string }) => (await workOf(id)).job_id;

/** Moves a job's task by hand and has its webhooks delivered. */
export async function moveTask(job: Job, move: { status?: string; progress?: number; webhooks?: number }) {
  const response = await fetch(`${urls.simulator}/__simulator/videos/${await taskIdOf(job)}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(move),
  });
  if (!response.ok) throw new Error(`the task could not be moved: ${await response.text()}`);
}

/** All that is booked of a maker: wallet, ledger, log rows. */
export async function ledgerOf(user: { id: string }) {
  const ledger = await sql<{ entry: string; amount: number }>(
    `select transaction_type || ' ' || reason as entry, amount::float8 from public.credit_transactions
     where workspace_id = $1 order by id`,
    [user.id],
  );
  const logs = await logsOf(user);
  return {
    wallet: await walletOf(user),
    ledger: ledger.map(({ entry, amount }) => `${entry} ${amount}`),
    logs: logs.map(({ status, error_code, credits_charged, scene }) => [
      scene,
      status,
      error_code,
      Number(credits_charged),
    ]),
  };
}
