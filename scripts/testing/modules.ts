/** Basemeter's modules: which migrations, tests and edge functions belong to which, and projects of the first ones alone. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { StackError } from '@basemeter/local-supabase';
import { PROJECT_DIR } from '../paths.ts';

/**
 * In the order of their migrations: each uses only what stands before it. `tests` are folders of supabase/tests and of
 * tests; those that no module has (together, hygiene, access, docs …) need them all.
 */
const MODULES: { name: string; tests: string[]; functions?: string[] }[] = [
  { name: 'core', tests: ['errors'] },
  { name: 'accounts', tests: ['accounts', 'settings'] },
  { name: 'ledger', tests: ['credits'] },
  { name: 'ai', tests: ['ai', 'api_keys', 'statistics'], functions: ['ai'] },
  { name: 'plans', tests: ['entitlements'] },
  { name: 'audit', tests: ['audit'] },
  { name: 'payments', tests: ['payments', 'top_up'], functions: ['billing', 'creem-webhook', 'stripe-webhook'] },
  { name: 'teams', tests: ['teams', 'limits'] },
  { name: 'alerts', tests: ['alerts'] },
  { name: 'video', tests: ['video'], functions: ['video', 'video-webhook'] },
  { name: 'conversations', tests: ['conversations'] },
  { name: 'retrieval', tests: ['retrieval'], functions: ['retrieval'] },
  { name: 'sessions', tests: ['sessions'], functions: ['sessions'] },
  { name: 'admin', tests: ['platform_admins'] },
  { name: 'export', tests: ['export'] },
  { name: 'schedule', tests: ['scheduled_work'] },
];

/** A migration of Basemeter: its file, whose name says its module, and its text. */
export type Migration = { file: string; module: string; text: string };

/** Basemeter's migrations are numbered so; others are those of the project that uses it. */
const OURS = /^20261101\d+_([a-z]+)\w*\.sql$/;

const FOLDER = join(PROJECT_DIR, 'supabase/migrations');

const migrationFiles = (): string[] => readdirSync(FOLDER).filter((file) => file.endsWith('.sql'));

/** Basemeter's migrations in their order. */
export function ourMigrations(): Migration[] {
  return migrationFiles()
    .sort()
    .flatMap((file) => {
      const [, module] = OURS.exec(file) ?? [];
      return module ? [{ file, module, text: readFileSync(join(FOLDER, file), 'utf8') }] : [];
    });
}

/** Whether the project has migrations besides Basemeter's. */
export function hasOwnMigrations(): boolean {
  return migrationFiles().some((file) => !OURS.test(file));
}

/** The modules that a range such as `core..ai` names; it begins with the first, for each needs those before it. */
export function modulesOf(range: string): string[] {
  const names = MODULES.map(({ name }) => name);
  const [first, last = ''] = range.split('..');
  if (first !== names[0] || !names.includes(last))
    throw new StackError(`--modules takes ${names[0]}..<module>, where <module> is one of ${names.join(', ')}.`);
  return names.slice(0, names.indexOf(last) + 1);
}

/** The order of all modules. */
export const allModules = (): string[] => MODULES.map(({ name }) => name);

/** What the paths of the tests of these modules contain. */
export function testsOf(modules: string[]): string[] {
  return MODULES.filter(({ name }) => modules.includes(name)).flatMap(({ tests }) =>
    tests.map((folder) => `tests/${folder}/`),
  );
}

/** Makes a project that has Basemeter's migrations and edge functions of these modules, hands `work` its folder, removes it. */
export async function withProjectOf<T>(modules: string[], work: (projectDir: string) => Promise<T>): Promise<T> {
  const projectDir = mkdtempSync(join(tmpdir(), 'basemeter-project-'));
  // Scheduled jobs run what the modules that are there have due.
  const wanted = [...modules, 'schedule'];
  const left = new Set(ourMigrations().flatMap(({ file, module }) => (wanted.includes(module) ? [file] : [])));
  const functions = MODULES.flatMap(({ name, functions = [] }) => (modules.includes(name) ? functions : []));
  const copy = (path: string, isWanted: (name: string) => boolean): void =>
    cpSync(join(PROJECT_DIR, path), join(projectDir, path), {
      recursive: true,
      filter: (source) => source === join(PROJECT_DIR, path) || isWanted(basename(source)),
    });
  try {
    copy('supabase/config.toml', () => true);
    copy('supabase/migrations', (name) => left.has(name));
    for (const name of ['deno.json', 'deno.lock', '_shared', ...functions])
      copy(`supabase/functions/${name}`, () => true);
    return await work(projectDir);
  } finally {
    rmSync(projectDir, { recursive: true });
  }
}
