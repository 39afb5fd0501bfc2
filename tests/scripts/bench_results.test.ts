import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { asMarkdown, factsOfRun, withResults } from '../../scripts/testing/bench-results.ts';

test('tables are written as Markdown, and a cell cannot begin another', () => {
  expect(asMarkdown([{ title: '2 rounds', columns: ['', 'a | b'], rows: [['first', 1]] }])).toBe(
    '2 rounds:\n\n|  | a \\| b |\n| --- | --- |\n| first | 1 |',
  );
});

test('a benchmark replaces what it wrote before and nothing else', () => {
  const [ai, ledger] = ['ai', 'ledger'].map((name) => `<!-- measured: ${name} -->\n\nold\n\n<!-- end: ${name} -->`);
  const once = withResults(`# Results\n\n${ai}\n\nprose\n\n${ledger}\n`, 'ledger', 'new');
  expect(once).toBe(`# Results\n\n${ai}\n\nprose\n\n${ledger?.replace('old', 'new')}\n`);
  expect(withResults(once, 'ledger', 'new')).toBe(once);
});

test('a benchmark without a place gets a section at the end', () => {
  const once = withResults('# Results\n', 'video', 'new');
  expect(once).toBe('# Results\n\n## video\n\n<!-- measured: video -->\n\nnew\n\n<!-- end: video -->\n');
  expect(withResults(once, 'video', 'newer')).toBe(once.replace('new', 'newer'));
});

test('a run names its command, day, machine and versions', () => {
  expect(factsOfRun('ledger', ['1'], new Date('2026-11-28T12:00:00Z'))).toMatch(
    /^`npm run bench -- ledger 1`, 2026-11-28, \d+ × .+, \d+ GiB, Postgres \d+\.\d+, Node \d+\.\d+\.\d+, \w+ \w+\.$/,
  );
});

test('bench/RESULTS.md has a place for each benchmark', () => {
  const results = readFileSync(join(PROJECT_DIR, 'bench/RESULTS.md'), 'utf8');
  const names = readdirSync(join(PROJECT_DIR, 'bench')).filter((file) => file.endsWith('.ts'));
  for (const name of names.map((file) => file.replace('.ts', '')))
    expect(withResults(results, name, '').length).toBeLessThan(results.length);
});
