/** The price list of models.dev (`api.json`): US dollars per million tokens, by provider and model. */
import { z } from 'zod';
import { type Condition, type Offer, OfferDraft, type Unit } from './components.ts';

const UNITS: Record<string, Unit> = {
  input: 'input',
  output: 'output',
  reasoning: 'reasoning',
  cache_read: 'cached_input',
  cache_write: 'cache_write_5m',
  input_audio: 'audio_input',
  output_audio: 'audio_output',
};

/** The file gives no word on its bound: at xAI 200,000 tokens are in the upper tier, elsewhere in the lower one. */
const BOUND_INCLUDED = ['xai'];

const cost = z.record(z.string(), z.unknown());
const contextTier = z.looseObject({
  tier: z.object({ type: z.literal('context'), size: z.string().regex(/^\d{1,9}$/) }),
});

/** What `parseExactly` makes of the file; each number is a text. */
export const modelsDevFile = z.record(
  z.string(),
  z.looseObject({ models: z.record(z.string(), z.looseObject({ cost: cost.optional() })) }),
);

/** The offers of a file, in its order. */
export function readModelsDev(file: z.infer<typeof modelsDevFile>): Offer[] {
  return Object.entries(file).flatMap(([provider, { models }]) =>
    Object.entries(models).map(([model, entry]) => offerOf(provider, model, entry)),
  );
}

function offerOf(
  provider: string,
  model: string,
  { cost: prices = {}, ...rest }: { cost?: z.infer<typeof cost> },
): Offer {
  const draft = new OfferDraft();
  const { tiers, context_over_200k, ...base } = prices;
  const add = (path: string, fields: z.infer<typeof cost>, condition: Condition): void => {
    for (const [field, value] of Object.entries(fields)) {
      const unit = UNITS[field];
      if (unit) draft.add(`${path}.${field}`, value, unit, condition, -6);
      else draft.leave(`${path}.${field}`, value);
    }
  };
  const above = (size: number): Condition => ({
    above_input_tokens: size,
    ...(BOUND_INCLUDED.includes(provider) && { bound_included: true }),
  });
  add('cost', base, {});
  const listed = Array.isArray(tiers) ? tiers : [];
  if (!Array.isArray(tiers)) draft.leave('cost.tiers', tiers);
  for (const [index, entry] of listed.entries()) {
    const { data } = contextTier.safeParse(entry);
    if (!data) draft.leave(`cost.tiers[${index}]`, entry);
    else {
      const { tier, ...fields } = data;
      add(`cost.tiers[${index}]`, fields, above(Number(tier.size)));
    }
  }
  // Beside tiers it is the same premium again, under a name that need not be its bound.
  const over200k = cost.safeParse(context_over_200k ?? {});
  if (listed.length === 0 && over200k.success) add('cost.context_over_200k', over200k.data, above(200_000));
  else if (!over200k.success) draft.leave('cost.context_over_200k', context_over_200k);
  // Other ways to be served, such as a fast mode, have prices of their own.
  for (const [field, value] of Object.entries(rest))
    if (/"cost":/.test(JSON.stringify(value))) draft.leave(field, value);
  return draft.of(provider, model);
}
