/** A file without a copy, passed on from its provider: what a caller or a host sends never tells where it is. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';

// By its path alone: its types are Deno's.
const MODULE = new URL('../../supabase/functions/video/jobs.ts', import.meta.url).pathname;
const HOST = '127.0.0.1:9000';
const FILE = `http://${HOST}/film.mp4`;

const rpc = vi.hoisted(() => vi.fn());
const sign = vi.hoisted(() => vi.fn());
vi.mock('../../supabase/functions/_shared/database.ts', () => ({
  run: async (query: () => Promise<unknown>) => query(),
  database: { rpc, storage: { from: () => ({ createSignedUrl: sign }) } },
}));

let getFile: (http: Request, id: string, until: string, token: string) => Promise<Response>;
beforeAll(async () => {
  ({ getFile } = await import(MODULE));
});
beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const variables: Record<string, string> = { AI_BASE_URL: 'https://gate.example.com/v1', AI_API_KEY: 'sk-1' };
  vi.stubGlobal('Deno', { env: { get: (name: string) => variables[name] } });
  rpc.mockReset();
  sign.mockReset();
});
afterAll(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

interface Asked {
  /** The host's answer; what was sent to it is kept in `sent`. */
  answer?: Response;
  headers?: Record<string, string>;
  method?: string;
  url?: string;
  api?: '302ai' | 'openai';
  storage_path?: string;
  until?: number | string;
  token?: string;
}

let sent: Headers[] = [];

/** Reads a job's file by its link; an error is given as `{ status, code }`. */
async function ask({ answer, headers = {}, method = 'GET', url = FILE, api = '302ai', ...link }: Asked) {
  const { storage_path = null, until = soon(), token = '0'.repeat(64) } = link;
  sent = [];
  vi.stubGlobal('fetch', async (_: URL, init: RequestInit) => {
    sent.push(new Headers(init.headers));
    return answer ?? new Response('film', { headers: VIDEO });
  });
  const id = randomUUID();
  rpc.mockResolvedValue({
    job: { id, storage_path, task: { result_url: url } },
    submission: {
      api,
      result_hosts: [HOST],
      api_key_env: 'AI_API_KEY',
      base_url: null,
      provider_base_url: null,
      max_video_bytes: 1000,
    },
  });
  const http = new Request('http://x/', { method, headers });
  return getFile(http, id, String(until), token).catch(
    ({ status, code, headers }: { status: number; code: string; headers: Record<string, string> }) =>
      Response.json({ code }, { status, headers }),
  );
}

const VIDEO = { 'content-type': 'video/mp4' };
const soon = () => Math.floor(Date.now() / 1000) + 600;
const codeOf = async (response: Response) => [response.status, ((await response.json()) as { code?: string }).code];

test.each([
  ['bytes=0-3', 'bytes=0-3'],
  ['bytes=5-', 'bytes=5-1004'],
  ['bytes=5-5000', 'bytes=5-1004'],
  ['bytes=-4', 'bytes=-4'],
])('the range %s is passed on, of at most what may be copied: %s', async (range, asked) => {
  const part = { ...VIDEO, 'content-range': 'bytes 0-3/10', 'content-length': '4', 'accept-ranges': 'bytes' };
  const answer = await ask({ headers: { range }, answer: new Response('film', { status: 206, headers: part }) });
  expect(sent[0]?.get('range')).toBe(asked);
  expect([answer.status, await answer.text()]).toEqual([206, 'film']);
  expect(Object.fromEntries(answer.headers)).toMatchObject(part);
});

test.each(['bytes=0-1,5-6', 'bytes=3-1', 'bytes=', 'bytes=-', 'bytes=a-b', 'items=0-1', `bytes=0-${'9'.repeat(99)}`])(
  'for the range %s the whole file is asked for',
  async (range) => {
    const answer = await ask({ headers: { range } });
    expect(sent[0]?.get('range')).toBeNull();
    expect([answer.status, await answer.text()]).toEqual([200, 'film']);
  },
);

const MULTIPART = { 'content-type': 'multipart/byteranges; boundary=x' };
const FAULTS: [string, Response][] = [
  ['several parts', new Response('--x', { status: 206, headers: MULTIPART })],
  ['a part that does not say which', new Response('x', { status: 206, headers: VIDEO })],
  ['a page', new Response('<html>', { headers: { 'content-type': 'text/html' } })],
  ['an encoded file', new Response('film', { headers: { ...VIDEO, 'content-encoding': 'gzip' } })],
  ['no type', new Response(new Uint8Array(1))],
  ['a redirect elsewhere', new Response(null, { status: 302, headers: { location: 'https://elsewhere.example.com' } })],
  ['a redirect to a file', new Response(null, { status: 302, headers: { location: 'file:///etc/passwd' } })],
  ['a redirect to no URL', new Response(null, { status: 302, headers: { location: 'http://[' } })],
  ['a redirect without end', new Response(null, { status: 302, headers: { location: '/film.mp4' } })],
  ['an error', new Response('', { status: 500 })],
  ['that it is gone', new Response('', { status: 404 })],
];

test.each(FAULTS)('a host that answers %s: 502, and nobody is told where the file is', async (_, answer) => {
  const given = await ask({ answer, headers: { range: 'bytes=0-3' } });
  expect(given.headers.get('location')).toBeNull();
  expect(await codeOf(given)).toEqual([502, 'upstream_error']);
});

test('a part that nobody asked for cannot be used', async () => {
  const part = { ...VIDEO, 'content-range': 'bytes 0-3/10' };
  const answer = await ask({ answer: new Response('film', { status: 206, headers: part }) });
  expect(await codeOf(answer)).toEqual([502, 'upstream_error']);
});

const ELSEWHERE = 'https://elsewhere.example.com/a.mp4';

test('only a file at a host that is not listed is left to be read there', async () => {
  const told = await ask({ url: ELSEWHERE });
  expect([told.status, told.headers.get('location'), sent]).toEqual([302, ELSEWHERE, []]);
});

test.each<[string, Asked]>([
  ['of a provider whose files lie behind its key', { url: ELSEWHERE, api: 'openai' }],
  ['with a password in its address', { url: 'https://me:secret@elsewhere.example.com/a.mp4' }],
  ['at a listed host, by a protocol that is not fetched', { url: `ftp://${HOST}/a.mp4` }],
])('a file %s is not', async (_, asked) => {
  const answer = await ask(asked);
  expect(answer.headers.get('location')).toBeNull();
  expect(await codeOf(answer)).toEqual([502, 'upstream_error']);
  expect(sent).toEqual([]);
});

test.each([
  ['bytes */10', 'bytes */10'],
  ['bytes 0-3/10', null],
  ['<script>', null],
])('a part that the host has not: 416, of %s', async (said, told) => {
  const refusal = () => new Response('', { status: 416, headers: { 'content-range': said } });
  const answer = await ask({ headers: { range: 'bytes=50-60' }, answer: refusal() });
  expect(answer.headers.get('content-range')).toBe(told);
  expect(await codeOf(answer)).toEqual([416, 'invalid_request']);
  expect((await ask({ answer: refusal() })).status).toBe(502);
});

test('HEAD is answered, and the connection to the host let go', async () => {
  const cancel = vi.fn();
  const answer = new Response(new ReadableStream({ cancel }), { headers: { ...VIDEO, 'content-length': '4' } });
  const head = await ask({ method: 'HEAD', answer });
  expect([head.status, head.body, head.headers.get('content-length')]).toEqual([200, null, '4']);
  expect(cancel).toHaveBeenCalledOnce();
});

test('only headers that are well-formed go along, and those that make it a video', async () => {
  const odd = {
    ...VIDEO,
    'content-length': 'many',
    'accept-ranges': 'x',
    'content-range': 'bytes 0-1/2',
    'x-host': 'a',
  };
  const { headers } = await ask({ answer: new Response('film', { headers: odd }) });
  expect(Object.fromEntries(headers)).toEqual({
    'content-type': 'video/mp4',
    'content-disposition': expect.stringMatching(/^inline; filename="[0-9a-f-]{36}\.mp4"$/),
    'content-security-policy': expect.stringContaining('sandbox'),
    'x-content-type-options': 'nosniff',
  });
});

test('a file is asked for as it is', async () => {
  await ask({});
  expect(sent[0]?.get('accept-encoding')).toBe('identity');
});

test('a file that stops coming is broken off', async () => {
  vi.useFakeTimers();
  const cancel = vi.fn();
  const answer = await ask({ answer: new Response(new ReadableStream({ cancel }), { headers: VIDEO }) });
  const reading = expect(answer.text()).rejects.toThrow('too slowly');
  await vi.advanceTimersByTimeAsync(20_000);
  await reading;
  vi.useRealTimers();
  expect(cancel).toHaveBeenCalledOnce();
});

test('no more is passed on at once than may be copied, and parts of a larger file are', async () => {
  const sized = (status: number, length: number, more = {}) =>
    new Response('film', { status, headers: { ...VIDEO, 'content-length': String(length), ...more } });
  expect(await codeOf(await ask({ answer: sized(200, 1001) }))).toEqual([502, 'upstream_error']);
  expect((await ask({ answer: sized(200, 1000) })).status).toBe(200);
  expect((await ask({ answer: sized(200, 1001), method: 'HEAD' })).headers.get('content-length')).toBe('1001');
  const headers = { range: 'bytes=0-999' };
  const part = await ask({ headers, answer: sized(206, 1000, { 'content-range': 'bytes 0-999/5000' }) });
  expect(part.status).toBe(206);
  const unsaid = await ask({ answer: new Response('x'.repeat(1001), { headers: VIDEO }) });
  await expect(unsaid.text()).rejects.toThrow('larger than 1000 bytes');
});

test('a copy is shown for as long as the link lasts, and no longer', async () => {
  sign.mockResolvedValue({ data: { signedUrl: 'https://storage.example.com/s' }, error: null });
  const answer = await ask({ storage_path: 'w/j.mp4', until: soon() });
  expect([answer.status, answer.headers.get('location')]).toEqual([302, 'https://storage.example.com/s']);
  const [path, seconds] = sign.mock.calls[0] ?? [];
  expect(path).toBe('w/j.mp4');
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThanOrEqual(600);
});

test.each(['\u0000', '', '0'.repeat(63), '0'.repeat(65), 'A'.repeat(64), 'g'.repeat(64)])(
  'a token such as %j reaches no database',
  async (token) => {
    expect(await codeOf(await ask({ token }))).toEqual([404, 'not_found']);
    expect(rpc).not.toHaveBeenCalled();
  },
);
