import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadKeys } from '../../src/keys.ts';

const dir = mkdtempSync(join(tmpdir(), 'local-supabase-keys-'));
const file = join(dir, 'keys.json');
afterAll(() => rmSync(dir, { recursive: true }));

test('keys are made once, for their owner alone; a file that holds none is named', () => {
  const keys = loadKeys(file);
  expect(loadKeys(file)).toEqual(keys);
  if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600);
  writeFileSync(file, '{}');
  expect(() => loadKeys(file)).toThrow(/keys\.json is not a readable set of keys; delete it/);
});
