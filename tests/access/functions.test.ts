/** Every function of schema public, as everyone, against the lines of functions.md. */
import { expect, test } from 'vitest';
import { isOurs } from '../support/ours.ts';
import { sql } from '../support/stack.ts';
import { CALLS, type Call } from './calls.ts';
import { linesOf } from './lines.ts';
import { ACTORS, type Actor, inWorld, roleOf, tryAs, type World } from './people.ts';

type Right = { name: string; anon: boolean; authenticated: boolean; service_role: boolean };

const rights = (
  await sql<Right>(`
  select p.proname as name, has_function_privilege('anon', p.oid, 'execute') as anon,
    has_function_privilege('authenticated', p.oid, 'execute') as authenticated,
    has_function_privilege('service_role', p.oid, 'execute') as service_role
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace
    and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
  order by 1`)
).filter(isOurs);

const lines = linesOf('functions.md', 'function');

test('every function has its lines and calls, and every line and call its function', () => {
  const there = rights.map(({ name }) => name);
  const written = lines.map((line) => `${line.function} (${line.call})`);
  const ofPeople = rights.filter(({ anon, authenticated }) => anon || authenticated).map(({ name }) => name);
  const calls = Object.entries(CALLS).flatMap(([name, kinds]) => Object.keys(kinds).map((kind) => `${name} (${kind})`));
  const found = {
    'functions of one name': there.filter((name, index) => there.indexOf(name) !== index),
    'functions without a line in tests/access/functions.md': there.filter(
      (name) => !lines.some((line) => line.function === name),
    ),
    'lines of tests/access/functions.md without a function or written twice': lines
      .filter(
        (line, index) => !there.includes(line.function ?? '') || written.indexOf(written[index] as string) !== index,
      )
      .map((line) => `${line.function} (${line.call})`),
    'functions that people may execute without a call in tests/access/calls.ts': ofPeople.filter(
      (name) => !CALLS[name],
    ),
    'calls of tests/access/calls.ts without a line in tests/access/functions.md': calls.filter(
      (call) => !written.includes(call),
    ),
    'lines of tests/access/functions.md without their call in tests/access/calls.ts': written.filter(
      (line, index) => CALLS[lines[index]?.function ?? ''] && !calls.includes(line),
    ),
  };
  expect(found).toEqual(Object.fromEntries(Object.keys(found).map((name) => [name, []])));
});

test.each(rights)('$name is open to whom its lines say', async (right) => {
  const should: Record<string, string> = {};
  const is: Record<string, string> = {};
  for (const line of lines.filter(({ function: name }) => name === right.name)) {
    await inWorld(async (world) => {
      const call = CALLS[right.name]?.[line.call ?? ''];
      if (call?.before) await world.client.query(call.before(world));
      for (const actor of ACTORS) {
        const cell = `${right.name} ${line.call} as ${actor}`;
        should[cell] = line[actor] ?? '';
        is[cell] = right[roleOf(actor)] ? await outcomeOf(world, actor, call) : '-';
      }
    });
  }
  expect(is).toEqual(should);
});

async function outcomeOf(world: World, actor: Actor, call: Call | undefined): Promise<string> {
  if (!call) return 'may';
  const tried = await tryAs(world, actor, call.sql(world));
  if ('rows' in tried) return tried.rows.length ? 'may' : 'refused';
  if ((call.refusals ?? ['PT401', 'PT403', 'PT404']).includes(tried.code)) return 'refused';
  // Codes of ours; anything else is a call that cannot be made, or a right missing further in.
  return /^PT4|^PGRST$/.test(tried.code) ? 'may' : `${tried.code} ${tried.message}`;
}
