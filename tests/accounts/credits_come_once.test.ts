/** The 3 credits of a new account through supabase-js: once a person, however they come, go and spell their address. */
import { randomUUID } from 'node:crypto';
import type { SupabaseClient } from '@supabase/supabase-js';
import { expect, test } from 'vitest';
import type { Database } from '../../supabase/functions/_shared/database.types.ts';
import { anonClient, serviceClient } from '../support/stack.ts';

const password = randomUUID();

/** Spellings of one new mailbox, at a provider that ignores dots, tags and case. */
function newMailbox(): { plain: string; dotted: string; tagged: string; shouted: string; renamed: string } {
  const name = `p${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  return {
    plain: `${name}@gmail.com`,
    dotted: `${name.slice(0, 4)}.${name.slice(4)}@gmail.com`,
    tagged: `${name}+more@gmail.com`,
    shouted: `${name.toUpperCase()}@GMail.com`,
    renamed: `${name}@googlemail.com`,
  };
}

/** Signs up; the client is signed in afterwards. */
async function signUp(email: string): Promise<SupabaseClient<Database>> {
  const client = anonClient();
  const { error } = await client.auth.signUp({ email, password });
  if (error) throw error;
  return client;
}

/** Deletes the account that a client is signed in as. */
async function deleteAccount(client: SupabaseClient<Database>): Promise<void> {
  const { data } = await client.auth.getUser();
  const { error } = await serviceClient().auth.admin.deleteUser(data.user?.id ?? '');
  if (error) throw error;
}

/** The one account a client sees, with its ledger: what people see of their own credits. */
async function creditsOf(client: SupabaseClient<Database>): Promise<{ balance: number; entries: string[] }> {
  const user = await client.from('users').select('credits_balance, credits_total, credits_spent').single();
  const entries = await client.from('credit_transactions').select('amount, reason').order('id');
  if (user.error ?? entries.error) throw user.error ?? entries.error;
  const { credits_balance, credits_total, credits_spent } = user.data;
  expect([credits_total, credits_spent]).toEqual([credits_balance, 0]);
  return { balance: credits_balance, entries: (entries.data ?? []).map((entry) => `${entry.reason} ${entry.amount}`) };
}

const GRANTED = { balance: 3, entries: ['signup 3'] };
const NOTHING = { balance: 0, entries: [] };

test('a new account starts with 3 credits', async () => {
  expect(await creditsOf(await signUp(newMailbox().plain))).toEqual(GRANTED);
});

test('an anonymous account gets them when it becomes a real one, and not before', async () => {
  const client = anonClient();
  expect((await client.auth.signInAnonymously()).error).toBeNull();
  expect(await creditsOf(client)).toEqual(NOTHING);

  const { plain, tagged } = newMailbox();
  expect((await client.auth.updateUser({ email: plain, password })).error).toBeNull();
  expect(await creditsOf(client)).toEqual(GRANTED);

  // Once converted, another address brings no more.
  expect((await client.auth.updateUser({ email: tagged })).error).toBeNull();
  expect((await client.auth.updateUser({ email: newMailbox().plain })).error).toBeNull();
  expect(await creditsOf(client)).toEqual(GRANTED);
});

test.each(['plain', 'dotted', 'tagged', 'shouted', 'renamed'] as const)(
  'after deleting the account a sign-up with the same address, %s, brings none',
  async (spelling) => {
    const mailbox = newMailbox();
    const first = await signUp(mailbox.plain);
    expect(await creditsOf(first)).toEqual(GRANTED);
    await deleteAccount(first);
    expect(await creditsOf(await signUp(mailbox[spelling]))).toEqual(NOTHING);
  },
);

test('a second account of the same person beside the first brings none', async () => {
  const mailbox = newMailbox();
  await signUp(mailbox.dotted);
  expect(await creditsOf(await signUp(mailbox.tagged))).toEqual(NOTHING);
});

test('an anonymous account converted to an address that had them gets none', async () => {
  const mailbox = newMailbox();
  await deleteAccount(await signUp(mailbox.plain));
  const client = anonClient();
  await client.auth.signInAnonymously();
  expect((await client.auth.updateUser({ email: mailbox.shouted, password })).error).toBeNull();
  expect(await creditsOf(client)).toEqual(NOTHING);
});

test('an address that an account left for another has had them too', async () => {
  const { plain, dotted } = newMailbox();
  const first = await signUp(plain);
  expect((await first.auth.updateUser({ email: newMailbox().plain })).error).toBeNull();
  expect(await creditsOf(await signUp(dotted))).toEqual(NOTHING);
});

test('where the provider tells dots and tags apart they are different people', async () => {
  const name = `p${randomUUID().slice(0, 8)}`;
  expect(await creditsOf(await signUp(`${name}@example.test`))).toEqual(GRANTED);
  expect(await creditsOf(await signUp(`${name}+more@example.test`))).toEqual(GRANTED);
});
