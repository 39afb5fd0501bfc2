import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StackError, withClient } from '@basemeter/local-supabase';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { run } from '../../scripts/commands/prices.ts';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { setPrices } from '../../scripts/prices/database.ts';
import { newUser, sql, urls } from '../support/stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'basemeter-prices-'));
const fixture = (name: string): string => join(PROJECT_DIR, `tests/prices/fixtures/${name}.json`);
const tag = randomUUID().slice(0, 8);

beforeAll(async () => {
  vi.stubEnv('DB_URL', urls.database);
  await sql(`insert into public.ai_providers (provider) values ('acme') on conflict do nothing`);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
  await sql(`delete from public.ai_models where model like $1`, [`${tag}-%`]);
});

/** A model of ours of provider acme, and its name. */
async function modelOf(upstream: string): Promise<string> {
  const model = `${tag}-${randomUUID().slice(0, 8)}`;
  await sql(
    `insert into public.ai_models (model, display_name, upstream_model, provider, max_output_tokens) values ($1, 'M', $2, 'acme', 10)`,
    [model, upstream],
  );
  return model;
}

/** Runs the command and gives what it printed. */
async function prices(...args: string[]): Promise<string> {
  const print = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    expect(await run(args)).toBe(0);
    return print.mock.calls.flat().join('\n');
  } finally {
    print.mockRestore();
  }
}

/** The prices of a model from its first to its last, each as lines. */
async function pricesOf(model: string) {
  const rows = await sql(
    `select p.source, p.effective_from, (
         select array_agg(concat_ws(' ', c.unit, c.usd_per_unit, nullif(c.above_input_tokens, 0), nullif(c.service_tier, 'standard')) order by 1)
           from public.ai_price_components c where c.price_id = p.id) as lines
       from public.ai_model_prices p where p.model = $1 order by p.effective_from`,
    [model],
  );
  return rows.map(({ source, effective_from, lines }) => ({ source, effective_from, lines: lines.sort() }));
}

/** A file as the fixture with one text in place of another. */
function changed(name: string, from: string, to: string): string {
  const file = join(folder, `${randomUUID()}.json`);
  const text = readFileSync(fixture(name), 'utf8');
  expect(text).toContain(from);
  writeFileSync(file, text.replace(from, to));
  return file;
}

test('an import shows what it would write, writes it exactly with --apply, and does nothing the second time', async () => {
  const model = await modelOf('large-1');
  const shown = await prices('import', fixture('models-dev'), '--models', model);
  expect(shown).toContain(`${model} (acme/large-1): new\n`);
  expect(shown).toContain('input (USD a million): none -> 2\n');
  expect(shown).toContain('  not imported: cost.tiers[1] ');
  expect(shown).toMatch(/Nothing was written; --apply writes: \S+\.$/);
  expect(await pricesOf(model)).toEqual([]);

  await prices('import', fixture('models-dev'), '--models', model, '--apply');
  const written = await pricesOf(model);
  expect(written).toEqual([
    {
      source: 'models.dev',
      effective_from: expect.any(Date),
      lines: [
        'cache_write_5m 0.0000025',
        'cached_input 0.0000002',
        'cached_input 0.0000004 272000',
        'input 0.000002',
        'input 0.000004 272000',
        'output 0.00001',
        'output 0.000015 272000',
        'reasoning 0.000012',
      ],
    },
  ]);
  const [audit] = await sql(
    `select details ->> 'reason' as reason from public.audit_logs where action = 'admin_set_model_price' and details ->> 'model' = $1`,
    [model],
  );
  expect(audit?.reason).toBe('Imported from models-dev.json');

  const again = await prices('import', fixture('models-dev'), '--models', model, '--apply');
  expect(again).toContain(`${model} (acme/large-1): unchanged`);
  expect(await pricesOf(model)).toEqual(written);
});

test('the conditions of LiteLLM come back as they were, and the other list’s word is a change', async () => {
  const model = await modelOf('large-1');
  await prices('import', fixture('litellm'), '--models', model, '--apply');
  const [first] = await pricesOf(model);
  expect(first?.lines).toContain('input 0.000008 272000 priority');
  expect(first?.lines).toContain('output 0.000005 batch');
  expect(await prices('import', fixture('litellm'), '--models', model, '--apply')).toContain('unchanged');
  expect(await prices('import', fixture('models-dev'), '--models', model)).toContain(
    'input, service_tier "flex" (USD a million): 1 -> none',
  );
});

test('a price that changes is a further row; the one before stays', async () => {
  const model = await modelOf('small-1');
  await prices('import', fixture('models-dev'), '--models', model, '--apply');
  const [before] = await pricesOf(model);
  const dearer = changed('models-dev', '"input": 0.1,', '"input": 0.15,');
  expect(await prices('import', dearer, '--models', model, '--apply')).toContain('input (USD a million): 0.1 -> 0.15');
  const after = await pricesOf(model);
  expect(after).toHaveLength(2);
  expect(after[0]).toEqual(before);
  expect(after[1]?.lines).toContain('input 0.00000015');
});

test('a price that was set by hand is kept, and the others of the file are written', async () => {
  const [byHand, other, untouched] = [await modelOf('small-1'), await modelOf('voice-1'), await modelOf('small-1')];
  await sql(`select public.admin_set_model_price($1, 'by hand', '[{"unit": "input", "usd_per_unit": 0.5}]')`, [byHand]);
  const before = await pricesOf(byHand);
  const shown = await prices('import', fixture('models-dev'), '--models', `${byHand},${other}`, '--apply');
  expect(shown).toContain(`${byHand} (acme/small-1): its price was set by hand and is kept`);
  expect(shown).toContain('  input (USD a million): 500000 -> 0.1');
  expect(await pricesOf(byHand)).toEqual(before);
  expect(await pricesOf(other)).toHaveLength(1);
  expect(await pricesOf(untouched)).toEqual([]);
});

test('a price that has ended is none to compare with', async () => {
  const model = await modelOf('small-1');
  await sql(`select private.set_model_price($1, '{"input": 1}', '2020-01-01', '2020-02-01')`, [model]);
  await prices('import', fixture('models-dev'), '--models', model, '--apply');
  expect((await pricesOf(model)).map(({ source }) => source)).toEqual(['manual', 'models.dev']);
});

test('prices are written all or none', async () => {
  const model = await modelOf('small-1');
  const components = [{ unit: 'input' as const, usd_per_unit: '1' }];
  const wanted = [model, 'never-heard-of'].map((name) => ({
    model: name,
    components,
    source: 'x',
    reason: 'y',
    from: undefined,
  }));
  const refused = withClient(urls.database, (client) => setPrices(client, wanted));
  await expect(refused).rejects.toThrow(/^The price of never-heard-of was refused, and none was written: /);
  expect(await pricesOf(model)).toEqual([]);
});

test('prices can begin later, and not before now', async () => {
  const [first, second] = [await modelOf('small-1'), await modelOf('voice-1')];
  const both = ['--models', `${first},${second}`, '--apply'];
  await sql(
    `select public.admin_set_model_price($1, 'a test', '[{"unit": "input", "usd_per_unit": 1}]', source => 'litellm')`,
    [second],
  );
  const past = prices('import', fixture('models-dev'), '--models', first, '--apply', '--from', '2020-01-01T00:00Z');
  await expect(past).rejects.toThrow(/is in the past/);
  expect(await pricesOf(first)).toEqual([]);

  await prices('import', fixture('models-dev'), ...both, '--from', '2090-01-01T00:00Z');
  for (const model of [first, second])
    expect((await pricesOf(model)).at(-1)?.effective_from).toEqual(new Date('2090-01-01T00:00Z'));
  expect(await prices('import', fixture('models-dev'), ...both)).toContain('Nothing to write.');
  const dearer = changed('models-dev', '"input": 0.1,', '"input": 0.15,');
  expect(await prices('import', dearer, ...both)).toContain('its price that is yet to begin is kept');
  expect(await pricesOf(first)).toHaveLength(1);
});

test('models of the file that are not on offer are counted, and named with --list', async () => {
  const model = await modelOf('small-1');
  expect(await prices('import', fixture('models-dev'), '--models', model)).toContain(
    'Models of the file that are not on offer: 8.',
  );
  expect(await prices('import', fixture('models-dev'), '--models', model, '--list')).toContain('xai/wide-1');
});

test.each([
  [['import', '/nowhere.json'], /^\/nowhere\.json can't be read: /],
  [['import', fixture('litellm'), '--format', 'csv'], /^There is no format "csv"/],
  [['import', fixture('litellm'), '--models', 'never-heard-of'], /^There is no model never-heard-of in ai_models\./],
  [['import', fixture('litellm'), '--from', 'soon'], /^--from soon is no time/],
  [['margin', '--from', '2026-02-31'], /^--from 2026-02-31 is no day/],
  [['import', fixture('litellm'), '--aply'], /--aply/],
])('what makes no sense is refused: %o', async (args, sentence) => {
  // Of a StackError its one sentence is printed, and the exit code is 1.
  const thrown = await run(args).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(StackError);
  expect((thrown as StackError).message).toMatch(sentence);
});

test('a model that was named and is not in the file is an error, and nothing is written', async () => {
  const [known, unknown, vague] = [await modelOf('small-1'), await modelOf('not-there'), await modelOf('odd-1')];
  const wanted = prices('import', fixture('models-dev'), '--models', `${known},${unknown}`, '--apply');
  await expect(wanted).rejects.toThrow(`Nothing was written: no price was found for ${unknown}.`);
  expect(await pricesOf(known)).toEqual([]);
  await expect(prices('import', fixture('litellm'), '--models', vague)).rejects.toThrow(/no price was found/);
});

test('margins: models below cost first and marked, then units that were used without a price', async () => {
  const { id } = await newUser();
  const year = 1000 + Math.floor(Math.random() * 900); // nobody else's
  const log = (model: string, cost: string, charged: string, pricing = {}) =>
    sql(
      `insert into private.ai_usage_logs (workspace_id, user_id, created_at, scene, status, model, served_model, cost_usd, charged_usd, pricing)
       values ($1, $1, $6, 'text_chat', 'success', $2, $2, $3, $4, $5)`,
      [id, model, cost, charged, pricing, `${year}-02-03T12:00Z`],
    );
  await log(`${tag}-good`, '1', '1.5');
  await log(`${tag}-good`, '1', '1.5');
  await log(`${tag}-loss`, '1.000001', '0.75', { unpriced: ['web_search', 'audio_input'] });
  await log(`${tag}-free`, '0.5', '0');
  const report = await prices('margin', '--from', `${year}-02-01`, '--to', `${year}-02-28`);
  const lines = report.split('\n').map((line) => line.trim().replace(/ {2,}/g, '|'));
  expect(lines).toEqual([
    'calls|charged, USD|cost, USD|margin, USD|margin',
    `${tag}-free (below cost)|1|0.0000|0.5000|-0.5000|not charged`,
    `${tag}-loss (below cost)|1|0.7500|1.0000|-0.2500|-33.3 %`,
    `${tag}-good|2|3.0000|2.0000|1.0000|33.3 %`,
    `${tag}-loss has no price for audio_input, web_search: used by 1 of its calls; admin_set_model_price sets one.`,
  ]);
  expect(await prices('margin', '--from', `${year}-03-01`, '--to', `${year}-03-31`)).toBe(
    'No call was charged or cost anything.',
  );
});
