/** What the local stack reads of a project: the parts of supabase/config.toml that it follows, and the functions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { messageOf, StackError } from './errors.ts';

/** A number of bytes as config.toml writes it, `50MiB`. */
const SIZE = /^(\d+)\s*(B|[KMG]i?B)$/i;
const UNITS: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 };

const schema = z.object({
  api: z
    .object({
      schemas: z.array(z.string()).default(['public']),
      extra_search_path: z.array(z.string()).default(['public', 'extensions']),
      max_rows: z.number().int().positive().default(1000),
    })
    .prefault({}),
  storage: z.object({ file_size_limit: z.string().regex(SIZE).default('50MiB') }).prefault({}),
  functions: z
    .record(z.string(), z.object({ enabled: z.boolean().default(true), verify_jwt: z.boolean().default(true) }))
    .default({}),
});

/** What the stack reads from config.toml. */
export type ProjectConfig = {
  api: { schemas: string[]; extraSearchPath: string[]; maxRows: number };
  /** In bytes, of any file. */
  storage: { fileSizeLimit: number };
  /** By function name; a function that is not listed is enabled and verifies JWTs, as the platform has it. */
  functions: Record<string, { enabled: boolean; verifyJwt: boolean }>;
};

/** Reads `<projectDir>/supabase/config.toml`; a project without one has the defaults. Throws a StackError when it is off. */
export function readProjectConfig(projectDir: string): ProjectConfig {
  const file = join(projectDir, 'supabase/config.toml');
  try {
    const { api, storage, functions } = schema.parse(existsSync(file) ? parse(readFileSync(file, 'utf8')) : {});
    return {
      api: { schemas: api.schemas, extraSearchPath: api.extra_search_path, maxRows: api.max_rows },
      storage: { fileSizeLimit: bytesOf(storage.file_size_limit) },
      functions: Object.fromEntries(
        Object.entries(functions).map(([name, { enabled, verify_jwt }]) => [name, { enabled, verifyJwt: verify_jwt }]),
      ),
    };
  } catch (error) {
    throw new StackError(`supabase/config.toml can't be read: ${messageOf(error).split('\n')[0]}`);
  }
}

function bytesOf(size: string): number {
  const [, count, unit = ''] = size.match(SIZE) ?? [];
  return Number(count) * (UNITS[unit.toUpperCase()] ?? 1);
}

/** Every enabled function: a folder of supabase/functions with an index.ts, unless its name begins with `_` or a dot. */
export function findFunctions(projectDir: string): { name: string; entrypoint: string; verifyJwt: boolean }[] {
  const folder = join(projectDir, 'supabase/functions');
  const settings = readProjectConfig(projectDir).functions;
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .filter((name) => /^[a-zA-Z]/.test(name) && existsSync(join(folder, name, 'index.ts')))
    .filter((name) => settings[name]?.enabled ?? true)
    .map((name) => ({
      name,
      entrypoint: pathToFileURL(join(folder, name, 'index.ts')).href,
      verifyJwt: settings[name]?.verifyJwt ?? true,
    }));
}
