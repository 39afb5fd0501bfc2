/**
 * `npm run bench -- ai [requests]`: what a metered call adds to a call of the provider, beside what `@portkey-ai/gateway`
 * adds, which keeps no ledger. The provider is the simulator. In turns, so that noise hits all alike.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort, withClient } from '@basemeter/local-supabase';
import type pg from 'pg';
import { PROJECT_DIR } from '../scripts/paths.ts';
import { type Stack, startStack } from '../scripts/stack.ts';
import type { ResultTable } from '../scripts/testing/bench-results.ts';

const PORTKEY = '@portkey-ai/gateway@1.15.2';
const ROUNDS = 5;
const STREAMS = 100;
const WALLETS = 20;
const MODEL = 'bench';

/** One way to the provider. Its callers take turns with the headers: each metered caller has a wallet of their own. */
interface Way {
  name: string;
  url: string;
  headers: Record<string, string>[];
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

/** Runs the benchmark; gives medians over the rounds. */
export async function run(args: string[]): Promise<ResultTable[]> {
  const requests = Number(args[0] ?? 300);
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  const portkey = await startPortkey();
  const stack = await startStack({ dataDir, apiPort: 0, dbPort: 0 }).catch((error) => {
    portkey.process.kill();
    throw error;
  });
  try {
    const ways = [direct(stack), await metered(stack), portkey.wayTo(stack)];
    for (const way of ways) await measure(way, 100, 4); // warm
    const [alone, eight] = await withClient(stack.urls.database, async (client) => [
      await compareCalls(ways, requests, 1, client),
      await compareCalls(ways, requests, 8, client),
    ]);
    return [
      {
        title: `Medians of ${ROUNDS} rounds of ${requests} calls`,
        columns: ['', 'calls/s', 'p50', 'p99', 'added to the median'],
        rows: [...alone.rows, ...eight.rows],
      },
      {
        title: 'Of these',
        columns: ['', 'ratio'],
        rows: [
          ["1 caller: added ÷ portkey's", (alone.added / alone.portkey).toFixed(2)],
          [
            "1 caller: added ÷ (portkey's + two bare transactions)",
            (alone.added / (alone.portkey + alone.bare)).toFixed(2),
          ],
          ["8 callers: calls/s ÷ portkey's", eight.rate.toFixed(2)],
        ],
      },
      await compareStreams(ways),
      await serverTimes(stack),
    ];
  } finally {
    portkey.process.kill();
    agent.destroy();
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function direct(stack: Stack): Way {
  return { name: 'direct', url: `${stack.urls.programs.simulator}/v1`, headers: [{ authorization: 'Bearer any' }] };
}

async function metered(stack: Stack): Promise<Way> {
  const headers = await Promise.all(Array.from({ length: WALLETS }, (_, index) => signUp(stack, index)));
  await withClient(stack.urls.database, async (client) => {
    await client.query(`
    update public.plan_features set feature_limit = null
      where feature_code in ('requests_per_minute', 'requests_per_day', 'messages_per_month');
    insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ('${MODEL}', 'Bench', 'simulator-chat', 1000);
    select private.set_model_price('${MODEL}', '{"input": 0, "output": 1}', '2020-01-01')`);
    await client.query(`select public.credit_user_credits_transaction(u.id, 40000, 'manual') from public.users u`);
  });
  // Without the local gateway, which stands in for the platform's.
  return { name: 'basemeter', url: `${stack.urls.functionsDirect}/ai/v1`, headers };
}

async function signUp(stack: Stack, index: number): Promise<Record<string, string>> {
  const answer = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ email: `bench${index}@example.com`, password: 'correct horse' }),
  });
  const { access_token } = (await answer.json()) as { access_token: string };
  return { authorization: `Bearer ${access_token}` };
}

/** Fetches the gateway into the data folder, once, and starts it. */
async function startPortkey(): Promise<{ process: ChildProcess; wayTo: (stack: Stack) => Way }> {
  const folder = join(PROJECT_DIR, '.basemeter/bench/portkey');
  const script = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  if (!existsSync(script)) {
    mkdirSync(folder, { recursive: true });
    execFileSync('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', PORTKEY], {
      stdio: 'pipe',
    });
  }
  const port = await findFreePort();
  const child = spawn(process.execPath, [script, `--port=${port}`, '--headless'], {
    stdio: 'ignore',
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries += 1) {
    if (await fetch(url).catch(() => undefined)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const headers = (stack: Stack) => [
    {
      authorization: 'Bearer any',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${stack.urls.programs.simulator}/v1`,
    },
  ];
  return { process: child, wayTo: (stack) => ({ name: 'portkey', url: `${url}/v1`, headers: headers(stack) }) };
}

/** Times of one call, ms: its first byte, its end, and by how much each chunk came later than the simulator sent it. */
interface Times {
  first: number;
  total: number;
  delays: number[];
}

function call(way: Way, caller: number, directive: object, stream: boolean): Promise<Times> {
  const startedAt = performance.now();
  const messages = [{ role: 'user', content: `Hello [[simulate:${JSON.stringify(directive)}]]` }];
  const body = JSON.stringify({ model: way.name === 'basemeter' ? MODEL : 'simulator-chat', stream, messages });
  return new Promise((resolve, reject) => {
    const headers = {
      ...way.headers[caller % way.headers.length],
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const request = http.request(`${way.url}/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      const times: Times = { first: 0, total: 0, delays: [] };
      if (response.statusCode !== 200) reject(new Error(`it answered ${response.statusCode}`));
      response.on('data', (bytes) => {
        const now = performance.now();
        times.first ||= now - startedAt;
        for (const [, sentAt] of String(bytes).matchAll(/"sent_at":([\d.]+)/g)) {
          times.delays.push(performance.timeOrigin + now - Number(sentAt));
        }
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
    Array.from({ length: callers }, async (_, caller) => {
      while (times.length < requests) times.push((await call(way, caller, {}, false)).total);
    }),
  );
  return { times, rate: (times.length * 1000) / (performance.now() - startedAt) };
}

/**
 * What two transactions take that a crash does not undo, each of one row and nothing else, one after the other: what a call
 * that is admitted and settled cannot do without.
 */
async function measureBare(client: pg.Client, times: number): Promise<number[]> {
  await client.query('create table if not exists public.bench_bare (id integer primary key, count bigint)');
  await client.query('insert into public.bench_bare values (1, 0) on conflict do nothing');
  const bare = { name: 'bare', text: 'update public.bench_bare set count = count + 1 where id = $1', values: [1] };
  const taken: number[] = [];
  while (taken.length < times) {
    const startedAt = performance.now();
    await client.query(bare);
    await client.query(bare);
    taken.push(performance.now() - startedAt);
  }
  return taken;
}

/** Calls by each way in turns. Of their medians: what ours and portkey add to the direct one, and our rate ÷ portkey's. */
async function compareCalls(ways: Way[], requests: number, callers: number, client: pg.Client) {
  const bare: number[] = [];
  const seen = new Map(ways.map(({ name }) => [name, { times: [] as number[], rates: [] as number[] }]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) {
      const { times, rate } = await measure(way, requests, callers);
      seen.get(way.name)?.times.push(...times);
      seen.get(way.name)?.rates.push(rate);
    }
    bare.push(...(await measureBare(client, requests)));
  }
  const median = (name: string) => quantile(seen.get(name)?.times ?? [], 0.5);
  const rateOf = (name: string) => quantile(seen.get(name)?.rates ?? [], 0.5);
  const base = median('direct');
  const rows: ResultTable['rows'] = [...seen].map(([name, { times, rates }]) => {
    const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
    const added = name === 'direct' ? '' : ms(p50 - base);
    return [
      `${callers} caller${callers > 1 ? 's' : ''}: ${name}`,
      quantile(rates, 0.5).toFixed(0),
      ms(p50),
      ms(p99),
      added,
    ];
  });
  if (callers === 1) rows.push(['two bare transactions', '', ms(quantile(bare, 0.5)), ms(quantile(bare, 0.99)), '']);
  return {
    rows,
    added: median('basemeter') - base,
    portkey: median('portkey') - base,
    bare: quantile(bare, 0.5),
    rate: rateOf('basemeter') / rateOf('portkey'),
  };
}

/** First byte, and delay of chunks, with many streams at once. */
async function compareStreams(ways: Way[]): Promise<ResultTable> {
  const rows: ResultTable['rows'] = [];
  for (const way of ways) {
    const directive = { output_tokens: 50, chunks: 50, chunk_delay_ms: 40, sent_at: true };
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, (_, caller) => call(way, caller, directive, true)),
    ).catch((error) => error as Error);
    if (streams instanceof Error) {
      rows.push([way.name, `does not stream here: ${streams.message}`, '', '']);
      continue;
    }
    const firsts = streams.map((stream) => stream.first);
    // The opening chunk waits for admission; what is asked here is what passing on costs.
    const delays = streams.flatMap((stream) => stream.delays.slice(1));
    rows.push([way.name, ms(quantile(firsts, 0.5)), ms(quantile(delays, 0.5)), ms(quantile(delays, 0.99))]);
  }
  return {
    title: `${STREAMS} streams at once, 50 chunks each, one every 40 ms`,
    columns: ['', 'first byte p50', 'chunk later than sent p50', 'p99'],
    rows,
  };
}

/** Where the time of the two rpcs goes inside Postgres, by its own count: mean times in microseconds. */
async function serverTimes(stack: Stack): Promise<ResultTable> {
  const rows = await withClient(stack.urls.databaseAdmin, async (client) => {
    await client.query(`set track_functions = 'all'`);
    const [account] = (await client.query(`select id from public.users limit 1`)).rows;
    for (let count = 0; count < 500; count += 1) {
      const { rows } = await client.query(`select public.admit_ai_call($1, '${MODEL}', 10, 100) as answer`, [
        account.id,
      ]);
      const { hold_id, ...refusal } = rows[0].answer;
      if (!hold_id) throw new Error(`a call was refused: ${JSON.stringify(refusal)}`);
      await client.query(`select public.finish_ai_call($1, 'success', 10, 0, 10)`, [hold_id]);
    }
    await client.query('select pg_stat_force_next_flush()');
    return (
      await client.query(`
    select funcname as name, calls, round((1000 * total_time / calls)::numeric) as total, round((1000 * self_time / calls)::numeric) as self
    from pg_stat_user_functions where calls >= 500 order by total_time desc limit 12`)
    ).rows;
  });
  return {
    title: 'Inside Postgres, µs a call',
    columns: ['', 'in all', 'of its own'],
    rows: rows.map(({ name, total, self }) => [name, total, self]),
  };
}

const ms = (time: number): string => `${time.toFixed(2)} ms`;

function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? Number.NaN;
}
