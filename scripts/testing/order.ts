/** The order of the migrations: which functions name what is made only after them. */
import type { Migration } from './modules.ts';

/** A function that names an object which a later statement makes; in a later file, unless it is the function's own. */
export type ReferenceAhead = { from: string; to: string; file: string; laterFile: string };

/**
 * Functions whose bodies name an object that is made later. What else names objects (views, policies, triggers, SQL in
 * migrations) cannot: Postgres refuses it.
 */
export function referencesAhead(migrations: Migration[]): ReferenceAhead[] {
  const made = new Map<string, { file: string; place: number }>();
  for (const [place, { name, file }] of statementsOf(migrations).entries())
    if (!made.has(name)) made.set(name, { file, place });
  return statementsOf(migrations).flatMap(({ name: from, file, body }, place) =>
    [...new Set(body.match(/\b(?:public|private)\.\w+/g))].flatMap((to) => {
      const object = made.get(to);
      return object && object.place > place ? [{ from, to, file, laterFile: object.file }] : [];
    }),
  );
}

type Statement = { name: string; file: string; body: string };

/** The statements that make tables, views, types, domains and functions; a body is a function's. */
function statementsOf(migrations: Migration[]): Statement[] {
  const made = /^create (?:or replace )?(?:table|view|type|domain|function(?=[^$]*\$\$([\s\S]*?)\$\$)) (\w+\.\w+)/gm;
  return migrations.flatMap(({ file, text }) =>
    [...text.matchAll(made)].map(([, body = '', name = '']) => ({ name, file, body })),
  );
}
