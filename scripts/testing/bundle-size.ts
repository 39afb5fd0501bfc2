/**
 * How large a function is as it is uploaded: the files it loads and, as the Supabase CLI bundles them, the whole of each npm
 * package among them, compressed with Brotli.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { denoEnv, dependencyFlags, findDeno, runTool } from '@basemeter/local-supabase';
import { z } from 'zod';
import { DENO_DIR, PROJECT_DIR } from '../paths.ts';

/** What `deno info --json` tells of what a module loads. */
const loaded = z.object({
  modules: z.array(z.object({ kind: z.string(), local: z.string().optional(), npmPackage: z.string().optional() })),
  npmPackages: z.record(z.string(), z.object({ dependencies: z.array(z.string()), localPath: z.string() })),
});

/** The compressed size of a function's upload, bytes. Its packages have to be in Deno's cache. */
export async function bundleSize(entrypoint: string): Promise<number> {
  const args = ['info', '--json', ...dependencyFlags(PROJECT_DIR), entrypoint];
  const { code, output } = await runTool(findDeno(), args, { env: denoEnv(DENO_DIR), cwd: PROJECT_DIR });
  if (code !== 0) throw new Error(`deno info failed: ${output}`);
  const { modules, npmPackages } = loaded.parse(JSON.parse(output));
  const packages = new Set<string>();
  const add = (name: string | undefined) => {
    if (name === undefined || packages.has(name)) return;
    packages.add(name);
    for (const dependency of npmPackages[name]?.dependencies ?? []) add(dependency);
  };
  for (const { npmPackage } of modules) add(npmPackage);
  const files = modules.flatMap(({ kind, local }) => (kind !== 'npm' && local ? [local] : []));
  for (const name of packages) files.push(...filesBelow(npmPackages[name]?.localPath ?? ''));
  const bytes = Buffer.concat(files.map((file) => readFileSync(file)));
  return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }).length;
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
