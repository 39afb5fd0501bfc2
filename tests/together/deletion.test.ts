/** An account deleted the way Supabase Auth does it: its own things go, a team's ledger stays without the person. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blankAudit } from '../support/audit.ts';
import { isOurs } from '../support/ours.ts';
import { adminPool, newUser, serviceClient, sql, sqlAs } from '../support/stack.ts';
import { offerVideos } from '../support/videos.ts';
import { driftOf, newAccount } from '../support/wallets.ts';

const model = `deletion-${randomUUID()}`;
const videoModel = `${model}-video`;

beforeAll(async () => {
  await adminPool.query(
    `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, 'Deletion', 'deletion', 1000)`,
    [model],
  );
  await adminPool.query(`select private.set_model_price($1, '{"input": 0, "output": 10}', '2020-01-01')`, [model]);
  await offerVideos(videoModel);
});
afterAll(async () => {
  await adminPool.query('delete from public.ai_models where model = any ($1)', [[model, videoModel]]);
});

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

/** Everything an account can have: entries of all kinds, holds, calls that ended, were refused and are under way. */
async function useEverything(account: string): Promise<void> {
  await adminPool.query(
    `insert into private.account_failures (user_id, error_code, message) values ($1, 'XX000', 'a test')`,
    [account],
  );
  await sql(`insert into public.api_keys (workspace_id, user_id, name, prefix) values ($1, $1, 'a key', 'sk-')`, [
    account,
  ]);
  await sql(
    `select public.debit_user_credits_transaction($1, 5, 'generation', idempotency_key => 'a'),
            public.refund_user_credits($1, 2, 'refund'),
            public.hold_credits($1, 3, 'generation'),
            public.finish_ai_call((public.admit_ai_call($1, $2, 10) ->> 'hold_id')::uuid, 'success', 10, 0, 20),
            public.admit_ai_call($1, 'no-such-model', 10), public.admit_ai_call($1, $2, 10),
            public.admit_ai_call($1, $2, 10, idempotency_key => 'a'),
            public.consume_feature('message', 1, $1)`,
    [account, model],
  );
  await sql(
    `insert into public.workspace_features (workspace_id, feature_code, reason) values ($1, 'message', 'a test')`,
    [account],
  );
  await makeVideos(account);
  await payForIt(account);
  await workInATeam(account);
  await setAlerts(account);
}

/** A video that is there and one that is being made. */
async function makeVideos(account: string): Promise<void> {
  const make = `(public.create_video_job($1, $2, 'a prompt of theirs') #>> '{job,id}')::uuid`;
  await sql(
    `select public.update_video_job(${make}, jsonb_build_object('job_id', 'task of ' || $1::text, 'status', 'completed',
       'result_url', 'https://result.test/a'), '{}')`,
    [account, videoModel],
  );
  await sql(`select ${make}`, [account, videoModel]);
}

/** An alert, a notification and an automatic top-up. */
async function setAlerts(account: string): Promise<void> {
  await sql(`insert into public.credit_alerts (workspace_id, kind, threshold) values ($1, 'low_balance', 5)`, [
    account,
  ]);
  await sql(`insert into public.notifications (workspace_id, user_id, kind) values ($1, $1, 'low_balance')`, [account]);
  await sql(
    `with pack as (
       insert into public.payment_products (platform, product_id, name, credits, amount, currency)
       values ('creem', 'pack ' || $1::text, 'A pack', 10, 900, 'USD') returning id)
     insert into public.auto_top_ups (workspace_id, user_id, payment_product_id, amount, currency, threshold, monthly_cap)
     select $1::uuid, $1::uuid, id, 900, 'USD', 5, 1 from pack`,
    [account],
  );
}

/** A team with an invitation, which goes with the account as nobody else is in it; what is counted of invitations and teams. */
async function workInATeam(account: string): Promise<void> {
  await adminPool.query(
    `with mail as (insert into private.invitation_mails (user_id, address_hash) values ($1::uuid, 'x'))
     insert into private.deleted_free_teams (user_id, workspace_id, made_at) values ($1::uuid, gen_random_uuid(), now())`,
    [account],
  );
  await adminPool.query(
    `with team as (insert into public.workspaces (name) values ('Team') returning id),
          member as (insert into public.workspace_members (workspace_id, user_id, role) select id, $1::uuid, 'owner' from team)
     insert into public.workspace_invitations (workspace_id, user_id, email, role, expires_at)
     select id, $1::uuid, 'x@example.test', 'member'::public.workspace_role, now() from team
     union all select $1::uuid, $1::uuid, 'x@example.test', 'member', now()`,
    [account],
  );
}

/** A subscription that an admin has matched, and an address to pay with. */
async function payForIt(account: string): Promise<void> {
  await sql(`insert into public.user_email_aliases (user_id, email) values ($1, 'alias@example.test')`, [account]);
  const at = new Date().toISOString();
  const facts = {
    rank: 0,
    customer: { id: `cust_${account}` },
    subscription: { id: `sub_${account}`, status: 'active' },
    period: { start: at, end: at, is_paid: true },
    payment: { id: `tran_${account}`, status: 'succeeded', kind: 'subscription' },
    history: ['payment_succeeded'],
  };
  await sql(`select public.receive_payment_event('creem', $1, 'subscription.paid', now(), '{}', $2)`, [
    `evt_${account}`,
    facts,
  ]);
  await sql(
    `select public.resolve_unmatched_payment(id, $1) from public.unmatched_payment_emails where customer_id = $2`,
    [account, `cust_${account}`],
  );
  await adminPool.query(`insert into private.plan_periods values ($1, now(), now() + interval '30 days')`, [account]);
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

test('what is left in the audit log says nothing of the person', async () => {
  const user = await newUser();
  await sql(`select public.credit_user_credits_transaction($1, 50, 'manual')`, [user.id]);
  await useEverything(user.id);
  expect((await user.client.rpc('create_api_key', { name: 'a name of theirs' })).error).toBeNull();
  const leftOf = () =>
    sql(
      `select count(*) filter (where workspace_id = $1 or actor_id = $1)::integer as rows,
              count(*) filter (where strpos(a::text, $2) > 0 or strpos(a::text, 'a name of theirs') > 0 or actor_id = $1
                and (actor_email, ip_address, user_agent) is distinct from (null, null, null))::integer as telling
         from public.audit_logs a`,
      [user.id, user.email],
    );
  const [before] = await leftOf();
  expect(before?.telling).toBeGreaterThan(0);
  await deleteAsAuth(user.id);
  await blankAudit(user.id);
  const [after] = await leftOf();
  expect(after?.rows).toBeGreaterThanOrEqual(before?.rows);
  expect(after?.telling).toBe(0);
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
