/** What the journal of a conversation's stream adds to a chunk: its delay, and the functions' processor time. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withClient } from '@basemeter/local-supabase';
import { type Stack, startStack } from '../../scripts/stack.ts';
import type { ResultTable } from '../../scripts/testing/bench-results.ts';

const MODEL = 'bench-chunks';
const ROUNDS = 8;
/** At once, in a round. */
const STREAMS = 4;
const CHUNKS = 200;
const BETWEEN_CHUNKS = 5;
/** Linux counts processor time in hundredths of a second, µs. */
const TICK = 10_000;

/** Measures streams with the journal and those of the plain endpoint, on a stack of its own. */
export async function measureChunks(): Promise<ResultTable> {
  const dataDir = mkdtempSync(join(tmpdir(), 'basemeter-bench-'));
  const stack = await startStack({ dataDir, apiPort: 0, dbPort: 0 });
  try {
    return await measureOn(stack);
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** In turns, so that noise hits both alike. */
async function measureOn(stack: Stack): Promise<ResultTable> {
  const { authorization, conversation } = await makePerson(stack);
  const directive = { text: ' the'.repeat(CHUNKS), chunk_delay_ms: BETWEEN_CHUNKS, sent_at: true };
  const content = `Hello [[simulate:${JSON.stringify(directive)}]]`;
  const base = `${stack.urls.functionsDirect}/ai/v1`;
  const ways = [
    {
      name: 'plain endpoint',
      url: `${base}/chat/completions`,
      body: { model: MODEL, stream: true, messages: [{ role: 'user', content }] },
    },
    {
      name: 'conversation, with the journal',
      url: `${base}/conversations/${conversation}/messages`,
      body: { model: MODEL, content, parent_message_id: null },
    },
  ].map((way) => ({ ...way, delays: [] as number[], processor: 0 }));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const way of ways) {
      const before = processorTime(stack);
      const streams = await Promise.all(
        Array.from({ length: STREAMS }, () => delaysOf(way.url, authorization, way.body)),
      );
      if (round === 0) continue; // warm
      way.processor += processorTime(stack) - before;
      way.delays.push(...streams.flat());
    }
  }
  const rows = ways.map(({ name, delays, processor }) => ({
    name,
    p50: quantile(delays, 0.5),
    p99: quantile(delays, 0.99),
    processor: processor / delays.length,
  }));
  const [plain, journaled] = rows as [(typeof rows)[number], (typeof rows)[number]];
  return {
    title: `A chunk of ${ROUNDS * STREAMS} streams of ${CHUNKS}, ${STREAMS} at once, one every ${BETWEEN_CHUNKS} ms`,
    columns: ['', 'delay p50', 'delay p99', 'processor time of the functions'],
    rows: [
      ...rows.map(({ name, p50, p99, processor }) => [name, ms(p50), ms(p99), `${Math.round(processor)} µs`]),
      [
        'added by the conversation',
        ms(journaled.p50 - plain.p50),
        ms(journaled.p99 - plain.p99),
        `${Math.round(journaled.processor - plain.processor)} µs`,
      ],
    ],
  };
}

async function makePerson(stack: Stack) {
  const headers = { apikey: stack.env.PUBLISHABLE_KEY, 'content-type': 'application/json' };
  const answer = await fetch(`${stack.env.API_URL}/auth/v1/signup`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ email: 'chunks@example.com', password: 'correct horse' }),
  });
  const { access_token, user } = (await answer.json()) as { access_token: string; user: { id: string } };
  const conversation = await withClient(stack.urls.database, async (client) => {
    await client.query(
      `update public.plan_features set feature_limit = null
        where feature_code in ('requests_per_minute', 'requests_per_day', 'messages_per_month')`,
    );
    await client.query(
      `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, $1, 'simulator-chat', 1000)`,
      [MODEL],
    );
    await client.query(`select private.set_model_price($1, '{"input": 0, "output": 1}', '2020-01-01')`, [MODEL]);
    await client.query(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
    const made = await client.query(
      'insert into public.conversations (workspace_id, user_id) values ($1, $1) returning id',
      [user.id],
    );
    return made.rows[0].id as string;
  });
  return { authorization: `Bearer ${access_token}`, conversation };
}

/** By how much each chunk of a stream came later than the simulator sent it, ms. */
async function delaysOf(url: string, authorization: string, body: object): Promise<number[]> {
  const headers = { authorization, 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`it answered ${response.status}: ${await response.text()}`);
  const decoder = new TextDecoder();
  const delays: number[] = [];
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    const now = performance.timeOrigin + performance.now();
    for (const [, sentAt] of decoder.decode(bytes, { stream: true }).matchAll(/"sent_at":([\d.]+)/g)) {
      delays.push(now - Number(sentAt));
    }
  }
  return delays;
}

/** What the functions' process has used of its processors, µs; 0 where the system does not say. */
function processorTime(stack: Stack): number {
  if (process.platform !== 'linux') return 0;
  const fields = readFileSync(`/proc/${stack.pids().functions}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

const ms = (time: number): string => `${time.toFixed(2)} ms`;

function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? Number.NaN;
}
