import { expect, test } from 'vitest';
import { findTestFiles } from '../../scripts/testing/pgtap.ts';
import { readTap } from '../../scripts/testing/tap.ts';

test('counts what passed, failed and was skipped', () => {
  const report = readTap(['1..4', 'ok 1 - a', 'not ok 2 - b', '# Failed test 2: "b"', 'ok 3 # SKIP not here', 'ok 4']);
  expect(report).toEqual({ passed: 2, failures: ['b\n      # Failed test 2: "b"'], skipped: 1, problems: [] });
});

test('a failure marked TODO is none', () => {
  expect(readTap(['1..1', 'not ok 1 - later # TODO not built', '# Failed (TODO) test 1'])).toMatchObject({
    passed: 1,
    failures: [],
  });
});

test.each([
  ['no plan', ['ok 1']],
  ['too few tests', ['1..2', 'ok 1']],
  ['too many tests', ['1..1', 'ok 1', 'ok 2']],
  ['a bail-out', ['1..1', 'ok 1', 'Bail out!  no server']],
])('%s is a problem', (_, lines) => {
  expect(readTap(lines).problems).toHaveLength(1);
});

test('the plan may come at the end', () => {
  expect(readTap(['ok 1', '1..1'])).toMatchObject({ passed: 1, problems: [] });
});

test('a database error is a problem of its own', () => {
  expect(readTap(['1..2', 'ok 1'], 'it ended with an error').problems).toContain('it ended with an error');
});

test('of several words each chooses the files that have it in their path, after the setup file', () => {
  const paths = findTestFiles(['hygiene/amounts', 'errors/a_code']);
  expect(paths).toEqual([
    'supabase/tests/000_setup.test.sql',
    'supabase/tests/errors/a_code_has_its_status.test.sql',
    'supabase/tests/hygiene/amounts_are_exact.test.sql',
  ]);
  expect(findTestFiles(['no file has this'])).toEqual([]);
  expect(findTestFiles([]).length).toBeGreaterThan(100);
});
