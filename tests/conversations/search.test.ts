/** Search as a frontend has it: supabase-js, as each actor. */
import { expect, test } from 'vitest';
import { anonClient, newUser, serviceClient, type TestUser } from '../support/stack.ts';
import { join, newConversation, newTeam } from './helpers.ts';

/** What a person's search finds, with marks. */
async function found(user: TestUser, query: string): Promise<string[]> {
  const { data, error } = await user.client.rpc('search_messages', { query });
  if (error) throw error;
  return data
    .map(({ snippet }) => (snippet ?? []).map(({ text, is_match }) => (is_match ? `[${text}]` : text)).join(''))
    .sort();
}

test('messages are found in every script by who can read them, a page at a time', async () => {
  const [author, member, stranger] = await Promise.all([newUser(), newUser(), newUser()]);
  const team = await newTeam(author);
  await join(team, member);
  const shared = await newConversation(author, { workspace_id: team, is_shared: true });
  const own = await newConversation(author);
  const says = async (conversation_id: string, content: string) =>
    expect((await author.client.from('messages').insert({ conversation_id, content })).error).toBeNull();
  await says(shared, 'Our databases were slow');
  await says(own, 'One database');
  await says(own, '用户的数据库');
  await says(own, 'なかなおり');
  await says(shared, 'おなか');

  expect(await found(author, 'database')).toEqual(['One [database]', 'Our [databases] were slow']);
  expect(await found(member, 'database')).toEqual(['Our [databases] were slow']);
  expect(await found(stranger, 'database')).toEqual([]);
  expect(await found(author, '用户')).toEqual(['[用户]的数据库']);
  expect(await found(author, '数据库')).toEqual(['用户的[数据库]']);
  expect(await found(author, 'かな')).toEqual(['な[かな]おり']);
  expect(await found(member, 'かな')).toEqual([]);

  const first = await author.client.rpc('search_messages', { query: 'database', max_rows: 1 });
  const second = await author.client.rpc('search_messages', {
    query: 'database',
    max_rows: 1,
    after: first.data?.[0]?.cursor ?? '',
  });
  const both = [first, second].map(({ data }) => data?.[0]?.conversation_id);
  expect(both.sort()).toEqual([shared, own].sort());

  for (const client of [anonClient(), serviceClient()])
    expect((await client.rpc('search_messages', { query: 'database' })).error?.code).toBe('42501');
  const bad = await author.client.rpc('search_messages', { query: 'database', after: 'x' });
  expect([bad.status, bad.error?.message]).toEqual([400, 'invalid_request']);
});
