/** The pages with JavaScript: each goes on with what those before it made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_DIR } from '../../scripts/paths.ts';

const PAGES = [
  'README',
  ...[
    'ai',
    'credits',
    'teams',
    'payments',
    'features',
    'video',
    'conversations',
    'retrieval',
    'sessions',
    'admin',
    'devices',
    'retention',
  ].map((page) => `docs/${page}`),
];

/** Their snippets as one module. */
export function readSnippets(): string {
  return PAGES.flatMap((page) => [
    ...readFileSync(join(PROJECT_DIR, `${page}.md`), 'utf8').matchAll(/^```js\n([\s\S]*?)^```/gm),
  ])
    .map(([, code]) => code)
    .join('\n');
}
