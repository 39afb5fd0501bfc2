/** `npm run check`: everything that can be known without running the tests. CI runs exactly this. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  denoEnv,
  dependencyFlags,
  fetchDenoDependencies,
  findDeno,
  findFunctions,
  HOST_FILE,
  runSupabase,
  runTool,
  urlForRole,
  withClient,
} from '@basemeter/local-supabase';
import { DENO_DIR, PROJECT_DIR } from '../paths.ts';
import { bundleSize } from '../testing/bundle-size.ts';
import { generateTypes, OWN_TYPES_FILE, readTypes } from '../testing/generated-types.ts';
import { withMigratedDatabase } from '../testing/migrated-database.ts';
import { hasOwnMigrations } from '../testing/modules.ts';
import { dumpSchema, SCHEMA_FILE } from '../testing/schema-dump.ts';

/** A function's upload may be limited to 5 MB, compressed; bytes. */
const LARGEST_BUNDLE = 5 * 1024 * 1024;

/** The longest line of a migration, characters. */
const LONGEST_LINE = 120;

/** What a check found: nothing when all is well, else the tool's words. */
type Finding = string | undefined;

/** Runs every check and says which failed. Exit code 1 when any did. `--database` runs only those of the database. */
export async function run(args: string[]): Promise<number> {
  const failures: string[] = [];
  const check = async (name: string, finding: Promise<Finding>): Promise<void> => {
    const words = await finding;
    console.log(`${words === undefined ? '✓' : '✗'} ${name}`);
    if (words !== undefined) {
      console.log(words.trim());
      failures.push(name);
    }
  };
  if (!args.includes('--database')) await checkSources(check);
  await withMigratedDatabase((adminUrl, addOwn) => checkDatabase(adminUrl, addOwn, check));
  console.log(failures.length === 0 ? 'All checks passed.' : `Failed: ${failures.join(', ')}.`);
  return failures.length === 0 ? 0 : 1;
}

type Check = (name: string, finding: Promise<Finding>) => Promise<void>;

async function checkSources(check: Check): Promise<void> {
  await check('biome', runNodeProgram('@biomejs/biome/bin/biome', ['check', '.']));
  await check(`lines of SQL of at most ${LONGEST_LINE} characters`, checkLines());
  await check('tsc', runNodeProgram('typescript/bin/tsc', ['--noEmit']));
  await check('deno check', checkFunctions());
  await check(`functions of at most ${LARGEST_BUNDLE / 1024 / 1024} MiB`, checkBundles());
}

async function checkDatabase(adminUrl: string, addOwn: () => Promise<void>, check: Check): Promise<void> {
  const remote = `--remote=${urlForRole(adminUrl, 'postgres')}`;
  await check('generated types', checkTypes(adminUrl));
  await check('supabase/schema.sql', checkSchema(adminUrl));
  await addOwn();
  if (hasOwnMigrations()) await check('generated types, with your own', checkTypes(adminUrl, OWN_TYPES_FILE));
  await check('supabase db advisors', runCli(['db', 'advisors', '--fail-on=warn', remote]));
  if (await offersPlpgsqlCheck(adminUrl)) {
    await check('supabase db lint', runCli(['db', 'lint', '--fail-on=warning', '--schema=public,private', remote]));
  } else {
    console.log('- supabase db lint: this Postgres has no plpgsql_check');
  }
}

async function checkTypes(adminUrl: string, file?: string): Promise<Finding> {
  const isCurrent = (await generateTypes(adminUrl)) === readTypes(file);
  return isCurrent
    ? undefined
    : 'The committed types differ from what the migrations make; `npm run types` writes them.';
}

async function checkLines(): Promise<Finding> {
  const folder = join(PROJECT_DIR, 'supabase/migrations');
  const tooLong = readdirSync(folder).flatMap((file) => {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n').entries();
    return [...lines].filter(([, line]) => line.length > LONGEST_LINE).map(([index]) => `${file}:${index + 1}`);
  });
  return tooLong.length === 0 ? undefined : tooLong.join('\n');
}

async function checkSchema(adminUrl: string): Promise<Finding> {
  const isCurrent = (await dumpSchema(adminUrl)) === readFileSync(SCHEMA_FILE, 'utf8');
  return isCurrent ? undefined : 'It differs from what the migrations make; `npm run types` writes it.';
}

async function checkFunctions(): Promise<Finding> {
  await fetchDenoDependencies({ projectDir: PROJECT_DIR, denoDir: DENO_DIR }, (line) => console.log(line));
  const entrypoints = findFunctions(PROJECT_DIR).map(({ entrypoint }) => entrypoint);
  const args = ['check', '--quiet', ...dependencyFlags(PROJECT_DIR), HOST_FILE, ...entrypoints];
  return words(await runTool(findDeno(), args, { env: denoEnv(DENO_DIR), cwd: PROJECT_DIR }));
}

async function checkBundles(): Promise<Finding> {
  const tooLarge: string[] = [];
  for (const { name, entrypoint } of findFunctions(PROJECT_DIR)) {
    const size = await bundleSize(entrypoint);
    if (size > LARGEST_BUNDLE) tooLarge.push(`${name} is ${(size / 1024 / 1024).toFixed(1)} MiB, compressed.`);
  }
  return tooLarge.length === 0 ? undefined : tooLarge.join('\n');
}

async function offersPlpgsqlCheck(adminUrl: string): Promise<boolean> {
  return withClient(adminUrl, async (client) => {
    const found = await client.query(`select from pg_available_extensions where name = 'plpgsql_check'`);
    if (found.rowCount === 0) return false;
    await client.query('create extension if not exists plpgsql_check with schema extensions');
    return true;
  });
}

async function runNodeProgram(path: string, args: string[]): Promise<Finding> {
  const program = join(PROJECT_DIR, 'node_modules', path);
  return words(await runTool(process.execPath, [program, ...args], { env: process.env, cwd: PROJECT_DIR }));
}

async function runCli(args: string[]): Promise<Finding> {
  return words(await runSupabase(args, PROJECT_DIR));
}

function words({ code, output }: { code: number; output: string }): Finding {
  return code === 0 ? undefined : output;
}
