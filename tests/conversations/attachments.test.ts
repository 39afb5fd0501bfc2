/** Attachments as a frontend handles them: registered, uploaded by a signed upload, shown by a message, read, removed. */
import { beforeAll, expect, test } from 'vitest';
import { newModel, seenBySimulator } from '../ai/helpers.ts';
import { anonClient, env, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';

import { post, refusal, says, send } from './helpers.ts';

let owner: TestUser;
let mate: TestUser;
let stranger: TestUser;
let team: string;

const files = ({ client }: Pick<TestUser, 'client'>) => client.storage.from('attachments');
const picture = (size: number, type = 'image/png') => new Blob([new Uint8Array(size).fill(7)], { type });

beforeAll(async () => {
  [owner, mate, stranger] = await Promise.all([newUser(), newUser(), newUser()]);
  const [row] = await sql<{ id: string }>(
    `insert into public.workspaces (name, plan) values ('Team', 'pro') returning id`,
  );
  team = row?.id as string;
  await sql(
    `insert into public.workspace_members (workspace_id, user_id, role) values ($1, $2, 'owner'), ($1, $3, 'member')`,
    [team, owner.id, mate.id],
  );
});

async function newConversation(is_shared = false): Promise<string> {
  const made = await owner.client.from('conversations').insert({ workspace_id: team, is_shared }).select('id').single();
  if (made.error) throw made.error;
  return made.data.id;
}

async function register(conversation_id: string, size_bytes: number) {
  const file = { conversation_id, name: 'cat.png', media_type: 'image/png', size_bytes };
  const { data, error } = await owner.client.rpc('create_attachment', file);
  if (error) throw error;
  return data;
}

/** Uploads a file by a signed upload, as a browser does. */
async function upload(path: string, file: Blob) {
  const signed = await files(owner).createSignedUploadUrl(path);
  if (signed.error) throw signed.error;
  return files({ client: anonClient() }).uploadToSignedUrl(path, signed.data.token, file);
}

test('a file is uploaded, shown by a message, read by who reads it, and gone with it', async () => {
  const conversation_id = await newConversation(true);
  const { id, storage_path } = await register(conversation_id, 1000);
  for (const client of [mate.client, stranger.client, anonClient()]) {
    expect((await files({ client }).createSignedUploadUrl(storage_path)).error).not.toBeNull();
  }
  expect((await upload(storage_path, picture(1000))).error).toBeNull();
  const parts = [{ type: 'image', attachment_id: id, media_type: 'image/png' }];
  const message = await owner.client.from('messages').insert({ conversation_id, parts }).select('id').single();
  expect(message.error).toBeNull();

  const url = (await files(mate).createSignedUrl(storage_path, 60)).data?.signedUrl ?? '';
  expect((await (await fetch(url)).arrayBuffer()).byteLength).toBe(1000);
  expect((await files(owner).download(storage_path)).data?.size).toBe(1000);
  for (const client of [stranger.client, anonClient()]) {
    expect((await files({ client }).download(storage_path)).data).toBeNull();
    expect((await client.from('attachments').select()).data ?? []).toEqual([]);
  }

  await owner.client
    .from('messages')
    .delete()
    .eq('id', message.data?.id as string);
  for (const reader of [owner, mate]) expect((await files(reader).download(storage_path)).data).toBeNull();
  // Function video removes it from Storage, hours later; here that time is over.
  await sql(`update private.file_removals set next_try_at = now() where path = $1`, [storage_path]);
  await expect
    .poll(
      async () => {
        await fetch(`${env.FUNCTIONS_URL}/video/sync`, {
          method: 'POST',
          headers: { apikey: env.SECRET_KEY as string },
        });
        return (await sql('select from private.file_removals where path = $1', [storage_path])).length;
      },
      { timeout: 15_000 },
    )
    .toBe(0);
  expect((await serviceClient().storage.from('attachments').exists(storage_path)).data).toBe(false);
});

test('a file that is not as it was registered is refused by Storage, and nothing of it is left', async () => {
  const { id, storage_path } = await register(await newConversation(), 1000);
  for (const file of [picture(1001), picture(10, 'text/html')]) {
    expect((await upload(storage_path, file)).error).toMatchObject({ status: 400, statusCode: '403' });
    expect((await files(owner).upload(storage_path, file)).error).toMatchObject({ status: 400, statusCode: '403' });
  }
  expect((await serviceClient().storage.from('attachments').exists(storage_path)).data).toBe(false);
  expect((await owner.client.from('attachments').select('uploaded_at').eq('id', id)).data).toEqual([
    { uploaded_at: null },
  ]);
  expect((await upload(storage_path, picture(999))).error).toBeNull();
});

test('what is being shown while another message lets it go stays, at every turn', async () => {
  const conversation_id = await newConversation();
  for (let turn = 0; turn < 10; turn++) {
    const { id, storage_path } = await register(conversation_id, 10);
    await upload(storage_path, picture(10));
    const parts = [{ type: 'image', attachment_id: id }];
    const first = await owner.client.from('messages').insert({ conversation_id, parts }).select('id').single();
    const [second] = await Promise.all([
      owner.client.from('messages').insert({ conversation_id, parts }).select('id').single(),
      owner.client
        .from('messages')
        .delete()
        .eq('id', first.data?.id as string),
    ]);
    const left = await owner.client.from('attachments').select('id').eq('id', id);
    // Either the second message came in time and keeps it, or it is told that it is gone.
    expect(left.data?.length).toBe(second.error ? 0 : 1);
    expect(second.error?.message ?? 'not_found').toBe('not_found');
  }
});

test('a model that takes pictures is sent those of the conversation', async () => {
  const conversation_id = await newConversation();
  await sql(`select public.credit_user_credits_transaction($1, 1000, 'manual', workspace_id => $2)`, [owner.id, team]);
  const model = await newModel({ content_parts: { image_url: 1000 } });
  const { id, storage_path } = await register(conversation_id, 3);
  const key = `pictures-${id}`;
  const ask = (attachment_id: string) => ({
    model,
    parts: [
      { type: 'image', attachment_id, media_type: 'image/png' },
      { type: 'text', text: says({ key }, 'What is this?') },
    ],
  });
  expect(await refusal(await post(owner.accessToken, conversation_id, ask(id)))).toBe('404 not_found'); // it has not come
  await upload(storage_path, picture(3));
  const { message } = await send(owner, conversation_id, ask(id));
  expect(message.parts[0]).toEqual({ type: 'image', attachment_id: id, media_type: 'image/png' });
  await send(owner, conversation_id, { model, content: says({ key }, 'And again?') });
  const { requests } = await seenBySimulator(key);
  expect(requests).toHaveLength(2);
  for (const { body } of requests) {
    // A development machine's Storage is not on the web.
    expect(JSON.stringify(body)).toContain('"url":"data:image/png;base64,BwcH"');
  }
  const other = await newConversation();
  expect(await refusal(await post(owner.accessToken, other, ask(id)))).toBe('404 not_found');
});
