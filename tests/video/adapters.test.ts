/** Each adapter against a provider that answers in every way, and the moderation against one that does. */
import { describe, expect, test, vi } from 'vitest';
import { ApiError } from '../../supabase/functions/_shared/errors.ts';
import { type Moderation, moderate, PromptDeniedError } from '../../supabase/functions/_shared/moderation.ts';
import { OutcomeUnknownError } from '../../supabase/functions/_shared/video/adapter.ts';
import { adapterTo } from '../../supabase/functions/_shared/video/adapters.ts';
import type { VideoApi } from '../../supabase/functions/_shared/video/provider.ts';
import { useStub } from './provider_stub.ts';

const KEY = 'sk-secret-of-the-project';
const TOKEN = 'f'.repeat(64);
const stub = useStub();
const env = { get: (name: string) => (name === 'AI_API_KEY' ? KEY : undefined) };

const adapter = (api: VideoApi, timeout_ms = 2000) =>
  adapterTo(
    {
      provider: 'p',
      api,
      base_url: stub.url,
      provider_base_url: null,
      api_key_env: 'AI_API_KEY',
      timeout_ms,
      webhook_token: TOKEN,
    },
    env,
  );

const REQUEST = {
  model: 'google-veo3.1',
  prompt: 'a boat',
  duration: 8,
  resolution: '720p',
  aspect_ratio: '16:9',
  webhookUrl: `https://x.example.com/functions/v1/video-webhook/1/${TOKEN}`,
};
const submitters = [
  ['302ai', { task_id: 't1', status: 'pending' }],
  ['openai', { id: 't1', status: 'queued' }],
] as const;

test('302.AI is asked with its key, the job as it is, and the webhook in the address', async () => {
  stub.answers({ body: { task_id: 17, status: 'pending' } });
  const { task } = await adapter('302ai').submit({ ...REQUEST, image: 'https://example.com/a.png' });
  expect(task).toEqual({ job_id: '17', status: 'processing' });
  const [asked] = stub.asked;
  expect(asked?.method).toBe('POST');
  expect(asked?.path).toBe(`/302/v2/video/create?webhook=${encodeURIComponent(REQUEST.webhookUrl)}`);
  expect(asked?.headers.authorization).toBe(`Bearer ${KEY}`);
  const { webhookUrl, ...sent } = REQUEST;
  expect(JSON.parse(asked?.body ?? '')).toEqual({ ...sent, image: 'https://example.com/a.png' });
});

test('OpenAI is sent a form, its size made of resolution and ratio, and the picture as a file', async () => {
  stub.answers({ body: { id: 'video_1', status: 'queued' } });
  const { task } = await adapter('openai').submit({ ...REQUEST, image: `data:image/png;base64,${btoa('PICTURE')}` });
  expect(task).toMatchObject({ job_id: 'video_1', status: 'processing' });
  const [asked] = stub.asked;
  expect(asked?.path).toBe('/videos');
  expect(asked?.headers['content-type']).toMatch(/^multipart\/form-data/);
  for (const part of ['google-veo3.1', 'a boat', '1280x720', 'name="seconds"\r\n\r\n8', 'image/png', 'PICTURE']) {
    expect(asked?.body).toContain(part);
  }
  expect(asked?.body).not.toContain(TOKEN);
});

describe.each(submitters)('a submission to %s', (api, pending) => {
  const submit = (timeout?: number) => adapter(api, timeout).submit(REQUEST);

  test.each([400, 413, 422])('that it refuses with %i tells the words, without key and token', async (status) => {
    stub.answers({ status, body: { error: { message: `bad prompt ${KEY} ${TOKEN}` } } });
    const error = await submit().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', said: 'bad prompt [hidden] [hidden]' });
    expect(error.message).not.toContain('bad prompt');
  });

  test.each([401, 402, 403, 404, 429, 500, 503])('that it refuses with %i tells nothing', async (status) => {
    stub.answers({ status, body: { error: { message: 'the operator owes us money' } } });
    const error = await submit().catch((thrown) => thrown);
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.message).not.toContain('money');
  });

  test.each([
    ['a broken connection', 'break'],
    ...[408, 499, 502, 520, 522, 524].map((status) => [String(status), { status }] as const),
    ['504', { status: 504, body: 'gateway timeout' }],
    ['a 200 that is no JSON', { body: '<html>' }],
    ['a 200 that names no task', { body: { ok: true } }],
    ['a 200 that is too long', { body: { ...pending, more: 'x'.repeat(300 * 1024) } }],
  ] as const)('whose answer is %s may have come through', async (_, answer) => {
    stub.answers(answer);
    await expect(submit()).rejects.toThrow(OutcomeUnknownError);
    expect(stub.asked).toHaveLength(1);
  });

  test('that is not answered in time may have come through', async () => {
    stub.answers('hang');
    await expect(submit(50)).rejects.toThrow(OutcomeUnknownError);
  });

  test('is not sent on to where a redirect points, with the key', async () => {
    stub.answers({ status: 307, headers: { location: `${stub.url}/elsewhere` } });
    await expect(submit()).rejects.toThrow(ApiError);
    expect(stub.asked).toHaveLength(1);
  });

  test('keeps the answer without key and token', async () => {
    stub.answers({ body: { ...pending, req: { webhook: REQUEST.webhookUrl }, echo: KEY } });
    const { answer } = await submit();
    expect(JSON.stringify(answer)).not.toMatch(new RegExp(`${TOKEN}|${KEY}`));
  });

  test('keeps nothing that cannot be stored, nor secrets that are written in escapes', async () => {
    const escaped = `\\u${KEY.charCodeAt(0).toString(16).padStart(4, '0')}${KEY.slice(1)}`;
    const body = JSON.stringify({ ...pending, note: 'NOTE', NAME: 1 }).replace('NOTE', `a\\u0000b\\ud800c ${escaped}`);
    stub.answers({ body: body.replace('NAME', 'n\\u0000') });
    expect((await submit()).answer).toEqual({ ...pending, note: 'a\uFFFDb\uFFFDc [hidden]', 'n\uFFFD': 1 });
    stub.answers({ status: 400, body: `{"error":{"message":"a\\u0000 ${escaped}"}}` });
    await expect(submit()).rejects.toMatchObject({ said: 'a\uFFFD [hidden]' });
    stub.answers({ status: 400, body: { error: { message: `${'x'.repeat(999)}\u{1F6A2}` } } });
    await expect(submit()).rejects.toMatchObject({ said: `${'x'.repeat(999)}\uFFFD` });
  });

  test('keeps of an answer of many levels the upper ones', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    stub.answers({
      body: JSON.stringify({ ...pending, deep: 1 })
        .replace('1}', `${deep}}`)
        .replace(':1,', `:${deep},`),
    });
    const { task, answer } = await submit();
    expect(task.job_id).toBe('t1');
    expect(JSON.stringify(answer)).toContain('[{"truncated":true}]');
    expect(JSON.stringify(answer).length).toBeLessThan(1000);
  });

  test('without a key set is refused, not sent', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const none = {
      provider: 'p',
      api,
      base_url: stub.url,
      provider_base_url: null,
      api_key_env: 'AI_NONE',
      timeout_ms: 50,
      webhook_token: TOKEN,
    };
    await expect(adapterTo(none, env).submit(REQUEST)).rejects.toMatchObject({ code: 'upstream_error' });
    expect(stub.asked).toHaveLength(0);
  });
});

describe.each(submitters)('a look at a task of %s', (api, pending) => {
  test('that it does not know', async () => {
    stub.answers({ status: 404, body: { message: 'no such task' } });
    expect(await adapter(api).fetch('t1')).toBe('missing');
  });
  test('that is under way', async () => {
    stub.answers({ body: { ...pending, progress: 30 } });
    expect(await adapter(api).fetch('t1')).toMatchObject({
      task: { job_id: 't1', status: 'processing', progress: 30 },
    });
    expect(stub.asked[0]?.path).toBe(api === '302ai' ? '/302/v2/video/fetch/t1' : '/videos/t1');
  });
  test('that is answered with another one', async () => {
    stub.answers({ body: { ...pending, task_id: 'other', id: 'other' } });
    await expect(adapter(api).fetch('t1')).rejects.toThrow(OutcomeUnknownError);
  });
  test('whose id is no path', async () => {
    stub.answers({ status: 404 });
    await adapter(api).fetch('../../secrets?x=1');
    expect(stub.asked[0]?.path).toMatch(/\.\.%2F\.\.%2Fsecrets%3Fx%3D1$/);
  });
});

describe('a cancellation', () => {
  test('is nothing that 302.AI has', async () => {
    expect(await adapter('302ai').cancel('t1')).toBe('unsupported');
    expect(stub.asked).toHaveLength(0);
  });
  test.each([
    [200, 'canceled'],
    [404, 'too_late'],
    [409, 'too_late'],
    [405, 'unsupported'],
  ])('that OpenAI answers with %i is %s', async (status, expected) => {
    stub.answers({ body: { id: 'v1', status: 'in_progress' } }, { status });
    expect(await adapter('openai').cancel('v1')).toBe(expected);
    expect(stub.asked.map(({ method }) => method)).toEqual(['GET', 'DELETE']);
  });
  test.each([
    ['says that nothing was deleted', { status: 200, body: { id: 'v1', deleted: false } }, 'too_late'],
    ['has no body', { status: 204, body: '' }, 'canceled'],
  ] as const)('whose answer %s is %s', async (_, answer, expected) => {
    stub.answers({ body: { id: 'v1', status: 'in_progress' } }, answer);
    expect(await adapter('openai').cancel('v1')).toBe(expected);
  });
  test.each(['completed', 'failed'])('of a video that is %s takes nothing away', async (status) => {
    stub.answers({ body: { id: 'v1', status } });
    expect(await adapter('openai').cancel('v1')).toBe('too_late');
    expect(stub.asked.map(({ method }) => method)).toEqual(['GET']);
  });
});

describe('moderation', () => {
  const creem = (name: string) => ({ CREEM_API_KEY: 'creem_test_1', CREEM_API_URL: stub.url })[name];
  const check = (terms: Partial<Moderation> = {}, get = creem) =>
    moderate({ provider: 'creem', flagged: 'block', failed: 'block', ...terms }, 'a boat', 'req_1', { get });
  const decide = (decision: string) => stub.answers({ body: { id: 'm1', object: 'moderation_result', decision } });

  test('asks Creem about the prompt', async () => {
    decide('allow');
    await check();
    expect(stub.asked[0]).toMatchObject({ method: 'POST', path: '/v1/moderation/prompt' });
    expect(stub.asked[0]?.headers['x-api-key']).toBe('creem_test_1');
    expect(JSON.parse(stub.asked[0]?.body ?? '')).toEqual({ prompt: 'a boat', external_id: 'req_1' });
  });
  test('asks nobody where none is set up', async () => {
    await check({ provider: 'none' });
    await moderate(undefined, 'a boat', 'req_1', { get: creem });
    expect(stub.asked).toHaveLength(0);
  });
  test('a denied prompt is refused, whatever the settings', async () => {
    decide('deny');
    await expect(check({ flagged: 'allow', failed: 'allow' })).rejects.toThrow(PromptDeniedError);
  });
  test('what becomes of a flagged one is a setting', async () => {
    decide('flag');
    await expect(check()).rejects.toThrow(PromptDeniedError);
    await check({ flagged: 'allow' });
  });
  test.each([
    ['an error', { status: 500, body: { error: 'x' } }],
    ['a broken connection', 'break'],
    ['words it does not know', { body: { decision: 'maybe' } }],
  ] as const)('what becomes of %s is a setting', async (_, answer) => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    stub.answers(answer);
    await expect(check()).rejects.toMatchObject({ status: 502, code: 'upstream_error' });
    await check({ failed: 'allow' });
  });
  test('without its key it cannot be asked', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    await expect(check({}, () => undefined as never)).rejects.toMatchObject({ code: 'upstream_error' });
  });
});
