import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

test('nothing in this package knows the project that it serves', () => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(ts|sql)$/.test(name),
  );
  expect(files.length).toBeGreaterThan(30);
  for (const name of files) {
    const file = join(ROOT, 'src', name);
    const text = readFileSync(file, 'utf8');
    expect([name, /basemeter|\bcredit|workspace|creem|stripe/i.exec(text)?.[0]]).toEqual([name, undefined]);
    for (const [, path = ''] of text.matchAll(/(?:from|import\(|new URL\() ?'(\.[^']*)'/g)) {
      expect([name, path, resolve(dirname(file), path).startsWith(ROOT)]).toEqual([name, path, true]);
    }
  }
});
