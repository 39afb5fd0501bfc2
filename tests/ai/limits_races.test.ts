/** Limits under a hundred calls at once. */
import { expect, test } from 'vitest';
import { newUser, sql } from '../support/stack.ts';
import { AI_URL, logsOf, newCaller, newKey, newModel, simulate, walletOf } from './helpers.ts';

async function callAtOnce(count: number, token: string, model: string): Promise<number[]> {
  const calls = Array.from({ length: count }, async () => {
    const answer = await fetch(`${AI_URL}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ model, messages: simulate({ delay_ms: 50 }) }),
    });
    await answer.text();
    return answer.status;
  });
  return Promise.all(calls);
}

const count = (statuses: number[], wanted: number) => statuses.filter((status) => status === wanted).length;

test('a key with a budget for ten makes ten calls', async () => {
  const user = await newCaller();
  await sql(`select public.credit_user_credits_transaction($1, 100, 'manual')`, [user.id]);
  const model = await newModel({ credits_per_request: 1 });
  const made = await newKey(user, { budget: 10 });
  const statuses = await callAtOnce(100, made.key, model);
  expect([count(statuses, 200), count(statuses, 429)]).toEqual([10, 90]);
  const { data } = await user.client.from('api_keys').select('credits_used, last_used_at').eq('id', made.id).single();
  expect(data).toMatchObject({ credits_used: 10, last_used_at: expect.any(String) });
  expect(await walletOf(user)).toMatchObject({ spent: 10, held: 0, drift: 0 });
});

test('a plan that allows ten calls a minute lets ten begin in each', async () => {
  const user = await newUser();
  const model = await newModel({ credits_per_request: 0, scene: 'other' });
  const statuses = await callAtOnce(100, user.accessToken, model);
  expect(count(statuses, 200) + count(statuses, 429)).toBe(100);
  const logs = await logsOf(user);
  const begun = logs
    .filter(({ status }) => status === 'success')
    .map((log) => new Date((log.created_at as Date).getTime() - Number(log.duration)).toISOString().slice(0, 16));
  const minutes = new Map(begun.map((minute) => [minute, begun.filter((other) => other === minute).length]));
  expect([...minutes.values()].every((calls) => calls <= 10)).toBe(true);
  expect(begun.length).toBeGreaterThanOrEqual(10);
  // Of those that were refused a minute's first is logged, and the others are counted in its row.
  const refused = logs.filter(({ error_code }) => error_code === 'rate_limited');
  expect(refused.length).toBeLessThanOrEqual(minutes.size + 1);
  expect(refused.reduce((sum, { requests }) => sum + Number(requests), 0)).toBe(100 - begun.length);
});

test('the ten messages that are left of a month of a yearly subscription are ten, and the answer says when there are more', async () => {
  const user = await newUser();
  await sql(`update public.workspaces set plan = 'basic' where id = $1`, [user.id]);
  await sql(`insert into private.plan_periods values ($1, now() - interval '40 days', now() + interval '325 days')`, [
    user.id,
  ]);
  await sql(
    `insert into private.ai_request_counts (workspace_id, minute_started_at, period_start, messages)
     select $1, now(), period_start, 90 from private.feature_period($1, now(), by_month => true)`,
    [user.id],
  );
  const model = await newModel({ credits_per_request: 0 });
  const statuses = await callAtOnce(50, user.accessToken, model);
  expect([count(statuses, 200), count(statuses, 429)]).toEqual([10, 40]);
  const refused = await fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ model, messages: simulate({}) }),
  });
  expect(await refused.json()).toMatchObject({ error: { code: 'limit_reached', type: 'rate_limit_error' } });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(86_400);
});
