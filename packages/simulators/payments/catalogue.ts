/** What is for sale: the project's own rows, read over REST as a buyer would. */
import { z } from 'zod';

const productSchema = z.object({
  id: z.string(),
  platform: z.enum(['creem', 'stripe']),
  product_id: z.string(),
  price_id: z.string().nullable(),
  /** Null: a pack, bought once. */
  plan: z.string().nullable(),
  billing_period: z.enum(['month', 'quarter', 'half_year', 'year']).nullable(),
  credits: z.coerce.number().nullable(),
  /** Minor units. */
  amount: z.coerce.number(),
  currency: z.string(),
  trial_days: z.coerce
    .number()
    .nullish()
    .transform((days) => days ?? 0),
  is_active: z.boolean(),
});

/** A row of `payment_products`. */
export type CatalogueProduct = z.infer<typeof productSchema>;

/** The columns that are read, for other readers of the table. */
export const CATALOGUE_COLUMNS = Object.keys(productSchema.shape);

/** Checks rows of `payment_products`. */
export function parseProducts(rows: unknown): CatalogueProduct[] {
  return z.array(productSchema).parse(rows);
}

/** Finds a product by Creem's product id, or by Stripe's price id. */
export type FindProduct = (wanted: {
  platform: 'creem' | 'stripe';
  product_id?: string;
  price_id?: string;
}) => Promise<CatalogueProduct | undefined>;

/** Reads the catalogue at `restUrl` (`…/rest/v1`) with the publishable key, anew at each look-up. */
export function restCatalogue(restUrl: string, publishableKey: string): FindProduct {
  return async ({ platform, ...ids }) => {
    const query = new URLSearchParams({ select: CATALOGUE_COLUMNS.join(','), platform: `eq.${platform}` });
    for (const [name, id] of Object.entries(ids)) query.set(name, `eq.${id}`);
    const response = await fetch(`${restUrl}/payment_products?${query}`, { headers: { apikey: publishableKey } });
    if (!response.ok)
      throw new Error(`payment_products could not be read: ${response.status} ${await response.text()}`);
    return parseProducts(await response.json())[0];
  };
}
