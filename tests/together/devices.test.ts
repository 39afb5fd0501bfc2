/** Devices: people see where they are signed in and end it, and a session that ended gets nothing more, from whom ever it asks. */
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { overApi, poolOf } from '../database/helpers.ts';
import { callAtOnce, hangUp, openCallers, rowsOf, tally, untilBlocked } from '../support/callers.ts';
import { adminPool, anonClient, env, newUser, serviceClient, sql, sqlAs, urls } from '../support/stack.ts';
import { newAccount } from '../support/wallets.ts';

type Client = ReturnType<typeof anonClient>;
const device = (name: string) => ({ device_id: name, device_type: 'ios' as const, device_name: name });

/** A person who is signed in on a phone and a laptop. */
async function signedInTwice() {
  const user = await newUser();
  const laptop = anonClient();
  const { error } = await laptop.auth.signInWithPassword({ email: user.email, password: user.password });
  if (error) throw error;
  return { user, phone: user.client, laptop };
}

async function tokenOf(client: Client): Promise<string> {
  return (await client.auth.getSession()).data.session?.access_token ?? '';
}
const sessionOf = async (client: Client): Promise<string> => String(decodeJwt(await tokenOf(client)).session_id);

async function register(client: Client, name: string): Promise<void> {
  expect((await client.rpc('register_device', device(name))).error).toBeNull();
}

/** What functions answer a person: the status, and the code of an error. */
async function askFunctions(client: Client): Promise<string[]> {
  const headers = { authorization: `Bearer ${await tokenOf(client)}`, 'content-type': 'application/json' };
  const requests: [string, RequestInit?][] = [
    ['ai/v1/models'],
    [`video/jobs/${randomUUID()}`],
    ['billing/cancel', { method: 'POST', body: '{}' }],
    [`ai/v1/conversations/${randomUUID()}/messages`, { method: 'POST', body: '{"content":"Hello"}' }],
  ];
  return Promise.all(
    requests.map(async ([path, init]) => {
      const answer = await fetch(`${env.FUNCTIONS_URL}/${path}`, { ...init, headers });
      const body = (await answer.json()) as { error?: { code: string } };
      return `${answer.status} ${body.error?.code ?? ''}`.trim();
    }),
  );
}

const REVOKED = { status: 401, error: { code: 'PT401', message: 'session_revoked' } };
const ANSWERED = ['200', '404 not_found', '404 not_found', '404 not_found'];
const REFUSED = Array.from(ANSWERED, () => '401 session_revoked');

test('a session that ended writes no row: an insert is refused, an update or deletion finds none', async () => {
  const { phone, laptop } = await signedInTwice();
  const { data: conversation } = await phone.from('conversations').insert({ title: 'Plans' }).select('id').single();
  const id = conversation?.id ?? '';
  await laptop.rpc('revoke_other_devices');
  const { data: listed } = await laptop.from('user_sessions').select('id, device_id, device_name, is_active');
  expect(listed).toEqual([{ id: await sessionOf(phone), device_id: null, device_name: null, is_active: false }]);

  const answers = await Promise.all([
    phone.from('conversations').insert({ title: 'More' }),
    phone.from('messages').insert({ conversation_id: id, content: 'Hello' }),
    phone.from('conversations').update({ title: 'Less' }).eq('id', id).select(),
    phone.from('conversations').delete().eq('id', id).select(),
  ]);
  expect(answers.map(({ status, error, data }) => [status, error?.code ?? data])).toEqual([
    ...[1, 2].map(() => [403, '42501']),
    ...[1, 2].map(() => [200, []]),
  ]);
  expect((await laptop.from('conversations').select('title')).data).toEqual([{ title: 'Plans' }]);
});

test('a person signs one device out: it is refused at its next call and cannot refresh, the other goes on', async () => {
  const { phone, laptop } = await signedInTwice();
  await register(phone, 'my phone');
  await register(laptop, 'my laptop');
  const stranger = await newUser();
  expect((await stranger.client.from('user_sessions').select()).data).toEqual([]);
  expect(await askFunctions(phone)).toEqual(ANSWERED);

  const { data: devices } = await laptop
    .from('user_sessions')
    .select('id, device_name, is_active')
    .order('device_name');
  expect(devices?.map(({ device_name, is_active }) => [device_name, is_active])).toEqual([
    ['my laptop', true],
    ['my phone', true],
  ]);
  const session_id = await sessionOf(phone);
  expect(devices?.[1]?.id).toBe(session_id);
  expect(await stranger.client.rpc('revoke_device', { session_id })).toMatchObject({ status: 404 });
  expect((await laptop.rpc('revoke_device', { session_id })).error).toBeNull();

  expect(await phone.rpc('create_workspace', { name: 'Team' })).toMatchObject(REVOKED);
  expect(await phone.rpc('call_history')).toMatchObject(REVOKED);
  expect(await askFunctions(phone)).toEqual(REFUSED);
  expect((await phone.auth.refreshSession()).error).toMatchObject({ status: 400, code: 'refresh_token_not_found' });
  expect((await laptop.rpc('create_workspace', { name: 'Team' })).error).toBeNull();
  expect(await askFunctions(laptop)).toEqual(ANSWERED);
  expect((await laptop.auth.refreshSession()).error).toBeNull();
  const listed = await laptop.from('user_sessions').select('is_active').eq('id', session_id);
  expect(listed.data).toEqual([{ is_active: false }]);
});

test('everywhere else includes sessions that never registered', async () => {
  const { phone, laptop } = await signedInTwice();
  expect(await askFunctions(phone)).toEqual(ANSWERED);
  expect(await laptop.rpc('revoke_other_devices')).toMatchObject({ data: 1, error: null });
  expect(await askFunctions(phone)).toEqual(REFUSED);
  expect((await phone.auth.refreshSession()).error).not.toBeNull();
  expect(await askFunctions(laptop)).toEqual(ANSWERED);
});

test('who signs out shows as inactive, and their access token gets nothing', async () => {
  const { user, phone, laptop } = await signedInTwice();
  await register(phone, 'my phone');
  const token = await tokenOf(phone);
  expect((await phone.auth.signOut({ scope: 'local' })).error).toBeNull();
  const listed = await laptop.from('user_sessions').select('device_name, is_active');
  expect(listed.data).toEqual([{ device_name: 'my phone', is_active: false }]);
  const answer = await fetch(`${env.FUNCTIONS_URL}/ai/v1/models`, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(401);
  expect((await serviceClient().auth.admin.deleteUser(user.id)).error).toBeNull();
  expect(await sql('select from public.user_sessions where user_id = $1', [user.id])).toEqual([]);
});

describe('functions name the session of the token they verified', () => {
  const pool = poolOf();
  afterAll(() => pool.end());

  test.each(['over their own connections', 'over PostgREST'])('%s', async (way) => {
    const { user, phone, laptop } = await signedInTwice();
    await register(phone, 'my phone');
    const session = await sessionOf(phone);
    await laptop.rpc('revoke_device', { session_id: session });
    const call = async (headers: Record<string, string>) => {
      const args = { user_id: user.id, model: 'no-such-model', input_tokens: 1 };
      const isApi = way === 'over PostgREST';
      const { error } = isApi
        ? await overApi('admit_ai_call', args, headers)
        : await pool.call('admit_ai_call', args, headers);
      return error?.message ?? 'ok';
    };
    expect(await call({ 'x-session-id': session })).toBe('session_revoked');
    expect(await call({ 'x-session-id': await sessionOf(laptop) })).toBe('ok');
    expect(await call({ 'x-session-id': 'nonsense' })).toBe('ok');
    expect(await call({})).toBe('ok');
  });
});

test('rows too are refused at once where PostgREST asks before each request', async () => {
  const { phone, laptop } = await signedInTwice();
  await register(phone, 'my phone');
  await laptop.rpc('revoke_device', { session_id: await sessionOf(phone) });
  expect(await phone.from('users').select('id')).toMatchObject({ status: 200 });
  const database = pg.escapeIdentifier(new URL(urls.database).pathname.slice(1));
  const settings = `alter role authenticator in database ${database}`;
  try {
    await adminPool.query(`${settings} set pgrst.db_pre_request = 'public.check_session'`);
    await adminPool.query(`notify pgrst, 'reload config'`);
    await expect.poll(() => phone.from('users').select('id'), { timeout: 20_000 }).toMatchObject(REVOKED);
    expect(await laptop.from('users').select('id')).toMatchObject({ status: 200 });
    expect(await anonClient().rpc('list_payment_products')).toMatchObject({ status: 200 });
    expect(await serviceClient().from('users').select('id').limit(1)).toMatchObject({ status: 200 });
  } finally {
    await adminPool.query(`${settings} reset pgrst.db_pre_request`);
    await adminPool.query(`notify pgrst, 'reload config'`);
  }
});

/** So many sessions of an account, straight in Auth's table. */
async function newSessions(account: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await adminPool.query(
    `insert into auth.sessions (id, user_id, created_at) select id, $2, now() from unnest($1::uuid[]) id`,
    [ids, account],
  );
  return ids;
}

/** A statement of a person who comes by a session. */
const by = (account: string, session: string | undefined, statement: string): string =>
  `select set_config('request.jwt.claims', '${JSON.stringify({ role: 'authenticated', sub: account, session_id: session })}', true);
   ${statement}`;

describe('at once', () => {
  test('a session that registers many times has one row, and many sessions no more than a hundred', async () => {
    const account = await newAccount(3);
    const [again, ...others] = await newSessions(account, 121);
    await sql(`insert into public.user_sessions (id, user_id) select id, $2 from unnest($1::uuid[]) id`, [
      others.slice(0, 95),
      account,
    ]);
    const callers = await openCallers(20, 'authenticated');
    const sessions = [...others.slice(95), ...Array.from({ length: 10 }, () => again)];
    const outcomes = await callAtOnce(
      sessions.map((session, number) => ({
        by: callers[number % callers.length] as pg.Client,
        statement: by(account, session, `select (public.register_device('d', 'web')).id`),
      })),
    );
    await hangUp(callers);
    expect(tally(outcomes)).toEqual({ ok: sessions.length });
    expect(rowsOf(outcomes).map(({ id }) => id)).toEqual(sessions);
    const [count] = await sql(
      `select count(*)::integer as all, count(*) filter (where id = $2)::integer as again
       from public.user_sessions where user_id = $1`,
      [account, again],
    );
    expect(count).toEqual({ all: 100, again: 1 });
  });

  test('of two sessions that end each other one is left', async () => {
    const account = await newAccount(3);
    const sessions = await newSessions(account, 20);
    const pairs = Array.from({ length: 10 }, (_, pair) => sessions.slice(2 * pair, 2 * pair + 2));
    // Long unused: each call would note its own use first.
    await sql(
      `insert into public.user_sessions (id, user_id, last_used_at) select id, $2, now() - interval '1 day' from unnest($1::uuid[]) id`,
      [sessions, account],
    );
    const callers = await openCallers(20, 'authenticated');
    const calls = pairs.flatMap(([one, two]) => [
      by(account, one, `select public.revoke_device('${two}')`),
      by(account, two, `select public.revoke_device('${one}')`),
    ]);
    const outcomes = await callAtOnce(
      calls.map((statement, number) => ({ by: callers[number % callers.length] as pg.Client, statement })),
    );
    await hangUp(callers);
    expect(tally(outcomes)).toEqual({ ok: 10, 'PT401 session_revoked': 10 });
    const [left] = await sql(`select count(*)::integer as count from auth.sessions where user_id = $1`, [account]);
    expect(left?.count).toBe(10);
  });

  test('a call that waits for its wallet is refused when its session ends meanwhile; one that runs is finished', async () => {
    const account = await newAccount(3);
    const [phone = '', laptop] = await newSessions(account, 2);
    await sql(`insert into public.user_sessions (id, user_id) values ($1, $2)`, [phone, account]);
    const [holder, caller, person] = [
      await sqlAs('postgres'),
      await sqlAs('service_role'),
      await sqlAs('authenticated', { sub: account, session_id: laptop }),
    ];
    try {
      await holder.query('begin');
      await holder.query('select from public.credit_wallets where workspace_id = $1 for update', [account]);
      await caller.query(`select set_config('request.headers', $1, false)`, [
        JSON.stringify({ 'x-session-id': phone }),
      ]);
      const call = caller.query(`select public.admit_ai_call($1, 'no-such-model', 1)`, [account]);
      const refused = expect(call).rejects.toMatchObject({ code: 'PT401', message: 'session_revoked' });
      await untilBlocked(caller);
      await person.query('select public.revoke_device($1)', [phone]);
      await holder.query('rollback');
      await refused;
      // What is finished asks for no session.
      const model = `devices-${randomUUID()}`;
      await sql(
        `insert into public.ai_models (model, display_name, upstream_model, max_output_tokens) values ($1, 'M', 'm', 10)`,
        [model],
      );
      await sql(`select private.set_model_price($1, '{"input": 0, "output": 0}', '2020-01-01')`, [model]);
      await caller.query(`select set_config('request.headers', $1, false)`, [
        JSON.stringify({ 'x-session-id': laptop }),
      ]);
      const { rows } = await caller.query(`select public.admit_ai_call($1, $2, 1) ->> 'hold_id' as hold`, [
        account,
        model,
      ]);
      await person.query('select public.revoke_device($1)', [laptop]).catch(() => undefined);
      await adminPool.query('delete from auth.sessions where user_id = $1', [account]);
      const finished = await caller.query(`select public.finish_ai_call($1, 'success', 1, 0, 1) as ended`, [
        rows[0].hold,
      ]);
      expect(finished.rows).toHaveLength(1);
    } finally {
      await Promise.all([holder, caller, person].map((client) => client.end()));
    }
  });
});
