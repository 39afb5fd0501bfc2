/** Reads TAP, the text pgTAP writes. Pure: lines in, verdict out. */

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
  let planned: number | undefined;
  let ran = 0;
  let lastFailed = false;
  for (const line of lines) {
    const plan = line.match(/^1\.\.(\d+)(?:\s*#\s*skip\b(.*))?/i);
    const test = line.match(/^(not )?ok\b\s*(\d*)\s*(.*)$/);
    if (plan) planned = Number(plan[1]);
    else if (/^Bail out!/.test(line)) report.problems.push(line);
    else if (test) {
      ran += 1;
      lastFailed = count(report, test[1] !== undefined, test[3] ?? '');
    } else if (lastFailed && line.startsWith('#')) {
      report.failures.push(`${report.failures.pop()}\n      ${line}`);
    }
  }
  if (planned === undefined && !error)
    report.problems.push('it has no plan: plan(n) or no_plan(), and finish() at the end');
  else if (planned !== undefined && planned !== ran)
    report.problems.push(`${planned} tests were planned and ${ran} ran`);
  return report;
}

/** Adds one assertion to the report; true when it is a failure. */
function count(report: TapReport, isNotOk: boolean, description: string): boolean {
  const isTodo = /#\s*todo\b/i.test(description);
  if (/#\s*skip\b/i.test(description)) report.skipped += 1;
  else if (isNotOk && !isTodo) report.failures.push(description.replace(/^- /, ''));
  else report.passed += 1;
  return isNotOk && !isTodo && !/#\s*skip\b/i.test(description);
}
