/** `npm run prices`: what providers charge, from a public price list; and what of it is left of what customers are charged. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, readRunningState, StackError, withClient } from '@basemeter/local-supabase';
import type pg from 'pg';
import { DEV_DATA_DIR } from '../paths.ts';
import { FORMATS, readCatalogue } from '../prices/catalogue.ts';
import { compare, type Verdict } from '../prices/comparison.ts';
import { pricedModels, setPrices } from '../prices/database.ts';
import { marginReport } from '../prices/margin.ts';
import { runningEnv } from './status.ts';

const USAGE = `npm run prices -- import <file> [options]

  Compares a price list with the prices of your models and shows what would change.

  --format <name>       ${FORMATS.join(' or ')}; without it the file shows which it is
  --models <a,b>        these models alone; also those that are not active
  --provider <a,b>      the file's providers whose prices count; without it the model's own where the file has it, else any
  --from <ISO time>     when the prices begin; without it at once
  --list                names the models of the file that are not yours
  --apply               writes the prices; without it nothing is written

npm run prices -- margin [--from <day>] [--to <day>]

  What customers were charged, what providers charged, by model: this month, or those days (UTC, both included).

The database is that of DB_URL, as \`npm run status\` prints it; without it the local stack's.`;

/** Runs the part that the first word names. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const [part, file, ...more] = positionals;
  if (part === 'import' && file && more.length === 0) return importPrices(file, values);
  if (part === 'margin' && !file) {
    const span = { from: day('--from', values.from), to: day('--to', values.to) };
    for (const line of await withDatabase((client) => marginReport(client, span))) console.log(line);
    return 0;
  }
  console.log(USAGE);
  return values.help ? 0 : 1;
}

type Options = ReturnType<typeof parse>['values'];

function parse(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const named = { format: text, models: text, provider: text, from: text, to: text };
  try {
    const options = { ...named, list: flag, apply: flag, help: flag };
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new StackError(messageOf(error));
  }
}

/** DB_URL, else the running local stack's. */
function databaseUrl(): string {
  if (process.env.DB_URL) return process.env.DB_URL;
  const state = readRunningState(DEV_DATA_DIR);
  if (!state?.ready)
    throw new StackError('Basemeter does not run; `npm start` starts it, or name a database in DB_URL.');
  return runningEnv(state).DB_URL;
}

async function withDatabase<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const url = databaseUrl();
  await withClient(url, async () => undefined).catch((error: unknown) => {
    throw new StackError(`The database can't be reached: ${messageOf(error)}.`);
  });
  return withClient(url, work);
}

async function importPrices(file: string, options: Options): Promise<number> {
  const { format, offers } = readCatalogue(readText(file), options.format);
  const from = instant(options.from);
  const wanted = words(options.models);
  return withDatabase(async (client) => {
    const verdicts = compare(await pricedModels(client, wanted), offers, words(options.provider), from);
    for (const verdict of verdicts) for (const line of linesOf(verdict)) console.log(line);
    const used = new Set(verdicts.flatMap(({ found }) => found));
    const others = offers.filter((offer) => !used.has(offer)).map(({ provider, model }) => `${provider}/${model}`);
    console.log(
      `Models of the file that are not on offer: ${options.list ? others.join(', ') || 'none' : others.length}.`,
    );
    const missing = verdicts.filter(
      ({ model, kind }) => wanted.includes(model) && ['missing', 'unpriced', 'ambiguous'].includes(kind),
    );
    if (missing.length > 0) throw new StackError(`Nothing was written: no price was found for ${names(missing)}.`);
    const news = verdicts.filter(({ kind }) => kind === 'new' || kind === 'changed');
    if (news.length === 0) console.log('Nothing to write.');
    else if (!options.apply) console.log(`Nothing was written; --apply writes: ${names(news)}.`);
    else {
      const reason = `Imported from ${basename(file)}`.slice(0, 1000);
      const prices = news.map(({ model, found }) => {
        const components = found[0]?.components ?? [];
        return { model, components, source: format, reason, from };
      });
      await setPrices(client, prices);
      console.log(`Written: ${names(news)}.`);
    }
    return 0;
  });
}

const names = (verdicts: Verdict[]): string => verdicts.map(({ model }) => model).join(', ');

/** What is said of a kind of verdict, after the model and where it is in the file. */
const SENTENCES: Record<Verdict['kind'], string> = {
  new: 'new',
  changed: 'changed',
  unchanged: 'unchanged',
  manual: 'its price was set by hand and is kept',
  later: 'its price that is yet to begin is kept; withdraw it, or import with a later --from',
  ambiguous: 'these have prices that differ; choose with --provider',
  unpriced: 'the file has no price of it that can be imported',
  missing: 'not in the file',
};

/** The verdict on a model, and below it what is another in the file and what of the file is not imported. */
function linesOf({ model, kind, found, changes, unexpressed }: Verdict): string[] {
  const places = found.map((offer) => `${offer.provider}/${offer.model}`).join(', ');
  const details = kind === 'ambiguous' ? [] : [...changes, ...unexpressed.map((what) => `not imported: ${what}`)];
  return [`${model}${places && ` (${places})`}: ${SENTENCES[kind]}`, ...details.map((line) => `  ${line}`)];
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new StackError(`${file} can't be read: ${messageOf(error)}.`);
  }
}

function words(list: string | undefined): string[] {
  return (list ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
}

function instant(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new StackError(`--from ${text} is no time; write it like 2026-12-01T00:00Z.`);
  if (time < new Date()) throw new StackError(`--from ${text} is in the past: calls were charged by then.`);
  return time;
}

function day(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const time = new Date(`${text}T00:00Z`);
  if (!Number.isNaN(time.getTime()) && time.toISOString().startsWith(text)) return text;
  throw new StackError(`${option} ${text} is no day; write it like 2026-12-01.`);
}
