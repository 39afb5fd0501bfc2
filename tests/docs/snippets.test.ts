/** The JavaScript of README.md and docs/, in the order in which it is read, against the types of the database. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { readSnippets } from './pages.ts';

/** What a reader has to fill in. */
const YOURS = 'declare const unmatched_id: string, event_id: number;';

/**
 * Errors by which TypeScript asks for a look at what may be null. The snippets go on where there is an answer, as JavaScript
 * does; a reader who writes TypeScript looks at `error` first.
 */
const OF_NULLS = /error TS(?:18047|18048|2531|2532)|Type '[^']*(?:null|undefined)' is not assignable/;

async function check(snippets: string): Promise<string[]> {
  const home = join(PROJECT_DIR, '.basemeter');
  mkdirSync(home, { recursive: true });
  const dir = mkdtempSync(join(home, 'readme-'));
  try {
    const types = relative(dir, join(PROJECT_DIR, 'supabase/functions/_shared/database.types.ts'));
    writeFileSync(join(dir, 'yours.d.ts'), YOURS);
    writeFileSync(
      join(dir, 'client.mts'),
      `import { createClient as make } from '@supabase/supabase-js';
       import type { Database } from '${types}';
       export const createClient = make<Database>;`,
    );
    writeFileSync(join(dir, 'snippets.mjs'), snippets.replace(`'@supabase/supabase-js'`, `'./client.mts'`));
    const compilerOptions = {
      allowJs: true,
      checkJs: true,
      noEmit: true,
      strict: true,
      noImplicitAny: false,
      skipLibCheck: true,
      target: 'es2022',
      module: 'nodenext',
      types: ['node'],
      allowImportingTsExtensions: true,
    };
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*'] }));
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(PROJECT_DIR, 'node_modules/typescript/bin/tsc'),
      '--pretty',
      'false',
      '-p',
      dir,
    ]).catch((failed) => failed);
    return (stdout as string)
      .split(/\n(?=\S)/)
      .filter((error) => /error TS/.test(error) && !OF_NULLS.test(error))
      .map((error) => error.trim());
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const snippets = readSnippets();

/** What is wrong on purpose: it shows that such a thing would be found. */
const WRONG = ['made.no_such_field', `supabase.rpc('no_such_function')`, `supabase.from('no_such_table')`];

test('the snippets name what is there', async () => {
  const wrong = [/no_such_field/, /no_such_function/, /no_such_table/].map((name) => expect.stringMatching(name));
  expect(await check(`${snippets}\n${WRONG.join(';\n')};\n`)).toEqual(wrong);
}, 60_000);
