/** Alerts that managers of several teams write at once, and who waits for whom. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, tally } from '../support/callers.ts';
import { adminPool, sql, sqlAs } from '../support/stack.ts';
import { newAccount, newAccounts } from '../support/wallets.ts';

let callers: pg.Client[] = [];
afterEach(async () => {
  await hangUp(callers.splice(0));
});

/** A statement that a signed-in person runs through the API: claims and role last as long as its transaction. */
function as(person: string, statement: string): string {
  const claims = JSON.stringify({ sub: person, role: 'authenticated' });
  return `select set_config('request.jwt.claims', '${claims}', true), set_config('role', 'authenticated', true); ${statement}`;
}

async function newTeam(owners: string[]): Promise<string> {
  const id = randomUUID();
  await adminPool.query(`insert into public.workspaces (id, name) values ($1, 'Team')`, [id]);
  await adminPool.query(
    `insert into public.workspace_members (workspace_id, user_id, role) select $1::uuid, unnest($2::uuid[]), 'owner'`,
    [id, owners],
  );
  return id;
}

const errorsBut = (outcomes: Record<string, number>, expected: RegExp) =>
  Object.keys(outcomes).filter((name) => !expected.test(name));

test('alerts of two teams written at once, in both orders, do not deadlock', async () => {
  callers = await openCallers(30, 'authenticated');
  const before = await countDeadlocks(callers);
  const owners = await newAccounts(2, 3);
  const teams = [await newTeam(owners), await newTeam(owners)];
  const inBoth = (threshold: number, order: string[]) =>
    `insert into public.credit_alerts (workspace_id, kind, threshold)
     values ${order.map((team) => `('${team}', 'debt', ${threshold})`).join(', ')}`;
  const calls = Array.from({ length: 180 }, (_, i) => {
    const statements = [
      inBoth(i % 10, teams),
      inBoth(i % 10, teams.toReversed()),
      `delete from public.credit_alerts where threshold = ${i % 10}`,
      `update public.credit_alerts set is_active = not is_active`,
      `update public.credit_alerts a set is_active = true from (select id from public.credit_alerts order by workspace_id desc) b where a.id = b.id`,
    ];
    // Not by the parity that the callers have.
    const statement = statements[Math.floor(i / 7) % statements.length] ?? '';
    return { by: inTurn(callers, i), statement: as(owners[i % 2] ?? '', statement) };
  });
  expect(errorsBut(tally(await callAtOnce(calls)), /^(ok|23505 .*)$/)).toEqual([]);
  expect(await countDeadlocks(callers)).toBe(before);
});

test('alerts are written while their teams and the people who manage them go', async () => {
  callers = await openCallers(30, 'authenticated');
  const deleters = await openCallers(10, 'supabase_auth_admin');
  callers.push(...deleters);
  const writers = callers.slice(0, -deleters.length);
  const before = await countDeadlocks(callers);
  for (let round = 0; round < 6; round += 1) {
    const [leaver = '', stayer = ''] = await newAccounts(2, 3);
    const teams: string[] = [];
    for (let i = 0; i < 4; i += 1) teams.push(await newTeam([leaver, stayer]));
    await sql(
      `insert into public.credit_alerts (workspace_id, kind, threshold) select unnest($1::uuid[]), 'debt', n from generate_series(1, 3) n`,
      [teams],
    );
    const calls = Array.from({ length: 60 }, (_, i) => ({
      by: inTurn(writers, i),
      statement: as(
        stayer,
        i % 3 === 0
          ? `delete from public.credit_alerts where threshold = ${i % 4}`
          : `update public.credit_alerts set is_active = not is_active`,
      ),
    }));
    calls[1] = { by: inTurn(writers, 1), statement: as(stayer, `select public.delete_workspace('${teams[1]}')`) };
    calls[2] = { by: inTurn(writers, 2), statement: as(stayer, `select public.delete_workspace('${teams[2]}')`) };
    calls.push({ by: inTurn(deleters, 0), statement: `delete from auth.users where id = '${leaver}'` });
    expect(errorsBut(tally(await callAtOnce(calls)), /^ok$/)).toEqual([]);
  }
  expect(await countDeadlocks(callers)).toBe(before);
});

test('who is refused waits for no lock and holds none', async () => {
  const owner = await newAccount(3);
  const team = await newTeam([owner]);
  const [key] = await sql<{ id: string }>(
    `insert into public.api_keys (workspace_id, user_id, name, prefix) values ($1, $2, 'k', 'sk-') returning id`,
    [team, owner],
  );
  const [pack] = await sql<{ id: string }>(
    `insert into public.payment_products (platform, product_id, name, credits, amount, currency)
     values ('creem', $1, 'A pack', 10, 900, 'USD') returning id`,
    [`pack_${randomUUID()}`],
  );
  const stranger = await sqlAs('authenticated', { sub: await newAccount(3) });
  const keeper = await sqlAs('postgres');
  try {
    await keeper.query('begin');
    await keeper.query('select from public.credit_wallets where workspace_id = $1 for update', [team]);
    await stranger.query(`set statement_timeout = '20s'`);
    const refusals: Record<string, string> = {};
    for (const statement of [
      `insert into public.credit_alerts (workspace_id, kind, threshold) values ('${team}', 'debt', 1)`,
      `select public.delete_workspace('${team}')`,
      `select public.leave_workspace('${team}')`,
      `select public.set_auto_top_up('${team}', '${pack?.id}', 1, 1)`,
      `select public.disable_auto_top_up('${team}')`,
      `select public.create_api_key('k', '${team}')`,
      `select public.revoke_api_key('${key?.id}')`,
    ]) {
      const name = /\w+(?=\()|credit_alerts/.exec(statement)?.[0] ?? statement;
      refusals[name] = await stranger.query(statement).then(
        () => 'ok',
        (error: pg.DatabaseError) => error.code ?? '',
      );
    }
    expect(refusals).toEqual({
      credit_alerts: '42501',
      delete_workspace: 'PT404',
      leave_workspace: 'PT404',
      set_auto_top_up: 'PT404',
      disable_auto_top_up: 'PT404',
      create_api_key: 'PT404',
      revoke_api_key: 'PT404',
    });
  } finally {
    await keeper.end();
    await stranger.end();
  }
});
