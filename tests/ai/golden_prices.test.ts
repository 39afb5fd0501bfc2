/** What each provider's usage costs, to the dollar: through the reader of function `ai` and the charge function in SQL. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { later, type Reported, readTier, readUsage } from '../../supabase/functions/ai/pools.ts';
import { runs } from '../support/runs.ts';
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

describe('what a call is held for', () => {
  type Part = {
    unit: string;
    usd_per_unit: number;
    above_input_tokens?: number;
    bound_included?: boolean;
    reprices?: string;
    service_tier?: string;
    clock?: object;
  };
  const count = fc.oneof(fc.nat(50), fc.nat(400_000), fc.constantFrom(0, 199_999, 200_000, 200_001, 272_000, 272_001));
  const usd = fc.constantFrom(0, 0.0000001, 0.000002, 0.00003, 0.05);
  const unit = fc.constantFrom(
    ...['input', 'cached_input', 'cache_write_5m', 'cache_write_1h', 'audio_input', 'image_input'],
    ...['output', 'reasoning', 'audio_output', 'image_output', 'image', 'web_search', 'tool_call', 'request'],
  );
  const conditions = fc.record(
    {
      above_input_tokens: fc.constantFrom(200_000, 272_000),
      bound_included: fc.boolean(),
      reprices: fc.constantFrom('whole', 'excess'),
      service_tier: fc.constantFrom('flex', 'priority'),
      clock: fc.constantFrom({ from: '12:00', to: '12:05' }, { weekdays: [6], from: '22:00', to: '12:10' }),
    },
    { requiredKeys: [] },
  );
  // Half of them under no condition.
  const component = fc
    .tuple(unit, usd, fc.option(conditions, { nil: {} }), fc.boolean())
    .map(([name, usd_per_unit, when, isBare]) => ({ unit: name, usd_per_unit, ...(isBare ? {} : when) }) as Part);
  const isBase = ({ above_input_tokens, service_tier, clock }: Part) => !above_input_tokens && !service_tier && !clock;
  const price = fc.array(component, { minLength: 1, maxLength: 8 }).map((drawn) => {
    const parts = drawn.map(({ reprices, ...part }) => (part.above_input_tokens ? { ...part, reprices } : part));
    const based = new Set(parts.filter(isBase).map((part) => part.unit));
    const missing = parts
      .filter((part) => !based.has(part.unit))
      .map((part) => ({ unit: part.unit, usd_per_unit: 0.000001 }));
    // One of each kind.
    const kindOf = (part: Part) => JSON.stringify([part.unit, part.above_input_tokens, part.service_tier, part.clock]);
    return [...new Map([...parts, ...missing].map((part) => [kindOf(part), part])).values()];
  });
  // Often all of it, or nothing: elsewhere there is room that would hide a bound that is too low.
  const share = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
  const call = fc.record({
    prompt: fc.oneof(fc.constant(0), count),
    completion: fc.oneof(fc.constant(0), count),
    audio: share,
    image: share,
    images: fc.constantFrom(0, 3),
    used: fc.array(share, { minLength: 14, maxLength: 14 }),
    tier: fc.constantFrom(null, 'flex', 'priority', 'scale'),
    began: fc.integer({ min: 0, max: 2_000 }),
    lasts: fc.integer({ min: 0, max: 1_000 }),
    markup: fc.constantFrom(1, 1.5),
  });

  test('is at least what any usage within its bounds is charged', async () => {
    await fc.assert(
      fc.asyncProperty(price, fc.array(call, { minLength: 30, maxLength: 30 }), async (components, calls) => {
        const cases = calls.map((one, place) => {
          const of = (most: number, at: number) => Math.floor(most * (one.used[at] ?? 0));
          const audio = Math.floor(one.prompt * one.audio);
          const image = Math.floor((one.prompt - audio) * one.image);
          const prompt = of(one.prompt, 0);
          const completion = of(one.completion, 1);
          return {
            place,
            worst: {
              prompt: one.prompt,
              completion: one.completion,
              images: one.images,
              pools: { audio_input_tokens: audio, image_input_tokens: image, web_searches: 1, tool_calls: 1 },
            },
            used: {
              prompt,
              cached: of(prompt, 2),
              completion,
              images: of(one.images, 3),
              pools: {
                cache_write_5m_tokens: of(prompt, 4),
                cache_write_1h_tokens: of(prompt, 5),
                audio_input_tokens: of(audio, 6),
                image_input_tokens: of(image, 7),
                reasoning_tokens: of(completion, 8),
                audio_output_tokens: of(completion, 9),
                image_output_tokens: of(completion, 10),
                web_searches: of(1, 11),
                tool_calls: of(1, 12),
                service_tier: one.tier,
              },
            },
            began: new Date(Date.parse('2026-11-28T11:45:00Z') + one.began * 1000).toISOString(),
            ended: new Date(Date.parse('2026-11-28T11:45:00Z') + (one.began + one.lasts) * 1000).toISOString(),
            markup: one.markup,
          };
        });
        const model = randomUUID();
        await client.query('savepoint before_it');
        try {
          await offer(model, components);
          const { rows } = await client.query(
            `select x.place, c.credits, round(private.sum_of(private.pools_of(w.usage, null),
               private.bound_rates(p.pricing, w.usage, x.began)), 6) as held
             from jsonb_to_recordset($2)
               as x (place integer, worst jsonb, used jsonb, began timestamptz, ended timestamptz, markup numeric)
             join public.ai_models m on m.model = $1,
             lateral (select private.pricing_of(m, x.began) || jsonb_build_object('markup', x.markup)
               || case when x.used #>> '{pools,service_tier}' is null then '{}' else '{"any_service_tier": true}' end::jsonb as pricing) p,
             lateral (select private.usage_of_call((worst ->> 'prompt')::bigint, 0, (worst ->> 'completion')::bigint,
               (worst ->> 'images')::bigint, worst -> 'pools') as usage) w,
             lateral private.charge_of(p.pricing, private.usage_of_call((used ->> 'prompt')::bigint, (used ->> 'cached')::bigint,
               (used ->> 'completion')::bigint, (used ->> 'images')::bigint, jsonb_strip_nulls(used -> 'pools')), x.began, x.ended) c
             where c.credits > round(private.sum_of(private.pools_of(w.usage, null),
               private.bound_rates(p.pricing, w.usage, x.began)), 6)`,
            [model, JSON.stringify(cases)],
          );
          expect(rows).toEqual([]);
        } finally {
          await client.query('rollback to before_it');
        }
      }),
      { numRuns: runs(60) },
    );
  });
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
