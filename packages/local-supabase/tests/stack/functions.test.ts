import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type LocalSupabase, startLocalSupabase } from '../../index.ts';
import { DENO_DIR } from '../support/deno-dir.ts';
import { ECHO } from '../support/echo-program.ts';
import { answering, makeSmallProject } from '../support/small-project.ts';
import { newUser } from '../support/stack.ts';

const project = makeSmallProject();
let stack: LocalSupabase;
const said: string[] = [];

beforeAll(async () => {
  project.write(
    'supabase/functions/show/index.ts',
    `export default { fetch: async (request) => Response.json({
      url: request.url, method: request.method, headers: Object.fromEntries(request.headers), body: await request.text(),
      env: Deno.env.toObject(),
    }) };`,
  );
  project.write('supabase/functions/stream/index.ts', STREAM);
  project.write('supabase/functions/slow/index.ts', SLOW);
  for (const [name, source] of Object.entries(SERVING)) project.write(`supabase/functions/${name}/index.ts`, source);
  project.write('supabase/config.toml', CONFIG);
  const { dataDir, projectDir } = project;
  stack = await startLocalSupabase({
    dataDir,
    projectDir,
    apiPort: 0,
    dbPort: 0,
    durable: false,
    denoDir: DENO_DIR,
    env: { EXTRA_KEY: 'extra', ECHO_URL: 'http://elsewhere.test' },
    programs: [ECHO],
    onProgress: (line) => said.push(line),
  });
});
afterAll(async () => {
  await stack.stop();
  project.remove();
});

/** Functions in the forms of `Deno.serve`. The last is not in config.toml: its callers need a JWT. */
const SERVING: Record<string, string> = {
  'serve-handler': `Deno.serve((request, info) => new Response('handler ' + info.remoteAddr.hostname));`,
  'serve-options': `Deno.serve({ port: 8000, hostname: '0.0.0.0', onError: (error) => new Response('caught ' + error.message) },
    async () => { throw new Error('it'); });`,
  'serve-object': `const server = Deno.serve({ onListen: ({ port }) => console.log(port), handler: () => new Response('object') });
    if (typeof server.shutdown !== 'function' || !server.addr.port) throw new Error('no server');`,
  'serve-both': `Deno.serve(() => new Response('served')); export default { fetch: () => new Response('exported') };`,
  'opens-ports': `import { createSocket } from 'node:dgram';
    import { createServer } from 'node:http';
    import https from 'node:https';
    import net from 'node:net';
    const tried = [];
    for (const open of [() => Deno.listen({ port: 0 }), () => Deno.listenTls({ port: 0, cert: '', key: '' }),
      () => new Promise((resolve, reject) => createServer().on('error', reject).listen(0, resolve)),
      ...[createServer(), https.createServer({ key: '', cert: '' }), net.createServer()].map((server) =>
        () => new Promise((resolve, reject) => server.on('error', reject).listen(0, '127.0.0.1', resolve))),
      () => new Promise((resolve) => createSocket('udp4').bind(0, '127.0.0.1', resolve))]) {
      try { await open(); tried.push('open'); } catch (error) { tried.push(error.name); }
    }
    Deno.serve(() => Response.json(tried));`,
  'serve-closed': `Deno.serve(() => new Response('let in'));`,
};

const CONFIG = ['hello', 'show', 'stream', 'slow', 'late', 'broken', 'outside']
  .concat(Object.keys(SERVING).filter((name) => name !== 'serve-closed'))
  .map((name) => `[functions.${name}]\nverify_jwt = false\n`)
  .join('');

/** Sends a part each time it is asked to by a request of its own, so that a test sees whether parts are held back. */
const STREAM = `
let push;
export default { fetch: (request) => {
  if (request.method === 'PUT') { push(); return new Response('ok'); }
  const encoder = new TextEncoder();
  return new Response(new ReadableStream({ start(controller) {
    let count = 0;
    push = () => count === 2 ? controller.error(new Error('cut')) : controller.enqueue(encoder.encode('part ' + ++count));
  } }));
} };`;

/** Takes longer than a reload. */
const SLOW = `
export default { fetch: () => new Response(new ReadableStream({ async start(controller) {
  const encoder = new TextEncoder();
  controller.enqueue(encoder.encode('begin '));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  controller.enqueue(encoder.encode('end'));
  controller.close();
} })) };`;

type Seen = { url: string; env: Record<string, string> };

const call = (path: string, init?: RequestInit) => fetch(`${stack.env.FUNCTIONS_URL}/${path}`, init);

test('a function sees the path from its own name on, the headers and the body', async () => {
  const answer = await call('show/deep/er?q=1', { method: 'POST', body: 'hi', headers: { 'x-mine': 'yes' } });
  const seen = (await answer.json()) as Seen;
  expect(new URL(seen.url).pathname + new URL(seen.url).search).toBe('/show/deep/er?q=1');
  expect(seen).toMatchObject({
    method: 'POST',
    body: 'hi',
    headers: { 'x-mine': 'yes', 'x-forwarded-for': '127.0.0.1' },
  });
});

test('a function finds the platform’s variables in the platform’s shapes, those it was given and those of programs', async () => {
  const { env } = (await (await call('show')).json()) as Seen;
  expect(env).toMatchObject({
    SUPABASE_URL: stack.env.API_URL,
    SUPABASE_DB_URL: stack.env.DB_URL,
    SUPABASE_ANON_KEY: stack.env.ANON_KEY,
    SUPABASE_SERVICE_ROLE_KEY: stack.env.SERVICE_ROLE_KEY,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: stack.env.PUBLISHABLE_KEY }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: stack.env.SECRET_KEY }),
    ECHO_URL: stack.urls.programs.echo,
    EXTRA_KEY: 'extra',
  });
  expect(await (await fetch(env.ECHO_URL ?? '')).json()).toMatchObject({
    WORD: 'word',
    API_URL: stack.env.API_URL,
    PUBLISHABLE_KEY: stack.env.PUBLISHABLE_KEY,
  });
  expect(JSON.parse(env.SUPABASE_JWKS ?? '').keys).toEqual(stack.keys.jwks.keys);
  expect(Object.keys(env).filter((name) => name.startsWith('HOST_'))).toEqual([]);
  expect(JSON.stringify(env)).not.toContain(stack.keys.signingKey.d);
});

test('parts of a stream arrive as they are sent, and a stream that breaks breaks here too', async () => {
  const answer = await call('stream');
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (const part of ['part 1', 'part 2']) {
    await call('stream', { method: 'PUT' });
    expect(await reader?.read()).toEqual({ done: false, value: part });
  }
  await call('stream', { method: 'PUT' });
  await expect(reader?.read()).rejects.toThrow();
});

test('a stream that runs while the functions reload is finished by the code it began with', async () => {
  const answer = await call('slow');
  const before = stack.urls.functionsDirect;
  await stack.restartFunctions();
  expect(stack.urls.functionsDirect).not.toBe(before);
  expect((await call('hello')).status).toBe(200);
  expect(await answer.text()).toBe('begin end');
});

test('verify_jwt lets in whatever the project signed, and tells why it refuses', async () => {
  const code = async (authorization?: string) => {
    const answer = await call('closed', authorization ? { headers: { authorization } } : {});
    return answer.status === 200 ? answer.text() : `${answer.status} ${answer.headers.get('sb-error-code')}`;
  };
  const [header, payload] = stack.env.ANON_KEY.split('.');
  const unsigned = `${btoa('{"alg":"none"}')}.${payload}.`;
  expect(await code()).toBe('401 UNAUTHORIZED_NO_AUTH_HEADER');
  expect(await code('Bearer nonsense')).toBe('401 UNAUTHORIZED_INVALID_JWT_FORMAT');
  expect(await code(`Bearer ${header}.${payload}.AAAA`)).toBe('401 UNAUTHORIZED_JWT');
  expect(await code(`Bearer ${unsigned}`)).toBe('401 UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM');
  expect(await code(`Bearer ${(await newUser()).accessToken}`)).toBe('401 UNAUTHORIZED_ASYMMETRIC_JWT');
  expect(await code(`Bearer ${stack.env.ANON_KEY}`)).toBe('let in');
  const signUp = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
    body: '{"email":"a@example.test","password":"long enough"}',
  });
  const { access_token } = (await signUp.json()) as { access_token: string };
  expect(await code(`Bearer ${access_token}`)).toBe('let in');
});

test('a changed function is served without a restart of the rest, and a new one is found', async () => {
  const before = stack.pids();
  expect(await (await call('hello')).text()).toBe('one');
  project.write('supabase/functions/hello/index.ts', answering('two'));
  project.write('supabase/functions/late/index.ts', answering('late'));
  await vi.waitFor(async () => expect(await (await call('hello')).text()).toBe('two'), 10_000);
  await vi.waitFor(async () => expect(await (await call('late')).text()).toBe('late'), 10_000);
  for (const text of ['three', 'four']) {
    project.replace('supabase/functions/hello/index.ts', answering(text));
    await vi.waitFor(async () => expect(await (await call('hello')).text()).toBe(text), 10_000);
  }
  expect(stack.pids()).toMatchObject({ postgres: before.postgres, postgrest: before.postgrest });
});

test('a function that does not load answers 503, and the others work', async () => {
  project.write('supabase/functions/broken/index.ts', 'throw new Error("no");');
  await vi.waitFor(async () => expect((await call('broken')).status).toBe(503), 10_000);
  expect(await (await call('broken')).json()).toMatchObject({ code: 'BOOT_ERROR' });
  expect(said).toContainEqual(expect.stringContaining('function broken did not load'));
  expect((await call('hello')).status).toBe(200);
  expect((await call('none')).status).toBe(404);
});

test('a function reads no file outside its folder, and starts no program', async () => {
  project.write(
    'supabase/functions/outside/index.ts',
    `export default { fetch: async () => {
      const run = async () => new Deno.Command('id').output();
      const tried = await Promise.allSettled([Deno.readTextFile('/etc/hostname'), run()]);
      return Response.json(tried.map(({ reason }) => reason?.name));
    } };`,
  );
  await stack.restartFunctions();
  expect(await (await call('outside')).json()).toEqual(['NotCapable', 'NotCapable']);
});

test('a function that calls Deno.serve is served behind the gateway, its JWTs checked', async () => {
  const answerOf = async (name: string) => (await call(name)).text();
  expect(await answerOf('serve-handler')).toBe('handler 127.0.0.1');
  expect(await answerOf('serve-options')).toBe('caught it');
  expect(await answerOf('serve-object')).toBe('object');
  expect(await answerOf('serve-both')).toBe('served');
  const refused = await call('serve-closed');
  expect([refused.status, refused.headers.get('sb-error-code')]).toEqual([401, 'UNAUTHORIZED_NO_AUTH_HEADER']);
  const headers = { authorization: `Bearer ${stack.env.ANON_KEY}` };
  expect(await (await call('serve-closed', { headers })).text()).toBe('let in');
  const tried = (await (await call('opens-ports')).json()) as string[];
  expect(tried.filter((outcome) => !/^(NotCapable|Error)$/.test(outcome))).toEqual([]);
});

test.runIf(process.platform === 'linux')('nothing of the stack listens beyond 127.0.0.1', async () => {
  const listening = () => {
    const sockets = new Set(withDescendants(process.pid).flatMap((pid) => socketsOf(pid)));
    return ['tcp', 'tcp6'].flatMap(listeners).filter(({ inode }) => sockets.has(inode));
  };
  // Postgres, PostgREST and its admin port, the program, the functions (which may be reloading), the gateway.
  await vi.waitFor(() => expect(listening().length).toBeGreaterThanOrEqual(6), 10_000);
  expect(listening().filter(({ address }) => address !== '0100007F')).toEqual([]);
});

/** A process, its children, theirs, and so on. */
function withDescendants(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  const children = (existsSync(tasks) ? readdirSync(tasks) : []).flatMap((task) =>
    readIfThere(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(withDescendants)];
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process ended meanwhile
  }
}

/** The inodes of the sockets that a process holds. */
function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return (existsSync(folder) ? readdirSync(folder) : []).flatMap((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).match(/^socket:\[(\d+)\]$/)?.[1] ?? [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** Every listening socket of a table of the kernel's: the address as it writes it, 127.0.0.1 backwards in hexadecimals. */
function listeners(table: string): { address?: string; inode: string }[] {
  const lines = readFileSync(`/proc/net/${table}`, 'utf8').trim().split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => ({ address: fields[1]?.split(':')[0], inode: fields[9] ?? '' }));
}
