/** Which objects of schema public Basemeter's migrations make: a project's own are in no list of ours. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_DIR } from '../../scripts/paths.ts';

const folder = join(PROJECT_DIR, 'supabase/migrations');
const OURS = new Set(
  readdirSync(folder)
    .filter((file) => file.startsWith('20261101'))
    .flatMap((file) => [
      ...readFileSync(join(folder, file), 'utf8').matchAll(
        /^create (?:or replace )?(?:table|view|function) public\.(\w+)/gm,
      ),
    ])
    .map(([, name]) => name),
);

/** Whether a table, view or function of this name is Basemeter's. */
export function isOurs({ name }: { name: string }): boolean {
  return OURS.has(name);
}
