/** A frontend's view, through supabase-js: what a new user sees, and what neither they nor an anonymous client may do. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { anonClient, newUser, serviceClient, type TestUser } from '../support/stack.ts';

const CREDIT_FUNCTIONS = [
  'credit_user_credits_transaction',
  'debit_user_credits_transaction',
  'refund_user_credits',
  'clawback_credits',
  'hold_credits',
  'settle_credit_hold',
  'release_credit_hold',
  'extend_credit_hold',
  'expire_credits',
  'verify_credits',
  'admit_ai_call',
  'finish_ai_call',
] as const;

/** Arguments that fit, so that nothing but the caller's rights can be the reason for a refusal. */
function argumentsOf(name: (typeof CREDIT_FUNCTIONS)[number], user: TestUser): never {
  const id = randomUUID();
  const account = { user_id: user.id, amount: 1, reason: 'manual' };
  const fitting: Record<string, object> = {
    clawback_credits: { grant_id: id, amount: 1, reason: 'manual' },
    settle_credit_hold: { hold_id: id, amount: 1 },
    release_credit_hold: { hold_id: id },
    extend_credit_hold: { hold_id: id },
    expire_credits: {},
    verify_credits: {},
    admit_ai_call: { user_id: user.id, model: 'any', input_tokens: 1 },
    finish_ai_call: { hold_id: id, ending: 'success' },
  };
  return (fitting[name] ?? account) as never;
}

test('a sign-up sees its own account, its 3 credits, its ledger, and nobody else', async () => {
  const stranger = await newUser();
  const client = anonClient();
  const email = `ana-${randomUUID()}@example.test`;
  const { data, error } = await client.auth.signUp({
    email,
    password: 'correct horse',
    options: { data: { full_name: 'Ana' } },
  });
  expect(error).toBeNull();
  const id = data.user?.id;

  const users = await client.from('users').select('id, email, full_name, credits_balance, role, subscription_plan');
  const own = { id, email, full_name: 'Ana', credits_balance: 3, role: 'user', subscription_plan: 'free' };
  expect(users.data).toEqual([own]);
  expect((await client.from('workspaces').select('id')).data).toEqual([{ id }]);
  expect((await client.from('credit_wallets').select('workspace_id, credits_balance')).data).toEqual([
    { workspace_id: id, credits_balance: 3 },
  ]);
  expect((await client.from('credit_grants').select('amount, kind')).data).toEqual([{ amount: 3, kind: 'free' }]);
  expect((await client.from('credit_transactions').select('amount, reason, transaction_type')).data).toEqual([
    { amount: 3, reason: 'signup', transaction_type: 'credit' },
  ]);
  expect((await client.from('users').select().eq('id', stranger.id)).data).toEqual([]);
  expect((await client.from('credit_transactions').select().eq('workspace_id', stranger.id)).data).toEqual([]);
});

describe('no client calls a credit function', () => {
  let user: TestUser;
  beforeAll(async () => {
    user = await newUser();
  });

  test.each(CREDIT_FUNCTIONS)('%s: anonymous 401, signed in 403, both 42501', async (name) => {
    const args = argumentsOf(name, user);
    expect(await anonClient().rpc(name, args)).toMatchObject({ status: 401, error: { code: '42501' } });
    expect(await user.client.rpc(name, args)).toMatchObject({ status: 403, error: { code: '42501' } });
  });

  test('and the same calls reach the service role', async () => {
    for (const name of CREDIT_FUNCTIONS) {
      const { error } = await serviceClient().rpc(name, argumentsOf(name, user));
      expect(error?.code ?? 'none').toMatch(/^(none|PT404)$/); // PT404: the made-up hold or grant
    }
  });
});

test('a client writes no ledger, neither its own nor others', async () => {
  const user = await newUser();
  const refused = { error: { code: '42501' } };
  expect(await user.client.from('users').update({ credits_balance: 99 }).eq('id', user.id)).toMatchObject(refused);
  expect(await user.client.from('users').update({ role: 'admin' }).eq('id', user.id)).toMatchObject(refused);
  expect(
    await user.client.from('credit_wallets').update({ credits_balance: 99 }).eq('workspace_id', user.id),
  ).toMatchObject(refused);
  expect(
    await user.client.from('credit_wallets').update({ overdraft_limit: 99 }).eq('workspace_id', user.id),
  ).toMatchObject(refused);
  expect(await user.client.from('credit_transactions').delete().eq('workspace_id', user.id)).toMatchObject(refused);
  expect(await user.client.from('ai_usage_logs').delete().eq('workspace_id', user.id)).toMatchObject(refused);
  expect(await serviceClient().from('credit_transactions').delete().eq('workspace_id', user.id)).toMatchObject(refused);
  expect((await user.client.from('users').update({ full_name: 'Ben' }).eq('id', user.id)).error).toBeNull();
});
