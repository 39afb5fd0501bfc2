/**
 * `npm run chaos [-- <seconds> [<seed>]]`: mixed load on a stack of its own while its parts are killed at random, then the
 * ledger compared with what clients were told. Two minutes unless told otherwise.
 */
import { StackError } from '@basemeter/local-supabase';
import { abortOnSignal } from '../signals.ts';
import { runChaos } from '../testing/chaos.ts';

const LONGEST = 24 * 3600;

/** Runs it. Exit code 1 when a comparison failed. */
export async function run(args: string[]): Promise<number> {
  const [seconds = 120, seed = Date.now() % 1_000_000] = args.map(Number);
  if (!(seconds >= 10 && seconds <= LONGEST) || !Number.isInteger(seed)) {
    throw new StackError(`Give seconds (10 to ${LONGEST}) and a seed (a whole number), both as numbers.`);
  }
  console.log(`Chaos for ${seconds} seconds; repeat it with \`npm run chaos -- ${seconds} ${seed}\``);
  const failed = await runChaos({ seconds, seed, signal: abortOnSignal(), print: (line) => console.log(line) });
  return failed > 0 ? 1 : 0;
}
