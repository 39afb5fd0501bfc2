/** Which objects of schema public Basemeter's migrations make: a project's own are in no list of ours. */
import { ourMigrations } from '../../scripts/testing/modules.ts';

const OURS = new Set(
  ourMigrations()
    .flatMap(({ text }) => [...text.matchAll(/^create (?:or replace )?(?:table|view|function) public\.(\w+)/gm)])
    .map(([, name]) => name),
);

/** Whether a table, view or function of this name is Basemeter's. */
export function isOurs({ name }: { name: string }): boolean {
  return OURS.has(name);
}
