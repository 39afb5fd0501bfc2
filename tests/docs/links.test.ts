/** Each link from page to page leads to a file that is there, and to a heading in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';

const pages = [
  ...readdirSync(PROJECT_DIR).map((name) => join(PROJECT_DIR, name)),
  ...readdirSync(join(PROJECT_DIR, 'docs')).map((name) => join(PROJECT_DIR, 'docs', name)),
].filter((path) => path.endsWith('.md'));

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test('links lead somewhere', () => {
  const broken = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)]
      .filter(([, path, anchor]) => {
        const target = path ? join(dirname(page), path) : page;
        return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
      })
      .map(([link]) => `${relative(PROJECT_DIR, page)}: ${link}`),
  );
  expect(broken).toEqual([]);
});
