/** Settings of several rows and workspaces, written in parallel sessions beside what holds wallets: nothing deadlocks. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAtOnce, countDeadlocks, hangUp, inTurn, openCallers, tally } from '../support/callers.ts';
import { adminPool, sql } from '../support/stack.ts';
import { offerVideos } from '../support/videos.ts';
import { driftOf, newAccounts } from '../support/wallets.ts';

const model = `settings-races-${randomUUID()}`;
let callers: pg.Client[];
beforeAll(async () => {
  await offerVideos(model, 1);
  callers = await openCallers(30, 'postgres');
});
afterAll(async () => {
  await adminPool.query('update public.ai_models set is_active = false where model = $1', [model]);
  await hangUp(callers);
});

const asPerson = (account: string, statement: string) =>
  `select set_config('request.jwt.claims', '{"sub": "${account}", "role": "authenticated"}', true),
          set_config('role', 'authenticated', true); ${statement}`;
const asService = (statement: string) => `select set_config('role', 'service_role', true); ${statement}`;
/** The same rows in both orders: a statement locks them as its scan meets them. */
const inOrder = (table: string, set: string, where: string, order: string) =>
  `update public.${table} t set ${set} from (select s.id from public.${table} s where ${where} order by s.id ${order} for no key update) o where t.id = o.id`;

/** Two people who own two teams together, with alerts and keys in every workspace. */
async function newPartners() {
  const accounts = await newAccounts(2, 1000);
  const [a = '', b = ''] = accounts;
  const teams = (
    await adminPool.query<{ id: string }>(
      `with made as (insert into public.workspaces (name) select 'Team ' || n from generate_series(1, 2) n returning id),
            joined as (insert into public.workspace_members (workspace_id, user_id, role)
              select made.id, u.id, 'owner' from made, unnest($1::uuid[]) u (id))
       select id from made`,
      [accounts],
    )
  ).rows.map((row) => row.id);
  const spaces = [...accounts, ...teams];
  await adminPool.query(
    `insert into public.api_keys (workspace_id, user_id, name, prefix, budget)
     select w, case when w = $3 then $3::uuid else $2::uuid end, 'key ' || n, 'sk-', 100
       from unnest($1::uuid[]) w, generate_series(1, 5) n`,
    [spaces, a, b],
  );
  await adminPool.query(
    `insert into private.api_key_hashes (key_hash, api_key_id) select sha256(convert_to(id::text, 'UTF8')), id
       from public.api_keys where workspace_id = any ($1)`,
    [spaces],
  );
  await adminPool.query(
    `insert into public.credit_alerts (workspace_id, kind, threshold)
     select w, k, n from unnest($1::uuid[]) w, unnest(array['low_balance', 'debt']::public.credit_alert_kind[]) k, generate_series(1, 4) n`,
    [spaces],
  );
  return { a, b, spaces };
}

test('keys and alerts of several workspaces are changed in opposite orders beside debits, sweeps and new owners', async () => {
  const { a, b, spaces } = await newPartners();
  const [, , team = '', other = ''] = spaces;
  const list = spaces.map((id) => `'${id}'`).join(', ');
  const where = `s.workspace_id in (${list})`;
  const statements = ['asc', 'desc'].flatMap((order, i) => [
    asPerson(i ? a : b, `update public.api_keys set name = name || '.' where workspace_id in (${list})`),
    asPerson(i ? a : b, `update public.credit_alerts set is_active = not is_active where workspace_id in (${list})`),
    asService(inOrder('api_keys', 'budget = t.budget + 1', where, order)),
    asService(inOrder('credit_alerts', 'is_active = not t.is_active', where, order)),
    asService(
      `insert into public.credit_alerts (workspace_id, kind, threshold)
       select w, 'limit_share', 0.5 from unnest(array[${list}]::uuid[]) w order by w ${order} on conflict do nothing`,
    ),
    asService(`delete from public.credit_alerts where kind = 'limit_share' and workspace_id in (${list})`),
    asPerson(i ? a : b, `select public.set_member_role('${i ? team : other}', '${i ? b : a}', 'owner')`),
    `select public.debit_user_credits_transaction('${a}', 1, 'test', workspace_id => '${i ? team : a}')`,
    `select public.create_video_job(null, '${model}', 'a cat', api_key_hash => encode(sha256(convert_to(k.id::text, 'UTF8')), 'hex'))
       from public.api_keys k where k.workspace_id = '${i ? a : b}' limit 1`,
    // Overdue for good: jobs of several keys and workspaces end in one transaction.
    `select public.sync_video_jobs(100, '{}', clock_timestamp() + interval '3 minutes')`,
  ]);
  const before = await countDeadlocks(callers);
  const calls = Array.from({ length: 10 * statements.length }, (_, i) => ({
    by: inTurn(callers, i),
    statement: statements[i % statements.length] ?? '',
  }));
  const outcomes = tally(await callAtOnce(calls));
  const refused = ['PT402 insufficient_credits', 'PT429 limit_reached'];
  expect(Object.keys(outcomes).filter((name) => name !== 'ok' && !refused.includes(name))).toEqual([]);
  expect(await countDeadlocks(callers)).toBe(before);
  expect(await driftOf(spaces)).toEqual([]);
  const wrong = await sql(
    `select w.workspace_id from public.credit_wallets w where w.workspace_id = any ($1) and w.has_alerts <>
      exists (select from public.credit_alerts a where a.workspace_id = w.workspace_id and a.is_active)`,
    [spaces],
  );
  expect(wrong).toEqual([]);
});

test('accounts are deleted while the service role changes keys and alerts of all of them', async () => {
  const groups = await Promise.all(Array.from({ length: 6 }, newPartners));
  const list = groups.flatMap(({ spaces }) => spaces.map((id) => `'${id}'`)).join(', ');
  const where = `s.workspace_id in (${list})`;
  const deletions = groups.map(({ a }) => `delete from auth.users where id = '${a}'`);
  const others = ['asc', 'desc'].flatMap((order) => [
    asService(inOrder('api_keys', 'budget = t.budget + 1', `${where} and s.revoked_at is null`, order)),
    asService(inOrder('credit_alerts', 'is_active = not t.is_active', where, order)),
    asService(`delete from public.credit_alerts where threshold = 2 and workspace_id in (${list})`),
  ]);
  const calls = Array.from({ length: 60 }, (_, i) => ({
    by: inTurn(callers, i),
    statement: (i % 10 === 0 ? deletions[i / 10] : others[i % others.length]) ?? '',
  }));
  expect(tally(await callAtOnce(calls))).toEqual({ ok: 60 });
  expect(await driftOf(groups.map(({ b }) => b))).toEqual([]);
});

test('keys never become more than a hundred, revived and made at once', async () => {
  const [account = ''] = await newAccounts(1, 10);
  await adminPool.query(
    `insert into public.api_keys (workspace_id, user_id, name, prefix, created_at, expires_at)
     select $1, $1, 'old ' || n, 'sk-', now() - interval '2 days', now() - interval '1 day' from generate_series(1, 120) n`,
    [account],
  );
  const calls = Array.from({ length: 150 }, (_, i) => ({
    by: inTurn(callers, i),
    statement:
      i % 5 === 0
        ? asPerson(account, `select public.create_api_key('new ${i}')`)
        : (i % 2 ? asService : (statement: string) => asPerson(account, statement))(
            `update public.api_keys set expires_at = null where workspace_id = '${account}' and name = 'old ${i - Math.floor(i / 5)}'`,
          ),
  }));
  expect(Object.keys(tally(await callAtOnce(calls))).sort()).toEqual(['PT429 limit_reached', 'ok']);
  const [living] = await sql(
    `select count(*)::integer as count from public.api_keys where workspace_id = $1 and revoked_at is null
       and (expires_at is null or expires_at > now())`,
    [account],
  );
  expect(living).toEqual({ count: 100 });
});
