/** The prices that the database has, and how they are set. */
import { StackError } from '@basemeter/local-supabase';
import type pg from 'pg';
import type { PricedModel } from './comparison.ts';
import type { Component } from './components.ts';

/** Each with its newest price that has not ended, and what that costs: numbers as text, which stays exact. */
const PRICED_MODELS = `
  select m.model, m.provider, m.upstream_model, case when p.id is not null then jsonb_build_object('source', p.source, 'effective_from', p.effective_from,
      'components', (
        select coalesce(jsonb_agg(to_jsonb(c) - '{id,price_id}'::text[] || jsonb_build_object(
          'usd_per_unit', trim_scale(c.usd_per_unit)::text, 'credits_per_unit', trim_scale(c.credits_per_unit)::text)), '[]')
          from public.ai_price_components c where c.price_id = p.id)) end as price
    from public.ai_models m
    left join lateral (
      select * from public.ai_model_prices p where p.model = m.model and (p.effective_to is null or p.effective_to > now())
       order by p.effective_from desc limit 1) p on true
   where case when cardinality($1::text[]) = 0 then m.is_active else m.model = any($1) end
   order by m.model`;

/** What a component has where a file would say nothing. */
const DEFAULTS: Record<string, unknown> = {
  above_input_tokens: 0,
  bound_included: false,
  reprices: 'whole',
  service_tier: 'standard',
};

/** The active models with their prices, or those that are named. Throws a StackError where one of these does not exist. */
export async function pricedModels(client: pg.Client, wanted: string[]): Promise<PricedModel[]> {
  const { rows } = await client.query<PricedModel>(PRICED_MODELS, [wanted]);
  const unknown = wanted.filter((name) => !rows.some(({ model }) => model === name));
  if (unknown.length > 0) throw new StackError(`There is no model ${unknown.join(', ')} in ai_models.`);
  return rows.map(({ price, ...model }) => ({
    ...model,
    price: price && { ...price, components: price.components.map(withoutDefaults) },
  }));
}

function withoutDefaults(row: Component): Component {
  const said = Object.entries(row).filter(([name, value]) => value !== null && value !== DEFAULTS[name]);
  return { unit: row.unit, ...Object.fromEntries(said), usd_per_unit: row.usd_per_unit ?? '' };
}

/** A price to be set, as of now without `from`. */
export type NewPrice = {
  model: string;
  components: Component[];
  source: string;
  reason: string;
  from: Date | undefined;
};

/** Sets them all or none, each by the function of platform admins, which audits it. */
export async function setPrices(client: pg.Client, prices: NewPrice[]): Promise<void> {
  await client.query('begin');
  for (const { model, components, source, reason, from } of prices) {
    // Numbers as they are written, which JSON.stringify would make floats of.
    const json = JSON.stringify(components).replace(/"usd_per_unit":"([\d.]+)"/g, '"usd_per_unit":$1');
    await client
      .query('select public.admin_set_model_price($1, $2, $3::jsonb, effective_from => $4, source => $5)', [
        model,
        reason,
        json,
        from,
        source,
      ])
      .catch(({ message, detail = message }: pg.DatabaseError) => {
        throw new StackError(`The price of ${model} was refused, and none was written: ${detail}`);
      });
  }
  await client.query('commit');
}
