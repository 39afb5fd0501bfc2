import { randomUUID } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { anonClient, env, newUser, serviceClient, sql, type TestUser } from '../support/stack.ts';
import { newBucket, rawRequest } from './helpers.ts';

let bucket: string;
let owner: TestUser;
let stranger: TestUser;
const service = serviceClient();

beforeAll(async () => {
  [bucket, owner, stranger] = await Promise.all([newBucket(), newUser(), newUser()]);
});

/** A file of the owner's. */
async function ownersFile(): Promise<string> {
  const path = `${owner.id}/${randomUUID()}.mp4`;
  const { error } = await owner.client.storage.from(bucket).upload(path, 'private');
  if (error) throw error;
  return path;
}

test.each(['anon', 'a stranger'] as const)('%s can neither see nor change the file of another', async (who) => {
  const path = await ownersFile();
  const theirs = (who === 'anon' ? anonClient() : stranger.client).storage.from(bucket);
  expect((await theirs.download(path)).error).toMatchObject({ status: 400 });
  expect((await theirs.info(path)).error).toMatchObject({ statusCode: '404' });
  expect((await theirs.exists(path)).data).toBe(false);
  expect((await theirs.createSignedUrl(path, 60)).error).toMatchObject({ statusCode: '404' });
  expect((await theirs.createSignedUrls([path], 60)).data?.[0]?.signedUrl).toBeNull();
  expect((await theirs.list(owner.id)).data).toEqual([]);
  expect((await theirs.remove([path])).data).toEqual([]);
  expect((await theirs.update(path, 'x')).error).toMatchObject({ statusCode: '404' });
  for (const upsert of [false, true]) {
    expect((await theirs.upload(path, 'x', { upsert })).error?.statusCode).toMatch(/403|409/);
    expect((await theirs.upload(`${owner.id}/${randomUUID()}`, 'x', { upsert })).error).toMatchObject({
      statusCode: '403',
      message: 'new row violates row-level security policy',
    });
  }
  expect(await (await owner.client.storage.from(bucket).download(path)).data?.text()).toBe('private');
});

test('the service role passes the policies', async () => {
  const path = await ownersFile();
  const all = service.storage.from(bucket);
  expect(await (await all.download(path)).data?.text()).toBe('private');
  expect((await all.upload(path, 'x', { upsert: true })).error).toBeNull();
  expect((await all.upload(`anywhere/${randomUUID()}`, 'x')).error).toBeNull();
  expect((await all.list()).data?.map(({ name }) => name)).toEqual(expect.arrayContaining([owner.id, 'anywhere']));
  expect((await all.remove([path])).data).toHaveLength(1);
});

test('only who may read as well as write may replace', async () => {
  const id = await newBucket();
  await sql(
    `create policy "${id}: everyone drops" on storage.objects for insert to anon with check (bucket_id = '${id}')`,
  );
  const drops = anonClient().storage.from(id);
  expect((await drops.upload('letter', 'x')).error).toBeNull();
  expect((await drops.upload('letter', 'x', { upsert: true })).error).toMatchObject({ statusCode: '403' });
  expect((await drops.download('letter')).error).toMatchObject({ status: 400 });
});

test('the owner of a file is who uploaded it', async () => {
  const path = await ownersFile();
  expect(await sql('select owner, owner_id from storage.objects where name = $1', [path])).toEqual([
    { owner: owner.id, owner_id: owner.id },
  ]);
});

test('a signed upload is for one file, for whoever has its URL, as its maker could upload it', async () => {
  const path = `${owner.id}/${randomUUID()}.txt`;
  const files = owner.client.storage.from(bucket);
  const signed = await files.createSignedUploadUrl(path);
  expect(signed.data).toMatchObject({
    path,
    signedUrl: expect.stringContaining(`/object/upload/sign/${bucket}/${path}?`),
  });
  const token = signed.data?.token ?? '';
  const anyone = anonClient().storage.from(bucket);
  expect((await anyone.uploadToSignedUrl(`${owner.id}/other.txt`, token, 'x')).error).toMatchObject({ status: 400 });
  expect((await fetch(`${env.API_URL}/storage/v1/object/sign/${bucket}/${path}?token=${token}`)).status).toBe(400);
  expect((await anyone.uploadToSignedUrl(path, 'made up', 'x')).error).toMatchObject({ status: 400 });
  const up = await anyone.uploadToSignedUrl(path, token, new Blob(['hello'], { type: 'text/plain' }));
  expect(up).toMatchObject({ data: { path, fullPath: `${bucket}/${path}` }, error: null });
  expect((await anyone.uploadToSignedUrl(path, token, 'again')).error).toMatchObject({ statusCode: '409' });
  expect((await files.createSignedUploadUrl(path)).error).toMatchObject({ statusCode: '409' });
  expect(await (await files.download(path)).data?.text()).toBe('hello');
  expect(await sql('select owner_id from storage.objects where name = $1', [path])).toEqual([{ owner_id: owner.id }]);

  const over = await files.createSignedUploadUrl(path, { upsert: true });
  expect((await anyone.uploadToSignedUrl(path, over.data?.token ?? '', 'again')).error).toBeNull();
  expect(await (await files.download(path)).data?.text()).toBe('again');
});

test('nobody signs an upload that they could not make, or one to read with', async () => {
  const path = `${owner.id}/${randomUUID()}.txt`;
  for (const client of [anonClient(), stranger.client]) {
    expect((await client.storage.from(bucket).createSignedUploadUrl(path)).error).toMatchObject({ statusCode: '403' });
  }
  expect((await owner.client.storage.from('none').createSignedUploadUrl(path)).error).toMatchObject({
    statusCode: '404',
  });
  const there = await ownersFile();
  const { data } = await owner.client.storage.from(bucket).createSignedUrl(there, 60);
  const token = new URL(data?.signedUrl ?? '').searchParams.get('token') ?? '';
  const { error } = await anonClient().storage.from(bucket).uploadToSignedUrl(there, token, 'x', { upsert: true });
  expect(error).toMatchObject({ status: 400 });
});

test('a bad token is no caller', async () => {
  const path = await ownersFile();
  const [head, , signature] = owner.accessToken.split('.');
  const claims = Buffer.from(JSON.stringify({ sub: owner.id, role: 'service_role' })).toString('base64url');
  const signedUrl = (await owner.client.storage.from(bucket).createSignedUrl(path, 60)).data?.signedUrl ?? '';
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  for (const token of [
    undefined,
    'x',
    `${head}.${claims}.${signature}`,
    `${none}.${claims}.`,
    new URL(signedUrl).searchParams.get('token') ?? '',
  ]) {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await rawRequest(method, `/object/${bucket}/${path}`, headers);
      expect([method, answer.status]).toEqual([method, 400]);
    }
    expect((await rawRequest('POST', `/object/${bucket}/${owner.id}/new`, headers, 'x')).status).toBe(400);
  }
  expect((await rawRequest('GET', `/object/${bucket}/${path}`, { apikey: 'sb_secret_made_up' })).status).toBe(401);
  expect(await (await owner.client.storage.from(bucket).download(path)).data?.text()).toBe('private');
});

test('a bucket limits size and types, for the service role as well', async () => {
  const id = await newBucket({ limit: 1000, mimeTypes: ['video/*', 'image/png'] });
  const files = service.storage.from(id);
  const video = { contentType: 'video/mp4' };
  const streamOf = (size: number) => new Blob([new Uint8Array(size)]).stream();
  expect((await files.upload('fits', new Uint8Array(1000), video)).error).toBeNull();
  expect((await files.upload('streamed', streamOf(1000), video)).error).toBeNull();
  const tooLarge = { statusCode: '413', message: 'The object exceeded the maximum allowed size' };
  expect((await files.upload('large', new Uint8Array(1001), video)).error).toMatchObject(tooLarge);
  expect((await files.upload('large', streamOf(1001), video)).error).toMatchObject(tooLarge);
  expect((await files.upload('large', streamOf(5_000_000), video)).error).toMatchObject(tooLarge);
  expect((await files.upload('large', new Uint8Array(5_000_000), video)).error).toMatchObject(tooLarge);
  expect(
    (await files.upload('large', new Blob([new Uint8Array(5_000_000)], { type: 'video/mp4' }))).error,
  ).toMatchObject(tooLarge);
  expect((await files.upload('text', 'x', { contentType: 'text/html' })).error).toMatchObject({ statusCode: '415' });
  expect((await files.upload('odd', 'x', { contentType: 'video' })).error).toMatchObject({ statusCode: '415' });
  expect((await files.list()).data?.map(({ name }) => name)).toEqual(['fits', 'streamed']);
});

test('a bucket that is not there is named as such; a public one is read by everyone', async () => {
  const nowhere = service.storage.from(`test-${randomUUID()}`);
  const missing = { statusCode: '404', message: 'Bucket not found' };
  expect((await nowhere.upload('x', 'x')).error).toMatchObject(missing);
  expect((await nowhere.info('x')).error).toMatchObject(missing);
  expect((await nowhere.remove(['x'])).error).toMatchObject(missing);

  const id = await newBucket({ isPublic: true });
  await service.storage.from(id).upload('page.html', '<p>', { contentType: 'text/html' });
  const url = anonClient().storage.from(id).getPublicUrl('page.html').data.publicUrl;
  const answer = await fetch(url);
  expect([await answer.text(), answer.headers.get('content-type')]).toEqual(['<p>', 'text/plain']);
  const path = await ownersFile();
  expect((await fetch(anonClient().storage.from(bucket).getPublicUrl(path).data.publicUrl)).status).toBe(400);
});

test('buckets are made and seen by the service role, and by nobody else without a policy', async () => {
  const id = `test-${randomUUID()}`;
  expect((await owner.client.storage.createBucket(id)).error).toMatchObject({ statusCode: '403' });
  expect((await service.storage.createBucket(id, { public: false, fileSizeLimit: 10 })).error).toBeNull();
  expect((await service.storage.createBucket(id)).error).toMatchObject({ statusCode: '409' });
  expect((await service.storage.getBucket(id)).data).toMatchObject({ id, public: false, file_size_limit: 10 });
  expect((await owner.client.storage.getBucket(id)).error).toMatchObject({ statusCode: '404' });
  expect((await service.storage.listBuckets()).data?.map((each) => each.id)).toContain(id);
  expect((await anonClient().storage.listBuckets()).data).toEqual([]);
});

test('rows of files are not deleted past storage', async () => {
  const path = await ownersFile();
  await expect(sql('delete from storage.objects where name = $1', [path])).rejects.toThrow(/Use the Storage API/);
  expect(env.API_URL).toBeTruthy();
});
