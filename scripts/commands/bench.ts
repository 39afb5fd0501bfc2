/** `npm run bench -- <name> [options]`: runs bench/<name>.ts, or lists the names. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Service, StackError } from '@basemeter/local-supabase';
import type { Command } from '../command-line.ts';
import { PROJECT_DIR } from '../paths.ts';
import { aborted, abortOnSignal } from '../signals.ts';

/** Hands the words after the name to the benchmark's exported `run`, a command like these here. */
export async function run([name, ...args]: string[]): Promise<number | undefined> {
  const folder = join(PROJECT_DIR, 'bench');
  const names = existsSync(folder)
    ? readdirSync(folder).flatMap((file) => (file.endsWith('.ts') ? [file.replace(/\.ts$/, '')] : []))
    : [];
  if (!name) {
    console.log(`Benchmarks: ${names.join(', ') || 'none yet'}. Run one with \`npm run bench -- <name>\`.`);
    return 0;
  }
  if (!names.includes(name))
    throw new StackError(`There is no benchmark "${name}"; there is: ${names.join(', ') || 'none'}.`);
  const benchmark: { run: Command } = await import(pathToFileURL(join(folder, `${name}.ts`)).href);
  const interruption = aborted(abortOnSignal()).then(async () => {
    await Service.stopAll();
    throw new StackError('The benchmark was interrupted.');
  });
  return Promise.race([benchmark.run(args), interruption]);
}
