/** The role that functions connect as executes the rpcs in their sources, and no other function. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isOurs } from '../support/ours.ts';
import { sql } from '../support/stack.ts';
import { ROLE } from './helpers.ts';

const FUNCTIONS = new URL('../../supabase/functions/', import.meta.url);

test('each rpc that a function calls has its grant, and nothing else', async () => {
  const files = readdirSync(FUNCTIONS, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const called = files.flatMap((file) =>
    [...readFileSync(new URL(file, FUNCTIONS), 'utf8').matchAll(/\b(?:rpc|callRpc)\(\s*'(\w+)'/g)].map(
      ([, name]) => name,
    ),
  );
  const granted = (
    await sql<{ name: string }>(
      `select p.proname as name from pg_proc p
        where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and has_function_privilege($1, p.oid, 'execute')`,
      [ROLE],
    )
  ).filter(isOurs);
  // What is on sale everyone reads over PostgREST.
  const wanted = [...new Set(called)].filter(
    (name) => isOurs({ name: name ?? '' }) && name !== 'list_payment_products',
  );
  expect(granted.map(({ name }) => name).sort()).toEqual(wanted.sort());
});
