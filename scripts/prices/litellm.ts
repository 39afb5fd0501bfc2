/** The price list of LiteLLM: US dollars per single unit, by model, with conditions in the names of the fields. */
import { z } from 'zod';
import { type Offer, OfferDraft, type Unit } from './components.ts';

const UNITS: Record<string, Unit> = {
  input_cost_per_token: 'input',
  output_cost_per_token: 'output',
  output_cost_per_reasoning_token: 'reasoning',
  cache_read_input_token_cost: 'cached_input',
  cache_creation_input_token_cost: 'cache_write_5m',
  cache_creation_input_token_cost_above_1hr: 'cache_write_1h', // how long it is kept; no threshold
  input_cost_per_audio_token: 'audio_input',
  output_cost_per_audio_token: 'audio_output',
  input_cost_per_image_token: 'image_input',
  output_cost_per_image_token: 'image_output',
  output_cost_per_image: 'image',
  output_cost_per_video_per_second: 'video_second',
  input_cost_per_request: 'request',
};

/** Fields that mean this of models with these modes alone: of a chat, seconds are rented capacity. */
const UNITS_BY_MODE: Record<string, Record<string, Unit>> = {
  audio_transcription: { input_cost_per_second: 'second_input', output_cost_per_second: 'second_output' },
  audio_speech: { input_cost_per_character: 'character', output_cost_per_second: 'second_output' },
  video_generation: { output_cost_per_second: 'video_second' },
};

/** A field's name: what is priced, the context it counts above, in thousands of tokens, and the service tier. */
const FIELD = /^(.+?)(?:_above_(\d+)k_tokens)?(?:_(flex|priority|batches))?$/;

const SERVICE_TIERS: Record<string, string> = { flex: 'flex', priority: 'priority', batches: 'batch' };

/** What else is about money. */
const IS_PRICE = /cost|pric|uplift|provider_specific_entry/;

/** At xAI the bound is in the upper tier. */
const BOUND_INCLUDED = ['xai'];

const entry = z.looseObject({ litellm_provider: z.string().default(''), mode: z.string().optional() });
type Entry = z.infer<typeof entry>;

const contextRange = z.looseObject({ range: z.tuple([z.string().regex(/^\d{1,9}(\.0*)?$/)]).rest(z.unknown()) });

/** What a search costs, where it is the same for each size of its context. */
const searchPrices = z
  .object({
    search_context_size_low: z.string(),
    search_context_size_medium: z.string(),
    search_context_size_high: z.string(),
  })
  .transform(Object.values<string>)
  .refine((prices) => new Set(prices).size === 1)
  .transform(([price]) => price);

/** What `parseExactly` makes of the file; each number is a text. Its first key explains the fields and is no model. */
export const litellmFile = z.preprocess(
  (file) => {
    if (typeof file !== 'object' || file === null) return file;
    const { sample_spec, ...models } = file as Record<string, unknown>;
    return models;
  },
  z.record(z.string(), entry),
);

/** The offers of a file, in its order. A model's key may begin with its provider, which its name does not. */
export function readLitellm(file: z.infer<typeof litellmFile>): Offer[] {
  return Object.entries(file).map(([key, fields]) => {
    const provider = fields.litellm_provider;
    const model = key.startsWith(`${provider}/`) ? key.slice(provider.length + 1) : key;
    return offerOf(provider, model, fields);
  });
}

function offerOf(provider: string, model: string, { mode = '', tiered_pricing, ...fields }: Entry): Offer {
  const draft = new OfferDraft();
  const units = { ...UNITS, ...UNITS_BY_MODE[mode] };
  const add = (path: string, name: string, value: unknown, from = 0): void => {
    const [, base = '', thousands = '0', service] = FIELD.exec(name) ?? [];
    const unit = units[base];
    const tokens = from || Number(thousands) * 1000;
    if (unit)
      draft.add(path, value, unit, {
        ...(tokens > 0 && { above_input_tokens: tokens }),
        ...(tokens > 0 && BOUND_INCLUDED.includes(provider) && { bound_included: true }),
        ...(service && { service_tier: SERVICE_TIERS[service] }),
      });
    else if (IS_PRICE.test(name)) draft.leave(path, value);
  };
  const { search_context_cost_per_query: searches, ...others } = fields;
  const bySize = searchPrices.safeParse(searches);
  if (bySize.success) draft.add('search_context_cost_per_query', bySize.data, 'web_search');
  else draft.leave('search_context_cost_per_query', searches);
  for (const [name, value] of Object.entries(others)) if (value !== null) add(name, name, value);
  if (!Array.isArray(tiered_pricing)) draft.leave('tiered_pricing', tiered_pricing);
  for (const [index, tier] of (Array.isArray(tiered_pricing) ? tiered_pricing : []).entries()) {
    const { data } = contextRange.safeParse(tier);
    if (!data) draft.leave(`tiered_pricing[${index}]`, tier);
    else
      for (const [name, value] of Object.entries(data))
        if (name !== 'range') add(`tiered_pricing[${index}].${name}`, name, value, Number(data.range[0]));
  }
  return draft.of(provider, model);
}
