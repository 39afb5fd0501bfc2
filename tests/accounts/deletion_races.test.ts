/** Accounts deleted, as Supabase Auth does it, while their credits are in use. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Call,
  callAtOnce,
  countDeadlocks,
  hangUp,
  inTurn,
  type Outcome,
  openCallers,
  tally,
  untilBlocked,
} from '../support/callers.ts';
import { runs } from '../support/runs.ts';
import { adminPool, sql } from '../support/stack.ts';
import { driftOf, newAccounts, walletOf } from '../support/wallets.ts';

/** Each is used by three callers. */
const ACCOUNTS = runs(15);
let callers: pg.Client[] = [];
let deleters: pg.Client[] = [];
let deadlocks = 0;

beforeAll(async () => {
  callers = await openCallers(3 * ACCOUNTS);
  deleters = await openCallers(ACCOUNTS, 'supabase_auth_admin');
  deadlocks = await countDeadlocks([]);
});
afterAll(async () => {
  const counted = await countDeadlocks([...callers, ...deleters]);
  await hangUp([...callers, ...deleters]);
  expect(counted).toBe(deadlocks);
});

/** All accounts deleted at once with `statements`, three callers to an account; the outcomes of both. */
async function deleteDuring(
  accounts: string[],
  statements: string[],
): Promise<{ used: Outcome[]; deleted: Outcome[] }> {
  const uses = statements.map((statement, number): Call => ({ by: inTurn(callers, number), statement }));
  const deletions = accounts.map(
    (id, number): Call => ({
      by: inTurn(deleters, number),
      statement: `delete from auth.users where id = '${id}'`,
    }),
  );
  const outcomes = await callAtOnce([...uses, ...deletions]);
  return { used: outcomes.slice(0, uses.length), deleted: outcomes.slice(uses.length) };
}

/** Three statements for each. */
function thrice<T>(items: T[], statement: (item: T, time: number) => string): string[] {
  return [0, 1, 2].flatMap((time) => items.map((item) => statement(item, time)));
}

/** Nothing happened but success and these errors, and no account is left. */
async function expectOnly(
  outcomes: Awaited<ReturnType<typeof deleteDuring>>,
  accounts: string[],
  errors: string[],
): Promise<void> {
  expect(tally(outcomes.deleted)).toEqual({ ok: accounts.length });
  expect(Object.keys(tally(outcomes.used)).filter((name) => name !== 'ok' && !errors.includes(name))).toEqual([]);
  const left = await sql(
    `select workspace_id from public.credit_wallets where workspace_id = any ($1::uuid[])
      union all select workspace_id from public.credit_transactions where workspace_id = any ($1::uuid[])
      union all select workspace_id from public.credit_holds where workspace_id = any ($1::uuid[])
      union all select workspace_id from public.ai_usage_logs where workspace_id = any ($1::uuid[])
      union all select id from public.users where id = any ($1::uuid[])`,
    [accounts],
  );
  expect(left).toEqual([]);
}

async function holdsOf(accounts: string[]): Promise<string[]> {
  const rows = await sql<{ hold_id: string }>(
    `select (public.hold_credits(id, 10, 'generation')).hold_id from unnest($1::uuid[]) id`,
    [accounts],
  );
  return rows.map((row) => row.hold_id);
}

const debit = (account: string): string =>
  `select * from public.debit_user_credits_transaction('${account}', 1, 'generation')`;

test('accounts deleted while debited: each debit counts or gets not_found', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const outcomes = await deleteDuring(accounts, thrice(accounts, debit));
  await expectOnly(outcomes, accounts, ['PT404 not_found']);
});

test('accounts deleted while debits expire their grants on the way', async () => {
  // Two entries in one transaction: Postgres checks foreign keys again of a row that it changes a second time.
  const accounts = await newAccounts(ACCOUNTS, 50);
  await sql(
    `select public.credit_user_credits_transaction(id, 5, 'promotion',
              expires_at => now() - interval '1 hour', at => now() - interval '2 hours')
       from unnest($1::uuid[]) id`,
    [accounts],
  );
  const outcomes = await deleteDuring(accounts, thrice(accounts, debit));
  await expectOnly(outcomes, accounts, ['PT404 not_found']);
});

test('a transaction that debits twice does not deadlock with a deletion in between', async () => {
  const [account = ''] = await newAccounts(1, 50);
  const caller = inTurn(callers, 0);
  const deleter = inTurn(deleters, 0);
  await caller.query('begin');
  try {
    await caller.query(debit(account));
    const deletion = deleter.query(`delete from auth.users where id = '${account}'`);
    await untilBlocked(deleter);
    await caller.query(debit(account));
    expect(await walletOf(account)).toMatchObject({ balance: 50 }); // not committed yet
    await caller.query('commit');
    expect((await deletion).rowCount).toBe(1);
  } finally {
    await caller.query('rollback');
  }
});

/** Accounts whose sign-up could not be finished: in auth.users, and nothing else there yet. */
async function incompleteAccounts(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  const client = await adminPool.connect();
  try {
    await client.query(`set session_replication_role = 'replica'`);
    await client.query(
      `insert into auth.users (id, email) select id, id || '@example.test' from unnest($1::uuid[]) id`,
      [ids],
    );
  } finally {
    await client.query('reset session_replication_role');
    client.release();
  }
  return ids;
}

test('accounts deleted while the first debit completes them', async () => {
  const accounts = await incompleteAccounts(ACCOUNTS);
  const outcomes = await deleteDuring(accounts, thrice(accounts, debit));
  await expectOnly(outcomes, accounts, ['PT404 not_found']);
});

test('three first calls for each account complete it once', async () => {
  const accounts = await incompleteAccounts(ACCOUNTS);
  const uses = thrice(accounts, debit).map((statement, number): Call => ({ by: inTurn(callers, number), statement }));
  expect(tally(await callAtOnce(uses))).toEqual({ ok: 3 * ACCOUNTS });
  expect(
    await sql(
      `select distinct credits_total::float8 as total, credits_balance::float8 as balance
         from public.credit_wallets where workspace_id = any ($1::uuid[])`,
      [accounts],
    ),
  ).toEqual([{ total: 3, balance: 0 }]);
  expect(await driftOf(accounts)).toEqual([]);
});

test('accounts deleted while their sessions call, register and end each other', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const sessions = await sql<{ account: string; one: string; two: string }>(
    'select id as account, gen_random_uuid() as one, gen_random_uuid() as two from unnest($1::uuid[]) id',
    [accounts],
  );
  for (const { account, one, two } of sessions) {
    await adminPool.query(`insert into auth.sessions (id, user_id) values ($2, $1), ($3, $1)`, [account, one, two]);
    // Long unused, so that a use is noted.
    await sql(
      `insert into public.user_sessions (id, user_id, last_used_at) values ($2, $1, '2020-01-01'), ($3, $1, '2020-01-01')`,
      [account, one, two],
    );
  }
  const set = (name: string, value: object): string =>
    `select set_config('${name}', '${JSON.stringify(value)}', true);`;
  const uses = sessions.flatMap(({ account, one, two }) => {
    const person = set('request.jwt.claims', { role: 'authenticated', sub: account, session_id: two });
    return [
      `${set('request.headers', { 'x-session-id': one })} select public.admit_ai_call('${account}', 'no-such-model', 1)`,
      `${person} set local role authenticated; select public.register_device('d', 'web')`,
      `${person} set local role authenticated; select public.revoke_device('${one}')`,
    ];
  });
  const asAnyone = await openCallers(3 * ACCOUNTS, 'postgres');
  try {
    const deletions = accounts.map(
      (id, number): Call => ({ by: inTurn(deleters, number), statement: `delete from auth.users where id = '${id}'` }),
    );
    const outcomes = await callAtOnce([
      ...uses.map((statement, number): Call => ({ by: inTurn(asAnyone, number), statement })),
      ...deletions,
    ]);
    const used = outcomes.slice(0, uses.length);
    const errors = ['PT401 not_authenticated', 'PT401 session_revoked', 'PT404 not_found'];
    await expectOnly({ used, deleted: outcomes.slice(uses.length) }, accounts, errors);
    expect(await sql('select from public.user_sessions where user_id = any ($1::uuid[])', [accounts])).toEqual([]);
  } finally {
    await hangUp(asAnyone);
  }
});

test('a deletion that is rolled back leaves every debit counted', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const uses = thrice(accounts, debit).map((statement, number): Call => ({ by: inTurn(callers, number), statement }));
  const attempts = accounts.map(
    (id, number): Call => ({
      by: inTurn(deleters, number),
      statement: `delete from auth.users where id = '${id}'; select 1 / 0`,
    }),
  );
  const outcomes = await callAtOnce([...uses, ...attempts]);
  expect(tally(outcomes)).toEqual({ ok: 3 * ACCOUNTS, '22012 division by zero': ACCOUNTS });
  expect(
    await sql(
      'select distinct credits_balance::float8 as balance from public.credit_wallets where workspace_id = any ($1::uuid[])',
      [accounts],
    ),
  ).toEqual([{ balance: 47 }]);
  expect(await driftOf(accounts)).toEqual([]);
});

test('accounts deleted while credits are held, settled, released and extended', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const holds = await holdsOf(accounts);
  const uses = [
    ...accounts.map((account) => `select * from public.hold_credits('${account}', 1, 'generation')`),
    ...holds.map((hold) => `select * from public.settle_credit_hold('${hold}', 5)`),
    ...holds.map((hold, number) =>
      number % 2
        ? `select * from public.release_credit_hold('${hold}')`
        : `select * from public.extend_credit_hold('${hold}', 1)`,
    ),
  ];
  // Settled and released at once: whichever comes second finds the hold closed.
  await expectOnly(await deleteDuring(accounts, uses), accounts, ['PT404 not_found', 'PT409 invalid_state']);
});

test('accounts deleted while refunded, credited and clawed back', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const grants = await sql<{ id: string }>(
    `select (public.credit_user_credits_transaction(id, 10, 'purchase')).grant_id as id from unnest($1::uuid[]) id`,
    [accounts],
  );
  await sql(`select public.debit_user_credits_transaction(id, 10, 'generation') from unnest($1::uuid[]) id`, [
    accounts,
  ]);
  const uses = [
    ...accounts.map((account) => `select * from public.refund_user_credits('${account}', 1, 'refund')`),
    ...accounts.map(
      (account) =>
        `select * from public.credit_user_credits_transaction('${account}', 1, 'manual', idempotency_key => 'k')`,
    ),
    ...grants.map((grant) => `select * from public.clawback_credits('${grant.id}', 5, 'dispute')`),
  ];
  await expectOnly(await deleteDuring(accounts, uses), accounts, ['PT404 not_found']);
});

/** A team for each account, which is a member there, with 50 credits and a hold of 10 in that person's name. */
async function teamHoldsOf(accounts: string[]): Promise<{ user_id: string; team: string; hold_id: string }[]> {
  const teams = await sql<{ id: string }>(
    `insert into public.workspaces (name) select 'Team' from generate_series(1, $1) returning id`,
    [accounts.length],
  );
  const [owner = ''] = await newAccounts(1, 0);
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role)
     select team, $3::uuid, 'owner'::public.workspace_role from unnest($1::uuid[]) team
     union all select * , 'member' from unnest($1::uuid[], $2::uuid[])`,
    [teams.map(({ id }) => id), accounts, owner],
  );
  const rows = teams.map(({ id }, number) => ({ team: id, user_id: accounts[number] ?? '' }));
  return Promise.all(
    rows.map(async ({ team, user_id }) => {
      await sql(`select public.credit_user_credits_transaction($1, 50, 'manual', workspace_id => $2)`, [user_id, team]);
      const [held] = await sql<{ hold_id: string }>(
        `select hold_id from public.hold_credits($1, 10, 'generation', workspace_id => $2)`,
        [user_id, team],
      );
      return { user_id, team, hold_id: held?.hold_id ?? '' };
    }),
  );
}

test('members deleted while their teams are debited and settle their holds: the ledgers of the teams stay right', async () => {
  const accounts = await newAccounts(ACCOUNTS, 50);
  const teams = await teamHoldsOf(accounts);
  const uses = [
    ...teams.map(({ hold_id }) => `select * from public.settle_credit_hold('${hold_id}', 5)`),
    ...teams.map(
      ({ user_id, team }) =>
        `select * from public.debit_user_credits_transaction('${user_id}', 1, 'generation', workspace_id => '${team}')`,
    ),
    ...teams.map(
      ({ user_id, team }) =>
        `select * from public.hold_credits('${user_id}', 1, 'generation', workspace_id => '${team}')`,
    ),
  ];
  const { used, deleted } = await deleteDuring(accounts, uses);
  expect(tally(deleted)).toEqual({ ok: ACCOUNTS });
  expect(tally(used.slice(0, ACCOUNTS))).toEqual({ ok: ACCOUNTS });
  expect(
    Object.keys(tally(used.slice(ACCOUNTS))).filter(
      (name) => !['ok', 'PT403 forbidden', 'PT404 not_found'].includes(name),
    ),
  ).toEqual([]);
  expect(await driftOf(teams.map(({ team }) => team))).toEqual([]);
});

/** A model that costs a credit for each thousand output tokens. */
async function newModel(): Promise<string> {
  const model = `race-${randomUUID()}`;
  await adminPool.query(
    `with made as (
       insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, 'Race', 'race', 1000) returning model
     )
     select private.set_model_price(model, '{"input": 0, "output": 10}', '2020-01-01') from made`,
    [model],
  );
  return model;
}

test('accounts deleted while AI calls are admitted, refused and finished', async () => {
  const model = await newModel();
  const accounts = await newAccounts(ACCOUNTS, 50);
  const admitted = await sql<{ hold_id: string }>(
    `select public.admit_ai_call(id, $2, 100) ->> 'hold_id' as hold_id from unnest($1::uuid[]) id`,
    [accounts, model],
  );
  const uses = [
    ...accounts.map((account) => `select public.admit_ai_call('${account}', '${model}', 100)`),
    ...accounts.map((account) => `select public.admit_ai_call('${account}', 'no-such-model', 100)`),
    ...admitted.map(
      ({ hold_id }, number) =>
        `select public.finish_ai_call('${hold_id}', '${number % 2 ? 'success' : 'failed'}', 100, 0, 500)`,
    ),
  ];
  const outcomes = await deleteDuring(accounts, uses);
  // An admission that comes after the deletion finds a token whose account is gone.
  await expectOnly(outcomes, accounts, ['PT404 not_found', 'PT401 not_authenticated']);
});
