/** Conversations and messages as a frontend writes them: supabase-js under row level security, as each actor. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { adminPool, anonClient, newUser, serviceClient, sql, sqlAs, type TestUser } from '../support/stack.ts';

/** A team of these people, the first of whom owns it. */
async function teamOf(...people: TestUser[]): Promise<string> {
  const id = randomUUID();
  await adminPool.query(`insert into public.workspaces (id, name) values ($1, 'Team')`, [id]);
  for (const [place, { id: person }] of people.entries())
    await adminPool.query(
      'insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, $3::public.workspace_role)',
      [id, person, place ? 'member' : 'owner'],
    );
  return id;
}

/** An answer, as the server writes it. */
async function answer(conversation: string, parent: string, content: string): Promise<string> {
  const [row] = await sql<{ id: string }>(
    `insert into public.messages (conversation_id, parent_message_id, role, content, prompt_tokens, completion_tokens, cost)
     values ($1, $2, 'assistant', $3, 10, 5, 0.01) returning id`,
    [conversation, parent, content],
  );
  return row?.id ?? '';
}

test('a conversation is begun, written in, branched, renamed, pinned, tagged, archived, shared and deleted', async () => {
  const [author, member, stranger] = await Promise.all([newUser(), newUser(), newUser()]);
  const team = await teamOf(author, member);
  const mine = author.client;

  const begun = await mine.from('conversations').insert({ workspace_id: team, title: 'Plans' }).select().single();
  expect(begun.data).toMatchObject({ user_id: author.id, title: 'Plans', message_count: 0, is_shared: false });
  const id = begun.data?.id ?? '';
  const question = { id: randomUUID(), conversation_id: id, content: 'What now?' };
  expect((await mine.from('messages').insert(question)).status).toBe(201);
  const first = await answer(id, question.id, 'Rest.');
  // The question is edited by a message beside it: the other branch stays.
  const edited = { id: randomUUID(), conversation_id: id, content: 'And tomorrow?' };
  await mine.from('messages').insert(edited);
  const second = await answer(id, edited.id, 'Work.');

  const branch = async (who: TestUser, leaf_id?: string) =>
    (await who.client.rpc('conversation_branch', { conversation_id: id, leaf_id })).data?.map(({ content }) => content);
  expect(await branch(author)).toEqual(['And tomorrow?', 'Work.']);
  expect(await branch(author, first)).toEqual(['What now?', 'Rest.']);
  expect((await mine.from('conversations').update({ current_leaf_id: first }).eq('id', id)).status).toBe(204);
  expect(await branch(author)).toEqual(['What now?', 'Rest.']);
  const summary = (who: TestUser) => who.client.from('conversation_summary').select().eq('id', id);
  expect((await summary(author)).data).toEqual([
    {
      ...{ id, user_id: author.id, title: 'Plans', message_count: 4, total_tokens: 30, total_cost: 0.02 },
      ...{ created_at: begun.data?.created_at, last_message_at: expect.any(String), is_archived: false },
      ...{ is_pinned: false, last_message_content: 'Rest.', last_message_role: 'assistant' },
      ...{ workspace_id: begun.data?.workspace_id, tags: begun.data?.tags, model: begun.data?.model, is_shared: false },
    },
  ]);

  expect((await summary(member)).data).toEqual([]);
  const changes = { title: 'Our plans', is_pinned: true, is_archived: true, is_shared: true, tags: ['a', 'b'] };
  const changed = await mine.from('conversations').update(changes).eq('id', id).select().single();
  expect(changed.data).toMatchObject(changes);
  expect((await summary(member)).data).toMatchObject([{ title: 'Our plans', last_message_content: 'Rest.' }]);
  expect(await branch(member, second)).toEqual(['And tomorrow?', 'Work.']);
  expect(await branch(stranger, second)).toEqual([]);
  expect((await summary(stranger)).data).toEqual([]);

  const write = { conversation_id: id, content: 'x' };
  for (const { client } of [member, stranger]) {
    expect((await client.from('messages').insert(write)).error?.code).toBe('42501');
    expect((await client.from('messages').update({ content: 'x' }).eq('id', question.id).select()).data).toEqual([]);
    expect((await client.from('conversations').update({ title: 'x' }).eq('id', id).select()).data).toEqual([]);
    await client.from('messages').delete().eq('id', question.id);
    await client.from('conversations').delete().eq('id', id);
  }
  expect((await anonClient().from('messages').select()).error?.code).toBe('42501');
  expect((await serviceClient().from('messages').insert(write)).error?.code).toBe('42501');
  expect((await serviceClient().from('conversation_summary').select('title').eq('id', id)).data).toEqual([
    { title: 'Our plans' },
  ]);

  // A delete hides, and returns nothing.
  expect((await mine.from('messages').delete().eq('id', question.id)).status).toBe(204);
  expect(await branch(author)).toEqual(['Rest.']);
  const gone = await mine.from('messages').delete().eq('id', first).select();
  expect(gone).toMatchObject({ error: null, data: [] });
  expect((await mine.from('messages').select('id').eq('conversation_id', id)).data).toHaveLength(2);
  expect((await summary(member)).data).toMatchObject([{ message_count: 2, last_message_content: 'Work.' }]);
  expect((await mine.from('conversations').delete().eq('id', id)).status).toBe(204);
  expect((await summary(author)).data).toEqual([]);
  expect((await mine.from('messages').select('id').eq('conversation_id', id)).data).toEqual([]);
  expect((await mine.from('messages').insert(write)).error?.code).toBe('42501');
});

test('a message that was sent before is not written twice, and an id that is taken tells nothing', async () => {
  const [author, stranger] = await Promise.all([newUser(), newUser()]);
  const [mine, theirs] = await Promise.all(
    [author, stranger].map(async ({ client }) => {
      const { data } = await client.from('conversations').insert({}).select('id').single();
      return data?.id ?? '';
    }),
  );
  const message = { id: randomUUID(), conversation_id: mine as string, content: 'a secret' };
  const once = { onConflict: 'id', ignoreDuplicates: true };
  const send = () => author.client.from('messages').upsert(message, once).select('content');
  expect((await send()).data).toEqual([{ content: 'a secret' }]);
  expect(await send()).toMatchObject({ error: null, data: [] });
  const copy = { id: message.id, conversation_id: theirs as string, content: 'x' };
  expect(await stranger.client.from('messages').upsert(copy, once).select()).toMatchObject({ error: null, data: [] });
  const refused = [
    await stranger.client.from('messages').insert(copy),
    await stranger.client.from('messages').upsert(copy).select(),
    await stranger.client.from('messages').insert({ ...copy, id: randomUUID(), parent_message_id: message.id }),
  ];
  expect(refused.map(({ status, error }) => `${status} ${error?.message}`)).toEqual([
    '409 duplicate key value violates unique constraint "messages_pkey"',
    expect.stringMatching(/^403 /),
    '404 not_found',
  ]);
  expect(JSON.stringify(refused)).not.toContain('secret');
  expect(await sql('select content from public.messages where conversation_id = any ($1)', [[mine, theirs]])).toEqual([
    { content: 'a secret' },
  ]);
});

test('what is invalid gets a 4xx, and a day that is full a 429 with Retry-After', async () => {
  const { id: person, client, accessToken } = await newUser();
  const { data } = await client.from('conversations').insert({}).select('id').single();
  const conversation_id = data?.id ?? '';
  const write = async (body: object | string) => {
    const url = String((client as unknown as { rest: { url: string } }).rest.url);
    const key = String((client as unknown as { supabaseKey: string }).supabaseKey);
    return fetch(`${url}/messages`, {
      method: 'POST',
      headers: { apikey: key, authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify({ conversation_id, ...body }),
    });
  };
  for (const body of [
    { parts: 'x' },
    { parts: [1] },
    { parts: null },
    { parts: [{ type: 'text', text: '\u0000' }] },
    { content: 'x'.repeat(100001) },
    { metadata: null },
    { parent_message_id: 'x' },
    { conversation_id: null },
    { content_type: 'x' },
    { role: 'nobody' },
    { id: conversation_id, conversation_id: randomUUID() },
    '{',
  ]) {
    const { status } = await write(body);
    expect([400, 401, 403, 404], JSON.stringify(body).slice(0, 80)).toContain(status);
  }
  await adminPool.query(`update private.kept_content set bytes = 5242880 where workspace_id = $1`, [person]);
  const full = await write({ content: 'one more' });
  expect(full.status).toBe(429);
  expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await full.json()).toMatchObject({ code: 'limit_reached' });
});

test('an account that is deleted by Auth leaves what it shared, without the person', async () => {
  const [author, member] = await Promise.all([newUser(), newUser()]);
  const team = await teamOf(member, author);
  const rows = [
    { title: 'shared', workspace_id: team, is_shared: true },
    { title: 'kept', workspace_id: team, is_shared: false },
    { title: 'own', workspace_id: author.id, is_shared: true },
  ];
  const { data } = await author.client.from('conversations').insert(rows).select('id');
  const ids = data?.map(({ id }) => id) ?? [];
  await author.client.from('messages').insert(ids.map((conversation_id) => ({ conversation_id, content: 'words' })));
  const auth = await sqlAs('supabase_auth_admin');
  try {
    await auth.query('delete from auth.users where id = $1', [author.id]);
  } finally {
    await auth.end();
  }
  expect(await sql('select title, user_id from public.conversations where id = any ($1)', [ids])).toEqual([
    { title: 'shared', user_id: null },
  ]);
  expect((await member.client.from('messages').select('content').in('conversation_id', ids)).data).toEqual([
    { content: 'words' },
  ]);
});
