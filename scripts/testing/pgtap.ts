/** Runs the pgTAP files of supabase/tests against a database, as `supabase test db` would. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { findPostgres, messageOf, StackError, urlForRole, withClient } from '@basemeter/local-supabase';
import { parseTar } from 'nanotar';
import pg from 'pg';
import { PROJECT_DIR, resolveModule } from '../paths.ts';
import { readTap, type TapReport } from './tap.ts';

const SETUP_FILE = '000_setup.test.sql';

/** Takes back what a file left of its session. */
const AS_NEW =
  'rollback; reset session authorization; reset role; reset all; discard temp; select pg_advisory_unlock_all()';

/** Totals of a run: assertions, with whatever is wrong with a file as a whole counting as one more failure. */
export type PgtapTotals = { passed: number; failed: number };

/**
 * Runs every file whose path contains one of `words` (or every file), in order, and 000_setup.test.sql before them: what
 * it commits the others use. Prints a line for each file and the failures below it.
 */
export async function runPgtap(adminUrl: string, words: string[], print: (line: string) => void): Promise<PgtapTotals> {
  const files = findTestFiles(words);
  const totals: PgtapTotals = { passed: 0, failed: 0 };
  if (files.length === 0) return totals;
  await withClient(adminUrl, (client) => client.query('create extension if not exists pgtap with schema extensions'));
  // One connection for all: a new one costs as much as many files, for it plans each statement of each function anew.
  await withClient(urlForRole(adminUrl, 'postgres'), async (client) => {
    for (const file of files) {
      const startedAt = Date.now();
      const report = await runFile(client, join(PROJECT_DIR, file));
      totals.passed += report.passed + report.skipped;
      totals.failed += report.failures.length + report.problems.length;
      print(describe(file, report, Date.now() - startedAt));
      await client.query(AS_NEW);
    }
  });
  return totals;
}

/** Copies pgTAP's files beside the embedded server's own extensions, where they are not yet. */
export function installPgtap(): void {
  const { extensionDir } = findPostgres();
  if (existsSync(join(extensionDir, 'pgtap.control'))) return;
  const archive = join(dirname(resolveModule('@electric-sql/pglite-pgtap')), 'pgtap.tar.gz');
  const isWanted = ({ name }: { name: string }) => /extension\/pgtap(--|\.control)/.test(name);
  const files = parseTar(gunzipSync(readFileSync(archive)), { filter: isWanted });
  if (files.length === 0) throw new StackError(`${archive} holds no pgTAP; install the packages anew with \`npm ci\`.`);
  mkdirSync(extensionDir, { recursive: true });
  // The control file last: it is what says that the extension is there.
  const inOrder = files.sort((a, b) => Number(a.name.endsWith('.control')) - Number(b.name.endsWith('.control')));
  for (const { name, data = '' } of inOrder) writeFileSync(join(extensionDir, basename(name)), data);
}

/** Paths below the project's root, with forward slashes; the setup file first whatever the words. */
export function findTestFiles(words: string[]): string[] {
  const root = join(PROJECT_DIR, 'supabase/tests');
  if (!existsSync(root)) return [];
  const all = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => `supabase/tests/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.test.sql'))
    .sort();
  const isSetup = (path: string): boolean => basename(path) === SETUP_FILE;
  const matches = (path: string): boolean => words.length === 0 || words.some((word) => path.includes(word));
  const chosen = all.filter((path) => !isSetup(path) && matches(path));
  const setup = all.filter(isSetup);
  return chosen.length > 0 || setup.some(matches) ? [...setup, ...chosen] : [];
}

/** Sends one file, whole, and reads the TAP in its rows. */
async function runFile(client: pg.Client, path: string): Promise<TapReport> {
  const text = readFileSync(path, 'utf8');
  const lines: string[] = [];
  try {
    const query = new pg.Query(text);
    await new Promise<void>((resolve, reject) => {
      query.on('row', (row: unknown) => lines.push(...textOf(row)));
      query.on('end', () => resolve());
      query.on('error', reject);
      client.query(query);
    });
    return readTap(lines);
  } catch (error) {
    return readTap(lines, `it ended with an error: ${messageOf(error)}${placeOf(error, text)}`);
  }
}

function textOf(row: unknown): string[] {
  const first = row && typeof row === 'object' ? Object.values(row)[0] : undefined;
  return typeof first === 'string' ? first.split('\n') : [];
}

function placeOf(error: unknown, text: string): string {
  const position = error instanceof pg.DatabaseError ? Number(error.position) : Number.NaN;
  return position > 0 ? ` (line ${text.slice(0, position).split('\n').length})` : '';
}

function describe(file: string, report: TapReport, milliseconds: number): string {
  const bad = [...report.failures, ...report.problems];
  const skipped = report.skipped > 0 ? `, ${report.skipped} skipped` : '';
  const head = `${bad.length > 0 ? '✗' : '✓'} ${file} (${report.passed} passed${skipped}, ${milliseconds} ms)`;
  return [head, ...bad.map((line) => `    ${line}`)].join('\n');
}
