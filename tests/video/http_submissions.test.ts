/** What a submission may come to, what may be sent, and that a repeated request is the same job. */
import { randomUUID } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { seenBySimulator } from '../ai/helpers.ts';
import { sql } from '../support/stack.ts';
import {
  call,
  isOver,
  isStored,
  ledgerOf,
  makeStale,
  newMaker,
  newVideoModel,
  simulating,
  taskIdOf,
  tasksOf,
  until,
  untilAsked,
  workOf,
} from './http_helpers.ts';

const REFUNDED = ['credit signup 3', 'credit purchase 100', 'debit generation -20', 'refund refund 20'];

describe.concurrent('a provider that', () => {
  test.each([
    ['blames the request (400)', { error: 400 }, 400, 'invalid_request', 'The video provider refused'],
    ['blames the request (422)', { error: 422 }, 400, 'invalid_request', 'The video provider refused'],
    ['does not know our key (401)', { error: 401 }, 502, 'upstream_error', 'The video provider failed'],
    ['has too much to do (429)', { error: 429 }, 502, 'upstream_error', 'The video provider failed'],
    ['fails (500)', { error: 500 }, 502, 'upstream_error', 'The video provider failed'],
    ['says failed with 200', { fail: 'at_once' }, 502, 'upstream_error', 'The video provider failed'],
  ])('%s: the job is failed and refunded', async (_, directive, status, code, words) => {
    const maker = await newMaker();
    const model = await newVideoModel();
    const answer = await call(maker, 'POST', '', {
      body: { model, prompt: simulating({ ...directive, webhooks: 0 }) },
    });
    expect(answer).toMatchObject({ status, error: { code } });
    expect(answer.error.message).toContain(words);
    const id = answer.headers.get('x-video-job-id');
    const { job } = await call(maker, 'GET', `/${id}`);
    expect(job).toMatchObject({ status: 'failed', error_code: code, credits: 0 });
    expect(JSON.stringify([answer.error, job.error_message])).not.toContain('Simulated');
    const { wallet, ledger, logs } = await ledgerOf(maker);
    expect(wallet).toEqual({ balance: 103, spent: 0, held: 0, drift: 0 });
    expect(ledger).toEqual(REFUNDED);
    expect(logs).toEqual([['video_generation', 'failed', code, 0]]);
  });

  const UNKNOWN: [string, object][] = [
    ['breaks the connection', { cut_after: 0 }],
    ['answers what is no JSON', { malformed: true }],
  ];

  test.each(UNKNOWN)('%s: the job is pending, and its webhook makes it go on', async (_, directive) => {
    const maker = await newMaker();
    const model = await newVideoModel();
    const prompt = simulating({ ...directive, queue_ms: 500, run_ms: 500 });
    const { status, job } = await call(maker, 'POST', '', { body: { model, prompt } });
    expect([status, job.status, await taskIdOf(job)]).toEqual([202, 'pending', null]);
    expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83 });
    const done = await until(maker, job.id, isStored);
    expect(done.status).toBe('completed');
    expect((await ledgerOf(maker)).ledger).toHaveLength(3);
  });

  test.each([['502', { error: 502 }], ['504', { error: 504 }], ...UNKNOWN.slice(0, 2)])(
    'answers %s and never again: the sweep refunds it at its time limit',
    async (_, directive) => {
      const maker = await newMaker();
      const model = await newVideoModel();
      const prompt = simulating({ ...directive, webhooks: 0 });
      const { status, job } = await call(maker, 'POST', '', { body: { model, prompt } });
      expect([status, job.status]).toEqual([202, 'pending']);
      const [early] = await sql(`select private.end_overdue_video_job($1, now() + interval '20 minutes') as ended`, [
        job.id,
      ]);
      expect(early?.ended).toBe(false);
      await sql(`select private.end_overdue_video_job($1, now() + interval '31 minutes')`, [job.id]);
      expect((await call(maker, 'GET', `/${job.id}`)).job).toMatchObject({
        status: 'failed',
        error_code: 'submission_lost',
      });
      expect((await ledgerOf(maker)).ledger).toEqual(REFUNDED);
    },
  );

  test('loses the task: refunded when it was asked three times', async () => {
    const [maker, model, key] = [await newMaker(), await newVideoModel(), randomUUID()];
    const prompt = simulating({ key, lost: true, webhooks: 0 });
    const { job } = await call(maker, 'POST', '', { body: { model, prompt } });
    expect(job.status).toBe('processing');
    // The stack's timer may be asking at the same time, and two at once count as one: so this may ask more often.
    expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'failed', error_code: 'task_lost' });
    expect(await workOf(job.id)).toMatchObject({ misses: 3 });
    expect((await tasksOf(key))[0]?.fetches).toBeGreaterThanOrEqual(3);
    expect((await ledgerOf(maker)).ledger).toEqual(REFUNDED);
  });

  test.each([
    ['never ends', { hold: 'processing' }],
    ['cannot be asked', { fetch_error: 500 }],
  ])('%s: refunded', async (_, directive) => {
    const maker = await newMaker();
    const model = await newVideoModel();
    const { job } = await call(maker, 'POST', '', {
      body: { model, prompt: simulating({ ...directive, webhooks: 0 }) },
    });
    expect(job.status).toBe('processing');
    await sql(`update public.video_jobs set expires_at = now() - interval '1 second' where id = $1`, [job.id]);
    expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'failed', error_code: 'timed_out' });
    expect((await ledgerOf(maker)).ledger).toEqual(REFUNDED);
  });

  test('is fine by the time its limit has passed: asked once more, and charged', async () => {
    const maker = await newMaker();
    const model = await newVideoModel();
    const prompt = simulating({ queue_ms: 1, run_ms: 1, webhooks: 0 });
    const { job } = await call(maker, 'POST', '', { body: { model, prompt } });
    await sql(`update public.video_jobs set expires_at = now() - interval '1 second' where id = $1`, [job.id]);
    expect(await untilAsked(maker, job.id, isOver)).toMatchObject({ status: 'completed', credits: 20 });
  });
});

test('a job that nobody told of is asked for when it is read, once it is time', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const key = randomUUID();
  const { job } = await call(maker, 'POST', '', {
    body: { model, prompt: simulating({ key, hold: 'processing', webhooks: 0 }) },
  });
  await call(maker, 'GET', `/${job.id}`);
  expect(await tasksOf(key)).toMatchObject([{ fetches: 0 }]);
  await makeStale(job.id);
  await Promise.all(Array.from({ length: 5 }, () => call(maker, 'GET', `/${job.id}`)));
  // The scheduled job may have been the one to ask, and be at it still.
  await vi.waitFor(async () => expect(await tasksOf(key)).toMatchObject([{ fetches: 1 }]), 5_000);
});

describe('Idempotency-Key', () => {
  const send = (maker: Awaited<ReturnType<typeof newMaker>>, body: object, key: string) =>
    call(maker, 'POST', '', { body, headers: { 'idempotency-key': key } });

  test('a repeated request is the same job, paid once and submitted once', async () => {
    const maker = await newMaker();
    const [model, key] = [await newVideoModel(), randomUUID()];
    const body = { model, prompt: simulating({ key, hold: 'processing' }) };
    const answers = await Promise.all(Array.from({ length: 4 }, () => send(maker, body, key)));
    expect(new Set(answers.map(({ job }) => job.id)).size).toBe(1);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
    expect((await seenBySimulator(key)).count).toBe(1);
    expect((await ledgerOf(maker)).wallet).toMatchObject({ balance: 83 });
    const reordered = { prompt: body.prompt, model, duration: null };
    expect((await send(maker, reordered, key)).status).toBe(200);
  });

  test('with another request it is a conflict', async () => {
    const maker = await newMaker();
    const [model, key] = [await newVideoModel(), randomUUID()];
    await send(maker, { model, prompt: 'one' }, key);
    for (const body of [
      { model, prompt: 'two' },
      { model, prompt: 'one', image: 'https://example.com/a.png' },
    ]) {
      expect(await send(maker, body, key)).toMatchObject({ status: 409, error: { code: 'idempotency_conflict' } });
    }
    expect(await send(maker, { model, prompt: 'one' }, 'x'.repeat(256))).toMatchObject({
      status: 400,
      error: { param: 'idempotency-key' },
    });
  });
});

describe('what may not be sent', () => {
  const model = newVideoModel({ max_prompt_characters: 100 });
  const bare = newVideoModel({ takes_image: false, resolutions: [], aspect_ratios: [] });
  const maker = newMaker();
  const PIXEL = `data:image/png;base64,${Buffer.from('89504e470d0a1a0a', 'hex').toString('base64')}`;
  const GIF = `data:image/png;base64,${Buffer.from('GIF89a').toString('base64')}`;
  const LARGE = `data:image/png;base64,${Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(10_500_000)]).toString('base64')}`;

  test.each<[string, object | string, string | null]>([
    ['no JSON', '{', null],
    ['no object', '[]', null],
    ['no model', { model: undefined }, 'model'],
    ['a number as model', { model: 5 }, 'model'],
    ['no prompt', { prompt: undefined }, 'prompt'],
    ['an empty prompt', { prompt: '' }, 'prompt'],
    ['a prompt of spaces', { prompt: '   ' }, 'prompt'],
    ['a prompt that is too long', { prompt: 'x'.repeat(101) }, 'prompt'],
    ['a prompt that is a list', { prompt: ['x'] }, 'prompt'],
    ['a member that is none', { aspect: '16:9' }, 'aspect'],
    ['seconds that the model has not', { duration: 5 }, 'duration'],
    ['seconds as text', { duration: '8' }, 'duration'],
    ['seconds below one', { duration: 0 }, 'duration'],
    ['endless seconds', { duration: 1e308 }, 'duration'],
    ['a resolution that the model has not', { resolution: '4k' }, 'resolution'],
    ['a resolution with a NUL', { resolution: '720p\u0000' }, 'resolution'],
    ['a ratio that the model has not', { aspect_ratio: '1:1' }, 'aspect_ratio'],
    ['a negative prompt that is too long', { negative_prompt: 'x'.repeat(101) }, 'negative_prompt'],
    ['an image over http', { image: 'http://example.com/a.png' }, 'image'],
    ['an image that is no URL', { image: 'a.png' }, 'image'],
    ['an image on this machine', { image: 'https://localhost/a.png' }, 'image'],
    ['an image at an inner address', { image: 'https://169.254.169.254/latest' }, 'image'],
    ['an image at an inner address, as a number', { image: 'https://2130706433/' }, 'image'],
    ['an image at an inner address of IPv6', { image: 'https://[::ffff:10.0.0.1]/' }, 'image'],
    ['an image with a password', { image: 'https://me:secret@example.com/a.png' }, 'image'],
    ['an address that is too long', { image: `https://example.com/${'x'.repeat(2000)}` }, 'image'],
    ['a data URL that is no picture', { image: GIF }, 'image'],
    ['a data URL without base64', { image: 'data:image/png,abc' }, 'image'],
    ['a data URL with broken base64', { image: 'data:image/png;base64,###' }, 'image'],
    ['a picture that is too large', { image: LARGE }, 'image'],
  ])('%s', async (_, body, param) => {
    const sent = typeof body === 'string' ? body : { model: await model, prompt: 'A boat', ...body };
    const answer = await call(await maker, 'POST', '', { body: sent });
    expect(answer).toMatchObject({ status: 400, error: { code: 'invalid_request', param } });
  });

  test.each([
    ['image', { image: PIXEL }],
    ['resolution', { resolution: '720p' }],
    ['aspect_ratio', { aspect_ratio: '16:9' }],
  ])('%s to a model that takes none', async (param, body) => {
    const answer = await call(await maker, 'POST', '', { body: { model: await bare, prompt: 'A boat', ...body } });
    expect(answer).toMatchObject({ status: 400, error: { code: 'invalid_request', param } });
  });

  test('forms that are none, or have a member twice or a file elsewhere', async () => {
    const broken = { 'content-type': 'multipart/form-data; boundary=x' };
    expect(await call(await maker, 'POST', '', { body: 'no form', headers: broken })).toMatchObject({ status: 400 });
    const whole = ['--x', 'content-disposition: form-data; name="prompt"', '', 'A boat', '--x--', ''].join('\r\n');
    for (const end of ['--x--\r\n', '--\r\n', 'x--\r\n', '\r\n--x--\r\n']) {
      const cut = whole.slice(0, whole.lastIndexOf(end));
      const { status, error } = await call(await maker, 'POST', '', { body: cut, headers: broken });
      expect([status, error.param, error.message]).toEqual([400, null, expect.stringContaining('cut off')]);
    }
    const quoted = { 'content-type': 'multipart/form-data; boundary="x"; charset=utf-8' };
    for (const headers of [broken, quoted]) {
      expect((await call(await maker, 'POST', '', { body: whole, headers })).error.param).toBe('model');
    }
    const twice = new FormData();
    for (const text of ['a', 'b']) twice.append('prompt', text);
    expect(await call(await maker, 'POST', '', { body: twice })).toMatchObject({
      status: 400,
      error: { param: 'prompt' },
    });
    const file = new FormData();
    file.set('prompt', new Blob(['x']), 'x');
    expect(await call(await maker, 'POST', '', { body: file })).toMatchObject({
      status: 400,
      error: { param: 'prompt' },
    });
    const picture = new FormData();
    picture.set('image', new Blob(['GIF89a']), 'a.png');
    expect(await call(await maker, 'POST', '', { body: picture })).toMatchObject({
      status: 400,
      error: { param: 'image' },
    });
    const unknown = new FormData();
    for (const [name, text] of Object.entries({ model: 'm', prompt: 'p', __proto: 'x' })) unknown.set(name, text);
    expect(await call(await maker, 'POST', '', { body: unknown })).toMatchObject({
      status: 400,
      error: { param: '__proto' },
    });
  });

  test('headers', async () => {
    const body = { model: await model, prompt: 'A boat' };
    const headers = { 'x-workspace-id': 'mine' };
    expect(await call(await maker, 'POST', '', { body, headers })).toMatchObject({
      status: 400,
      error: { param: 'x-workspace-id' },
    });
  });

  test('nothing of all that was paid for', async () => {
    expect((await ledgerOf(await maker)).wallet).toMatchObject({ balance: 103, drift: 0 });
  });

  test('models that are none, or make no videos; nobody; and paths that are none', async () => {
    const someone = await maker;
    const none = await call(someone, 'POST', '', { body: { model: 'none', prompt: 'A boat' } });
    expect(none).toMatchObject({ status: 404, error: { code: 'not_found', param: 'model' } });
    expect((await call(undefined, 'POST', '', { body: { model: await model, prompt: 'A boat' } })).status).toBe(401);
    for (const id of ['none', randomUUID(), '%00', '../sync']) {
      expect((await call(someone, 'GET', `/${id}`)).status, id).toBe(404);
    }
    expect((await call(someone, 'PUT', '', { body: {} })).status).toBe(404);
  });
});

test('no more jobs at once than the plan allows, exactly, and credits for each', async () => {
  const maker = await newMaker('basic');
  const model = await newVideoModel();
  const body = { model, prompt: simulating({ hold: 'processing' }) };
  const answers = await Promise.all(Array.from({ length: 5 }, () => call(maker, 'POST', '', { body })));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 429, 429, 429]);
  const refused = answers.find(({ status }) => status === 429);
  expect(refused?.error.code).toBe('limit_reached');
  expect(refused?.headers.get('retry-after')).not.toBeNull();
  const dear = await newVideoModel({}, { request: 1000 });
  const rich = await newMaker();
  expect(await call(rich, 'POST', '', { body: { model: dear, prompt: 'A boat' } })).toMatchObject({
    status: 402,
    error: { code: 'insufficient_credits' },
  });
});

test('the door takes what a row of a model may hold: the model says what is too much', async () => {
  const maker = await newMaker();
  const model = await newVideoModel();
  const long = await call(maker, 'POST', '', { body: { model, prompt: 'A boat', duration: 3600 } });
  expect([long.status, long.error.param, long.error.message]).toEqual([
    400,
    'duration',
    'duration must be one of [8, 4].',
  ]);
  const wordy = { model: await newVideoModel({ max_prompt_characters: 20_000 }), prompt: 'A boat' };
  const negative_prompt = 'x'.repeat(20_000);
  expect((await call(maker, 'POST', '', { body: { ...wordy, negative_prompt } })).status).toBe(201);
});
