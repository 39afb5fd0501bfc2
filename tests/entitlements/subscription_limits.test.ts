/** What a frontend and a backend ask and tell of a plan's messages, through supabase-js. */
import { expect, test } from 'vitest';
import { newUser, serviceClient, sql } from '../support/stack.ts';

const service = serviceClient();
const COLUMNS = 'id, monthly_message_count, monthly_reset_date, total_message_count, last_active_at';

test('messages are told, asked for and read as columns of users, by their person alone', async () => {
  const [user, stranger] = [await newUser(), await newUser()];
  await sql(`insert into private.plan_periods values ($1, now() - interval '40 days', now() + interval '325 days')`, [
    user.id,
  ]);
  const [month] = await sql<{ period_end: Date }>('select period_end from private.feature_period($1, now(), true)', [
    user.id,
  ]);
  const resets = month?.period_end.getTime();
  const before = await user.client.from('users').select(COLUMNS).single();
  expect(before.data).toMatchObject({ id: user.id, monthly_message_count: 0, total_message_count: 0 });
  expect(new Date(String(before.data?.monthly_reset_date)).getTime()).toBe(resets);

  const usage = { p_user_id: user.id, p_message_count: 4, p_tokens: 100, p_cost: 0.5 };
  const told = await service.rpc('update_user_usage', usage);
  expect(told.data).toMatchObject({ action: 'message', allowed: true, plan: 'free', used: 4, limit: 10, remaining: 6 });
  const at = new Date(Date.now() - 20 * 86_400_000).toISOString();
  expect((await service.rpc('update_user_usage', { ...usage, at })).error).toBeNull();

  const after = await user.client.from('users').select(COLUMNS).single();
  expect(after.data).toMatchObject({ monthly_message_count: 4, total_message_count: 8 });
  expect(Date.parse(String(after.data?.last_active_at))).toBeGreaterThanOrEqual(
    Date.parse(String(before.data?.last_active_at)),
  );
  const limit = await user.client.rpc('check_subscription_limit', { p_user_id: user.id });
  expect(limit.data).toEqual(told.data);

  // Whoever is somebody else finds no such row, may not ask, and tells nothing.
  const found = await stranger.client.from('users').select(COLUMNS).eq('id', user.id);
  expect(found.data).toEqual([]);
  const asked = await stranger.client.rpc('check_subscription_limit', { p_user_id: user.id });
  expect([asked.status, asked.error?.message]).toEqual([403, 'forbidden']);
  expect((await user.client.rpc('update_user_usage', usage)).error?.code).toBe('42501');
});

test.each([
  [{ p_cost: 'NaN' }],
  [{ p_cost: -1 }],
  [{ p_tokens: -1 }],
  [{ p_message_count: -1 }],
  [{ p_message_count: null }],
  [{ p_message_count: 3_000_000_000 }],
])('what is no usage is invalid: %j', async (wrong) => {
  const user = await newUser();
  const usage = { p_user_id: user.id, p_message_count: 1, p_tokens: 1, p_cost: 1, ...wrong };
  const { status } = await service.rpc('update_user_usage', usage as never);
  expect(status).toBe(400);
  const [counted] = await sql('select count(*)::int as rows from private.ai_request_counts where workspace_id = $1', [
    user.id,
  ]);
  expect(counted).toEqual({ rows: 0 });
});
