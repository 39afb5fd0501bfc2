/** The pure parts of function `video`: what providers say, which addresses files come from, what is read of requests. */
import { describe, expect, test } from 'vitest';
import type { VideoAnswer } from '../../supabase/functions/_shared/video/adapter.ts';
import { limitFile } from '../../supabase/functions/_shared/video/byte-limit.ts';
import { FileRefusedError, openFile, type Tools } from '../../supabase/functions/_shared/video/guarded-fetch.ts';
import {
  findRule,
  isPublicAddress,
  isPublicName,
  readHostRules,
  ruleOfUrl,
} from '../../supabase/functions/_shared/video/hosts.ts';
import { readOpenAiTask, sizeOf } from '../../supabase/functions/_shared/video/openai.ts';
import {
  baseUrlOf,
  boundedAnswer,
  failureOf,
  readFileUrl,
  readProgress,
  readTaskId,
} from '../../supabase/functions/_shared/video/provider.ts';
import { readUnifiedTask } from '../../supabase/functions/_shared/video/unified.ts';
import { imageTypeOf } from '../../supabase/functions/video/image-type.ts';

const FILE = 'https://file.302.ai/a.mp4';

describe('the words for a state, for every provider', () => {
  const contentOf = (id: string) => `https://gate.example.com/v1/videos/${id}/content`;
  const WORDS = {
    processing: ['pending', 'queued', 'running', 'submitted', 'processing', 'IN_PROGRESS', 'In Progress', 'NOT_START'],
    completed: ['completed', 'succeeded', 'SUCCESS', 'Completed'],
    failed: ['failed', 'error', 'expired', 'Rejected', 'incomplete'],
    canceled: ['canceled', 'CANCELLED'],
  };
  const tasksOf = (word: string) => [
    readUnifiedTask({ task_id: 't1', status: word, video_url: FILE })?.task,
    readOpenAiTask({ id: 't1', status: word }, contentOf)?.task,
  ];

  test.each(Object.entries(WORDS))('%s', (status, words) => {
    for (const task of words.flatMap(tasksOf)) {
      expect(task?.status).toBe(status);
      expect(task?.unknown_status).toBeUndefined();
    }
    expect(tasksOf('Success')[1]?.result_url).toBe(contentOf('t1'));
  });

  test('a word that nobody knows is told, and counts as under way', () => {
    for (const task of tasksOf('Something New')) {
      expect(task).toMatchObject({ status: 'processing', unknown_status: 'something_new' });
    }
    for (const task of tasksOf('x'.repeat(1000))) expect(task?.unknown_status).toBe('x'.repeat(40));
  });
});

describe("302.AI's words", () => {
  const taskOf = (body: object, jobId?: string) =>
    (readUnifiedTask(body as Record<string, unknown>, jobId) as VideoAnswer | undefined)?.task;

  test('an id may be a number, and a task lie within `data`', () => {
    expect(taskOf({ task_id: 301504317665393, status: 'pending' })?.job_id).toBe('301504317665393');
    expect(taskOf({ code: 0, data: { task_id: 't1', status: 'running', progress: '45%' } })).toEqual({
      job_id: 't1',
      status: 'processing',
      progress: 45,
    });
  });

  test('of an address that no file can be fetched from nothing is kept', () => {
    for (const video_url of [undefined, null, '', 'javascript:alert(1)', 'file:///etc/passwd', 5]) {
      const task = taskOf({ task_id: 't1', status: 'completed', video_url });
      expect(task).toEqual({ job_id: 't1', status: 'completed', progress: 100 });
    }
  });

  test('an answer about another task, or none at all, is no answer', () => {
    expect(taskOf({ task_id: 't2', status: 'completed', video_url: FILE }, 't1')).toBeUndefined();
    expect(taskOf({ status: 'pending' })).toBeUndefined();
    expect(taskOf({ task_id: 't1' })).toBeUndefined();
    expect(taskOf({ task_id: { $ne: 1 }, status: 'pending' })).toBeUndefined();
  });

  test('a task that failed at once needs no id', () => {
    expect(taskOf({ status: 'failed', error: 'no' })).toMatchObject({ status: 'failed', job_id: '' });
  });
});

describe("OpenAI's words", () => {
  const contentOf = (id: string) => `https://gate.example.com/v1/videos/${id}/content`;
  test('of another video it is no answer', () => {
    expect(readOpenAiTask({ id: 'video_2', status: 'completed' }, contentOf, 'video_1')).toBeUndefined();
  });
  test.each([
    ['720p', '16:9', '1280x720'],
    ['720p', '9:16', '720x1280'],
    ['1080p', '1:1', '1080x1080'],
    ['480p', '16:9', '854x480'],
    ['1280x720', '9:16', '1280x720'],
    ['720p', 'wide', undefined],
    [undefined, '16:9', undefined],
  ])('%s at %s is the size %s', (resolution, ratio, size) => expect(sizeOf(resolution, ratio)).toBe(size));
});

describe('what is read of any answer', () => {
  test.each([
    [45, 45],
    ['45', 45],
    ['45.9%', 45],
    [-5, 0],
    [400, 100],
    [Number.NaN, undefined],
    ['soon', undefined],
    [null, undefined],
  ])('progress %s is %s', (value, expected) => expect(readProgress(value)).toBe(expected));

  test.each([
    ['t-1', 't-1'],
    [17, '17'],
    [1.5, undefined],
    ['', undefined],
    ['a/../b', undefined],
    ['a?b', undefined],
    ['a/b', undefined],
    ['.', undefined],
    ['..', undefined],
    ['a..', 'a..'],
    ['x'.repeat(201), undefined],
    [null, undefined],
    [{}, undefined],
  ])('task id %j is %j', (value, expected) => expect(readTaskId(value)).toBe(expected));

  test('addresses of files are http or https', () => {
    expect(readFileUrl(FILE)).toBe(FILE);
    expect(readFileUrl('HTTPS:file.302.ai/a b')).toBe('https://file.302.ai/a%20b');
    expect(readFileUrl(' http://127.0.0.1/\u0000')).toBe('http://127.0.0.1/');
    expect(readFileUrl(`https://file.302.ai/${'\u00e4'.repeat(3000)}`)).toBeUndefined();
    expect(readFileUrl('ftp://file.302.ai/a')).toBeUndefined();
    expect(readFileUrl(`${FILE}?${'x'.repeat(5000)}`)).toBeUndefined();
  });

  test('a failure has a code of ours, and the words of the provider for the operator', () => {
    expect(failureOf({ error: { message: 'out of memory', error_type: 'InternalError' } })).toEqual({
      error_code: 'upstream_error',
      said: 'out of memory',
    });
    expect(failureOf({ error: { code: 'moderation_blocked', message: 'No weapons.' } })).toEqual({
      error_code: 'content_policy_violation',
      said: 'No weapons.',
    });
    expect(failureOf({ error: { code: 'InvalidParameter', message: 'image too small' } })).toEqual({
      error_code: 'invalid_request',
      said: 'image too small',
    });
  });

  test('a long answer is kept by its beginning', () => {
    expect(boundedAnswer({ a: 1 })).toEqual({ a: 1 });
    expect(JSON.stringify(boundedAnswer({ a: 'x'.repeat(100_000) })).length).toBeLessThan(16 * 1024);
  });

  test('where a provider is: its row, else AI_BASE_URL', () => {
    const env = { get: (name: string) => (name === 'AI_BASE_URL' ? 'https://gate.example.com/v1/' : undefined) };
    const row = { base_url: null, provider_base_url: null };
    expect(baseUrlOf({ ...row, api: '302ai' }, env)).toBe('https://gate.example.com');
    expect(baseUrlOf({ ...row, api: 'openai' }, env)).toBe('https://gate.example.com/v1');
    const other = { ...row, provider_base_url: 'https://other.example.com/v1/' };
    expect(baseUrlOf({ ...other, api: 'openai' }, env)).toBe('https://other.example.com/v1');
    expect(baseUrlOf({ ...other, api: '302ai' }, env)).toBe('https://other.example.com');
    expect(baseUrlOf({ ...other, api: '302ai', base_url: 'https://video.example.com/x/' }, env)).toBe(
      'https://video.example.com/x',
    );
    expect(() => baseUrlOf({ ...row, api: '302ai' }, { get: () => undefined })).toThrow('AI_BASE_URL is not set');
  });
});

describe('hosts of files', () => {
  const rules = readHostRules(
    [
      'file.302.ai',
      '*.cdn.example.com',
      'files.example.com:8443',
      '127.0.0.1:9000',
      '[::1]',
      'AI_BASE_URL',
      'no host',
      '*',
    ],
    'http://simulator:5000/v1',
  );
  const isAllowed = (address: string) => findRule(new URL(address), rules) !== undefined;

  test.each([
    'https://file.302.ai/a.mp4',
    'https://FILE.302.AI/a.mp4',
    'https://file.302.ai./a.mp4',
    'https://a.cdn.example.com/',
    'https://a.b.cdn.example.com/',
    'https://files.example.com:8443/',
    'http://127.0.0.1:9000/',
    'http://2130706433:9000/',
    'http://0x7f.1:9000/',
    'http://0177.0.0.1:9000/',
    'https://[::1]/',
    'http://[0:0:0:0:0:0:0:1]/',
    'http://simulator:5000/files/a.mp4',
  ])('%s is allowed', (address) => expect(isAllowed(address)).toBe(true));

  test.each([
    'http://file.302.ai/a.mp4',
    'https://file.302.ai:8443/',
    'https://evil.file.302.ai/',
    'https://file.302.ai.evil.com/',
    'https://evilfile.302.ai/',
    'https://cdn.example.com/',
    'https://evilcdn.example.com/',
    'https://user:pass@file.302.ai/',
    'https://file.302.ai@evil.com/',
    'https://files.example.com/',
    'http://127.0.0.1/',
    'http://127.0.0.1:9001/',
    'http://127.0.0.2:9000/',
    'http://localhost:9000/',
    'http://[::ffff:127.0.0.1]:9000/',
    'http://169.254.169.254/latest/meta-data',
    'http://simulator:5001/',
    'https://anything.else/',
  ])('%s is not', (address) => expect(isAllowed(address)).toBe(false));

  test('a wildcard of numbers matches no IP address', () => {
    const odd = readHostRules(['*.0.0.1', '*.1'], 'https://x.example.com');
    expect(findRule(new URL('https://127.0.0.1/'), odd)).toBeUndefined();
  });

  test('the host of AI_BASE_URL does without TLS only where AI_BASE_URL does', () => {
    const own = [ruleOfUrl(new URL('https://gate.example.com/v1'))];
    expect(findRule(new URL('https://gate.example.com/f'), own)).toBeDefined();
    expect(findRule(new URL('http://gate.example.com/f'), own)).toBeUndefined();
  });
});

describe('addresses', () => {
  test.each([
    ...[
      '0.0.0.0',
      '10.0.0.1',
      '100.64.0.1',
      '100.127.255.255',
      '127.0.0.1',
      '169.254.169.254',
      '172.16.0.1',
      '172.31.255.255',
    ],
    ...[
      '192.0.0.1',
      '192.0.2.1',
      '192.88.99.1',
      '192.168.1.1',
      '198.18.0.1',
      '198.19.255.255',
      '198.51.100.1',
      '203.0.113.1',
    ],
    ...['224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...[
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:0a00:1',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      'fc00::1',
      'fd12::1',
    ],
    ...['fe80::1', 'fe80::1%eth0', 'ff02::1', '2001::1', '2001:db8::1', '2002:7f00:1::', '3fff::1', '100::1'],
    ...['not an address', '', '1.2.3', '999.1.1.1'],
  ])('%s is an inner one', (address) => expect(isPublicAddress(address)).toBe(false));

  test.each([
    ...[
      '1.1.1.1',
      '8.8.8.8',
      '100.63.255.255',
      '100.128.0.1',
      '172.15.0.1',
      '172.32.0.1',
      '192.0.1.1',
      '192.167.1.1',
      '223.255.255.255',
    ],
    ...['2606:4700::1111', '2001:4860:4860::8888', '2a00:1450::1', '::ffff:8.8.8.8'],
  ])('%s is a public one', (address) => expect(isPublicAddress(address)).toBe(true));

  test.each([
    ['example.com', true],
    ['localhost', false],
    ['a.localhost', false],
    ['db.internal', false],
    ['printer.local', false],
    ['intranet', false],
    ['127.0.0.1', false],
    ['[::1]', false],
    ['[2606:4700::1111]', true],
    ['8.8.8.8', true],
    ['example.com.', true],
    ['example.com..', false],
    ['localhost.', false],
    ['localhost..', false],
    ['127.0.0.1..', false],
    ['a..internal', false],
  ])('the name %s may be public: %s', (name, expected) => expect(isPublicName(name)).toBe(expected));
});

describe('opening a file', () => {
  const rules = readHostRules(['*.example.com', '127.0.0.1:9000'], 'https://x.example.org');
  type Seen = { url: string; authorization: string | null };

  /** Answers by address; a name has the addresses given, else a public one. */
  function toolsWith(answers: Record<string, Response>, addresses: Record<string, string[]> = {}) {
    const seen: Seen[] = [];
    const tools: Tools = {
      fetch: async (url, init) => {
        seen.push({ url: url.href, authorization: new Headers(init.headers).get('authorization') });
        return answers[url.href] ?? new Response('none', { status: 404 });
      },
      resolve: async (name) => addresses[name] ?? ['93.184.216.34'],
    };
    return { tools, seen };
  }
  const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });

  test('follows redirects between hosts that are listed', async () => {
    const { tools, seen } = toolsWith({
      'https://a.example.com/1': redirect('/2'),
      'https://a.example.com/2': redirect('https://b.example.com/3'),
      'https://b.example.com/3': new Response('film'),
    });
    const response = await openFile('https://a.example.com/1', rules, undefined, tools);
    expect(await response.text()).toBe('film');
    expect(seen).toHaveLength(3);
  });

  test.each([
    'https://elsewhere.com/',
    'http://169.254.169.254/latest/meta-data',
    'http://a.example.com/',
    'http://127.0.0.1:9001/',
    'file:///etc/passwd',
    'https://[::ffff:169.254.169.254]/',
    'http://[broken',
  ])('does not follow one to %s', async (location) => {
    const { tools, seen } = toolsWith({ 'https://a.example.com/1': redirect(location) });
    await expect(openFile('https://a.example.com/1', rules, undefined, tools)).rejects.toThrow(FileRefusedError);
    expect(seen).toHaveLength(1);
  });

  test('no more than five', async () => {
    const { tools, seen } = toolsWith({ 'https://a.example.com/1': redirect('/1') });
    await expect(openFile('https://a.example.com/1', rules, undefined, tools)).rejects.toThrow('more than 5 redirects');
    expect(seen).toHaveLength(6);
  });

  test.each([['10.0.0.5'], ['93.184.216.34', '10.0.0.5'], ['::1'], ['::ffff:10.0.0.5']])(
    'refuses a listed name that is %s',
    async (...addresses) => {
      const { tools, seen } = toolsWith({}, { 'a.example.com': addresses });
      await expect(openFile('https://a.example.com/1', rules, undefined, tools)).rejects.toThrow(FileRefusedError);
      expect(seen).toHaveLength(0);
    },
  );

  test('a name without an address may have one later', async () => {
    const { tools } = toolsWith({}, { 'a.example.com': [] });
    const opening = openFile('https://a.example.com/1', rules, undefined, tools);
    await expect(opening).rejects.not.toThrow(FileRefusedError);
  });

  test('the inner address that the operator named is fetched from', async () => {
    const { tools } = toolsWith({ 'http://127.0.0.1:9000/f': new Response('film') });
    expect((await openFile('http://127.0.0.1:9000/f', rules, undefined, tools)).status).toBe(200);
  });

  test("the key goes to the provider's own origin and nowhere else", async () => {
    const { tools, seen } = toolsWith({
      'https://a.example.com/content': redirect('https://b.example.com/f'),
      'https://b.example.com/f': new Response('film'),
    });
    await openFile('https://a.example.com/content', rules, { origin: 'https://a.example.com', key: 'sk-1' }, tools);
    expect(seen.map(({ authorization }) => authorization)).toEqual(['Bearer sk-1', null]);
  });
});

describe('a file on its way', () => {
  const limited = (pieces: (Uint8Array | Promise<never>)[], most: number, silence = 1000) => {
    let asked = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const piece = await pieces[asked];
          asked += 1;
          if (piece) controller.enqueue(piece);
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    return { file: limitFile(new Response(body), most, silence, Date.now() + 60_000), asked: () => asked };
  };
  const read = async (stream: ReadableStream<Uint8Array>) => (await new Response(stream).arrayBuffer()).byteLength;

  test('passes whole up to the limit', async () => {
    const { file } = limited([new Uint8Array(5), new Uint8Array(5)], 10);
    expect(await read(file.stream)).toBe(10);
    expect(file.failure()).toBeUndefined();
  });
  test('breaks above it, and reads no further', async () => {
    const { file, asked } = limited([new Uint8Array(5), new Uint8Array(6), new Uint8Array(5), new Uint8Array(5)], 10);
    await expect(read(file.stream)).rejects.toThrow();
    expect(file.failure()).toBeInstanceOf(FileRefusedError);
    expect(asked()).toBe(2);
  });
  test('is not read ahead of who takes it', async () => {
    const { file, asked } = limited([new Uint8Array(5), new Uint8Array(5)], 10);
    const reader = file.stream.getReader();
    const aMoment = () => new Promise((resolve) => setTimeout(resolve, 5));
    await aMoment();
    expect(asked()).toBe(0);
    await reader.read();
    await aMoment();
    expect(asked()).toBe(1);
  });
  test('breaks where nothing comes, and where nothing came', async () => {
    const silent = limited([new Promise<never>(() => undefined)], 10, 10).file;
    await expect(read(silent.stream)).rejects.toThrow();
    expect(silent.failure()?.message).toBe('the file comes too slowly');
    const empty = limited([], 10).file;
    await expect(read(empty.stream)).rejects.toThrow();
    expect(empty.failure()).not.toBeInstanceOf(FileRefusedError);
  });
});

test('pictures are known by their first bytes', () => {
  const of = (...bytes: number[]) => imageTypeOf(Uint8Array.from(bytes));
  expect(of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)).toBe('image/png');
  expect(of(0xff, 0xd8, 0xff, 0xe0)).toBe('image/jpeg');
  expect(of(0x52, 0x49, 0x46, 0x46, 1, 2, 3, 4, 0x57, 0x45, 0x42, 0x50)).toBe('image/webp');
  expect(of(0x47, 0x49, 0x46, 0x38)).toBeUndefined();
  expect(of()).toBeUndefined();
});
