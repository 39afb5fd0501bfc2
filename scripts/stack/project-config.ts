/** What the local stack reads of a project: the parts of supabase/config.toml that it follows, and the functions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { messageOf, StackError } from './errors.ts';

const schema = z.object({
  api: z
    .object({
      schemas: z.array(z.string()).default(['public']),
      extra_search_path: z.array(z.string()).default(['public', 'extensions']),
      max_rows: z.number().int().positive().default(1000),
    })
    .prefault({}),
  functions: z
    .record(z.string(), z.object({ enabled: z.boolean().default(true), verify_jwt: z.boolean().default(true) }))
    .default({}),
});

/** What the stack reads from config.toml. */
export type ProjectConfig = {
  api: { schemas: string[]; extraSearchPath: string[]; maxRows: number };
  /** By function name; a function that is not listed is enabled and verifies JWTs, as the platform has it. */
  functions: Record<string, { enabled: boolean; verifyJwt: boolean }>;
};

/** Reads `<projectDir>/supabase/config.toml`; a project without one has the defaults. Throws a StackError when it is off. */
export function readProjectConfig(projectDir: string): ProjectConfig {
  const file = join(projectDir, 'supabase/config.toml');
  try {
    const { api, functions } = schema.parse(existsSync(file) ? parse(readFileSync(file, 'utf8')) : {});
    return {
      api: { schemas: api.schemas, extraSearchPath: api.extra_search_path, maxRows: api.max_rows },
      functions: Object.fromEntries(
        Object.entries(functions).map(([name, { enabled, verify_jwt }]) => [name, { enabled, verifyJwt: verify_jwt }]),
      ),
    };
  } catch (error) {
    throw new StackError(`supabase/config.toml can't be read: ${messageOf(error).split('\n')[0]}`);
  }
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
