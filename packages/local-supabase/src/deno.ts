/** How Deno is run here: its environment, its flags, and fetching what the functions import. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findDeno } from './binaries.ts';
import { StackError } from './errors.ts';
import { runTool } from './processes.ts';
import { findFunctions } from './project-config.ts';

/** The program that serves the functions. */
export const HOST_FILE = fileURLToPath(new URL('./functions-host.ts', import.meta.url));

/** Settings of the developer's machine that Deno needs to reach registries and providers as npm and Node do. */
const PASSED_ON = [
  'PATH',
  'HOME',
  'USERPROFILE',
  'LOCALAPPDATA',
  'SYSTEMROOT',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NPM_CONFIG_REGISTRY',
];

/**
 * The environment Deno itself is run with; `denoDir` is its module cache. The project's package.json is none of the
 * functions' business.
 */
export function denoEnv(denoDir: string): Record<string, string> {
  const env: Record<string, string> = {
    DENO_DIR: denoDir,
    DENO_NO_PACKAGE_JSON: '1',
    DENO_NO_UPDATE_CHECK: '1',
    // Certificates that the machine trusts (a company's proxy, say) count beside the usual ones.
    DENO_TLS_CA_STORE: 'mozilla,system',
    NO_COLOR: '1',
  };
  for (const name of PASSED_ON) {
    const value = process.env[name] ?? process.env[name.toLowerCase()];
    if (value) env[name] = value;
  }
  return env;
}

/** The flags by which Deno finds the functions' dependencies: those of supabase/functions/deno.json, if there is one. */
export function dependencyFlags(projectDir: string): string[] {
  const folder = join(projectDir, 'supabase/functions');
  const settings = join(folder, 'deno.json');
  if (!existsSync(settings)) return ['--no-config', '--no-lock'];
  // Another Deno may not read the lock file's version; deno.json pins what is imported all the same.
  return [`--config=${settings}`, process.env.DENO_BIN ? '--no-lock' : `--lock=${join(folder, 'deno.lock')}`];
}

/**
 * Fetches what a project's functions import from the npm registry into `denoDir`, unless that was done before for the same
 * deno.json and deno.lock. Throws a StackError when it fails.
 */
export async function fetchDenoDependencies(
  { projectDir, denoDir }: { projectDir: string; denoDir: string },
  say: (line: string) => void,
): Promise<void> {
  const settings = join(projectDir, 'supabase/functions/deno.json');
  const stampFile = join(denoDir, `fetched-${stampOf([settings, join(dirname(settings), 'deno.lock'), HOST_FILE])}`);
  if (existsSync(stampFile)) return;
  say("Fetching the functions' packages");
  // Without a deno.json Deno fetches what a function imports when it loads it.
  const entrypoints = existsSync(settings) ? findFunctions(projectDir).map(({ entrypoint }) => entrypoint) : [];
  const args = ['cache', '--quiet', ...dependencyFlags(projectDir), HOST_FILE, ...entrypoints];
  const { code, output } = await runTool(findDeno(), args, { env: denoEnv(denoDir), cwd: projectDir });
  if (code !== 0) throw new StackError(`The functions' packages could not be fetched: ${output.trim().split('\n')[0]}`);
  mkdirSync(denoDir, { recursive: true });
  writeFileSync(stampFile, '');
}

function stampOf(files: string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(existsSync(file) ? readFileSync(file) : '');
  return hash.digest('hex').slice(0, 16);
}
