import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { readCatalogue } from '../../scripts/prices/catalogue.ts';
import { changesOf, compare, type PricedModel } from '../../scripts/prices/comparison.ts';
import type { Component, Offer } from '../../scripts/prices/components.ts';

const read = (name: string): Offer[] =>
  readCatalogue(readFileSync(join(PROJECT_DIR, `tests/prices/fixtures/${name}.json`), 'utf8')).offers;
const [modelsDev, litellm] = [read('models-dev'), read('litellm')];

const model = (upstream_model: string, provider = 'default', price: PricedModel['price'] = null): PricedModel => ({
  model: 'ours',
  provider,
  upstream_model,
  price,
});

/** What becomes of one model: the kind, and the offers that were found. */
function verdictOf(wanted: PricedModel, offers: Offer[], providers: string[] = []) {
  const [verdict] = compare([wanted], offers, providers);
  return [verdict?.kind, ...(verdict?.found ?? []).map(({ provider, model }) => `${provider}/${model}`)].join(' ');
}

describe('which offer a model gets', () => {
  test.each([
    ['large-1', 'default', [], 'new acme/large-1'],
    ['acme/large-1', 'reseller', [], 'new reseller/acme/large-1'],
    ['acme/large-1', 'default', [], 'ambiguous acme/large-1 reseller/acme/large-1'],
    ['small-1', 'default', [], 'ambiguous acme/small-1 reseller/small-1'],
    ['small-1', 'acme', [], 'new acme/small-1'],
    ['small-1', 'A-C_M.E', [], 'new acme/small-1'],
    ['small-1', 'acme', ['reseller'], 'new reseller/small-1'],
    ['small-1', 'default', ['acme'], 'new acme/small-1'],
    ['small-1', 'default', ['acme', 'reseller'], 'ambiguous acme/small-1 reseller/small-1'],
    ['small-1', 'xai', [], 'missing'],
    ['twin-1', 'default', [], 'new reseller/twin-1 mirror/twin-1'],
    ['open-1', 'acme', [], 'unpriced acme/open-1'],
    ['none', 'default', [], 'missing'],
  ])('%s of provider %s, from %o: %s', (name, provider, providers, verdict) => {
    expect(verdictOf(model(name, provider), modelsDev, providers)).toBe(verdict);
  });

  test('a key of LiteLLM is found with its provider and without', () => {
    for (const name of ['large-1', 'acme/large-1']) expect(verdictOf(model(name), litellm)).toBe('new acme/large-1');
    expect(verdictOf(model('grok-wide', 'xai'), litellm)).toBe('new xai/grok-wide');
    expect(verdictOf(model('xai/grok-wide'), litellm)).toBe('new xai/grok-wide');
  });
});

describe('what becomes of a price', () => {
  const components: Component[] = [
    { unit: 'output', usd_per_unit: '0.0000003' },
    { unit: 'cached_input', usd_per_unit: '0.000000025' },
    { unit: 'input', usd_per_unit: '0.0000001' },
  ];
  const priced = (source: string, ...others: Component[]) =>
    model('small-1', 'acme', {
      source,
      effective_from: '2026-06-01T00:00:00Z',
      components: [...components, ...others],
    });

  test('the same is unchanged, whoever said so, in any order', () => {
    expect(verdictOf(priced('litellm'), modelsDev)).toBe('unchanged acme/small-1');
  });

  test('one that was set by hand is kept, and what the file says otherwise is shown', () => {
    const [verdict] = compare([priced('manual', { unit: 'request', usd_per_unit: '0.01' })], modelsDev, []);
    expect(verdict).toMatchObject({ kind: 'manual', changes: ['request (USD): 0.01 -> none'] });
  });

  test('one that begins later than what is to be written is kept', () => {
    const model = priced('litellm', { unit: 'request', usd_per_unit: '0.01' });
    const kinds = ['2026-05-31', '2026-06-01', '2026-06-02'].map(
      (day) => compare([model], modelsDev, [], new Date(day))[0]?.kind,
    );
    expect(kinds).toEqual(['later', 'later', 'changed']);
    const same = compare([model], modelsDev, [])[0]?.found[0]?.components ?? [];
    const scheduled = { ...model, price: { source: 'litellm', effective_from: '2026-06-01', components: same } };
    const kindAt = (day: string) => compare([scheduled], modelsDev, [], new Date(day))[0]?.kind;
    // That it will be so says nothing of the price in force.
    expect(['2026-05-31', '2026-06-01', '2026-06-02'].map(kindAt)).toEqual(['later', 'unchanged', 'unchanged']);
  });

  test('each component that differs is a line, old and new', () => {
    const before: Component[] = [
      { unit: 'input', usd_per_unit: '0.0000001' },
      { unit: 'output', usd_per_unit: '0.0000003', service_tier: 'flex' },
      { unit: 'second_input', usd_per_unit: '0.0001' },
    ];
    const after: Component[] = [
      { unit: 'input', usd_per_unit: '0.00000015' },
      { unit: 'input', usd_per_unit: '0.0000002', above_input_tokens: 200000, bound_included: true },
      { unit: 'second_input', usd_per_unit: '0.0002' },
    ];
    expect(changesOf(before, after)).toEqual([
      'input (USD a million): 0.1 -> 0.15',
      'input, above_input_tokens 200000, bound_included true (USD a million): none -> 0.2',
      'second_input (USD): 0.0001 -> 0.0002',
      'output, service_tier "flex" (USD a million): 0.3 -> none',
    ]);
    expect(compare([priced('litellm', { unit: 'image', usd_per_unit: '0' })], modelsDev, [])[0]).toMatchObject({
      kind: 'changed',
      changes: ['image (USD): 0 -> none'],
    });
  });
});
