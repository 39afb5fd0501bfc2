/** What each provider's usage costs, to the dollar: through the reader of function `ai` and the charge function in SQL. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { later, type Reported, readTier, readUsage } from '../../supabase/functions/ai/pools.ts';
import { adminPool, sql } from '../support/stack.ts';
import { GOLDEN, type Golden } from './golden-prices.ts';
import { logsOf, newCaller, newModel, openai, simulate } from './helpers.ts';

const ROWS = Object.entries(GOLDEN).flatMap(([provider, rows]) =>
  rows.map((row) => ({ ...row, model: randomUUID(), title: `${provider}: ${row.name}` })),
);
type Row = (typeof ROWS)[number];
type Counts = Record<string, number | string>;

/** A call to be charged: its counts by the log's columns. */
interface Case {
  model: string;
  counts: Counts;
  began: string;
  ended: string;
  video?: Golden['video'];
}

let client: pg.PoolClient;
beforeAll(async () => {
  client = await adminPool.connect();
  await client.query('begin');
  for (const { model, price } of ROWS) await offer(model, price);
});
afterAll(async () => {
  await client.query('rollback');
  client.release();
});

async function offer(model: string, price: object): Promise<void> {
  await client.query(
    `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, $1, 'up', 0)`,
    [model],
  );
  await client.query(`select private.set_model_price($1, $2, '2020-01-01')`, [model, JSON.stringify(price)]);
}

/** What the calls cost, in US dollars. */
async function costs(cases: Case[]): Promise<{ usd: number; unpriced: string[] | null }[]> {
  const { rows } = await client.query(
    `select c.cost_usd::float8 as usd, c.unpriced
     from rows from (jsonb_to_recordset($1)
       as (model text, counts jsonb, began timestamptz, ended timestamptz, video jsonb)
     ) with ordinality as x (model, counts, began, ended, video, place)
     join public.ai_models m on m.model = x.model,
     lateral private.charge_of(private.pricing_of(m, x.began, x.video), private.usage_of_call(
       (counts ->> 'prompt_tokens')::bigint, (counts ->> 'cached_tokens')::bigint, (counts ->> 'completion_tokens')::bigint,
       (counts ->> 'images')::bigint, counts), x.began, x.ended) c
     order by x.place`,
    [JSON.stringify(cases)],
  );
  return rows;
}

/** A row's usage as the log has it. */
function countsOf({ answer, events, counts, images }: Golden): Counts {
  let reported: Reported | undefined;
  let tier: string | undefined;
  for (const event of events ?? [answer ?? {}]) {
    const report = readUsage(event);
    if (report) reported = later(reported, report);
    tier = readTier(event) ?? tier;
  }
  return {
    prompt_tokens: reported?.prompt ?? 0,
    cached_tokens: reported?.cached ?? 0,
    completion_tokens: reported?.completion ?? 0,
    images: images ?? 0,
    ...reported?.pools,
    ...(tier ? { service_tier: tier } : {}),
    ...(counts as Counts | undefined),
  };
}

const SATURDAY = '2026-11-28T12:00:00Z';
const caseOf = (row: Row, counts = countsOf(row)): Case => ({
  model: row.model,
  counts,
  began: row.began ?? SATURDAY,
  ended: row.ended ?? SATURDAY,
  video: row.video,
});

test('the table has all that it is for', () => {
  expect(ROWS.length).toBeGreaterThanOrEqual(60);
});

describe('each usage costs what was worked out by hand', () => {
  let found: Awaited<ReturnType<typeof costs>>;
  beforeAll(async () => {
    found = await costs(ROWS.map((row) => caseOf(row)));
  });
  test.each(ROWS.map((row, at) => [row.title, row.usd, at] as const))('%s', (_, usd, at) => {
    expect(found[at]).toEqual({ usd, unpriced: null });
  });
});

const INPUT = [
  'input',
  'cached_tokens',
  'cache_write_5m_tokens',
  'cache_write_1h_tokens',
  'audio_input_tokens',
  'image_input_tokens',
];
const OUTPUT = ['output', 'reasoning_tokens', 'audio_output_tokens', 'image_output_tokens'];
const OTHERS = ['images', 'input_seconds', 'output_seconds', 'characters', 'web_searches', 'tool_calls'];
const POOLS = [...INPUT, ...OUTPUT, ...OTHERS];
const sum = (pools: Counts, names: string[]) => names.reduce((all, name) => all + Number(pools[name] ?? 0), 0);

/** The counts of a call as pools that exclude each other, and back. */
function poolsOf(counts: Counts): Counts {
  const input = Number(counts.prompt_tokens ?? 0) - sum(counts, INPUT);
  const output = Number(counts.completion_tokens ?? 0) - sum(counts, OUTPUT);
  return { ...counts, input, output };
}
function countsFrom(pools: Counts): Counts {
  return { ...pools, prompt_tokens: sum(pools, INPUT), completion_tokens: sum(pools, OUTPUT) };
}

test('whichever two pools were swapped, a row of the table would tell', async () => {
  const pairs = POOLS.flatMap((one, at) => POOLS.slice(at + 1).map((other) => [one, other] as const));
  const swaps = pairs.flatMap(([one, other]) =>
    ROWS.flatMap((row) => {
      const pools = poolsOf(countsOf(row));
      const [a, b] = [pools[one] ?? 0, pools[other] ?? 0];
      if (a === b) return [];
      return [
        {
          pair: `${one} and ${other}`,
          usd: row.usd,
          swapped: caseOf(row, countsFrom({ ...pools, [one]: b, [other]: a })),
        },
      ];
    }),
  );
  const found = await costs(swaps.map(({ swapped }) => swapped));
  const told = new Set(swaps.filter(({ usd }, at) => found[at]?.usd !== usd).map(({ pair }) => pair));
  const names = pairs.map((pair) => pair.join(' and '));
  expect(names.filter((name) => !told.has(name))).toEqual([]);
});

describe('through function ai', () => {
  const NAMES = [
    'OpenAI chat: cached and written',
    'OpenAI chat: 272,001 tokens are long',
    'OpenAI chat: a long context of which most is cached',
    'OpenAI chat: priority',
    'OpenAI chat: searches, as of OpenRouter',
    "xAI: a chat's reasoning is outside its completion",
    'others: reasoning with a price of its own, and a fee',
  ];

  test.each(NAMES.flatMap((name) => [false, true].map((stream) => [name, stream] as const)))(
    '%s (stream: %s)',
    async (name, stream) => {
      const row = ROWS.find(({ title }) => title === name);
      if (!row?.answer) throw new Error(`There is no row ${name}.`);
      const user = await newCaller();
      await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual')`, [user.id]);
      const model = await newModel({ max_output_tokens: 2_000 }, row.price);
      const { usage, service_tier } = row.answer as { usage: object; service_tier?: string };
      // What is reported is bounded by what was sent.
      const text = 'all of it '.repeat(Number(countsOf(row).prompt_tokens) > 10_000 ? 16_000 : 100);
      const messages = simulate({ usage: { ...usage, service_tier }, text: 'Hi' }, text);
      if (stream) {
        for await (const _ of await openai(user).chat.completions.create({ model, messages, stream }));
      } else {
        await openai(user).chat.completions.create({ model, messages });
      }
      const { images, ...counts } = countsOf(row);
      const [log] = await logsOf(user);
      expect({ ...log, credits: Number(log?.credits_charged) }).toMatchObject({
        usage_source: 'reported',
        cost_usd: String(row.usd),
        credits: Number((row.usd * 100).toFixed(6)),
        ...counts,
      });
    },
  );
});
