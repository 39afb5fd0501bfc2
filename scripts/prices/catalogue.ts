/** Reads a public price list. */
import { StackError } from '@basemeter/local-supabase';
import type { z } from 'zod';
import type { Offer } from './components.ts';
import { parseExactly } from './decimal.ts';
import { litellmFile, readLitellm } from './litellm.ts';
import { modelsDevFile, readModelsDev } from './models-dev.ts';

/** The formats that can be read. */
export const FORMATS = ['models.dev', 'litellm'] as const;
export type Format = (typeof FORMATS)[number];

/** A price list that was read. */
export type Catalogue = { format: Format; offers: Offer[] };

/** Reads the text of a file; its format shows in it unless named. Throws a StackError that says what is wrong with it. */
export function readCatalogue(text: string, format?: string): Catalogue {
  if (format !== undefined && !isFormat(format))
    throw new StackError(`There is no format "${format}"; there is: ${FORMATS.join(', ')}.`);
  const file = parse(text);
  const found = format ?? formatOf(file);
  if (found === undefined)
    throw new StackError('This is no price list of models.dev or LiteLLM; if it is, name its --format.');
  const offers =
    found === 'litellm'
      ? readLitellm(check(litellmFile, file, found))
      : readModelsDev(check(modelsDevFile, file, found));
  if (offers.every(({ components }) => components.length === 0))
    throw new StackError(`This price list of ${found} has no price that can be imported.`);
  return { format: found, offers };
}

function isFormat(word: string): word is Format {
  return FORMATS.some((format) => format === word);
}

function parse(text: string): unknown {
  try {
    return parseExactly(text);
  } catch (error) {
    throw new StackError(`This is no JSON: ${(error as SyntaxError).message}.`);
  }
}

function formatOf(file: unknown): Format | undefined {
  const entries = Object.values(typeof file === 'object' && file !== null ? file : {});
  const has = (field: string) => entries.some((entry) => typeof entry === 'object' && entry !== null && field in entry);
  if (has('litellm_provider')) return 'litellm';
  return has('models') ? 'models.dev' : undefined;
}

function check<T>(schema: z.ZodType<T>, file: unknown, format: Format): T {
  const { data, error } = schema.safeParse(file);
  if (data !== undefined) return data;
  const { path, message } = error?.issues[0] ?? { path: [], message: '' };
  throw new StackError(`This is no price list of ${format}: ${path.join(' → ') || 'the file'}: ${message}.`);
}
