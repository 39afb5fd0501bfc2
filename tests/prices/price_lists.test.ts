import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { readCatalogue } from '../../scripts/prices/catalogue.ts';
import { decimal, parseExactly } from '../../scripts/prices/decimal.ts';
import { runs } from '../support/runs.ts';

const fixture = (name: string): string => readFileSync(join(PROJECT_DIR, `tests/prices/fixtures/${name}.json`), 'utf8');

/** The offer of a model as lines that sort and compare well. */
function offerIn(file: string, model: string, provider?: string) {
  const offer = readCatalogue(fixture(file)).offers.find(
    (o) => o.model === model && (provider ?? o.provider) === o.provider,
  );
  const lines = offer?.components.map(({ unit, usd_per_unit, ...condition }) =>
    [unit, usd_per_unit, ...Object.values(condition)].join(' '),
  );
  return { provider: offer?.provider, lines: lines?.sort(), unexpressed: offer?.unexpressed };
}

describe('numbers', () => {
  test.each([
    ['2e-07', 0, '0.0000002'],
    ['0.1', -6, '0.0000001'],
    ['1E+2', 0, '100'],
    ['0.0', -6, '0'],
    ['-0.50', 0, '-0.5'],
    ['123456789.123456789', -6, '123.456789123456789'],
    ['0.3', 6, '300000'],
    ['20', 0, '20'],
  ])('%s shifted by %i is %s', (text, shift, value) => expect(decimal(text, shift)).toBe(value));

  test.each(['', 'free', '1.', '.5', '1e999', 'NaN', '0x10'])('"%s" is none', (text) =>
    expect(decimal(text)).toBeUndefined(),
  );

  test('any decimal per million is exactly a millionth of it per unit, however it is written', () => {
    const written = fc.tuple(fc.nat(), fc.nat(1e9), fc.integer({ min: 0, max: 12 }), fc.integer({ min: -9, max: 9 }));
    fc.assert(
      fc.property(written, ([whole, fraction, places, exponent]) => {
        const digits = `${fraction}`.padStart(places, '0').slice(0, places);
        const text = `${whole}${digits && `.${digits}`}e${exponent}`;
        const json = JSON.stringify({ acme: { models: { m: { cost: { input: 'here' } } } } }).replace('"here"', text);
        const [offer] = readCatalogue(json).offers;
        const [before = '', after = ''] = (offer?.components[0]?.usd_per_unit ?? '').split('.');
        // Both sides as whole numbers: value x 10^30, by integers alone.
        const scaled = BigInt(before + after.padEnd(30, '0'));
        expect(scaled).toBe(BigInt(whole + digits) * 10n ** BigInt(30 - places + exponent - 6));
      }),
      { numRuns: runs(300) },
    );
  });

  test('JSON is parsed as by JSON.parse, with numbers as they are written', () => {
    expect(parseExactly('{"a":[1.0,-2e-07,"3 \\"4\\" 5",true,null],"6":{}}')).toEqual({
      a: ['1.0', '-2e-07', '3 "4" 5', true, null],
      6: {},
    });
    for (const broken of ['[01]', '{"a":1', '', '[1.]']) expect(() => parseExactly(broken)).toThrow(SyntaxError);
  });
});

describe('models.dev', () => {
  test('costs are US dollars a million, a tier of context counts above its size', () => {
    const { format } = readCatalogue(fixture('models-dev'));
    expect(format).toBe('models.dev');
    expect(offerIn('models-dev', 'small-1', 'acme').lines).toEqual([
      'cached_input 0.000000025',
      'input 0.0000001',
      'output 0.0000003',
    ]);
    expect(offerIn('models-dev', 'large-1')).toEqual({
      provider: 'acme',
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
      // Its premium above 200,000 is that above 272,000 again; the rest is named.
      unexpressed: [
        'cost.tiers[1] {input:1,output:5,tier:{type:weather,size:1}}',
        'experimental {modes:{fast:{cost:{input:4,output:20}}}}',
      ],
    });
  });

  test('sound has prices of its own, and what is not known is named', () => {
    expect(offerIn('models-dev', 'voice-1')).toMatchObject({
      lines: ['audio_input 0.00001', 'audio_output 0.000020000001', 'input 0.0000006', 'output 0.0000024'],
      unexpressed: ['cost.per_minute 0.006'],
    });
    expect(offerIn('models-dev', 'open-1')).toMatchObject({ lines: [], unexpressed: [] });
  });

  test('at xAI 200,000 tokens are in the upper tier; a tier without a price below it is named', () => {
    expect(offerIn('models-dev', 'wide-1')).toMatchObject({
      lines: [
        'cached_input 0.0000005',
        'cached_input 0.000001 200000 true',
        'input 0.000002',
        'input 0.000004 200000 true',
        'output 0.000006',
        'output 0.000012 200000 true',
      ],
      unexpressed: [
        expect.stringMatching(/^cache_write_5m, above_input_tokens 200000, .* 0\.000003, without a standard price/),
      ],
    });
  });
});

describe('LiteLLM', () => {
  test('conditions are read from the names of fields; an hour is no threshold', () => {
    expect(readCatalogue(fixture('litellm')).format).toBe('litellm');
    expect(offerIn('litellm', 'large-1')).toEqual({
      provider: 'acme',
      lines: [
        'cache_write_1h 0.000004',
        'cache_write_1h 0.000008 272000',
        'cache_write_5m 0.0000025',
        'cached_input 0.0000002',
        'input 0.000001 flex',
        'input 0.000002',
        'input 0.000004 272000',
        'input 0.000008 272000 priority',
        'output 0.000005 batch',
        'output 0.00001',
        'reasoning 0.000012',
        'web_search 0.01',
      ],
      unexpressed: [
        'cache_read_input_audio_token_cost 3e-7',
        'file_search_cost_per_1k_calls 2.5',
        'provider_specific_entry {fast:2.0}',
        'regional_processing_uplift_multiplier_eu 1.1',
      ],
    });
  });

  test('the first key is no model', () => {
    expect(readCatalogue(fixture('litellm')).offers.map(({ model }) => model)).not.toContain('sample_spec');
  });

  test('searches whose price depends on their size are named', () => {
    expect(offerIn('litellm', 'grok-wide')).toMatchObject({
      lines: ['input 0.000002', 'input 0.000004 200000 true', 'output 0.000006'],
      unexpressed: [expect.stringMatching(/^search_context_cost_per_query/)],
    });
  });

  test('steps of context begin where their range does', () => {
    expect(offerIn('litellm', 'steps-1')).toMatchObject({
      lines: ['input 0.0000003', 'input 0.0000006 32000', 'output 0.000001', 'output 0.000002 32000'],
      unexpressed: [
        'tiered_pricing[1].reasoning_surcharge_cost 1',
        expect.stringMatching(/^tiered_pricing\[2\]/),
        expect.stringMatching(/^tiered_pricing\[3\]/),
      ],
    });
  });

  test('seconds, characters and images are those of the model’s mode', () => {
    expect(offerIn('litellm', 'hear-1').lines).toEqual(['second_input 0.0001', 'second_output 0']);
    expect(offerIn('litellm', 'speak-1').lines).toEqual(['character 0.000015']);
    expect(offerIn('litellm', 'draw-1')).toMatchObject({
      lines: ['image 0.04', 'image_input 0.000008', 'image_output 0.00003', 'input 0.000005'],
      unexpressed: ['input_cost_per_pixel 1.9e-8'],
    });
    expect(offerIn('litellm', 'rented-1')).toMatchObject({
      lines: [],
      unexpressed: ['input_cost_per_second 0.011', 'tiered_pricing {by:hour}'],
    });
  });

  test('of two fields for one thing the first counts, and the second is named; so is what is no price', () => {
    expect(offerIn('litellm', 'film-1')).toMatchObject({
      lines: ['video_second 0.1'],
      unexpressed: ['output_cost_per_second 0.2'],
    });
    expect(offerIn('litellm', 'odd-1')).toMatchObject({
      lines: [],
      unexpressed: [
        'input_cost_per_token -1',
        'output_cost_per_token free',
        expect.stringMatching(/^output, service_tier "flex" 0\.000001, without/),
      ],
    });
  });
});

test.each([
  ['{"a":', undefined, /^This is no JSON: /],
  ['[]', undefined, /^This is no price list of models\.dev or LiteLLM/],
  ['"prices"', undefined, /^This is no price list of models\.dev or LiteLLM/],
  ['{}', 'litellm', /^This price list of litellm has no price/],
  ['{"a":{}}', 'yaml', /^There is no format "yaml"; there is: models\.dev, litellm/],
  ['{"a":{"models":[]}}', undefined, /^This is no price list of models\.dev: a → models: /],
  ['{"a":{"models":{}}}', 'litellm', /^This price list of litellm has no price/],
  ['{"a":{"litellm_provider":2}}', undefined, /^This price list of litellm has no price/],
  ['{"a":{"litellm_provider":{}}}', undefined, /^This is no price list of litellm: a → litellm_provider: /],
  ['{"a":{"models":{"m":{"cost":2}}}}', undefined, /^This is no price list of models\.dev: a → models → m → cost: /],
])('a file that is none is refused: %s', (text, format, sentence) => {
  expect(() => readCatalogue(text, format)).toThrow(sentence);
});
