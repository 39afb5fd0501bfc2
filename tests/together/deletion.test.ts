/** An account deleted the way Supabase Auth does it: its own things go, a team's ledger stays without the person. */
import { expect, test } from 'vitest';
import { linesOf } from '../access/lines.ts';
import { blankAudit } from '../support/audit.ts';
import { everything } from '../support/everything.ts';
import { isOurs } from '../support/ours.ts';
import { adminPool, newUser, serviceClient, sql, sqlAs } from '../support/stack.ts';
import { driftOf, newAccount } from '../support/wallets.ts';

const useEverything = everything();

/** Columns by which a row belongs to an account or its workspace: their ids, and the foreign keys that lead there. */
async function owningColumns(): Promise<{ table: string; column: string }[]> {
  const columns = await sql<{ table: string; column: string }>(`
    select distinct f.conrelid::regclass::text as table, a.attname as column
      from pg_constraint f
      join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
      join pg_class c on c.oid = f.conrelid and not c.relispartition
     where f.contype = 'f' and f.confrelid in ('auth.users'::regclass, 'public.users'::regclass, 'public.workspaces'::regclass)
       and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    union values ('public.users', 'id'), ('public.workspaces', 'id')
     order by 1, 2`);
  return columns.filter(({ table }) => table.startsWith('private.') || isOurs({ name: table.replace('public.', '') }));
}

/** How many rows lead to the account, by table and column. */
async function rowsLeadingTo(account: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { table, column } of await owningColumns()) {
    const { rows } = await adminPool.query(`select count(*)::integer as count from ${table} where ${column} = $1`, [
      account,
    ]);
    counts[`${table}.${column}`] = rows[0].count;
  }
  return counts;
}

async function deleteAsAuth(account: string): Promise<number | null> {
  const auth = await sqlAs('supabase_auth_admin');
  try {
    return (await auth.query('delete from auth.users where id = $1', [account])).rowCount;
  } finally {
    await auth.end();
  }
}

test('every table that leads to an account is emptied of it', async () => {
  const account = await newAccount(50);
  const other = await newAccount(50);
  await useEverything(account);
  await useEverything(other);
  const before = await rowsLeadingTo(account);
  // None is empty for want of use: a new table has to be filled here as well.
  expect(Object.entries(before).filter(([, count]) => count === 0)).toEqual([]);
  const others = await rowsLeadingTo(other);

  expect(await deleteAsAuth(account)).toBe(1);

  expect(Object.entries(await rowsLeadingTo(account)).filter(([, count]) => count > 0)).toEqual([]);
  expect(await rowsLeadingTo(other)).toEqual(others);
  expect(await driftOf([other])).toEqual([]);
});

/** Where, in which column of which table, one of these texts stands: "public.users.email: address". */
async function placesOf(texts: Record<string, string>): Promise<string[]> {
  const tables = await sql<{ name: string }>(`
    select c.oid::regclass::text as name from pg_class c
     where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('public', 'private', 'auth', 'storage')`);
  const found: string[] = [];
  for (const { name } of tables) {
    // The row's text is made once, and taken apart only where it holds one of them.
    const { rows } = await adminPool.query<{ place: string }>(
      `select distinct concat(c.key, ': ', w.key) as place
         from (select to_jsonb(t) as columns from ${name} t where t::text ~ $2 offset 0) x,
           jsonb_each_text(x.columns) c, jsonb_each_text($1) w
        where strpos(c.value, w.value) > 0`,
      [texts, Object.values(texts).join('|').replaceAll('.', '[.]')],
    );
    // A partition is its table.
    const table = name.replace(/^(?=[^.]*$)/, 'public.').replace(/_(\d{4}_\d\d|default)$/, '');
    found.push(...rows.map(({ place }) => `${table}.${place}`));
  }
  return [...new Set(found)].sort();
}

/** What docs/retention.md says is left of a person: columns that keep their id. */
const KEPT = linesOf('../../docs/retention.md', 'column').map(({ column }) => `${column}: id`);

test('nothing anywhere tells of a person who is gone, but their id where bookkeeping keeps it', async () => {
  const user = await newUser();
  await sql(`select public.credit_user_credits_transaction($1, 50, 'manual')`, [user.id]);
  expect((await user.client.rpc('create_api_key', { name: `key of ${user.email}` })).error).toBeNull();
  const { mark, ip } = await useEverything(user.id);
  const texts = { id: user.id, address: user.email, words: mark, ip };
  const before = await placesOf(texts);
  for (const place of [
    'auth.users.email: address',
    'private.ai_usage_logs.ip_address: ip',
    'private.ai_usage_logs.request_data: words',
    'public.audit_logs.actor_email: address',
    'public.messages.content: words',
    'public.messages.parts: words',
    'public.payment_events.raw_body: words',
    'public.user_sessions.ip_address: ip',
    'public.users.full_name: words',
    'public.video_jobs.prompt: words',
  ])
    expect(before).toContain(place);
  const [{ rows } = { rows: 0 }] = await sql(
    'select count(*)::integer as rows from public.audit_logs where actor_id = $1',
    [user.id],
  );

  await deleteAsAuth(user.id);
  await blankAudit(user.id);
  expect(await placesOf(texts)).toEqual(KEPT.sort());
  expect(await sql('select count(*)::integer as rows from public.audit_logs where actor_id = $1', [user.id])).toEqual([
    { rows },
  ]);
});

test('a deletion by the admin API empties them as well', async () => {
  const user = await newUser();
  await sql(`select public.credit_user_credits_transaction($1, 50, 'manual')`, [user.id]);
  await useEverything(user.id);
  expect((await serviceClient().auth.admin.deleteUser(user.id)).error).toBeNull();
  expect(Object.entries(await rowsLeadingTo(user.id)).filter(([, count]) => count > 0)).toEqual([]);
});

test('a team keeps its ledger when a member is deleted, without the person', async () => {
  const member = await newAccount(50);
  const [team] = await sql<{ id: string }>(`insert into public.workspaces (name) values ('Team') returning id`);
  const owner = await newAccount(0);
  await sql(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'owner')`,
    [team?.id, member, owner],
  );
  await sql(
    `select public.credit_user_credits_transaction($1, 50, 'manual', workspace_id => $2),
            public.debit_user_credits_transaction($1, 5, 'generation', workspace_id => $2),
            public.settle_credit_hold((public.hold_credits($1, 10, 'generation', workspace_id => $2)).hold_id, 4),
            public.hold_credits($1, 6, 'generation', workspace_id => $2)`,
    [member, team?.id],
  );
  await deleteAsAuth(member);
  const ledger = await sql(
    `select (select count(*)::integer from public.credit_transactions where workspace_id = $1 and user_id is null) as entries,
            (select count(*)::integer from public.credit_holds where workspace_id = $1 and user_id is null) as holds,
            credits_balance::float8 as balance, credits_held::float8 as held
       from public.credit_wallets where workspace_id = $1`,
    [team?.id],
  );
  expect(ledger).toEqual([{ entries: 3, holds: 2, balance: 41, held: 6 }]);
  expect(await driftOf([team?.id ?? ''])).toEqual([]);
});
