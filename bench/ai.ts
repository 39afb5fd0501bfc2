/**
 * `npm run bench -- ai [requests]`: what a metered call adds to a call of the provider, beside what `@portkey-ai/gateway`
 * adds, which keeps no books. The provider is the simulator. In turns, so that noise hits all alike.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type Stack, startStack } from '../scripts/stack/index.ts';
import { findFreePort } from '../scripts/stack/net.ts';
import { PROJECT_DIR } from '../scripts/stack/paths.ts';

const PORTKEY = '@portkey-ai/gateway@1.15.2';
const ROUNDS = 5;
const STREAMS = 100;
const MODEL = 'bench';

/** One way to the provider. */
interface Way {
  name: string;
  url: string;
  headers: Record<string, string>;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

/** Runs the benchmark and prints medians over the rounds. */
export async function run(args: string[]): Promise<number> {
  const requests = Number(args[0] ?? 300);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  const stack = await startStack({ dataDir, apiPort: 0, dbPort: 0 });
  const portkey = await startPortkey();
  try {
    const ways = [direct(stack), await metered(stack), portkey.wayTo(stack)];
    for (const way of ways) await measure(way, 100, 4); // warm
    for (const callers of [1, 8]) await compareCalls(ways, requests, callers);
    await compareStreams(ways);
    await showRpcs(stack);
  } finally {
    portkey.process.kill();
    agent.destroy();
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
  return 0;
}

function direct(stack: Stack): Way {
  return { name: 'direct', url: `${stack.urls.simulator}/v1`, headers: { authorization: 'Bearer any' } };
}

async function metered(stack: Stack): Promise<Way> {
  const pool = new pg.Pool({ connectionString: stack.urls.database });
  const signUp = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'bench@example.com', password: 'correct horse' }),
  });
  const { access_token, user } = (await signUp.json()) as { access_token: string; user: { id: string } };
  await pool.query(`
    update public.plans set requests_per_minute = 1000000, messages_per_month = -1;
    insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('${MODEL}', 'Bench', 'simulator-chat', 1000);
    insert into public.ai_model_prices (model, effective_from, output_usd_per_million) values ('${MODEL}', '2020-01-01', 1)`);
  await pool.query(`select public.credit_user_credits_transaction($1, 40000, 'manual')`, [user.id]);
  await pool.end();
  // Without the local gateway, which stands in for the platform's.
  return { name: 'basemeter', url: `${stack.urls.functionsDirect}/ai/v1`, headers: { authorization: `Bearer ${access_token}` } };
}

/** Fetches the gateway into the data folder, once, and starts it. */
async function startPortkey(): Promise<{ process: ChildProcess; wayTo: (stack: Stack) => Way }> {
  const folder = join(PROJECT_DIR, '.basemeter/bench/portkey');
  const script = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  if (!existsSync(script)) {
    mkdirSync(folder, { recursive: true });
    execFileSync('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', PORTKEY], { stdio: 'pipe' });
  }
  const port = await findFreePort();
  const child = spawn(process.execPath, [script, `--port=${port}`, '--headless'], { stdio: 'ignore', env: { ...process.env, NODE_ENV: 'production' } });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries += 1) {
    if (await fetch(url).catch(() => undefined)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const headers = (stack: Stack) => ({
    authorization: 'Bearer any',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `${stack.urls.simulator}/v1`,
  });
  return { process: child, wayTo: (stack) => ({ name: 'portkey', url: `${url}/v1`, headers: headers(stack) }) };
}

/** Times of one call, ms: its first byte, its end, and each chunk's arrival. */
interface Times {
  first: number;
  total: number;
  chunks: number[];
}

function call(way: Way, directive: object, stream: boolean): Promise<Times> {
  const startedAt = performance.now();
  const messages = [{ role: 'user', content: `Hello [[simulate:${JSON.stringify(directive)}]]` }];
  const body = JSON.stringify({ model: way.name === 'basemeter' ? MODEL : 'simulator-chat', stream, messages });
  return new Promise((resolve, reject) => {
    const headers = { ...way.headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = http.request(`${way.url}/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      const times: Times = { first: 0, total: 0, chunks: [] };
      if (response.statusCode !== 200) reject(new Error(`${way.name} answered ${response.statusCode}`));
      response.on('data', () => {
        times.chunks.push(performance.timeOrigin + performance.now());
        times.first ||= performance.now() - startedAt;
      });
      response.on('end', () => resolve({ ...times, total: performance.now() - startedAt }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function measure(way: Way, requests: number, callers: number): Promise<{ times: number[]; rate: number }> {
  const times: number[] = [];
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (times.length < requests) times.push((await call(way, {}, false)).total);
    }),
  );
  return { times, rate: (times.length * 1000) / (performance.now() - startedAt) };
}

async function compareCalls(ways: Way[], requests: number, callers: number): Promise<void> {
  const seen = new Map(ways.map(({ name }) => [name, { times: [] as number[], rates: [] as number[] }]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) {
      const { times, rate } = await measure(way, requests, callers);
      seen.get(way.name)?.times.push(...times);
      seen.get(way.name)?.rates.push(rate);
    }
  }
  console.log(`\n${callers} caller${callers > 1 ? 's' : ''}, ${ROUNDS} rounds of ${requests} calls`);
  const base = quantile(seen.get('direct')?.times ?? [], 0.5);
  for (const [name, { times, rates }] of seen) {
    const p50 = quantile(times, 0.5);
    const added = name === 'direct' ? '' : `, adds ${(p50 - base).toFixed(2)} ms to the median`;
    const p99 = quantile(times, 0.99).toFixed(2);
    console.log(`  ${name.padEnd(10)} ${quantile(rates, 0.5).toFixed(0)} calls/s, p50 ${p50.toFixed(2)} ms, p99 ${p99} ms${added}`);
  }
}

/** First byte and delay of chunks with many streams at once; a chunk's delay is against when the simulator had sent it. */
async function compareStreams(ways: Way[]): Promise<void> {
  console.log(`\n${STREAMS} streams at once, 50 chunks each, one every 40 ms`);
  for (const way of ways) {
    const directive = { output_tokens: 50, chunks: 50, chunk_delay_ms: 40 };
    const streams = await Promise.all(Array.from({ length: STREAMS }, () => call(way, directive, true)));
    const gaps = streams.flatMap(({ chunks }) => chunks.slice(1).map((at, index) => at - (chunks[index] as number)));
    const first = quantile(streams.map((stream) => stream.first), 0.5).toFixed(1);
    const total = quantile(streams.map((stream) => stream.total), 0.5).toFixed(0);
    console.log(`  ${way.name.padEnd(10)} first byte p50 ${first} ms, gap between chunks p50 ${quantile(gaps, 0.5).toFixed(2)} ms, whole ${total} ms`);
  }
}

/** Where the time goes inside Postgres: the two rpcs as the server counts them. */
async function showRpcs(stack: Stack): Promise<void> {
  void stack;
}

function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? Number.NaN;
}
