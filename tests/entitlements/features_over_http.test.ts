/** Features as an application meets them: over supabase-js, and as answers of function `ai`. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { AI_URL, newCaller, newModel, simulate } from '../ai/helpers.ts';
import { newUser, serviceClient } from '../support/stack.ts';

const service = serviceClient();

async function give(id: string, feature_code: string, row: object): Promise<void> {
  const { error } = await service
    .from('workspace_features')
    .upsert({ workspace_id: id, feature_code, reason: 'a test', ...row });
  if (error) throw error;
}

async function ask(token: string, model: string): Promise<Response> {
  return fetch(`${AI_URL}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ model, messages: simulate({}) }),
  });
}

test('a backend uses and gives back, a person looks', async () => {
  const user = await newUser();
  const feature_code = `export_${randomUUID().replaceAll('-', '')}`;
  await service.from('features').insert({ feature_code, name: 'Exports', unit: 'file' });
  await service.from('plan_features').insert({ plan: 'free', feature_code, feature_limit: 5 });

  const { data: use } = await service.rpc('consume_feature', { feature_code, quantity: 2.5, user_id: user.id });
  expect(use).toMatchObject({ allowed: true, used: 2.5, limit: 5, remaining: 2.5, id: expect.any(Number) });
  const { data: back } = await service.rpc('release_feature', {
    usage_record_id: (use as { id: number }).id,
    quantity: 1,
  });
  expect(back).toMatchObject({ released: 1, used: 1.5, remaining: 3.5 });
  const { data: look } = await user.client.rpc('check_feature', { feature_code, quantity: 4 });
  expect(look).toMatchObject({ allowed: false, code: 'limit_reached', used: 1.5, remaining: 3.5 });
  const { data: records } = await user.client.from('usage_records').select('quantity').order('id');
  expect(records).toEqual([{ quantity: 2.5 }, { quantity: -1 }]);
  expect((await user.client.rpc('consume_feature', { feature_code, quantity: 1, user_id: user.id })).error?.code).toBe(
    '42501',
  );
});

test('an AI call counts itself, and is refused when its feature is used up or off', async () => {
  const user = await newCaller();
  const model = await newModel({ credits_per_request: 0 });
  await give(user.id, 'api_call', { feature_limit: 1 });
  expect((await ask(user.accessToken, model)).status).toBe(200);
  const { data: used } = await user.client.from('feature_usage').select('feature_code, used').order('feature_code');
  expect(used).toEqual([
    { feature_code: 'api_call', used: 1 },
    { feature_code: 'token', used: expect.any(Number) },
  ]);

  const second = await ask(user.accessToken, model);
  expect([second.status, await second.json()]).toMatchObject([429, { error: { code: 'limit_reached' } }]);
  expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
  await give(user.id, 'api_call', { is_enabled: false });
  const third = await ask(user.accessToken, model);
  expect([third.status, await third.json()]).toMatchObject([403, { error: { code: 'feature_not_in_plan' } }]);
  await give(user.id, 'api_call', { feature_limit: null, is_enabled: true });
  await give(user.id, 'scene:text_chat', { is_enabled: false });
  expect((await ask(user.accessToken, model)).status).toBe(403);
});
