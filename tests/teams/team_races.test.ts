/** What is done to a team at once: seats, owners, and its end. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { newModel } from '../ai/helpers.ts';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, tally, untilBlocked } from '../support/callers.ts';
import { adminPool, sql, sqlAs } from '../support/stack.ts';
import { driftOf, newAccount, newAccounts, walletOf } from '../support/wallets.ts';

let callers: pg.Client[] = [];
afterEach(async () => {
  await hangUp(callers.splice(0));
});

/** A statement that a signed-in person runs through the API: claims and role last as long as its transaction. */
function as(person: string, statement: string): string {
  const claims = JSON.stringify({ sub: person, role: 'authenticated' });
  return `select set_config('request.jwt.claims', '${claims}', true), set_config('role', 'authenticated', true); ${statement}`;
}

async function newTeam(owners: string[], others: string[] = []): Promise<string> {
  const id = randomUUID();
  await adminPool.query(`insert into public.workspaces (id, name) values ($1, 'Team')`, [id]);
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role)
     select $1::uuid, unnest($2::uuid[]), 'owner'::public.workspace_role union all select $1::uuid, unnest($3::uuid[]), 'member'`,
    [id, owners, others],
  );
  return id;
}

async function rolesIn(team: string): Promise<Record<string, number>> {
  const rows = await sql<{ role: string; count: number }>(
    `select role::text, count(*)::integer as count from public.workspace_members where workspace_id = $1 group by role`,
    [team],
  );
  return Object.fromEntries(rows.map(({ role, count }) => [role, count]));
}

/** No outcome may be an error of the server. */
function expectNoServerErrors(outcomes: Record<string, number>): void {
  for (const name of Object.keys(outcomes)) expect(name).toMatch(/^(ok|PT4\d\d )/);
}

test('50 parallel acceptances for the last 3 seats: three are taken', async () => {
  callers = await openCallers(50, 'authenticated');
  const owner = await newAccount(3);
  const people = await newAccounts(50, 3);
  await adminPool.query('update auth.users set email_confirmed_at = now() where id = any ($1::uuid[])', [people]);
  const team = await newTeam([owner], await newAccounts(21, 3));
  // A plan of 25 seats, of which 22 are taken.
  await adminPool.query(`update public.workspaces set plan = 'pro' where id = $1`, [team]);
  const inviter = await sqlAs('authenticated', { sub: owner });
  const tokens: string[] = [];
  for (const id of people) {
    const { rows } = await inviter.query(`select to_jsonb(public.invite_member($1, $2)) ->> 'token' as token`, [
      team,
      `person-${id}@example.test`,
    ]);
    tokens.push(rows[0].token);
  }
  await inviter.end();
  const outcomes = tally(
    await callAtOnce(
      people.map((person, at) => ({
        by: inTurn(callers, at),
        statement: as(person, `select public.accept_invitation('${tokens[at]}')`),
      })),
    ),
  );
  expect(outcomes).toEqual({ ok: 3, 'PT429 limit_reached': 47 });
  expect(await rolesIn(team)).toEqual({ owner: 1, member: 24 });
});

test('owners who demote each other, transfer and leave at once: a team keeps an owner', async () => {
  callers = await openCallers(20, 'authenticated');
  const teams: string[] = [];
  const calls: { by: pg.Client; statement: string }[] = [];
  for (let number = 0; number < 30; number += 1) {
    const [one = '', two = '', three = ''] = await newAccounts(3, 3);
    const team = await newTeam([one, two], [three]);
    teams.push(team);
    const [first, second] = [
      [
        as(one, `select public.set_member_role('${team}', '${two}', 'member')`),
        as(two, `select public.set_member_role('${team}', '${one}', 'member')`),
      ],
      [
        as(one, `select public.transfer_ownership('${team}', '${three}')`),
        as(two, `select public.leave_workspace('${team}')`),
      ],
      [as(one, `select public.leave_workspace('${team}')`), as(two, `select public.leave_workspace('${team}')`)],
    ][number % 3] as [string, string];
    calls.push({ by: inTurn(callers, number * 2), statement: first });
    calls.push({ by: inTurn(callers, number * 2 + 1), statement: second });
  }
  const before = await countDeadlocks(callers);
  const outcomes = tally(await callAtOnce(calls));
  expectNoServerErrors(outcomes);
  expect(await countDeadlocks(callers)).toBe(before);
  for (const team of teams) expect((await rolesIn(team)).owner ?? 0).toBeGreaterThanOrEqual(1);
});

test('30 sole owners who transfer to a member that is leaving: every team keeps an owner', async () => {
  callers = await openCallers(60, 'authenticated');
  const people = await newAccounts(60, 3);
  const teams: string[] = [];
  const calls: { by: pg.Client; statement: string }[] = [];
  for (let number = 0; number < 30; number += 1) {
    const [owner = '', member = ''] = people.slice(number * 2);
    const team = await newTeam([owner], [member]);
    teams.push(team);
    const both = [
      as(owner, `select public.transfer_ownership('${team}', '${member}')`),
      as(member, `select public.leave_workspace('${team}')`),
    ];
    calls.push(...both.map((statement, n) => ({ by: inTurn(callers, number * 2 + n), statement })));
  }
  const before = await countDeadlocks(callers);
  const outcomes = tally(await callAtOnce(calls));
  expectNoServerErrors(outcomes);
  expect(outcomes.ok).toBe(30); // one of the two in each team
  expect(await countDeadlocks(callers)).toBe(before);
  for (const team of teams) expect((await rolesIn(team)).owner).toBe(1);
});

test('a transfer and the leaving of whom it is to wait for each other, whichever comes first', async () => {
  const [owner = '', first = '', second = ''] = await newAccounts(3, 3);
  const team = await newTeam([owner], [first, second]);
  const owning = await sqlAs('authenticated', { sub: owner });
  const early = await sqlAs('authenticated', { sub: first });
  const late = await sqlAs('authenticated', { sub: second });
  try {
    // The member leaves first: there is nobody to transfer to, and the owner stays one.
    await early.query('begin');
    await early.query('select public.leave_workspace($1)', [team]);
    const given = owning.query('select public.transfer_ownership($1, $2)', [team, first]).catch((error) => error);
    await untilBlocked(owning);
    await early.query('commit');
    expect(await given).toMatchObject({ code: 'PT404', message: 'not_found' });
    expect(await rolesIn(team)).toEqual({ owner: 1, member: 1 });

    // The transfer comes first: who was about to leave is the last owner.
    await owning.query('begin');
    await owning.query('select public.transfer_ownership($1, $2)', [team, second]);
    const left = late.query('select public.leave_workspace($1)', [team]).catch((error) => error);
    await untilBlocked(late);
    await owning.query('commit');
    expect(await left).toMatchObject({ code: 'PT409', message: 'invalid_state' });
    expect(await rolesIn(team)).toEqual({ owner: 1, admin: 1 });
  } finally {
    await Promise.all([owning, early, late].map((client) => client.end()));
  }
});

test('teams made and taken over at once by one person: no more than the free plan allows', async () => {
  callers = await openCallers(20, 'authenticated');
  const [person = '', ...others] = await newAccounts(11, 3);
  const theirs = await Promise.all(others.map((owner) => newTeam([owner], [person])));
  const outcomes = await callAtOnce([
    ...theirs.map((team, at) => ({
      by: inTurn(callers, at),
      statement: as(others[at] ?? '', `select public.transfer_ownership('${team}', '${person}')`),
    })),
    ...others.map((_, at) => ({
      by: inTurn(callers, 10 + at),
      statement: as(person, `select public.create_workspace('Team ${at}')`),
    })),
  ]);
  expect(tally(outcomes)).toEqual({ ok: 3, 'PT429 limit_reached': 17 });
  const [owned] = await sql(
    `select count(*)::integer as teams from public.workspace_members where user_id = $1 and role = 'owner' and workspace_id <> $1`,
    [person],
  );
  expect(owned).toEqual({ teams: 3 });
});

test('teams handed to people whose accounts are deleted: no deadlock, and every team has an owner', async () => {
  const givers = await openCallers(30, 'authenticated');
  const deleters = await openCallers(10, 'supabase_auth_admin');
  callers = [...givers, ...deleters];
  const people = await newAccounts(60, 3);
  const teams = await Promise.all(people.slice(0, 30).map((owner, at) => newTeam([owner], [people[30 + at] ?? ''])));
  const before = await countDeadlocks(callers);
  const outcomes = await callAtOnce(
    teams.flatMap((team, at) => {
      const [owner, heir] = [people[at] ?? '', people[30 + at] ?? ''];
      const give =
        at % 2
          ? `select public.transfer_ownership('${team}', '${heir}')`
          : `select public.set_member_role('${team}', '${heir}', 'owner')`;
      return [
        { by: inTurn(givers, at), statement: as(owner, give) },
        { by: inTurn(deleters, at), statement: `delete from auth.users where id = '${at % 3 ? heir : owner}'` },
      ];
    }),
  );
  expectNoServerErrors(tally(outcomes));
  expect(tally(outcomes.filter((_, at) => at % 2 === 1))).toEqual({ ok: 30 });
  expect(await countDeadlocks(callers)).toBe(before);
  for (const team of teams) expect((await rolesIn(team)).owner).toBeGreaterThanOrEqual(1);
});

test('a team is handed over to who is being deleted: the wallets of both are taken in one order', async () => {
  const [owner = '', heir = ''] = await newAccounts(2, 3);
  const team = await newTeam([owner], [heir]);
  const keeper = await sqlAs('postgres');
  const deleter = await sqlAs('supabase_auth_admin');
  const giver = await sqlAs('authenticated', { sub: owner });
  try {
    const [first] = [team, heir].sort();
    await keeper.query('begin');
    await keeper.query('select from public.credit_wallets where workspace_id = $1 for update', [first]);
    const deleted = deleter.query('delete from auth.users where id = $1', [heir]);
    await untilBlocked(deleter);
    const given = giver.query('select public.transfer_ownership($1, $2)', [team, heir]).catch((error) => error);
    await untilBlocked(giver);
    await keeper.query('rollback');
    expect((await deleted).rowCount).toBe(1);
    expect(await given).toMatchObject({ code: 'PT404', message: 'not_found' });
    expect(await rolesIn(team)).toEqual({ owner: 1 });
  } finally {
    await Promise.all([keeper, deleter, giver].map((client) => client.end()));
  }
});

test('invitations sent at once by one person, into several teams: no more than a day allows', async () => {
  callers = await openCallers(30, 'authenticated');
  const [person = ''] = await newAccounts(1, 3);
  const teams = await Promise.all(Array.from({ length: 30 }, () => newTeam([person])));
  await sql(`insert into private.invitation_mails (user_id, address_hash) select $1, 'x' from generate_series(1, 90)`, [
    person,
  ]);
  const outcomes = await callAtOnce(
    Array.from({ length: 30 }, (_, at) => ({
      by: inTurn(callers, at),
      statement: as(person, `select public.invite_member('${teams[at]}', 'guest-${at}@example.test')`),
    })),
  );
  expect(tally(outcomes)).toEqual({ ok: 10, 'PT429 limit_reached': 20 });
});

/** Secrets that keys of these teams answer to, and that somebody was shown who does not manage the team. */
async function strayKeys(teams: string[]): Promise<pg.QueryResultRow[]> {
  return sql(
    `select k.workspace_id, k.name, h.made_by from public.api_keys k join private.api_key_hashes h on h.api_key_id = k.id
     where k.workspace_id = any ($1::uuid[]) and k.revoked_at is null and not exists (
       select from public.workspace_members m
       where m.workspace_id = k.workspace_id and m.user_id = h.made_by and m.role <> 'member')`,
    [teams],
  );
}

async function newKeyOf(person: string, team: string): Promise<string> {
  const client = await sqlAs('authenticated', { sub: person });
  const { rows } = await client.query(`select to_jsonb(public.create_api_key('shared', $1)) ->> 'id' as id`, [team]);
  await client.end();
  return rows[0].id;
}

test('admins who make and rotate keys while they are removed or demoted: none keeps a secret', async () => {
  callers = await openCallers(40, 'authenticated');
  const people = await newAccounts(120, 3);
  const teams: string[] = [];
  const calls: { by: pg.Client; statement: string }[] = [];
  for (let number = 0; number < 60; number += 1) {
    const [owner = '', admin = ''] = people.slice(number * 2);
    const team = await newTeam([owner, admin]);
    teams.push(team);
    const work =
      number % 2 === 0
        ? `select public.create_api_key('theirs', '${team}')`
        : `select public.rotate_api_key('${await newKeyOf(owner, team)}')`;
    const end =
      number % 4 < 2
        ? `select public.remove_member('${team}', '${admin}')`
        : `select public.set_member_role('${team}', '${admin}', 'member')`;
    calls.push({ by: inTurn(callers, number * 2), statement: as(admin, work) });
    calls.push({ by: inTurn(callers, number * 2 + 1), statement: as(owner, end) });
  }
  const before = await countDeadlocks(callers);
  const outcomes = await callAtOnce(calls);
  expectNoServerErrors(tally(outcomes));
  expect(tally(outcomes.filter((_, number) => number % 2 === 1))).toEqual({ ok: 60 });
  expect(await countDeadlocks(callers)).toBe(before);
  expect(await strayKeys(teams)).toEqual([]);
});

test('keys made at once: no more than a workspace may have', async () => {
  callers = await openCallers(20, 'authenticated');
  const owner = await newAccount(3);
  const team = await newTeam([owner]);
  await sql(
    `insert into public.api_keys (workspace_id, user_id, name, prefix) select $1, $2, n::text, 'sk-' from generate_series(1, 95) n`,
    [team, owner],
  );
  const calls = callers.map((by) => ({ by, statement: as(owner, `select public.create_api_key('k', '${team}')`) }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 5, 'PT429 limit_reached': calls.length - 5 });
});

test.each(['create', 'rotate'])('%s_api_key and the end of an admin wait for each other', async (verb) => {
  const [owner = '', first = '', second = ''] = await newAccounts(3, 3);
  const team = await newTeam([owner, first, second]);
  const shared = await newKeyOf(owner, team);
  const work =
    verb === 'create' ? `select public.create_api_key('k', '${team}')` : `select public.rotate_api_key('${shared}')`;
  const manager = await sqlAs('authenticated', { sub: owner });
  const late = await sqlAs('authenticated', { sub: first });
  const early = await sqlAs('authenticated', { sub: second });
  try {
    // The end comes first: the admin finds themselves no admin.
    await manager.query('begin');
    await manager.query('select public.remove_member($1, $2)', [team, first]);
    const refused = late.query(work).catch((error) => error);
    await untilBlocked(late);
    await manager.query('commit');
    expect(await refused).toMatchObject({ code: 'PT404', message: 'not_found' });

    // The key comes first: its secret ends with the admin.
    await early.query('begin');
    await early.query(work);
    const removed = manager.query('select public.remove_member($1, $2)', [team, second]);
    await untilBlocked(manager);
    await early.query('commit');
    await removed;
    expect(await strayKeys([team])).toEqual([]);
  } finally {
    await Promise.all([manager, late, early].map((client) => client.end()));
  }
});

test('teams deleted while they are debited and held for: no error of the server, and the ledger is right', async () => {
  const closers = await openCallers(30, 'authenticated');
  const service = await openCallers(30);
  callers = [...closers, ...service];
  const owners = await newAccounts(20, 3);
  const teams = await Promise.all(owners.map((owner) => newTeam([owner])));
  for (const [at, team] of teams.entries()) {
    await sql(`select public.credit_user_credits_transaction($1, 100, 'manual', workspace_id => $2)`, [
      owners[at],
      team,
    ]);
  }
  const calls = teams.flatMap((team, at) => [
    { by: inTurn(closers, at), statement: as(owners[at] ?? '', `select public.delete_workspace('${team}')`) },
    ...['debit_user_credits_transaction', 'hold_credits'].map((rpc, n) => ({
      by: inTurn(service, at * 2 + n),
      statement: `select public.${rpc}('${owners[at]}', 5, 'generation', workspace_id => '${team}')`,
    })),
  ]);
  const before = await countDeadlocks(callers);
  expectNoServerErrors(tally(await callAtOnce(calls)));
  expect(await countDeadlocks(callers)).toBe(before);
  for (const team of teams) expect(await walletOf(team)).toBeUndefined();
  expect(await driftOf(owners)).toEqual([]);
});

/** Every sum of a team's that a deletion could change: of its ledger, its wallet, its statistics, its log, its payments. */
async function figuresOf(team: string): Promise<Record<string, unknown>> {
  const [row] = await sql(
    `select
       (select jsonb_agg(s order by s.transaction_type) from (
          select transaction_type, count(*) as entries, sum(amount) as amount from public.credit_transactions
          where workspace_id = $1 group by transaction_type) s) as ledger,
       (select to_jsonb(w) from public.credit_wallets w where w.workspace_id = $1) as wallet,
       (select jsonb_build_object('requests', sum(total_requests), 'success', sum(success_requests), 'failed', sum(failed_requests),
          'canceled', sum(canceled_requests), 'refused', sum(refused_requests), 'prompt', sum(total_prompt_tokens),
          'completion', sum(total_completion_tokens), 'tokens', sum(total_tokens), 'duration', sum(total_duration),
          'cost', sum(total_cost), 'credits', sum(credits), 'free', sum(free_credits), 'paid', sum(paid_credits))
        from public.ai_usage_statistics where workspace_id = $1) as statistics,
       (select jsonb_agg(m order by m.model) from (
          select e.key as model, sum((e.value ->> 'requests')::bigint) as requests, sum((e.value ->> 'credits')::numeric) as credits
          from public.ai_usage_statistics s, jsonb_each(s.model_stats) e where s.workspace_id = $1 group by 1) m) as models,
       (select jsonb_build_object('calls', count(*), 'credits', sum(credits_charged), 'tokens', sum(total_tokens))
        from public.ai_usage_logs where workspace_id = $1) as log,
       (select jsonb_build_object('count', count(*), 'amount', sum(amount), 'refunded', sum(refunded_amount))
        from public.payments where workspace_id = $1) as payments,
       (select count(*)::integer from public.subscription_history where workspace_id = $1) as history`,
    [team],
  );
  return row ?? {};
}

/** A member pays for a team: a subscription and its first period. */
async function payFor(team: string, person: string): Promise<void> {
  await sql(`select public.receive_payment_event('creem', $1, 'subscription.paid', now(), '{}', $2, at => now())`, [
    `evt_${team}`,
    {
      rank: 0,
      customer: { id: `cust_${team}` },
      owner: { workspace_id: team, user_id: person },
      subscription: { id: `sub_${team}`, status: 'active' },
      payment: { id: `tran_${team}`, status: 'succeeded', kind: 'subscription', amount: 1900, currency: 'USD' },
      history: ['payment_succeeded'],
    },
  ]);
}

test('deleting a member leaves the figures of the team', async () => {
  const [owner = '', member = ''] = await newAccounts(2, 3);
  const team = await newTeam([owner], [member]);
  const model = await newModel({ credits_per_request: 1 });
  await payFor(team, member);
  await sql(
    `select public.credit_user_credits_transaction($1, 50, 'manual', workspace_id => $3),
            public.debit_user_credits_transaction($2, 5, 'generation', workspace_id => $3),
            public.refund_user_credits($2, 2, 'refund', workspace_id => $3)`,
    [owner, member, team],
  );
  // Both call, on the same day: what is the member's goes to those who are gone, and stays apart from the owner's.
  for (const person of [owner, member, member])
    await sql(
      `select public.finish_ai_call((public.admit_ai_call($1, $2, 10, workspace_id => $3) ->> 'hold_id')::uuid, 'success', 10, 0, 5)`,
      [person, model, team],
    );
  await sql(`select public.admit_ai_call($1, 'no-such-model', 10, workspace_id => $2)`, [member, team]);
  const before = await figuresOf(team);
  expect(before).toMatchObject({
    payments: { count: 1, amount: 1900 },
    statistics: { requests: 4, success: 3, refused: 1, credits: 3 },
    log: { calls: 4 },
    history: 1,
  });
  await adminPool.query('delete from auth.users where id = $1', [member]);
  expect(await figuresOf(team)).toEqual(before);
  const [left] = await sql(
    `select (select count(*)::integer from public.payments where workspace_id = $1 and user_id is null) as payments,
            (select count(*)::integer from public.credit_transactions where workspace_id = $1 and user_id = $2) as entries,
            (select count(*)::integer from public.ai_usage_statistics where workspace_id = $1 and user_id = $2) as statistics`,
    [team, member],
  );
  expect(left).toEqual({ payments: 1, entries: 0, statistics: 0 });
  expect(await driftOf([team])).toEqual([]);
});
