/** What export_my_data gives: everything about the caller, page by page, and nothing about anybody else. */
import { expect, test } from 'vitest';
import { linesOf } from '../access/lines.ts';
import { everything } from '../support/everything.ts';
import { isOurs } from '../support/ours.ts';
import { adminPool, anonClient, newUser, serviceClient, sql, sqlAs, type TestUser } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

const useEverything = everything();

type Section = { place: number; name: string; relation: string; owner: string; keys: string[]; whose: string };
const sections = await sql<Section>('select place, name, relation, owner, keys, whose from private.export_sections()');

type Exported = { table_name: string; row_data: Record<string, unknown> | null };

/** All pages of a person, and how many there were. */
async function exportOf({ client }: Pick<TestUser, 'client'>): Promise<{ rows: Exported[]; pages: number }> {
  const rows: Exported[] = [];
  for (let pages = 1, after: unknown = null; ; pages += 1) {
    const { data, error } = await client.rpc('export_my_data', { after: after as never });
    if (error) throw error;
    if (!data.length) return { rows, pages };
    rows.push(...(data as Exported[]));
    after = data.at(-1)?.cursor;
  }
}

const countsOf = (rows: Exported[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { table_name, row_data } of rows) if (row_data) counts[table_name] = (counts[table_name] ?? 0) + 1;
  return counts;
};

test('a person gets all that leads to them, once, and nothing of others', async () => {
  const [me, other] = [await newUser(), await newUser()];
  for (const { id } of [me, other]) await sql(`select public.credit_user_credits_transaction($1, 50, 'manual')`, [id]);
  const { mark, ip } = await useEverything(me.id);
  const others = await useEverything(other.id);
  // In a team, among others' rows.
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  await sql(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team?.id, other.id, me.id],
  );
  await sql(
    `select public.credit_user_credits_transaction($2, 50, 'manual', workspace_id => $1),
       public.debit_user_credits_transaction($3, 1, 'generation', workspace_id => $1, description => 'mine'),
       public.admit_ai_call($3, 'no-such-model', 1, workspace_id => $1)`,
    [team?.id, other.id, me.id],
  );
  const { rows } = await exportOf(me);
  const text = JSON.stringify(rows);
  for (const mine of [mark, ip, me.email, team?.id ?? '']) expect(text).toContain(mine);
  for (const theirs of [others.mark, others.ip, other.email]) expect(text).not.toContain(theirs);
  expect(new Set(rows.map((row) => JSON.stringify(row.row_data))).size).toBe(rows.length);
  const tables = new Set(rows.map(({ table_name }) => table_name));
  expect(sections.filter(({ name }) => !tables.has(name)).map(({ name }) => name)).toEqual([]);
  const entries = rows.filter(
    ({ table_name, row_data }) => table_name === 'credit_transactions' && row_data?.workspace_id === team?.id,
  );
  expect(entries.map(({ row_data }) => row_data?.description)).toEqual(['mine']);
  // What a team has is not for its members to see.
  expect(entries[0]?.row_data).not.toHaveProperty('balance_after');
  const messages = rows.filter(({ table_name }) => table_name === 'messages');
  expect(messages.map(({ row_data }) => row_data?.parts)).toEqual([[{ type: 'text', text: mark }]]);
});

test('who is not signed in gets nothing, nor does a session that ended', async () => {
  expect(await anonClient().rpc('export_my_data')).toMatchObject({ error: { code: '42501' } });
  expect(await serviceClient().rpc('export_my_data')).toMatchObject({ error: { code: '42501' } });
  const user = await newUser();
  for (const after of [
    {},
    [],
    'x',
    { section: 'x', key: [] },
    { section: 11, key: ['x', 'y'] },
    { section: 1, key: 1 },
  ])
    expect(await user.client.rpc('export_my_data', { after: after as never })).toMatchObject({ status: 400 });
  // Where another one begins, or none.
  for (const after of [
    { section: 11, key: [] },
    { section: 99, key: [] },
    { section: 1.5, key: [null] },
  ])
    expect(await user.client.rpc('export_my_data', { after: after as never })).toMatchObject({ status: 200 });
  await user.client.rpc('register_device', { device_id: 'd', device_type: 'web' });
  await adminPool.query('delete from auth.sessions where user_id = $1', [user.id]);
  expect(await user.client.rpc('export_my_data')).toMatchObject({ status: 401, error: { message: 'session_revoked' } });
});

/** Many rows in the tables that grow. */
async function growLarge(account: string, count: number): Promise<void> {
  await adminPool.query(
    `insert into private.ai_usage_logs (workspace_id, user_id, scene, status, model, created_at)
     select $1::uuid, $1::uuid, 'text_chat', 'success', 'm', now() - n / 3 * interval '1 second' from generate_series(1, $2) n`,
    [account, count],
  );
  await adminPool.query(
    `insert into public.notifications (workspace_id, kind, data, created_at)
     select $1::uuid, 'debt', to_jsonb(n), now() - n / 3 * interval '1 second' from generate_series(1, $2) n`,
    [account, count],
  );
  await adminPool.query(
    `with made as (insert into public.conversations (workspace_id, user_id) select $1::uuid, $1::uuid from generate_series(1, 30) returning id)
     insert into public.messages (conversation_id, content, created_at)
     select id, 'x', now() - n / 3 * interval '1 second' from made, generate_series(1, $2 / 30) n`,
    [account, count],
  );
}

test('a large account comes in pages, each row once', async () => {
  const user = await newUser();
  await growLarge(user.id, 1200);
  const { rows, pages } = await exportOf(user);
  expect(countsOf(rows)).toMatchObject({ ai_usage_logs: 1200, notifications: 1200, conversations: 30, messages: 1200 });
  const ids = rows.flatMap(({ table_name, row_data }) => (row_data?.id ? [`${table_name} ${row_data.id}`] : []));
  expect(new Set(ids).size).toBe(ids.length);
  expect(pages).toBe(5); // four of a thousand rows at most, and the empty one
});

test('a page of large rows is cut at 4 MB', async () => {
  const user = await newUser();
  await adminPool.query(
    `insert into public.notifications (workspace_id, kind, data) select $1::uuid, 'debt', to_jsonb(repeat('x', 1500000)) from generate_series(1, 4)`,
    [user.id],
  );
  const { rows, pages } = await exportOf(user);
  expect(countsOf(rows).notifications).toBe(4);
  expect(pages).toBe(3);
});

test('a page that finds nothing among many rows says how far it looked', async () => {
  const account = await newAccount(3);
  await adminPool.query(
    `insert into public.notifications (workspace_id, user_id, kind) select $1::uuid, $1::uuid, 'debt' from generate_series(1, 20001)`,
    [account],
  );
  // All are in their own workspace, where they were given: of those in teams there are none among them.
  const inTeams = sections.find(({ name, owner }) => name === 'notifications' && owner === 'user_id');
  const person = await sqlAs('authenticated', { sub: account });
  try {
    const page = async (after: unknown) =>
      (
        await person.query('select table_name, row_data, cursor from public.export_my_data($1)', [
          JSON.stringify(after),
        ])
      ).rows;
    const first = await page({ section: inTeams?.place, key: [0] });
    expect(first).toEqual([{ table_name: 'notifications', row_data: null, cursor: expect.anything() }]);
    const then = await page(first[0]?.cursor);
    expect(then[0]).toMatchObject({ table_name: 'credit_wallets', row_data: { workspace_id: account } });
  } finally {
    await person.end();
    await adminPool.query('delete from public.notifications where workspace_id = $1', [account]);
  }
});

test('the rows of each page are read by an index in the order of its key', async () => {
  const account = await newAccount(3);
  await growLarge(account, 3_000);
  await adminPool.query('analyze private.ai_usage_logs, public.notifications, public.conversations, public.messages');
  const client = await sqlAs('postgres');
  try {
    // By EXECUTE, as the function does it. Few rows would as well be sorted; that an index has them in order shows without.
    await client.query(`
      set enable_sort = off; set enable_seqscan = off; set enable_bitmapscan = off;
      create function pg_temp.last_key(statement text, person uuid) returns jsonb language plpgsql as $$
      declare
        found_row record;
      begin
        for found_row in execute statement using person, null::jsonb, '{}'::uuid[], '{}'::text[] loop end loop;
        return found_row.key;
      end $$;
      create function pg_temp.explain(statement text, person uuid, key jsonb) returns json language plpgsql as $$
      declare
        plan json;
      begin
        execute 'explain (analyze, timing off, format json) ' || statement into plan
        using person, key, '{}'::uuid[], '{}'::text[];
        return plan;
      end $$`);
    for (const name of ['ai_usage_logs', 'notifications', 'messages']) {
      const section = sections.find((one) => one.name === name);
      const { rows } = await client.query(
        `select pg_temp.explain(private.export_query(s, true), $2, pg_temp.last_key(private.export_query(s, false), $2)) as plan
         from private.export_sections() s where place = $1`,
        [section?.place, account],
      );
      // Not more than a few times the page, whatever else the account has.
      expect({ name, looksAtFew: mostRows(rows[0].plan[0].Plan) < 2_500 }).toEqual({ name, looksAtFew: true });
    }
  } finally {
    await client.end();
  }
});

type Plan = { 'Actual Rows': number; 'Actual Loops': number; 'Rows Removed by Filter'?: number; Plans?: Plan[] };

/** Rows that the busiest node of a plan looked at. */
function mostRows(plan: Plan): number {
  const own = (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'];
  return Math.max(own, ...(plan.Plans ?? []).map(mostRows));
}

test('every table that leads to a person is in the export, or docs/retention.md says why not', async () => {
  const personal = await sql<{ name: string }>(`
    with recursive reached (table_id) as (
      select 'auth.users'::regclass::oid
      union select f.conrelid from reached r join pg_constraint f on f.confrelid = r.table_id and f.contype = 'f' and f.confdeltype in ('c', 'n')
    )
    select c.oid::regclass::text as name from pg_class c
     where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace::regnamespace::text in ('public', 'private')
       and (c.oid in (select table_id from reached) or exists (
         select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
           and a.attname ~ '(^|_)(user_id|workspace_id|actor_id|spender_id|gone_id|email|phone|ip_address|address_hash)$'))`);
  const covered = await sql<{ name: string }>(`
    select relation::regclass::text as name from private.export_sections()
    union select d.refobjid::regclass::text from private.export_sections() s
      join pg_rewrite w on w.ev_class = s.relation::regclass
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass`);
  const notExported = linesOf('../../docs/retention.md', 'not exported').map((line) => line['not exported'] ?? '');
  const isKnown = new Set([...covered.map(({ name }) => name), ...notExported]);
  const names = personal.map(({ name }) => name).filter((name) => name.startsWith('private.') || isOurs({ name }));
  expect(names.filter((name) => !isKnown.has(name))).toEqual([]);
  expect(notExported.filter((name) => !names.includes(name))).toEqual([]);
});
