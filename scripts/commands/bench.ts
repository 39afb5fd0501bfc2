/**
 * `npm run bench`: runs every benchmark; `npm run bench -- <name> [options]`: runs bench/<name>.ts. Each writes its tables into
 * bench/RESULTS.md.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Service, StackError } from '@basemeter/local-supabase';
import { PROJECT_DIR } from '../paths.ts';
import { aborted, abortOnSignal } from '../signals.ts';
import { asMarkdown, type Benchmark, factsOfRun, withResults } from '../testing/bench-results.ts';

const RESULTS = join(PROJECT_DIR, 'bench/RESULTS.md');

/** Runs the one that is named with the words after its name, or all, one after the other. Exit code 1 where one failed. */
export async function run([name, ...args]: string[]): Promise<number> {
  const files = readdirSync(join(PROJECT_DIR, 'bench')).filter((file) => file.endsWith('.ts'));
  const names = files.map((file) => file.replace(/\.ts$/, ''));
  if (name === undefined) return runAll(names);
  if (!names.includes(name)) throw new StackError(`There is no benchmark "${name}"; there is: ${names.join(', ')}.`);
  const { run: measure }: { run: Benchmark } = await import(pathToFileURL(join(PROJECT_DIR, `bench/${name}.ts`)).href);
  const interrupted = abortOnSignal();
  const running = measure(args);
  // A connection that nobody reads from reports its end as an event, which would end this process and leave the rest running.
  const broken = new Promise<Error>((resolve) => process.on('uncaughtException', resolve));
  const stopped = Promise.race([aborted(interrupted), broken]).then(async (error) => {
    const cause = await ended(running);
    throw error ? (cause ?? error) : new StackError('The benchmark was interrupted.');
  });
  const measured = running.catch(async (error) => {
    if (interrupted.aborted) await stopped;
    throw error;
  });
  const tables = asMarkdown(await Promise.race([measured, stopped]));
  console.log(`\n${tables}`);
  const text = `${factsOfRun(name, args)}\n\n${tables}`;
  writeFileSync(RESULTS, withResults(readFileSync(RESULTS, 'utf8'), name, text));
  return 0;
}

/**
 * Stops what a benchmark has started until it ends by that and has cleared away its own (folders, other programs), or half a
 * minute is over; gives why it ended.
 */
async function ended(running: Promise<unknown>): Promise<unknown> {
  const end = running.then(
    () => ({ cause: undefined }),
    (cause: unknown) => ({ cause }),
  );
  for (let tries = 0; tries < 60; tries += 1) {
    await Service.stopAll(); // again and again: it may be about to start another
    const over = await Promise.race([end, sleep(500, undefined)]);
    if (over) return over.cause;
  }
  return undefined;
}

/** Each in a process of its own: what one leaves behind does not touch the next. */
async function runAll(names: string[]): Promise<number> {
  const interrupted = abortOnSignal();
  const failed: string[] = [];
  for (const name of names) {
    if (interrupted.aborted) break;
    console.log(`\n${name}`);
    const command = [join(PROJECT_DIR, 'scripts/run.mjs'), 'bench', name];
    const child = spawn(process.execPath, command, { stdio: 'inherit' });
    interrupted.addEventListener('abort', () => child.kill('SIGTERM'));
    const [code] = await once(child, 'close');
    if (code !== 0) failed.push(name);
  }
  if (interrupted.aborted) throw new StackError('The benchmarks were interrupted.');
  if (failed.length > 0) throw new StackError(`Failed: ${failed.join(', ')}.`);
  return 0;
}
