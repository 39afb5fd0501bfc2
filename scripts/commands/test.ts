/**
 * `npm test [-- <word> …]`: pgTAP files and vitest files on one throwaway stack; `-- packages`: the packages' own tests;
 * `-- --modules core..ai`: the tests of the first modules, on a stack that has nothing else.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StackError } from '@basemeter/local-supabase';
import { z } from 'zod';
import { readStackFacts } from '../../tests/support/stack-facts.ts';
import { loadConfig } from '../config.ts';
import { PROJECT_DIR, resolveModule } from '../paths.ts';
import { abortOnSignal } from '../signals.ts';
import type { Stack } from '../stack.ts';
import { proveLedger } from '../testing/ledger.ts';
import { modulesOf, testsOf, withProjectOf } from '../testing/modules.ts';
import { installPgtap, runPgtap } from '../testing/pgtap.ts';
import { startTestStack } from '../testing/test-stack.ts';

type Totals = { passed: number; failed: number };

const NOTHING: Totals = { passed: 0, failed: 0 };

const vitestReport = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.unknown()) })),
});

/**
 * Runs the tests whose path contains one of the words, all of Basemeter's (or of the modules) without any; a word that
 * begins with `packages` chooses the packages' tests instead. Exit code 1 when one failed or none ran.
 */
export async function run(args: string[]): Promise<number> {
  const [range, words] = rangeAndWords(args);
  const interrupted = abortOnSignal();
  if (words.some((word) => /^packages(\/|$)/.test(word))) {
    const inPackages = words.map((word) => word.replace(/^packages\/?/, '')).filter(Boolean);
    const vitest = await runVitest(inPackages, interrupted, { folder: 'packages' });
    return conclude({ pgtap: NOTHING, vitest, ledger: NOTHING }, interrupted.aborted);
  }
  if (range === undefined) return runOnStack(words, interrupted);
  const modules = modulesOf(range);
  return withProjectOf(modules, (projectDir) =>
    runOnStack(words, interrupted, { projectDir, tests: testsOf(modules) }),
  );
}

/** What follows `--modules`, and the words. */
function rangeAndWords(args: string[]): [range: string | undefined, words: string[]] {
  const place = args.indexOf('--modules');
  const [, range = ''] = place < 0 ? [] : args.splice(place, 2);
  return [place < 0 ? undefined : range, args.filter((arg) => !arg.startsWith('-'))];
}

/** Runs them on a stack of their own: of `only` its project, and without words its tests. */
async function runOnStack(
  words: string[],
  interrupted: AbortSignal,
  only?: { projectDir: string; tests: string[] },
): Promise<number> {
  const isShort = words.length === 0 && Number(process.env.TEST_RUNS ?? 1) < 4;
  const chosen = words.length > 0 ? words : (only?.tests ?? []);
  const config = loadConfig();
  if (!config.databaseUrl) installPgtap();
  const stack = await startTestStack({
    databaseUrl: config.databaseUrl,
    postgrestBin: config.postgrestBin,
    ...(only && { projectDir: only.projectDir }),
    signal: interrupted,
    onProgress: (line) => console.log(line),
  });
  try {
    console.log(`\npgTAP, on ${config.databaseUrl ? 'the database of DATABASE_URL' : 'the embedded Postgres'}`);
    const pgtap = await runPgtap(stack.urls.databaseAdmin, chosen, (line) => console.log(line));
    const vitest = interrupted.aborted ? NOTHING : await runVitest(chosen, interrupted, { stack, isShort });
    // Whatever the tests did, they leave a ledger that is right.
    const ledger = interrupted.aborted
      ? NOTHING
      : await proveLedger(stack.urls.databaseAdmin, (line) => console.log(line));
    return conclude({ pgtap, vitest, ledger }, interrupted.aborted);
  } finally {
    await stack.stop();
  }
}

function conclude(totals: Record<'pgtap' | 'vitest' | 'ledger', Totals>, interrupted: boolean): number {
  const { pgtap, vitest, ledger } = totals;
  const passed = pgtap.passed + vitest.passed + ledger.passed;
  const failed = pgtap.failed + vitest.failed + ledger.failed;
  const words = ({ passed, failed }: Totals) => `${passed} passed, ${failed} failed`;
  console.log(
    `\npgTAP assertions: ${words(pgtap)}; vitest tests: ${words(vitest)}; rules of the ledger: ${words(ledger)}`,
  );
  if (interrupted) throw new StackError('The tests were interrupted.');
  if (passed + failed === ledger.passed) throw new StackError('No test has any of that in its path.');
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

/** Runs vitest in a process of its own and reads its report. A file that does not load counts as one failure. */
async function runVitest(
  words: string[],
  signal: AbortSignal,
  { folder = '.', stack, isShort = false }: { folder?: string; stack?: Stack; isShort?: boolean },
): Promise<Totals> {
  const reportFolder = mkdtempSync(join(tmpdir(), 'basemeter-report-'));
  const reportFile = join(reportFolder, 'vitest.json');
  const program = join(dirname(resolveModule('vitest/package.json')), 'vitest.mjs');
  const flags = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, '--passWithNoTests'];
  if (isShort) console.log('\nWithout *.long.test.ts, which run when they are named, and with TEST_RUNS=4.');
  const child = spawn(process.execPath, [program, 'run', ...flags, ...words], {
    cwd: join(PROJECT_DIR, folder),
    env: {
      ...process.env,
      ...(isShort && { BASEMETER_LONG_TESTS: 'no' }),
      ...(stack && { BASEMETER_TEST_STACK: JSON.stringify(readStackFacts(stack)) }),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  signal.addEventListener('abort', () => child.kill('SIGTERM'));
  const code = await new Promise<number>((resolve) => child.once('close', (exitCode) => resolve(exitCode ?? 1)));
  try {
    return readReport(reportFile, code);
  } finally {
    rmSync(reportFolder, { recursive: true });
  }
}

function readReport(file: string, exitCode: number): Totals {
  try {
    const report = vitestReport.parse(JSON.parse(readFileSync(file, 'utf8')));
    const unloaded = report.testResults.filter(
      ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
    );
    const failed = report.numFailedTests + unloaded.length;
    // An error outside any test fails the run as well.
    return { passed: report.numPassedTests, failed: failed === 0 && exitCode !== 0 ? 1 : failed };
  } catch {
    return { passed: 0, failed: exitCode === 0 ? 0 : 1 };
  }
}
