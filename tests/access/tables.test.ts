/** Every verb on every table and view of schema public, as everyone, against the lines of tables.md. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { isOurs } from '../support/ours.ts';
import { sql } from '../support/stack.ts';
import { linesOf } from './lines.ts';
import { ACTORS, type Actor, inWorld, roleOf, type Tried, tryAs, type World } from './people.ts';
import { SEEDS, type Seed } from './seeds.ts';

const VERBS = ['select', 'insert', 'update', 'delete'] as const;
type Verb = (typeof VERBS)[number];

type Relation = { name: string; key: string[]; columns: { name: string; isWritable: boolean }[] };

const relations = (
  await sql<Relation>(`
  select c.relname as name,
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey) order by a.attnum) as key,
    array(select jsonb_build_object('name', a.attname, 'isWritable', a.attgenerated = '' and a.attidentity <> 'a'
      and (c.relkind <> 'v' or pg_column_is_updatable(c.oid, a.attnum, false)))
      from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attname) as columns
  from pg_class c left join pg_index i on i.indrelid = c.oid and i.indisprimary
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') order by c.relname`)
).filter(isOurs);

const lines = linesOf('tables.md', 'table');
const lineOf = (table: string, verb: Verb): Record<string, string> | undefined =>
  lines.find((line) => line.table === table && line.verb === verb);

test('every table has its four lines and a seed, and every line and seed its table', () => {
  const there = relations.map(({ name }) => name);
  const wanted = there.flatMap((name) => VERBS.map((verb) => `${name} ${verb}`));
  const written = lines.map(({ table, verb }) => `${table} ${verb}`);
  expect({
    'lines missing in tests/access/tables.md': wanted.filter((line) => !written.includes(line)),
    'lines of tests/access/tables.md without a table or written twice': written.filter(
      (line, index) => !wanted.includes(line) || written.indexOf(line) !== index,
    ),
    'tables without a row in tests/access/seeds.ts': there.filter((name) => !SEEDS[name]),
    'rows of tests/access/seeds.ts without a table': Object.keys(SEEDS).filter((name) => !there.includes(name)),
  }).toEqual({
    'lines missing in tests/access/tables.md': [],
    'lines of tests/access/tables.md without a table or written twice': [],
    'tables without a row in tests/access/seeds.ts': [],
    'rows of tests/access/seeds.ts without a table': [],
  });
});

test('each role has the rights that its lines say, and no other', async () => {
  const granted = await sql<{ name: string; right: string }>(`
    with granted as (
      select c.oid, c.relname, a.grantee, a.privilege_type, null::name as column_name
      from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner
      union all
      select c.oid, c.relname, a.grantee, a.privilege_type, t.attname
      from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
      where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner
    )
    select coalesce(s.refobjid::regclass::text, relname) as name, concat_ws(' ', case when grantee = 0 then 'PUBLIC' else grantee::regrole::text end,
      lower(privilege_type), relname, '(' || string_agg(column_name, ', ' order by column_name collate "C") || ')') as right
    from granted g
    left join pg_depend s on s.objid = g.oid and s.classid = 'pg_class'::regclass and s.deptype in ('a', 'i')
      and s.refobjsubid > 0
    group by s.refobjid, relname, grantee, privilege_type`);
  const listed = lines.flatMap((line) =>
    (['anon', 'authenticated', 'service_role'] as const)
      .filter((role) => ACTORS.some((actor) => roleOf(actor) === role && line[actor] !== '-'))
      .map((role) => {
        const columns = line[role === 'service_role' ? 'columns of the service role' : 'columns of the signed in'];
        const ofSome = ['insert', 'update'].includes(line.verb ?? '') && columns !== '*';
        return `${role} ${line.verb} ${line.table}${ofSome ? ` (${columns})` : ''}`;
      }),
  );
  expect(
    granted
      .filter(isOurs)
      .map(({ right }) => right)
      .sort(),
  ).toEqual(listed.sort());
});

test.each(relations)('$name is open to whom its lines say', async (relation) => {
  const seed = SEEDS[relation.name];
  if (!seed) throw new Error(`tests/access/seeds.ts has no row for ${relation.name}.`);
  await inWorld(async (world) => {
    const rows = await sow(world, relation, seed);
    const should: Record<string, string> = {};
    const is: Record<string, string> = {};
    for (const verb of VERBS) {
      const line = lineOf(relation.name, verb);
      if (!line) throw new Error(`tests/access/tables.md has no line for ${relation.name} ${verb}.`);
      for (const actor of ACTORS) {
        const cell = `${relation.name} ${verb} as ${actor}`;
        should[cell] = expectation(line, actor, world, relation, rows);
        is[cell] = describe(await TRIES[verb](world, actor, relation, rows));
      }
    }
    expect(is).toEqual(should);
  });
});

/** A row that was sown: its key, whose it is, and its values as text. */
type Row = {
  key: string;
  name: string;
  workspace?: string;
  person?: string;
  isOffered: boolean;
  values: Record<string, string | null>;
};

/** Which rows a verb reached, and by which columns; or a refusal that is no refusal of a right. */
type Reach = { rows: Row[]; columns?: string[] } | { error: string };

function describe(reach: Reach): string {
  if ('error' in reach) return reach.error;
  if (!reach.rows.length) return 'nothing';
  const names = [...new Set(reach.rows.map(({ name }) => name))].sort().join(', ');
  return reach.columns ? `${names}: ${reach.columns.join(', ')}` : names;
}

const ACTOR_WORDS = ['-', 'offered', 'home', 'own', 'told', 'team', 'all'];

/** What the cell of a line means for these rows, in the words of `describe`. */
function expectation(
  line: Record<string, string>,
  actor: Actor,
  world: World,
  relation: Relation,
  rows: Row[],
): string {
  const word = line[actor] ?? '';
  if (!ACTOR_WORDS.includes(word))
    throw new Error(`tests/access/tables.md: "${word}" is none of ${ACTOR_WORDS.join(' ')}.`);
  const me = world.people[actor];
  const isHome = (row: Row) => row.workspace !== undefined && row.workspace === me;
  const isOwn = (row: Row) => isHome(row) || (row.person !== undefined && row.person === me);
  const meant: Record<string, (row: Row) => boolean> = {
    '-': () => false,
    offered: (row) => row.isOffered,
    home: isHome,
    own: isOwn,
    told: (row) => isOwn(row) || (row.workspace === world.team && !row.person),
    team: (row) => isOwn(row) || row.workspace === world.team,
    all: () => true,
  };
  const reached = rows.filter(meant[word] as (row: Row) => boolean);
  if (word !== '-' && !reached.length)
    throw new Error(`No row of ${relation.name} was sown that "${word}" of ${actor} would mean.`);
  if (line.verb === 'select' || line.verb === 'delete') return describe({ rows: reached });
  const columns = line[actor === 'service role' ? 'columns of the service role' : 'columns of the signed in'] ?? '';
  const writable = relation.columns.filter(({ isWritable }) => isWritable).map(({ name }) => name);
  return describe({ rows: reached, columns: columns === '*' ? writable : columns.split(', ').sort() });
}

/** Writes the rows of a table and reads back all that are this world's. */
async function sow(world: World, relation: Relation, seed: Seed): Promise<Row[]> {
  const key = keyOf(relation, seed);
  const columns = relation.columns.map(({ name }) => `${pg.escapeLiteral(name)}, t.${pg.escapeIdentifier(name)}::text`);
  const values = `jsonb_build_object(${columns.join(', ')})`;
  if ('shared' in seed) {
    const rows: Row[] = [];
    for (const isOffered of [true, false]) {
      const name = `access_${randomUUID().replaceAll('-', '')}`;
      const before = seed.needs ? SEEDS[seed.needs] : undefined;
      if (before && 'shared' in before) await world.client.query(before.shared(name, isOffered));
      await world.client.query(seed.shared(name, isOffered));
      const found = await world.client.query(
        `select ${key} as key, ${values} as values from public.${relation.name} t where ${seed.find(name)}`,
      );
      rows.push(
        ...found.rows.map((row) => ({
          ...row,
          isOffered,
          name: isOffered ? 'what is on offer' : 'what is not on offer',
        })),
      );
    }
    return rows;
  }
  for (const place of world.places) if (seed.row) await world.client.query(seed.row(place));
  const { workspace, person } = seed;
  const { rows } = await world.client.query(
    `select ${key} as key, ${values} as values, ${inRow(workspace)} as workspace, ${inRow(person)} as person
     from public.${relation.name} t where ${inRow(workspace ?? person)} = any ($1)`,
    [world.places.map((place) => (workspace ? place.workspace : place.person))],
  );
  return rows.map((row) => ({ ...row, isOffered: false, name: nameOf(world, row) }));
}

const inRow = (column = 'null'): string => (/^\(|^null$/.test(column) ? column : `t.${column}`);

function nameOf(world: World, { workspace, person }: { workspace?: string; person?: string }): string {
  const who = Object.keys(world.people).find((name) => world.people[name] === person);
  const where = world.places.find((place) => place.workspace === workspace && (!person || place.person === person));
  if (workspace === world.team) return who ? `${who}'s in the team` : `the team's`;
  return where?.name ?? `${who}'s`;
}

function keyOf(relation: Relation, seed: Seed): string {
  const key = 'key' in seed && seed.key ? [seed.key] : relation.key;
  if (!key.length) throw new Error(`${relation.name} has no primary key: tests/access/seeds.ts has to name one.`);
  return `concat_ws(' ', ${key.map((column) => `t.${pg.escapeIdentifier(column)}`).join(', ')})`;
}

const among = (rows: Row[]): string => `array[${rows.map(({ key }) => pg.escapeLiteral(key)).join(', ')}]`;

// A view that cannot be written to says so before it looks at rights.
const isRefusal = (tried: Tried): boolean => 'code' in tried && tried.code === '42501';
// Rights and policies had let it through, and then a constraint did not.
const isConstraint = (tried: Tried): boolean => 'code' in tried && tried.code.startsWith('23');
const isOfPolicy = (tried: Tried): boolean => 'code' in tried && /violates row-level security/.test(tried.message);

const TRIES: Record<Verb, (world: World, actor: Actor, relation: Relation, rows: Row[]) => Promise<Reach>> = {
  async select(world, actor, relation, rows) {
    const key = keyOf(relation, SEEDS[relation.name] as Seed);
    const tried = await tryAs(
      world,
      actor,
      `select ${key} as key from public.${relation.name} t where ${key} = any (${among(rows)})`,
    );
    return reachOf(tried, rows);
  },

  async insert(world, actor, relation, rows) {
    const columns: string[] = [];
    for (const { name, isWritable } of relation.columns) {
      const tried = await tryAs(
        world,
        actor,
        `insert into public.${relation.name} (${pg.escapeIdentifier(name)}) values (default)`,
      );
      if (isWritable && (!isRefusal(tried) || isOfPolicy(tried))) columns.push(name);
    }
    const reached: Row[] = [];
    // One like each row: that it is there already is found out after rights and policies.
    for (const row of columns.length ? rows : []) {
      const values = columns.map((column) =>
        row.values[column] == null ? 'null' : pg.escapeLiteral(row.values[column]),
      );
      const tried = await tryAs(
        world,
        actor,
        `insert into public.${relation.name} (${columns.map(pg.escapeIdentifier).join(', ')}) values (${values.join(', ')})`,
      );
      if (isRefusal(tried)) continue;
      if ('code' in tried && !isConstraint(tried)) return { error: `${tried.code} ${tried.message}` };
      reached.push(row);
    }
    return { rows: reached, columns };
  },

  async update(world, actor, relation, rows) {
    const key = keyOf(relation, SEEDS[relation.name] as Seed);
    const columns: string[] = [];
    let reached: Reach = { rows: [] };
    for (const { name, isWritable } of relation.columns) {
      const column = pg.escapeIdentifier(name);
      const tried = await tryAs(
        world,
        actor,
        `update public.${relation.name} t set ${column} = t.${column} where ${key} = any (${among(rows)}) returning ${key} as key`,
      );
      if (!isWritable || isRefusal(tried)) continue;
      const reach = reachOf(tried, rows);
      if ('error' in reach || (columns.length && describe(reach) !== describe(reached)))
        return { error: `${name}: ${describe(reach)}` };
      columns.push(name);
      reached = reach;
    }
    return { ...reached, columns };
  },

  async delete(world, actor, relation, rows) {
    const seed = SEEDS[relation.name] as Seed;
    const key = keyOf(relation, seed);
    const reached: Row[] = [];
    for (const row of rows) {
      const isIt = `${key} = ${pg.escapeLiteral(row.key)}`;
      const hidden = `; reset role; select from public.${relation.name} t where ${isIt} and deleted_at is not null`;
      const tried = await tryAs(
        world,
        actor,
        `delete from public.${relation.name} t where ${isIt} returning ${key} as key${'isHidden' in seed ? hidden : ''}`,
      );
      if (isRefusal(tried)) continue;
      if ('code' in tried && !isConstraint(tried)) return { error: `${tried.code} ${tried.message}` };
      if ('code' in tried || tried.rows.length) reached.push(row);
    }
    return { rows: reached };
  },
};

function reachOf(tried: Tried, rows: Row[]): Reach {
  if (isRefusal(tried)) return { rows: [] };
  if ('code' in tried) return { error: `${tried.code} ${tried.message}` };
  const keys = new Set(tried.rows.map(({ key }) => key));
  return { rows: rows.filter(({ key }) => keys.has(key)) };
}
