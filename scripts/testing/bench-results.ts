/** What benchmarks measured, in Markdown: tables between two markers in bench/RESULTS.md, under the facts of their run. */
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { findPostgres } from '@basemeter/local-supabase';

/** One table of a benchmark: its caption, the heads of its columns, and a row of figures under them each. */
export type ResultTable = { title: string; columns: string[]; rows: (string | number)[][] };

/** What `bench/<name>.ts` exports as `run`: it gets the words after the name. Progress may be printed, results are returned. */
export type Benchmark = (args: string[]) => Promise<ResultTable[]>;

/** The tables as Markdown. Cells are text: a `|` in one would begin another. */
export function asMarkdown(tables: ResultTable[]): string {
  const line = (cells: (string | number)[]) =>
    `| ${cells.map((cell) => `${cell}`.replaceAll('|', '\\|')).join(' | ')} |`;
  return tables
    .map(({ title, columns, rows }) =>
      [`${title}:`, '', ...[columns, columns.map(() => '---'), ...rows].map(line)].join('\n'),
    )
    .join('\n\n');
}

/** `results` with `text` between the markers of this benchmark; a benchmark without markers gets a section at the end. */
export function withResults(results: string, name: string, text: string): string {
  const [begin, end] = [`<!-- measured: ${name} -->`, `<!-- end: ${name} -->`];
  const [from, to] = [results.indexOf(begin), results.indexOf(end)];
  if (from < 0 || to < from) return `${results.trimEnd()}\n\n## ${name}\n\n${begin}\n\n${text}\n\n${end}\n`;
  return `${results.slice(0, from)}${begin}\n\n${text}\n\n${results.slice(to)}`;
}

/** One sentence on a run: its command, when, and on what machine and versions. */
export function factsOfRun(name: string, args: string[], at = new Date()): string {
  const command = ['npm run bench --', name, ...args].join(' ');
  const [{ model = 'unknown' } = {}, ...others] = cpus();
  const machine = `${others.length + 1} × ${model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const postgres = execFileSync(findPostgres().postgres, ['--version'], { encoding: 'utf8' }).match(/[\d.]+/)?.[0];
  const versions = `Postgres ${postgres}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
  return `\`${command}\`, ${at.toISOString().slice(0, 10)}, ${machine}, ${versions}.`;
}
