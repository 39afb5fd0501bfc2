/** `npm run measure`: how large and how entangled the SQL is, and how many rows one AI call writes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { PROJECT_DIR } from '../paths.ts';
import { withMigratedDatabase } from '../testing/migrated-database.ts';
import { ourMigrations } from '../testing/modules.ts';
import { referencesAhead } from '../testing/order.ts';

/** What the sizes of a call, an admission and an event are counted from. */
const ENTRANCES = ['debit_user_credits_transaction', 'admit_ai_call', 'receive_payment_event'];

type Routine = { name: string; schema: string; body: string };

/** Prints one line a measure, as a table of Markdown. */
export async function run(): Promise<undefined> {
  const measures = [...(await withMigratedDatabase(measuredInDatabase)), ...measuredInFiles()];
  console.log('| measure | value |\n| --- | --- |');
  for (const [name, value] of measures) console.log(`| ${name} | ${value} |`);
}

type Measure = [name: string, value: string | number];

async function measuredInDatabase(adminUrl: string): Promise<Measure[]> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Routine>(
      `select p.proname as name, p.pronamespace::regnamespace::text as schema, p.prosrc as body
         from pg_proc p where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')`,
    );
    const own = rows.filter(({ schema }) => schema === 'private');
    const callers = await callersOf(client, rows);
    const [counts] = (await client.query(COUNTS)).rows;
    return [
      ['public functions; private functions', `${rows.length - own.length}; ${own.length}`],
      ['private functions with one caller', own.filter(({ name }) => callers.get(name) === 1).length],
      ['tables; triggers; types', `${counts.tables}; ${counts.triggers}; ${counts.types}`],
      ...ENTRANCES.map((name): Measure => [`functions reachable from ${name}`, reachedFrom(name, rows)]),
      ['rows written by one AI call without a key', await rowsOfOneCall(client)],
    ];
  } finally {
    await client.end();
  }
}

const COUNTS = `
  select (select count(*) from pg_class where relkind = 'r' and relnamespace in ('public'::regnamespace, 'private'::regnamespace))
           as tables,
         (select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal
             and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace, 'auth'::regnamespace)) as triggers,
         (select count(*) from pg_type t left join pg_class c on c.oid = t.typrelid
           where t.typnamespace in ('public'::regnamespace, 'private'::regnamespace)
             and (t.typtype in ('e', 'd') or c.relkind = 'c')) as types`;

/** What else than functions names functions: triggers, policies, views, constraints and defaults. */
const OTHER_CALLERS = `
  select pg_get_triggerdef(oid) as text from pg_trigger where not tgisinternal
  union all select concat_ws(' ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy
  union all select pg_get_viewdef(oid) from pg_class where relkind = 'v' and relnamespace = 'public'::regnamespace
  union all select pg_get_constraintdef(oid) from pg_constraint
             where connamespace in ('public'::regnamespace, 'private'::regnamespace)
  union all select pg_get_expr(adbin, adrelid) from pg_attrdef`;

const namedIn = (text: string): Set<string> =>
  new Set([...text.matchAll(/\b(?:public|private)\.(\w+)\s*\(/g)].map(([, name]) => name ?? ''));

/** By name, how many functions, triggers, policies, views, constraints and defaults call it. */
async function callersOf(client: pg.Client, routines: Routine[]): Promise<Map<string, number>> {
  const others = (await client.query<{ text: string | null }>(OTHER_CALLERS)).rows.map(({ text }) => text ?? '');
  const callers = new Map<string, number>();
  const texts = [...routines.map(({ name, body }) => ({ name, body })), ...others.map((body) => ({ name: '', body }))];
  for (const { name: caller, body } of texts)
    for (const name of namedIn(body)) if (name !== caller) callers.set(name, (callers.get(name) ?? 0) + 1);
  return callers;
}

/** How many functions a call of `entrance` can reach by name, itself among them; what triggers run is not counted. */
function reachedFrom(entrance: string, routines: Routine[]): number {
  const bodies = new Map<string, string>();
  for (const { name, body } of routines) bodies.set(name, `${bodies.get(name) ?? ''} ${body}`);
  const reached = new Set<string>();
  const visit = (name: string): void => {
    const body = bodies.get(name);
    if (body === undefined || reached.has(name)) return;
    reached.add(name);
    for (const called of namedIn(body)) visit(called);
  };
  visit(entrance);
  return reached.size;
}

/** Rows inserted, updated and deleted from admission to the end of one successful call of a person without a key. */
async function rowsOfOneCall(client: pg.Client): Promise<number> {
  await client.query('begin');
  await client.query(`insert into auth.users (id, email) values (gen_random_uuid(), 'measured@example.test')`);
  await client.query(
    `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens, credits_per_request)
     values ('measured', 'Measured', 'measured', 10, 1)`,
  );
  await client.query(`select private.set_model_price('measured', '{"input": 0, "output": 0}', '2020-01-01')`);
  await client.query('commit');
  await client.query('select pg_stat_force_next_flush()'); // else what made the person counts too
  await client.query('begin');
  await client.query(`
    select public.finish_ai_call((admitted ->> 'hold_id')::uuid, 'success', 10, 0, 5)
      from (select public.admit_ai_call(id, 'measured', 10, max_output_tokens => 5) as admitted from auth.users
             where email = 'measured@example.test' offset 0) calls`);
  const { rows } = await client.query<{ written: number }>(
    `select sum(n_tup_ins + n_tup_upd + n_tup_del)::integer as written from pg_stat_xact_user_tables
      where schemaname in ('public', 'private')`,
  );
  await client.query('rollback');
  return rows[0]?.written ?? 0;
}

function measuredInFiles(): Measure[] {
  const migrations = ourMigrations();
  const lines = migrations.flatMap(({ text }) => text.trimEnd().split('\n'));
  const readme = readFileSync(join(PROJECT_DIR, 'README.md'), 'utf8').trimEnd().split('\n');
  return [
    [
      'references to later files',
      referencesAhead(migrations).filter(({ file, laterFile }) => file !== laterFile).length,
    ],
    ['lines of migrations; longer than 120', `${lines.length}; ${lines.filter(({ length }) => length > 120).length}`],
    ['lines of README.md', readme.length],
  ];
}
