/** The migrations stand in the order of their modules, and each uses only what stands before it. */
import { expect, test } from 'vitest';
import { allModules, ourMigrations } from '../../scripts/testing/modules.ts';
import { referencesAhead } from '../../scripts/testing/order.ts';

const migrations = ourMigrations();

test('every migration says its module, and modules follow each other', () => {
  const inOrder = migrations.map(({ module }) => module).filter((module, place, all) => module !== all[place - 1]);
  expect(inOrder).toEqual(allModules());
});

test('no function names what is made after it', () => {
  expect(referencesAhead(migrations).map(({ from, to }) => `${from} names ${to}`)).toEqual([]);
});

test('a sentence stands above each private function', () => {
  const bare = migrations
    .flatMap(({ text }) => [...text.matchAll(/^(.*)\ncreate function (private\.\w+)/gm)])
    .filter(([, above]) => !above?.startsWith('-- '))
    .map(([, , name]) => name);
  expect(bare).toEqual([]);
});
