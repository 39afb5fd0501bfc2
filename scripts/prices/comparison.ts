/** Compares a price list with the prices of the models on offer. */
import { type Component, keyOf, type Offer } from './components.ts';
import { decimal } from './decimal.ts';

/** A model on offer with its newest price, in force or yet to be; `source` is manual where somebody set it by hand. */
export type PricedModel = {
  model: string;
  provider: string;
  upstream_model: string;
  price: { source: string; effective_from: string; components: Component[] } | null;
};

/**
 * What an import would do with one model: the offers that were `found` for it, what changes by the first of them, in lines to
 * read, and what of it is not imported. A price that was set by hand (manual) or begins after the one to be written (later)
 * is kept.
 */
export type Verdict = {
  model: string;
  kind: 'new' | 'changed' | 'unchanged' | 'manual' | 'later' | 'ambiguous' | 'unpriced' | 'missing';
  found: Offer[];
  changes: string[];
  unexpressed: string[];
};

/**
 * One verdict a model, in their order, on prices that begin at `from`; `providers` are the file's that count, all of them
 * where there are none.
 */
export function compare(models: PricedModel[], offers: Offer[], providers: string[], from = new Date()): Verdict[] {
  return models.map((model) => {
    const all = offersFor(model, offers, providers);
    const priced = all.filter(({ components }) => components.length > 0);
    const found = priced.length > 0 ? priced : all;
    const unexpressed = found[0]?.unexpressed ?? [];
    const changes = priced[0] ? changesOf(model.price?.components ?? [], priced[0].components) : [];
    return { model: model.model, kind: kindOf(model, found, changes, from), found, changes, unexpressed };
  });
}

function kindOf({ price }: PricedModel, found: Offer[], changes: string[], from: Date): Verdict['kind'] {
  if (!found[0]) return 'missing';
  if (new Set(found.map(sayingOf)).size > 1) return 'ambiguous';
  if (found[0].components.length === 0) return 'unpriced';
  if (price?.source === 'manual') return 'manual';
  if (!price) return 'new';
  const begins = new Date(price.effective_from);
  // What begins later says nothing of the price that is in force until then.
  if (begins > from) return 'later';
  if (changes.length === 0) return 'unchanged';
  return begins < from ? 'changed' : 'later';
}

/**
 * The offers that a model's upstream name finds: their name is it, or their provider's and theirs together
 * are. Where the file knows the model's provider, that provider's alone.
 */
function offersFor({ provider, upstream_model }: PricedModel, offers: Offer[], providers: string[]): Offer[] {
  const isKnown = offers.some((offer) => plain(offer.provider) === plain(provider));
  const counting = (providers.length > 0 ? providers : isKnown ? [provider] : []).map(plain);
  return offers.filter(
    (offer) =>
      [offer.model, `${offer.provider}/${offer.model}`].includes(upstream_model) &&
      (counting.length === 0 || counting.includes(plain(offer.provider))),
  );
}

/** A provider's name without what is written one way here and another there: together_ai, togetherai. */
function plain(provider: string): string {
  return provider.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function sayingOf({ components, unexpressed }: Offer): string {
  return JSON.stringify([
    components.map((component) => keyOf(component) + component.usd_per_unit).sort(),
    [...unexpressed].sort(),
  ]);
}

/** Lines such as `input (USD a million): 2 -> 3`, for each component that is another, new or gone. */
export function changesOf(before: Component[], after: Component[]): string[] {
  const [old, next] = [before, after].map((list) => new Map(list.map((component) => [keyOf(component), component])));
  const keys = [...new Set([...(next?.keys() ?? []), ...(old?.keys() ?? [])])];
  return keys.flatMap((key) => {
    const [was, is] = [old?.get(key), next?.get(key)];
    if (was?.usd_per_unit === is?.usd_per_unit) return [];
    return [`${key} (USD${UNITS_OF_A_MILLION.test(key) ? ' a million' : ''}): ${amountOf(was)} -> ${amountOf(is)}`];
  });
}

/** Units that providers price by the million. */
const UNITS_OF_A_MILLION = /^((?!second_)\w*(input|output)|cache_write_\w+|reasoning|character)\b/;

function amountOf(component: Component | undefined): string {
  if (!component) return 'none';
  return UNITS_OF_A_MILLION.test(component.unit) ? (decimal(component.usd_per_unit, 6) ?? '') : component.usd_per_unit;
}
