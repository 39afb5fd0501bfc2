/** Calls of function `ai` for a team: its wallet pays, its members' limits hold. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { AI_URL, newKey, newModel, simulate } from '../ai/helpers.ts';
import { runs } from '../support/runs.ts';
import { env, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { driftOf, walletOf } from '../support/wallets.ts';

async function call(token: string, model: string, workspace?: string, content = 'Hello') {
  const response = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      ...(workspace === undefined ? {} : { 'x-workspace-id': workspace }),
    },
    body: JSON.stringify({ model, messages: [{ role: 'user', content }] }),
  });
  const body = (await response.json()) as { error?: { code: string; param: string | null } };
  return { status: response.status, code: body.error?.code };
}

/** A team of an owner and a member, with credits and a plan without limits worth a word. */
async function newTeam(credits: number): Promise<{ id: string; owner: TestUser; member: TestUser }> {
  const [owner, member] = await Promise.all([newUser(), newUser()]);
  const made = await owner.client.rpc('create_workspace', { name: 'Team' });
  const { id } = made.data as { id: string };
  const invited = await owner.client.rpc('invite_member', { workspace_id: id, email: member.email });
  const { token } = invited.data as { token: string };
  expect((await member.client.rpc('accept_invitation', { token })).error).toBeNull();
  await serviceClient().rpc('credit_user_credits_transaction', {
    user_id: owner.id,
    workspace_id: id,
    amount: credits,
    reason: 'manual',
  });
  await sql(`update public.workspaces set plan = 'enterprise' where id = $1`, [id]);
  return { id, owner, member };
}

test('the wallet that a call names pays for it', async () => {
  const { id, owner, member } = await newTeam(100);
  const model = await newModel({ credits_per_request: 1 });
  expect(await call(member.accessToken, model, id)).toMatchObject({ status: 200 });
  expect(await walletOf(id)).toMatchObject({ balance: 99 });
  expect(await walletOf(member.id)).toMatchObject({ balance: 3 });
  const { key } = await newKey(owner, { workspace_id: id });
  expect(await call(key, model)).toMatchObject({ status: 200 });
  expect(await walletOf(id)).toMatchObject({ balance: 98 });
  // A key is for its workspace alone, and nobody calls for a team of others.
  expect(await call(key, model, owner.id)).toMatchObject({ status: 403, code: 'forbidden' });
  const stranger = await newUser();
  expect(await call(stranger.accessToken, model, id)).toMatchObject({ status: 404, code: 'not_found' });
  expect(await call(stranger.accessToken, model, randomUUID())).toMatchObject({ status: 404, code: 'not_found' });
  expect(await call(stranger.accessToken, model, 'x')).toMatchObject({ status: 400, code: 'invalid_request' });
  expect((await member.client.rpc('create_api_key', { name: 'k', workspace_id: id })).error?.message).toBe('not_found');

  const seen = await member.client.from('ai_usage_logs').select('user_id').eq('workspace_id', id);
  expect(seen.data).toEqual([{ user_id: member.id }]);
  const all = await owner.client.from('ai_usage_logs').select('user_id').eq('workspace_id', id);
  expect(all.data).toHaveLength(2);
  const report = await owner.client.rpc('usage_report', {
    by: 'user',
    from: '2020-01-01',
    to: '2100-01-01',
    workspace_id: id,
  });
  expect(report.data?.map(({ name, credits }) => ({ name, credits }))).toEqual(
    expect.arrayContaining([
      { name: member.id, credits: 1 },
      { name: owner.id, credits: 1 },
    ]),
  );
});

test('a member hears what a limit of theirs leaves, and no balance of the team', async () => {
  const { id, owner, member } = await newTeam(100);
  const model = await newModel({ credits_per_request: 1 });
  const ask = async ({ accessToken }: TestUser, stream = false) => {
    const response = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'x-workspace-id': id },
      body: JSON.stringify({ model, messages: simulate({ text: 'hi' }), stream }),
    });
    const comment = (await response.text()).match(/^: credits (.*)$/m)?.[1];
    return comment ? JSON.parse(comment) : response.headers.get('x-credits-available');
  };
  expect(await ask(owner)).toBe('99');
  expect(await ask(owner, true)).toMatchObject({ credits_charged: 1, credits_available: 98 });
  expect(await ask(member)).toBeNull();
  expect(await ask(member, true)).toEqual({ finished: true, credits_charged: 1 });
  await owner.client.rpc('set_member_limit', { workspace_id: id, user_id: member.id, credit_limit: 10 });
  expect(await ask(member)).toBe('7');
  expect(await ask(member, true)).toEqual({ finished: true, credits_charged: 1, credits_available: 6 });
});

test("a debit over REST beyond a member's limit says when to try again, where waiting helps", async () => {
  const { id, owner, member } = await newTeam(100);
  const debit = async (amount: number) => {
    const response = await fetch(`${env.API_URL}/rest/v1/rpc/debit_user_credits_transaction`, {
      method: 'POST',
      headers: { apikey: env.SECRET_KEY, 'content-type': 'application/json' },
      body: JSON.stringify({ user_id: member.id, amount, reason: 'manual', workspace_id: id }),
    });
    const { message } = (await response.json()) as { message: string };
    return [response.status, message, response.headers.get('retry-after')];
  };
  const limit = { workspace_id: id, user_id: member.id };
  await owner.client.rpc('set_member_limit', { ...limit, period_credit_limit: 5, limit_period: 'day' });
  const [status, message, wait] = await debit(6);
  expect([status, message]).toEqual([429, 'limit_reached']);
  expect(Number(wait)).toBeGreaterThan(0);
  expect(Number(wait)).toBeLessThanOrEqual(86_400);
  await owner.client.rpc('set_member_limit', { ...limit, credit_limit: 5 });
  expect(await debit(6)).toEqual([429, 'limit_reached', null]);
});

test('an answer that is kept under an Idempotency-Key is for who asked, not for the team', async () => {
  const { id, owner, member } = await newTeam(100);
  await sql(`update public.workspaces set ai_log_content = 'full' where id = $1`, [id]);
  const model = await newModel({ credits_per_request: 1 });
  const body = JSON.stringify({ model, messages: simulate({ text: 'a secret' }) });
  const ask = async ({ accessToken }: TestUser) => {
    const response = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'x-workspace-id': id, 'idempotency-key': 'k' },
      body,
    });
    return { status: response.status, retry: response.headers.get('x-should-retry'), text: await response.text() };
  };
  const first = await ask(owner);
  const others = await ask(member);
  expect(others).toMatchObject({ status: 409, retry: 'false' });
  expect(JSON.parse(others.text).error).toMatchObject({ code: 'idempotency_conflict', param: 'idempotency-key' });
  expect(await ask(owner)).toEqual(first);
  expect(first.text).toContain('a secret');
  expect(await walletOf(id)).toMatchObject({ balance: 99 });
});

test('parallel calls of a member with a limit of 10: ten are paid', { timeout: 60_000 }, async () => {
  const { id, owner, member } = await newTeam(1000);
  const model = await newModel({ credits_per_request: 1 });
  const limited = { workspace_id: id, user_id: member.id, period_credit_limit: 10, limit_period: 'day' as const };
  expect((await owner.client.rpc('set_member_limit', limited)).error).toBeNull();
  const answers = await Promise.all(Array.from({ length: runs(30) }, () => call(member.accessToken, model, id)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
  expect(answers.filter(({ status }) => status !== 200).every(({ code }) => code === 'limit_reached')).toBe(true);
  expect(await walletOf(id)).toMatchObject({ balance: 990, held: 0 });
  expect(await driftOf([id])).toEqual([]);
});

/** A streamed call, read to its end: the status, and the code of the error that it ended with, if it did. */
async function streamed(token: string, model: string, workspace: string, directive: object) {
  const response = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-workspace-id': workspace },
    body: JSON.stringify({ model, messages: simulate(directive), stream: true }),
  });
  const text = await response.text();
  return { status: response.status, code: text.match(/"code":\s*"(\w+)"/)?.[1], isDone: text.includes('[DONE]') };
}

/** Waits until a team has so many calls under way. */
async function untilUnderWay(team: string, count: number): Promise<void> {
  for (;;) {
    const [row] = await sql<{ count: number }>(
      `select count(*)::integer as count from private.ai_calls c join public.credit_holds h on h.id = c.hold_id
       where h.workspace_id = $1 and h.state = 'open'`,
      [team],
    );
    if ((row?.count ?? 0) >= count) return;
  }
}

test('a team is deleted while calls for it run', { timeout: 60_000 }, async () => {
  const model = await newModel({ credits_per_request: 1 });
  const teams = await Promise.all(Array.from({ length: 4 }, () => newTeam(100)));
  const [slow] = simulate({ delay_ms: 5000 });
  const dying = await Promise.all(
    teams.map(async ({ id, owner, member }) => {
      const whole = [owner, member].map(({ accessToken }) => call(accessToken, model, id, slow?.content));
      const parts = [owner, member].map(({ accessToken }) =>
        streamed(accessToken, model, id, { chunks: 50, chunk_delay_ms: 100 }),
      );
      await untilUnderWay(id, 4);
      // Others begin while it goes.
      const late = [owner, member].map(({ accessToken }) => call(accessToken, model, id));
      const gone = owner.client.rpc('delete_workspace', { workspace_id: id });
      return {
        gone: await gone,
        whole: await Promise.all(whole),
        parts: await Promise.all(parts),
        late: await Promise.all(late),
      };
    }),
  );
  for (const { gone, whole, parts, late } of dying) {
    expect(gone.error).toBeNull();
    // An answer that nobody can be charged for any more is none; a stream was on its way.
    for (const answer of whole) expect(answer).toEqual({ status: 404, code: 'not_found' });
    for (const answer of parts) expect(answer).toEqual({ status: 200, code: 'not_found', isDone: false });
    for (const answer of late) expect(['200 ', '404 not_found']).toContain(`${answer.status} ${answer.code ?? ''}`);
  }
  const ids = teams.map(({ id }) => id);
  const left = await sql(
    `select workspace_id from public.credit_holds where workspace_id = any ($1::uuid[])
     union all select workspace_id from public.ai_usage_logs where workspace_id = any ($1::uuid[])
     union all select workspace_id from public.ai_usage_statistics where workspace_id = any ($1::uuid[])
     union all select workspace_id from public.credit_wallets where workspace_id = any ($1::uuid[])`,
    [ids],
  );
  expect(left).toEqual([]);
  const people = teams.flatMap(({ owner, member }) => [owner.id, member.id]);
  expect(await driftOf(people)).toEqual([]);
  // Nobody's own wallet paid for it, and they go on calling.
  for (const { owner } of teams) expect(await walletOf(owner.id)).toMatchObject({ balance: 3, held: 0 });
  expect(await call(teams[0]?.owner.accessToken ?? '', model)).toMatchObject({ status: 200 });
});

test('a call whose body names a workspace is refused: it would be another’s who pays', async () => {
  const user = await newUser();
  for (const [path, request] of [
    ['chat/completions', { messages: [{ role: 'user', content: 'Hello' }] }],
    ['embeddings', { input: 'Hello' }],
    ['images/generations', { prompt: 'Hello' }],
  ] as const) {
    const response = await fetch(`${AI_URL}/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.accessToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', ...request, workspace_id: randomUUID() }),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_request', param: 'workspace_id' } });
  }
});
