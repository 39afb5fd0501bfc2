/** Reads TAP, the text pgTAP writes. Pure: lines in, verdict out. */
import { Parser } from 'tap-parser';

/** What one file of TAP says. */
export type TapReport = {
  passed: number;
  /** Failed assertions, their descriptions with the diagnostics that followed. Those marked TODO are not failures. */
  failures: string[];
  skipped: number;
  /** What is wrong with the file as a whole: no plan, another number of tests than planned, a bail-out. */
  problems: string[];
};

/** Judges the lines of one file. `error` is the database error that ended it early, if one did. */
export function readTap(lines: string[], error?: string): TapReport {
  const report: TapReport = { passed: 0, failures: [], skipped: 0, problems: error ? [error] : [] };
  let lastFailed = false;
  const parser = new Parser(({ plan, count }) => {
    if (plan.end === null && !error)
      report.problems.push('it has no plan: plan(n) or no_plan(), and finish() at the end');
    else if (plan.end !== null && plan.end !== count)
      report.problems.push(`${plan.end} tests were planned and ${count} ran`);
  });
  parser.on('assert', ({ ok, skip, todo, name }) => {
    lastFailed = !ok && !skip && !todo;
    if (skip) report.skipped += 1;
    else if (lastFailed) report.failures.push(name);
    else report.passed += 1;
  });
  parser.on('comment', (line: string) => {
    if (lastFailed) report.failures.push(`${report.failures.pop()}\n      ${line.trimEnd()}`);
  });
  parser.on('bailout', (reason: string) => report.problems.push(`Bail out! ${reason}`));
  parser.end(lines.join('\n'));
  return report;
}
