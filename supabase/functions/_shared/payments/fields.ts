/** Schemas of single fields in a platform's payload. Each gives undefined for what is missing or of another shape. */
import { z } from 'zod';

const LONGEST_TEXT = 500;
/** Most units of one purchase: what an integer column holds. */
const MOST_UNITS = 2_147_483_647;
/** The year 10000, in milliseconds: from there on ISO dates have a form of their own that Postgres refuses. */
const END_OF_DATES = 253_402_300_800_000;
/** Text columns have no NUL character. */
const NUL = String.fromCharCode(0);

/** A field whose value is undefined where `schema` does not fit. */
export function tolerant<T extends z.ZodType>(schema: T) {
  return schema.optional().catch(undefined);
}

/** The items of a list that fit; none where there is no list. */
export function list<T extends z.ZodType>(item: T) {
  return z
    .array(tolerant(item))
    .catch([])
    .transform((items) => items.filter((each) => each !== undefined));
}

/** Another entity: an object with its id, or the id alone. */
export function entity<T extends z.ZodRawShape>(shape: T) {
  const toObject = (value: unknown) => (typeof value === 'string' ? { id: value } : value);
  return tolerant(z.preprocess(toObject, z.object({ ...shape, id: text })));
}

/** A text that Postgres can hold, of 500 characters at most; an empty one is absent. */
export const text = tolerant(z.string().transform(toStorable));

/** A UUID, in lower case. */
export const uuid = tolerant(z.guid().toLowerCase());

export const flag = tolerant(z.boolean());

/** An amount of money that was or is to be paid, in minor units. */
export const amount = tolerant(z.int().min(0).transform(withoutMinusZero));

/** A share of an amount, which a discount or a credit makes negative. */
export const signedAmount = tolerant(z.int().transform(withoutMinusZero));

/** A currency's three letters, in upper case. */
export const currency = tolerant(
  z
    .string()
    .regex(/^[a-z]{3}$/i)
    .toUpperCase(),
);

/** How many of a product. */
export const units = tolerant(z.int().min(1).max(MOST_UNITS));

/** Units as metadata has them, whose values are texts. */
export const unitsText = tolerant(
  z
    .string()
    .regex(/^\d{1,10}$/)
    .transform(Number)
    .pipe(z.int().min(1).max(MOST_UNITS)),
);

/** A Unix time in seconds. */
export const seconds = tolerant(z.number().transform((time) => toIsoDate(time * 1000)));

/** An ISO date or a Unix time in milliseconds: Creem has both, sometimes for the same field. */
export const date = tolerant(
  z.union([z.number(), z.iso.datetime({ offset: true }).transform((value) => Date.parse(value))]).transform(toIsoDate),
);

/** Whom an object is for, as our checkouts note it in its metadata. */
export const ownerShape = { workspace_id: uuid, user_id: uuid, proof: text };

/** Metadata that names an owner. */
export const metadata = tolerant(z.object(ownerShape));

function toIsoDate(milliseconds: number): string | undefined {
  return milliseconds > 0 && milliseconds < END_OF_DATES ? new Date(milliseconds).toISOString() : undefined;
}

function toStorable(value: string): string | undefined {
  return value.replaceAll(NUL, '').slice(0, LONGEST_TEXT).toWellFormed() || undefined;
}

/** JSON can say -0, which is 0 to whoever reads the event again. */
function withoutMinusZero(amount: number): number {
  return amount || 0;
}
