/**
 * The migrations, applied by the Supabase CLI as the non-superuser `postgres`, give the same privileges whatever the
 * project's default ones: an older project opens everything new in public to the API roles, a newer one nothing.
 */
import { randomUUID } from 'node:crypto';
import { applyBaseSchema, prepareDatabase, recreateDatabase, urlForRole, withClient } from '@basemeter/local-supabase';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROJECT_DIR } from '../../scripts/paths.ts';
import { adminPool, urls } from '../support/stack.ts';

/** A project as it is before and after the migrations: what PUBLIC and the API roles may do with what. */
type Project = { url: string; probeBefore: string[]; probeAfter: string[]; privileges: string[] };

const projects: Partial<Record<'old' | 'new', Project>> = {};
const databases: string[] = [];

// An older project's defaults are part of the base schema.
const GRANT_NOTHING = ['tables', 'functions', 'sequences'].map(
  (kind) =>
    `alter default privileges for role postgres in schema public
       revoke all on ${kind} from anon, authenticated, service_role`,
);

beforeAll(async () => {
  // One after the other: the base schema sets up roles, which both share.
  const old = await newProject([]);
  const fresh = await newProject(GRANT_NOTHING);
  // The tests' own database is an older project with the migrations.
  projects.old = await afterMigrations(urls.databaseAdmin, await probe(old));
  const probeBefore = await probe(fresh);
  await prepareDatabase(fresh, PROJECT_DIR, false);
  projects.new = await afterMigrations(fresh, probeBefore);
}, 120_000);

afterAll(async () => {
  for (const name of databases) await adminPool.query(`drop database if exists ${name} with (force)`);
});

/** Makes a project in a database of its own: base schema and default privileges. */
async function newProject(defaultPrivileges: string[]): Promise<string> {
  const url = new URL(urls.databaseAdmin);
  url.pathname = `/privileges_${randomUUID().slice(0, 8)}`;
  databases.push(url.pathname.slice(1));
  await recreateDatabase(url.href);
  await applyBaseSchema(url.href);
  await withClient(url.href, async (client) => {
    for (const statement of defaultPrivileges) await client.query(statement);
  });
  return url.href;
}

async function afterMigrations(url: string, probeBefore: string[]): Promise<Project> {
  const privileges = await withClient(urlForRole(url, 'postgres'), (client) =>
    readPrivileges(client, ['public', 'private']),
  );
  // Months have partitions as time passes, and tests pass it.
  const isOfMonth = (line: string): boolean => /ai_usage_logs_\d{4}_\d\d/.test(line);
  return { url, probeBefore, probeAfter: await probe(url), privileges: privileges.filter((line) => !isOfMonth(line)) };
}

/** Privileges on objects that `postgres` makes now, and unmakes again. */
function probe(url: string): Promise<string[]> {
  return withClient(urlForRole(url, 'postgres'), async (client) => {
    await client.query(`begin;
      create table public.probe (id bigint generated always as identity, note text);
      create function public.probe_it() returns integer language sql as 'select 1'`);
    const privileges = await readPrivileges(client, ['public']);
    return privileges.filter((line) => line.includes('probe'));
  });
}

/** Each right that PUBLIC or an API role really has, one a line, as "object: role may verb". */
async function readPrivileges(client: pg.Client, schemas: string[]): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(PRIVILEGES, [schemas]);
  return rows.map((row) => row.line);
}

const PRIVILEGES = `
  with roles (role) as (values ('public'), ('anon'), ('authenticated'), ('service_role')),
  spaces as (select n.oid, n.nspname from pg_namespace n where n.nspname = any ($1::text[])),
  relations as (
    select c.oid, c.relkind, format('%s.%s', s.nspname, c.relname) as name
      from pg_class c join spaces s on s.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  ),
  rights (line) as (
    select format('schema %s: %s may %s', s.nspname, role, verb)
      from spaces s, roles, unnest('{usage,create}'::text[]) verb where has_schema_privilege(role, s.oid, verb)
    union all
    select format('%s: %s may %s', r.name, role, verb)
      from relations r, roles, unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) verb
     where r.relkind <> 'S' and has_table_privilege(role, r.oid, verb)
    union all
    select format('%s.%s: %s may %s', r.name, a.attname, role, verb)
      from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped, roles,
           unnest('{select,insert,update,references}'::text[]) verb
     where r.relkind <> 'S' and has_column_privilege(role, r.oid, a.attnum, verb)
    union all
    select format('%s: %s may %s', r.name, role, verb)
      from relations r, roles, unnest('{usage,select,update}'::text[]) verb
     where r.relkind = 'S' and has_sequence_privilege(role, r.oid, verb)
    union all
    select format('%s: %s may execute', p.oid::regprocedure, role)
      from pg_proc p join spaces s on s.oid = p.pronamespace, roles where has_function_privilege(role, p.oid, 'execute')
    union all
    select format('type %s: %s may use', t.oid::regtype, role)
      from pg_type t join spaces s on s.oid = t.typnamespace, roles where has_type_privilege(role, t.oid, 'usage')
  )
  select line from rights order by line collate "C"`;

describe('before the migrations', () => {
  test('an older project opens to the API roles what is made in public, a newer one does not', () => {
    expect(projects.old?.probeBefore).toContain('public.probe: anon may delete');
    expect(projects.old?.probeBefore).toContain('probe_it(): service_role may execute');
    expect(projects.new?.probeBefore).not.toContain('public.probe: anon may delete');
    expect(projects.new?.probeBefore).not.toEqual(projects.old?.probeBefore);
  });
});

describe('after them', () => {
  test('every object has the same privileges on both', () => {
    const privileges = projects.old?.privileges;
    expect(privileges).toContain('public.users: authenticated may select');
    expect(privileges?.filter((line) => line.includes(': anon may delete'))).toEqual([]);
    expect(projects.new?.privileges).toEqual(privileges);
  });

  test('what a later migration makes is closed on both', () => {
    const types = (line: string): boolean => !line.startsWith('type '); // usage on types stays with PUBLIC
    expect(projects.old?.probeAfter.filter(types)).toEqual([]);
    expect(projects.new?.probeAfter).toEqual(projects.old?.probeAfter);
  });

  test('no migration needed more than the role postgres, which is no superuser, and it owns what they made', async () => {
    for (const project of [projects.old, projects.new]) {
      const owners = await withClient(project?.url ?? '', (client) =>
        client.query(`
          select distinct o.rolname as owner, o.rolsuper as super
            from pg_class c join pg_roles o on o.oid = c.relowner
           where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)`),
      );
      expect(owners.rows).toEqual([{ owner: 'postgres', super: false }]);
    }
  });
});
